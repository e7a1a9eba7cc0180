// accumulate: gradients of several batches.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_ACCUMULATE)
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Index { uint index[]; };
layout(binding = 2) buffer Sum { float sum[]; };

void main() {
    uint i = ITEM;
    if (i >= p.count) return;
    float more = x[i];
    sum[i] = index[0] == 0u ? more : sum[i] + more;
}
