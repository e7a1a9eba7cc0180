// square_sum: sums of squares; a workgroup has a part.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "reduce.glsl"
#include "sum.glsl"

PUSH_CONSTANTS(MZT_PARAMS_SQUARE_SUM)
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Out { float result[]; };

void main() {
    uint part = GROUP, id = gl_LocalInvocationID.x;
    if (part >= p.parts) return;
    uint begin = part * p.per_part, end = begin + min(p.per_part, p.count - begin);
    Sum sum = EMPTY_SUM;
    for (uint i = begin + id; i < end; i += LOCAL) add(sum, x[i] * x[i]);
    float total = workgroup_sum(sum.total);
    if (id == 0u) result[p.out_first + part] = total;
}
