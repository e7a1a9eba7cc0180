/* Nodes: appending one with its checks, and who uses which tensor. */
#include "graph/build.h"

#include <stdio.h>
#include <string.h>

static void check_binding(graph *g, const graph_node *node, uint32_t i, uint64_t extent) {
    const op_binding_info *info = &op_get(node->op)->bindings[i];
    tensor x = node->bindings[i];
    if (x == TENSOR_NONE) {
        if (extent > 0)
            graph_fail(g, MZT_ERROR_INVALID, "%s (%s): %s is missing", node->name, op_get(node->op)->name,
                       info->name);
        return;
    }
    const graph_tensor *t = &g->tensors[x];
    if (!op_type_fits(info->class_, t->type, g->activation, g->weight))
        graph_fail(g, MZT_ERROR_INVALID, "%s (%s): %s has type %s, which this binding cannot have",
                   node->name, op_get(node->op)->name, info->name, dtype_name(t->type));
    if (graph_elements(t->shape) < extent)
        graph_fail(g, MZT_ERROR_INVALID, "%s (%s): %s is {%u, %u, %u, %u}, expected at least %llu elements",
                   node->name, op_get(node->op)->name, info->name, t->shape.n, t->shape.h, t->shape.w,
                   t->shape.c, (unsigned long long)extent);
}

void graph_check_node(graph *g, const graph_node *node) {
    if (!graph_ok(g)) return;
    const op_info *info = op_get(node->op);
    mzt_error error;
    if (op_check(node->op, &node->params, &error) < 0) {
        graph_fail(g, error.status, "%s: %s", node->name, error.message);
        return;
    }
    uint64_t extents[OP_MAX_BINDINGS];
    if (!op_extents(node->op, &node->params, extents)) {
        graph_fail(g, MZT_ERROR_INVALID, "%s (%s): more than 2^32 elements", node->name, info->name);
        return;
    }
    for (uint32_t i = 0; i < info->binding_count; i++)
        check_binding(g, node, i, extents[i]);
}

/* A full name that no node has yet: repeated ones are numbered from 2. */
static char *unique_name(graph *g, const char *leaf) {
    char numbered[256];
    for (uint32_t number = 1;; number++) {
        if (number == 1)
            snprintf(numbered, sizeof numbered, "%s", leaf);
        else
            snprintf(numbered, sizeof numbered, "%s.%u", leaf, number);
        char *name = graph_join(g, numbered);
        bool taken = false;
        for (uint32_t i = 0; name && !taken && i < g->node_count; i++)
            taken = strcmp(g->nodes[i].name, name) == 0;
        if (!taken) return name;
        host_free(g->host, name);
    }
}

tensor graph_emit(graph *g, op o, const char *leaf, const tensor *bindings, const op_params *params,
                  shape4 shape, dtype type) {
    if (!graph_ok(g)) return TENSOR_NONE;
    if (!HOST_GROW(g->host, g->nodes, g->node_count, g->node_capacity)) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "%s.%s: out of memory for a node", g->scope, leaf);
        return TENSOR_NONE;
    }
    const op_info *info = op_get(o);
    graph_node *node = &g->nodes[g->node_count];
    memset(node, 0, sizeof *node);
    node->op = o;
    node->part = g->part;
    node->in_place = info->bindings[info->output].access == OP_READ_WRITE;
    memcpy(&node->params, params, info->param_size);
    memcpy(node->bindings, bindings, info->binding_count * sizeof *bindings);
    node->name = unique_name(g, leaf);
    if (!node->name) return TENSOR_NONE;
    g->node_count++;
    /* An impossible result stays missing: the checks then tell which parameter is to blame. */
    if (!node->bindings[info->output] && graph_elements(shape))
        node->bindings[info->output] = graph_new_tensor(g, GRAPH_VALUE, type, shape);
    graph_check_node(g, node);
    return graph_ok(g) ? node->bindings[info->output] : TENSOR_NONE;
}

graph_use *graph_uses(graph *g) {
    graph_use *uses = host_calloc(g->host, g->tensor_count, sizeof *uses);
    if (!uses) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a pass");
        return NULL;
    }
    for (uint32_t i = 0; i < g->tensor_count; i++)
        uses[i].producer = PLAN_NONE;
    for (uint32_t i = 1; i < g->tensor_count; i++)
        if (g->tensors[i].output) uses[graph_root(g, i)].output = true;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const graph_node *node = &g->nodes[i];
        const op_info *info = op_get(node->op);
        for (uint32_t b = 0; !node->dead && b < info->binding_count; b++) {
            if (!node->bindings[b]) continue;
            graph_use *use = &uses[graph_root(g, node->bindings[b])];
            if (info->bindings[b].access & OP_READ) {
                use->count++;
                use->last = i;
            }
            if (info->bindings[b].access & OP_WRITE) use->producer = i;
        }
    }
    return uses;
}
