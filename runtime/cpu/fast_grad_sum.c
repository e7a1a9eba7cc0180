/* Sums over rows and elements for the `cpu` executor: biases, parts of sums, losses, gradients of look-ups.
 * The order of each sum follows from the op's parameters alone, never from the threads. */
#include <math.h>

#include "cpu/fast.h"

enum {
    PART = 256, /* columns of one item */
    RUN = 256,  /* rows that are added before they join the total, which keeps rounding small */
    STRETCH = 1024
};

/* Items are [splits][samples][parts of the columns]. */
static void column_sum_items(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const column_sum_params *p = &job->call->params->column_sum;
    const cpu_operand *x = &job->call->operands[COLUMN_SUM_X];
    const cpu_kernels *k = job->f->kernels;
    uint32_t parts = ceil_div(p->c, PART);
    float row[PART], sums[PART], totals[PART];
    for (uint64_t item = first; item < last; item++) {
        uint64_t column = item % parts * PART, sample = item / parts % p->samples,
                 split = item / parts / p->samples;
        size_t count = p->c - column < PART ? (size_t)(p->c - column) : PART;
        uint64_t begin = split * p->rows_per_split, end = begin + p->rows_per_split;
        if (end > p->rows) end = p->rows;
        memset(totals, 0, sizeof totals);
        for (uint64_t r = begin; r < end;) {
            uint64_t run_end = end - r < RUN ? end : r + RUN;
            memset(sums, 0, sizeof sums);
            for (; r < run_end; r++) {
                const float *from = operand_at(x, (sample * p->rows + r) * p->c + column);
                if (x->type != DTYPE_F32) {
                    k->load(x->type, from, count, row);
                    from = row;
                }
                k->add(sums, from, count);
            }
            k->add(totals, sums, count);
        }
        const uint64_t row_out = split * p->out_samples + p->sample0 + sample;
        memcpy(operand_at(&job->call->operands[COLUMN_SUM_OUT], row_out * p->c + column), totals,
               count * sizeof *totals);
    }
}

static bool run_column_sum(const fast_program *f, const cpu_call *call) {
    const column_sum_params *p = &call->params->column_sum;
    fast_job job = {f, call};
    thread_pool_for(call->pool, (uint64_t)p->splits * p->samples * ceil_div(p->c, PART), 1, column_sum_items,
                    &job);
    return true;
}

static void reduce_sum_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const reduce_sum_params *p = &job->call->params->reduce_sum;
    const float *x = job->call->operands[REDUCE_SUM_X].data;
    const cpu_kernels *k = job->f->kernels;
    float sums[STRETCH];
    for (uint64_t i = first; i < last; i += STRETCH) {
        size_t count = last - i < STRETCH ? (size_t)(last - i) : STRETCH;
        memset(sums, 0, count * sizeof *sums);
        for (uint64_t part = 0; part < p->parts; part++)
            k->add(sums, x + part * p->stride + p->offset + i, count);
        if (p->scale != 1.0f) k->affine(sums, p->scale, 0, count);
        memcpy(operand_at(&job->call->operands[REDUCE_SUM_OUT], i), sums, count * sizeof *sums);
    }
}

static bool run_reduce_sum(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->reduce_sum.count, STRETCH, reduce_sum_range, &job);
    return true;
}

/* Items are parts. */
static void square_sum_parts(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const square_sum_params *p = &job->call->params->square_sum;
    const float *x = job->call->operands[SQUARE_SUM_X].data;
    for (uint64_t part = first; part < last; part++) {
        uint64_t begin = part * p->per_part, end = begin + p->per_part;
        double sum = 0;
        if (end > p->count) end = p->count;
        for (uint64_t i = begin; i < end; i += STRETCH)
            sum += job->f->kernels->sum_squares(x + i, 0, end - i < STRETCH ? (size_t)(end - i) : STRETCH);
        *(float *)operand_at(&job->call->operands[SQUARE_SUM_OUT], p->out_first + part) = (float)sum;
    }
}

static bool run_square_sum(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->square_sum.parts, 1, square_sum_parts, &job);
    return true;
}

/* ----------------------------------------------------------------------------------------------------- loss
 * -- */

