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
    const group_norm_params *p = &c->params.group_norm;
    for (uint64_t i = 0; i + 1 < count; i += 2) {
        uint64_t chunk = i / 2 / p->groups % p->chunks, begin = chunk * p->rows_per_chunk,
                 rows = p->rows_per_chunk;
        if (begin + rows > p->hw) rows = p->hw - begin;
        data[i] = (float)ops_random_uniform(r);
        data[i + 1] = (float)((double)rows * (p->c0 + p->c1) / p->groups * (1 + 0.5 * ops_random_uniform(r)));
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
    if (c->op == OP_GATHER_ROWS) range = c->params.gather_rows.x_rows / c->params.gather_rows.block;
    if (c->op == OP_SAMPLER_INPUT) range = c->params.sampler_input.calls;
    if (c->op == OP_SAMPLER_UPDATE) range = c->params.sampler_update.calls;
    if (c->op == OP_GUIDANCE) range = c->params.guidance.calls;
    for (uint64_t i = 0; i < count; i++) {
        data[i] = ops_random_between(r, 0, range - 1);
        if (ops_random_between(r, 1, 20) == 1) data[i] = ops_random_between(r, 0, 1) ? range : UINT32_MAX;
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
    if (c->op == OP_GROUP_NORM && strcmp(role, "partial") == 0) {
        fill_partial(c, &r, data, count);
        return;
    }
    if (strcmp(role, "table") == 0 && c->op != OP_EMBEDDING) {
        fill_table(c, &r, data, count);
        return;
    }
    double scale = 1.7, shift = 0;
    if (strcmp(role, "weight") == 0) scale = 1.7 / sqrt(reduction(c));
    if (strcmp(role, "gamma") == 0) shift = 1, scale = 0.5;
    if (strcmp(role, "mask") == 0) shift = scale = 0.5;
    if (c->op == OP_GROUP_NORM_STATS || c->op == OP_LAYER_NORM)
        shift += c->index % 3; /* means far from zero */
    if (c->op == OP_UNARY || c->op == OP_GEGLU) scale = 6;
    if (c->op == OP_TIMESTEP_EMBEDDING) scale = 499.5, shift = 499.5;
    for (uint64_t i = 0; i < count; i++)
        dtype_store(c->types[binding], data, i, scale * ops_random_uniform(&r) + shift);
}
