// upsample: nearest neighbour x2.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_UPSAMPLE)
layout(binding = 0) readonly buffer X { AV x[]; };
layout(binding = 1) writeonly buffer Out { AV result[]; };

void main() {
    uint i = ITEM, c = p.c / WIDTH, width = 2u * p.w;
    if (i >= 4u * p.n * p.h * p.w * c) return;
    uint pixel = i / c, row = pixel / width, column = pixel - row * width;
    // Row r of sample s is s * 2h + y; halving it gives s * h + y / 2.
    result[i] = x[((row >> 1) * p.w + (column >> 1)) * c + i - pixel * c];
}
