/* Fusion: what a neighbour can do on the way is not a node of its own. One function a rule; each looks at one
 * node and returns true if it changed the graph. A value is fused away only when nobody else reads it. Views
 * do not matter to any rule: they keep the order of elements, and the parameters say how many there are. */
#include "graph/fuse.h"

/* The node that computes x, if x is a value that only one binding reads, and that one node only. */
static graph_node *sole_producer(const fuser *f, tensor x) {
    const graph_use *use = &f->uses[graph_root(f->g, x)];
    bool inner = x && use->count == 1 && !use->output && use->producer != PLAN_NONE;
    return inner && f->g->tensors[x].kind == GRAPH_VALUE ? &f->g->nodes[use->producer] : NULL;
}

/* The epilogue flags of a matrix op; NULL for others. */
static uint32_t *epilogue(graph_node *node) {
    if (node && node->op == OP_LINEAR) return &node->params.linear.flags;
    return node && node->op == OP_CONV2D ? &node->params.conv2d.flags : NULL;
}

static bool has_activation(uint32_t flags) {
    return (flags & (EPILOGUE_SILU | EPILOGUE_GELU | EPILOGUE_QUICK_GELU | EPILOGUE_GEGLU)) != 0;
}

/* Lets `producer` write what `node` wrote. */
static bool absorb(fuser *f, graph_node *producer, graph_node *node) {
    producer->bindings[op_get(producer->op)->output] = node->bindings[op_get(node->op)->output];
    node->dead = true;
    graph_check_node(f->g, producer);
    return true;
}

/* norm or linear or conv2d, then an activation. */
static bool fuse_activation(fuser *f, uint32_t index) {
    static const uint32_t flag_of[] = {0, EPILOGUE_SILU, EPILOGUE_GELU, EPILOGUE_QUICK_GELU};
    graph_node *node = &f->g->nodes[index];
    if (node->op != OP_UNARY) return false;
    const unary_params *p = &node->params.unary;
    dtype in = graph_type(f->g, node->bindings[0]), out = graph_type(f->g, node->bindings[1]);
    if (p->kind == UNARY_IDENTITY || p->kind > UNARY_QUICK_GELU || p->scale != 1 || p->shift != 0 ||
        in != out || in != f->g->activation)
        return false;
    graph_node *producer = sole_producer(f, node->bindings[0]);
    uint32_t *flags = epilogue(producer);
    if (flags && !has_activation(*flags) && !(*flags & EPILOGUE_RESIDUAL)) {
        *flags |= flag_of[p->kind];
        return absorb(f, producer, node);
    }
    if (!producer || producer->op != OP_GROUP_NORM || p->kind != UNARY_SILU ||
        producer->params.group_norm.flags)
        return false;
    producer->params.group_norm.flags |= NORM_SILU;
    return absorb(f, producer, node);
}

/* linear, then geglu: the columns of the weight are already in the order that EPILOGUE_GEGLU wants. */
static bool fuse_geglu(fuser *f, uint32_t index) {
    graph_node *node = &f->g->nodes[index];
    if (node->op != OP_GEGLU) return false;
    graph_node *producer = sole_producer(f, node->bindings[0]);
    const geglu_params *p = &node->params.geglu;
    if (!producer || producer->op != OP_LINEAR || (producer->params.linear.flags & ~EPILOGUE_BIAS) ||
        producer->params.linear.m != p->rows || producer->params.linear.n != 2 * p->c)
        return false;
    producer->params.linear.n = p->c;
    producer->params.linear.flags |= EPILOGUE_GEGLU;
    return absorb(f, producer, node);
}

/* A matrix op's result, added to a value of the same size. The later of two candidates takes the other as its
 * residual; if the other is later still, the matrix op moves to the addition's place. */
static bool fuse_residual(fuser *f, uint32_t index) {
    graph_node *node = &f->g->nodes[index];
    if (node->op != OP_BINARY) return false;
    const binary_params *p = &node->params.binary;
    if (p->kind != BINARY_ADD || p->a_scale != 1 || p->b_scale != 1 || p->count != p->b_count) return false;
    graph_node *best = NULL;
    tensor residual = TENSOR_NONE;
    for (uint32_t side = 0; side < 2; side++) {
        tensor other = node->bindings[1 - side];
        graph_node *producer = sole_producer(f, node->bindings[side]);
        uint32_t *flags = epilogue(producer);
        if (!flags || (*flags & EPILOGUE_RESIDUAL) ||
            f->g->tensors[graph_root(f->g, other)].kind == GRAPH_STATE)
            continue;
        if (best && best > producer) continue;
        best = producer;
        residual = other;
    }
    if (!best) return false;
    *epilogue(best) |= EPILOGUE_RESIDUAL;
    best->bindings[5] = residual;
    absorb(f, best, node);
    uint32_t ready = f->uses[graph_root(f->g, residual)].producer;
    if (ready != PLAN_NONE && best < &f->g->nodes[ready]) {
        graph_node moved = *best;
        *best = *node;
        *node = moved;
    }
    return true;
}

