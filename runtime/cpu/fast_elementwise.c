/* Elementwise ops for the `cpu` executor: stretches that fit the first-level cache are widened to f32,
 * computed and stored. */
#include "cpu/fast.h"

enum { STRETCH = 1024 };

typedef struct elementwise_job {
    const fast_program *f;
    const cpu_call *call;
} elementwise_job;

static void unary_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const elementwise_job *job = argument;
    const unary_params *p = &job->call->params->unary;
    const cpu_operand *x = &job->call->operands[UNARY_X], *out = &job->call->operands[UNARY_OUT];
    const cpu_kernels *k = job->f->kernels;
    float values[STRETCH];
    for (uint64_t i = first; i < last; i += STRETCH) {
        size_t count = last - i < STRETCH ? (size_t)(last - i) : STRETCH;
        k->load(x->type, operand_at(x, i), count, values);
        if (p->scale != 1.0f || p->shift != 0.0f) k->affine(values, p->scale, p->shift, count);
        k->activate(p->kind, values, count);
        k->store(out->type, operand_at(out, i), values, count);
    }
}

static bool run_unary(const fast_program *f, const cpu_call *call) {
    elementwise_job job = {f, call};
    thread_pool_for(call->pool, call->params->unary.count, 8 * STRETCH, unary_range, &job);
    return true;
}

static void binary_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const elementwise_job *job = argument;
    const binary_params *p = &job->call->params->binary;
    const cpu_operand *a = &job->call->operands[BINARY_A], *b = &job->call->operands[BINARY_B],
                      *out = &job->call->operands[BINARY_OUT];
    const cpu_kernels *k = job->f->kernels;
    float x[STRETCH], y[STRETCH];
    for (uint64_t i = first; i < last;) {
        uint64_t at = i % p->b_count, count = last - i < STRETCH ? last - i : STRETCH;
        if (count > p->b_count - at) count = p->b_count - at; /* up to where b begins again */
        k->load(a->type, operand_at(a, i), (size_t)count, x);
        k->load(b->type, operand_at(b, at), (size_t)count, y);
        if (p->kind == BINARY_MUL)
            k->multiply_by(x, y, (size_t)count);
        else
            k->combine(x, p->a_scale, y, p->b_scale, (size_t)count);
        k->store(out->type, operand_at(out, i), x, (size_t)count);
        i += count;
    }
}

static bool run_binary(const fast_program *f, const cpu_call *call) {
    elementwise_job job = {f, call};
    thread_pool_for(call->pool, call->params->binary.count, 8 * STRETCH, binary_range, &job);
    return true;
}

/* Items are rows. */
static void geglu_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const elementwise_job *job = argument;
    uint64_t c = job->call->params->geglu.c;
    const cpu_operand *x = &job->call->operands[GEGLU_X], *out = &job->call->operands[GEGLU_OUT];
    const cpu_kernels *k = job->f->kernels;
    float value[STRETCH], gate[STRETCH];
    for (uint64_t row = first; row < last; row++) {
        for (uint64_t i = 0; i < c; i += STRETCH) {
            size_t count = c - i < STRETCH ? (size_t)(c - i) : STRETCH;
            k->load(x->type, operand_at(x, row * 2 * c + i), count, value);
            k->load(x->type, operand_at(x, (row * 2 + 1) * c + i), count, gate);
            k->gate(value, gate, count);
            k->store(out->type, operand_at(out, row * c + i), value, count);
        }
    }
}

static bool run_geglu(const fast_program *f, const cpu_call *call) {
    elementwise_job job = {f, call};
    thread_pool_for(call->pool, call->params->geglu.rows, 16, geglu_range, &job);
    return true;
}

const fast_op fast_unary = {NULL, NULL, run_unary};
const fast_op fast_binary = {NULL, NULL, run_binary};
const fast_op fast_geglu = {NULL, NULL, run_geglu};
