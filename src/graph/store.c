/* How matrices are stored: each parameter that only linear layers and convolutions read as their weight may
 * have a type of its own (graph_store_as). Runs last, when fusion has settled what reads what. */
#include "graph/build.h"

/* Clears `fits` of every root tensor that something reads which could not read it in blocks, and `matrix` of
 * those that are read as anything but a matrix. */
static void look(const graph *g, bool *matrix, bool *fits) {
    for (uint32_t i = 0; i < g->node_count; i++) {
        const graph_node *node = &g->nodes[i];
        const op_info *info = op_get(node->op);
        for (uint32_t b = 0; !node->dead && b < info->binding_count; b++) {
            if (!node->bindings[b]) continue;
            tensor root = graph_root(g, node->bindings[b]);
            if (info->bindings[b].class_ != OP_CLASS_MATRIX)
                matrix[root] = false;
            else if (!op_takes_blocks(node->op, &node->params))
                fits[root] = false;
        }
    }
}

/* Pieces stack along the rows; each must be whole blocks as well. */
static bool whole_blocks(const graph_tensor *t, dtype type) {
    for (uint32_t i = 0; i < t->piece_count; i++)
        if (t->pieces[i].element % dtype_block(type)) return false;
    return graph_elements(t->shape) % dtype_block(type) == 0;
}

void graph_store_as(graph *g, graph_stored *stored, const void *user) {
    g->stored = stored;
    g->stored_user = user;
}

void graph_pass_store(graph *g) {
    if (!graph_ok(g) || !g->stored) return;
    bool *matrix = host_calloc(g->host, g->tensor_count, sizeof *matrix);
    bool *fits = host_calloc(g->host, g->tensor_count, sizeof *fits);
    if (!matrix || !fits) graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a pass");
    for (uint32_t i = 1; matrix && fits && i < g->tensor_count; i++)
        matrix[i] = fits[i] = g->tensors[i].kind == GRAPH_PARAM && !g->tensors[i].alias_of;
    if (matrix && fits) look(g, matrix, fits);
    for (uint32_t i = 1; graph_ok(g) && i < g->tensor_count; i++) {
        graph_tensor *t = &g->tensors[i];
        if (!matrix[i] || t->type != g->weight) continue;
        dtype type = g->stored(g->stored_user, t);
        if (dtype_block(type) == 1 || (fits[i] && whole_blocks(t, type))) t->type = type;
    }
    host_free(g->host, matrix);
    host_free(g->host, fits);
}
