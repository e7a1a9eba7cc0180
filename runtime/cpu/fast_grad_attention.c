/* Gradients of attention by tiles, probabilities being computed again from the logarithm of their
 * denominator (Dao et al., "FlashAttention", 2022). See attention_stats and attention_grad in params.h.
 *
 * All of them go tile by tile through a matrix of scores, of which one side (`rows`) is read along rows and
 * the other (`columns`) from packed panels:
 *
 *   attention_stats      rows q          columns k
 *   dq = S k             rows q, dout    columns k, v      S[i][j] = scale * p_ij * (dout_i . v_j - e_i)
 *   dk = S^T q           rows k, v       columns q, dout
 *   dv = P^T dout        rows k          columns q
 *
 * dq and dk need two products for S (q k^T and dout v^T, or both turned), dv one; then S multiplies the
 * gradient's other factor, packed as [d / columns][length][columns]. */
#include <math.h>

#include "cpu/fast.h"

enum {
    ROWS = 66,
    COLUMNS = 256
}; /* of a tile; multiples of every register tile's rows, 6, and columns: 8, 16, 32 */

/* What is read along rows, packed as columns, and multiplied with the scores. NULL: not needed. */
typedef struct score_job {
    const fast_program *f;
    const cpu_operand *rows[2], *columns[2], *factor, *stats, *out;
    const cpu_operand *outputs[2]; /* attention_stats: out and dout */
    uint32_t batch, heads, d, row_count, column_count, flags;
    bool queries_are_columns;
    float scale;
    uint32_t width, column_panels, factor_panels, tiles, step; /* columns of a tile */
    uint64_t packed_side, head_floats;
} score_job;

/* One worker's scratch; sizes in floats. */
typedef struct score_scratch {
    float *rows[2];   /* [ROWS][d], where they are not f32 */
    float *scores[2]; /* [ROWS][COLUMNS] */
    float *sums;      /* [ROWS][factor_panels * width]; rows of outputs for attention_stats */
    float logarithms[COLUMNS], offsets[COLUMNS];
    double largest[ROWS], weight[ROWS];
} score_scratch;

static void measure_job(score_job *job) {
    job->width = job->f->kernels->columns;
    job->column_panels = ceil_div(job->column_count, job->width);
    job->factor_panels = ceil_div(job->d, job->width);
    job->tiles = ceil_div(job->row_count, ROWS);
    job->step =
        ceil_div(job->column_panels, ceil_div(job->column_count, COLUMNS)) * job->width; /* even out */
    job->packed_side = (uint64_t)job->column_panels * job->d * job->width;
    job->head_floats = job->packed_side * (job->columns[1] ? 2 : 1) +
                       (job->factor ? (uint64_t)job->factor_panels * job->column_count * job->width : 0);
}

static score_job stats_job(const fast_program *f, const cpu_call *call) {
    const attention_stats_params *p = &call->params->attention_stats;
    const cpu_operand *o = call->operands;
    score_job job = {.f = f,
                     .rows = {&o[ATTENTION_STATS_Q], NULL},
                     .columns = {&o[ATTENTION_STATS_K], NULL},
                     .outputs = {&o[ATTENTION_STATS_OUT], &o[ATTENTION_STATS_DOUT]},
                     .stats = &o[ATTENTION_STATS_STATS],
                     .batch = p->batch,
                     .heads = p->heads,
                     .d = p->d,
                     .row_count = p->lq,
                     .column_count = p->lk,
                     .flags = p->flags,
                     .scale = p->scale};
    measure_job(&job);
    return job;
}

static score_job grad_job(const fast_program *f, const cpu_call *call) {
    const attention_grad_params *p = &call->params->attention_grad;
    const cpu_operand *o = call->operands, *q = &o[ATTENTION_GRAD_IN_Q], *k = &o[ATTENTION_GRAD_IN_K],
                      *v = &o[ATTENTION_GRAD_IN_V], *dout = &o[ATTENTION_GRAD_DOUT];
    bool by_query = p->kind == ATTENTION_GRAD_Q, both = p->kind != ATTENTION_GRAD_V;
    score_job job = {.f = f,
                     .rows = {by_query ? q : k, !both      ? NULL
                                                : by_query ? dout
                                                           : v},
                     .columns = {by_query ? k : q, !both      ? NULL
                                                   : by_query ? v
                                                              : dout},
                     .factor = by_query ? k
                               : both   ? q
                                        : dout,
                     .stats = &o[ATTENTION_GRAD_STATS],
                     .out = &o[ATTENTION_GRAD_DX],
                     .batch = p->batch,
                     .heads = p->heads,
                     .d = p->d,
                     .row_count = by_query ? p->lq : p->lk,
                     .column_count = by_query ? p->lk : p->lq,
                     .flags = p->flags,
                     .queries_are_columns = !by_query,
                     .scale = p->scale};
    measure_job(&job);
    return job;
}

