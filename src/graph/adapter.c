/* Low-rank adapters beside layers; see adapter.h. */
#include "graph/adapter.h"

#include <stdio.h>
#include <string.h>

#include "graph/build.h"

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool graph_is_adapter(const void *user, const char *parameter) {
    (void)user;
    return ends_with(parameter, ".lora_down.weight") || ends_with(parameter, ".lora_up.weight");
}

/* The module's name, if it gets an adapter. Layers whose weights lie in one matrix with others' get none. */
static bool chosen(const graph *g, tensor weight, char *module, size_t size) {
    if (!graph_ok(g) || !g->adapters || g->tensors[weight].piece_count != 1) return false;
    const char *name = g->tensors[weight].pieces[0].name;
    if (!ends_with(name, ".weight") || strlen(name) >= size) return false;
    snprintf(module, size, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
    return g->adapters->chooses(g->adapters->user, module);
}

static tensor param(graph *g, const char *module, const char *end, shape4 shape, plan_packing packing,
                    uint32_t rank, const uint32_t *dims) {
    char name[600];
    snprintf(name, sizeof name, "%s%s", module, end);
    return graph_param(g, name, g->weight, shape, packing, rank, dims);
}

/* y + scale * up(h), h having `rank` channels. */
static tensor add_up(graph *g, const char *module, tensor h, tensor y, uint32_t dims_rank) {
    const uint32_t rank = g->adapters->rank;
    const shape4 s = graph_shape(g, y);
    const uint32_t dims[4] = {s.c, rank, 1, 1};
    if (g->adapters->scale != 1) h = graph_unary(g, h, UNARY_IDENTITY, g->adapters->scale, 0, g->activation);
    tensor up =
        param(g, module, ".lora_up.weight", (shape4){1, 1, s.c, rank}, PLAN_PACK_PLAIN, dims_rank, dims);
    op_params params = {.linear = {.m = graph_rows(s), .n = s.c, .k0 = rank, .rows_per_sample = s.h * s.w}};
    h = graph_emit(g, OP_LINEAR, "lora_up", (tensor[OP_MAX_BINDINGS]){h, TENSOR_NONE, up}, &params, s,
                   g->activation);
    return graph_add(g, y, h);
}

tensor graph_adapt_linear(graph *g, tensor x, tensor weight, tensor y) {
    char module[512];
    if (!chosen(g, weight, module, sizeof module)) return y;
    const shape4 s = graph_shape(g, x);
    const uint32_t rank = g->adapters->rank, dims_rank = g->tensors[weight].pieces[0].rank;
    const uint32_t dims[4] = {rank, s.c, 1, 1};
    tensor down =
        param(g, module, ".lora_down.weight", (shape4){1, 1, rank, s.c}, PLAN_PACK_PLAIN, dims_rank, dims);
    op_params params = {.linear = {.m = graph_rows(s), .n = rank, .k0 = s.c, .rows_per_sample = s.h * s.w}};
    tensor h = graph_emit(g, OP_LINEAR, "lora_down", (tensor[OP_MAX_BINDINGS]){x, TENSOR_NONE, down}, &params,
                          (shape4){s.n, s.h, s.w, rank}, g->activation);
    return add_up(g, module, h, y, dims_rank);
}

tensor graph_adapt_conv2d(graph *g, tensor x, tensor weight, tensor y, const conv2d_params *conv) {
    char module[512];
    if (!chosen(g, weight, module, sizeof module)) return y;
    const uint32_t rank = g->adapters->rank, dims[4] = {rank, conv->c0, conv->kh, conv->kw};
    tensor down = param(g, module, ".lora_down.weight", (shape4){rank, conv->kh, conv->kw, conv->c0},
                        PLAN_PACK_CONV_OHWI, 4, dims);
    op_params params = {.conv2d = *conv};
    params.conv2d.cout = rank;
    params.conv2d.flags &= CONV_WRAP_X | CONV_WRAP_Y; /* the bias and the time embedding are y's */
    params.conv2d.vec_stride = params.conv2d.vec_offset = 0;
    const shape4 s = graph_shape(g, y);
    tensor h = graph_emit(g, OP_CONV2D, "lora_down", (tensor[OP_MAX_BINDINGS]){x, TENSOR_NONE, down}, &params,
                          (shape4){s.n, s.h, s.w, rank}, g->activation);
    return add_up(g, module, h, y, 4);
}
