/* Sampler configs: defaults, checks, and changing the sampler by name. Reading files is in config_json.c. */
#include "sample/config.h"

#include <math.h>

#include "sample/samplers.h"

static void solver_defaults(sampler_config *config) {
    switch (config->kind) {
    case SAMPLER_DDIM:
    case SAMPLER_DDPM:
        config->clip_sample = 1;
        config->alpha_to_one = true;
        config->eta = config->kind == SAMPLER_DDPM;
        break;
    case SAMPLER_DPMPP_3M:
        config->order = 3;
        break;
    case SAMPLER_DPMPP_3M_SDE:
        config->order = 3;
        config->solver = SOLVER_HEUN;
        config->lower_order_final = false;
        config->eta = 1;
        break;
    case SAMPLER_DPMPP_2S:
        config->lower_order_final = false;
        break;
    case SAMPLER_UNIPC:
        config->solver = SOLVER_BH2;
        config->final_sigma_zero = false;
        break;
    case SAMPLER_DEIS:
        config->final_sigma_zero = false;
        break;
    case SAMPLER_TCD:
        config->eta = 0.3;
        break;
    case SAMPLER_EULER_FLOW:
        config->prediction = PREDICTION_FLOW;
        break;
    default:
        break;
    }
}

sampler_config sampler_config_default(sampler_kind kind) {
    const sampler_info *info = sampler_info_get(kind);
    bool whole = info->layout == LAYOUT_INTEGER || info->layout == LAYOUT_CONSISTENCY;
    sampler_config config = {.kind = kind,
                             .prediction = PREDICTION_EPSILON,
                             .betas = BETAS_LINEAR,
                             .beta_start = 0.0001,
                             .beta_end = 0.02,
                             .train_steps = 1000,
                             .shift = 1,
                             .spacing = whole ? SPACING_LEADING : SPACING_LINSPACE,
                             .schedule = SCHEDULE_DEFAULT,
                             .lambda_min_clipped = -INFINITY,
                             .order = 2,
                             .solver = SOLVER_MIDPOINT,
                             .eta = info->stochastic ? 1 : 0,
                             .s_noise = 1,
                             .lower_order_final = true,
                             .final_sigma_zero = true,
                             .predict_x0 = true,
                             .original_steps = 50,
                             .timestep_scaling = 10};
    bool two_stage = info->evaluations == 2;
    if (two_stage || info->layout == LAYOUT_CONSISTENCY) {
        config.beta_start = 0.00085;
        config.beta_end = 0.012;
    }
    if (info->layout == LAYOUT_CONSISTENCY) {
        config.betas = BETAS_SCALED_LINEAR;
        config.alpha_to_one = true;
    }
    solver_defaults(&config);
    return config;
}

mzt_status sampler_config_select(sampler_config *config, const char *sampler, const char *schedule,
                                 mzt_error *error) {
    sampler_kind kind = config->kind;
    sigma_schedule named = SCHEDULE_COUNT, chosen = SCHEDULE_COUNT;
    if (sampler) TRY(sampler_find(sampler, &kind, &named, error));
    if (schedule) TRY(sampler_schedule_find(schedule, &chosen, error));
    if (named != SCHEDULE_COUNT && chosen != SCHEDULE_COUNT && named != chosen)
        return error_set(error, MZT_ERROR_INVALID,
                         "sampler \"%.40s\" and schedule \"%.40s\" name different schedules", sampler,
                         schedule);
    if (chosen == SCHEDULE_COUNT) chosen = named;
    if (config->prediction == PREDICTION_FLOW && kind == SAMPLER_EULER) kind = SAMPLER_EULER_FLOW;
    if (kind != config->kind) {
        sampler_config old = *config;
        *config = sampler_config_default(kind);
        config->given = old.given;
        config->prediction = old.prediction;
        config->betas = old.betas;
        config->beta_start = old.beta_start;
        config->beta_end = old.beta_end;
        config->train_steps = old.train_steps;
        for (uint32_t i = 0; i < SAMPLER_TRAIN_STEPS_MAX; i++)
            config->trained_betas[i] = old.trained_betas[i];
        config->zero_snr = old.zero_snr;
        config->shift = old.shift;
        config->sdxl = old.sdxl;
        if (old.given & CONFIG_GIVEN_SPACING) config->spacing = old.spacing;
        if (old.given & CONFIG_GIVEN_STEPS_OFFSET) config->steps_offset = old.steps_offset;
        /* where the file is silent, what latent networks were trained for rather than the class's defaults */
        config->clip_sample = old.given & CONFIG_GIVEN_CLIP_SAMPLE ? old.clip_sample : 0;
        config->skip_prk = old.given & CONFIG_GIVEN_SKIP_PRK ? old.skip_prk : true;
        config->alpha_to_one = old.given & CONFIG_GIVEN_ALPHA_TO_ONE ? old.alpha_to_one : false;
    }
    if (chosen != SCHEDULE_COUNT) config->schedule = chosen;
    return MZT_OK;
}

/* A number that must lie in [low, high]. */
static mzt_status check(const char *key, double value, double low, double high, mzt_error *error) {
    if (value >= low && value <= high) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "%s is %g, expected %g to %g", key, value, low, high);
}

mzt_status sampler_config_check(const sampler_config *config, mzt_error *error) {
    TRY(check("sampler kind", config->kind, 0, SAMPLER_KIND_COUNT - 1, error));
    TRY(check("schedule", config->schedule, 0, SCHEDULE_COUNT - 1, error));
    TRY(check("num_train_timesteps", config->train_steps, 1, SAMPLER_TRAIN_STEPS_MAX, error));
    if (config->betas == BETAS_LINEAR || config->betas == BETAS_SCALED_LINEAR) {
        TRY(check("beta_start", config->beta_start, 1e-12, 0.9999, error));
        TRY(check("beta_end", config->beta_end, 1e-12, 0.9999, error));
    }
    TRY(check("shift", config->shift, 1e-6, 1e6, error));
    TRY(check("steps_offset", config->steps_offset, 0, config->train_steps, error));
    TRY(check("solver_order", config->order, 1, 3, error));
    TRY(check("eta", config->eta, 0, config->kind == SAMPLER_TCD ? 1 : 10, error));
    TRY(check("s_noise", config->s_noise, 0, 10, error));
    TRY(check("clip_sample_range", config->clip_sample, 0, 1e6, error));
    TRY(check("sigma_min", config->sigma_min, 0, 1e6, error));
    TRY(check("sigma_max", config->sigma_max, 0, 1e6, error));
    if (config->sigma_min > 0 && config->sigma_max > 0 && config->sigma_min >= config->sigma_max)
        return error_set(error, MZT_ERROR_INVALID, "sigma_min is %g, expected below sigma_max %g",
                         config->sigma_min, config->sigma_max);
    if (isnan(config->lambda_min_clipped))
        return error_set(error, MZT_ERROR_INVALID, "lambda_min_clipped is not a number");
    TRY(check("original_inference_steps", config->original_steps, 1, config->train_steps, error));
    return check("timestep_scaling", config->timestep_scaling, 1e-6, 1e6, error);
}
