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

// Selections, not branches: this is inlined once for every row, and software devices compile branches slowly.
uint tap_pixel(RowPlace place, uint tap) {
    uint enlarged = uint((p.flags & CONV_UPSAMPLE2) != 0u), ky = tap / p.kw;
    int h = int(p.h << enlarged), w = int(p.w << enlarged);
    int wrap_h = h * int((p.flags & CONV_WRAP_Y) != 0u), wrap_w = w * int((p.flags & CONV_WRAP_X) != 0u);
    int y = place.y + int(ky), x = place.x + int(tap - ky * p.kw);
    y += wrap_h * (int(y < 0) - int(y >= h));
    x += wrap_w * (int(x < 0) - int(x >= w));
    uint pixel = (place.first_row + (uint(y) >> enlarged)) * p.w + (uint(x) >> enlarged);
    return mix(PADDING, pixel, int(uint(y) < uint(h)) * int(uint(x) < uint(w)) != 0);
}

#ifndef DIRECT
#include "matrix_tile.glsl"
#else
#include "matrix_direct.glsl"
#endif
