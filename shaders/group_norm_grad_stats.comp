// group_norm_grad_stats: sums of dy and dy * xh over the rows of a chunk, for each channel. A workgroup has TILE_N neighbouring
// channels; LOCAL / TILE_N invocations share each.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "words.glsl"
#include "sum.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GROUP_NORM_GRAD_STATS)
READ_WORDS(0, X, x_words, load_x)
#define CHANNELS p.c
#define STATISTICS_BINDING 1
#include "group_statistics.glsl"
READ_WORDS(2, Dy, dy_words, load_dy)
layout(binding = 3) writeonly buffer Out { float result[]; };

#define LANES (LOCAL / TILE_N)
shared vec2 sums[LOCAL];

void main() {
    uint id = gl_LocalInvocationID.x, lane = id / TILE_N, across = (p.c + TILE_N - 1u) / TILE_N, item = GROUP / across;
    uint channel = (GROUP - item * across) * TILE_N + id % TILE_N, chunk = item / p.n, sample_ = item - chunk * p.n;
    if (chunk >= p.chunks) return; // the whole workgroup
    uint begin = chunk * p.rows_per_chunk, end = begin + min(p.rows_per_chunk, p.hw - begin);
    Sum sum = EMPTY_SUM, product = EMPTY_SUM;
    if (channel < p.c) {
        vec2 mean_scale = join(sample_, channel / (p.c / p.groups));
        for (uint row = begin + lane; row < end; row += LANES) {
            uint at = (sample_ * p.hw + row) * p.c + channel;
            float dy = load_dy(at);
            add(sum, dy);
            add(product, dy * (load_x(at) - mean_scale.x) * mean_scale.y);
        }
    }
    sums[id] = vec2(sum.total, product.total);
    barrier();
    if (lane != 0u || channel >= p.c) return;
    vec2 total = vec2(0.0);
    for (uint i = 0u; i < LANES; i++) total += sums[i * TILE_N + id];
    uint row_out = 2u * (chunk * p.out_samples + p.sample0 + sample_);
    result[row_out * p.c + channel] = total.x;
    result[(row_out + 1u) * p.c + channel] = total.y;
}
