/* Gradients of everything that works element by element or moves rows, and the losses, for cpu-reference. */
#include <math.h>

#include "cpu/reference.h"

/* Of x * s(k x) with the logistic function s: s + k x s (1 - s). */
static double swish_slope(double k, double x) {
    double s = 1 / (1 + exp(-k * x));
    return s + k * x * s * (1 - s);
}

double reference_activation_slope(uint32_t kind, double x) {
    static const double inverse_sqrt_2pi = 0.39894228040143267794;
    switch (kind) {
    case UNARY_SILU:
        return swish_slope(1, x);
    case UNARY_GELU:
        return 0.5 * (1 + erf(x * sqrt(0.5))) + x * exp(-0.5 * x * x) * inverse_sqrt_2pi;
    case UNARY_QUICK_GELU:
        return swish_slope(1.702, x);
    case UNARY_EXP:
        return exp(x);
    case UNARY_TANH:
        return 1 - tanh(x) * tanh(x);
    case UNARY_RELU:
        return x > 0;
    default:
        return 1;
    }
}

bool reference_unary_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const unary_grad_params *p = &call->params->unary_grad;
    const cpu_operand *o = call->operands;
    for (uint64_t i = first; i < last; i++) {
        double x = (double)p->scale * operand_load(&o[UNARY_GRAD_X], i) + (double)p->shift;
        operand_store(&o[UNARY_GRAD_DX], i,
                      (double)p->scale * reference_activation_slope(p->kind, x) *
                          operand_load(&o[UNARY_GRAD_DY], i));
    }
    return true;
}

bool reference_geglu_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const geglu_grad_params *p = &call->params->geglu_grad;
    const cpu_operand *o = call->operands;
    for (uint64_t row = first; row < last; row++)
        for (uint64_t c = 0; c < p->c; c++) {
            uint64_t at = row * 2 * p->c + c;
            double value = operand_load(&o[GEGLU_GRAD_X], at),
                   gate = operand_load(&o[GEGLU_GRAD_X], at + p->c),
                   dy = operand_load(&o[GEGLU_GRAD_DY], row * p->c + c);
            operand_store(&o[GEGLU_GRAD_DX], at, dy * reference_activation(UNARY_GELU, gate));
            operand_store(&o[GEGLU_GRAD_DX], at + p->c,
                          dy * value * reference_activation_slope(UNARY_GELU, gate));
        }
    return true;
}

/* Items are the pixels of the smaller picture. */
bool reference_upsample_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const upsample_grad_params *p = &call->params->upsample_grad;
    const cpu_operand *dy = &call->operands[UPSAMPLE_GRAD_DY];
    uint64_t line = 2 * (uint64_t)p->w * p->c; /* of the larger picture */
    for (uint64_t pixel = first; pixel < last; pixel++) {
        uint64_t row = pixel / p->w, from = 2 * row * line + 2 * (pixel % p->w) * p->c;
        for (uint64_t c = from; c < from + p->c; c++) {
            double sum = operand_load(dy, c) + operand_load(dy, c + p->c) + operand_load(dy, c + line) +
                         operand_load(dy, c + line + p->c);
            operand_store(&call->operands[UPSAMPLE_GRAD_DX], pixel * p->c + c - from, sum);
        }
    }
    return true;
}

/* Items are the rows of dx. */
bool reference_gather_rows_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const gather_rows_grad_params *p = &call->params->gather_rows_grad;
    const cpu_operand *o = call->operands;
    const uint32_t *index = o[GATHER_ROWS_GRAD_INDEX].data;
    uint64_t blocks = p->x_rows / p->block;
    double *sums = host_calloc(call->host, p->c, sizeof *sums);
    if (!sums) return false;
    for (uint64_t row = first; row < last; row++) {
        uint64_t block = p->block0 + row / p->block, inner = row % p->block;
        for (uint64_t c = 0; c < p->c; c++)
            sums[c] = 0;
        for (uint64_t r = 0; r < p->rows / p->block; r++) {
            if ((index[r] < blocks ? index[r] : p->beyond) != block) continue;
            for (uint64_t c = 0; c < p->c; c++)
                sums[c] += operand_load(&o[GATHER_ROWS_GRAD_DY], (r * p->block + inner) * p->c + c);
        }
        for (uint64_t c = 0; c < p->c; c++)
            operand_store(&o[GATHER_ROWS_GRAD_DX], row * p->c + c, sums[c]);
    }
    host_free(call->host, sums);
    return true;
}

/* -----------------------------------------------------------------------------------------------------
 * losses -- */

static double loss_value(uint32_t kind, double beta, double d) {
    switch (kind) {
    case LOSS_HUBER:
        return fabs(d) < beta ? d * d / (2 * beta) : fabs(d) - beta / 2;
    case LOSS_EXP:
        return expm1(d) - d;
    default:
        return d * d;
    }
}

static double loss_slope(uint32_t kind, double beta, double d) {
    switch (kind) {
    case LOSS_HUBER:
        return fabs(d) < beta ? d / beta : d > 0 ? 1 : d < 0 ? -1 : 0;
    case LOSS_EXP:
        return expm1(d);
    default:
        return 2 * d;
    }
}

/* x - target; loss and loss_grad have the same inputs in the same places. */
static double difference(const cpu_call *call, uint32_t flags, uint64_t i) {
    double target = flags & LOSS_TARGET ? operand_load(&call->operands[LOSS_IN_TARGET], i) : 0;
    return operand_load(&call->operands[LOSS_X], i) - target;
}

static double weight_of(const cpu_call *call, uint32_t weight_each, uint64_t i) {
    return weight_each ? operand_load(&call->operands[LOSS_WEIGHT], i / weight_each) : 1;
}

bool reference_loss(const cpu_call *call, uint64_t first, uint64_t last) {
    const loss_params *p = &call->params->loss;
    for (uint64_t part = first; part < last; part++) {
        uint64_t begin = part * p->per_part, end = begin + p->per_part;
        if (end > p->count) end = p->count;
        double sum = 0;
        for (uint64_t i = begin; i < end; i++)
            sum += weight_of(call, p->weight_each, p->weight_first + i) *
                   loss_value(p->kind, (double)p->beta, difference(call, p->flags, i));
        operand_store(&call->operands[LOSS_OUT], p->out_first + part, (double)p->scale * sum);
    }
    return true;
}

bool reference_loss_grad(const cpu_call *call, uint64_t first, uint64_t last) {
    const loss_grad_params *p = &call->params->loss_grad;
    const double factor =
        p->flags & LOSS_SCALED ? operand_load(&call->operands[LOSS_GRAD_FACTOR], LOSS_SCALE_NOW) : 1;
    for (uint64_t i = first; i < last; i++) {
        double slope = loss_slope(p->kind, (double)p->beta, difference(call, p->flags, i));
        operand_store(&call->operands[LOSS_GRAD_DX], i,
                      factor * (double)p->scale * weight_of(call, p->weight_each, p->weight_first + i) *
                          slope);
    }
    return true;
}
