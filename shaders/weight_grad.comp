// weight_grad: for each part of the output pixels a matrix product dy^T x, [cout][kh*kw*c]. A workgroup computes a tile of 64 x 64
// from shared memory, each invocation 8 channels of dy x 4 columns; K, the pixels, advances by 16. Every 16 steps the sums in
// progress are added to totals and begin anew: rounding errors of long sums stay small.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "params.glsl"
#include "words.glsl"

PUSH_CONSTANTS(MZT_PARAMS_WEIGHT_GRAD)
READ_WORDS(0, X, x_words, load_x)
READ_WORDS(1, Dy, dy_words, load_dy)
layout(binding = 2) writeonly buffer Out { float result[]; };

#define QUADS 16u // of a side of the tile
#define PIXELS 16u
#define STEPS 16u // between two additions to the totals
#define FETCHES (PIXELS * QUADS / LOCAL)

// Where the filter's first tap lies for each pixel of a step: line and column of x, the sample's first line, and whether
// there is such a pixel.
shared ivec4 places[PIXELS];
shared vec4 tile_x[PIXELS * QUADS];
shared vec4 tile_dy[PIXELS * QUADS];

ivec4 place_of(uint row, uint end) {
    uint line = row / p.ow, sample_ = line / p.oh;
    return ivec4(int((line - sample_ * p.oh) * p.stride) - int(p.pad_top), int((row - line * p.ow) * p.stride) - int(p.pad_left),
                 int(sample_ * p.h), row < end ? 1 : 0);
}

// x under a tap (line, column of the filter, channel); z < 0 in `tap`: no such column.
float source(ivec4 place, ivec3 tap) {
    int h = int(p.h), w = int(p.w), y = place.x + tap.x, z = place.y + tap.y;
    if ((p.flags & CONV_WRAP_Y) != 0u) y += y < 0 ? h : (y >= h ? -h : 0);
    if ((p.flags & CONV_WRAP_X) != 0u) z += z < 0 ? w : (z >= w ? -w : 0);
    if (place.w == 0 || tap.z < 0 || y < 0 || y >= h || z < 0 || z >= w) return 0.0;
    return load_x((uint(place.z + y) * p.w + uint(z)) * p.c + uint(tap.z));
}

// Fills both tiles with the pixels row ... row + PIXELS - 1; an invocation always fetches the same quad of columns.
void fetch(uint row, uint end, uint channel, ivec3 taps[4]) {
    uint id = gl_LocalInvocationID.x;
    if (id < PIXELS) places[id] = place_of(row + id, end);
    barrier(); // also: nobody reads the tiles any more
    for (uint i = 0u; i < FETCHES; i++) {
        uint at = id + i * LOCAL, k = at / QUADS;
        vec4 xs = vec4(0.0), dys = vec4(0.0);
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            xs[j] = source(places[k], taps[j]);
            if (row + k < end && channel + j < p.cout) dys[j] = load_dy((row + k) * p.cout + channel + j);
        }
        tile_x[at] = xs;
        tile_dy[at] = dys;
    }
    barrier();
}

void main() {
    uint columns = p.kh * p.kw * p.c;
    uint across = (columns + TILE_N - 1u) / TILE_N, down = (p.cout + TILE_M - 1u) / TILE_M;
    uint tile = GROUP / across, split = tile / down;
    if (split >= p.splits) return; // the whole workgroup
    uint channel0 = (tile - split * down) * TILE_M, column0 = (GROUP - tile * across) * TILE_N;
    uint rows = p.n * p.oh * p.ow, begin = split * p.rows_per_split, end = begin + min(p.rows_per_split, rows - begin);

    uint id = gl_LocalInvocationID.x, tx = id % QUADS, ty = id / QUADS;
    ivec3 taps[4];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        uint column = column0 + 4u * tx + j, tap = column / p.c, line = tap / p.kw;
        taps[j] = ivec3(line, tap - line * p.kw, column < columns ? int(column - tap * p.c) : -1);
    }
    vec4 totals[8], sums[8];
    [[unroll]] for (uint i = 0u; i < 8u; i++) totals[i] = sums[i] = vec4(0.0);
    uint steps = 0u;
    for (uint row = begin; row < end; row += PIXELS) {
        fetch(row, end, channel0 + 4u * tx, taps);
        for (uint k = 0u; k < PIXELS; k++) {
            vec4 b = tile_x[k * QUADS + tx], low = tile_dy[k * QUADS + 2u * ty], high = tile_dy[k * QUADS + 2u * ty + 1u];
            [[unroll]] for (uint i = 0u; i < 4u; i++) {
                sums[i] = fma(vec4(low[i]), b, sums[i]);
                sums[i + 4u] = fma(vec4(high[i]), b, sums[i + 4u]);
            }
        }
        steps++;
        if (steps % STEPS == 0u || end - row <= PIXELS) {
            [[unroll]] for (uint i = 0u; i < 8u; i++) {
                totals[i] += sums[i];
                sums[i] = vec4(0.0);
            }
        }
    }
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint channel = channel0 + 8u * ty + i;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            uint column = column0 + 4u * tx + j;
            if (channel < p.cout && column < columns) result[(split * p.cout + channel) * columns + column] = totals[i][j];
        }
    }
}
