// Activation functions in f32. exp is kept away from overflow, so that no infinity ever takes part.
#ifndef MATH_GLSL
#define MATH_GLSL
#include "params.h"

float sigmoid(float x) {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

float silu(float x) {
    return x * sigmoid(x);
}

// 1 + erf(x), good to about 1e-7 relative to its size also where it is tiny. With a = |x|, below 1: 1 + x P(x^2); above:
// erfc(a) = exp(-x^2) Q(1 / (1 + a/2)) or 2 minus that. P and Q interpolate at Chebyshev nodes over a in [0, 1] and [1, 4.4].
float one_plus_erf(float x) {
    float a = abs(x), y = x * x;
    float near = fma(fma(fma(fma(fma(fma(7.875874871e-5, y, -8.016864304e-4), y, 5.189087242e-3), y, -2.685421146e-2), y,
                             1.128359437e-1), y, -3.761262596e-1), y, 1.128379107);
    float t = 1.0 / (1.0 + 0.5 * a);
    float q = fma(fma(fma(fma(fma(fma(-6.221979719e-2, t, -3.083947487e-2), t, 3.704739511e-1), t, 1.234322713e-1), t,
                          3.226507604e-1), t, 2.752136587e-1), t, 4.784163320e-4);
    float tail = exp(-min(y, 80.0)) * q;
    return a < 1.0 ? fma(x, near, 1.0) : (x < 0.0 ? tail : 2.0 - tail);
}

float gelu(float x) {
    return 0.5 * x * one_plus_erf(x * 0.70710678118);
}

float quick_gelu(float x) {
    return x * sigmoid(1.702 * x);
}

vec4 silu(vec4 x) {
    return vec4(silu(x.x), silu(x.y), silu(x.z), silu(x.w));
}

vec4 gelu(vec4 x) {
    return vec4(gelu(x.x), gelu(x.y), gelu(x.z), gelu(x.w));
}

vec4 quick_gelu(vec4 x) {
    return vec4(quick_gelu(x.x), quick_gelu(x.y), quick_gelu(x.z), quick_gelu(x.w));
}
#endif
