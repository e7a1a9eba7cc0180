/* DPM-Solver++ with two evaluations a step in the exploding variable: the stochastic DPM++ SDE and the
 * ancestral DPM++ 2S a, with the meaning they have in k-diffusion. A step from sigma to sigma' goes through
 * the geometric mean; one to sigma 0 is a single first-order step. Slot 1 is the step's start. */
#include "sample/build.h"

#include <math.h>

/* x' = sigma'/sigma x + (1 - sigma'/sigma) d with `x` as x: order 1 in log sigma, d at the middle makes it
 * order 2. */
static form exponential_step(form x, double sigma, double to) {
    return form_mix(to / sigma, x, 1 - to / sigma, form_denoised());
}

mzt_status append_dpmpp_2s_a(sampler_build *build) {
    const sampler_config *config = build->config;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1);
        double down, up;
        ancestral_split(at.sigma, to.sigma, config->eta, &down, &up);
        double *row = build_row(build, at, i);
        if (down == 0) {
            row_set(row, 0, exponential_step(form_slot(0), at.sigma, 0));
        } else {
            double middle = sqrt(at.sigma * down);
            row_set(row, 0, exponential_step(form_slot(0), at.sigma, middle));
            row_set(row, 1, form_slot(0));
            row_more(row);
            row = build_row(build, build_point_at(build, noise_table_timestep(build->table, middle), middle),
                            i);
            row_set(row, 0, exponential_step(form_slot(1), at.sigma, down));
        }
        if (up > 0) row_noise(build, row, 0, up * config->s_noise);
    }
    return MZT_OK;
}

/* The noise over [sigma, sigma'] and that over [sigma, middle] are increments of one Brownian path in sigma.
 * With unit normals z1 of [sigma, middle] and z2 of [middle, sigma'] the whole is (sqrt(sigma - middle) z1 +
 * sqrt(middle - sigma') z2) / sqrt(sigma - sigma'). */
static void add_path_noise(sampler_build *build, double *row, uint32_t first, const double sigmas[3],
                           double scale) {
    double whole = sigmas[0] - sigmas[2], *update = row + SAMPLER_ROW_UPDATE;
    row[SAMPLER_ROW_NOISE1] = first;
    row[SAMPLER_ROW_NOISE2] = build->program->noises++;
    update[SAMPLER_COLUMN_NOISE1] = scale * sqrt((sigmas[0] - sigmas[1]) / whole);
    update[SAMPLER_COLUMN_NOISE2] = scale * sqrt((sigmas[1] - sigmas[2]) / whole);
}

mzt_status append_dpmpp_sde(sampler_build *build) {
    const sampler_config *config = build->config;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1);
        double *row = build_row(build, at, i);
        if (to.sigma == 0) {
            row_set(row, 0, exponential_step(form_slot(0), at.sigma, 0));
            continue;
        }
        double middle = sqrt(at.sigma * to.sigma), down, up;
        const double sigmas[3] = {at.sigma, middle, to.sigma};
        ancestral_split(at.sigma, middle, config->eta, &down, &up);
        row_set(row, 0, exponential_step(form_slot(0), at.sigma, down));
        row_set(row, 1, form_slot(0));
        row_more(row);
        bool noisy = config->eta > 0;
        uint32_t first = noisy ? row_noise(build, row, 0, up * config->s_noise) : 0;

        ancestral_split(at.sigma, to.sigma, config->eta, &down, &up);
        row = build_row(build, build_point_at(build, noise_table_timestep(build->table, middle), middle), i);
        row_set(row, 0, exponential_step(form_slot(1), at.sigma, down));
        if (noisy) add_path_noise(build, row, first, sigmas, up * config->s_noise);
    }
    return MZT_OK;
}
