/* A caller's parameters as a generation takes them, with copies of all that they point to. */
#include <string.h>

#include "api/api.h"

struct job_texts {
    char *prompt, *negative, *sampler, *schedule;
    double *sigmas;
};

void mzt_job_params_init(mzt_job_params *params, size_t struct_size) {
    const generate_request d = generate_request_default();
    const mzt_job_params own = {.struct_size = sizeof own,
                                .steps = d.steps,
                                .count = d.count,
                                .eta = d.eta,
                                .s_noise = d.s_noise,
                                .guidance = d.guidance,
                                .guidance_begin = d.guidance_interval[0],
                                .guidance_end = d.guidance_interval[1],
                                .strength = d.strength};
    api_init(&own, sizeof own, params, struct_size);
}

void mzt_pipeline_params_init(mzt_pipeline_params *params, size_t struct_size) {
    const mzt_pipeline_params own = {.struct_size = sizeof own};
    api_init(&own, sizeof own, params, struct_size);
}

mzt_status api_precision(mzt_precision given, precision *out, mzt_error *error) {
    static const precision own[] = {PRECISION_AUTO, PRECISION_F32, PRECISION_F16, PRECISION_BF16};
    if ((unsigned)given >= sizeof own / sizeof *own)
        return error_set(error, MZT_ERROR_INVALID, "precision %d: expected MZT_PRECISION_AUTO ... _BF16",
                         (int)given);
    *out = own[given];
    return MZT_OK;
}

void api_texts_destroy(const base_host *host, struct job_texts *t) {
    if (!t) return;
    host_free(host, t->prompt);
    host_free(host, t->negative);
    host_free(host, t->sampler);
    host_free(host, t->schedule);
    host_free(host, t->sigmas);
    host_free(host, t);
}

static bool copy_text(const base_host *host, const char *text, char **out) {
    if (text) *out = host_strdup(host, text);
    return !text || *out;
}

static mzt_status copy_texts(const base_host *host, const mzt_job_params *p, struct job_texts **out,
                             mzt_error *error) {
    struct job_texts *t = host_calloc(host, 1, sizeof *t);
    *out = t;
    if (p->sigmas && p->sigma_count > SAMPLER_STEPS_MAX + 1)
        return error_set(error, MZT_ERROR_INVALID, "%u sigmas: at most %d", p->sigma_count,
                         SAMPLER_STEPS_MAX + 1);
    bool ok = t && copy_text(host, p->prompt ? p->prompt : "", &t->prompt) &&
              copy_text(host, p->negative ? p->negative : "", &t->negative) &&
              copy_text(host, p->sampler, &t->sampler) && copy_text(host, p->schedule, &t->schedule);
    if (ok && p->sigmas) {
        t->sigmas = host_calloc(host, p->sigma_count, sizeof *t->sigmas);
        ok = t->sigmas != NULL;
        if (ok && p->sigma_count) memcpy(t->sigmas, p->sigmas, p->sigma_count * sizeof *t->sigmas);
    }
    return ok ? MZT_OK : error_memory(error, "a job's texts", sizeof *t);
}

/* A caller's picture without gaps between its rows. */
static mzt_status copy_picture(const base_host *host, const char *what, const mzt_image *given, image *out,
                               mzt_error *error) {
    mzt_image own = {0};
    if (!given) return MZT_OK;
    TRY(api_take("mzt_image", given, &own, sizeof own, error));
    if (!own.pixels) return error_set(error, MZT_ERROR_INVALID, "%s: pixels is NULL", what);
    mzt_status status = image_create(host, own.width, own.height, own.channels, out, error);
    if (status < 0) return error_prefix(error, "%s: ", what);
    const size_t row = (size_t)own.width * own.channels, stride = own.row_bytes ? own.row_bytes : row;
    if (stride < row)
        return error_set(error, MZT_ERROR_INVALID, "%s: row_bytes %llu, but a row of %u pixels has %llu",
                         what, (unsigned long long)stride, own.width, (unsigned long long)row);
    for (uint32_t y = 0; y < own.height; y++)
        memcpy(out->pixels + y * row, own.pixels + y * stride, row);
    return MZT_OK;
}

mzt_status api_rng(mzt_rng rng, random_kind *out, mzt_error *error) {
    static const random_kind own[] = {RANDOM_PHILOX, RANDOM_TORCH_CPU, RANDOM_TORCH_CUDA};
    if ((unsigned)rng >= sizeof own / sizeof *own)
        return error_set(error, MZT_ERROR_INVALID, "rng %d: expected MZT_RNG_PHILOX ... _TORCH_CUDA",
                         (int)rng);
    *out = own[rng];
    return MZT_OK;
}

static generate_request translate(const mzt_job_params *p, const struct job_texts *t) {
    return (generate_request){
        .prompt = t->prompt,
        .negative = t->negative,
        .plain_prompt = p->plain_prompt != 0,
        .clip_skip = p->clip_skip,
        .width = p->width,
        .height = p->height,
        .steps = p->steps,
        .sampler = t->sampler,
        .schedule = t->schedule,
        .sigmas = t->sigmas,
        .sigma_count = p->sigma_count,
        .eta = p->eta,
        .s_noise = p->s_noise,
        .guidance = p->guidance,
        .guidance_rescale = p->guidance_rescale,
        .guidance_interval = {p->guidance_begin, p->guidance_end},
        .seed = p->seed,
        .variation_seed = p->variation_seed,
        .variation_strength = p->variation_strength,
        .count = p->count,
        .strength = p->strength,
        .tile = {p->tile_x != 0, p->tile_y != 0},
        .trajectory = p->trajectory != 0,
        .keep_preview = p->preview != 0,
    };
}

mzt_status api_request(const base_host *host, const mzt_job_params *params, generate_request *request,
                       struct job_texts **texts, image pictures[2], mzt_error *error) {
    mzt_job_params own;
    *texts = NULL;
    mzt_job_params_init(&own, sizeof own);
    if (params) TRY(api_take("mzt_job_params", params, &own, sizeof own, error));
    mzt_status status = copy_texts(host, &own, texts, error);
    if (status >= 0) *request = translate(&own, *texts);
    if (status >= 0) status = api_rng(own.rng, &request->rng, error);
    if (status >= 0) status = copy_picture(host, "init_image", own.init_image, &pictures[0], error);
    if (status >= 0) status = copy_picture(host, "mask", own.mask, &pictures[1], error);
    if (status >= 0) {
        request->init_image = own.init_image ? &pictures[0] : NULL;
        request->mask = own.mask ? &pictures[1] : NULL;
        return MZT_OK;
    }
    image_free(host, &pictures[0]);
    image_free(host, &pictures[1]);
    api_texts_destroy(host, *texts);
    *texts = NULL;
    return status;
}
