// upsample_grad: sums of 2x2 pixels.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_UPSAMPLE_GRAD)
layout(binding = 0) readonly buffer Dy { A dy[]; };
layout(binding = 1) writeonly buffer Dx { A dx[]; };

void main() {
    uint i = ITEM;
    if (i >= p.n * p.h * p.w * p.c) return;
    uint pixel = i / p.c, line = pixel / p.w, wide = 2u * p.w * p.c; // of a line of dy
    uint from = 2u * line * wide + 2u * (pixel - line * p.w) * p.c + i - pixel * p.c;
    dx[i] = A((float(dy[from]) + float(dy[from + p.c])) + (float(dy[from + wide]) + float(dy[from + wide + p.c])));
}
