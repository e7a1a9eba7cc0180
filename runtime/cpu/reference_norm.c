/* Normalisations for cpu-reference. */
#include <math.h>

#include "cpu/reference.h"

/* [x0 | x1], whose bindings begin at elements base0 and base1. */
typedef struct joined {
    const cpu_operand *x0, *x1;
    uint64_t c0, c1, base0, base1;
} joined;

/* Channel `c` of row `row`. */
static double load_joined(const joined *x, uint64_t row, uint64_t c) {
    return c < x->c0 ? operand_load(x->x0, row * x->c0 + c - x->base0)
                     : operand_load(x->x1, row * x->c1 + c - x->c0 - x->base1);
}

/* Rows [begin, end) of the channels [c, c + size). */
static void measure_chunk(const joined *x, uint64_t begin, uint64_t end, uint64_t c, uint64_t size,
                          double *mean, double *squares) {
    double sum = 0;
    *mean = *squares = 0;
    for (uint64_t row = begin; row < end; row++)
        for (uint64_t i = 0; i < size; i++)
            sum += load_joined(x, row, c + i);
    *mean = sum / (double)((end - begin) * size);
    for (uint64_t row = begin; row < end; row++) {
        for (uint64_t i = 0; i < size; i++) {
            double distance = load_joined(x, row, c + i) - *mean;
            *squares += distance * distance;
        }
    }
}

/* Items are the chunk_count chunks from chunk0 on. */
bool reference_group_norm_stats(const cpu_call *call, uint64_t first, uint64_t last) {
    const group_norm_stats_params *p = &call->params->group_norm_stats;
    const cpu_operand *o = call->operands, *partial = &o[GROUP_NORM_STATS_PARTIAL];
    joined x = {&o[GROUP_NORM_STATS_X0], &o[GROUP_NORM_STATS_X1], p->c0, p->c1, p->x0_base, p->x1_base};
    uint64_t size = (x.c0 + x.c1) / p->groups; /* channels of a group */
    for (uint64_t chunk = p->chunk0 + first; chunk < p->chunk0 + last; chunk++) {
        uint64_t sample = chunk / p->chunks, begin = chunk % p->chunks * p->rows_per_chunk,
                 end = begin + p->rows_per_chunk;
        if (end > p->hw) end = p->hw;
        for (uint64_t group = 0; group < p->groups; group++) {
            double mean, squares;
            measure_chunk(&x, sample * p->hw + begin, sample * p->hw + end, group * size, size, &mean,
                          &squares);
            operand_store(partial, (chunk * p->groups + group) * 2, mean);
            operand_store(partial, (chunk * p->groups + group) * 2 + 1, squares);
        }
    }
    return true;
}

/* Mean and variance of one group of one sample, from its chunks, by Chan, Golub and LeVeque (1979): joining
 * (count a, mean a, squares a) and b: mean += d * b / (a + b), squares += squares b + d^2 * a * b / (a + b),
 * with d = mean b - mean a. */
void reference_join_chunks(const cpu_operand *stats, const reference_groups *g, uint64_t sample,
                           uint64_t group, double *mean, double *variance) {
    double count = 0, squares = 0;
    *mean = 0;
    for (uint64_t chunk = 0; chunk < g->chunks; chunk++) {
        uint64_t begin = chunk * g->rows_per_chunk, end = begin + g->rows_per_chunk;
        if (begin >= g->hw) break;
        if (end > g->hw) end = g->hw;
        uint64_t index = ((sample * g->chunks + chunk) * g->groups + group) * 2;
        double more = (double)((end - begin) * g->size), distance = operand_load(stats, index) - *mean,
               total = count + more;
        *mean += distance * more / total;
        squares += operand_load(stats, index + 1) + distance * distance * count * more / total;
        count = total;
    }
    *variance = squares / count;
}

/* Items are [n][groups]; of each, the rows in the window row0 ... row0 + rows - 1. */
bool reference_group_norm(const cpu_call *call, uint64_t first, uint64_t last) {
    const group_norm_params *p = &call->params->group_norm;
    const cpu_operand *o = call->operands;
    joined source = {&o[GROUP_NORM_X0], &o[GROUP_NORM_X1], p->c0, p->c1, p->x0_base, p->x1_base};
    uint64_t channels = source.c0 + source.c1, size = channels / p->groups, hw = p->hw;
    const reference_groups cut = {hw, p->chunks, p->rows_per_chunk, p->groups, size};
    uint64_t window_begin = p->row0, window_end = window_begin + p->rows;
    for (uint64_t item = first; item < last; item++) {
        uint64_t sample = item / p->groups, group = item % p->groups;
        uint64_t begin = sample * hw > window_begin ? sample * hw : window_begin;
        uint64_t end = (sample + 1) * hw < window_end ? (sample + 1) * hw : window_end;
        double mean, variance;
        reference_join_chunks(&o[GROUP_NORM_PARTIAL], &cut, sample, group, &mean, &variance);
        double scale = 1 / sqrt(variance + (double)p->eps);
        for (uint64_t row = begin; row < end; row++) {
            for (uint64_t c = group * size; c < (group + 1) * size; c++) {
                double x = (load_joined(&source, row, c) - mean) * scale;
                x = x * operand_load(&o[GROUP_NORM_GAMMA], c) + operand_load(&o[GROUP_NORM_BETA], c);
                if (p->flags & NORM_SILU) x = reference_activation(UNARY_SILU, x);
                operand_store(&o[GROUP_NORM_OUT], row * channels + c - p->out_base, x);
            }
        }
    }
    return true;
}

bool reference_layer_norm(const cpu_call *call, uint64_t first, uint64_t last) {
    const layer_norm_params *p = &call->params->layer_norm;
    const cpu_operand *o = call->operands;
    for (uint64_t row = first; row < last; row++) {
        double sum = 0, squares = 0;
        for (uint64_t c = 0; c < p->c; c++)
            sum += operand_load(&o[LAYER_NORM_X], row * p->c + c);
        double mean = sum / p->c;
        for (uint64_t c = 0; c < p->c; c++) {
            double distance = operand_load(&o[LAYER_NORM_X], row * p->c + c) - mean;
            squares += distance * distance;
        }
        double scale = 1 / sqrt(squares / p->c + (double)p->eps);
        for (uint64_t c = 0; c < p->c; c++) {
            double x = (operand_load(&o[LAYER_NORM_X], row * p->c + c) - mean) * scale;
            x = x * operand_load(&o[LAYER_NORM_GAMMA], c) + operand_load(&o[LAYER_NORM_BETA], c);
            operand_store(&o[LAYER_NORM_OUT], row * p->c + c, x);
        }
    }
    return true;
}
