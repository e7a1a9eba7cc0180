// What the two matrix kernels (matrix_tile.glsl, matrix_direct.glsl) share: operands four K elements at a time.
// The left operand is a source [pixels][c0 | c1] read through taps: row r of the product sees, for every tap, the channels of
// one source pixel (or padding). K is ordered (tap, channel), so everything but the channel is fixed for a run of channels.
// Wanted of the includer, which is linear.comp or conv2d.comp:
//   C0, C1             channels of the two sources; C1 may be 0
//   X0_BASE, X1_BASE   first elements of windowed bindings
//   TAPS, ROWS, COLUMNS
//   RowPlace row_place(uint row)            what is fixed for an output row
//   uint tap_pixel(RowPlace place, uint tap)  its source pixel, or PADDING
#ifndef MATRIX_GLSL
#define MATRIX_GLSL
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#ifdef VEC4
#define WEIGHT_VEC4
#endif
#define WEIGHT_BINDING 2
#include "weights.glsl"

layout(binding = 0) readonly buffer X0 { AV x0[]; };
layout(binding = 1) readonly buffer X1 { AV x1[]; };

// Channels c ... c + 3 of a source pixel; zero in padding and beyond the last channel.
vec4 load_source(uint source, uint pixel, uint c) {
    uint channels = source == 0u ? C0 : C1;
    if (pixel == PADDING || c >= channels) return vec4(0.0);
    uint i = pixel * channels + c;
#ifdef VEC4
    return source == 0u ? vec4(x0[(i - X0_BASE) >> 2]) : vec4(x1[(i - X1_BASE) >> 2]);
#else
    vec4 v = vec4(0.0);
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        if (c + j < channels) v[j] = source == 0u ? float(x0[i + j - X0_BASE]) : float(x1[i + j - X1_BASE]);
    }
    return v;
#endif
}

// The weights that meet them: row `row` of [rows][TAPS][C0 + C1].
vec4 load_weights(uint row, uint tap, uint source, uint c) {
    uint channels = source == 0u ? C0 : C1;
    if (c >= channels) return vec4(0.0);
    uint i = (row * TAPS + tap) * (C0 + C1) + (source == 0u ? 0u : C0) + c;
#ifdef VEC4
    return load_weight4(i);
#else
    vec4 v = vec4(0.0);
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        if (c + j < channels) v[j] = load_weight(i + j);
    }
    return v;
#endif
}

// acc[column] += sum over k of a[k] * b_column[k]
vec4 multiply_add(vec4 acc, vec4 a, vec4 b0, vec4 b1, vec4 b2, vec4 b3) {
    acc = fma(vec4(b0.x, b1.x, b2.x, b3.x), a.xxxx, acc);
    acc = fma(vec4(b0.y, b1.y, b2.y, b3.y), a.yyyy, acc);
    acc = fma(vec4(b0.z, b1.z, b2.z, b3.z), a.zzzz, acc);
    return fma(vec4(b0.w, b1.w, b2.w, b3.w), a.wwww, acc);
}

// Each invocation computes for its rows two quads of columns, acc[0] and acc[1]. Under EPILOGUE_GEGLU the second quad is the
// gate of the first; otherwise it is `quad_distance` columns further on.
#define GEGLU ((p.flags & EPILOGUE_GEGLU) != 0u)

#include "epilogue.glsl"

void store_quads(vec4 first, vec4 second, uint row, uint column, uint quad_distance) {
    [[dont_unroll]] for (uint h = 0u; h < (GEGLU ? 1u : 2u); h++, column += quad_distance) {
        vec4 value = h == 0u ? first : second;
#ifdef VEC4
        if (column < COLUMNS) store_result(value, second, row, column);
#else
        [[dont_unroll]] for (uint j = 0u; j < 4u; j++) {
            if (column + j < COLUMNS) store_result(value.x, second.x, row, column + j);
            value = value.yzwx;
            second = second.yzwx;
        }
#endif
    }
}

// Stores row by row in a loop of one body: the rows move down through acc[0], since an array in registers cannot be indexed.
// Eight copies of the epilogue would be eight times the code, and spill registers.
#define STORE_ROWS(row_of, column, quad_distance)                                                                          \
    [[dont_unroll]] for (uint i = 0u; i < ROWS_EACH; i++) {                                                                \
        uint row = row_of(i);                                                                                              \
        if (row < ROWS) store_quads(acc[0][0], acc[0][1], row, column, quad_distance);                                     \
        [[unroll]] for (uint j = 1u; j < ROWS_EACH; j++) acc[j - 1u] = acc[j];                                             \
    }
#endif
