// The losses' functions and their derivatives.
#ifndef LOSSES_GLSL
#define LOSSES_GLSL
#include "params.h"

// exp(d) - 1 - d, near 0 by its power series: nothing cancels.
float exp_rest(float d) {
    if (abs(d) > 1.0) return exp(d) - 1.0 - d;
    float sum = 0.0;
    for (float n = 12.0; n > 2.0; n -= 1.0) sum = (1.0 + sum) * d / n;
    return 0.5 * d * d * (1.0 + sum);
}

float loss_value(uint kind, float beta, float d) {
    if (kind == LOSS_EXP) return exp_rest(d);
    if (kind == LOSS_SQUARE) return d * d;
    return abs(d) < beta ? d * d / (2.0 * beta) : abs(d) - 0.5 * beta;
}

float loss_slope(uint kind, float beta, float d) {
    if (kind == LOSS_EXP) return abs(d) > 1.0 ? exp(d) - 1.0 : d + exp_rest(d);
    if (kind == LOSS_SQUARE) return 2.0 * d;
    return abs(d) < beta ? d / beta : sign(d);
}
#endif
