/* Fusion around attention: it reads q, k and v with strides and offsets, so they may lie side by side in one
 * tensor. */
#include "graph/fuse.h"

/* Strides and offsets of q, k and v, by binding. */
static uint32_t *stride_of(attention_params *p, uint32_t binding) {
    return binding == 0 ? &p->q_stride : binding == 1 ? &p->k_stride : &p->v_stride;
}

static uint32_t *offset_of(attention_params *p, uint32_t binding) {
    return binding == 0 ? &p->q_offset : binding == 1 ? &p->k_offset : &p->v_offset;
}

/* True if binding b of `node` can be redirected to `columns` columns of a wider tensor. */
static bool can_stride(graph_node *node, uint32_t b, uint32_t columns) {
    return node->op == OP_ATTENTION && b < 3 && *stride_of(&node->params.attention, b) == columns &&
           *offset_of(&node->params.attention, b) == 0;
}

bool fuse_slices(fuser *f, uint32_t index) {
    graph *g = f->g;
    graph_node *node = &g->nodes[index];
    if (node->op != OP_SLICE) return false;
    const slice_params *p = &node->params.slice;
    const graph_use *use = &f->uses[node->bindings[1]];
    if (use->output || use->count == 0) return false;
    for (uint32_t redirect = 0; redirect < 2; redirect++) /* look first, then change */
        for (uint32_t i = index + 1; i <= use->last; i++)
            for (uint32_t b = 0; b < op_get(g->nodes[i].op)->binding_count && !g->nodes[i].dead; b++) {
                graph_node *reader = &g->nodes[i];
                if (!reader->bindings[b] || graph_root(g, reader->bindings[b]) != node->bindings[1]) continue;
                if (!redirect) {
                    if (!can_stride(reader, b, p->c)) return false;
                    continue;
                }
                *stride_of(&reader->params.attention, b) = p->x_c;
                *offset_of(&reader->params.attention, b) = p->offset;
                reader->bindings[b] = node->bindings[0];
            }
    node->dead = true;
    return true;
}

/* A plain linear layer whose result only this attention reads, and whose weights nobody else uses. */
static graph_node *plain_linear(const fuser *f, graph_node *attention, uint32_t b) {
    const graph *g = f->g;
    const graph_use *use = &f->uses[graph_root(g, attention->bindings[b])];
    if (use->count != 1 || use->output || use->producer == PLAN_NONE) return NULL;
    graph_node *node = &g->nodes[use->producer];
    if (node->op != OP_LINEAR || (node->params.linear.flags & ~EPILOGUE_BIAS) || node->params.linear.k1)
        return NULL;
    bool own = f->uses[node->bindings[2]].count == 1 &&
               (!node->bindings[3] || f->uses[node->bindings[3]].count == 1);
    return own && can_stride(attention, b, node->params.linear.n) ? node : NULL;
}

static bool same_source(const graph *g, const graph_node *a, const graph_node *b) {
    const linear_params *p = &a->params.linear, *q = &b->params.linear;
    return graph_root(g, a->bindings[0]) == graph_root(g, b->bindings[0]) && p->m == q->m && p->k0 == q->k0 &&
           p->flags == q->flags;
}

/* Parameters of several layers (binding 2: weights, 3: biases) as one, row after row. */
static tensor stack(graph *g, graph_node *const *layers, uint32_t count, uint32_t binding, shape4 shape) {
    const graph_tensor *first = &g->tensors[layers[0]->bindings[binding]];
    tensor x = graph_stacked_param(g, first->name, first->type, shape);
    uint64_t element = 0;
    for (uint32_t i = 0; i < count && graph_ok(g); i++) {
        tensor part = layers[i]->bindings[binding];
        for (uint32_t k = 0; k < g->tensors[part].piece_count; k++) {
            const graph_piece piece = g->tensors[part].pieces[k];
            graph_add_piece(g, x, piece.name, (plan_packing)piece.packing, piece.rank, piece.shape,
                            element + piece.element);
        }
        element += graph_elements(g->tensors[part].shape);
    }
    return x;
}

/* Makes one layer, the earliest, of `count`; attention's bindings slots[i] read its columns. */
static bool merge(fuser *f, graph_node *attention, graph_node *const *layers, const uint32_t *slots,
                  uint32_t count) {
    graph *g = f->g;
    graph_node *into = layers[0];
    uint32_t total = 0, k = into->params.linear.k0, offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += layers[i]->params.linear.n;
        if (layers[i] < into) into = layers[i];
    }
    tensor weight = stack(g, layers, count, 2, (shape4){1, 1, total, k});
    tensor bias = into->bindings[3] ? stack(g, layers, count, 3, (shape4){1, 1, 1, total}) : TENSOR_NONE;
    shape4 shape = graph_shape(g, into->bindings[6]);
    shape.c = total;
    tensor out = graph_new_tensor(g, GRAPH_VALUE, g->activation, shape);
    if (!graph_ok(g)) return false;
    for (uint32_t i = 0; i < count; i++) {
        *stride_of(&attention->params.attention, slots[i]) = total;
        *offset_of(&attention->params.attention, slots[i]) = offset;
        attention->bindings[slots[i]] = out;
        offset += layers[i]->params.linear.n;
        if (layers[i] != into) layers[i]->dead = true;
    }
    into->params.linear.n = total;
    into->bindings[2] = weight;
    into->bindings[3] = bias;
    into->bindings[6] = out;
    graph_check_node(g, into);
    graph_check_node(g, attention);
    return true;
}

bool fuse_parallel_linear(fuser *f, uint32_t index) {
    graph_node *attention = &f->g->nodes[index];
    if (attention->op != OP_ATTENTION) return false;
    for (uint32_t first = 0; first < 2; first++) {
        graph_node *layers[3] = {plain_linear(f, attention, first)};
        uint32_t slots[3] = {first}, count = 1;
        for (uint32_t b = first + 1; b < 3 && layers[0]; b++) {
            graph_node *other = plain_linear(f, attention, b);
            if (!other || !same_source(f->g, layers[0], other)) continue;
            layers[count] = other;
            slots[count++] = b;
        }
        if (count > 1) return merge(f, attention, layers, slots, count);
    }
    return false;
}
