// geglu_grad: the gradients of value and gate; an invocation makes both of one column.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "slopes.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GEGLU_GRAD)
layout(binding = 0) readonly buffer X { A x[]; };
layout(binding = 1) readonly buffer Dy { A dy[]; };
layout(binding = 2) writeonly buffer Dx { A dx[]; };

void main() {
    uint i = ITEM;
    if (i >= p.rows * p.c) return;
    uint at = i / p.c * p.c + i; // row * 2c + column
    float value = float(x[at]), gate = float(x[at + p.c]), d = float(dy[i]);
    dx[at] = A(d * gelu(gate));
    dx[at + p.c] = A(d * value * gelu_slope(gate));
}
