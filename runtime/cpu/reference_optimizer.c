/* The optimiser's ops for cpu-reference. */
#include <math.h>

#include "cpu/reference.h"

bool reference_square_sum(const cpu_call *call, uint64_t first, uint64_t last) {
    const square_sum_params *p = &call->params->square_sum;
    for (uint64_t part = first; part < last; part++) {
        uint64_t begin = part * p->per_part, end = begin + p->per_part;
        if (end > p->count) end = p->count;
        double sum = 0;
        for (uint64_t i = begin; i < end; i++) {
            double x = operand_load(&call->operands[SQUARE_SUM_X], i);
            sum += x * x;
        }
        operand_store(&call->operands[SQUARE_SUM_OUT], p->out_first + part, sum);
    }
    return true;
}

/* By what gradients are multiplied; NAN: nothing may change. */
static double gradient_factor(const cpu_call *call, const float *row) {
    double factor = (double)row[OPTIMIZER_ROW_GRADIENT_SCALE], most = (double)row[OPTIMIZER_ROW_MAX_NORM];
    if (!(call->params->adamw.flags & ADAMW_NORM)) return factor;
    const bool scaled = call->params->adamw.flags & ADAMW_SCALED;
    double squares = operand_load(&call->operands[ADAMW_IN_NORM], scaled ? LOSS_SCALE_SQUARES : 0);
    if (!isfinite(squares)) return NAN;
    if (scaled) factor *= operand_load(&call->operands[ADAMW_IN_NORM], LOSS_SCALE_INVERSE);
    if (!(most > 0)) return factor;
    double clip = most / (factor * sqrt(squares) + 1e-6);
    return clip < 1 ? factor * clip : factor;
}

bool reference_adamw(const cpu_call *call, uint64_t first, uint64_t last) {
    const adamw_params *p = &call->params->adamw;
    const cpu_operand *o = call->operands;
    uint32_t step = ((const uint32_t *)o[ADAMW_STEP].data)[0];
    if (step >= p->steps) step = p->steps - 1;
    const float *row = (const float *)o[ADAMW_TABLE].data + (uint64_t)step * OPTIMIZER_ROW_LENGTH;
    double factor = gradient_factor(call, row), beta1 = (double)row[OPTIMIZER_ROW_BETA1],
           beta2 = (double)row[OPTIMIZER_ROW_BETA2], bias1 = (double)row[OPTIMIZER_ROW_BIAS1],
           bias2 = (double)row[OPTIMIZER_ROW_BIAS2], epsilon = (double)row[OPTIMIZER_ROW_EPSILON],
           kept = (double)row[OPTIMIZER_ROW_EMA_DECAY],
           rate = (double)row[OPTIMIZER_ROW_LEARNING_RATE] * (double)p->rate,
           decay = (double)row[OPTIMIZER_ROW_WEIGHT_DECAY] * (double)p->decay;
    if (isnan(factor)) return true;
    for (uint64_t i = first; i < last; i++) {
        double g = factor * operand_load(&o[ADAMW_GRADIENT], i);
        double m = beta1 * operand_load(&o[ADAMW_M], i) + (1 - beta1) * g;
        double v = beta2 * operand_load(&o[ADAMW_V], i) + (1 - beta2) * g * g;
        double weight = (1 - rate * decay) * operand_load(&o[ADAMW_WEIGHT], i) -
                        rate * (m / bias1) / (sqrt(v / bias2) + epsilon);
        operand_store(&o[ADAMW_M], i, m);
        operand_store(&o[ADAMW_V], i, v);
        operand_store(&o[ADAMW_WEIGHT], i, weight);
        if (p->flags & ADAMW_AVERAGE)
            operand_store(&o[ADAMW_IN_AVERAGE], i,
                          kept * operand_load(&o[ADAMW_IN_AVERAGE], i) + (1 - kept) * weight);
    }
    return true;
}

bool reference_accumulate(const cpu_call *call, uint64_t first, uint64_t last) {
    const cpu_operand *x = &call->operands[ACCUMULATE_X], *sum = &call->operands[ACCUMULATE_SUM];
    const bool begins = ((const uint32_t *)call->operands[ACCUMULATE_INDEX].data)[0] == 0;
    for (uint64_t i = first; i < last; i++)
        operand_store(sum, i, operand_load(x, i) + (begins ? 0 : operand_load(sum, i)));
    return true;
}

bool reference_loss_scale(const cpu_call *call, uint64_t first, uint64_t last) {
    (void)first;
    (void)last;
    const loss_scale_params *p = &call->params->loss_scale;
    const float squares = *(const float *)call->operands[LOSS_SCALE_IN_SQUARES].data;
    float *state = call->operands[LOSS_SCALE_STATE].data;
    state[LOSS_SCALE_SQUARES] = squares;
    state[LOSS_SCALE_INVERSE] = 1 / state[LOSS_SCALE_NOW];
    if (!isfinite(squares)) {
        state[LOSS_SCALE_NOW] = fmaxf(state[LOSS_SCALE_NOW] / 2, p->least);
        state[LOSS_SCALE_GOOD] = 0;
        state[LOSS_SCALE_SKIPPED] += 1;
        return true;
    }
    state[LOSS_SCALE_GOOD] += 1;
    if (!(state[LOSS_SCALE_GOOD] >= (float)p->grow_after)) return true;
    state[LOSS_SCALE_NOW] = fminf(state[LOSS_SCALE_NOW] * 2, p->most);
    state[LOSS_SCALE_GOOD] = 0;
    return true;
}
