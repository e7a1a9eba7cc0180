/* Gradients of normalisations for the `cpu` executor: rows of channels in f32, their sums in double. */
#include <math.h>

#include "cpu/fast.h"

enum {
    PART = 256
}; /* columns of one item of a column sum, and rows that are added before they join the total */

/* ------------------------------------------------------------------------------------------ layer_norm_grad
 * -- */

typedef struct row_stats {
    float mean, scale; /* scale = 1 / sqrt(variance + eps) */
} row_stats;

static row_stats measure_row(const cpu_kernels *k, const float *x, uint32_t c, float eps) {
    float mean = (float)(k->sum(x, c) / c);
    return (row_stats){mean, (float)(1 / sqrt(k->sum_squares(x, mean, c) / c + (double)eps))};
}

/* Items are rows. Scratch: [2][c]. */
static void layer_norm_rows(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const fast_job *job = argument;
    const layer_norm_grad_params *p = &job->call->params->layer_norm_grad;
    const cpu_operand *o = job->call->operands;
    const cpu_kernels *k = job->f->kernels;
    float *x = fast_private(job->f, worker), *g = x + p->c;
    for (uint64_t r = first; r < last; r++) {
        k->load(o[LAYER_NORM_GRAD_X].type, operand_at(&o[LAYER_NORM_GRAD_X], r * p->c), p->c, x);
        k->load(o[LAYER_NORM_GRAD_DY].type, operand_at(&o[LAYER_NORM_GRAD_DY], r * p->c), p->c, g);
        row_stats s = measure_row(k, x, p->c, p->eps);
        k->multiply_by(g, o[LAYER_NORM_GRAD_GAMMA].data, p->c);
        k->affine(x, 1, -s.mean, p->c);
        double scale = (double)s.scale, sum = k->sum(g, p->c),
               product = k->dot(g, x, p->c) * scale; /* with xh = x * scale */
        k->combine(g, s.scale, x, (float)(-scale * scale * product / p->c), p->c);
        k->affine(g, 1, (float)(-scale * sum / p->c), p->c);
        k->store(o[LAYER_NORM_GRAD_DX].type, operand_at(&o[LAYER_NORM_GRAD_DX], r * p->c), g, p->c);
    }
}

static fast_scratch layer_norm_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    return (fast_scratch){0, 2 * (uint64_t)call->params->layer_norm_grad.c * sizeof(float)};
}

static bool run_layer_norm_grad(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->layer_norm_grad.rows, 16, layer_norm_rows, &job);
    return true;
}

/* ------------------------------------------------------------------------------------ layer_norm_param_grad
 * -- */

/* Items are rows: their statistics into shared scratch. */
static void measure_rows(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const fast_job *job = argument;
    const layer_norm_param_grad_params *p = &job->call->params->layer_norm_param_grad;
    const cpu_operand *x = &job->call->operands[LAYER_NORM_PARAM_GRAD_X];
    row_stats *stats = (row_stats *)(void *)job->f->shared;
    float *row = fast_private(job->f, worker);
    for (uint64_t r = first; r < last; r++) {
        job->f->kernels->load(x->type, operand_at(x, r * p->c), p->c, row);
        stats[r] = measure_row(job->f->kernels, row, p->c, p->eps);
    }
}

/* totals += sums; sums = 0. */
static void flush(const cpu_kernels *k, float *totals, float *sums, size_t count) {
    k->add(totals, sums, count);
    memset(sums, 0, count * sizeof *sums);
}

/* Items are [splits][parts of the columns]. */
static void add_layer_norm_rows(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const layer_norm_param_grad_params *p = &job->call->params->layer_norm_param_grad;
    const cpu_operand *o = job->call->operands;
    const cpu_kernels *k = job->f->kernels;
    const row_stats *stats = (const row_stats *)(const void *)job->f->shared;
    float x[PART], dy[PART], sums[2 * PART], totals[2 * PART];
    uint32_t parts = ceil_div(p->c, PART);
    for (uint64_t item = first; item < last; item++) {
        uint64_t split = item / parts, column = item % parts * PART;
        size_t count = p->c - column < PART ? (size_t)(p->c - column) : PART;
        uint64_t begin = split * p->rows_per_split, end = begin + p->rows_per_split;
        if (end > p->rows) end = p->rows;
        memset(sums, 0, sizeof sums);
        memset(totals, 0, sizeof totals);
        for (uint64_t r = begin; r < end; r++) {
            uint64_t at = r * p->c + column;
            k->load(o[LAYER_NORM_PARAM_GRAD_X].type, operand_at(&o[LAYER_NORM_PARAM_GRAD_X], at), count, x);
            k->load(o[LAYER_NORM_PARAM_GRAD_DY].type, operand_at(&o[LAYER_NORM_PARAM_GRAD_DY], at), count,
                    dy);
            k->add(sums, dy, count);
            k->affine(x, 1, -stats[r].mean, count);
            k->affine(x, stats[r].scale, 0, count);
            k->multiply_by(x, dy, count);
            k->add(sums + PART, x, count);
            if ((r - begin) % PART == PART - 1) flush(k, totals, sums, 2 * PART);
        }
        flush(k, totals, sums, 2 * PART);
        float *out = operand_at(&o[LAYER_NORM_PARAM_GRAD_OUT], split * 2 * p->c + column);
        memcpy(out, totals, count * sizeof *out);
        memcpy(out + p->c, totals + PART, count * sizeof *out);
    }
}

