/* Gradients that work element by element, and the optimiser's step, for the `cpu` executor. */
#include <math.h>

#include "cpu/fast.h"

enum { STRETCH = 1024 };

static void unary_grad_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const unary_grad_params *p = &job->call->params->unary_grad;
    const cpu_operand *o = job->call->operands;
    const cpu_kernels *k = job->f->kernels;
    float x[STRETCH], dy[STRETCH];
    for (uint64_t i = first; i < last; i += STRETCH) {
        size_t count = last - i < STRETCH ? (size_t)(last - i) : STRETCH;
        k->load(o[UNARY_GRAD_X].type, operand_at(&o[UNARY_GRAD_X], i), count, x);
        k->load(o[UNARY_GRAD_DY].type, operand_at(&o[UNARY_GRAD_DY], i), count, dy);
        if (p->scale != 1.0f || p->shift != 0.0f) k->affine(x, p->scale, p->shift, count);
        k->slope(p->kind, x, count);
        k->multiply_by(x, dy, count);
        if (p->scale != 1.0f) k->affine(x, p->scale, 0, count);
        k->store(o[UNARY_GRAD_DX].type, operand_at(&o[UNARY_GRAD_DX], i), x, count);
    }
}

static bool run_unary_grad(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->unary_grad.count, 8 * STRETCH, unary_grad_range, &job);
    return true;
}

/* Items are rows. */
static void geglu_grad_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    uint64_t c = job->call->params->geglu_grad.c;
    const cpu_operand *x = &job->call->operands[GEGLU_GRAD_X], *dy = &job->call->operands[GEGLU_GRAD_DY],
                      *dx = &job->call->operands[GEGLU_GRAD_DX];
    const cpu_kernels *k = job->f->kernels;
    float value[STRETCH], gate[STRETCH], d[STRETCH];
    for (uint64_t row = first; row < last; row++) {
        for (uint64_t i = 0; i < c; i += STRETCH) {
            size_t count = c - i < STRETCH ? (size_t)(c - i) : STRETCH;
            uint64_t at = row * 2 * c + i;
            k->load(x->type, operand_at(x, at), count, value);
            k->load(x->type, operand_at(x, at + c), count, gate);
            k->load(dy->type, operand_at(dy, row * c + i), count, d);
            k->multiply_by(value, d, count);
            k->gate(d, gate, count);
            k->slope(UNARY_GELU, gate, count);
            k->multiply_by(value, gate, count);
            k->store(dx->type, operand_at(dx, at), d, count);
            k->store(dx->type, operand_at(dx, at + c), value, count);
        }
    }
}

static bool run_geglu_grad(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->geglu_grad.rows, 16, geglu_grad_range, &job);
    return true;
}

/* f'(d), see loss_grad in params.h. */
static float loss_slope(uint32_t kind, float beta, float d) {
    switch (kind) {
    case LOSS_HUBER:
        return fabsf(d) < beta ? d / beta : d > 0 ? 1.0f : d < 0 ? -1.0f : 0.0f;
    case LOSS_EXP:
        return expm1f(d);
    default:
        return 2 * d;
    }
}

static void loss_grad_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const loss_grad_params *p = &job->call->params->loss_grad;
    const cpu_operand *o = job->call->operands;
    const float *target = o[LOSS_GRAD_TARGET].data, *weight = o[LOSS_GRAD_WEIGHT].data,
                factor =
                    p->flags & LOSS_SCALED ? ((const float *)o[LOSS_GRAD_FACTOR].data)[LOSS_SCALE_NOW] : 1;
    float x[STRETCH];
    for (uint64_t i = first; i < last;) {
        /* up to where the weight changes */
        uint64_t w = p->weight_first + i,
                 room = p->weight_each ? p->weight_each - w % p->weight_each : STRETCH,
                 left = room < last - i ? room : last - i;
        size_t count = left < STRETCH ? (size_t)left : STRETCH;
        float scale = factor * (p->weight_each ? p->scale * weight[w / p->weight_each] : p->scale);
        job->f->kernels->load(o[LOSS_GRAD_X].type, operand_at(&o[LOSS_GRAD_X], i), count, x);
        for (size_t j = 0; p->flags & LOSS_TARGET && j < count; j++)
            x[j] -= target[i + j];
        for (size_t j = 0; j < count; j++)
            x[j] = scale * loss_slope(p->kind, p->beta, x[j]);
        job->f->kernels->store(o[LOSS_GRAD_DX].type, operand_at(&o[LOSS_GRAD_DX], i), x, count);
        i += count;
    }
}

static bool run_loss_grad(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->loss_grad.count, 8 * STRETCH, loss_grad_range, &job);
    return true;
}

