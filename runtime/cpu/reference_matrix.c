/* Linear layers and convolutions for cpu-reference. Both gather one input row per output row (for a
 * convolution: the window under the filter) and multiply it with every row of the weight matrix. */
#include "cpu/reference.h"

enum { BLOCK = 16 }; /* output rows that share one pass over the weights */

/* What linear and conv2d have in common once the input rows are gathered. */
typedef struct matrix_job {
    const cpu_operand *weight, *bias, *vec, *residual, *out;
    uint64_t n, k;
    uint32_t flags;
    uint64_t rows_per_sample, vec_stride, vec_offset;
    uint64_t out_base; /* subtracted from element indices of out and residual */
} matrix_job;

/* Sums of `BLOCK` gathered rows x[k][BLOCK] with row `row` of the weight matrix. `w` is scratch of k. */
static void multiply_row(const matrix_job *job, uint64_t row, const double *x, double *w,
                         double sums[BLOCK]) {
    operand_load_row(job->weight, row * job->k, job->k, w, 1);
    for (int i = 0; i < BLOCK; i++)
        sums[i] = 0;
    for (uint64_t j = 0; j < job->k; j++) {
        for (int i = 0; i < BLOCK; i++)
            sums[i] += w[j] * x[j * BLOCK + (uint64_t)i];
    }
    if (job->flags & EPILOGUE_BIAS) {
        double bias = operand_load(job->bias, row);
        for (int i = 0; i < BLOCK; i++)
            sums[i] += bias;
    }
}

/* out[row][column] = epilogue(value); for EPILOGUE_GEGLU `gate` is the sum of the gate's row. */
static void store_result(const matrix_job *job, uint64_t row, uint64_t column, double value, double gate) {
    if (job->flags & EPILOGUE_VEC) {
        uint64_t sample = row / job->rows_per_sample;
        value += operand_load(job->vec, sample * job->vec_stride + job->vec_offset + column);
    }
    if (job->flags & EPILOGUE_SILU) value = reference_activation(UNARY_SILU, value);
    if (job->flags & EPILOGUE_GELU) value = reference_activation(UNARY_GELU, value);
    if (job->flags & EPILOGUE_QUICK_GELU) value = reference_activation(UNARY_QUICK_GELU, value);
    if (job->flags & EPILOGUE_GEGLU) value *= reference_activation(UNARY_GELU, gate);
    uint64_t index = row * job->n + column - job->out_base;
    if (job->flags & EPILOGUE_RESIDUAL) value += operand_load(job->residual, index);
    operand_store(job->out, index, value);
}

/* Rows [row, row + count), count <= BLOCK, whose inputs are gathered in x[k][BLOCK]. */
static void multiply_block(const matrix_job *job, uint64_t row, uint64_t count, const double *x, double *w) {
    double sums[BLOCK], gates[BLOCK] = {0};
    for (uint64_t column = 0; column < job->n; column++) {
        multiply_row(job, column, x, w, sums);
        if (job->flags & EPILOGUE_GEGLU) multiply_row(job, job->n + column, x, w, gates);
        for (uint64_t i = 0; i < count; i++)
            store_result(job, row + i, column, sums[i], gates[i]);
    }
}

bool reference_linear(const cpu_call *call, uint64_t first, uint64_t last) {
    const linear_params *p = &call->params->linear;
    const cpu_operand *o = call->operands;
    matrix_job job = {.weight = &o[LINEAR_WEIGHT],
                      .bias = &o[LINEAR_BIAS],
                      .vec = &o[LINEAR_VEC],
                      .residual = &o[LINEAR_RESIDUAL],
                      .out = &o[LINEAR_OUT],
                      .n = p->n,
                      .k = (uint64_t)p->k0 + p->k1,
                      .flags = p->flags,
                      .rows_per_sample = p->rows_per_sample,
                      .vec_stride = p->vec_stride,
                      .vec_offset = p->vec_offset};
    double *x = host_calloc(call->host, job.k * (BLOCK + 1), sizeof *x);
    if (!x) return false;
    for (uint64_t row = first; row < last; row += BLOCK) {
        uint64_t count = last - row < BLOCK ? last - row : BLOCK;
        for (uint64_t i = 0; i < count; i++) {
            operand_load_row(&o[LINEAR_X0], (row + i) * p->k0, p->k0, x + i, BLOCK);
            if (p->k1)
                operand_load_row(&o[LINEAR_X1], (row + i) * p->k1, p->k1, x + (uint64_t)p->k0 * BLOCK + i,
                                 BLOCK);
        }
        multiply_block(&job, row, count, x, x + job.k * BLOCK);
    }
    host_free(call->host, x);
    return true;
}

