/* The graph's bones: tensors, nodes, name scopes and the sticky error. */
#include "graph/build.h"

#include <stdio.h>
#include <string.h>

graph *graph_create(const base_host *host, dtype activation, dtype weight) {
    graph *g = host_calloc(host, 1, sizeof *g);
    if (!g) return NULL;
    g->host = host;
    g->activation = activation;
    g->weight = weight;
    if (activation > DTYPE_BF16 || weight > DTYPE_BF16)
        graph_fail(g, MZT_ERROR_INVALID, "graph: activations and weights must have a floating type");
    graph_new_tensor(g, GRAPH_VALUE, DTYPE_F32, (shape4){1, 1, 1, 1}); /* TENSOR_NONE's place */
    return g;
}

static void free_tensor(const base_host *host, graph_tensor *t) {
    for (uint32_t i = 0; i < t->piece_count; i++)
        host_free(host, t->pieces[i].name);
    host_free(host, t->pieces);
    host_free(host, t->name);
    host_free(host, t->output);
}

void graph_destroy(graph *g) {
    if (!g) return;
    const base_host *host = g->host;
    for (uint32_t i = 0; i < g->tensor_count; i++)
        free_tensor(host, &g->tensors[i]);
    for (uint32_t i = 0; i < g->node_count; i++)
        host_free(host, g->nodes[i].name);
    host_free(host, g->tensors);
    host_free(host, g->nodes);
    host_free(host, g);
}

mzt_status graph_check(const graph *g, mzt_error *error) {
    if (g->status < 0 && error) *error = g->error;
    return g->status;
}

void graph_fail(graph *g, mzt_status status, const char *format, ...) {
    if (g->status < 0) return;
    va_list arguments;
    va_start(arguments, format);
    g->status = g->error.status = status;
    vsnprintf(g->error.message, sizeof g->error.message, format, arguments);
    va_end(arguments);
}

/* ---------------------------------------------------------------------------------------------------- scopes
 * -- */

void graph_scope_begin(graph *g, const char *format, ...) {
    if (!graph_ok(g)) return;
    size_t used = strlen(g->scope), space = sizeof g->scope - used;
    if (g->scope_depth == sizeof g->scope_ends / sizeof *g->scope_ends) {
        graph_fail(g, MZT_ERROR_INVALID, "%s: scopes are nested too deeply", g->scope);
        return;
    }
    g->scope_ends[g->scope_depth++] = (uint16_t)used;
    char text[sizeof g->scope];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length == 0) return;
    if (length < 0 || (size_t)length + 2 > space) {
        graph_fail(g, MZT_ERROR_INVALID, "%s: the name of a scope is too long", g->scope);
        return;
    }
    snprintf(g->scope + used, space, "%s%s", used ? "." : "", text);
}

void graph_scope_end(graph *g) {
    if (!graph_ok(g)) return;
    if (g->scope_depth == 0) {
        graph_fail(g, MZT_ERROR_INVALID, "graph: a scope is closed that was never opened");
        return;
    }
    g->scope[g->scope_ends[--g->scope_depth]] = '\0';
}

char *graph_join(graph *g, const char *leaf) {
    size_t scope = strlen(g->scope), length = strlen(leaf);
    bool dot = scope && length;
    char *name = host_calloc(g->host, scope + length + 2, 1);
    if (!name) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "%s.%s: out of memory", g->scope, leaf);
        return NULL;
    }
    memcpy(name, g->scope, scope);
    if (dot) name[scope] = '.';
    memcpy(name + scope + dot, leaf, length);
    return name;
}

void graph_begin_update(graph *g) {
    g->part = GRAPH_UPDATE;
}

/* --------------------------------------------------------------------------------------------------- tensors
 * -- */

uint32_t graph_elements(shape4 s) {
    uint64_t count;
    bool fits = size_mul((uint64_t)s.n * s.h, s.w, &count) && size_mul(count, s.c, &count);
    return fits && count <= UINT32_MAX ? (uint32_t)count : 0;
}

tensor graph_new_tensor(graph *g, graph_kind kind, dtype type, shape4 shape) {
    if (!graph_ok(g)) return TENSOR_NONE;
    if (graph_elements(shape) == 0) {
        graph_fail(g, MZT_ERROR_INVALID, "%s: a tensor of shape {%u, %u, %u, %u} is empty or too large",
                   g->scope, shape.n, shape.h, shape.w, shape.c);
        return TENSOR_NONE;
    }
    if (!HOST_GROW(g->host, g->tensors, g->tensor_count, g->tensor_capacity)) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "%s: out of memory for a tensor", g->scope);
        return TENSOR_NONE;
    }
    g->tensors[g->tensor_count] = (graph_tensor){.kind = kind, .type = type, .shape = shape};
    return g->tensor_count++;
}

/* Inputs, outputs and states share one set of names. */
static bool name_taken(const graph *g, const char *name) {
    for (uint32_t i = 1; i < g->tensor_count; i++) {
        const graph_tensor *t = &g->tensors[i];
        if ((t->kind == GRAPH_INPUT || t->kind == GRAPH_STATE) && t->name && strcmp(t->name, name) == 0)
            return true;
        if (t->output && strcmp(t->output, name) == 0) return true;
    }
    return false;
}