/* ---------------------------------------------------------------------------------------------------- adamw
 * -- */

typedef struct adamw_job {
    const fast_program *f;
    const cpu_call *call;
    adamw_factors factors;
} adamw_job;

static void adamw_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const adamw_job *job = argument;
    const cpu_operand *o = job->call->operands;
    bool average = job->call->params->adamw.flags & ADAMW_AVERAGE;
    for (uint64_t i = first; i < last; i += STRETCH) {
        size_t count = last - i < STRETCH ? (size_t)(last - i) : STRETCH;
        job->f->kernels->adamw(&job->factors, operand_at(&o[ADAMW_GRADIENT], i),
                               operand_at(&o[ADAMW_WEIGHT], i), operand_at(&o[ADAMW_M], i),
                               operand_at(&o[ADAMW_V], i),
                               average ? operand_at(&o[ADAMW_IN_AVERAGE], i) : NULL, count);
    }
}

/* By what gradients are multiplied; NAN: nothing may change. */
static double gradient_scale(const cpu_call *call, const float *row) {
    double scale = (double)row[OPTIMIZER_ROW_GRADIENT_SCALE], most = (double)row[OPTIMIZER_ROW_MAX_NORM];
    if (!(call->params->adamw.flags & ADAMW_NORM)) return scale;
    const float *norm = call->operands[ADAMW_IN_NORM].data;
    const bool scaled = call->params->adamw.flags & ADAMW_SCALED;
    double squares = (double)norm[scaled ? LOSS_SCALE_SQUARES : 0];
    if (!isfinite(squares)) return NAN;
    if (scaled) scale *= (double)norm[LOSS_SCALE_INVERSE];
    double clip = most / (scale * sqrt(squares) + 1e-6);
    return most > 0 && clip < 1 ? scale * clip : scale;
}

static bool run_adamw(const fast_program *f, const cpu_call *call) {
    const adamw_params *p = &call->params->adamw;
    uint32_t step = *(const uint32_t *)call->operands[ADAMW_STEP].data;
    if (step >= p->steps) step = p->steps - 1;
    const float *row =
        (const float *)call->operands[ADAMW_TABLE].data + (uint64_t)step * OPTIMIZER_ROW_LENGTH;
    double scale = gradient_scale(call, row), beta1 = (double)row[OPTIMIZER_ROW_BETA1],
           beta2 = (double)row[OPTIMIZER_ROW_BETA2],
           rate = (double)row[OPTIMIZER_ROW_LEARNING_RATE] * (double)p->rate;
    if (isnan(scale)) return true;
    adamw_job job = {f,
                     call,
                     {.gradient_scale = (float)scale,
                      .m_kept = (float)beta1,
                      .m_new = (float)(1 - beta1),
                      .v_kept = (float)beta2,
                      .v_new = (float)(1 - beta2),
                      .v_scale = (float)(1 / (double)row[OPTIMIZER_ROW_BIAS2]),
                      .decay = (float)(rate * (double)row[OPTIMIZER_ROW_WEIGHT_DECAY] * (double)p->decay),
                      .rate = (float)(rate / (double)row[OPTIMIZER_ROW_BIAS1]),
                      .epsilon = row[OPTIMIZER_ROW_EPSILON],
                      .average_new = (float)(1 - (double)row[OPTIMIZER_ROW_EMA_DECAY])}};
    thread_pool_for(call->pool, p->count, 8 * STRETCH, adamw_range, &job);
    return true;
}

static void accumulate_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const fast_job *job = argument;
    const cpu_operand *o = job->call->operands;
    const bool begins = *(const uint32_t *)o[ACCUMULATE_INDEX].data == 0;
    float *sum = operand_at(&o[ACCUMULATE_SUM], first);
    const float *x = operand_at(&o[ACCUMULATE_X], first);
    if (begins)
        memcpy(sum, x, (size_t)(last - first) * sizeof *sum);
    else
        job->f->kernels->add(sum, x, (size_t)(last - first));
}

static bool run_accumulate(const fast_program *f, const cpu_call *call) {
    fast_job job = {f, call};
    thread_pool_for(call->pool, call->params->accumulate.count, 8 * STRETCH, accumulate_range, &job);
    return true;
}

const fast_op fast_unary_grad = {NULL, NULL, run_unary_grad};
const fast_op fast_geglu_grad = {NULL, NULL, run_geglu_grad};
const fast_op fast_loss_grad = {NULL, NULL, run_loss_grad};
const fast_op fast_adamw = {NULL, NULL, run_adamw};
const fast_op fast_accumulate = {NULL, NULL, run_accumulate};
