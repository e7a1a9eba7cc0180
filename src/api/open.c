/* Opening checkpoints of every kind, and compiled models: the full library's way. */
#include "api/open.h"

#include <stdio.h>

#include "pipeline/model_lora.h"
#include "pipeline/packed.h"

static mzt_status apply_loras(model *m, const mzt_model_params *p, mzt_error *error) {
    if (!p->lora_count) return MZT_OK;
    if (!p->loras) return api_missing(error, "loras");
    model_lora *list = host_calloc(m->host, p->lora_count, sizeof *list);
    if (!list) return error_memory(error, "the list of LoRAs", p->lora_count * sizeof *list);
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; status >= 0 && i < p->lora_count; i++) {
        mzt_lora own = {.strength = 1};
        status = api_take("mzt_lora", api_element(p->loras, i), &own, sizeof own, error);
        if (status >= 0 && !own.path) status = api_missing(error, "path of a LoRA");
        list[i] = (model_lora){own.path, own.strength};
    }
    if (status >= 0) status = model_apply_loras(m, list, p->lora_count, error);
    host_free(m->host, list);
    return status;
}

static mzt_status read_weights(mzt_weights given, weight_choice *out, mzt_error *error) {
    static const weight_choice own[] = {WEIGHT_AUTO, WEIGHT_F32, WEIGHT_F16,
                                        WEIGHT_BF16, WEIGHT_Q8,  WEIGHT_Q4};
    if ((unsigned)given >= sizeof own / sizeof *own)
        return error_set(error, MZT_ERROR_INVALID, "weights %d: expected MZT_WEIGHTS_AUTO ... _Q4",
                         (int)given);
    *out = own[given];
    return MZT_OK;
}

/* Looks at the first bytes of a file; a folder is none. */
static mzt_status is_compiled(const mzt_model *m, const char *path, bool *compiled, mzt_error *error) {
    file_mapping mapping;
    char *inside = path_join(&m->host, path, ".");
    *compiled = false;
    if (!inside) return error_memory(error, path, 0);
    const bool folder = host_file_exists(&m->host, inside);
    host_free(&m->host, inside);
    if (folder || host_file_map(&m->host, path, &mapping, NULL) < 0) return MZT_OK;
    *compiled = packed_is(mapping.data, mapping.size);
    file_unmap(&mapping);
    return MZT_OK;
}

mzt_status api_open_path(mzt_model *m, const char *path, const mzt_model_params *params, mzt_error *error) {
    mzt_model_params own = {.struct_size = sizeof own};
    weight_choice stored = WEIGHT_AUTO;
    if (params) TRY(api_take("mzt_model_params", params, &own, sizeof own, error));
    TRY(read_weights(own.weights, &stored, error));
    if (own.embedding_count && !own.embeddings) return api_missing(error, "embeddings");
    const model_options options = {.vae = own.vae,
                                   .text_encoders = {own.text_encoders[0], own.text_encoders[1]},
                                   .tokenizer = own.tokenizer,
                                   .data_folder = own.data_folder,
                                   .prediction = own.prediction,
                                   .embeddings = own.embeddings,
                                   .embedding_count = own.embedding_count,
                                   .stored = stored};
    bool compiled;
    TRY(is_compiled(m, path, &compiled, error));
    if (compiled) {
        if (own.vae || own.text_encoders[0] || own.tokenizer || own.lora_count || own.embedding_count ||
            own.weights)
            return error_set(error, MZT_ERROR_INVALID,
                             "%s is compiled: its parts, LoRAs and storage were chosen when it was", path);
        return packed_open(&m->host, path, &m->m, error);
    }
    TRY(model_open_with(&m->host, path, &options, &m->m, error));
    if (m->m->weights[MODEL_UNET])
        snprintf(m->weights_file, sizeof m->weights_file, "%s", weights_name(m->m->weights[MODEL_UNET]));
    return apply_loras(m->m, &own, error);
}
