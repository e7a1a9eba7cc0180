/* The small runtime library: it opens compiled models, and has no compiler, no JSON and no PNG. */
#include "api/open.h"
#include "pipeline/packed.h"
#include "pipeline/tiled_decoder.h"

mzt_status api_open_path(mzt_model *m, const char *path, const mzt_model_params *params, mzt_error *error) {
    (void)params; /* all of them concern checkpoints */
    return packed_open(&m->host, path, &m->m, error);
}

/* Decoding in windows describes networks of its own. */
mzt_status tiled_decoder_create(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                                uint64_t limit, tiled_decoder **out, mzt_error *error) {
    (void)e, (void)p, (void)latent, (void)wrap;
    *out = NULL;
    return error_set(error, MZT_ERROR_OUT_OF_MEMORY, "%s: the decoder does not fit %llu bytes", m->path,
                     (unsigned long long)limit);
}

void tiled_decoder_destroy(tiled_decoder *d) {
    (void)d;
}

mzt_status tiled_decoder_begin(tiled_decoder *d, const float *latent, mzt_error *error) {
    (void)d, (void)latent;
    return error_set(error, MZT_ERROR_INTERNAL, "there are no windows");
}

mzt_status tiled_decoder_advance(tiled_decoder *d, double *share, mzt_error *error) {
    (void)d, (void)share;
    return error_set(error, MZT_ERROR_INTERNAL, "there are no windows");
}

void tiled_decoder_picture(const tiled_decoder *d, float *picture) {
    (void)d, (void)picture;
}

static mzt_status missing(mzt_error *error, const char *what) {
    return error_set(error, MZT_ERROR_UNSUPPORTED, "%s takes the full library: link libmezzotint", what);
}

mzt_status mzt_model_estimate(mzt_model *opened, const mzt_device *device,
                              const mzt_pipeline_params *pipeline, const mzt_job_params *job,
                              mzt_estimate *estimate, mzt_error *error) {
    (void)opened, (void)device, (void)pipeline, (void)job, (void)estimate;
    return missing(error, "mzt_model_estimate");
}

mzt_status mzt_model_compile(mzt_model *opened, const mzt_device *device, const mzt_pipeline_params *pipeline,
                             const char *path, mzt_error *error) {
    (void)opened, (void)device, (void)pipeline, (void)path;
    return missing(error, "mzt_model_compile");
}

mzt_status mzt_job_write_png(mzt_job *job, uint32_t index, const char *path, mzt_error *error) {
    (void)job, (void)index, (void)path;
    return missing(error, "mzt_job_write_png");
}

mzt_status mzt_validate(mzt_model *opened, mzt_device *device, const mzt_validate_params *params,
                        mzt_validate_summary *summary, mzt_error *error) {
    (void)opened, (void)device, (void)params, (void)summary;
    return missing(error, "mzt_validate");
}
