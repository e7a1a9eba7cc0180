// column_sum: sums over the rows of a part. A workgroup has TILE_N neighbouring columns; LOCAL / TILE_N invocations share each.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "words.glsl"
#include "sum.glsl"

PUSH_CONSTANTS(MZT_PARAMS_COLUMN_SUM)
READ_WORDS(0, X, x_words, load_x)
layout(binding = 1) writeonly buffer Out { float result[]; };

#define LANES (LOCAL / TILE_N)
shared float sums[LOCAL];

void main() {
    uint id = gl_LocalInvocationID.x, lane = id / TILE_N, across = (p.c + TILE_N - 1u) / TILE_N, item = GROUP / across;
    uint column = (GROUP - item * across) * TILE_N + id % TILE_N, split = item / p.samples, sample_ = item - split * p.samples;
    if (split >= p.splits) return; // the whole workgroup
    uint begin = split * p.rows_per_split, end = begin + min(p.rows_per_split, p.rows - begin);
    Sum sum = EMPTY_SUM;
    if (column < p.c) {
        for (uint row = begin + lane; row < end; row += LANES) add(sum, load_x((sample_ * p.rows + row) * p.c + column));
    }
    sums[id] = sum.total;
    barrier();
    if (lane != 0u || column >= p.c) return;
    float total = 0.0;
    for (uint i = 0u; i < LANES; i++) total += sums[i * TILE_N + id];
    result[(split * p.out_samples + p.sample0 + sample_) * p.c + column] = total;
}
