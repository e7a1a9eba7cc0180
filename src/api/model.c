/* Models from files. */
#include <stdio.h>

#include "api/api.h"
#include "api/files.h"
#include "model/unet.h"
#include "pipeline/model_lora.h"
#include "sample/samplers.h"

void mzt_model_params_init(mzt_model_params *params, size_t struct_size) {
    const mzt_model_params own = {.struct_size = sizeof own};
    api_init(&own, sizeof own, params, struct_size);
}

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

/* `path` NULL: as the files in memory say. */
static mzt_status open_path(mzt_model *m, const char *path, const mzt_model_params *params,
                            mzt_error *error) {
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
    TRY(model_open_with(&m->host, path, &options, &m->m, error));
    return apply_loras(m->m, &own, error);
}

static mzt_status create(mzt_context *context, mzt_model **out, mzt_error *error) {
    mzt_model *m = host_calloc(&context->host, 1, sizeof *m);
    *out = m;
    if (!m) return error_memory(error, "model", sizeof *m);
    m->context = context;
    m->host = context->host;
    return MZT_OK;
}

mzt_status mzt_model_open(mzt_context *context, const char *path, const mzt_model_params *params,
                          mzt_model **out, mzt_error *error) {
    mzt_model *m;
    if (out) *out = NULL;
    if (!context || !path || !out) return api_missing(error, !context ? "context" : !path ? "path" : "model");
    TRY(create(context, &m, error));
    mzt_status status = open_path(m, path, params, error);
    if (status < 0)
        mzt_model_close(m);
    else
        *out = m;
    return status;
}

/* Opens what m->files holds; closes the model on failure. */
static mzt_status open_files(mzt_model *m, mzt_status status, const mzt_model_params *params, mzt_model **out,
                             mzt_error *error) {
    char *path = status >= 0 ? api_files_path(m->files) : NULL;
    if (status >= 0 && !path) status = error_memory(error, "path", 0);
    if (status >= 0) {
        m->host.files = &m->files->source;
        status = open_path(m, path, params, error);
    }
    host_free(&m->host, path);
    if (status < 0)
        mzt_model_close(m);
    else
        *out = m;
    return status;
}

mzt_status mzt_model_open_memory(mzt_context *context, const mzt_file *files, uint32_t count,
                                 const mzt_model_params *params, mzt_model **out, mzt_error *error) {
    mzt_model *m;
    if (out) *out = NULL;
    if (!context || !files || !out)
        return api_missing(error, !context ? "context" : !files ? "files" : "model");
    TRY(create(context, &m, error));
    return open_files(m, api_files_from_memory(&context->host, files, count, &m->files, error), params, out,
                      error);
}

mzt_status mzt_model_open_reader(mzt_context *context, const mzt_reader *reader,
                                 const mzt_model_params *params, mzt_model **out, mzt_error *error) {
    mzt_model *m;
    if (out) *out = NULL;
    if (!context || !reader || !out)
        return api_missing(error, !context ? "context" : !reader ? "reader" : "model");
    TRY(create(context, &m, error));
    return open_files(m, api_files_from_reader(&context->host, reader, &m->files, error), params, out, error);
}

void mzt_model_close(mzt_model *m) {
    if (!m) return;
    const base_host host = m->context->host;
    model_close(m->m);
    api_files_destroy(m->files);
    host_free(&host, m);
}

mzt_status mzt_model_get_info(const mzt_model *opened, mzt_model_info *info, mzt_error *error) {
    if (!opened) return api_missing(error, "model");
    const model *m = opened->m;
    const uint32_t factor = vae_factor(&m->vae);
    mzt_model_info own = {.struct_size = sizeof own,
                          .width = m->unet.sample_size[1] * factor,
                          .height = m->unet.sample_size[0] * factor,
                          .size_multiple = factor * unet_multiple(&m->unet),
                          .channels = m->vae.out_channels,
                          .latent_factor = factor,
                          .latent_channels = m->vae.latent_channels,
                          .is_inpainting = m->unet.in_channels > m->unet.out_channels};
    snprintf(own.sampler, sizeof own.sampler, "%s", sampler_info_get(m->sampler.kind)->name);
    snprintf(own.schedule, sizeof own.schedule, "%s", sampler_schedule_name(m->sampler.schedule));
    if (m->weights[MODEL_UNET])
        snprintf(own.weights_file, sizeof own.weights_file, "%s", weights_name(m->weights[MODEL_UNET]));
    return api_give("mzt_model_info", &own, sizeof own, info, error);
}
