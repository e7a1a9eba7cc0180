// Derivatives of the activation functions of math.glsl.
#ifndef SLOPES_GLSL
#define SLOPES_GLSL
#include "math.glsl"

// Of x * sigmoid(k x).
float swish_slope(float k, float x) {
    float s = sigmoid(k * x);
    return fma(k * x * s, 1.0 - s, s);
}

// Phi(x) + x phi(x) of the normal distribution.
float gelu_slope(float x) {
    return fma(0.3989422804 * x, exp(-min(0.5 * x * x, 80.0)), 0.5 * one_plus_erf(x * 0.70710678118));
}
#endif
