/* Losses, and parameters that may be changed; see differentiate.h. */
#include <string.h>

#include "graph/build.h"
#include "graph/differentiate.h"

#define LOSS_PART  4096u /* elements a part of a loss should have, and the most parts */
#define LOSS_PARTS 256u

/* The parts of a mean are summed in f32: few of them, and none too long. */
tensor graph_loss(graph *g, tensor x, const char *name, const graph_loss_options *options) {
    if (!graph_ok(g)) return TENSOR_NONE;
    uint32_t count = graph_elements(graph_shape(g, x)),
             weights = graph_elements(graph_shape(g, options->weight));
    uint32_t targets = graph_elements(graph_shape(g, options->target));
    if ((options->weight && (weights == 0 || count % weights)) || (options->target && targets != count)) {
        graph_fail(g, MZT_ERROR_INVALID, "%s: a loss of %u elements with %u of a target and %u weights", name,
                   count, targets, weights);
        return TENSOR_NONE;
    }
    uint32_t each = ceil_div(count, LOSS_PARTS);
    if (each < LOSS_PART) each = LOSS_PART < count ? LOSS_PART : count;
    if (each == 0) each = 1;
    loss_params loss = {.count = count,
                        .parts = ceil_div(count, each),
                        .per_part = each,
                        .kind = options->kind,
                        .flags = options->target ? LOSS_TARGET : 0,
                        .weight_each = options->weight ? count / weights : 0,
                        .beta = options->beta,
                        .scale = options->scale != 0 ? options->scale : 1 / (float)(count ? count : 1)};
    graph_scope_begin(g, "%s", name);
    tensor parts =
        graph_emit(g, OP_LOSS, "parts", (tensor[OP_MAX_BINDINGS]){x, options->target, options->weight},
                   &(op_params){.loss = loss}, (shape4){1, 1, 1, loss.parts}, DTYPE_F32);
    op_params sum = {.reduce_sum = {.parts = loss.parts, .count = 1, .stride = 1, .scale = 1}};
    tensor result = graph_emit(g, OP_REDUCE_SUM, "sum", (tensor[OP_MAX_BINDINGS]){parts}, &sum,
                               (shape4){1, 1, 1, 1}, DTYPE_F32);
    graph_scope_end(g);
    return result;
}

/* Gives the pieces and the name of parameter x to a new f32 state, and makes x the value of a cast. */
static void keep_copy(graph *g, tensor x, tensor state) {
    graph_tensor *from = &g->tensors[x], *to = &g->tensors[state];
    to->name = from->name;
    to->pieces = from->pieces;
    to->piece_count = from->piece_count;
    to->varying = true;
    from->kind = GRAPH_VALUE;
    from->name = NULL;
    from->pieces = NULL;
    from->piece_count = 0;
}

/* Moves the nodes from `first` on to the front. */
static void move_to_front(graph *g, uint32_t first) {
    uint32_t count = g->node_count - first;
    if (count == 0 || !graph_ok(g)) return;
    graph_node *moved = host_calloc(g->host, count, sizeof *moved);
    if (!moved) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for copies of parameters");
        return;
    }
    memcpy(moved, g->nodes + first, count * sizeof *moved);
    memmove(g->nodes + count, g->nodes, first * sizeof *g->nodes);
    memcpy(g->nodes, moved, count * sizeof *moved);
    host_free(g->host, moved);
}

void graph_make_trainable(graph *g, graph_trains *trains, const void *user) {
    if (!graph_ok(g)) return;
    uint32_t tensors = g->tensor_count, nodes = g->node_count;
    for (tensor x = 1; x < tensors && graph_ok(g); x++) {
        if (g->tensors[x].kind != GRAPH_PARAM || g->tensors[x].alias_of) continue;
        if (trains && !trains(user, g->tensors[x].name)) continue;
        if (g->tensors[x].type == DTYPE_F32) {
            g->tensors[x].kind = GRAPH_STATE;
            g->tensors[x].varying = true;
            continue;
        }
        tensor state = graph_new_tensor(g, GRAPH_STATE, DTYPE_F32, g->tensors[x].shape);
        if (!state) break;
        keep_copy(g, x, state);
        op_params params = {.unary = {.count = graph_elements(g->tensors[x].shape), .scale = 1}};
        graph_scope_begin(g, "%s", g->tensors[state].name);
        graph_emit(g, OP_UNARY, "cast", (tensor[OP_MAX_BINDINGS]){state, x}, &params, g->tensors[x].shape,
                   g->tensors[x].type);
        graph_scope_end(g);
    }
    for (tensor x = 1; x < tensors; x++) /* views are of their tensor's kind */
        if (g->tensors[x].alias_of) {
            g->tensors[x].kind = g->tensors[g->tensors[x].alias_of].kind;
        }
    move_to_front(g, nodes);
}
