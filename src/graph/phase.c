/* Phases: what depends on nothing that changes from step to step is computed once. */
#include "graph/lower.h"

#include <string.h>

/* True if one of the node's tensors changes from step to step, by `varying` of root tensors. */
static bool depends(const graph *g, const graph_node *node, const bool *varying) {
    for (uint32_t b = 0; b < op_get(node->op)->binding_count; b++)
        if (node->bindings[b] && varying[graph_root(g, node->bindings[b])]) return true;
    return false;
}

void lower_phases(lowering *l) {
    graph *g = l->g;
    if (!graph_ok(g)) return;
    bool *varying = host_calloc(g->host, g->tensor_count, sizeof *varying);
    graph_node *steps = host_calloc(g->host, g->node_count, sizeof *steps),
               *updates = host_calloc(g->host, g->node_count, sizeof *updates);
    if (!varying || !steps || !updates) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for the phases");
    } else {
        uint32_t setup = 0, step = 0, update = 0;
        for (uint32_t i = 1; i < g->tensor_count; i++) {
            varying[i] = g->tensors[i].varying;
            l->steps |= varying[i];
        }
        for (uint32_t i = 0; i < g->node_count; i++) {
            graph_node *node = &g->nodes[i];
            if (node->part == GRAPH_UPDATE) {
                l->steps = true;
                updates[update++] = *node;
            } else if (depends(g, node, varying)) {
                const op_info *info = op_get(node->op);
                for (uint32_t b = 0; b < info->binding_count; b++)
                    if ((info->bindings[b].access & OP_WRITE) && node->bindings[b])
                        varying[graph_root(g, node->bindings[b])] = true;
                steps[step++] = *node;
            } else {
                g->nodes[setup++] = *node;
            }
        }
        memcpy(g->nodes + setup, steps, step * sizeof *steps);
        memcpy(g->nodes + setup + step, updates, update * sizeof *updates);
        l->setup_count = l->steps ? setup : 0;
        l->update_first = setup + step;
    }
    host_free(g->host, varying);
    host_free(g->host, steps);
    host_free(g->host, updates);
}