static fast_scratch scratch_size(const score_job *job) {
    fast_scratch need;
    uint64_t floats =
        (uint64_t)ROWS * (2 * (uint64_t)job->d + 2 * COLUMNS + (uint64_t)job->factor_panels * job->width);
    need.private_ = sizeof(score_scratch) + floats * sizeof(float);
    if (!size_mul((uint64_t)job->batch * job->heads, job->head_floats * sizeof(float), &need.shared))
        need.shared = UINT64_MAX;
    return need;
}

/* First element of the vector of `head` at position `at` of [batch][length][heads*d]. */
static uint64_t place(const score_job *job, uint64_t sample, uint64_t length, uint64_t at, uint64_t head) {
    return ((sample * length + at) * job->heads + head) * job->d;
}

/* -----------------------------------------------------------------------------------------------------
 * packing -- */

/* Items are [batch][heads][column panels]: that panel of each of the columns, and the same positions of the
 * factor. */
static void pack_columns(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const score_job *job = argument;
    uint32_t width = job->width, padded = job->factor_panels * width;
    score_scratch *s = fast_private(job->f, worker);
    float *row = (float *)(void *)(s + 1);
    for (uint64_t item = first; item < last; item++) {
        uint64_t panel = item % job->column_panels, head = item / job->column_panels % job->heads,
                 sample = item / job->column_panels / job->heads;
        float *packed = (float *)(void *)job->f->shared + item / job->column_panels * job->head_floats,
              *factor = packed + job->packed_side * (job->columns[1] ? 2 : 1);
        for (uint32_t lane = 0; lane < width; lane++) {
            uint64_t position = panel * width + lane,
                     at = place(job, sample, job->column_count, position, head);
            bool there = position < job->column_count;
            for (int side = 0; side < 2 && job->columns[side]; side++) {
                float *to = packed + side * job->packed_side + panel * job->d * width + lane;
                if (there)
                    job->f->kernels->load(job->columns[side]->type, operand_at(job->columns[side], at),
                                          job->d, row);
                for (uint64_t i = 0; i < job->d; i++)
                    to[i * width] = there ? row[i] : 0;
            }
            if (!there || !job->factor) continue;
            job->f->kernels->load(job->factor->type, operand_at(job->factor, at), job->d, row);
            memset(row + job->d, 0, (padded - job->d) * sizeof *row);
            for (uint64_t i = 0; i < job->factor_panels; i++)
                memcpy(factor + (i * job->column_count + position) * width, row + i * width,
                       width * sizeof *row);
        }
    }
}

/* -----------------------------------------------------------------------------------------------------
 * a tile -- */

/* KERNEL_ROWS pointers into an array of rows `stride` floats long; rows from `count` on repeat the last. */
static void point_at(const float *rows[KERNEL_ROWS], const float *x, uint64_t stride, uint32_t first,
                     uint32_t count) {
    for (uint32_t i = 0; i < KERNEL_ROWS; i++)
        rows[i] = x + (uint64_t)(first + i < count ? first + i : count - 1) * stride;
}

/* A tile: rows [row, row + count) of one head, whose vectors stand in x[0 or 1], x_stride apart. */
typedef struct tile {
    const float *x[2];
    const float *packed;
    uint64_t x_stride, sample, head, row;
    uint32_t count;
} tile;

static void multiply_scores(const score_job *job, score_scratch *s, const tile *t, int side, uint64_t column,
                            uint32_t columns) {
    const float *rows[KERNEL_ROWS], *packed = t->packed + side * job->packed_side;
    for (uint32_t panel = 0; panel < ceil_div(columns, job->width); panel++) {
        const float *b = packed + (column / job->width + panel) * job->d * job->width;
        for (uint32_t i = 0; i < t->count; i += KERNEL_ROWS) {
            point_at(rows, t->x[side], t->x_stride, i, t->count);
            job->f->kernels->multiply(1, rows, &job->d, b,
                                      s->scores[side] + (size_t)i * COLUMNS + panel * job->width, COLUMNS,
                                      false);
        }
    }
}

