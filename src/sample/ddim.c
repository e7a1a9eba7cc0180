/* DDIM (Song et al. 2020, arXiv 2010.02502) and DDPM (Ho et al. 2020, arXiv 2006.11239). One evaluation a
 * step, no history. Over their own timesteps the target of a step is t - train_steps / steps, which need not
 * be the next timestep. */
#include "sample/build.h"

#include <math.h>

/* Where step i goes. */
static point target(const sampler_build *build, uint32_t i, bool to_one) {
    const noise_table *table = build->table;
    if (build->config->schedule != SCHEDULE_DEFAULT || build->custom) return build_point(build, i + 1);
    double t = build->schedule->timesteps[i] - build->table->count / build->schedule->steps;
    if (t >= 0) return build_point_bar(t, table->alpha_bars[(uint32_t)t]);
    return build_point_bar(0, to_one ? 1 : table->alpha_bars[0]);
}

static point start(const sampler_build *build, uint32_t i) {
    if (build->config->schedule != SCHEDULE_DEFAULT || build->custom) return build_point(build, i);
    double t = build->schedule->timesteps[i];
    return build_point_bar(t, build->table->alpha_bars[(uint32_t)t]);
}

/* The part of the variance that a full step of the SDE would renew:
 * (1 - bar') / (1 - bar) * (1 - bar / bar'). */
static double fresh_variance(point at, point to) {
    double bar = at.alpha * at.alpha, next = to.alpha * to.alpha;
    return fmax((1 - next) / (1 - bar) * (1 - bar / next), 0);
}

/* x' = alpha' d + sqrt(sigma'^2 - s^2) noise + s fresh, s = eta sqrt(variance). The noise is the network's,
 * so clipping d does not change it. */
mzt_status append_ddim(sampler_build *build) {
    const sampler_config *config = build->config;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = start(build, i), to = target(build, i, config->alpha_to_one);
        double s = config->eta * sqrt(fresh_variance(at, to));
        double keep = sqrt(fmax(1 - to.alpha * to.alpha - s * s, 0));
        double *row = build_row(build, at, i);
        row_set(row, 0, form_mix(to.alpha, form_denoised(), keep, form_noise_raw(build, at)));
        if (s > 0) row_noise(build, row, 0, s * config->s_noise);
        if (i + 1 == build->schedule->steps) build->program->final_sigma = to.sigma / to.alpha;
    }
    return MZT_OK;
}

/* Formula 7 of the paper: the mean of q(x' | x, d), plus noise but in the step to timestep 0. */
mzt_status append_ddpm(sampler_build *build) {
    const sampler_config *config = build->config;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = start(build, i), to = target(build, i, true);
        double bar = at.alpha * at.alpha, next = to.alpha * to.alpha, alpha = bar / next;
        double *row = build_row(build, at, i);
        row_set(row, 0,
                form_mix(to.alpha * (1 - alpha) / (1 - bar), form_denoised(),
                         sqrt(alpha) * (1 - next) / (1 - bar), form_slot(0)));
        double variance = config->variance_large ? 1 - alpha : fmax(fresh_variance(at, to), 1e-20);
        bool noisy = at.timestep > 0 && (config->variance_large || to.sigma > 0);
        if (noisy) row_noise(build, row, 0, sqrt(variance) * config->s_noise);
        if (i + 1 == build->schedule->steps) build->program->final_sigma = to.sigma / to.alpha;
    }
    return MZT_OK;
}
