/* The forward process; see diffusion.h. */
#include "train/diffusion.h"

#include <math.h>
#include <string.h>

#include "json/json_write.h"
#include "train/draws.h"

#define PI 3.14159265358979323846

static mzt_status write_scheduler(diffusion *d, mzt_error *error) {
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"}; /* by objective */
    const denoiser_config *c = &d->config;
    json_writer w = json_writer_make(d->host);
    json_write_object(&w, NULL);
    if (c->objective == OBJECTIVE_FLOW) {
        json_write_string(&w, "_class_name", "FlowMatchEulerDiscreteScheduler");
        json_write_uint(&w, "num_train_timesteps", c->train_steps);
        json_write_double(&w, "shift", c->shift);
    } else {
        json_write_string(&w, "_class_name", "DDIMScheduler");
        json_write_uint(&w, "num_train_timesteps", c->train_steps);
        json_write_string(&w, "beta_schedule", c->betas);
        json_write_double(&w, "beta_start", c->beta_start);
        json_write_double(&w, "beta_end", c->beta_end);
        json_write_string(&w, "prediction_type", predictions[c->objective]);
        json_write_bool(&w, "clip_sample", false);
        json_write_bool(&w, "set_alpha_to_one", true);
        json_write_int(&w, "steps_offset", 0);
        json_write_string(&w, "timestep_spacing", "trailing");
        json_write_bool(&w, "rescale_betas_zero_snr", c->zero_snr);
    }
    json_write_end_object(&w);
    return json_writer_finish(&w, &d->scheduler_json, NULL, error);
}

mzt_status diffusion_create(const base_host *host, const denoiser_config *config, diffusion *out,
                            mzt_error *error) {
    diffusion d = {.host = host, .config = *config};
    json_doc *doc = NULL;
    sampler_config *sampler = host_calloc(host, 1, sizeof *sampler);
    mzt_status status =
        sampler ? write_scheduler(&d, error) : error_memory(error, "schedule", sizeof *sampler);
    /* Training reads the very file that sampling will. */
    if (status >= 0)
        status = json_parse(host, "scheduler_config.json", d.scheduler_json, strlen(d.scheduler_json), &doc,
                            error);
    if (status >= 0) status = sampler_config_parse(json_root(doc), sampler, error);
    if (status >= 0 && config->objective != OBJECTIVE_FLOW)
        status = noise_table_create(host, sampler, &d.table, error);
    json_destroy(doc);
    host_free(host, sampler);
    if (status < 0)
        diffusion_destroy(&d);
    else
        *out = d;
    return status;
}

void diffusion_destroy(diffusion *d) {
    if (!d->host) return;
    if (d->table.sigmas) noise_table_destroy(d->host, &d->table);
    host_free(d->host, d->scheduler_json);
    *d = (diffusion){0};
}

/* Min-SNR weights of the squared error in the network's own output: that of the clean picture counts min(SNR,
 * gamma), and the others follow from how they depend on it. */
static double snr_weight(const denoiser_config *c, double alpha_bar) {
    if (!(c->gamma > 0)) return 1;
    const double rest = 1 - alpha_bar, snr = rest > 0 ? alpha_bar / rest : HUGE_VAL;
    const double least = snr < c->gamma ? snr : c->gamma;
    switch (c->objective) {
    case OBJECTIVE_EPSILON:
        return snr > 0 ? least / snr : 1;
    case OBJECTIVE_V:
        return least / (snr + 1);
    case OBJECTIVE_SAMPLE:
        return least;
    case OBJECTIVE_FLOW:
        return 1;
    }
    return 1;
}

/* Flow matching: a straight line from picture to noise, its time shifted as the schedule shifts it. */
static diffusion_point flow_at(const diffusion *d, double t) {
    const double shift = d->config.shift, sigma = shift * t / (1 + (shift - 1) * t);
    return (diffusion_point){
        .alpha = 1 - sigma, .sigma = sigma, .timestep = sigma * d->config.train_steps, .weight = 1};
}

diffusion_point diffusion_at(const diffusion *d, double share) {
    if (d->config.objective == OBJECTIVE_FLOW) return flow_at(d, share < 1e-4 ? 1e-4 : share > 1 ? 1 : share);
    const uint32_t last = d->table.count - 1;
    const double place = floor(share * d->table.count);
    const uint32_t t = place > last ? last : place > 0 ? (uint32_t)place : 0;
    const double alpha_bar = d->table.alpha_bars[t];
    return (diffusion_point){.alpha = sqrt(alpha_bar),
                             .sigma = sqrt(1 - alpha_bar),
                             .timestep = t,
                             .weight = snr_weight(&d->config, alpha_bar)};
}

diffusion_point diffusion_draw(const diffusion *d, uint64_t seed, uint64_t step, uint32_t place,
                               uint32_t batch) {
    train_draws draws = draws_begin(seed, DRAW_TIMESTEP, step, place);
    if (d->config.objective == OBJECTIVE_FLOW && d->config.logit_std > 0) {
        const double radius = sqrt(-2 * log(1 - draws_uniform(&draws))),
                     angle = 2 * PI * draws_uniform(&draws);
        return diffusion_at(
            d, 1 / (1 + exp(-(d->config.logit_mean + d->config.logit_std * radius * cos(angle)))));
    }
    return diffusion_at(d, (place + draws_uniform(&draws)) / batch);
}

void diffusion_mix(const diffusion *d, const diffusion_point *p, const float *clean, const float *noise,
                   uint64_t count, float *sample, float *target) {
    for (uint64_t i = 0; i < count; i++) {
        const double x = (double)clean[i], n = (double)noise[i];
        double wanted = n;
        switch (d->config.objective) {
        case OBJECTIVE_EPSILON:
            break;
        case OBJECTIVE_V:
            wanted = p->alpha * n - p->sigma * x;
            break;
        case OBJECTIVE_SAMPLE:
            wanted = x;
            break;
        case OBJECTIVE_FLOW:
            wanted = n - x;
            break;
        }
        sample[i] = (float)(p->alpha * x + p->sigma * n);
        target[i] = (float)wanted;
    }
}