/* The visible columns [*begin, *end) of row `row` among [column, column + columns), counted from column. */
static void visible(const score_job *job, uint64_t row, uint64_t column, uint32_t columns, uint32_t *begin,
                    uint32_t *end) {
    *begin = 0;
    *end = columns;
    if (!(job->flags & ATTENTION_CAUSAL)) return;
    if (job->queries_are_columns)
        *begin = row <= column ? 0 : row - column < columns ? (uint32_t)(row - column) : columns;
    else
        *end = row < column ? 0 : row - column + 1 < columns ? (uint32_t)(row - column + 1) : columns;
}

/* Statistics into s->logarithms and s->offsets, one for each column: those of the query in row `row` ... */
static void load_row_stats(const score_job *job, score_scratch *s, const tile *t, uint64_t row,
                           uint32_t count) {
    const float *stats =
        operand_at(job->stats, ((t->sample * job->heads + t->head) * job->row_count + row) * 2);
    job->f->kernels->fill(s->logarithms, stats[0], count);
    job->f->kernels->fill(s->offsets, stats[1], count);
}

/* ... or those of the queries that are columns, from `query` on. */
static void load_column_stats(const score_job *job, score_scratch *s, const tile *t, uint64_t query,
                              uint32_t count) {
    const float *stats =
        operand_at(job->stats, ((t->sample * job->heads + t->head) * job->column_count + query) * 2);
    for (uint32_t j = 0; j < count; j++) {
        s->logarithms[j] = stats[2 * j];
        s->offsets[j] = stats[2 * j + 1];
    }
}

/* Adds what columns [column, column + columns) give to the tile's gradients. */
static void add_columns(const score_job *job, score_scratch *s, const tile *t, uint64_t column,
                        uint32_t columns, bool accumulate) {
    const cpu_kernels *k = job->f->kernels;
    const float *rows[KERNEL_ROWS], *factor = t->packed + job->packed_side * (job->columns[1] ? 2 : 1);
    uint32_t stride = job->factor_panels * job->width;
    for (int side = 0; side < 2 && job->columns[side]; side++)
        multiply_scores(job, s, t, side, column, columns);
    if (job->queries_are_columns) load_column_stats(job, s, t, column, columns);
    for (uint32_t i = 0; i < t->count; i++) {
        float *scores = s->scores[0] + (size_t)i * COLUMNS,
              *slopes = job->columns[1] ? s->scores[1] + (size_t)i * COLUMNS : NULL;
        uint32_t begin, end;
        visible(job, t->row + i, column, columns, &begin, &end);
        if (!job->queries_are_columns) load_row_stats(job, s, t, t->row + i, end);
        memset(scores, 0, begin * sizeof *scores);
        k->score_slope(scores + begin, slopes ? slopes + begin : NULL, job->scale, s->logarithms + begin,
                       s->offsets + begin, end - begin);
        memset(scores + end, 0, (columns - end) * sizeof *scores);
    }
    for (uint32_t panel = 0; panel < job->factor_panels; panel++) {
        const float *b = factor + ((uint64_t)panel * job->column_count + column) * job->width;
        for (uint32_t i = 0; i < t->count; i += KERNEL_ROWS) {
            point_at(rows, s->scores[0], COLUMNS, i, t->count);
            k->multiply(1, rows, &columns, b, s->sums + (size_t)i * stride + panel * job->width, stride,
                        accumulate);
        }
    }
}

/* Adds the exponentials of those scores to the tile's denominators. */
static void add_denominators(const score_job *job, score_scratch *s, const tile *t, uint64_t column,
                             uint32_t columns) {
    const cpu_kernels *k = job->f->kernels;
    multiply_scores(job, s, t, 0, column, columns);
    for (uint32_t i = 0; i < t->count; i++) {
        float *scores = s->scores[0] + (size_t)i * COLUMNS;
        uint32_t begin, end;
        visible(job, t->row + i, column, columns, &begin, &end);
        if (end == 0) continue;
        k->affine(scores, job->scale, 0, end);
        double largest = (double)k->largest(scores, end);
        if (largest > s->largest[i]) {
            s->weight[i] *= exp(s->largest[i] - largest);
            s->largest[i] = largest;
        }
        s->weight[i] += (double)k->exp_sum(scores, 1, (float)s->largest[i], end);
    }
}

/* Points t->x at the tile's rows: in place, or copied as f32. */
static void load_rows(const score_job *job, score_scratch *s, tile *t) {
    uint64_t at = place(job, t->sample, job->row_count, t->row, t->head),
             stride = (uint64_t)job->heads * job->d;
    bool in_place = job->rows[0]->type == DTYPE_F32;
    t->x_stride = in_place ? stride : job->d;
    for (int side = 0; side < 2 && job->rows[side]; side++) {
        t->x[side] = in_place ? operand_at(job->rows[side], at) : s->rows[side];
        for (uint32_t i = 0; !in_place && i < t->count; i++)
            job->f->kernels->load(job->rows[side]->type, operand_at(job->rows[side], at + i * stride), job->d,
                                  s->rows[side] + (uint64_t)i * job->d);
    }
}

