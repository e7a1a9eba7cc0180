/* Gradients of elementwise ops, of data movement, and of losses. */
#include "graph/gradient.h"

void gradient_unary(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const unary_params *p = &node->params.unary;
    tensor x = node->bindings[0];
    dtype type = graph_type(g, x);
    if (p->kind == UNARY_IDENTITY) {
        gradient_add(d, x, gradient_scaled(d, dy, p->scale, type));
        return;
    }
    op_params params = {
        .unary_grad = {.count = p->count, .kind = p->kind, .scale = p->scale, .shift = p->shift}};
    tensor inner = graph_cast(g, x, g->activation), upper = graph_cast(g, dy, g->activation);
    tensor dx = graph_emit(g, OP_UNARY_GRAD, "x", (tensor[OP_MAX_BINDINGS]){inner, upper}, &params,
                           graph_shape(g, x), g->activation);
    gradient_add(d, x, graph_cast(g, dx, type));
}

/* The gradient of an operand that was repeated count / b_count times. */
static tensor sum_repeats(differ *d, tensor dy, uint32_t count, uint32_t b_count, float scale) {
    if (count == b_count) return gradient_scaled(d, dy, scale, d->g->activation);
    return gradient_scaled(d, gradient_sum_rows(d, dy, 1, count / b_count, b_count), scale, d->g->activation);
}

static tensor multiply(differ *d, tensor a, tensor b, const char *name) {
    op_params params = {.binary = {.count = graph_elements(graph_shape(d->g, a)),
                                   .b_count = graph_elements(graph_shape(d->g, b)),
                                   .kind = BINARY_MUL,
                                   .a_scale = 1,
                                   .b_scale = 1}};
    return graph_emit(d->g, OP_BINARY, name, (tensor[OP_MAX_BINDINGS]){a, b}, &params, graph_shape(d->g, a),
                      d->g->activation);
}

void gradient_binary(differ *d, const graph_node *node, tensor dy) {
    const binary_params *p = &node->params.binary;
    tensor a = node->bindings[0], b = node->bindings[1];
    bool product = p->kind == BINARY_MUL;
    if (gradient_wanted(d, a))
        gradient_add(
            d, a, product ? multiply(d, dy, b, "a") : gradient_scaled(d, dy, p->a_scale, d->g->activation));
    if (gradient_wanted(d, b))
        gradient_add(d, b,
                     product ? sum_repeats(d, multiply(d, dy, a, "b"), p->count, p->b_count, 1)
                             : sum_repeats(d, dy, p->count, p->b_count, p->b_scale));
}

void gradient_geglu(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const geglu_params *p = &node->params.geglu;
    op_params params = {.geglu_grad = {.rows = p->rows, .c = p->c}};
    tensor x = node->bindings[0];
    gradient_add(d, x,
                 graph_emit(g, OP_GEGLU_GRAD, "x", (tensor[OP_MAX_BINDINGS]){x, dy}, &params,
                            graph_shape(g, x), g->activation));
}

void gradient_concat(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const concat_params *p = &node->params.concat;
    for (uint32_t i = 0; i < 2; i++) {
        tensor x = node->bindings[i];
        if (!gradient_wanted(d, x)) continue;
        op_params params = {
            .slice = {
                .rows = p->rows, .x_c = p->c0 + p->c1, .offset = i ? p->c0 : 0, .c = i ? p->c1 : p->c0}};
        gradient_add(d, x,
                     graph_emit(g, OP_SLICE, i ? "x1" : "x0", (tensor[OP_MAX_BINDINGS]){dy}, &params,
                                graph_shape(g, x), g->activation));
    }
}

void gradient_slice(differ *d, const graph_node *node, tensor dy) {
    const slice_params *p = &node->params.slice;
    gradient_add(d, node->bindings[0], gradient_pad(d, dy, p->rows, p->c, p->x_c, p->offset));
}

