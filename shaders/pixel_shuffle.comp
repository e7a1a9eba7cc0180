// pixel_shuffle: depth to space, or with `inverse` space to depth. Items are elements of the output.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_PIXEL_SHUFFLE)
layout(binding = 0) readonly buffer X { AV x[]; };
layout(binding = 1) writeonly buffer Out { AV result[]; };

void main() {
    // A run: one row of a coarse pixel's block, as many elements in both layouts.
    uint item = ITEM, run = p.block * (p.c / WIDTH);
    if (item >= p.n * p.h * p.w * p.block * run) return;
    uint at = item / run, element = item - at * run;
    uint outer = at / (p.block * p.w), inner = at - outer * p.block * p.w;
    // Runs go [row][i][column] in the fine layout, [row][column][i] in the coarse one.
    uint minor = p.inverse != 0u ? p.block : p.w, major = p.inverse != 0u ? p.w : p.block;
    uint high = inner / minor, low = inner - high * minor;
    result[item] = x[((outer * minor + low) * major + high) * run + element];
}
