// concat: rows of x0 and x1 side by side.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_CONCAT)
layout(binding = 0) readonly buffer X0 { AV x0[]; };
layout(binding = 1) readonly buffer X1 { AV x1[]; };
layout(binding = 2) writeonly buffer Out { AV result[]; };

void main() {
    uint i = ITEM, c0 = p.c0 / WIDTH, c1 = p.c1 / WIDTH;
    if (i >= p.rows * (c0 + c1)) return;
    uint row = i / (c0 + c1), column = i - row * (c0 + c1);
    if (column < c0)
        result[i] = x0[row * c0 + column];
    else
        result[i] = x1[row * c1 + column - c0];
}
