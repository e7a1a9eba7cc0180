// group_norm: joins the partial results of group_norm_stats and normalises, then SiLU if asked.
// An invocation's rows and group are fixed: tile_m rows of one group (a workgroup with neighbouring groups would share rows).
// TILE_M rows belong to a workgroup, whose invocations go through them side by side. With DIRECT (devices that are CPUs inside)
// each invocation has TILE_M rows of one group.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "math.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GROUP_NORM)
#include "joined.glsl"
#define CHANNELS (p.c0 + p.c1)
#define STATISTICS_BINDING 2
#include "group_statistics.glsl"
layout(binding = 3) readonly buffer Gamma { V gamma[]; };
layout(binding = 4) readonly buffer Beta { V beta[]; };
layout(binding = 5) writeonly buffer Out { AV result[]; };

void normalise(uint row, uint channel, vec2 mean_scale) {
    V y = fma((load_joined(row, channel) - mean_scale.x) * mean_scale.y, gamma[channel / WIDTH], beta[channel / WIDTH]);
    if ((p.flags & NORM_SILU) != 0u) y = silu(y);
    result[(row * (p.c0 + p.c1) + channel - p.out_base) / WIDTH] = AV(y);
}

#ifdef DIRECT
// Rows row0 ... row0 + rows - 1 begin in sample row0 / hw; the tiles of a sample start anew, so that none spans two.
void main() {
    uint item = ITEM, group = item % p.groups, tile = item / p.groups, size = (p.c0 + p.c1) / p.groups;
    uint row = p.row0 + tile * TILE_M, end = min(row + TILE_M, p.row0 + p.rows), sample_ = 0xffffffffu;
    vec2 mean_scale = vec2(0.0);
    for (; row < end; row++) {
        if (row / p.hw != sample_) {
            sample_ = row / p.hw;
            mean_scale = join(sample_, group);
        }
        for (uint c = 0u; c < size; c += WIDTH) normalise(row, group * size + c, mean_scale);
    }
}
#else
// Statistics of all groups of the one or more samples that these rows meet, joined once for the workgroup.
#define GROUPS_MAX 512u
shared vec2 joined[GROUPS_MAX];

void main() {
    uint c = p.c0 + p.c1, size = c / p.groups, quads = c / WIDTH;
    uint row = p.row0 + GROUP * TILE_M, end = min(row + TILE_M, p.row0 + p.rows);
    while (row < end) { // the same for the whole workgroup
        uint sample_ = row / p.hw, stop = min(end, (sample_ + 1u) * p.hw);
        barrier();
        for (uint g = gl_LocalInvocationID.x; g < p.groups; g += LOCAL) joined[g] = join(sample_, g);
        barrier();
        for (uint i = gl_LocalInvocationID.x; i < (stop - row) * quads; i += LOCAL) {
            uint line = i / quads, channel = (i - line * quads) * WIDTH;
            normalise(row + line, channel, joined[channel / size]);
        }
        row = stop;
    }
}
#endif
