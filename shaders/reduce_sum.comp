// reduce_sum: adds up parts. Each invocation makes an element of the output, or with WIDE (few elements of many parts) each
// workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "sum.glsl"

PUSH_CONSTANTS(MZT_PARAMS_REDUCE_SUM)
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Out { float result[]; };

#ifdef WIDE
#include "reduce.glsl"
#define INDEX GROUP
#define BEGIN gl_LocalInvocationID.x
#define STEP LOCAL
#else
#define INDEX ITEM
#define BEGIN 0u
#define STEP 1u
#endif

void main() {
    uint i = INDEX;
    if (i >= p.count) return;
    Sum sum = EMPTY_SUM;
    for (uint part = BEGIN; part < p.parts; part += STEP) add(sum, x[part * p.stride + p.offset + i]);
    float total = sum.total;
#ifdef WIDE
    total = workgroup_sum(total);
    if (gl_LocalInvocationID.x != 0u) return;
#endif
    result[i] = p.scale * total;
}
