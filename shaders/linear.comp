// linear: out[m][n] = epilogue([x0 | x1] weight^T): a matrix kernel whose only tap is the row itself.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_LINEAR)

#define PADDING 0xffffffffu
#define C0 p.k0
#define C1 p.k1
#define X0_BASE 0u
#define X1_BASE 0u
#define TAPS 1u
#define ROWS p.m
#define COLUMNS p.n
#define SAMPLE(row) ((row) / p.rows_per_sample)
#define OUT_INDEX(row, column) ((row) * p.n + (column))
#define RowPlace uint

uint row_place(uint row) {
    return row;
}

uint tap_pixel(uint row, uint tap) {
    return row;
}

#ifndef DIRECT
#include "matrix_tile.glsl"
#else
#include "matrix_direct.glsl"
#endif
