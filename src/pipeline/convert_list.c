/* Which tensors a converted model has, and what they are made of; see convert.h. */
#include <stdio.h>
#include <string.h>

#include "model/detect.h"
#include "pipeline/convert.h"

void convert_list_destroy(convert_list *list) {
    if (list->host) host_free(list->host, list->entries);
    *list = (convert_list){.host = list->host};
}

uint64_t convert_entry_count(const convert_entry *entry) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < entry->part_count; i++)
        count += entry->parts[i]->count;
    return count;
}

static weights_dtype type_of(const weights_tensor *t, convert_type type) {
    static const weights_dtype fixed[] = {WEIGHTS_F16, WEIGHTS_F16, WEIGHTS_BF16, WEIGHTS_F32};
    const bool kept = t->dtype == WEIGHTS_F32 || t->dtype == WEIGHTS_F16 || t->dtype == WEIGHTS_BF16;
    if (type != CONVERT_KEEP) return fixed[type];
    return kept ? t->dtype : t->dtype == WEIGHTS_F64 ? WEIGHTS_F32 : WEIGHTS_F16;
}

static mzt_status append(convert_list *list, const char *prefix, const char *name, const weights_tensor *t,
                         convert_type type, convert_entry **out, mzt_error *error) {
    if (!HOST_GROW(list->host, list->entries, list->count, list->capacity))
        return error_memory(error, "list of tensors", list->count * sizeof *list->entries);
    convert_entry *e = &list->entries[list->count];
    *e = (convert_entry){.type = type_of(t, type), .rank = t->rank, .parts = {t}, .part_count = 1};
    memcpy(e->shape, t->shape, sizeof e->shape);
    int length = snprintf(e->name, sizeof e->name, "%s%s", prefix, name);
    if (length < 0 || length >= LDM_NAME_LIMIT) {
        char shown[80];
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: tensor \"%s\": the name is too long", t->file,
                         error_text(shown, sizeof shown, name));
    }
    list->count++;
    *out = e;
    return MZT_OK;
}

static bool is_number(const weights_tensor *t) {
    return t->dtype <= WEIGHTS_F8_E5M2 || t->dtype >= WEIGHTS_BLOCKS;
}

mzt_status convert_list_component(const model *m, model_component component, convert_type type,
                                  convert_list *out, mzt_error *error) {
    const weights_set *set = m->weights[component];
    *out = (convert_list){.host = m->host};
    for (uint32_t i = 0; i < weights_count(set); i++) {
        convert_entry *e;
        const weights_tensor *t = weights_at(set, i);
        if (is_number(t)) TRY(append(out, "", t->name, t, type, &e, error));
    }
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------ single
 * file
 * -- */

/* Finds what a reader of the single file would take the network for, and compares. */
static mzt_status check_unet(const model *m, mzt_error *error) {
    unet_config c;
    const char *what = NULL;
    TRY(unet_config_detect(m->weights[MODEL_UNET], &c, error));
    const unet_config *u = &m->unet;
    if (memcmp(c.heads, u->heads, sizeof c.heads) != 0) what = "the number of attention heads";
    if (c.groups != u->groups || c.eps != u->eps) what = "groups or epsilon of its norms";
    if (c.flip_sin_to_cos != u->flip_sin_to_cos || c.freq_shift != u->freq_shift)
        what = "its timestep embedding";
    if (c.downsample_padding != u->downsample_padding) what = "the padding of its downsampling";
    if (c.text_time != u->text_time || c.addition_time_channels != u->addition_time_channels)
        what = "its embedding of picture sizes";
    if (!what) return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "%s: %s could not be told from a single file; write a folder (--layout folder)", m->path,
                     what);
}

static mzt_status check_others(const model *m, mzt_error *error) {
    vae_config v;
    clip_config t;
    const char *what = NULL;
    if (m->weights[MODEL_VAE]) {
        TRY(vae_config_detect(m->weights[MODEL_VAE], m->index.xl, &v, error));
        if (v.tiny) what = "a tiny autoencoder";
        if (v.groups != m->vae.groups || v.patch_size != m->vae.patch_size)
            what = "the autoencoder's groups or patches";
        if (v.scaling_factor != m->vae.scaling_factor || v.shift_factor != m->vae.shift_factor)
            what = "the scale of the autoencoder's latents";
    }
    for (int i = 0; i < 2 && !what; i++) {
        const weights_set *set = m->weights[i ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER];
        if (!set) continue;
        TRY(clip_config_detect(set, !m->text[i].quick_gelu, i, &t, error));
        if (t.heads != m->text[i].heads || t.eps != m->text[i].eps)
            what = "the text encoder's heads or epsilon";
    }
    if (!what) return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "%s: %s could not be told from a single file; write a folder (--layout folder)", m->path,
                     what);
}

static mzt_status list_unet(const model *m, convert_type type, convert_list *out, mzt_error *error) {
    const weights_set *set = m->weights[MODEL_UNET];
    ldm_unet division;
    char name[LDM_NAME_LIMIT];
    if (!ldm_unet_of(&m->unet, &division))
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: a UNet of more than %d blocks", m->path,
                         LDM_BLOCK_LIMIT);
    for (uint32_t i = 0; i < weights_count(set); i++) {
        convert_entry *e;
        const weights_tensor *t = weights_at(set, i);
        if (is_number(t) && ldm_unet_original(&division, t->name, name))
            TRY(append(out, "model.diffusion_model.", name, t, type, &e, error));
    }
    return MZT_OK;
}

