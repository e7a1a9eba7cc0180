/* Lowering: nodes become dispatches, tensors become buffers, parameters become weights with their checkpoint
 * pieces. */
#include "graph/lower.h"

#include <string.h>

static mzt_status out_of_memory(mzt_error *error) {
    return error_set(error, MZT_ERROR_OUT_OF_MEMORY, "graph: out of memory for the plan");
}

static mzt_status add_string(lowering *l, const char *text, uint32_t *offset, mzt_error *error) {
    plan *p = l->p;
    size_t length = strlen(text) + 1;
    while (l->string_capacity - p->string_bytes < length)
        if (!host_grow(p->host, (void **)&p->strings, &l->string_capacity, 1)) return out_of_memory(error);
    *offset = p->string_bytes;
    memcpy(p->strings + p->string_bytes, text, length);
    p->string_bytes += (uint32_t)length;
    return MZT_OK;
}

/* --------------------------------------------------------------------------------------------------- buffers
 * -- */

static mzt_status add_pieces(lowering *l, const graph_tensor *t, uint32_t buffer, mzt_error *error) {
    plan *p = l->p;
    for (uint32_t i = 0; i < t->piece_count; i++) {
        const graph_piece *from = &t->pieces[i];
        plan_piece piece = {
            .buffer = buffer, .packing = from->packing, .rank = from->rank, .element = from->element};
        memcpy(piece.shape, from->shape, sizeof piece.shape);
        TRY(add_string(l, from->name, &piece.name, error));
        if (!HOST_GROW(p->host, p->pieces, p->piece_count, l->piece_capacity)) return out_of_memory(error);
        p->pieces[p->piece_count++] = piece;
    }
    return MZT_OK;
}

/* The buffer of a root tensor, made at its first use. `name`: offset of the name for values. */
static mzt_status need_buffer(lowering *l, tensor root, uint32_t name, plan_buffer_kind kind,
                              mzt_error *error) {
    plan *p = l->p;
    const graph_tensor *t = &l->g->tensors[root];
    if (l->buffer_of[root] != PLAN_NONE) return MZT_OK;
    plan_buffer buffer = {.name = name,
                          .kind = kind,
                          .dtype = t->type,
                          .shape = {t->shape.n, t->shape.h, t->shape.w, t->shape.c}};
    buffer.bytes = dtype_bytes(t->type, graph_elements(t->shape));
    const char *text = t->output ? t->output : t->name;
    if (text) TRY(add_string(l, text, &buffer.name, error));
    if (t->kind == GRAPH_INPUT) buffer.role = PLAN_ROLE_INPUT;
    if (t->kind == GRAPH_STATE) buffer.role = PLAN_ROLE_STATE;
    if (t->output) buffer.role = PLAN_ROLE_OUTPUT;
    if (buffer.role) buffer.kind = PLAN_PERSISTENT;
    if (t->kind == GRAPH_PARAM) {
        buffer.kind = PLAN_WEIGHT;
        if (!size_add(p->weight_bytes, buffer.bytes, &p->weight_bytes)) return out_of_memory(error);
    }
    if (!HOST_GROW(p->host, p->buffers, p->buffer_count, l->buffer_capacity)) return out_of_memory(error);
    l->buffer_of[root] = p->buffer_count;
    p->buffers[p->buffer_count++] = buffer;
    return add_pieces(l, t, l->buffer_of[root], error);
}

/* What the host knows by name comes first, so that no inner name can hide it; inputs that nobody reads exist
 * nevertheless. */
static mzt_status add_named_buffers(lowering *l, mzt_error *error) {
    for (uint32_t i = 1; i < l->g->tensor_count; i++) {
        const graph_tensor *t = &l->g->tensors[i];
        bool host = t->kind == GRAPH_INPUT || t->kind == GRAPH_STATE || t->output;
        if (host && !t->alias_of) TRY(need_buffer(l, i, 0, PLAN_PERSISTENT, error));
    }
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------ dispatches
 * -- */

bool lower_fits(const lowering *l, const plan_dispatch *d) {
    op_region regions[OP_MAX_BINDINGS];
    if (!op_regions((op)d->op, &d->params, regions)) return false;
    for (uint32_t b = 0; b < op_get((op)d->op)->binding_count; b++)
        if (d->bindings[b].buffer != PLAN_NONE &&
            align_up(dtype_bytes((dtype)l->p->buffers[d->bindings[b].buffer].dtype, regions[b].end), 4) >
                l->max_range)
            return false;
    return true;
}

mzt_status lower_append(lowering *l, const plan_dispatch *dispatch, mzt_error *error) {
    plan *p = l->p;
    plan_dispatch d = *dispatch;
    op_region regions[OP_MAX_BINDINGS];
    if (!op_regions((op)d.op, &d.params, regions))
        return error_set(error, MZT_ERROR_INTERNAL, "%s: its parameters do not agree",
                         plan_string(p, d.node));
    d.flops = op_flops((op)d.op, &d.params);
    d.bytes = 0;
    for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++) {
        if (d.bindings[b].buffer == PLAN_NONE) continue;
        dtype type = (dtype)p->buffers[d.bindings[b].buffer].dtype;
        d.bindings[b].range = align_up(dtype_bytes(type, regions[b].end), 4);
        d.bytes += dtype_bytes(type, regions[b].end - regions[b].first);
    }
    if (!HOST_GROW(p->host, p->dispatches, p->dispatch_count, l->dispatch_capacity))
        return out_of_memory(error);
    p->dispatches[p->dispatch_count++] = d;
    return MZT_OK;
}

