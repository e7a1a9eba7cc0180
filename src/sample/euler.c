/* Euler's method in sigma (Karras et al. 2022, algorithm 2 without churn), its ancestral form, and the same
 * step for flow matching, where it moves along n - x0. One evaluation a step. */
#include "sample/build.h"

mzt_status append_euler(sampler_build *build) {
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1);
        double *row = build_row(build, at, i);
        row_set(row, 0, form_first_order(form_slot(0), at, to));
    }
    return MZT_OK;
}

/* Steps down to sigma_down, then adds noise back up to the next sigma. */
mzt_status append_euler_a(sampler_build *build) {
    const sampler_config *config = build->config;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1), down = to;
        double up;
        ancestral_split(at.sigma, to.sigma, config->eta, &down.sigma, &up);
        double *row = build_row(build, at, i);
        row_set(row, 0, form_first_order(form_slot(0), at, down));
        if (up > 0) row_noise(build, row, 0, up * config->s_noise);
    }
    return MZT_OK;
}