/* Old diffusers' names of the autoencoder's attention. */
static const char *new_attention_name(const char *name, char buffer[LDM_NAME_LIMIT]) {
    static const char *const pairs[][2] = {
        {"query.", "to_q."}, {"key.", "to_k."}, {"value.", "to_v."}, {"proj_attn.", "to_out.0."}};
    const char *at = strstr(name, "attentions.0.");
    for (int i = 0; at && i < 4; i++) {
        const char *leaf = at + strlen("attentions.0.");
        if (strncmp(leaf, pairs[i][0], strlen(pairs[i][0])) != 0) continue;
        int length = snprintf(buffer, LDM_NAME_LIMIT, "%.*s%s%s", (int)(leaf - name), name, pairs[i][1],
                              leaf + strlen(pairs[i][0]));
        return length > 0 && length < LDM_NAME_LIMIT ? buffer : name;
    }
    return name;
}

static mzt_status list_vae(const model *m, convert_type type, convert_list *out, mzt_error *error) {
    const weights_set *set = m->weights[MODEL_VAE];
    char name[LDM_NAME_LIMIT], renamed[LDM_NAME_LIMIT];
    for (uint32_t i = 0; set && i < weights_count(set); i++) {
        convert_entry *e;
        const weights_tensor *t = weights_at(set, i);
        if (!is_number(t) || !ldm_vae_original(m->vae.levels, new_attention_name(t->name, renamed), name))
            continue;
        TRY(append(out, "first_stage_model.", name, t, type, &e, error));
        if (strstr(name, "attn_1.") && t->rank == 2) { /* matrices are 1x1 convolutions there */
            e->rank = 4;
            e->shape[2] = e->shape[3] = 1;
        }
    }
    return MZT_OK;
}

/* Under OpenCLIP's names. `repeat`: the last layer comes once more, as the one that the model leaves out. */
static mzt_status list_open_clip(const weights_set *set, const char *prefix, uint32_t repeat,
                                 convert_type type, convert_list *out, mzt_error *error) {
    char name[LDM_NAME_LIMIT], last[48], again[LDM_NAME_LIMIT];
    snprintf(last, sizeof last, "transformer.resblocks.%u.", (unsigned)repeat);
    for (uint32_t i = 0; i < weights_count(set); i++) {
        uint32_t part, parts;
        bool transposed;
        convert_entry *e, *copy;
        const weights_tensor *t = weights_at(set, i);
        if (!is_number(t) || !ldm_open_clip_original(t->name, name, &part, &parts, &transposed)) continue;
        if (parts > 1 && part > 0) continue; /* comes with the first */
        TRY(append(out, prefix, name, t, type, &e, error));
        e->transposed = transposed;
        for (uint32_t k = 1; k < parts; k++) {
            char other[LDM_NAME_LIMIT];
            snprintf(other, sizeof other, "%s", t->name);
            char *letter = strstr(other, ".q_proj.");
            if (letter) letter[1] = "qkv"[k];
            e->parts[k] = weights_find(set, other);
            if (!e->parts[k])
                return error_set(error, MZT_ERROR_FORMAT, "%s: there is no tensor \"%s\"", weights_name(set),
                                 other);
            e->part_count++;
            e->shape[0] += e->parts[k]->shape[0];
        }
        if (repeat == UINT32_MAX || strncmp(name, last, strlen(last)) != 0) continue;
        snprintf(again, sizeof again, "transformer.resblocks.%u.%s", (unsigned)repeat + 1,
                 name + strlen(last));
        const convert_entry made = *e;
        TRY(append(out, prefix, again, t, type, &copy, error));
        memcpy(copy->shape, made.shape, sizeof made.shape);
        memcpy(copy->parts, made.parts, sizeof made.parts);
        copy->part_count = made.part_count;
    }
    return MZT_OK;
}

static mzt_status list_text(const model *m, convert_type type, convert_list *out, mzt_error *error) {
    const weights_set *first = m->weights[MODEL_TEXT_ENCODER], *second = m->weights[MODEL_TEXT_ENCODER_2];
    if (first && !m->index.xl && !m->text[0].quick_gelu)
        return list_open_clip(first, "cond_stage_model.model.", m->text[0].layers - 1, type, out, error);
    const char *prefix =
        m->index.xl ? "conditioner.embedders.0.transformer." : "cond_stage_model.transformer.";
    for (uint32_t i = 0; first && i < weights_count(first); i++) {
        convert_entry *e;
        const weights_tensor *t = weights_at(first, i);
        if (is_number(t)) TRY(append(out, prefix, t->name, t, type, &e, error));
    }
    return second ? list_open_clip(second, "conditioner.embedders.1.model.", UINT32_MAX, type, out, error)
                  : MZT_OK;
}

mzt_status convert_list_single(const model *m, convert_type type, convert_list *out, mzt_error *error) {
    *out = (convert_list){.host = m->host};
    TRY(check_unet(m, error));
    TRY(check_others(m, error));
    TRY(list_unet(m, type, out, error));
    TRY(list_vae(m, type, out, error));
    return list_text(m, type, out, error);
}