static fast_scratch param_grad_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    const layer_norm_param_grad_params *p = &call->params->layer_norm_param_grad;
    return (fast_scratch){(uint64_t)p->rows * sizeof(row_stats), (uint64_t)p->c * sizeof(float)};
}

static bool run_param_grad(const fast_program *f, const cpu_call *call) {
    const layer_norm_param_grad_params *p = &call->params->layer_norm_param_grad;
    fast_job job = {f, call};
    thread_pool_for(call->pool, p->rows, 16, measure_rows, &job);
    thread_pool_for(call->pool, (uint64_t)p->splits * ceil_div(p->c, PART), 1, add_layer_norm_rows, &job);
    return true;
}

/* ----------------------------------------------------------------------------------------- group_norm_grad
 * -- */

/* How the forward pass has cut its source; both ops have these parameters. */
typedef struct group_cut {
    const float *partial; /* of one sample: [chunks][groups][mean, squares] */
    uint64_t hw, chunks, rows_per_chunk, groups, size;
} group_cut;

/* Mean and 1 / sqrt(variance + eps) of a group, by Chan's formula. */
static void join_group(const group_cut *cut, uint64_t group, double eps, double *mean, double *scale) {
    double count = 0, squares = 0;
    *mean = 0;
    for (uint64_t chunk = 0; chunk < cut->chunks; chunk++) {
        uint64_t left = cut->hw - chunk * cut->rows_per_chunk;
        double more = (double)((left < cut->rows_per_chunk ? left : cut->rows_per_chunk) * cut->size),
               total = count + more;
        const float *at = cut->partial + (chunk * cut->groups + group) * 2;
        double distance = (double)at[0] - *mean;
        *mean += distance * more / total;
        squares += (double)at[1] + distance * distance * count * more / total;
        count = total;
    }
    *scale = 1 / sqrt(squares / count + eps);
}

/* Items are samples: [mean, scale][c] into shared scratch. */
static void join_samples(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const group_norm_grad_stats_params *p = &job->call->params->group_norm_grad_stats;
    const float *partial = job->call->operands[GROUP_NORM_GRAD_STATS_PARTIAL].data;
    for (uint64_t sample = first; sample < last; sample++) {
        group_cut cut = {partial + sample * p->chunks * p->groups * 2,
                         p->hw,
                         p->chunks,
                         p->rows_per_chunk,
                         p->groups,
                         p->c / p->groups};
        float *means = (float *)(void *)job->f->shared + sample * 2 * p->c, *scales = means + p->c;
        for (uint64_t group = 0; group < p->groups; group++) {
            double mean, scale;
            join_group(&cut, group, (double)p->eps, &mean, &scale);
            for (uint64_t c = group * cut.size; c < (group + 1) * cut.size; c++) {
                means[c] = (float)mean;
                scales[c] = (float)scale;
            }
        }
    }
}

/* Items are [n][chunks]. Scratch: x, dy, [2][c] sums, [2][c] totals. */
static void add_group_norm_rows(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const fast_job *job = argument;
    const group_norm_grad_stats_params *p = &job->call->params->group_norm_grad_stats;
    const cpu_operand *o = job->call->operands, *x_from = &o[GROUP_NORM_GRAD_STATS_X],
                      *dy_from = &o[GROUP_NORM_GRAD_STATS_DY];
    const cpu_kernels *k = job->f->kernels;
    float *x = fast_private(job->f, worker), *dy = x + p->c, *sums = dy + p->c, *totals = sums + 2 * p->c;
    for (uint64_t item = first; item < last; item++) {
        uint64_t sample = item / p->chunks, chunk = item % p->chunks;
        uint64_t begin = chunk * p->rows_per_chunk, end = begin + p->rows_per_chunk;
        const float *means = (const float *)(const void *)job->f->shared + sample * 2 * p->c,
                    *scales = means + p->c;
        if (end > p->hw) end = p->hw;
        memset(sums, 0, 4 * (size_t)p->c * sizeof *sums);
        for (uint64_t r = begin; r < end; r++) {
            uint64_t at = (sample * p->hw + r) * p->c;
            k->load(x_from->type, operand_at(x_from, at), p->c, x);
            k->load(dy_from->type, operand_at(dy_from, at), p->c, dy);
            k->add(sums, dy, p->c);
            k->add_products(sums + p->c, dy, x, means, p->c);
            if ((r - begin) % PART == PART - 1) flush(k, totals, sums, 2 * (size_t)p->c);
        }
        flush(k, totals, sums, 2 * (size_t)p->c);
        k->multiply_by(totals + p->c, scales, p->c);
        const uint64_t at = (chunk * p->out_samples + p->sample0 + sample) * 2 * p->c;
        memcpy(operand_at(&o[GROUP_NORM_GRAD_STATS_OUT], at), totals, 2 * (size_t)p->c * sizeof *totals);
    }
}

