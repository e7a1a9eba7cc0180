/* The inputs of a case: values in the range that networks hold, rounded to each binding's type. */
#include "ops_cases.h"
#include "sampler_row.h"

#include <math.h>

/* Length of the sum that one output of linear or conv2d is; weights are scaled so that outputs stay near 1.
 */
static double reduction(const ops_case *c) {
    const op_params *p = &c->params;
    if (c->op == OP_LINEAR) return (double)p->linear.k0 + p->linear.k1;
    if (c->op == OP_CONV2D) return ((double)p->conv2d.c0 + p->conv2d.c1) * p->conv2d.kh * p->conv2d.kw;
    return 1;
}

/* Statistics of rows of roughly unit variance: [n][chunks][groups][mean, squares]. */
static void fill_partial(const ops_case *c, ops_random *r, float *data, uint64_t count) {
    const op_params *p = &c->params;
    const group_norm_grad_stats_params *s = &p->group_norm_grad_stats;
    const group_norm_grad_params *g = &p->group_norm_grad;
    group_norm_params cut = p->group_norm;
    if (c->op == OP_GROUP_NORM_GRAD_STATS)
        cut = (group_norm_params){.hw = s->hw,
                                  .c0 = s->c,
                                  .groups = s->groups,
                                  .chunks = s->chunks,
                                  .rows_per_chunk = s->rows_per_chunk};
    if (c->op == OP_GROUP_NORM_GRAD)
        cut = (group_norm_params){.hw = g->hw,
                                  .c0 = g->c,
                                  .groups = g->groups,
                                  .chunks = g->chunks,
                                  .rows_per_chunk = g->rows_per_chunk};
    for (uint64_t i = 0; i + 1 < count; i += 2) {
        uint64_t chunk = i / 2 / cut.groups % cut.chunks, begin = chunk * cut.rows_per_chunk,
                 rows = cut.rows_per_chunk;
        if (begin + rows > cut.hw) rows = cut.hw - begin;
        data[i] = (float)ops_random_uniform(r);
        data[i + 1] =
            (float)((double)rows * (cut.c0 + cut.c1) / cut.groups * (1 + 0.5 * ops_random_uniform(r)));
    }
}

/* Stands in for attention_stats: denominators near the number of keys (scores are small, see
 * make_attention_grad), then dout . out. */
static void fill_attention_stats(const ops_case *c, ops_random *r, float *data, uint64_t count) {
    for (uint64_t i = 0; i + 1 < count; i += 2) {
        data[i] = (float)(log((double)c->params.attention_grad.lk) + 0.5 * ops_random_uniform(r) + 0.5);
        data[i + 1] = (float)ops_random_uniform(r);
    }
}

/* Rows of an optimiser's table: all places in use, clipping in every other one. */
static void fill_optimizer(ops_random *r, float *data, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        double u = 0.5 + 0.5 * ops_random_uniform(r); /* 0 ... 1 */
        switch (i % OPTIMIZER_ROW_LENGTH) {
        case OPTIMIZER_ROW_LEARNING_RATE:
            u *= 0.1;
            break;
        case OPTIMIZER_ROW_BETA1:
        case OPTIMIZER_ROW_BETA2:
        case OPTIMIZER_ROW_EMA_DECAY:
            u = 0.5 + 0.49 * u;
            break;
        case OPTIMIZER_ROW_EPSILON:
            u = 1e-3 + 1e-2 * u;
            break;
        case OPTIMIZER_ROW_BIAS1:
        case OPTIMIZER_ROW_BIAS2:
            u = 0.1 + 0.9 * u;
            break;
        case OPTIMIZER_ROW_MAX_NORM:
            if (ops_random_between(r, 0, 1)) u = 0;
            break;
        default:
            break;
        }
        data[i] = (float)u;
    }
}

/* Rows of a sampler program with every column in use. */
static void fill_table(const ops_case *c, ops_random *r, float *data, uint64_t count) {
    uint32_t noise_rows = c->op == OP_SAMPLER_UPDATE ? c->params.sampler_update.noise_rows : 0;
    for (uint64_t i = 0; i < count; i++)
        data[i] = (float)ops_random_uniform(r);
    for (uint64_t row = 0; row + SAMPLER_ROW_FLOATS <= count; row += SAMPLER_ROW_FLOATS) {
        data[row + SAMPLER_ROW_CLIP] = ops_random_between(r, 0, 1) ? 0.75f : 0;
        data[row + SAMPLER_ROW_NOISE1] =
            (float)ops_random_between(r, 0, noise_rows + 1) - 1; /* -1, and one too many */
        data[row + SAMPLER_ROW_NOISE2] = (float)ops_random_between(r, 0, noise_rows + 1) - 1;
        data[row + SAMPLER_ROW_GUIDANCE] = 7.5f;
    }
}

