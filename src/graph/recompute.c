/* Recomputation: the values inside a block of the network that its gradients need are not kept from the
 * forward pass until then, but computed once more from the block's inputs, right before they are needed (Chen
 * et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174). The nodes that do so are
 * copies of the first ones, after fusion: same ops, same parameters, hence the same bits. What blocks hand to
 * each other is kept. */
#include <stdio.h>
#include <string.h>

#include "graph/build.h"

/* Names of lists of blocks; a number follows. */
static const char *const block_lists[] = {"resnets.", "attentions.", "transformer_blocks.", "layers."};

typedef struct recomputer {
    graph *g;
    uint32_t tensor_count; /* before copies were made */
    uint32_t *block;       /* by node: the run of forward nodes of one block that it is in; PLAN_NONE: none */
    uint32_t *producer;    /* by root tensor: the forward node in a block that writes it; PLAN_NONE: none, or
                              the value is also read elsewhere, and kept */
    uint32_t *first, *end; /* by block: its nodes */
    uint32_t block_count;
    bool *needed; /* by root tensor: is computed again */
    tensor *copy; /* by tensor: what stands for it in the backward pass; TENSOR_NONE: itself */
    graph_node *copies;
    uint32_t copy_count, copy_capacity;
    uint32_t *order; /* all nodes: places in g->nodes, or node_count + places in copies */
    uint32_t order_count, order_capacity;
} recomputer;

/* Length of the part of a node's name that names its innermost block; 0: it is in none. */
static size_t block_name(const char *name) {
    size_t length = 0;
    for (size_t i = 0; i < sizeof block_lists / sizeof *block_lists; i++) {
        for (const char *at = strstr(name, block_lists[i]); at; at = strstr(at + 1, block_lists[i])) {
            const char *number = at + strlen(block_lists[i]);
            size_t digits = strspn(number, "0123456789"), end = (size_t)(number - name) + digits;
            bool whole = (at == name || at[-1] == '.') && digits && number[digits] == '.';
            if (whole && end > length) length = end;
        }
    }
    return length;
}

/* Neighbouring forward nodes with the same block's name. */
static void find_blocks(recomputer *r) {
    const graph *g = r->g;
    const char *open = NULL;
    size_t open_length = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const graph_node *node = &g->nodes[i];
        const size_t length = node->part == GRAPH_FORWARD ? block_name(node->name) : 0;
        r->block[i] = PLAN_NONE;
        if (length && (!open || length != open_length || strncmp(open, node->name, length) != 0))
            r->first[r->block_count++] = i;
        open = length ? node->name : NULL;
        open_length = length;
        if (!length) continue;
        r->block[i] = r->block_count - 1;
        r->end[r->block_count - 1] = i + 1;
    }
}

/* Who writes which value inside of a block, but for those that are read by the forward nodes of others. */
static void find_inner(recomputer *r) {
    const graph *g = r->g;
    for (uint32_t i = 0; i < g->tensor_count; i++)
        r->producer[i] = PLAN_NONE;
    for (uint32_t i = 0; i < g->node_count; i++) {
        tensor root = graph_root(g, g->nodes[i].bindings[op_get(g->nodes[i].op)->output]);
        if (r->block[i] != PLAN_NONE && g->tensors[root].kind == GRAPH_VALUE && !g->nodes[i].in_place)
            r->producer[root] = i;
    }
    for (uint32_t i = 0; i < g->tensor_count; i++) /* the host reads these */
        if (g->tensors[i].output) r->producer[graph_root(g, i)] = PLAN_NONE;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const op_info *info = op_get(g->nodes[i].op);
        for (uint32_t b = 0; b < info->binding_count; b++) {
            tensor x = g->nodes[i].bindings[b];
            if (!x || !(info->bindings[b].access & OP_READ) || g->nodes[i].part == GRAPH_BACKWARD) continue;
            uint32_t *producer = &r->producer[graph_root(g, x)];
            if (*producer != PLAN_NONE && r->block[*producer] != r->block[i]) *producer = PLAN_NONE;
        }
    }
}

static void mark_inputs(recomputer *r, const graph_node *node) {
    const op_info *info = op_get(node->op);
    for (uint32_t b = 0; b < info->binding_count; b++) {
        tensor root = node->bindings[b] ? graph_root(r->g, node->bindings[b]) : TENSOR_NONE;
        if (root && (info->bindings[b].access & OP_READ) && r->producer[root] != PLAN_NONE)
            r->needed[root] = true;
    }
}

/* What the backward nodes read of each block, and what that is made of. */
static void mark_needed(recomputer *r) {
    const graph *g = r->g;
    for (uint32_t i = g->node_count; i-- > 0;) {
        const graph_node *node = &g->nodes[i];
        bool again = node->part == GRAPH_BACKWARD;
        if (r->block[i] != PLAN_NONE)
            again = r->needed[graph_root(g, node->bindings[op_get(node->op)->output])];
        if (again) mark_inputs(r, node);
    }
}