static tensor named(graph *g, graph_kind kind, const char *name, dtype type, shape4 shape, bool varying) {
    if (!graph_ok(g)) return TENSOR_NONE;
    if (!name[0] || name_taken(g, name)) {
        graph_fail(g, MZT_ERROR_INVALID, "input \"%s\": the name is empty or used twice", name);
        return TENSOR_NONE;
    }
    if (type != g->activation && type != DTYPE_F32 && type != DTYPE_U32) {
        graph_fail(g, MZT_ERROR_INVALID, "input \"%s\": type %s, expected %s, f32 or u32", name,
                   dtype_name(type), dtype_name(g->activation));
        return TENSOR_NONE;
    }
    tensor x = graph_new_tensor(g, kind, type, shape);
    if (!x) return TENSOR_NONE;
    g->tensors[x].varying = varying;
    g->tensors[x].name = host_strdup(g->host, name);
    if (!g->tensors[x].name) graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "input \"%s\": out of memory", name);
    return x;
}

tensor graph_input(graph *g, const char *name, dtype type, shape4 shape) {
    return named(g, GRAPH_INPUT, name, type, shape, false);
}

tensor graph_varying_input(graph *g, const char *name, dtype type, shape4 shape) {
    return named(g, GRAPH_INPUT, name, type, shape, true);
}

tensor graph_state(graph *g, const char *name, dtype type, shape4 shape) {
    return named(g, GRAPH_STATE, name, type, shape, true);
}

shape4 graph_shape(const graph *g, tensor x) {
    return x == TENSOR_NONE || x >= g->tensor_count ? (shape4){0, 0, 0, 0} : g->tensors[x].shape;
}

dtype graph_type(const graph *g, tensor x) {
    return x == TENSOR_NONE || x >= g->tensor_count ? g->activation : g->tensors[x].type;
}

void graph_output(graph *g, tensor x, const char *name) {
    if (!graph_ok(g)) return;
    if (!name[0] || name_taken(g, name)) {
        graph_fail(g, MZT_ERROR_INVALID, "output \"%s\": the name is empty or used twice", name);
        return;
    }
    /* A name needs a buffer of its own: casts, views, inputs and values that already have a name are copied.
     */
    bool plain = x && x < g->tensor_count && g->tensors[x].kind == GRAPH_VALUE && !g->tensors[x].alias_of &&
                 !g->tensors[x].output && g->tensors[x].type == DTYPE_F32;
    if (!plain) x = graph_unary(g, x, UNARY_IDENTITY, 1, 0, DTYPE_F32);
    if (!x) return;
    g->tensors[x].output = host_strdup(g->host, name);
    if (!g->tensors[x].output) graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "output \"%s\": out of memory", name);
}

tensor graph_view(graph *g, tensor x, shape4 shape) {
    if (!graph_ok(g)) return TENSOR_NONE;
    uint32_t count = graph_elements(shape);
    if (!x || count == 0 || count != graph_elements(graph_shape(g, x))) {
        shape4 s = graph_shape(g, x);
        graph_fail(g, MZT_ERROR_INVALID, "%s: {%u, %u, %u, %u} cannot be seen as {%u, %u, %u, %u}", g->scope,
                   s.n, s.h, s.w, s.c, shape.n, shape.h, shape.w, shape.c);
        return TENSOR_NONE;
    }
    tensor root = graph_root(g, x),
           view = graph_new_tensor(g, g->tensors[root].kind, g->tensors[x].type, shape);
    if (view) g->tensors[view].alias_of = root;
    return view;
}

/* ------------------------------------------------------------------------------------------------ parameters
 * -- */

void graph_add_piece(graph *g, tensor param, const char *name, plan_packing packing, uint32_t rank,
                     const uint32_t *dims, uint64_t element) {
    if (!graph_ok(g)) return;
    graph_tensor *t = &g->tensors[param];
    graph_piece *grown = host_realloc(g->host, t->pieces, t->piece_count + 1, sizeof *grown);
    char *copy = host_strdup(g->host, name);
    if (grown) t->pieces = grown;
    if (!grown || !copy) {
        host_free(g->host, copy);
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "%s: out of memory for a parameter", name);
        return;
    }
    graph_piece *piece = &t->pieces[t->piece_count++];
    *piece = (graph_piece){.name = copy, .packing = packing, .rank = rank, .element = element};
    memcpy(piece->shape, dims, rank * sizeof *dims);
}

static bool same_shape(shape4 a, shape4 b) {
    return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c;
}

tensor graph_stacked_param(graph *g, const char *name, dtype type, shape4 shape) {
    if (graph_ok(g) && graph_elements(shape) == 0)
        graph_fail(g, MZT_ERROR_INVALID, "%s: a parameter of shape {%u, %u, %u, %u} is empty or too large",
                   name, shape.n, shape.h, shape.w, shape.c);
    tensor x = graph_new_tensor(g, GRAPH_PARAM, type, shape);
    if (!x) return TENSOR_NONE;
    g->tensors[x].name = host_strdup(g->host, name);
    if (!g->tensors[x].name)
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "%s: out of memory for a parameter", name);
    return x;
}

tensor graph_param(graph *g, const char *name, dtype type, shape4 shape, plan_packing packing, uint32_t rank,
                   const uint32_t *dims) {
    if (!graph_ok(g)) return TENSOR_NONE;
    for (uint32_t i = 1; i < g->tensor_count; i++) {
        const graph_tensor *t = &g->tensors[i];
        if (t->kind != GRAPH_PARAM || !t->name || strcmp(t->name, name) != 0) continue;
        if (t->type == type && same_shape(t->shape, shape) && t->piece_count == 1 &&
            t->pieces[0].packing == packing)
            return i;
        graph_fail(g, MZT_ERROR_INVALID, "%s: used twice with different shapes", name);
        return TENSOR_NONE;
    }
    tensor x = graph_stacked_param(g, name, type, shape);
    if (x) graph_add_piece(g, x, name, packing, rank, dims, 0);
    return x;
}
