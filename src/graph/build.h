/* What the files of src/graph share among themselves: making tensors, parameters and nodes, and walking them.
 */
#ifndef GRAPH_BUILD_H
#define GRAPH_BUILD_H

#include "graph/graph.h"

/* True if a builder may go on; otherwise it returns TENSOR_NONE at once. */
static inline bool graph_ok(const graph *g) {
    return g->status >= 0;
}

/* Elements of a shape; 0 when one is 0 or the product needs more than 32 bits. */
uint32_t graph_elements(shape4 shape);

/* n*h*w, for a shape whose elements fit. */
static inline uint32_t graph_rows(shape4 s) {
    return s.n * s.h * s.w;
}

/* The tensor that owns the bytes. */
static inline tensor graph_root(const graph *g, tensor x) {
    return g->tensors[x].alias_of ? g->tensors[x].alias_of : x;
}

/* The open scopes and `leaf`, joined by a dot, in a fresh block. NULL and a sticky error when out of memory.
 */
char *graph_join(graph *g, const char *leaf);

/* A new tensor without a name; TENSOR_NONE and a sticky error on failure. */
tensor graph_new_tensor(graph *g, graph_kind kind, dtype type, shape4 shape);

/* A parameter filled by one checkpoint tensor of this full name; asked for twice, it is the same tensor. */
tensor graph_param(graph *g, const char *name, dtype type, shape4 shape, plan_packing packing, uint32_t rank,
                   const uint32_t *dims);

/* A parameter without pieces yet, to be filled by several checkpoint tensors. */
tensor graph_stacked_param(graph *g, const char *name, dtype type, shape4 shape);

/* Adds one more checkpoint tensor to a parameter, beginning at `element`. */
void graph_add_piece(graph *g, tensor param, const char *name, plan_packing packing, uint32_t rank,
                     const uint32_t *dims, uint64_t element);

/* Appends a node called scope.leaf and returns its result: a new tensor of this shape and type, put into the
 * op's output binding, or what `bindings` already holds there. Checks parameters, types and sizes. */
tensor graph_emit(graph *g, op o, const char *leaf, const tensor *bindings, const op_params *params,
                  shape4 shape, dtype type);

/* Checks the sizes, types and parameters of a node against its tensors; passes call it after changing one. */
void graph_check_node(graph *g, const graph_node *node);

typedef struct graph_use {
    uint32_t count;    /* readings by nodes, of the tensor or of a view of it */
    uint32_t last;     /* the last node that reads it */
    uint32_t producer; /* the node that writes it; PLAN_NONE: none */
    bool output;       /* the host reads it or a view of it */
} graph_use;

/* Uses by root tensor, [tensor_count] in a fresh block (host_free); NULL and a sticky error when out of
 * memory. */
graph_use *graph_uses(graph *g);

#endif
