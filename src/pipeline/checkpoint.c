/* A model's networks as views over one file; see checkpoint.h. */
#include "pipeline/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "pipeline/checkpoint_internal.h"

/* The records of a view, and their names. */
typedef struct view {
    const base_host *host;
    const weights_set *file;
    weights_tensor *tensors;
    char (*names)[LDM_NAME_LIMIT];
    uint32_t count;
    bool flatten; /* the autoencoder's matrices */
} view;

static const char *view_metadata(const void *user, const char *key) {
    const view *v = user;
    return weights_metadata(v->file, key);
}

static void view_close(void *user) {
    view *v = user;
    host_free(v->host, v->tensors);
    host_free(v->host, v->names);
    host_free(v->host, v);
}

/* The numbers of TAESD's decoder count a clamp in front, which AutoencoderTiny's do not. */
static uint32_t taesd_targets(bool decoder, const char *name, ldm_target *target) {
    uint32_t layer = 0;
    const char *rest = name;
    while (*rest >= '0' && *rest <= '9' && rest - name < 3)
        layer = layer * 10 + (uint32_t)(*rest++ - '0');
    if (rest == name || *rest != '.' || (decoder && layer == 0)) return 0;
    int length = snprintf(target->name, LDM_NAME_LIMIT, "%s.layers.%u%s", decoder ? "decoder" : "encoder",
                          (unsigned)(layer - decoder), rest);
    target->part = 0;
    target->parts = 1;
    target->transposed = false;
    return length > 0 && length < LDM_NAME_LIMIT;
}

static uint32_t find_targets(const checkpoint *c, model_component component, const char *name,
                             ldm_target targets[LDM_TARGETS]) {
    const checkpoint_part *part = &c->parts[component];
    if (part->layout == CHECKPOINT_OPEN_CLIP) return ldm_open_clip_targets(name, targets);
    if (part->layout == CHECKPOINT_TAESD)
        return taesd_targets(weights_find(c->file, "3.conv.0.weight") != NULL &&
                                 weights_find(c->file, "1.weight") != NULL,
                             name, targets);
    if (component == MODEL_TEXT_ENCODER || component == MODEL_TEXT_ENCODER_2)
        return ldm_clip_targets(name, targets);
    if (part->layout == CHECKPOINT_LDM)
        return component == MODEL_UNET ? ldm_unet_targets(&part->unet, name, targets)
                                       : ldm_vae_targets(part->vae_levels, name, targets);
    const size_t length = strlen(name);
    if (length >= LDM_NAME_LIMIT) return 0;
    memcpy(targets->name, name, length + 1);
    targets->part = 0;
    targets->parts = 1;
    targets->transposed = false;
    return 1;
}

/* Whether the name is of a layer that is left out. */
static bool left_out(const checkpoint_part *part, const char *name) {
    static const char layers[] = "text_model.encoder.layers.";
    if (strncmp(name, layers, sizeof layers - 1) != 0) return false;
    uint32_t layer = 0;
    for (const char *c = name + sizeof layers - 1; *c >= '0' && *c <= '9' && layer < 1000; c++)
        layer = layer * 10 + (uint32_t)(*c - '0');
    return layer >= part->leave_out;
}

/* Scaled fp8 files keep a factor beside each matrix. */
static mzt_status find_scale(const weights_set *file, const weights_tensor *tensor, float *scale,
                             mzt_error *error) {
    static const char *const endings[] = {".scale_weight", ".weight_scale"};
    char name[LDM_NAME_LIMIT];
    const size_t length = strlen(tensor->name), ending = strlen(".weight");
    if (tensor->dtype != WEIGHTS_F8_E4M3 && tensor->dtype != WEIGHTS_F8_E5M2) return MZT_OK;
    if (length < ending || strcmp(tensor->name + length - ending, ".weight") != 0) return MZT_OK;
    for (int i = 0; i < 2; i++) {
        int made = snprintf(name, sizeof name, "%.*s%s", (int)(length - ending), tensor->name, endings[i]);
        const weights_tensor *factor = made > 0 && made < LDM_NAME_LIMIT ? weights_find(file, name) : NULL;
        char shape[120], shown[120];
        if (!factor) continue;
        if (factor->count != 1)
            return error_set(error, MZT_ERROR_UNSUPPORTED,
                             "%s: tensor \"%s\": expected one factor, found shape %s", factor->file,
                             error_text(shown, sizeof shown, name),
                             weights_shape_text(shape, sizeof shape, factor->shape, factor->rank));
        return weights_convert(factor, 0, 1, DTYPE_F32, scale, error);
    }
    return MZT_OK;
}

