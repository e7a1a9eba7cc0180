/* Gradients of normalisations for cpu-reference. */
#include <math.h>

#include "cpu/reference.h"

/* mean and 1 / sqrt(variance + eps) of a row. */
static void measure_row(const cpu_operand *x, uint64_t row, uint64_t c, double eps, double *mean,
                        double *scale) {
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < c; i++)
        sum += operand_load(x, row * c + i);
    *mean = sum / (double)c;
    for (uint64_t i = 0; i < c; i++) {
        double distance = operand_load(x, row * c + i) - *mean;
        squares += distance * distance;
    }
    *scale = 1 / sqrt(squares / (double)c + eps);
}

bool reference_layer_norm_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const layer_norm_grad_params *p = &call->params->layer_norm_grad;
    const cpu_operand *o = call->operands, *x = &o[LAYER_NORM_GRAD_X], *dy = &o[LAYER_NORM_GRAD_DY],
                      *gamma = &o[LAYER_NORM_GRAD_GAMMA];
    for (uint64_t row = first; row < last; row++) {
        double mean, scale, sum = 0, product = 0;
        measure_row(x, row, p->c, (double)p->eps, &mean, &scale);
        for (uint64_t c = 0; c < p->c; c++) {
            double g = operand_load(dy, row * p->c + c) * operand_load(gamma, c);
            sum += g;
            product += g * (operand_load(x, row * p->c + c) - mean) * scale;
        }
        for (uint64_t c = 0; c < p->c; c++) {
            double g = operand_load(dy, row * p->c + c) * operand_load(gamma, c),
                   xh = (operand_load(x, row * p->c + c) - mean) * scale;
            operand_store(&o[LAYER_NORM_GRAD_DX], row * p->c + c,
                          scale * (g - sum / p->c - xh * product / p->c));
        }
    }
    return true;
}

bool reference_layer_norm_param_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const layer_norm_param_grad_params *p = &call->params->layer_norm_param_grad;
    const cpu_operand *o = call->operands;
    double *sums = host_calloc(call->host, 2 * (uint64_t)p->c, sizeof *sums);
    if (!sums) return false;
    for (uint64_t split = first; split < last; split++) {
        uint64_t begin = split * p->rows_per_split, end = begin + p->rows_per_split;
        if (end > p->rows) end = p->rows;
        for (uint64_t i = 0; i < 2 * (uint64_t)p->c; i++)
            sums[i] = 0;
        for (uint64_t row = begin; row < end; row++) {
            double mean, scale;
            measure_row(&o[LAYER_NORM_PARAM_GRAD_X], row, p->c, (double)p->eps, &mean, &scale);
            for (uint64_t c = 0; c < p->c; c++) {
                double dy = operand_load(&o[LAYER_NORM_PARAM_GRAD_DY], row * p->c + c);
                sums[c] += dy;
                sums[p->c + c] +=
                    dy * (operand_load(&o[LAYER_NORM_PARAM_GRAD_X], row * p->c + c) - mean) * scale;
            }
        }
        for (uint64_t i = 0; i < 2 * (uint64_t)p->c; i++)
            operand_store(&o[LAYER_NORM_PARAM_GRAD_OUT], split * 2 * p->c + i, sums[i]);
    }
    host_free(call->host, sums);
    return true;
}

/* Items are [n][chunks]. */
bool reference_group_norm_grad_stats(const cpu_call *call, uint64_t first, uint64_t last) {
    const group_norm_grad_stats_params *p = &call->params->group_norm_grad_stats;
    const cpu_operand *o = call->operands;
    const reference_groups cut = {p->hw, p->chunks, p->rows_per_chunk, p->groups, p->c / p->groups};
    for (uint64_t item = first; item < last; item++) {
        uint64_t sample = item / p->chunks, chunk = item % p->chunks;
        uint64_t begin = chunk * p->rows_per_chunk, end = begin + p->rows_per_chunk;
        if (end > p->hw) end = p->hw;
        for (uint64_t c = 0; c < p->c; c++) {
            double mean, variance, sum = 0, product = 0;
            reference_join_chunks(&o[GROUP_NORM_GRAD_STATS_PARTIAL], &cut, sample, c / cut.size, &mean,
                                  &variance);
            double scale = 1 / sqrt(variance + (double)p->eps);
            for (uint64_t row = begin; row < end; row++) {
                uint64_t at = (sample * p->hw + row) * p->c + c;
                double dy = operand_load(&o[GROUP_NORM_GRAD_STATS_DY], at);
                sum += dy;
                product += dy * (operand_load(&o[GROUP_NORM_GRAD_STATS_X], at) - mean) * scale;
            }
            uint64_t out = (chunk * p->out_samples + p->sample0 + sample) * 2 * p->c + c;
            operand_store(&o[GROUP_NORM_GRAD_STATS_OUT], out, sum);
            operand_store(&o[GROUP_NORM_GRAD_STATS_OUT], out + p->c, product);
        }
    }
    return true;
}

/* Items are [n][groups]. */
bool reference_group_norm_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const group_norm_grad_params *p = &call->params->group_norm_grad;
    const cpu_operand *o = call->operands;
    const reference_groups cut = {p->hw, p->chunks, p->rows_per_chunk, p->groups, p->c / p->groups};
    double elements = (double)(cut.hw * cut.size);
    for (uint64_t item = first; item < last; item++) {
        uint64_t sample = item / p->groups, group = item % p->groups;
        double mean, variance, a = 0, b = 0;
        reference_join_chunks(&o[GROUP_NORM_GRAD_PARTIAL], &cut, sample, group, &mean, &variance);
        double scale = 1 / sqrt(variance + (double)p->eps);
        for (uint64_t c = group * cut.size; c < (group + 1) * cut.size; c++) {
            double gamma = operand_load(&o[GROUP_NORM_GRAD_GAMMA], c);
            a += gamma * operand_load(&o[GROUP_NORM_GRAD_SUMS], sample * 2 * p->c + c);
            b += gamma * operand_load(&o[GROUP_NORM_GRAD_SUMS], (sample * 2 + 1) * p->c + c);
        }
        for (uint64_t row = sample * cut.hw; row < (sample + 1) * cut.hw; row++)
            for (uint64_t c = group * cut.size; c < (group + 1) * cut.size; c++) {
                double xh = (operand_load(&o[GROUP_NORM_GRAD_X], row * p->c + c) - mean) * scale,
                       g = operand_load(&o[GROUP_NORM_GRAD_GAMMA], c) *
                           operand_load(&o[GROUP_NORM_GRAD_DY], row * p->c + c);
                operand_store(&o[GROUP_NORM_GRAD_DX], row * p->c + c, scale * (g - (a + xh * b) / elements));
            }
    }
    return true;
}