static fast_scratch group_stats_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    const group_norm_grad_stats_params *p = &call->params->group_norm_grad_stats;
    return (fast_scratch){(uint64_t)p->n * 2 * p->c * sizeof(float), 6 * (uint64_t)p->c * sizeof(float)};
}

static bool run_group_stats(const fast_program *f, const cpu_call *call) {
    const group_norm_grad_stats_params *p = &call->params->group_norm_grad_stats;
    fast_job job = {f, call};
    thread_pool_for(call->pool, p->n, 1, join_samples, &job);
    thread_pool_for(call->pool, (uint64_t)p->n * p->chunks, 1, add_group_norm_rows, &job);
    return true;
}

/* Items are samples: [mean, scale, slope, shift][c] into shared scratch, so that
 * dx = scale * dy + slope * (x - mean) + shift. */
static void prepare_samples(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const group_norm_grad_params *p = &job->call->params->group_norm_grad;
    const cpu_operand *o = job->call->operands;
    const float *partial = o[GROUP_NORM_GRAD_PARTIAL].data, *gamma = o[GROUP_NORM_GRAD_GAMMA].data;
    for (uint64_t sample = first; sample < last; sample++) {
        group_cut cut = {partial + sample * p->chunks * p->groups * 2,
                         p->hw,
                         p->chunks,
                         p->rows_per_chunk,
                         p->groups,
                         p->c / p->groups};
        const float *sums = operand_at(&o[GROUP_NORM_GRAD_SUMS], sample * 2 * p->c);
        float *out = (float *)(void *)job->f->shared + sample * 4 * p->c;
        double elements = (double)(cut.hw * cut.size);
        for (uint64_t group = 0; group < p->groups; group++) {
            double mean, scale, a = 0, b = 0;
            join_group(&cut, group, (double)p->eps, &mean, &scale);
            for (uint64_t c = group * cut.size; c < (group + 1) * cut.size; c++) {
                a += (double)gamma[c] * (double)sums[c];
                b += (double)gamma[c] * (double)sums[p->c + c];
            }
            for (uint64_t c = group * cut.size; c < (group + 1) * cut.size; c++) {
                out[c] = (float)mean;
                out[p->c + c] = (float)(scale * (double)gamma[c]);
                out[2 * p->c + c] = (float)(-scale * scale * b / elements);
                out[3 * (uint64_t)p->c + c] = (float)(-scale * a / elements);
            }
        }
    }
}

/* Items are rows. Scratch: [2][c]. */
static void apply_group_norm_grad(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const fast_job *job = argument;
    const group_norm_grad_params *p = &job->call->params->group_norm_grad;
    const cpu_operand *o = job->call->operands;
    const cpu_kernels *k = job->f->kernels;
    uint64_t c = p->c;
    float *x = fast_private(job->f, worker), *dy = x + c;
    for (uint64_t r = first; r < last; r++) {
        const float *mean = (const float *)(const void *)job->f->shared + r / p->hw * 4 * c;
        k->load(o[GROUP_NORM_GRAD_X].type, operand_at(&o[GROUP_NORM_GRAD_X], r * c), c, x);
        k->load(o[GROUP_NORM_GRAD_DY].type, operand_at(&o[GROUP_NORM_GRAD_DY], r * c), c, dy);
        k->normalize_slope(dy, x, mean, mean + c, mean + 2 * c, mean + 3 * c, c);
        k->store(o[GROUP_NORM_GRAD_DX].type, operand_at(&o[GROUP_NORM_GRAD_DX], r * c), dy, c);
    }
}

static fast_scratch group_grad_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    const group_norm_grad_params *p = &call->params->group_norm_grad;
    return (fast_scratch){(uint64_t)p->n * 4 * p->c * sizeof(float), 2 * (uint64_t)p->c * sizeof(float)};
}

static bool run_group_grad(const fast_program *f, const cpu_call *call) {
    const group_norm_grad_params *p = &call->params->group_norm_grad;
    fast_job job = {f, call};
    thread_pool_for(call->pool, p->n, 1, prepare_samples, &job);
    thread_pool_for(call->pool, (uint64_t)p->n * p->hw, 16, apply_group_norm_grad, &job);
    return true;
}

const fast_op fast_layer_norm_grad = {NULL, layer_norm_scratch, run_layer_norm_grad};
const fast_op fast_layer_norm_param_grad = {NULL, param_grad_scratch, run_param_grad};
const fast_op fast_group_norm_grad_stats = {NULL, group_stats_scratch, run_group_stats};
const fast_op fast_group_norm_grad = {NULL, group_grad_scratch, run_group_grad};
