/* What a job has made: facts, previews, pictures. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"

mzt_status mzt_job_get_info(const mzt_job *job, mzt_job_info *info, mzt_error *error) {
    static const mzt_precision types[] = {MZT_PRECISION_F32, MZT_PRECISION_F16, MZT_PRECISION_BF16};
    if (!job) return api_missing(error, "job");
    const generation *g = job->generation;
    const generate_result *r = &g->result;
    dtype type = DTYPE_F32;
    TRY(part_type(g->m, &job->pipeline->device->e->limits, g->owner->precision, PART_DENOISER, &type, error));
    mzt_job_info own = {
        .struct_size = sizeof own,
        .width = r->width,
        .height = r->height,
        .count = r->count,
        .channels = g->m->vae.out_channels,
        .steps = r->steps,
        .calls = r->calls,
        .guided = r->guided,
        .preview_width = g->latent.w,
        .preview_height = g->latent.h,
        .precision = types[type == DTYPE_F16    ? 1
                           : type == DTYPE_BF16 ? 2
                                                : 0],
        .device_bytes = r->device_bytes,
        .seconds = {r->text_seconds, r->prepare_seconds, r->denoise_seconds, r->decode_seconds}};
    snprintf(own.sampler, sizeof own.sampler, "%s", r->sampler);
    snprintf(own.schedule, sizeof own.schedule, "%s", r->schedule);
    return api_give("mzt_job_info", &own, sizeof own, info, error);
}

mzt_status api_copy_rgba(const image *picture, void *pixels, size_t row_bytes, mzt_error *error) {
    const size_t row = (size_t)picture->width * 4, stride = row_bytes ? row_bytes : row;
    if (!pixels) return api_missing(error, "pixels");
    if (stride < row)
        return error_set(error, MZT_ERROR_INVALID, "row_bytes %llu, but a row of %u pixels has %llu",
                         (unsigned long long)stride, picture->width, (unsigned long long)row);
    for (uint32_t y = 0; y < picture->height; y++) {
        uint8_t *to = (uint8_t *)pixels + y * stride;
        const uint8_t *from = image_pixel(picture, 0, y);
        for (uint32_t x = 0; x < picture->width; x++, to += 4, from += picture->channels) {
            memcpy(to, from, 3);
            to[3] = picture->channels == 4 ? from[3] : 255;
        }
    }
    return MZT_OK;
}

/* How a job that was asked for its result too early, or after a failure, answers. */
static mzt_status check_done(const generation *g, mzt_error *error) {
    if (g->status == MZT_PENDING) return MZT_PENDING;
    if (g->status < 0 && error) *error = g->ended;
    return g->status;
}

mzt_status mzt_job_read_rgba8(mzt_job *job, uint32_t index, void *pixels, size_t row_bytes,
                              mzt_error *error) {
    if (!job) return api_missing(error, "job");
    const generation *g = job->generation;
    if (index >= g->result.count)
        return error_set(error, MZT_ERROR_INVALID, "picture %u of %u", index, g->result.count);
    mzt_status status = check_done(g, error);
    return status == MZT_OK ? api_copy_rgba(&g->result.images[index], pixels, row_bytes, error) : status;
}

mzt_status mzt_job_read_trajectory(mzt_job *job, uint32_t step, void *pixels, size_t row_bytes,
                                   mzt_error *error) {
    if (!job) return api_missing(error, "job");
    const generation *g = job->generation;
    if (step >= g->result.trajectory_count)
        return error_set(error, MZT_ERROR_INVALID, "step %u of a trajectory of %u", step,
                         g->result.trajectory_count);
    mzt_status status = check_done(g, error);
    return status == MZT_OK ? api_copy_rgba(&g->result.trajectory[step], pixels, row_bytes, error) : status;
}

mzt_status mzt_job_preview(mzt_job *job, uint32_t index, void *pixels, size_t row_bytes, uint32_t *step,
                           mzt_error *error) {
    if (!job) return api_missing(error, "job");
    generation *g = job->generation;
    if (!generation_is_previewed(g))
        return error_set(error, MZT_ERROR_INVALID, "the job was made without mzt_job_params.preview");
    if (index >= g->result.count)
        return error_set(error, MZT_ERROR_INVALID, "picture %u of %u", index, g->result.count);
    if (step) *step = g->steps_done;
    if (!g->steps_done) return MZT_PENDING;
    latent_map_apply(&g->owner->map, g->estimate + index * generation_latent_count(g), g->colours,
                     &g->preview);
    return api_copy_rgba(&g->preview, pixels, row_bytes, error);
}
