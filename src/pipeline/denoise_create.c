/* A denoiser made for one use: see denoise.h. */
#include "pipeline/denoise.h"

graph *denoise_describe(const model *m, dtype type, const denoise_request *request, mzt_error *error) {
    const part_spec spec = denoise_spec(m, request);
    return part_describe(m, type, &spec, error);
}

mzt_status denoiser_create(const model *m, executor *e, precision p, const denoise_request *request,
                           denoiser *out, mzt_error *error) {
    TRY(denoiser_reserve(m, request, out, error));
    const part_spec spec = denoise_spec(m, request);
    mzt_status status = part_create(m, e, p, &spec, &out->own, error);
    if (status >= 0) status = denoiser_bind(out, m, &out->own, request, error);
    if (status < 0) denoiser_destroy(out);
    return status;
}
