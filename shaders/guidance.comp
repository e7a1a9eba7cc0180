// guidance: the network's two halves to the output that the sampler uses: classifier-free guidance, its rescaling to the
// deviation of the conditional half, and the region of the picture that is known. A workgroup has a sample to itself.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "reduce.glsl"
#include "sampler_row.h"

PUSH_CONSTANTS(MZT_PARAMS_GUIDANCE)
layout(binding = 0) readonly buffer Model { float model[]; };
layout(binding = 1) readonly buffer Table { float table[]; };
layout(binding = 2) readonly buffer Step { uint step_index[]; };
layout(binding = 3) readonly buffer Slots { float slots[]; };
layout(binding = 4) readonly buffer Known { float known[]; };
layout(binding = 5) readonly buffer Mask { float mask[]; };
layout(binding = 6) writeonly buffer Out { float result[]; };

uint row, base, conditional;

float guided(uint i) {
    float u = model[base + i];
    return p.repeat == 2u ? fma(table[row + SAMPLER_ROW_GUIDANCE], model[conditional + i] - u, u) : u;
}

// rescale * std(c) / std(m) + 1 - rescale. Distances to the mean are summed, never squares: no cancellation.
float factor() {
    float m = 0.0, c = 0.0, m2 = 0.0, c2 = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < p.count; i += LOCAL) {
        m += guided(i);
        c += model[conditional + i];
    }
    m = workgroup_sum(m) / float(p.count);
    c = workgroup_sum(c) / float(p.count);
    for (uint i = gl_LocalInvocationID.x; i < p.count; i += LOCAL) {
        float dm = guided(i) - m, dc = model[conditional + i] - c;
        m2 = fma(dm, dm, m2);
        c2 = fma(dc, dc, c2);
    }
    m2 = workgroup_sum(m2);
    c2 = workgroup_sum(c2);
    return m2 > 0.0 ? fma(p.rescale, sqrt(c2 / m2), 1.0 - p.rescale) : 1.0;
}

void main() {
    uint sample_ = GROUP, all = p.samples * p.count;
    if (sample_ >= p.samples) return;
    row = min(step_index[0], p.calls - 1u) * SAMPLER_ROW_FLOATS;
    base = sample_ * p.count;
    conditional = base + (p.repeat - 1u) * all;
    float scale = p.rescale > 0.0 ? factor() : 1.0, q = table[row + SAMPLER_ROW_Q];
    for (uint i = gl_LocalInvocationID.x; i < p.count; i += LOCAL) {
        float m = guided(i) * scale;
        if (p.masked != 0u && q != 0.0) {
            float rest = 0.0;
            for (uint j = 0u; j < p.slots; j++)
                rest = fma(table[row + SAMPLER_ROW_PREDICTION + j], slots[j * all + base + i], rest);
            m = mix((known[base + i] - rest) / q, m, mask[base + i]);
        }
        result[base + i] = m;
    }
}