/* Appends what the target takes of the tensor. */
static mzt_status add(view *v, const weights_tensor *tensor, const ldm_target *target, mzt_error *error) {
    char shown[120], shape[120];
    weights_tensor part = *tensor;
    if (target->parts > 1) {
        const uint64_t rows = tensor->rank ? tensor->shape[0] / target->parts : 0;
        if (rows == 0 || rows * target->parts != tensor->shape[0])
            return error_set(error, MZT_ERROR_FORMAT, "%s: tensor \"%s\": shape %s has no %u equal parts",
                             tensor->file, error_text(shown, sizeof shown, tensor->name),
                             weights_shape_text(shape, sizeof shape, tensor->shape, tensor->rank),
                             (unsigned)target->parts);
        TRY(weights_rows(tensor, target->part * rows, rows, &part, error));
        part.origin = 0; /* under its name, it is a tensor of its own */
    }
    if (target->transposed) {
        if (tensor->rank != 2)
            return error_set(error, MZT_ERROR_FORMAT, "%s: tensor \"%s\": expected a matrix, found shape %s",
                             tensor->file, error_text(shown, sizeof shown, tensor->name),
                             weights_shape_text(shape, sizeof shape, tensor->shape, tensor->rank));
        part.transposed = !tensor->transposed;
        part.shape[0] = tensor->shape[1];
        part.shape[1] = tensor->shape[0];
    }
    /* The autoencoder's attention: matrices that the original layout keeps as 1x1 convolutions. */
    if (v->flatten && part.rank == 4 && part.shape[2] == 1 && part.shape[3] == 1 &&
        strstr(target->name, "mid_block.attentions."))
        part.rank = 2;
    TRY(find_scale(v->file, tensor, &part.scale, error));
    memcpy(v->names[v->count], target->name, LDM_NAME_LIMIT);
    part.name = v->names[v->count];
    v->tensors[v->count++] = part;
    return MZT_OK;
}

/* Tensors behind the prefix; `v` NULL: only counts their targets. */
static mzt_status walk(const checkpoint *c, model_component component, view *v, uint32_t *count,
                       mzt_error *error) {
    const checkpoint_part *part = &c->parts[component];
    const size_t prefix = strlen(part->prefix);
    *count = 0;
    for (uint32_t i = 0; i < weights_count(c->file); i++) {
        const weights_tensor *tensor = weights_at(c->file, i);
        ldm_target targets[LDM_TARGETS];
        if (strncmp(tensor->name, part->prefix, prefix) != 0) continue;
        const uint32_t found = find_targets(c, component, tensor->name + prefix, targets);
        for (uint32_t k = 0; k < found; k++) {
            if (left_out(part, targets[k].name)) continue;
            if (v) TRY(add(v, tensor, &targets[k], error));
            ++*count;
        }
    }
    return MZT_OK;
}

mzt_status checkpoint_view(const checkpoint *c, model_component component, weights_set **out,
                           mzt_error *error) {
    uint32_t count;
    *out = NULL;
    TRY(walk(c, component, NULL, &count, error));
    view *v = host_calloc(c->host, 1, sizeof *v);
    if (!v) return error_memory(error, weights_name(c->file), sizeof *v);
    *v = (view){.host = c->host, .file = c->file, .flatten = component == MODEL_VAE};
    v->tensors = host_calloc(c->host, count, sizeof *v->tensors);
    v->names = host_calloc(c->host, count, sizeof *v->names);
    mzt_status status = v->tensors && v->names ? walk(c, component, v, &count, error)
                                               : error_memory(error, weights_name(c->file),
                                                              (uint64_t)count * sizeof *v->tensors);
    if (status < 0) {
        view_close(v);
        return status;
    }
    const weights_source source = {v->tensors, v->count, view_metadata, view_close, v};
    return weights_create(c->host, weights_name(c->file), &source, out, error);
}

mzt_status checkpoint_recognise(const base_host *host, weights_set *file, checkpoint *out, mzt_error *error) {
    *out = (checkpoint){.host = host, .file = file};
    mzt_status status = checkpoint_find_parts(out, error);
    if (status < 0) checkpoint_close(out);
    return status;
}

mzt_status checkpoint_open(const base_host *host, const char *path, checkpoint *out, mzt_error *error) {
    weights_set *file;
    *out = (checkpoint){.host = host};
    TRY(weights_open(host, path, &file, error));
    return checkpoint_recognise(host, file, out, error);
}

void checkpoint_close(checkpoint *c) {
    weights_close(c->file);
    *c = (checkpoint){.host = c->host};
}