void gradient_upsample(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const upsample_params *p = &node->params.upsample;
    op_params params = {.upsample_grad = {.n = p->n, .h = p->h, .w = p->w, .c = p->c}};
    tensor x = node->bindings[0];
    gradient_add(d, x,
                 graph_emit(g, OP_UPSAMPLE_GRAD, "x", (tensor[OP_MAX_BINDINGS]){dy}, &params,
                            graph_shape(g, x), g->activation));
}

/* A permutation: its transpose is its inverse. */
void gradient_pixel_shuffle(differ *d, const graph_node *node, tensor dy) {
    op_params params = {.pixel_shuffle = node->params.pixel_shuffle};
    params.pixel_shuffle.inverse = !params.pixel_shuffle.inverse;
    tensor x = node->bindings[0];
    gradient_add(d, x,
                 graph_emit(d->g, OP_PIXEL_SHUFFLE, "x", (tensor[OP_MAX_BINDINGS]){dy}, &params,
                            graph_shape(d->g, x), d->g->activation));
}

static tensor scatter(differ *d, tensor index, tensor dy, gather_rows_grad_params p) {
    op_params params = {.gather_rows_grad = p};
    return graph_emit(d->g, OP_GATHER_ROWS_GRAD, "rows", (tensor[OP_MAX_BINDINGS]){index, dy}, &params,
                      (shape4){1, 1, p.x_rows, p.c}, DTYPE_F32);
}

void gradient_embedding(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const embedding_params *p = &node->params.embedding;
    tensor table = node->bindings[1], positions = node->bindings[2];
    if (gradient_wanted(d, table)) {
        gather_rows_grad_params rows = {
            .rows = p->rows, .c = p->c, .block = 1, .x_rows = p->vocabulary, .blocks = p->vocabulary};
        gradient_add(d, table, scatter(d, node->bindings[0], dy, rows));
    }
    if (!gradient_wanted(d, positions)) return;
    uint32_t used = p->length * p->c;
    if (graph_elements(graph_shape(g, positions)) != used || p->rows % p->length) {
        gradient_refuse(d, node, "not all of its positions are used");
        return;
    }
    gradient_add(d, positions, gradient_sum_rows(d, dy, 1, p->rows / p->length, used));
}

void gradient_gather_rows(differ *d, const graph_node *node, tensor dy) {
    const gather_rows_params *p = &node->params.gather_rows;
    tensor x = node->bindings[0];
    if (!gradient_wanted(d, x)) return;
    gather_rows_grad_params rows = {.rows = p->rows,
                                    .c = p->c,
                                    .block = p->block,
                                    .x_rows = p->x_rows,
                                    .beyond = p->x_rows / p->block - 1,
                                    .blocks = p->x_rows / p->block};
    gradient_add(d, x, gradient_scaled(d, scatter(d, node->bindings[1], dy, rows), 1, graph_type(d->g, x)));
}

void gradient_loss(differ *d, const graph_node *node) {
    graph *g = d->g;
    float scale = d->scale * node->params.reduce_sum.scale;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const graph_node loss = g->nodes[i];
        if (loss.op != OP_LOSS || loss.bindings[3] != node->bindings[0]) continue;
        const loss_params *p = &loss.params.loss;
        tensor x = loss.bindings[0];
        op_params params = {.loss_grad = {.count = p->count,
                                          .kind = p->kind,
                                          .flags = p->flags | (d->factor ? LOSS_SCALED : 0),
                                          .weight_each = p->weight_each,
                                          .beta = p->beta,
                                          .scale = scale * p->scale}};
        if (gradient_wanted(d, x))
            gradient_add(
                d, x,
                graph_emit(g, OP_LOSS_GRAD, "x",
                           (tensor[OP_MAX_BINDINGS]){x, loss.bindings[1], loss.bindings[2], d->factor},
                           &params, graph_shape(g, x), g->activation));
        return;
    }
    gradient_refuse(d, node, "only the sums of losses can be");
}
