// conv2d: implicit GEMM over [rows][kh*kw*(c0 + c1)]: the matrix kernels with one tap for each place under the filter.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_CONV2D)

#define PADDING 0xffffffffu
#define C0 p.c0
#define C1 p.c1
#define X0_BASE p.x0_base
#define X1_BASE p.x1_base
#define TAPS (p.kh * p.kw)
#define ROWS p.rows
#define COLUMNS p.cout
#define SAMPLE(row) ((p.row0 + (row)) / (p.oh * p.ow))
#define OUT_INDEX(row, column) ((p.row0 + (row)) * p.cout + (column) - p.out_base)

// Where the filter's first tap lies in the (enlarged) source, and the sample's first source row.
struct RowPlace {
    int y, x;
    uint first_row;
};

RowPlace row_place(uint row) {
    uint pixel = p.row0 + row, line = pixel / p.ow, sample_ = line / p.oh;
    return RowPlace(int((line - sample_ * p.oh) * p.stride) - int(p.pad_top),
                    int((pixel - line * p.ow) * p.stride) - int(p.pad_left), sample_ * p.h);
}

uint tap_pixel(RowPlace place, uint tap) {
    uint enlarged = (p.flags & CONV_UPSAMPLE2) != 0u ? 1u : 0u, ky = tap / p.kw;
    int h = int(p.h << enlarged), w = int(p.w << enlarged);
    int y = place.y + int(ky), x = place.x + int(tap - ky * p.kw);
    if ((p.flags & CONV_WRAP_Y) != 0u) y += y < 0 ? h : (y >= h ? -h : 0);
    if ((p.flags & CONV_WRAP_X) != 0u) x += x < 0 ? w : (x >= w ? -w : 0);
    if (y < 0 || y >= h || x < 0 || x >= w) return PADDING;
    return (place.first_row + (uint(y) >> enlarged)) * p.w + (uint(x) >> enlarged);
}

#ifndef DIRECT
#include "matrix_tile.glsl"
#else
#include "matrix_direct.glsl"
#endif