/* Sum of f(d) over `count` differences, see loss in params.h. */
static double loss_sum(uint32_t kind, float beta, const float *d, size_t count) {
    double sum = 0;
    for (size_t i = 0; kind == LOSS_HUBER && i < count; i++) {
        float size = fabsf(d[i]);
        sum += (double)(size < beta ? d[i] * d[i] / (2 * beta) : size - beta / 2);
    }
    for (size_t i = 0; kind == LOSS_EXP && i < count; i++)
        sum += expm1((double)d[i]) - (double)d[i]; /* in float nothing would be left of small ones */
    return sum;
}

/* Items are parts. */
static void loss_parts(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const loss_params *p = &job->call->params->loss;
    const cpu_operand *o = job->call->operands;
    const float *target = o[LOSS_IN_TARGET].data, *weight = o[LOSS_WEIGHT].data;
    float x[STRETCH];
    for (uint64_t part = first; part < last; part++) {
        uint64_t begin = part * p->per_part, end = begin + p->per_part;
        double sum = 0;
        if (end > p->count) end = p->count;
        for (uint64_t i = begin; i < end;) {
            /* up to where the weight changes */
            uint64_t w = p->weight_first + i,
                     room = p->weight_each ? p->weight_each - w % p->weight_each : STRETCH,
                     left = room < end - i ? room : end - i;
            size_t count = left < STRETCH ? (size_t)left : STRETCH;
            job->f->kernels->load(o[LOSS_X].type, operand_at(&o[LOSS_X], i), count, x);
            if (p->flags & LOSS_TARGET) job->f->kernels->combine(x, 1, target + i, -1, count);
            double more = p->kind == LOSS_SQUARE ? job->f->kernels->sum_squares(x, 0, count)
                                                 : loss_sum(p->kind, p->beta, x, count);
            sum += p->weight_each ? more * (double)weight[w / p->weight_each] : more;
            i += count;
        }
        *(float *)operand_at(&o[LOSS_OUT], p->out_first + part) = (float)((double)p->scale * sum);
    }
}

static bool run_loss(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->loss.parts, 1, loss_parts, &job);
    return true;
}

/* ----------------------------------------------------------------------------------------- gather_rows_grad
 * -- */

/* Items are blocks of dx. Every range goes through the whole index once, which keeps the order of each row's
 * sum. */
static void gather_rows_grad_blocks(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const fast_job *job = argument;
    const gather_rows_grad_params *p = &job->call->params->gather_rows_grad;
    const cpu_operand *dy = &job->call->operands[GATHER_ROWS_GRAD_DY];
    const uint32_t *index = job->call->operands[GATHER_ROWS_GRAD_INDEX].data;
    float *dx = job->call->operands[GATHER_ROWS_GRAD_DX].data, *row = fast_private(job->f, worker);
    uint64_t blocks = p->x_rows / p->block, size = (uint64_t)p->block * p->c;
    memset(dx + first * size, 0, (last - first) * size * sizeof *dx);
    for (uint64_t r = 0; r < p->rows / p->block; r++) {
        uint64_t block = (index[r] < blocks ? index[r] : p->beyond) - (uint64_t)p->block0;
        if (block < first || block >= last) continue; /* below block0 it has wrapped round */
        for (uint64_t i = 0; i < p->block; i++) {
            job->f->kernels->load(dy->type, operand_at(dy, r * size + i * p->c), p->c, row);
            job->f->kernels->add(dx + block * size + i * p->c, row, p->c);
        }
    }
}

static fast_scratch gather_rows_grad_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    return (fast_scratch){0, (uint64_t)call->params->gather_rows_grad.c * sizeof(float)};
}

static bool run_gather_rows_grad(const fast_program *f, const cpu_call *call) {
    const gather_rows_grad_params *p = &call->params->gather_rows_grad;
    fast_job job = {f, call};
    thread_pool_for(call->pool, p->blocks, 1, gather_rows_grad_blocks, &job);
    return true;
}

const fast_op fast_column_sum = {NULL, NULL, run_column_sum};
const fast_op fast_reduce_sum = {NULL, NULL, run_reduce_sum};
const fast_op fast_square_sum = {NULL, NULL, run_square_sum};
const fast_op fast_loss = {NULL, NULL, run_loss};
const fast_op fast_gather_rows_grad = {NULL, gather_rows_grad_scratch, run_gather_rows_grad};
