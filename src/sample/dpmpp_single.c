/* DPM-Solver++ singlestep, orders 1 to 3 (Lu et al. 2022, arXiv 2211.01095). Steps come in groups: the first
 * of a group has order 1, the next corrects it to order 2 from the group's start, the next to order 3. One
 * evaluation a step. Slots: 1 the start of the group, 2 and 3 the clean estimates before, newest first. */
#include "sample/build.h"

#include <math.h>

/* The planned order of step i of n: groups of `order`, and an end of lower order. */
static uint32_t planned_order(uint32_t i, uint32_t n, uint32_t order, bool lower_final) {
    if (order == 1) return 1;
    if (lower_final) {
        uint32_t left = n - i;
        if (order == 2 && n % 2 == 0 && left <= 2) return 1;
        if (order == 3 && n % 3 == 0 && left == 1) return 1;
    }
    return i % order + 1;
}

/* Order 2 from the group's start `first` over `at`. */
static form second_order(solver_type solver, point first, point at, point to) {
    double h = point_lambda(to) - point_lambda(first), r0 = (point_lambda(at) - point_lambda(first)) / h;
    double decay = -expm1(-h), phi2 = 1 - decay / h;
    form slope = form_mix(1 / r0, form_denoised(), -1 / r0, form_slot(2));
    form x = form_mix(to.sigma / first.sigma, form_slot(1), to.alpha * decay, form_slot(2));
    return form_add(x, to.alpha * (solver == SOLVER_HEUN ? phi2 : 0.5 * decay), slope);
}

/* Order 3 from the group's start `first` over `middle` and `at`. */
static form third_order(solver_type solver, point first, point middle, point at, point to) {
    double from = point_lambda(first), h = point_lambda(to) - from;
    double r0 = (point_lambda(at) - from) / h, r1 = (point_lambda(middle) - from) / h;
    double decay = -expm1(-h), phi2 = 1 - decay / h, phi3 = phi2 / h - 0.5;
    form near = form_mix(1 / r1, form_slot(2), -1 / r1, form_slot(3));
    form far = form_mix(1 / r0, form_denoised(), -1 / r0, form_slot(3));
    form x = form_mix(to.sigma / first.sigma, form_slot(1), to.alpha * decay, form_slot(3));
    if (solver == SOLVER_MIDPOINT) return form_add(x, to.alpha * phi2, far);
    form slope = form_mix(r0 / (r0 - r1), near, -r1 / (r0 - r1), far);
    form bend = form_mix(2 / (r0 - r1), far, -2 / (r0 - r1), near);
    return form_add(form_add(x, to.alpha * phi2, slope), -to.alpha * phi3, bend);
}

mzt_status append_dpmpp_singlestep(sampler_build *build) {
    const sampler_config *config = build->config;
    uint32_t n = build->schedule->steps;
    /* groups that do not come out even, and an end at sigma 0, need a last step of order 1 */
    bool lower_final = config->lower_order_final || config->final_sigma_zero || n % config->order != 0;
    for (uint32_t i = build->begin; i < n; i++) {
        uint32_t known = i - build->begin + 1, order = planned_order(i, n, config->order, lower_final);
        if (order > known) order = known;
        point at = build_point(build, i), to = build_point(build, i + 1);
        if (to.sigma == 0) order = 1;
        double *row = build_row(build, at, i);
        if (order == 1) {
            row_set(row, 0, form_first_order(form_slot(0), at, to));
            row_set(row, 1, form_slot(0));
        } else if (order == 2) {
            row_set(row, 0, second_order(config->solver, build_point(build, i - 1), at, to));
        } else {
            point first = build_point(build, i - 2), middle = build_point(build, i - 1);
            row_set(row, 0, third_order(config->solver, first, middle, at, to));
        }
        row_set(row, 2, form_denoised());
        if (config->order > 2) row_set(row, 3, form_slot(2));
    }
    return MZT_OK;
}