static mzt_status lower_node(lowering *l, const graph_node *node, const bool *crosses, mzt_error *error) {
    const op_info *info = op_get(node->op);
    plan_dispatch d = {.op = node->op, .params = node->params};
    uint64_t extents[OP_MAX_BINDINGS];
    op_extents(node->op, &node->params, extents);
    TRY(add_string(l, node->name, &d.node, error));
    for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++) {
        d.bindings[b].buffer = PLAN_NONE;
        if (b >= info->binding_count || !node->bindings[b] || extents[b] == 0) continue;
        tensor root = graph_root(l->g, node->bindings[b]);
        TRY(need_buffer(l, root, d.node, crosses[root] ? PLAN_PERSISTENT : PLAN_ARENA, error));
        d.bindings[b].buffer = l->buffer_of[root];
    }
    return lower_fits(l, &d) ? lower_append(l, &d, error) : lower_cut(l, &d, error);
}

/* Marks the values that the nodes before `first` hand to those from there on. */
static void find_crossing(const lowering *l, uint32_t first, bool *crosses) {
    const graph *g = l->g;
    for (uint32_t i = first; first && i < g->node_count; i++)
        for (uint32_t b = 0; b < op_get(g->nodes[i].op)->binding_count; b++) {
            tensor x = g->nodes[i].bindings[b];
            if (x && (op_get(g->nodes[i].op)->bindings[b].access & OP_READ)) crosses[graph_root(g, x)] = true;
        }
    /* What these write themselves is theirs. */
    for (uint32_t i = first; i < g->node_count; i++)
        crosses[graph_root(g, g->nodes[i].bindings[op_get(g->nodes[i].op)->output])] = false;
}

/* Those of the setup for the steps, and of both for the update. */
static bool find_all_crossing(const lowering *l, bool *crosses) {
    const graph *g = l->g;
    bool *later = host_calloc(g->host, g->tensor_count, sizeof *later);
    if (!later) return false;
    find_crossing(l, l->setup_count, crosses);
    if (l->update_first < g->node_count) find_crossing(l, l->update_first, later);
    for (uint32_t i = 0; i < g->tensor_count; i++)
        crosses[i] |= later[i];
    host_free(g->host, later);
    return true;
}

static mzt_status add_phase(lowering *l, const char *name, uint32_t first, mzt_error *error) {
    plan *p = l->p;
    plan_phase phase = {.first = first, .count = p->dispatch_count - first};
    TRY(add_string(l, name, &phase.name, error));
    if (!HOST_GROW(p->host, p->phases, p->phase_count, l->phase_capacity)) return out_of_memory(error);
    p->phases[p->phase_count++] = phase;
    return MZT_OK;
}

/* Nodes first ... end - 1, as one phase. */
static mzt_status lower_nodes(lowering *l, const char *phase, uint32_t first, uint32_t end,
                              const bool *crosses, mzt_error *error) {
    const uint32_t dispatches = l->p->dispatch_count;
    for (uint32_t i = first; i < end; i++)
        TRY(lower_node(l, &l->g->nodes[i], crosses, error));
    return add_phase(l, phase, dispatches, error);
}

static mzt_status lower_phase_nodes(lowering *l, const bool *crosses, mzt_error *error) {
    const uint32_t count = l->g->node_count;
    TRY(add_named_buffers(l, error));
    if (!l->steps) return lower_nodes(l, "main", 0, count, crosses, error);
    TRY(lower_nodes(l, "setup", 0, l->setup_count, crosses, error));
    TRY(lower_nodes(l, "step", l->setup_count, l->update_first, crosses, error));
    if (l->update_first == count) return MZT_OK;
    return lower_nodes(l, "update", l->update_first, count, crosses, error);
}

static mzt_status lower_graph(lowering *l, mzt_error *error) {
    graph *g = l->g;
    plan *p = l->p;
    bool *crosses = host_calloc(g->host, g->tensor_count, sizeof *crosses);
    l->buffer_of = host_calloc(g->host, g->tensor_count, sizeof *l->buffer_of);
    mzt_status status = crosses && l->buffer_of ? MZT_OK : out_of_memory(error);
    uint32_t empty;
    if (status >= 0) {
        for (uint32_t i = 0; i < g->tensor_count; i++)
            l->buffer_of[i] = PLAN_NONE;
        status = find_all_crossing(l, crosses) ? add_string(l, "", &empty, error) : out_of_memory(error);
    }
    if (status >= 0) status = lower_phase_nodes(l, crosses, error);
    if (status >= 0) status = lower_arena(p, error);
    if (status >= 0) status = plan_place_barriers(p, error);
    if (status >= 0) status = plan_check(p, error);
    host_free(g->host, crosses);
    host_free(g->host, l->buffer_of);
    return status;
}

mzt_status graph_compile(graph *g, const graph_options *options, plan **out, mzt_error *error) {
    *out = NULL;
    if (!options->no_fusion) graph_pass_fuse(g);
    graph_pass_dead(g);
    lowering l = {.g = g, .max_range = options->max_range ? options->max_range : UINT64_MAX};
    graph_pass_store(g);
    if (g->recompute) graph_pass_recompute(g);
    lower_phases(&l);
    TRY(graph_check(g, error));
    l.p = host_calloc(g->host, 1, sizeof *l.p);
    if (!l.p) return out_of_memory(error);
    l.p->host = g->host;
    l.p->activation = g->activation;
    l.p->weight = g->weight;
    mzt_status status = lower_graph(&l, error);
    if (status < 0)
        plan_destroy(l.p);
    else
        *out = l.p;
    return status;
}