static void append(recomputer *r, uint32_t node) {
    if (HOST_GROW(r->g->host, r->order, r->order_count, r->order_capacity))
        r->order[r->order_count++] = node;
    else
        graph_fail(r->g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a pass");
}

/* What stands for x: itself, its copy, or the same view of its root's copy. */
static tensor stand_in(recomputer *r, tensor x) {
    graph *g = r->g;
    if (!x || x >= r->tensor_count) return x;
    tensor root = graph_root(g, x);
    if (!r->copy[x] && r->copy[root]) r->copy[x] = graph_view(g, r->copy[root], g->tensors[x].shape);
    return r->copy[x] ? r->copy[x] : x;
}

static void copy_node(recomputer *r, const graph_node *node) {
    graph *g = r->g;
    const op_info *info = op_get(node->op);
    graph_node again = *node;
    const tensor root = graph_root(g, node->bindings[info->output]);
    const size_t size = strlen(node->name) + sizeof ".again";
    again.part = GRAPH_BACKWARD;
    again.name = host_calloc(g->host, size, 1);
    if (!again.name || !HOST_GROW(g->host, r->copies, r->copy_count, r->copy_capacity)) {
        host_free(g->host, again.name);
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a pass");
        return;
    }
    snprintf(again.name, size, "%s.again", node->name);
    r->copy[root] = graph_new_tensor(g, GRAPH_VALUE, g->tensors[root].type, g->tensors[root].shape);
    for (uint32_t b = 0; b < info->binding_count; b++)
        again.bindings[b] = stand_in(r, node->bindings[b]);
    r->copies[r->copy_count++] = again;
    append(r, g->node_count + r->copy_count - 1);
}

/* The block's needed nodes once more, in their order. */
static void copy_block(recomputer *r, uint32_t block) {
    graph *g = r->g;
    for (uint32_t i = r->first[block]; i < r->end[block] && graph_ok(g); i++) {
        const graph_node *node = &g->nodes[i];
        const tensor root = graph_root(g, node->bindings[op_get(node->op)->output]);
        if (r->producer[root] == i && r->needed[root] && !r->copy[root]) copy_node(r, node);
    }
}

/* All nodes in their order; before the first backward node that reads values inside a block, that block's
 * again. */
static void rewrite(recomputer *r) {
    graph *g = r->g;
    for (uint32_t i = 0; i < g->node_count && graph_ok(g); i++) {
        graph_node *node = &g->nodes[i];
        const op_info *info = op_get(node->op);
        for (uint32_t b = 0; node->part == GRAPH_BACKWARD && b < info->binding_count && graph_ok(g); b++) {
            tensor root = node->bindings[b] ? graph_root(g, node->bindings[b]) : TENSOR_NONE;
            if (!root || root >= r->tensor_count || r->producer[root] == PLAN_NONE) continue;
            if (!r->copy[root]) copy_block(r, r->block[r->producer[root]]);
            node->bindings[b] = stand_in(r, node->bindings[b]);
        }
        append(r, i);
    }
}

/* The nodes in their new order; on failure the copies are dropped. */
static void finish(recomputer *r) {
    graph *g = r->g;
    graph_node *nodes = graph_ok(g) ? host_calloc(g->host, r->order_count, sizeof *nodes) : NULL;
    if (!nodes) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a pass");
        for (uint32_t i = 0; i < r->copy_count; i++)
            host_free(g->host, r->copies[i].name);
        return;
    }
    for (uint32_t i = 0; i < r->order_count; i++)
        nodes[i] =
            r->order[i] < g->node_count ? g->nodes[r->order[i]] : r->copies[r->order[i] - g->node_count];
    host_free(g->host, g->nodes);
    g->nodes = nodes;
    g->node_count = g->node_capacity = r->order_count;
}

void graph_pass_recompute(graph *g) {
    if (!graph_ok(g)) return;
    recomputer r = {.g = g, .tensor_count = g->tensor_count};
    r.block = host_calloc(g->host, g->node_count, sizeof *r.block);
    r.first = host_calloc(g->host, g->node_count, sizeof *r.first);
    r.end = host_calloc(g->host, g->node_count, sizeof *r.end);
    r.producer = host_calloc(g->host, g->tensor_count, sizeof *r.producer);
    r.needed = host_calloc(g->host, g->tensor_count, sizeof *r.needed);
    r.copy = host_calloc(g->host, g->tensor_count, sizeof *r.copy);
    if (r.block && r.first && r.end && r.producer && r.needed && r.copy) {
        find_blocks(&r);
        find_inner(&r);
        mark_needed(&r);
        rewrite(&r);
        finish(&r);
    } else {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a pass");
    }
    void *const blocks[] = {r.block, r.producer, r.first, r.end, r.needed, r.copy, r.copies, r.order};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        host_free(g->host, blocks[i]);
}
