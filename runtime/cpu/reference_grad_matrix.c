/* Gradients of linear layers and convolutions for cpu-reference: turned weights, dilation, weight gradients,
 * and the sums that finish them. */
#include "cpu/reference.h"

/* Items are [i][kh][kw], rows of o elements. */
bool reference_transpose_weight(const cpu_call *call, uint64_t first, uint64_t last) {
    const transpose_weight_params *p = &call->params->transpose_weight;
    const cpu_operand *o = call->operands;
    for (uint64_t row = first; row < last; row++) {
        uint64_t x = row % p->kw, y = row / p->kw % p->kh, in = row / p->kw / p->kh;
        uint64_t turned = (p->kh - 1 - y) * p->kw + p->kw - 1 - x;
        for (uint64_t out = 0; out < p->o; out++)
            operand_copy(&o[TRANSPOSE_WEIGHT_OUT], row * p->o + out, &o[TRANSPOSE_WEIGHT_WEIGHT],
                         (out * p->kh * p->kw + turned) * p->i + in, 1);
    }
    return true;
}

/* Items are the pixels of the larger picture. */
bool reference_dilate(const cpu_call *call, uint64_t first, uint64_t last) {
    const dilate_params *p = &call->params->dilate;
    const cpu_operand *o = call->operands;
    for (uint64_t pixel = first; pixel < last; pixel++) {
        uint64_t x = pixel % p->ow, y = pixel / p->ow % p->oh, sample = pixel / p->ow / p->oh;
        uint64_t down = y - p->top, right = x - p->left; /* huge before top and left */
        bool inside = y >= p->top && x >= p->left && down % p->stride == 0 && right % p->stride == 0 &&
                      down / p->stride < p->h && right / p->stride < p->w;
        if (inside) {
            uint64_t from = (sample * p->h + down / p->stride) * p->w + right / p->stride;
            operand_copy(&o[DILATE_OUT], pixel * p->c, &o[DILATE_X], from * p->c, p->c);
        } else {
            for (uint64_t c = 0; c < p->c; c++)
                operand_store(&o[DILATE_OUT], pixel * p->c + c, 0);
        }
    }
    return true;
}

/* The source position of a tap; false: padding. */
static bool source_position(int64_t at, uint32_t size, bool wrap, uint64_t *source) {
    if (wrap) at = (at % (int64_t)size + (int64_t)size) % (int64_t)size;
    if (at < 0 || at >= (int64_t)size) return false;
    *source = (uint64_t)at;
    return true;
}

/* The window under the filter for output pixel `row` of n*oh*ow: [kh][kw][c]. */
static void gather_window(const cpu_call *call, uint64_t row, double *x) {
    const weight_grad_params *p = &call->params->weight_grad;
    uint64_t ox = row % p->ow, oy = row / p->ow % p->oh, sample = row / p->ow / p->oh;
    for (uint32_t r = 0; r < p->kh; r++)
        for (uint32_t t = 0; t < p->kw; t++, x += p->c) {
            uint64_t y, z;
            if (source_position((int64_t)(oy * p->stride + r) - p->pad_top, p->h, p->flags & CONV_WRAP_Y,
                                &y) &&
                source_position((int64_t)(ox * p->stride + t) - p->pad_left, p->w, p->flags & CONV_WRAP_X,
                                &z)) {
                operand_load_row(&call->operands[WEIGHT_GRAD_X], ((sample * p->h + y) * p->w + z) * p->c,
                                 p->c, x, 1);
            } else {
                for (uint32_t c = 0; c < p->c; c++)
                    x[c] = 0;
            }
        }
}

enum { BLOCK = 16 }; /* output channels that share one pass over the windows */

/* Items are [splits][cout]. */
bool reference_weight_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const weight_grad_params *p = &call->params->weight_grad;
    const cpu_operand *o = call->operands;
    uint64_t size = (uint64_t)p->kh * p->kw * p->c, rows = (uint64_t)p->n * p->oh * p->ow;
    double *window = host_calloc(call->host, size * (BLOCK + 1), sizeof *window), *sums = window + size;
    if (!window) return false;
    for (uint64_t item = first, count; item < last; item += count) {
        uint64_t split = item / p->cout, channel = item % p->cout;
        count = last - item < BLOCK ? last - item : BLOCK;
        if (count > p->cout - channel) count = p->cout - channel;
        uint64_t begin = split * p->rows_per_split, end = begin + p->rows_per_split;
        if (end > rows) end = rows;
        for (uint64_t i = 0; i < count * size; i++)
            sums[i] = 0;
        for (uint64_t row = begin; row < end; row++) {
            gather_window(call, row, window);
            for (uint64_t k = 0; k < count; k++) {
                double dy = operand_load(&o[WEIGHT_GRAD_DY], row * p->cout + channel + k);
                for (uint64_t i = 0; i < size; i++)
                    sums[k * size + i] += dy * window[i];
            }
        }
        for (uint64_t i = 0; i < count * size; i++)
            operand_store(&o[WEIGHT_GRAD_OUT], item * size + i, sums[i]);
    }
    host_free(call->host, window);
    return true;
}

/* Items are [splits][samples]. */
bool reference_column_sum(const cpu_call *call, uint64_t first, uint64_t last) {
    const column_sum_params *p = &call->params->column_sum;
    const cpu_operand *o = call->operands;
    for (uint64_t item = first; item < last; item++) {
        uint64_t split = item / p->samples, sample = item % p->samples;
        uint64_t begin = split * p->rows_per_split, end = begin + p->rows_per_split;
        if (end > p->rows) end = p->rows;
        for (uint64_t c = 0; c < p->c; c++) {
            double sum = 0;
            for (uint64_t row = begin; row < end; row++)
                sum += operand_load(&o[COLUMN_SUM_X], (sample * p->rows + row) * p->c + c);
            operand_store(&o[COLUMN_SUM_OUT], (split * p->out_samples + p->sample0 + sample) * p->c + c, sum);
        }
    }
    return true;
}

bool reference_reduce_sum(const cpu_call *call, uint64_t first, uint64_t last) {
    const reduce_sum_params *p = &call->params->reduce_sum;
    const cpu_operand *o = call->operands;
    for (uint64_t i = first; i < last; i++) {
        double sum = 0;
        for (uint64_t part = 0; part < p->parts; part++)
            sum += operand_load(&o[REDUCE_SUM_X], part * p->stride + p->offset + i);
        operand_store(&o[REDUCE_SUM_OUT], i, (double)p->scale * sum);
    }
    return true;
}
