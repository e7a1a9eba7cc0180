// loss: weighted sums of a function of x - target; a workgroup has a part.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "words.glsl"
#include "losses.glsl"
#include "reduce.glsl"
#include "sum.glsl"

PUSH_CONSTANTS(MZT_PARAMS_LOSS)
READ_WORDS(0, X, x_words, load_x)
layout(binding = 1) readonly buffer Target { float target[]; };
layout(binding = 2) readonly buffer Weight { float weight[]; };
layout(binding = 3) writeonly buffer Out { float result[]; };

void main() {
    uint part = GROUP, id = gl_LocalInvocationID.x;
    if (part >= p.parts) return;
    uint begin = part * p.per_part, end = begin + min(p.per_part, p.count - begin);
    Sum sum = EMPTY_SUM;
    for (uint i = begin + id; i < end; i += LOCAL) {
        float d = load_x(i);
        if ((p.flags & LOSS_TARGET) != 0u) d -= target[i];
        float value = loss_value(p.kind, p.beta, d);
        if (p.weight_each != 0u) value *= weight[(p.weight_first + i) / p.weight_each];
        add(sum, value);
    }
    float total = workgroup_sum(sum.total);
    if (id == 0u) result[p.out_first + part] = p.scale * total;
}