/* The source coordinate (before enlarging) that position `at` of the padded axis reads; false: padding.
 * `size` is the source's size. */
static bool source_coordinate(int64_t at, uint32_t size, bool upsample, bool wrap, uint64_t *source) {
    int64_t enlarged = upsample ? 2 * (int64_t)size : (int64_t)size;
    if (wrap) at = ((at % enlarged) + enlarged) % enlarged;
    if (at < 0 || at >= enlarged) return false;
    *source = (uint64_t)(upsample ? at / 2 : at);
    return true;
}

/* The window under the filter for output pixel `row` of n*oh*ow, as [kh][kw][c0 + c1], BLOCK apart. */
static void gather_window(const cpu_call *call, uint64_t row, double *x) {
    const conv2d_params *p = &call->params->conv2d;
    const cpu_operand *x0 = &call->operands[CONV2D_X0], *x1 = &call->operands[CONV2D_X1];
    bool upsample = p->flags & CONV_UPSAMPLE2;
    uint64_t c = (uint64_t)p->c0 + p->c1;
    uint64_t ox = row % p->ow, oy = row / p->ow % p->oh, sample = row / p->ow / p->oh;
    for (uint32_t r = 0; r < p->kh; r++) {
        for (uint32_t s = 0; s < p->kw; s++, x += c * BLOCK) {
            uint64_t y, z;
            int64_t at_y = (int64_t)(oy * p->stride + r) - p->pad_top,
                    at_x = (int64_t)(ox * p->stride + s) - p->pad_left;
            if (!source_coordinate(at_y, p->h, upsample, p->flags & CONV_WRAP_Y, &y) ||
                !source_coordinate(at_x, p->w, upsample, p->flags & CONV_WRAP_X, &z)) {
                for (uint64_t i = 0; i < c; i++)
                    x[i * BLOCK] = 0;
                continue;
            }
            uint64_t pixel = (sample * p->h + y) * p->w + z;
            operand_load_row(x0, pixel * p->c0 - p->x0_base, p->c0, x, BLOCK);
            if (p->c1)
                operand_load_row(x1, pixel * p->c1 - p->x1_base, p->c1, x + (uint64_t)p->c0 * BLOCK, BLOCK);
        }
    }
}

/* Items are the `rows` output pixels from row0 on. */
bool reference_conv2d(const cpu_call *call, uint64_t first, uint64_t last) {
    const conv2d_params *p = &call->params->conv2d;
    const cpu_operand *o = call->operands;
    matrix_job job = {.weight = &o[CONV2D_WEIGHT],
                      .bias = &o[CONV2D_BIAS],
                      .vec = &o[CONV2D_VEC],
                      .residual = &o[CONV2D_RESIDUAL],
                      .out = &o[CONV2D_OUT],
                      .n = p->cout,
                      .k = (uint64_t)p->kh * p->kw * ((uint64_t)p->c0 + p->c1),
                      .flags = p->flags,
                      .rows_per_sample = (uint64_t)p->oh * p->ow,
                      .vec_stride = p->vec_stride,
                      .vec_offset = p->vec_offset,
                      .out_base = p->out_base};
    double *x = host_calloc(call->host, job.k * (BLOCK + 1), sizeof *x);
    if (!x) return false;
    for (uint64_t row = first; row < last; row += BLOCK) {
        uint64_t count = last - row < BLOCK ? last - row : BLOCK;
        for (uint64_t i = 0; i < count; i++)
            gather_window(call, p->row0 + row + i, x + i);
        multiply_block(&job, p->row0 + row, count, x, x + job.k * BLOCK);
    }
    host_free(call->host, x);
    return true;
}
