// geglu: the first half of each row times gelu of the second half.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "math.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GEGLU)
layout(binding = 0) readonly buffer X { AV x[]; };
layout(binding = 1) writeonly buffer Out { AV result[]; };

void main() {
    uint i = ITEM, c = p.c / WIDTH;
    if (i >= p.rows * c) return;
    uint value = i / c * c + i; // row * 2c + column
    result[i] = AV(V(x[value]) * gelu(V(x[value + c])));
}
