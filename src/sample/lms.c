/* Linear multistep (Adams-Bashforth on uneven steps) in sigma, up to order 4. One evaluation a step. Slots 1
 * ... 3 hold the slopes of the steps before, newest first. */
#include "sample/build.h"

#include <math.h>

#define LMS_ORDER 4

/* The integral from sigma[i] to sigma[i+1] of the Lagrange polynomial that is 1 at sigma[i-j] and 0 at the
 * other nodes sigma[i] ... sigma[i-order+1]. Of degree below 4, so two Gauss points are exact. */
static double lms_weight(const double *sigmas, uint32_t i, uint32_t order, uint32_t j) {
    double middle = 0.5 * (sigmas[i] + sigmas[i + 1]), half = 0.5 * (sigmas[i + 1] - sigmas[i]), sum = 0;
    for (int side = -1; side <= 1; side += 2) {
        double at = middle + side * half / sqrt(3), value = 1;
        for (uint32_t k = 0; k < order; k++)
            if (k != j) value *= (at - sigmas[i - k]) / (sigmas[i - j] - sigmas[i - k]);
        sum += value;
    }
    return sum * half;
}

mzt_status append_lms(sampler_build *build) {
    const double *sigmas = build->schedule->sigmas;
    for (uint32_t i = build->begin; i < build->schedule->steps; i++) {
        uint32_t done = i - build->begin, order = done + 1 < LMS_ORDER ? done + 1 : LMS_ORDER;
        point at = build_point(build, i);
        form slope = form_noise(at), next = form_slot(0);
        double *row = build_row(build, at, i);
        for (uint32_t j = 0; j < order; j++)
            next = form_add(next, lms_weight(sigmas, i, order, j), j == 0 ? slope : form_slot((int)j));
        row_set(row, 0, next);
        row_set(row, 1, slope);
        row_set(row, 2, form_slot(1));
        row_set(row, 3, form_slot(2));
    }
    return MZT_OK;
}
