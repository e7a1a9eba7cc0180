/* Gradients of attention: probabilities are computed again from each row's denominator, so nothing of size
 * queries x keys is kept. */
#include "graph/gradient.h"

void gradient_attention(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const attention_params *p = &node->params.attention;
    uint32_t width = p->heads * p->d;
    if (p->q_stride != width || p->k_stride != width || p->v_stride != width || p->q_offset || p->k_offset ||
        p->v_offset) {
        gradient_refuse(d, node, "it is fused");
        return;
    }
    tensor q = node->bindings[0], k = node->bindings[1], v = node->bindings[2], out = node->bindings[3];
    op_params stats_params = {.attention_stats = {.batch = p->batch,
                                                  .heads = p->heads,
                                                  .d = p->d,
                                                  .lq = p->lq,
                                                  .lk = p->lk,
                                                  .flags = p->flags,
                                                  .scale = p->scale}};
    tensor stats = graph_emit(g, OP_ATTENTION_STATS, "stats", (tensor[OP_MAX_BINDINGS]){q, k, out, dy},
                              &stats_params, (shape4){p->batch, p->heads, p->lq, 2}, DTYPE_F32);
    static const char *const names[] = {"q", "k", "v"};
    for (uint32_t kind = ATTENTION_GRAD_Q; kind <= ATTENTION_GRAD_V; kind++) {
        tensor x = node->bindings[kind];
        if (!gradient_wanted(d, x)) continue;
        op_params params = {.attention_grad = {.batch = p->batch,
                                               .heads = p->heads,
                                               .d = p->d,
                                               .lq = p->lq,
                                               .lk = p->lk,
                                               .kind = kind,
                                               .flags = p->flags,
                                               .scale = p->scale}};
        gradient_add(d, x,
                     graph_emit(g, OP_ATTENTION_GRAD, names[kind],
                                (tensor[OP_MAX_BINDINGS]){q, k, v, dy, stats}, &params, graph_shape(g, x),
                                g->activation));
    }
}
