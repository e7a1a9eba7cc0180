/* Samplers on host arrays, for hosts with a network of their own: see mezzotint_sampler.h. */
#include "mezzotint_sampler.h"

#include <string.h>

#include "api/api.h"
#include "sample/compile.h"
#include "sample/run.h"
#include "sample/samplers.h"

struct mzt_sampler {
    const base_host *host;
    sampler_program *program;
    float *table; /* [calls][SAMPLER_ROW_FLOATS] */
};

void mzt_sampler_params_init(mzt_sampler_params *params, size_t struct_size) {
    const sampler_config c = sampler_config_default(SAMPLER_EULER);
    const mzt_sampler_params own = {.struct_size = sizeof own,
                                    .steps = 20,
                                    .strength = 1,
                                    .eta = -1,
                                    .s_noise = -1,
                                    .train_steps = c.train_steps,
                                    .beta_start = 0.00085,
                                    .beta_end = 0.012,
                                    .shift = 1};
    api_init(&own, sizeof own, params, struct_size);
}

const char *mzt_sampler_name(uint32_t index) {
    return index < SAMPLER_KIND_COUNT ? sampler_info_get((sampler_kind)index)->name : NULL;
}

const char *mzt_sampler_label(uint32_t index) {
    return index < SAMPLER_KIND_COUNT ? sampler_info_get((sampler_kind)index)->label : NULL;
}

const char *mzt_schedule_name(uint32_t index) {
    return index < SCHEDULE_COUNT ? sampler_schedule_name((sigma_schedule)index) : NULL;
}

/* How a network was trained that no model of ours describes. */
static mzt_status describe_training(const mzt_sampler_params *p, sampler_config *c, mzt_error *error) {
    static const prediction_type predictions[] = {PREDICTION_EPSILON, PREDICTION_V, PREDICTION_SAMPLE,
                                                  PREDICTION_FLOW};
    if ((unsigned)p->prediction >= sizeof predictions / sizeof *predictions)
        return error_set(error, MZT_ERROR_INVALID, "prediction %d: expected MZT_PREDICTION_EPSILON ... _FLOW",
                         (int)p->prediction);
    *c = sampler_config_default(p->prediction == MZT_PREDICTION_FLOW ? SAMPLER_EULER_FLOW : SAMPLER_EULER);
    c->prediction = predictions[p->prediction];
    c->train_steps = p->train_steps;
    c->betas = BETAS_SCALED_LINEAR;
    c->beta_start = p->beta_start;
    c->beta_end = p->beta_end;
    c->shift = p->shift;
    return MZT_OK;
}

static mzt_status compile(const base_host *host, const mzt_model *trained, const mzt_sampler_params *p,
                          sampler_program **out, mzt_error *error) {
    sampler_config config;
    if (trained)
        config = trained->m->sampler;
    else
        TRY(describe_training(p, &config, error));
    TRY(sampler_config_select(&config, p->sampler, p->schedule, error));
    TRY(sampler_config_check(&config, error));
    sampler_request request = sampler_request_default(p->steps);
    request.strength = p->strength;
    request.eta = p->eta;
    request.s_noise = p->s_noise;
    if (p->sigmas) {
        if (p->sigma_count < 2 || p->sigma_count > SAMPLER_STEPS_MAX + 1)
            return error_set(error, MZT_ERROR_INVALID, "%u sigmas: expected 2 to %d", p->sigma_count,
                             SAMPLER_STEPS_MAX + 1);
        request.sigmas = p->sigmas;
        request.steps = p->sigma_count - 1;
    }
    return sampler_compile(host, &config, &request, out, error);
}

mzt_status mzt_sampler_create(mzt_context *context, const mzt_model *trained,
                              const mzt_sampler_params *params, mzt_sampler **sampler, mzt_error *error) {
    mzt_sampler_params own;
    if (sampler) *sampler = NULL;
    if (!context || !sampler) return api_missing(error, context ? "sampler" : "context");
    mzt_sampler_params_init(&own, sizeof own);
    if (params) TRY(api_take("mzt_sampler_params", params, &own, sizeof own, error));
    mzt_sampler *s = host_calloc(&context->host, 1, sizeof *s);
    if (!s) return error_memory(error, "sampler", sizeof *s);
    s->host = &context->host;
    mzt_status status = compile(s->host, trained, &own, &s->program, error);
    if (status >= 0) {
        s->table = host_calloc(s->host, (size_t)s->program->calls * SAMPLER_ROW_FLOATS, sizeof *s->table);
        if (!s->table) status = error_memory(error, "sampler table", s->program->calls);
    }
    if (status < 0) {
        mzt_sampler_destroy(s);
        return status;
    }
    sampler_program_table(s->program, s->table);
    *sampler = s;
    return MZT_OK;
}

