/* DPM-Solver++ multistep, orders 1 to 3 (Lu et al. 2022, arXiv 2211.01095), as an ODE (eta 0) and as an SDE
 * (eta 1: the paper's SDE-DPM-Solver++; between: the form of k-diffusion's dpmpp_2m_sde and dpmpp_3m_sde).
 * One evaluation a step.
 *
 * With lambda = log(alpha / sigma), h = lambda' - lambda, and H = (1 + eta) h:
 *
 *     x' = sigma'/sigma e^(-eta h) x + alpha' [(1 - e^-H) D0 + phi2 D1 - phi3 D2]
 *          + sigma' sqrt(1 - e^(-2 eta h)) noise
 *
 * D0 = d; D1 and D2 are divided differences of d in lambda, times h and h^2; phi2 = (e^-H - 1)/H + 1 and
 * phi3 = phi2/H - 1/2. The "midpoint" form of order 2 takes (1 - e^-H)/2 for phi2.
 *
 * Slots 1 and 2 hold the clean estimates of the steps before. */
#include "sample/build.h"

#include <math.h>

/* h (f(newer) - f(older)) / before: the change of d over the step `before`, scaled to the step `h`. `newer`
 * is a slot, or -1 for the current estimate. */
static form first_difference(double h, double before, int newer, int older) {
    form from = newer < 0 ? form_denoised() : form_slot(newer);
    return form_mix(h / before, from, -h / before, form_slot(older));
}

/* phi2 D1 - phi3 D2. h: the step in lambda that is taken, the last one, and the one before that; total: H. */
static form correction(uint32_t order, solver_type solver, const double h[3], double total) {
    double decay = -expm1(-total), phi2 = 1 - decay / total, phi3 = phi2 / total - 0.5;
    form newest = first_difference(h[0], h[1], -1, 1);
    if (order == 2) return form_scale(solver == SOLVER_HEUN ? phi2 : 0.5 * decay, newest);
    form older = first_difference(h[0], h[2], 1, 2);
    double r0 = h[1] / h[0], r1 = h[2] / h[0];
    form change = form_mix(1 / (r0 + r1), newest, -1 / (r0 + r1), older);
    return form_mix(phi2, form_add(newest, r0, change), -phi3, change);
}

/* The order of step i: it grows with the history and falls towards the end. */
static uint32_t step_order(const sampler_build *build, uint32_t i, bool ends_clean) {
    const sampler_config *config = build->config;
    uint32_t n = build->schedule->steps, order = config->order, known = i - build->begin;
    bool few = config->lower_order_final && n < 15;
    if (i + 1 == n && (config->euler_at_final || few || config->final_sigma_zero || ends_clean)) return 1;
    if (i + 2 == n && few && order > 2) order = 2;
    return known + 1 < order ? known + 1 : order;
}

mzt_status append_dpmpp_multistep(sampler_build *build) {
    const sampler_config *config = build->config;
    double before[2] = {0, 0}; /* steps in lambda already taken, newest first */
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1);
        double h = point_lambda(to) - point_lambda(at), total = h * (1 + config->eta);
        uint32_t order = h == 0 ? 1 : step_order(build, i, to.sigma == 0);
        form x =
            form_scale(to.sigma / at.sigma * (config->eta > 0 ? exp(-config->eta * h) : 1), form_slot(0));
        x = form_add(x, to.alpha * -expm1(-total), form_denoised());
        const double steps[3] = {h, before[0], before[1]};
        if (order > 1) x = form_add(x, to.alpha, correction(order, config->solver, steps, total));
        double *row = build_row(build, at, i);
        row_set(row, 0, x);
        row_set(row, 1, form_denoised());
        if (config->order > 2) row_set(row, 2, form_slot(1));
        if (config->eta > 0 && to.sigma > 0)
            row_noise(build, row, 0, to.sigma * sqrt(-expm1(-2 * config->eta * h)) * config->s_noise);
        before[1] = before[0];
        before[0] = h;
    }
    return MZT_OK;
}
