// group_norm_stats: mean, and sum of squared distances to it, of every group of channels in every chunk of rows: two passes
// over the chunk, so that nothing cancels. A workgroup has one (chunk, group); with DIRECT (devices that are CPUs inside) each
// invocation has one.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GROUP_NORM_STATS)
#include "joined.glsl"
layout(binding = 2) writeonly buffer Partial { float result[]; };

#ifdef DIRECT
#define INDEX ITEM
#define BEGIN 0u
#define STEP 1u
#define SUM(value) value
#else
#include "reduce.glsl"
#define INDEX GROUP
#define BEGIN gl_LocalInvocationID.x
#define STEP LOCAL
#define SUM(value) workgroup_sum(value)
#endif

#ifdef VEC4
#define ACROSS(value) dot(value, vec4(1.0))
#else
#define ACROSS(value) value
#endif

void main() {
    uint index = INDEX, chunk = p.chunk0 + index / p.groups, group = index % p.groups;
    if (index / p.groups >= p.chunk_count) return;
    uint size = (p.c0 + p.c1) / p.groups, steps = size / WIDTH;
    uint sample_ = chunk / p.chunks, row0 = (chunk - sample_ * p.chunks) * p.rows_per_chunk;
    uint count = min(p.rows_per_chunk, p.hw - row0) * steps;
    row0 += sample_ * p.hw;

    V sum = V(0.0), squares = V(0.0);
    for (uint i = BEGIN; i < count; i += STEP) sum += load_joined(row0 + i / steps, group * size + i % steps * WIDTH);
    float mean = SUM(ACROSS(sum)) / (float(count) * float(WIDTH));
    for (uint i = BEGIN; i < count; i += STEP) {
        V distance_ = load_joined(row0 + i / steps, group * size + i % steps * WIDTH) - mean;
        squares = fma(distance_, distance_, squares);
    }
    float total = SUM(ACROSS(squares));
#ifndef DIRECT
    if (gl_LocalInvocationID.x != 0u) return;
#endif
    result[(chunk * p.groups + group) * 2u] = mean;
    result[(chunk * p.groups + group) * 2u + 1u] = total;
}
