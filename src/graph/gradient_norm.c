/* Gradients of normalisations. The sums over rows give the gradients of scale and shift, and are what dx
 * needs. */
#include "graph/gradient.h"

void gradient_layer_norm(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const layer_norm_params *p = &node->params.layer_norm;
    tensor x = node->bindings[0], gamma = node->bindings[1], beta = node->bindings[2];
    if (gradient_wanted(d, x)) {
        op_params params = {.layer_norm_grad = {.rows = p->rows, .c = p->c, .eps = p->eps}};
        gradient_add(d, x,
                     graph_emit(g, OP_LAYER_NORM_GRAD, "x", (tensor[OP_MAX_BINDINGS]){x, gamma, dy}, &params,
                                graph_shape(g, x), g->activation));
    }
    if (!gradient_wanted(d, gamma) && !gradient_wanted(d, beta)) return;
    uint32_t each = gradient_split(p->rows, 16, 128), splits = ceil_div(p->rows, each);
    op_params params = {
        .layer_norm_param_grad = {
            .rows = p->rows, .c = p->c, .splits = splits, .rows_per_split = each, .eps = p->eps}};
    tensor sums = graph_emit(g, OP_LAYER_NORM_PARAM_GRAD, "sums", (tensor[OP_MAX_BINDINGS]){x, dy}, &params,
                             (shape4){splits, 1, 2, p->c}, DTYPE_F32);
    if (gradient_wanted(d, beta))
        gradient_add(d, beta, gradient_reduce(d, sums, splits, p->c, 2 * p->c, 0, 1));
    if (gradient_wanted(d, gamma))
        gradient_add(d, gamma, gradient_reduce(d, sums, splits, p->c, 2 * p->c, p->c, 1));
}

void gradient_group_norm(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const group_norm_params *p = &node->params.group_norm;
    if (p->c1 || p->flags || p->rows != p->n * p->hw) {
        gradient_refuse(d, node, "it is fused");
        return;
    }
    tensor x = node->bindings[0], partial = node->bindings[2], gamma = node->bindings[3],
           beta = node->bindings[4];
    op_params stats = {.group_norm_grad_stats = {.n = p->n,
                                                 .hw = p->hw,
                                                 .c = p->c0,
                                                 .groups = p->groups,
                                                 .chunks = p->chunks,
                                                 .rows_per_chunk = p->rows_per_chunk,
                                                 .eps = p->eps,
                                                 .out_samples = p->n}};
    tensor sums = graph_emit(g, OP_GROUP_NORM_GRAD_STATS, "stats", (tensor[OP_MAX_BINDINGS]){x, partial, dy},
                             &stats, (shape4){p->chunks, p->n, 2, p->c0}, DTYPE_F32);
    uint32_t all = 2 * p->n * p->c0;
    sums = gradient_reduce(d, sums, p->chunks, all, all, 0, 1);
    if (gradient_wanted(d, x)) {
        op_params params = {.group_norm_grad = {.n = p->n,
                                                .hw = p->hw,
                                                .c = p->c0,
                                                .groups = p->groups,
                                                .chunks = p->chunks,
                                                .rows_per_chunk = p->rows_per_chunk,
                                                .eps = p->eps}};
        gradient_add(d, x,
                     graph_emit(g, OP_GROUP_NORM_GRAD, "x",
                                (tensor[OP_MAX_BINDINGS]){x, partial, gamma, sums, dy}, &params,
                                graph_shape(g, x), g->activation));
    }
    if (gradient_wanted(d, beta))
        gradient_add(d, beta, gradient_reduce(d, sums, p->n, p->c0, 2 * p->c0, 0, 1));
    if (gradient_wanted(d, gamma))
        gradient_add(d, gamma, gradient_reduce(d, sums, p->n, p->c0, 2 * p->c0, p->c0, 1));
}
