/* Everything of cpu-reference that works element by element or moves rows. */
#include <math.h>

#include "cpu/reference.h"

void operand_load_row(const cpu_operand *x, uint64_t index, uint64_t count, double *out, uint64_t step) {
    if (x->type == DTYPE_F32) { /* the common case, without a branch per element */
        const float *from = (const float *)x->data + index;
        for (uint64_t i = 0; i < count; i++)
            out[i * step] = (double)from[i];
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        out[i * step] = operand_load(x, index + i);
}

void operand_copy(const cpu_operand *out, uint64_t to, const cpu_operand *x, uint64_t from, uint64_t count) {
    size_t size = dtype_size(x->type);
    memcpy((uint8_t *)out->data + to * size, (const uint8_t *)x->data + from * size, count * size);
}

double reference_activation(uint32_t kind, double x) {
    switch (kind) {
    case UNARY_SILU:
        return x / (1 + exp(-x));
    case UNARY_GELU:
        return x * 0.5 * (1 + erf(x * sqrt(0.5)));
    case UNARY_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case UNARY_EXP:
        return exp(x);
    case UNARY_TANH:
        return tanh(x);
    case UNARY_RELU:
        return x > 0 ? x : 0;
    default:
        return x;
    }
}

bool reference_unary(const cpu_call *call, uint64_t first, uint64_t last) {
    const unary_params *p = &call->params->unary;
    for (uint64_t i = first; i < last; i++) {
        double x = (double)p->scale * operand_load(&call->operands[UNARY_X], i) + (double)p->shift;
        operand_store(&call->operands[UNARY_OUT], i, reference_activation(p->kind, x));
    }
    return true;
}

bool reference_binary(const cpu_call *call, uint64_t first, uint64_t last) {
    const binary_params *p = &call->params->binary;
    for (uint64_t i = first; i < last; i++) {
        double a = operand_load(&call->operands[BINARY_A], i),
               b = operand_load(&call->operands[BINARY_B], i % p->b_count);
        operand_store(&call->operands[BINARY_OUT], i,
                      p->kind == BINARY_MUL ? a * b : (double)p->a_scale * a + (double)p->b_scale * b);
    }
    return true;
}

bool reference_geglu(const cpu_call *call, uint64_t first, uint64_t last) {
    const geglu_params *p = &call->params->geglu;
    const cpu_operand *x = &call->operands[GEGLU_X];
    for (uint64_t row = first; row < last; row++) {
        for (uint64_t c = 0; c < p->c; c++) {
            double value = operand_load(x, row * 2 * p->c + c),
                   gate = operand_load(x, (row * 2 + 1) * p->c + c);
            operand_store(&call->operands[GEGLU_OUT], row * p->c + c,
                          value * reference_activation(UNARY_GELU, gate));
        }
    }
    return true;
}

bool reference_concat(const cpu_call *call, uint64_t first, uint64_t last) {
    const concat_params *p = &call->params->concat;
    const cpu_operand *o = call->operands;
    uint64_t c = (uint64_t)p->c0 + p->c1;
    for (uint64_t row = first; row < last; row++) {
        operand_copy(&o[CONCAT_OUT], row * c, &o[CONCAT_X0], row * p->c0, p->c0);
        operand_copy(&o[CONCAT_OUT], row * c + p->c0, &o[CONCAT_X1], row * p->c1, p->c1);
    }
    return true;
}

bool reference_slice(const cpu_call *call, uint64_t first, uint64_t last) {
    const slice_params *p = &call->params->slice;
    const cpu_operand *o = call->operands;
    for (uint64_t row = first; row < last; row++)
        operand_copy(&o[SLICE_OUT], row * p->c, &o[SLICE_X], row * p->x_c + p->offset, p->c);
    return true;
}

/* Items are the pixels of the enlarged picture. */
bool reference_upsample(const cpu_call *call, uint64_t first, uint64_t last) {
    const upsample_params *p = &call->params->upsample;
    const cpu_operand *o = call->operands;
    for (uint64_t row = first; row < last; row++) {
        uint64_t x = row % (2 * (uint64_t)p->w), y = row / (2 * (uint64_t)p->w) % (2 * (uint64_t)p->h);
        uint64_t sample = row / (4 * (uint64_t)p->w * p->h), pixel = (sample * p->h + y / 2) * p->w + x / 2;
        operand_copy(&o[UPSAMPLE_OUT], row * p->c, &o[UPSAMPLE_X], pixel * p->c, p->c);
    }
    return true;
}

/* Items are coarse pixels, each `block` runs of a fine picture's row. */
bool reference_pixel_shuffle(const cpu_call *call, uint64_t first, uint64_t last) {
    const pixel_shuffle_params *p = &call->params->pixel_shuffle;
    const cpu_operand *x = &call->operands[PIXEL_SHUFFLE_X], *out = &call->operands[PIXEL_SHUFFLE_OUT];
    const uint64_t run = (uint64_t)p->block * p->c;
    for (uint64_t pixel = first; pixel < last; pixel++) {
        uint64_t column = pixel % p->w, row = pixel / p->w; /* row: over all samples */
        for (uint64_t i = 0; i < p->block; i++) {
            uint64_t coarse = (pixel * p->block + i) * run;
            uint64_t fine = ((row * p->block + i) * p->w + column) * run;
            if (p->inverse)
                operand_copy(out, coarse, x, fine, run);
            else
                operand_copy(out, fine, x, coarse, run);
        }
    }
    return true;
}

bool reference_embedding(const cpu_call *call, uint64_t first, uint64_t last) {
    const embedding_params *p = &call->params->embedding;
    const cpu_operand *o = call->operands;
    for (uint64_t row = first; row < last; row++) {
        uint64_t id = ((const uint32_t *)o[EMBEDDING_IDS].data)[row];
        if (id >= p->vocabulary) id = 0;
        if (id < p->table_first || id - p->table_first >= p->table_rows) continue; /* in another window */
        id -= p->table_first;
        for (uint64_t c = 0; c < p->c; c++) {
            double value = operand_load(&o[EMBEDDING_TABLE], id * p->c + c);
            if (p->length) value += operand_load(&o[EMBEDDING_POSITIONS], row % p->length * p->c + c);
            operand_store(&o[EMBEDDING_OUT], row * p->c + c, value);
        }
    }
    return true;
}

bool reference_timestep_embedding(const cpu_call *call, uint64_t first, uint64_t last) {
    const timestep_embedding_params *p = &call->params->timestep_embedding;
    const cpu_operand *out = &call->operands[TIMESTEP_EMBEDDING_OUT];
    uint64_t half = p->dim / 2;
    for (uint64_t row = first; row < last; row++) {
        double t = operand_load(&call->operands[TIMESTEP_EMBEDDING_T], row);
        for (uint64_t i = 0; i < half; i++) {
            double frequency =
                exp(-log((double)p->max_period) * (double)i / ((double)half - (double)p->shift));
            double angle = (double)p->scale * t * frequency;
            uint64_t at = row * p->dim + i;
            operand_store(out, p->flags & TIMESTEP_FLIP ? at + half : at, sin(angle));
            operand_store(out, p->flags & TIMESTEP_FLIP ? at : at + half, cos(angle));
        }
        if (p->dim % 2) operand_store(out, row * p->dim + p->dim - 1, 0);
    }
    return true;
}

bool reference_gather_rows(const cpu_call *call, uint64_t first, uint64_t last) {
    const gather_rows_params *p = &call->params->gather_rows;
    const cpu_operand *o = call->operands;
    uint64_t blocks = p->x_rows / p->block;
    for (uint64_t row = first; row < last; row++) {
        uint64_t index = ((const uint32_t *)o[GATHER_ROWS_INDEX].data)[row / p->block];
        if (index >= blocks) index = blocks - 1;
        operand_copy(&o[GATHER_ROWS_OUT], row * p->c, &o[GATHER_ROWS_X],
                     (index * p->block + row % p->block) * p->c, p->c);
    }
    return true;
}

bool reference_step_advance(const cpu_call *call, uint64_t first, uint64_t last) {
    if (first < last) ((uint32_t *)call->operands[STEP_ADVANCE_STEP].data)[0] += 1;
    return true;
}
