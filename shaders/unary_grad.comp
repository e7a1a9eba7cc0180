// unary_grad: dx = scale * f'(scale * x + shift) * dy.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "slopes.glsl"

PUSH_CONSTANTS(MZT_PARAMS_UNARY_GRAD)
layout(binding = 0) readonly buffer X { A x[]; };
layout(binding = 1) readonly buffer Dy { A dy[]; };
layout(binding = 2) writeonly buffer Dx { A dx[]; };

void main() {
    uint i = ITEM;
    if (i >= p.count) return;
    float v = fma(p.scale, float(x[i]), p.shift), slope = 1.0;
    if (p.kind == UNARY_SILU || p.kind == UNARY_QUICK_GELU) slope = swish_slope(p.kind == UNARY_SILU ? 1.0 : 1.702, v);
    if (p.kind == UNARY_GELU) slope = gelu_slope(v);
    if (p.kind == UNARY_EXP) slope = exp(v);
    if (p.kind == UNARY_TANH) {
        float t = 1.0 - 2.0 / (exp(2.0 * v) + 1.0);
        slope = 1.0 - t * t;
    }
    if (p.kind == UNARY_RELU) slope = v > 0.0 ? 1.0 : 0.0;
    dx[i] = A(p.scale * slope * float(dy[i]));
}
