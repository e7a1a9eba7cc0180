/* DPM-Solver-2 in sigma (Karras et al. 2022, appendix; Lu et al. 2022): the slope at the geometric mean of
 * both sigmas, and its ancestral form. Two evaluations a step, one in a step to sigma 0. Slot 1 is the step's
 * start. */
#include "sample/build.h"

#include <math.h>

mzt_status append_dpm2(sampler_build *build) {
    const sampler_config *config = build->config;
    bool ancestral = config->kind == SAMPLER_DPM2_A;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1);
        double down = to.sigma, up = 0;
        if (ancestral) ancestral_split(at.sigma, to.sigma, config->eta, &down, &up);
        double *row = build_row(build, at, i);
        if (down == 0) {
            row_set(row, 0, form_first_order(form_slot(0), at, build_point_at(build, 0, down)));
            if (up > 0) row_noise(build, row, 0, up * config->s_noise);
            continue;
        }
        double middle = sqrt(at.sigma * down);
        point half = build_point_at(build, noise_table_timestep(build->table, middle), middle);
        row_set(row, 0, form_first_order(form_slot(0), at, half));
        row_set(row, 1, form_slot(0));
        row_more(row);
        double *second = build_row(build, half, i);
        row_set(second, 0, form_add(form_slot(1), down - at.sigma, form_noise(half)));
        if (up > 0) row_noise(build, second, 0, up * config->s_noise);
    }
    return MZT_OK;
}