/* The channels that a node reads through x0 alone; NULL if it cannot read two sources, or already does. */
static uint32_t *source_channels(graph_node *node) {
    op_params *p = &node->params;
    if (node->bindings[1]) return NULL;
    switch (node->op) {
    case OP_LINEAR:
        return &p->linear.k0; /* c1 follows c0 in each of these lists */
    case OP_CONV2D:
        return &p->conv2d.c0;
    case OP_GROUP_NORM_STATS:
        return &p->group_norm_stats.c0;
    case OP_GROUP_NORM:
        return &p->group_norm.c0;
    default:
        return NULL;
    }
}

_Static_assert(offsetof(linear_params, k1) == offsetof(linear_params, k0) + 4, "k1 follows k0");
_Static_assert(offsetof(conv2d_params, c1) == offsetof(conv2d_params, c0) + 4, "c1 follows c0");
_Static_assert(offsetof(group_norm_params, c1) == offsetof(group_norm_params, c0) + 4, "c1 follows c0");
_Static_assert(offsetof(group_norm_stats_params, c1) == offsetof(group_norm_stats_params, c0) + 4,
               "c1 follows c0");

/* Does `node` read `root` through a binding other than x0? */
static bool reads_elsewhere(const fuser *f, const graph_node *node, tensor root) {
    const op_info *info = op_get(node->op);
    for (uint32_t b = 1; b < info->binding_count; b++)
        if ((info->bindings[b].access & OP_READ) && node->bindings[b] &&
            graph_root(f->g, node->bindings[b]) == root)
            return true;
    return false;
}

static bool reads(const fuser *f, const graph_node *node, tensor root) {
    return !node->dead && node->bindings[0] && (op_get(node->op)->bindings[0].access & OP_READ) &&
           graph_root(f->g, node->bindings[0]) == root;
}

/* concat whose readers can all read two sources. */
static bool fuse_concat(fuser *f, uint32_t index) {
    graph *g = f->g;
    graph_node *node = &g->nodes[index];
    if (node->op != OP_CONCAT) return false;
    tensor root = node->bindings[2];
    uint32_t c0 = node->params.concat.c0, c1 = node->params.concat.c1;
    if (f->uses[root].output || f->uses[root].count == 0) return false;
    for (uint32_t i = index + 1; i <= f->uses[root].last; i++) {
        if (!g->nodes[i].dead && reads_elsewhere(f, &g->nodes[i], root)) return false;
        if (!reads(f, &g->nodes[i], root)) continue;
        uint32_t *channels = source_channels(&g->nodes[i]);
        if (!channels || *channels != c0 + c1) return false;
    }
    for (uint32_t i = index + 1; i <= f->uses[root].last; i++) {
        if (!reads(f, &g->nodes[i], root)) continue;
        uint32_t *channels = source_channels(&g->nodes[i]);
        channels[0] = c0;
        channels[1] = c1;
        g->nodes[i].bindings[0] = node->bindings[0];
        g->nodes[i].bindings[1] = node->bindings[1];
        graph_check_node(g, &g->nodes[i]);
    }
    node->dead = true;
    return true;
}

/* upsample whose readers are all 3x3 convolutions of stride 1. */
static bool fuse_upsample(fuser *f, uint32_t index) {
    graph *g = f->g;
    graph_node *node = &g->nodes[index];
    if (node->op != OP_UPSAMPLE) return false;
    tensor root = node->bindings[1];
    const upsample_params *p = &node->params.upsample;
    if (f->uses[root].output || f->uses[root].count == 0) return false;
    for (uint32_t i = index + 1; i <= f->uses[root].last; i++) {
        if (!g->nodes[i].dead && reads_elsewhere(f, &g->nodes[i], root)) return false;
        if (!reads(f, &g->nodes[i], root)) continue;
        const conv2d_params *c = &g->nodes[i].params.conv2d;
        if (g->nodes[i].op != OP_CONV2D || c->kh != 3 || c->kw != 3 || c->stride != 1 ||
            (c->flags & CONV_UPSAMPLE2) || c->c1 || c->n != p->n || c->h != 2 * p->h || c->w != 2 * p->w ||
            c->c0 != p->c)
            return false;
    }
    for (uint32_t i = index + 1; i <= f->uses[root].last; i++) {
        if (!reads(f, &g->nodes[i], root)) continue;
        conv2d_params *c = &g->nodes[i].params.conv2d;
        c->h = p->h;
        c->w = p->w;
        c->flags |= CONV_UPSAMPLE2;
        g->nodes[i].bindings[0] = node->bindings[0];
        graph_check_node(g, &g->nodes[i]);
    }
    node->dead = true;
    return true;
}

void graph_pass_fuse(graph *g) {
    static bool (*const rules[])(fuser *, uint32_t) = {fuse_activation,     fuse_geglu,  fuse_residual,
                                                       fuse_upsample,       fuse_concat, fuse_slices,
                                                       fuse_parallel_linear};
    fuser f = {g, graph_ok(g) ? graph_uses(g) : NULL};
    bool changed = true;
    while (changed && graph_ok(g)) {
        changed = false;
        for (uint32_t i = 0; i < g->node_count; i++)
            for (uint32_t r = 0; r < sizeof rules / sizeof *rules && graph_ok(g) && !g->nodes[i].dead; r++) {
                if (!rules[r](&f, i)) continue;
                changed = true;
                host_free(g->host, f.uses);
                f.uses = graph_uses(g);
            }
    }
    host_free(g->host, f.uses);
}
