/* DEIS in log rho (Zhang and Chen 2022, arXiv 2204.13902), orders 1 to 3: the noise estimate as a polynomial
 * in log rho, rho = sigma / alpha, integrated exactly over rho. One evaluation a step. Slots 1 and 2 hold the
 * noise estimates of the steps before. */
#include "sample/build.h"

#include <math.h>

/* Integral over rho from a to b of log(rho / a)^power. */
static double log_moment(double a, double b, int power) {
    double l = log(b / a);
    if (power == 0) return b - a;
    if (power == 1) return b * (l - 1) + a;
    return b * (l * l - 2 * l + 2) - 2 * a;
}

/* Weights of the noise estimates at logs[0] = 0, logs[1], logs[2] (logs of rho relative to the current one)
 * in the integral from rho to `to`: Lagrange polynomials expanded in powers of the log. */
static void weights(uint32_t order, const double logs[3], double rho, double to, double out[3]) {
    double moments[3] = {log_moment(rho, to, 0), order > 1 ? log_moment(rho, to, 1) : 0,
                         order > 2 ? log_moment(rho, to, 2) : 0};
    for (uint32_t j = 0; j < order; j++) {
        double poly[3] = {1, 0, 0};
        for (uint32_t k = 0; k < order; k++) {
            if (k == j) continue;
            double scale = 1 / (logs[j] - logs[k]);
            for (int power = 2; power >= 0; power--)
                poly[power] = scale * ((power > 0 ? poly[power - 1] : 0) - logs[k] * poly[power]);
        }
        out[j] = poly[0] * moments[0] + poly[1] * moments[1] + poly[2] * moments[2];
    }
}

mzt_status append_deis(sampler_build *build) {
    const sampler_config *config = build->config;
    uint32_t n = build->schedule->steps;
    for (uint32_t i = build->begin; i < n; i++) {
        point at = build_point(build, i), to = build_point(build, i + 1);
        uint32_t known = i - build->begin + 1, order = config->order < known ? config->order : known;
        bool few = config->lower_order_final && n < 15;
        if (i + 2 == n && few && order > 2) order = 2;
        if ((i + 1 == n && few) || to.sigma == 0) order = 1;
        double logs[3] = {0}, weight[3] = {0}, rho = at.sigma / at.alpha;
        for (uint32_t j = 1; j < order; j++) {
            point past = build_point(build, i - j);
            logs[j] = log(past.sigma / past.alpha / rho);
        }
        weights(order, logs, rho, to.sigma / to.alpha, weight);
        form noise = form_noise(at), x = form_scale(to.alpha / at.alpha, form_slot(0));
        for (uint32_t j = 0; j < order; j++)
            x = form_add(x, to.alpha * weight[j], j == 0 ? noise : form_slot((int)j));
        double *row = build_row(build, at, i);
        row_set(row, 0, x);
        row_set(row, 1, noise);
        if (config->order > 2) row_set(row, 2, form_slot(1));
    }
    return MZT_OK;
}
