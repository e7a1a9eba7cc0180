// group_norm_grad: dx = r * (gamma * dy - (a + xh * b) / m). Each invocation has TILE_M rows of one channel, for which it finds mean,
// r, a and b of the channel's group once.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GROUP_NORM_GRAD)
layout(binding = 0) readonly buffer X { A x[]; };
#define CHANNELS p.c
#define STATISTICS_BINDING 1
#include "group_statistics.glsl"
layout(binding = 2) readonly buffer Gamma { float gamma[]; };
layout(binding = 3) readonly buffer Sums { float sums[]; };
layout(binding = 4) readonly buffer Dy { A dy[]; };
layout(binding = 5) writeonly buffer Dx { A dx[]; };

void main() {
    // Tiles of rows begin anew in each sample.
    uint tiles = (p.hw + TILE_M - 1u) / TILE_M, tile = ITEM / p.c, channel = ITEM - tile * p.c, sample_ = tile / tiles;
    if (sample_ >= p.n) return;
    uint size = p.c / p.groups, group = channel / size;
    vec2 mean_scale = join(sample_, group);
    float a = 0.0, b = 0.0;
    for (uint c = group * size; c < (group + 1u) * size; c++) {
        a = fma(gamma[c], sums[2u * sample_ * p.c + c], a);
        b = fma(gamma[c], sums[(2u * sample_ + 1u) * p.c + c], b);
    }
    float elements = float(p.hw) * float(size), factor = gamma[channel];
    a /= elements;
    b /= elements;
    uint row = (tile - sample_ * tiles) * TILE_M, end = sample_ * p.hw + min(row + TILE_M, p.hw);
    for (row += sample_ * p.hw; row < end; row++) {
        uint at = row * p.c + channel;
        float xh = (float(x[at]) - mean_scale.x) * mean_scale.y;
        dx[at] = A(mean_scale.y * (factor * float(dy[at]) - fma(xh, b, a)));
    }
}
