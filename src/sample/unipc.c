/* UniPC (Zhao et al. 2023, arXiv 2302.04867), orders 1 to 3 with B(h) = h or e^h - 1, in the clean latent or
 * in the noise. A call at a predicted latent first corrects that latent with what the call gave, then
 * predicts the next. One evaluation a step; the last latent stays predicted. Slots: 1 the corrected latent of
 * the step before, 2 ... 4 the converted outputs before, newest first. */
#include "sample/build.h"

#include <math.h>

#define ORDER_MAX 3

/* Solves the order x order system a x = b in place by elimination with row pivots. */
static void solve(uint32_t order, double a[ORDER_MAX][ORDER_MAX], double b[ORDER_MAX]) {
    for (uint32_t k = 0; k < order; k++) {
        uint32_t best = k;
        for (uint32_t i = k + 1; i < order; i++)
            if (fabs(a[i][k]) > fabs(a[best][k])) best = i;
        for (uint32_t j = 0; j < order; j++) {
            double keep = a[k][j];
            a[k][j] = a[best][j];
            a[best][j] = keep;
        }
        double keep = b[k];
        b[k] = b[best];
        b[best] = keep;
        for (uint32_t i = 0; i < order; i++) {
            if (i == k) continue;
            double factor = a[i][k] / a[k][k];
            for (uint32_t j = k; j < order; j++)
                a[i][j] -= factor * a[k][j];
            b[i] -= factor * b[k];
        }
    }
    for (uint32_t k = 0; k < order; k++)
        b[k] /= a[k][k];
}

/* The step's constants: B(h), phi_1 = e^hh - 1 and the weights of the divided differences at ratios r[0 ...
 * order-2] and, for the corrector, 1. */
typedef struct coefficients {
    double b, phi1, rho[ORDER_MAX];
} coefficients;

static coefficients step_coefficients(solver_type solver, double hh, uint32_t order,
                                      const double r[ORDER_MAX], bool corrector) {
    coefficients result = {.phi1 = expm1(hh)};
    result.b = solver == SOLVER_BH1 ? hh : result.phi1;
    uint32_t size = corrector ? order : order - 1;
    double matrix[ORDER_MAX][ORDER_MAX], right[ORDER_MAX], phi = result.phi1 / hh - 1, factorial = 1;
    for (uint32_t i = 0; i < order; i++) {
        for (uint32_t j = 0; j < order; j++)
            matrix[i][j] = pow(j + 1 < order ? r[j] : 1, i);
        right[i] = phi * factorial / result.b;
        factorial *= i + 2;
        phi = phi / hh - 1 / factorial;
    }
    if (size > 0) solve(size, matrix, right);
    for (uint32_t i = 0; i < size; i++)
        result.rho[i] = right[i];
    /* the paper's choice for these two, which does not depend on h */
    if ((corrector && order == 1) || (!corrector && order == 2)) result.rho[0] = 0.5;
    return result;
}

/* One predictor or corrector step from schedule entry `from` to `from + 1`: x at `from`, outputs[0] the
 * converted output there and outputs[j] those j steps before; `ahead` the output at the target, NULL for the
 * predictor. */
static form unified_step(const sampler_build *build, uint32_t from, uint32_t order, form x,
                         const form *outputs, const form *ahead) {
    const sampler_config *config = build->config;
    point at = build_point(build, from), to = build_point(build, from + 1);
    double h = point_lambda(to) - point_lambda(at), hh = config->predict_x0 ? -h : h, r[ORDER_MAX] = {0};
    double lead = config->predict_x0 ? to.sigma / at.sigma : to.alpha / at.alpha;
    double unit = config->predict_x0 ? to.alpha : to.sigma;
    if (h == 0) return x;
    for (uint32_t j = 1; j < order; j++)
        r[j - 1] = (point_lambda(build_point(build, from - j)) - point_lambda(at)) / h;
    if (to.sigma == 0) /* h is infinite: only the first order is left, and it gives the clean latent */
        return config->predict_x0 ? form_scale(unit, outputs[0])
                                  : form_mix(lead, x, -at.sigma / at.alpha * to.alpha, outputs[0]);
    coefficients c = step_coefficients(config->solver, hh, order, r, ahead != NULL);
    form next = form_mix(lead, x, -unit * c.phi1, outputs[0]);
    for (uint32_t j = 1; j < order; j++) {
        double weight = -unit * c.b * c.rho[j - 1] / r[j - 1];
        next = form_add(form_add(next, weight, outputs[j]), -weight, outputs[0]);
    }
    if (!ahead) return next;
    double weight = -unit * c.b * c.rho[order - 1];
    return form_add(form_add(next, weight, *ahead), -weight, outputs[0]);
}

mzt_status append_unipc(sampler_build *build) {
    const sampler_config *config = build->config;
    uint32_t n = build->schedule->steps, last_order = 0;
    for (uint32_t i = build->begin; i < n; i++) {
        point at = build_point(build, i);
        form output = config->predict_x0 ? form_denoised() : form_noise(at);
        form past[ORDER_MAX] = {form_slot(2), form_slot(3), form_slot(4)};
        bool disabled = i > 0 && i <= 64 && (config->disable_corrector >> (i - 1) & 1);
        form x = form_slot(0);
        if (i > build->begin && !disabled)
            x = unified_step(build, i - 1, last_order, form_slot(1), past, &output);

        uint32_t order = config->order, known = i - build->begin + 1;
        if (config->lower_order_final && n - i < order) order = n - i;
        last_order = order < known ? order : known;
        form outputs[ORDER_MAX] = {output, past[0], past[1]};
        double *row = build_row(build, at, i);
        row_set(row, 0, unified_step(build, i, last_order, x, outputs, NULL));
        row_set(row, 1, x);
        row_set(row, 2, output);
        if (config->order > 1) row_set(row, 3, form_slot(2));
        if (config->order > 2) row_set(row, 4, form_slot(3));
    }
    return MZT_OK;
}
