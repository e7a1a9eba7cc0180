// transpose_weight: [o][kh][kw][i] to [i][kh][kw][o], taps turned by 180 degrees.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_TRANSPOSE_WEIGHT)
#define COUNT (p.o * p.kh * p.kw * p.i)
#include "copy_words.glsl"

uint source_of(uint i) {
    uint taps = p.kh * p.kw, row = i / p.o, in_ = row / taps, tap = row - in_ * taps;
    return ((i - row * p.o) * taps + taps - 1u - tap) * p.i + in_; // the last tap first: both axes turned
}