void mzt_sampler_destroy(mzt_sampler *sampler) {
    if (!sampler) return;
    sampler_program_destroy(sampler->host, sampler->program);
    host_free(sampler->host, sampler->table);
    host_free(sampler->host, sampler);
}

mzt_status mzt_sampler_get_info(const mzt_sampler *sampler, mzt_sampler_info *info, mzt_error *error) {
    if (!sampler) return api_missing(error, "sampler");
    const mzt_sampler_info own = {.struct_size = sizeof own,
                                  .calls = sampler->program->calls,
                                  .steps = sampler->program->steps,
                                  .slots = sampler->program->slots,
                                  .noises = sampler->program->noises};
    return api_give("mzt_sampler_info", &own, sizeof own, info, error);
}

mzt_status mzt_sampler_get_call(const mzt_sampler *sampler, uint32_t call, mzt_sampler_call *info,
                                mzt_error *error) {
    if (!sampler) return api_missing(error, "sampler");
    if (call >= sampler->program->calls)
        return error_set(error, MZT_ERROR_INVALID, "call %u of %u", call, sampler->program->calls);
    const double *row = sampler_program_row(sampler->program, call);
    const mzt_sampler_call own = {.struct_size = sizeof own,
                                  .timestep = row[SAMPLER_ROW_TIMESTEP],
                                  .sigma = row[SAMPLER_ROW_SIGMA],
                                  .step = (uint32_t)row[SAMPLER_ROW_STEP],
                                  .ends_step = row[SAMPLER_ROW_EMIT] != 0,
                                  .noise1 = (int32_t)row[SAMPLER_ROW_NOISE1],
                                  .noise2 = (int32_t)row[SAMPLER_ROW_NOISE2]};
    return api_give("mzt_sampler_call", &own, sizeof own, info, error);
}

void mzt_sampler_start(const mzt_sampler *sampler, const float *start, const float *noise, float *slot0,
                       size_t count) {
    const sampler_program *p = sampler->program;
    for (size_t i = 0; i < count; i++)
        slot0[i] = (float)(start ? p->image_scale * (double)start[i] + p->noise_scale * (double)noise[i]
                                 : p->init_noise_sigma * (double)noise[i]);
}

void mzt_sampler_input(const mzt_sampler *sampler, uint32_t call, const float *const *slots, float *input,
                       size_t count) {
    if (call >= sampler->program->calls) return;
    sampler_input(sampler->table + (size_t)call * SAMPLER_ROW_FLOATS, sampler->program->slots, slots, input,
                  count);
}

void mzt_sampler_update(const mzt_sampler *sampler, uint32_t call, float *const *slots, const float *output,
                        const float *noise1, const float *noise2, float *denoised, size_t count) {
    if (call >= sampler->program->calls) return;
    sampler_update(sampler->table + (size_t)call * SAMPLER_ROW_FLOATS, sampler->program->slots, slots, output,
                   noise1, noise2, denoised, count);
}

void mzt_sampler_finish(const mzt_sampler *sampler, const float *slot0, float *latent, size_t count) {
    for (size_t i = 0; i < count; i++)
        latent[i] = (float)(slot0[i] * sampler->program->final_scale);
}

void mzt_sampler_guide(const float *uncond, const float *cond, double scale, double rescale, size_t count,
                       float *output) {
    guidance_apply(uncond, cond, (float)scale, (float)rescale, 1, count, output);
}

mzt_status mzt_noise(mzt_rng rng, uint64_t seed, uint32_t draw, float *values, size_t count,
                     mzt_error *error) {
    random_kind kind;
    random_stream stream;
    TRY(api_rng(rng, &kind, error));
    if (!values) return api_missing(error, "values");
    random_start(&stream, kind, seed);
    for (uint32_t i = 0; i <= draw; i++)
        random_next(&stream, count, values);
    return MZT_OK;
}
