/* Attention by tiles with a running softmax (Milakov and Gimelshein 2018; Dao et al. 2022): the scores of a
 * tile of queries are made for a few panels of keys at a time, and the sums so far are rescaled when a larger
 * score appears. No row of scores is ever whole.
 *
 * First every head's keys are packed as panels [keys / columns][d][columns] and its values as [d /
 * columns][lk][columns], for the register tile of kernels.h; then tiles of queries are shared out. */
#include <math.h>

#include "cpu/fast.h"

enum {
    QUERIES = 66,
    KEYS = 256
}; /* of a tile; multiples of every register tile's rows, 6, and columns: 8, 16, 32 */

typedef struct attention_job {
    const fast_program *f;
    const attention_params *p;
    const cpu_operand *q, *k, *v, *out;
    uint32_t columns, key_panels, value_panels, tiles; /* tiles of queries in one head */
    uint64_t head_floats;                              /* of packed keys and values */
} attention_job;

/* One worker's scratch; sizes in floats. */
typedef struct attention_scratch {
    float *q;      /* [QUERIES][d], where queries are not f32 */
    float *scores; /* [QUERIES][KEYS] */
    float *sums;   /* [QUERIES][value_panels * columns] */
    float largest[QUERIES], weight[QUERIES];
} attention_scratch;

static attention_job make_job(const fast_program *f, const cpu_call *call) {
    const attention_params *p = &call->params->attention;
    const cpu_operand *o = call->operands;
    attention_job job = {.f = f,
                         .p = p,
                         .q = &o[ATTENTION_Q],
                         .k = &o[ATTENTION_K],
                         .v = &o[ATTENTION_V],
                         .out = &o[ATTENTION_OUT]};
    job.columns = f->kernels->columns;
    job.key_panels = ceil_div(p->lk, job.columns);
    job.value_panels = ceil_div(p->d, job.columns);
    job.tiles = ceil_div(p->lq, QUERIES);
    job.head_floats = ((uint64_t)job.key_panels * p->d + (uint64_t)job.value_panels * p->lk) * job.columns;
    return job;
}

static fast_scratch scratch_size(const fast_program *f, const cpu_call *call) {
    attention_job job = make_job(f, call);
    fast_scratch need;
    uint64_t floats = (uint64_t)QUERIES * (job.p->d + KEYS + (uint64_t)job.value_panels * job.columns);
    need.private_ = sizeof(attention_scratch) + floats * sizeof(float);
    if (!size_mul((uint64_t)job.p->batch * job.p->heads, job.head_floats * sizeof(float), &need.shared))
        need.shared = UINT64_MAX;
    return need;
}

/* -----------------------------------------------------------------------------------------------------
 * packing -- */

/* Items are [batch][heads][key panels]: the keys of one panel, and the same positions of the values. */
static void pack_keys(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const attention_job *job = argument;
    const attention_params *p = job->p;
    uint32_t columns = job->columns;
    float *row = fast_private(job->f, worker);
    for (uint64_t item = first; item < last; item++) {
        uint64_t panel = item % job->key_panels, head = item / job->key_panels % p->heads;
        uint64_t sample = item / job->key_panels / p->heads;
        float *keys = (float *)(void *)job->f->shared + item / job->key_panels * job->head_floats;
        float *values = keys + (uint64_t)job->key_panels * p->d * columns;
        keys += panel * p->d * columns;
        for (uint32_t lane = 0; lane < columns; lane++) {
            uint64_t position = panel * columns + lane;
            if (position >= p->lk) { /* what was there may be anything, and must not become NaN */
                for (uint64_t i = 0; i < p->d; i++)
                    keys[i * columns + lane] = 0;
                continue;
            }
            uint64_t at = sample * p->lk + position;
            job->f->kernels->load(
                job->k->type, operand_at(job->k, at * p->k_stride + p->k_offset + head * p->d), p->d, row);
            for (uint64_t i = 0; i < p->d; i++)
                keys[i * columns + lane] = row[i];
            job->f->kernels->load(
                job->v->type, operand_at(job->v, at * p->v_stride + p->v_offset + head * p->d), p->d, row);
            for (uint64_t i = 0; i < (uint64_t)job->value_panels * columns; i++)
                values[(i / columns * p->lk + position) * columns + i % columns] = i < p->d ? row[i] : 0;
        }
    }
}

/* ----------------------------------------------------------------------------------------------------- a
 * tile -- */

/* Turns one row of `visible` scores into weights exp(scale * score - largest so far), zero up to `keys`, and
 * rescales the sums made with the former largest. */
static void soften_row(const attention_job *job, attention_scratch *s, uint32_t i, uint32_t visible,
                       uint32_t keys) {
    const cpu_kernels *k = job->f->kernels;
    float *scores = s->scores + (size_t)i * KEYS, scale = job->p->scale;
    uint32_t width = job->value_panels * job->columns;
    if (visible > 0) {
        k->affine(scores, scale, 0, visible);
        float largest = k->largest(scores, visible);
        if (largest > s->largest[i]) {
            float shrink = s->weight[i] > 0 ? expf(s->largest[i] - largest) : 0;
            s->weight[i] *= shrink;
            k->affine(s->sums + (size_t)i * width, shrink, 0, width);
            s->largest[i] = largest;
        }
        s->weight[i] += k->exp_sum(scores, 1, s->largest[i], visible);
    }
    for (uint32_t j = visible; j < keys; j++)
        scores[j] = 0;
}

