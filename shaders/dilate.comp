// dilate: pixels set apart by `stride`, with zeros between and around.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_DILATE)
#define COUNT (p.n * p.oh * p.ow * p.c)
#include "copy_words.glsl"

uint source_of(uint i) {
    uint pixel = i / p.c, line = pixel / p.ow, sample_ = line / p.oh;
    uint down = line - sample_ * p.oh - p.top, right = pixel - line * p.ow - p.left; // huge before top and left
    uint y = down / p.stride, z = right / p.stride;
    if (y >= p.h || z >= p.w || y * p.stride != down || z * p.stride != right) return NOTHING;
    return ((sample_ * p.h + y) * p.w + z) * p.c + i - pixel * p.c;
}
