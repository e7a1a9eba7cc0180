// sampler_input: the network's input of this call, from the slots and the sampler's table.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "sampler_row.h"

PUSH_CONSTANTS(MZT_PARAMS_SAMPLER_INPUT)
layout(binding = 0) readonly buffer Slots { float slots[]; };
layout(binding = 1) readonly buffer Table { float table[]; };
layout(binding = 2) readonly buffer Step { uint step_index[]; };
layout(binding = 3) readonly buffer Extra { float extra[]; };
layout(binding = 4) writeonly buffer Out { A result[]; };

void main() {
    uint i = ITEM, width = p.c + p.extra_c;
    if (i >= p.repeat * p.pixels * width) return;
    uint row = min(step_index[0], p.calls - 1u) * SAMPLER_ROW_FLOATS;
    uint pixel = i / width, column = i - pixel * width;
    pixel %= p.pixels;
    float value = 0.0;
    if (column < p.c) {
        for (uint j = 0u; j < p.slots; j++)
            value = fma(table[row + SAMPLER_ROW_INPUT + j], slots[(j * p.pixels + pixel) * p.c + column], value);
    } else {
        value = extra[pixel * p.extra_c + column - p.c];
    }
    result[i] = A(value);
}
