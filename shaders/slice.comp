// slice: columns offset ... offset + c - 1 of each row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_SLICE)
layout(binding = 0) readonly buffer X { AV x[]; };
layout(binding = 1) writeonly buffer Out { AV result[]; };

void main() {
    uint i = ITEM, c = p.c / WIDTH;
    if (i >= p.rows * c) return;
    uint row = i / c;
    result[i] = x[row * (p.x_c / WIDTH) + p.offset / WIDTH + i - row * c];
}