/* Indices within their range, and now and then beyond it. */
static void fill_indices(const ops_case *c, ops_random *r, uint32_t *data, uint64_t count) {
    uint32_t range = 3;
    if (c->op == OP_EMBEDDING) range = c->params.embedding.vocabulary;
    if (c->op == OP_GATHER_ROWS_GRAD)
        range = c->params.gather_rows_grad.x_rows / c->params.gather_rows_grad.block;
    if (c->op == OP_ADAMW) range = c->params.adamw.steps;
    if (c->op == OP_GATHER_ROWS) range = c->params.gather_rows.x_rows / c->params.gather_rows.block;
    if (c->op == OP_SAMPLER_INPUT) range = c->params.sampler_input.calls;
    if (c->op == OP_SAMPLER_UPDATE) range = c->params.sampler_update.calls;
    if (c->op == OP_GUIDANCE) range = c->params.guidance.calls;
    for (uint64_t i = 0; i < count; i++) {
        data[i] = ops_random_between(r, 0, range - 1);
        if (ops_random_between(r, 1, 20) == 1) data[i] = ops_random_between(r, 0, 1) ? range : UINT32_MAX;
    }
}

/* Blocks of random bits, with scales and shifts for values within +-scale; every third has no shift. */
static void fill_blocks(dtype type, ops_random *r, double scale, uint8_t *data, uint64_t count) {
    for (uint64_t i = 0; i < count / dtype_block(type); i++, data += dtype_size(type)) {
        uint16_t head[2] = {
            f16_from_f32((float)(scale * ops_random_uniform(r) / (type == DTYPE_Q8 ? 127 : 8))),
            f16_from_f32((float)(scale * ops_random_uniform(r)))};
        if (i % 3 == 0) head[1] = 0x8000u;
        for (uint32_t k = 0; k < 4; k++)
            data[k] = (uint8_t)(head[k / 2] >> k % 2 * 8);
        for (uint32_t k = 4; k < dtype_size(type); k++)
            data[k] = (uint8_t)ops_random_between(r, 0, 255);
    }
}

void ops_case_fill(const ops_case *c, uint32_t binding, void *data) {
    const char *role = op_get(c->op)->bindings[binding].name;
    uint64_t count = c->elements[binding];
    ops_random r = ops_random_seed(1000 + (uint64_t)c->op, c->index, binding);
    if (c->types[binding] == DTYPE_U32) {
        fill_indices(c, &r, data, count);
        return;
    }
    if (c->op != OP_GROUP_NORM_STATS && strcmp(role, "partial") == 0) {
        fill_partial(c, &r, data, count);
        return;
    }
    if (c->op == OP_ATTENTION_GRAD && strcmp(role, "stats") == 0) {
        fill_attention_stats(c, &r, data, count);
        return;
    }
    if (c->op == OP_ADAMW && strcmp(role, "table") == 0) {
        fill_optimizer(&r, data, count);
        return;
    }
    if (strcmp(role, "table") == 0 && c->op != OP_EMBEDDING) {
        fill_table(c, &r, data, count);
        return;
    }
    double scale = 1.7, shift = 0;
    if (c->op == OP_ADAMW && (strcmp(role, "v") == 0 || strcmp(role, "norm") == 0)) scale = shift = 0.5;
    if (c->op == OP_LOSS_SCALE) scale = shift = 1;
    if (strcmp(role, "weight") == 0) scale = 1.7 / sqrt(reduction(c));
    if (dtype_block(c->types[binding]) > 1) {
        if (c->index % 4 == 2 && c->activation == DTYPE_F32)
            scale *= 1e-4; /* scales that are subnormal halves */
        fill_blocks(c->types[binding], &r, scale, data, count);
        return;
    }
    if (strcmp(role, "gamma") == 0) shift = 1, scale = 0.5;
    if (strcmp(role, "mask") == 0) shift = scale = 0.5;
    if (c->op == OP_GROUP_NORM_STATS || c->op == OP_LAYER_NORM ||
        (strcmp(role, "x") == 0 && (c->op == OP_LAYER_NORM_GRAD || c->op == OP_LAYER_NORM_PARAM_GRAD)))
        shift += c->index % 3; /* means far from zero */
    if (c->op == OP_UNARY || c->op == OP_GEGLU) scale = 6;
    if ((c->op == OP_UNARY_GRAD || c->op == OP_GEGLU_GRAD) && strcmp(role, "x") == 0) scale = 6;
    bool exponential = (c->op == OP_UNARY && c->params.unary.kind == UNARY_EXP) ||
                       (c->op == OP_UNARY_GRAD && c->params.unary_grad.kind == UNARY_EXP);
    if (exponential) scale = 2; /* the result must fit f16 */
    if (c->op == OP_TIMESTEP_EMBEDDING) scale = 499.5, shift = 499.5;
    for (uint64_t i = 0; i < count; i++)
        dtype_store(c->types[binding], data, i, scale * ops_random_uniform(&r) + shift);
}
