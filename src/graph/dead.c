/* Dead nodes: what nobody reads is not computed. */
#include "graph/build.h"

/* Marks the nodes whose results are read by a live node, by the host, or live on as state; from the last to
 * the first, since readers come after writers. Then closes the gaps. */
void graph_pass_dead(graph *g) {
    if (!graph_ok(g)) return;
    bool *wanted = host_calloc(g->host, g->tensor_count, sizeof *wanted);
    if (!wanted) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for a pass");
        return;
    }
    for (uint32_t i = 1; i < g->tensor_count; i++)
        if (g->tensors[i].output || g->tensors[i].kind == GRAPH_STATE) wanted[graph_root(g, i)] = true;
    for (uint32_t i = g->node_count; i-- > 0;) {
        graph_node *node = &g->nodes[i];
        const op_info *info = op_get(node->op);
        node->dead |= !wanted[graph_root(g, node->bindings[info->output])];
        for (uint32_t b = 0; b < info->binding_count && !node->dead; b++)
            if (node->bindings[b]) wanted[graph_root(g, node->bindings[b])] = true;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (g->nodes[i].dead)
            host_free(g->host, g->nodes[i].name);
        else
            g->nodes[kept++] = g->nodes[i];
    }
    g->node_count = kept;
    host_free(g->host, wanted);
}