static void store_gradients(const score_job *job, score_scratch *s, const tile *t, bool any) {
    uint32_t stride = job->factor_panels * job->width;
    if (!any) memset(s->sums, 0, (size_t)ROWS * stride * sizeof *s->sums); /* no query sees these keys */
    for (uint32_t i = 0; i < t->count; i++)
        job->f->kernels->store(
            job->out->type, operand_at(job->out, place(job, t->sample, job->row_count, t->row + i, t->head)),
            s->sums + (size_t)i * stride, job->d);
}

static void store_stats(const score_job *job, score_scratch *s, const tile *t) {
    const cpu_kernels *k = job->f->kernels;
    float *x = s->rows[0], *y = s->rows[1]; /* free again */
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t at = place(job, t->sample, job->row_count, t->row + i, t->head);
        k->load(job->outputs[0]->type, operand_at(job->outputs[0], at), job->d, x);
        k->load(job->outputs[1]->type, operand_at(job->outputs[1], at), job->d, y);
        float *stats =
            operand_at(job->stats, ((t->sample * job->heads + t->head) * job->row_count + t->row + i) * 2);
        stats[0] = (float)(s->largest[i] + log(s->weight[i]));
        stats[1] = (float)k->dot(x, y, job->d);
    }
}

static score_scratch *lay_out(const score_job *job, uint32_t worker) {
    score_scratch *s = fast_private(job->f, worker);
    s->rows[0] = (float *)(void *)(s + 1);
    s->rows[1] = s->rows[0] + (uint64_t)ROWS * job->d;
    s->scores[0] = s->rows[1] + (uint64_t)ROWS * job->d;
    s->scores[1] = s->scores[0] + (size_t)ROWS * COLUMNS;
    s->sums = s->scores[1] + (size_t)ROWS * COLUMNS;
    return s;
}

/* Items are [batch][heads][tiles of rows]. */
static void run_tiles(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const score_job *job = argument;
    score_scratch *s = lay_out(job, worker);
    for (uint64_t item = first; item < last; item++) {
        tile t = {.packed =
                      (const float *)(const void *)job->f->shared + item / job->tiles * job->head_floats,
                  .head = item / job->tiles % job->heads,
                  .sample = item / job->tiles / job->heads,
                  .row = item % job->tiles * ROWS};
        uint64_t left = job->row_count - t.row, column = 0, end = job->column_count;
        t.count = left < ROWS ? (uint32_t)left : ROWS;
        if (job->flags & ATTENTION_CAUSAL) { /* leave out what no row of the tile sees */
            if (job->queries_are_columns)
                column = t.row / job->width * job->width;
            else if (t.row + t.count < end)
                end = t.row + t.count;
        }
        load_rows(job, s, &t);
        for (uint32_t i = 0; i < ROWS; i++) {
            s->largest[i] = -INFINITY;
            s->weight[i] = 0;
        }
        bool any = column < end;
        for (bool more = false; column < end; column += job->step, more = true) {
            uint32_t columns = end - column < job->step ? (uint32_t)(end - column) : job->step;
            if (job->out)
                add_columns(job, s, &t, column, columns, more);
            else
                add_denominators(job, s, &t, column, columns);
        }
        if (job->out)
            store_gradients(job, s, &t, any);
        else
            store_stats(job, s, &t);
    }
}

static bool run_job(const cpu_call *call, score_job *job) {
    uint64_t heads = (uint64_t)job->batch * job->heads;
    thread_pool_for(call->pool, heads * job->column_panels, 4, pack_columns, job);
    thread_pool_for(call->pool, heads * job->tiles, 1, run_tiles, job);
    return true;
}

static fast_scratch stats_scratch(const fast_program *f, const cpu_call *call) {
    score_job job = stats_job(f, call);
    return scratch_size(&job);
}

static bool run_stats(const fast_program *f, const cpu_call *call) {
    score_job job = stats_job(f, call);
    return run_job(call, &job);
}

static fast_scratch grad_scratch(const fast_program *f, const cpu_call *call) {
    score_job job = grad_job(f, call);
    return scratch_size(&job);
}

static bool run_grad(const fast_program *f, const cpu_call *call) {
    score_job job = grad_job(f, call);
    return run_job(call, &job);
}

const fast_op fast_attention_stats = {NULL, stats_scratch, run_stats};
const fast_op fast_attention_grad = {NULL, grad_scratch, run_grad};