/* rows[] of KERNEL_ROWS pointers into an array of rows `stride` floats long; rows from `count` on repeat the
 * last. */
static void point_at(const float *rows[KERNEL_ROWS], const float *x, uint64_t stride, uint32_t first,
                     uint32_t count) {
    for (uint32_t i = 0; i < KERNEL_ROWS; i++)
        rows[i] = x + (uint64_t)(first + i < count ? first + i : count - 1) * stride;
}

/* Adds keys [key, key + keys) to the `count` queries of a tile that starts at query `query`. */
static void add_keys(const attention_job *job, attention_scratch *s, const float *q, uint64_t q_stride,
                     uint64_t query, uint32_t count, uint64_t key, uint32_t keys, const float *packed) {
    const attention_params *p = job->p;
    const cpu_kernels *k = job->f->kernels;
    const float *rows[KERNEL_ROWS], *values = packed + (uint64_t)job->key_panels * p->d * job->columns;
    uint32_t width = job->value_panels * job->columns, depth = p->d;
    for (uint32_t panel = 0; panel < ceil_div(keys, job->columns); panel++) {
        const float *b = packed + (key / job->columns + panel) * p->d * job->columns;
        for (uint32_t i = 0; i < count; i += KERNEL_ROWS) {
            point_at(rows, q, q_stride, i, count);
            k->multiply(1, rows, &depth, b, s->scores + (size_t)i * KEYS + panel * job->columns, KEYS, false);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t visible = keys;
        if (p->flags & ATTENTION_CAUSAL)
            visible = query + i < key              ? 0
                      : query + i - key + 1 < keys ? (uint32_t)(query + i - key + 1)
                                                   : keys;
        soften_row(job, s, i, visible, keys);
    }
    for (uint32_t panel = 0; panel < job->value_panels; panel++) {
        const float *b = values + ((uint64_t)panel * p->lk + key) * job->columns;
        for (uint32_t i = 0; i < count; i += KERNEL_ROWS) {
            point_at(rows, s->scores, KEYS, i, count);
            k->multiply(1, rows, &keys, b, s->sums + (size_t)i * width + panel * job->columns, width, true);
        }
    }
}

/* Items are [batch][heads][tiles of queries]. */
static void run_tiles(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const attention_job *job = argument;
    const attention_params *p = job->p;
    const cpu_kernels *k = job->f->kernels;
    attention_scratch *s = fast_private(job->f, worker);
    uint32_t width = job->value_panels * job->columns;
    s->q = (float *)(void *)(s + 1);
    s->scores = s->q + (uint64_t)QUERIES * p->d;
    s->sums = s->scores + (size_t)QUERIES * KEYS;
    for (uint64_t item = first; item < last; item++) {
        uint64_t query = item % job->tiles * QUERIES, head = item / job->tiles % p->heads,
                 sample = item / job->tiles / p->heads;
        uint32_t count = p->lq - query < QUERIES ? (uint32_t)(p->lq - query) : QUERIES;
        const float *packed =
                        (const float *)(const void *)job->f->shared + item / job->tiles * job->head_floats,
                    *q = s->q;
        uint64_t at = (sample * p->lq + query) * p->q_stride + p->q_offset + head * p->d, q_stride = p->d;
        if (job->q->type == DTYPE_F32) {
            q = operand_at(job->q, at);
            q_stride = p->q_stride;
        }
        for (uint32_t i = 0; q == s->q && i < count; i++)
            k->load(job->q->type, operand_at(job->q, at + (uint64_t)i * p->q_stride), p->d,
                    s->q + (uint64_t)i * p->d);
        for (uint32_t i = 0; i < QUERIES; i++) {
            s->largest[i] = -INFINITY;
            s->weight[i] = 0;
        }
        memset(s->sums, 0, (size_t)QUERIES * width * sizeof *s->sums);
        uint64_t end = p->flags & ATTENTION_CAUSAL && query + count < p->lk ? query + count : p->lk;
        for (uint64_t key = 0; key < end; key += KEYS)
            add_keys(job, s, q, q_stride, query, count, key, end - key < KEYS ? (uint32_t)(end - key) : KEYS,
                     packed);
        for (uint32_t i = 0; i < count; i++) {
            float *sums = s->sums + (size_t)i * width;
            k->affine(sums, 1 / s->weight[i], 0, p->d);
            k->store(job->out->type,
                     operand_at(job->out, (sample * p->lq + query + i) * p->o_stride + head * p->d), sums,
                     p->d);
        }
    }
}

static bool run_attention(const fast_program *f, const cpu_call *call) {
    attention_job job = make_job(f, call);
    uint64_t heads = (uint64_t)job.p->batch * job.p->heads;
    thread_pool_for(call->pool, heads * job.key_panels, 4, pack_keys, &job);
    thread_pool_for(call->pool, heads * job.tiles, 1, run_tiles, &job);
    return true;
}

const fast_op fast_attention = {NULL, scratch_size, run_attention};
