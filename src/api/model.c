/* Models from files. */
#include <stdio.h>

#include "api/files.h"
#include "api/open.h"
#include "model/unet.h"
#include "sample/samplers.h"

void mzt_model_params_init(mzt_model_params *params, size_t struct_size) {
    const mzt_model_params own = {.struct_size = sizeof own};
    api_init(&own, sizeof own, params, struct_size);
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
    mzt_status status = api_open_path(m, path, params, error);
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
        status = api_open_path(m, path, params, error);
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
    if (m->m) m->m->close(m->m);
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
    snprintf(own.weights_file, sizeof own.weights_file, "%s", opened->weights_file);
    own.is_compiled = m->packed != NULL;
    return api_give("mzt_model_info", &own, sizeof own, info, error);
}
