/* What the files that compute linear layers and convolutions share. */
#ifndef CPU_FAST_MATRIX_H
#define CPU_FAST_MATRIX_H

#include "cpu/fast.h"

/* One linear layer or convolution: out[m][n] = A[m][k] W[n][k]^T and its epilogue. */
typedef struct matrix_job {
    const fast_program *f;
    const packed_matrix *w;
    const float *x0, *x1; /* f32, from element x0_base (x1_base) on */
    uint64_t c0, c1, x0_base, x1_base;
    const conv2d_params *conv; /* NULL: linear */
    uint32_t taps;
    uint64_t row0, rows, n;
    uint32_t flags;
    const cpu_operand *bias, *vec, *residual, *out;
    uint64_t rows_per_sample, vec_stride, vec_offset, out_base;
    uint32_t block_rows, block_panels;
    uint64_t row_blocks, panel_blocks;
} matrix_job;

/* Columns of a block: what one call of matrix_finish_row handles at most. */
#define MATRIX_BLOCK_COLUMNS 384

/* Epilogue of `columns` sums of row `row` from `column` on, and storing them; for GEGLU with as many gates.
 * `scratch` holds as many floats. */
void matrix_finish_row(const matrix_job *job, uint64_t row, uint64_t column, uint32_t columns, float *sums,
                       float *gates, float *scratch);

/* The source pixel at (y, x) of the picture that the filter sees, which is twice as large with
 * CONV_UPSAMPLE2; negative: padding. */
static inline int64_t matrix_source_pixel(const conv2d_params *p, uint64_t sample, int64_t y, int64_t x) {
    int64_t scale = p->flags & CONV_UPSAMPLE2 ? 2 : 1;
    y = wrap_coordinate(y, p->h * scale, p->flags & CONV_WRAP_Y);
    x = wrap_coordinate(x, p->w * scale, p->flags & CONV_WRAP_X);
    if (y < 0 || x < 0) return -1;
    return ((int64_t)sample * p->h + y / scale) * p->w + x / scale;
}

#endif
