/* Ops of training that move elements without computing, for the `cpu` executor: bits stay as they are. */
#include "cpu/fast.h"

enum { TILE = 16 }; /* elements a side: the columns of a tile stay in the first-level cache */

/* out[a][b] = in[b][a] for a < width, b < height; rows of in are in_stride long, of out out_stride. */
#define TRANSPOSE(type)                                                                                      \
    static void transpose_##type(const type *restrict in, uint64_t in_stride, uint64_t width,                \
                                 uint64_t height, type *restrict out, uint64_t out_stride) {                 \
        for (uint64_t b = 0; b < height; b += TILE) {                                                        \
            uint64_t end = height - b < TILE ? height : b + TILE;                                            \
            for (uint64_t a = 0; a < width; a++)                                                             \
                for (uint64_t i = b; i < end; i++)                                                           \
                    out[a * out_stride + i] = in[i * in_stride + a];                                         \
        }                                                                                                    \
    }
TRANSPOSE(uint16_t)
TRANSPOSE(uint32_t)
#undef TRANSPOSE

/* Items are [parts of i][kh][kw] of the output. */
static void transpose_items(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const transpose_weight_params *p = &job->call->params->transpose_weight;
    const cpu_operand *in = &job->call->operands[TRANSPOSE_WEIGHT_WEIGHT],
                      *out = &job->call->operands[TRANSPOSE_WEIGHT_OUT];
    uint64_t taps = (uint64_t)p->kh * p->kw;
    for (uint64_t item = first; item < last; item++) {
        uint64_t tap = item % taps, row = item / taps * TILE;
        uint64_t width = p->i - row < TILE ? p->i - row : TILE;
        const void *from = operand_at(in, (taps - 1 - tap) * p->i + row);
        void *to = operand_at(out, (row * taps + tap) * p->o);
        if (dtype_size(out->type) == sizeof(uint32_t))
            transpose_uint32_t(from, taps * p->i, width, p->o, to, taps * p->o);
        else
            transpose_uint16_t(from, taps * p->i, width, p->o, to, taps * p->o);
    }
}

static bool run_transpose_weight(const fast_program *f, const cpu_call *call) {
    const transpose_weight_params *p = &call->params->transpose_weight;
    fast_job job = {f, call};
    thread_pool_for(call->pool, (uint64_t)ceil_div(p->i, TILE) * p->kh * p->kw, 1, transpose_items, &job);
    return true;
}

/* Items are lines [n][oh] of the larger picture. */
static void dilate_lines(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const dilate_params *p = &job->call->params->dilate;
    const cpu_operand *x = &job->call->operands[DILATE_X], *out = &job->call->operands[DILATE_OUT];
    size_t size = dtype_size(x->type), pixel = p->c * size;
    for (uint64_t line = first; line < last; line++) {
        uint64_t y = line % p->oh, sample = line / p->oh, down = y - p->top; /* huge above top */
        uint8_t *to = operand_at(out, line * p->ow * p->c);
        if (p->stride > 1 || p->w < p->ow || y < p->top || down >= p->h) memset(to, 0, p->ow * pixel);
        if (y < p->top || down % p->stride != 0 || down / p->stride >= p->h) continue;
        const uint8_t *from = operand_at(x, (sample * p->h + down / p->stride) * p->w * p->c);
        to += p->left * pixel;
        if (p->stride == 1) {
            memcpy(to, from, p->w * pixel);
            continue;
        }
        for (uint64_t i = 0; i < p->w; i++)
            memcpy(to + i * p->stride * pixel, from + i * pixel, pixel);
    }
}

static bool run_dilate(const fast_program *f, const cpu_call *call) {
    const dilate_params *p = &call->params->dilate;
    fast_job job = {f, call};
    thread_pool_for(call->pool, (uint64_t)p->n * p->oh, 4, dilate_lines, &job);
    return true;
}

/* Items are lines [n][h] of the smaller picture. Scratch: [2][c]. */
static void upsample_grad_lines(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const fast_job *job = argument;
    const upsample_grad_params *p = &job->call->params->upsample_grad;
    const cpu_operand *dy = &job->call->operands[UPSAMPLE_GRAD_DY],
                      *dx = &job->call->operands[UPSAMPLE_GRAD_DX];
    const cpu_kernels *k = job->f->kernels;
    uint64_t c = p->c, line = 2 * (uint64_t)p->w * c; /* of the larger picture */
    float *sums = fast_private(job->f, worker), *row = sums + c;
    for (uint64_t y = first; y < last; y++) {
        for (uint64_t x = 0; x < p->w; x++) {
            uint64_t from = 2 * y * line + 2 * x * c;
            k->load(dy->type, operand_at(dy, from), c, sums);
            for (uint64_t i = 1; i < 4; i++) {
                k->load(dy->type, operand_at(dy, from + i / 2 * line + i % 2 * c), c, row);
                k->add(sums, row, c);
            }
            k->store(dx->type, operand_at(dx, (y * p->w + x) * c), sums, c);
        }
    }
}

static fast_scratch upsample_grad_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    return (fast_scratch){0, 2 * (uint64_t)call->params->upsample_grad.c * sizeof(float)};
}

static bool run_upsample_grad(const fast_program *f, const cpu_call *call) {
    const upsample_grad_params *p = &call->params->upsample_grad;
    fast_job job = {f, call};
    thread_pool_for(call->pool, (uint64_t)p->n * p->h, 1, upsample_grad_lines, &job);
    return true;
}

const fast_op fast_transpose_weight = {NULL, NULL, run_transpose_weight};
const fast_op fast_dilate = {NULL, NULL, run_dilate};
const fast_op fast_upsample_grad = {NULL, upsample_grad_scratch, run_upsample_grad};
