/* Heun's method in sigma (Karras et al. 2022, algorithm 1 without churn): an Euler step, then the mean of the
 * slopes at both ends. Two evaluations a step, one in a last step to sigma 0. Slots: 1 the step's start, 2
 * the slope there. */
#include "sample/build.h"

mzt_status append_heun(sampler_build *build) {
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1);
        double *row = build_row(build, at, i);
        row_set(row, 0, form_first_order(form_slot(0), at, to));
        if (to.sigma == 0) continue;
        row_set(row, 1, form_slot(0));
        row_set(row, 2, form_noise(at));
        row_more(row);
        /* the schedule's end has no timestep of its own */
        if (i + 1 == build->schedule->steps) to.timestep = noise_table_timestep(build->table, to.sigma);
        double *second = build_row(build, to, i);
        form slopes = form_mix(0.5, form_slot(2), 0.5, form_noise(to));
        row_set(second, 0, form_add(form_slot(1), to.sigma - at.sigma, slopes));
    }
    return MZT_OK;
}
