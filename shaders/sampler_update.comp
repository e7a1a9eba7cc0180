// sampler_update: guidance, the estimate of the clean latent, and the linear update of all slots, as src/sample/program.h
// defines them. Each invocation owns one element of every slot, so the update may be in place.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "sampler_row.h"

PUSH_CONSTANTS(MZT_PARAMS_SAMPLER_UPDATE)
layout(binding = 0) readonly buffer Model { float model[]; };
layout(binding = 1) readonly buffer Table { float table[]; };
layout(binding = 2) readonly buffer Step { uint step_index[]; };
layout(binding = 3) readonly buffer Noise { float noise[]; };
layout(binding = 4) buffer Slots { float slots[]; };

float load_noise(float index, uint i) {
    if (index < 0.0 || index >= float(p.noise_rows)) return 0.0;
    return noise[uint(index) * p.count + i];
}

void main() {
    uint i = ITEM;
    if (i >= p.count) return;
    uint row = min(step_index[0], p.calls - 1u) * SAMPLER_ROW_FLOATS;
    float m = model[i];
    if (p.repeat == 2u) m = fma(table[row + SAMPLER_ROW_GUIDANCE], model[p.count + i] - m, m);
    float old[SAMPLER_SLOTS];
    float d = table[row + SAMPLER_ROW_Q] * m;
    for (uint j = 0u; j < SAMPLER_SLOTS; j++) {
        old[j] = j < p.slots ? slots[j * p.count + i] : 0.0;
        d = fma(table[row + SAMPLER_ROW_PREDICTION + j], old[j], d);
    }
    float clip = table[row + SAMPLER_ROW_CLIP];
    if (clip > 0.0) d = clamp(d, -clip, clip);
    float noise1 = load_noise(table[row + SAMPLER_ROW_NOISE1], i);
    float noise2 = load_noise(table[row + SAMPLER_ROW_NOISE2], i);
    for (uint k = 0u; k < p.slots; k++) {
        uint form = row + SAMPLER_ROW_UPDATE + SAMPLER_FORM_SIZE * k;
        float value = table[form + SAMPLER_COLUMN_DENOISED] * d;
        value = fma(table[form + SAMPLER_COLUMN_OUTPUT], m, value);
        value = fma(table[form + SAMPLER_COLUMN_NOISE1], noise1, value);
        value = fma(table[form + SAMPLER_COLUMN_NOISE2], noise2, value);
        for (uint j = 0u; j < SAMPLER_SLOTS; j++)
            value = fma(table[form + SAMPLER_COLUMN_SLOT + j], old[j], value);
        slots[k * p.count + i] = value;
    }
}
