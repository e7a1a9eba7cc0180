/* Reverse-mode differentiation: from the losses back through the nodes, one rule per op. */
#include "graph/gradient.h"

static gradient_rule *const rules[OP_COUNT] = {
    [OP_LINEAR] = gradient_linear,           [OP_CONV2D] = gradient_conv2d,
    [OP_ATTENTION] = gradient_attention,     [OP_GROUP_NORM] = gradient_group_norm,
    [OP_LAYER_NORM] = gradient_layer_norm,   [OP_UNARY] = gradient_unary,
    [OP_BINARY] = gradient_binary,           [OP_GEGLU] = gradient_geglu,
    [OP_CONCAT] = gradient_concat,           [OP_SLICE] = gradient_slice,
    [OP_UPSAMPLE] = gradient_upsample,       [OP_EMBEDDING] = gradient_embedding,
    [OP_GATHER_ROWS] = gradient_gather_rows, [OP_PIXEL_SHUFFLE] = gradient_pixel_shuffle,
};

bool gradient_wanted(const differ *d, tensor x) {
    return x && x < d->tensor_count && d->needed[graph_root(d->g, x)];
}

void gradient_refuse(differ *d, const graph_node *node, const char *why) {
    graph_fail(d->g, MZT_ERROR_UNSUPPORTED, "%s (%s): cannot be differentiated: %s", node->name,
               op_get(node->op)->name, why);
}

void gradient_add(differ *d, tensor x, tensor dx) {
    graph *g = d->g;
    if (!graph_ok(g) || !gradient_wanted(d, x)) return;
    tensor *sum = &d->of[graph_root(g, x)];
    if (!*sum) {
        *sum = dx;
        return;
    }
    if (graph_type(g, dx) != g->activation || graph_type(g, *sum) != g->activation) {
        const char *name = g->tensors[graph_root(g, x)].name;
        graph_fail(g, MZT_ERROR_UNSUPPORTED,
                   "%s: used twice, which needs activations of type %s to be trained",
                   name ? name : "a value", dtype_name(graph_type(g, dx)));
        return;
    }
    *sum = graph_add(g, *sum, dx);
}

/* ------------------------------------------------------------------------------------------ what is asked
 * for -- */

/* A parameter that is to be trained. */
static bool is_trained(const differ *d, const graph_tensor *t, const graph_differentiate_options *options) {
    bool parameter = !t->alias_of && t->piece_count && (t->kind == GRAPH_PARAM || t->kind == GRAPH_STATE);
    if (!parameter) return false;
    if (options->trains) return options->trains(options->user, t->name);
    return t->kind == GRAPH_STATE || !d->chosen;
}

/* Was a parameter made trainable? */
static bool any_trainable(const graph *g) {
    for (uint32_t i = 1; i < g->tensor_count; i++)
        if (g->tensors[i].kind == GRAPH_STATE && g->tensors[i].piece_count) return true;
    return false;
}

/* From the wanted tensors forward. */
static void mark_needed(differ *d, const graph_differentiate_options *options) {
    graph *g = d->g;
    for (uint32_t i = 1; i < d->tensor_count; i++)
        d->needed[i] = is_trained(d, &g->tensors[i], options);
    for (uint32_t i = 0; i < options->input_count; i++)
        if (options->inputs[i] && options->inputs[i] < d->tensor_count)
            d->needed[graph_root(g, options->inputs[i])] = true;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const graph_node *node = &g->nodes[i];
        const op_info *info = op_get(node->op);
        bool needed = false;
        for (uint32_t b = 0; b < info->binding_count; b++)
            needed |= info->bindings[b].access == OP_READ && gradient_wanted(d, node->bindings[b]);
        for (uint32_t b = 0; b < info->binding_count; b++)
            if (needed && node->bindings[b] && (info->bindings[b].access & OP_WRITE))
                d->needed[graph_root(g, node->bindings[b])] = true;
    }
}

static void list_gradients(differ *d, const graph_differentiate_options *options, graph_gradients *out) {
    graph *g = d->g;
    out->items = host_calloc(g->host, d->tensor_count, sizeof *out->items);
    if (!out->items) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a list of gradients");
        return;
    }
    for (uint32_t i = 1; i < d->tensor_count; i++) {
        bool wanted = is_trained(d, &g->tensors[i], options);
        for (uint32_t k = 0; k < options->input_count; k++)
            wanted |= options->inputs[k] && graph_root(g, options->inputs[k]) == i;
        if (wanted && d->of[i]) out->items[out->count++] = (graph_gradient){i, d->of[i]};
    }
}

void graph_gradients_release(const base_host *host, graph_gradients *d) {
    host_free(host, d->items);
    *d = (graph_gradients){0};
}

/* ---------------------------------------------------------------------------------------------------
 * backward -- */

/* A loss is the reduce_sum of a loss node's parts; its rule needs no gradient from above. */
static void seed(differ *d, tensor loss) {
    graph *g = d->g;
    for (uint32_t i = 0; i < g->node_count && graph_ok(g); i++) {
        const graph_node node = g->nodes[i];
        if (node.op != OP_REDUCE_SUM || node.bindings[1] != loss) continue;
        graph_scope_begin(g, "grad.%s", node.name);
        gradient_loss(d, &node);
        graph_scope_end(g);
        return;
    }
    graph_fail(g, MZT_ERROR_INVALID, "graph: tensor %u is differentiated, but not the result of a loss",
               loss);
}

static void step_back(differ *d, uint32_t index) {
    graph *g = d->g;
    const graph_node node = g->nodes[index];
    const op_info *info = op_get(node.op);
    tensor y = node.bindings[info->output], dy = TENSOR_NONE;
    if (y && y < d->tensor_count && !node.dead) dy = d->of[graph_root(g, y)];
    if (!dy) return;
    if (!rules[node.op]) {
        gradient_refuse(d, &node, "its op has no rule");
        return;
    }
    graph_scope_begin(g, "grad.%s", node.name);
    rules[node.op](d, &node, dy);
    graph_scope_end(g);
}

void graph_differentiate(graph *g, const tensor *losses, uint32_t count,
                         const graph_differentiate_options *options, graph_gradients *out) {
    static const graph_differentiate_options all = {.scale = 1};
    *out = (graph_gradients){0};
    if (!graph_ok(g)) return;
    if (g->scope_depth) {
        graph_fail(g, MZT_ERROR_INVALID, "%s: differentiated while a scope is open", g->scope);
        return;
    }
    if (!options) options = &all;
    differ d = {.g = g,
                .tensor_count = g->tensor_count,
                .chosen = any_trainable(g),
                .scale = options->scale != 0 ? options->scale : 1,
                .factor = options->factor,
                .max_range = options->max_range ? options->max_range : UINT64_MAX};
    g->recompute = options->recompute;
    d.needed = host_calloc(g->host, d.tensor_count, sizeof *d.needed);
    d.of = host_calloc(g->host, d.tensor_count, sizeof *d.of);
    if (d.needed && d.of) {
        mark_needed(&d, options);
        uint32_t nodes = g->node_count;
        g->part = GRAPH_BACKWARD;
        for (uint32_t i = 0; i < count; i++)
            seed(&d, losses[i]);
        for (uint32_t i = nodes; i-- > 0 && graph_ok(g);)
            step_back(&d, i);
        g->part = GRAPH_FORWARD;
        if (graph_ok(g)) list_gradients(&d, options, out);
    } else {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for gradients");
    }
    host_free(g->host, d.needed);
    host_free(g->host, d.of);
}
