/* Layers with parameters: linear, convolution, norms, embedding. */
#include "graph/adapter.h"
#include "graph/build.h"

/* "<scope>.<leaf>.<suffix>" in a fresh block. */
static char *param_name(graph *g, const char *leaf, const char *suffix) {
    graph_scope_begin(g, "%s", leaf);
    char *name = graph_ok(g) ? graph_join(g, suffix) : NULL;
    graph_scope_end(g);
    return name;
}

static tensor layer_param(graph *g, const char *leaf, const char *suffix, dtype type, shape4 shape,
                          plan_packing packing, uint32_t rank, const uint32_t *dims) {
    if (!graph_ok(g)) return TENSOR_NONE;
    char *name = param_name(g, leaf, suffix);
    tensor x = name ? graph_param(g, name, type, shape, packing, rank, dims) : TENSOR_NONE;
    host_free(g->host, name);
    return x;
}

/* f32 [c]: a bias, or a norm's scale or shift. */
static tensor vector_param(graph *g, const char *leaf, const char *suffix, uint32_t c) {
    return layer_param(g, leaf, suffix, DTYPE_F32, (shape4){1, 1, 1, c}, PLAN_PACK_PLAIN, 1, &c);
}

/* True if `vec` can be added to each of x's samples; see graph_conv. */
static bool check_vec(graph *g, tensor x, const char *leaf, const graph_conv *conv) {
    if (!conv->vec) return true;
    shape4 s = graph_shape(g, x), vec = graph_shape(g, conv->vec);
    if ((vec.n == 1 || vec.n == s.n) && vec.h == 1 && vec.w == 1 &&
        (uint64_t)conv->vec_offset + conv->cout <= vec.c)
        return true;
    graph_fail(g, MZT_ERROR_INVALID, "%s.%s: vec is {%u, %u, %u, %u}, expected {1 or %u, 1, 1, %u or more}",
               g->scope, leaf, vec.n, vec.h, vec.w, vec.c, s.n, conv->vec_offset + conv->cout);
    return false;
}

/* ---------------------------------------------------------------------------------------------------- linear
 * -- */

static tensor emit_linear(graph *g, tensor x, const char *leaf, tensor weight, tensor bias,
                          const graph_conv *conv) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    uint32_t n = graph_shape(g, weight).w;
    op_params params = {.linear = {.m = graph_rows(s), .n = n, .k0 = s.c, .rows_per_sample = s.h * s.w}};
    tensor bindings[OP_MAX_BINDINGS] = {x, TENSOR_NONE, weight, bias};
    if (bias) params.linear.flags |= EPILOGUE_BIAS;
    if (conv && conv->vec) {
        shape4 vec = graph_shape(g, conv->vec);
        params.linear.flags |= EPILOGUE_VEC;
        params.linear.vec_stride = vec.n == 1 ? 0 : vec.c;
        params.linear.vec_offset = conv->vec_offset;
        bindings[4] = conv->vec;
    }
    tensor y = graph_emit(g, OP_LINEAR, leaf, bindings, &params, (shape4){s.n, s.h, s.w, n}, g->activation);
    return g->adapters ? graph_adapt_linear(g, x, weight, y) : y;
}

tensor graph_linear(graph *g, tensor x, const char *leaf, uint32_t out, bool bias) {
    uint32_t in = graph_shape(g, x).c, dims[2] = {out, in};
    tensor weight =
        layer_param(g, leaf, "weight", g->weight, (shape4){1, 1, out, in}, PLAN_PACK_PLAIN, 2, dims);
    return emit_linear(g, x, leaf, weight, bias ? vector_param(g, leaf, "bias", out) : TENSOR_NONE, NULL);
}

/* One parameter of all the stacked layers: `columns` 0 makes it the bias. */
static tensor stack_param(graph *g, const char *name, uint32_t count, const char *const *leaves,
                          const uint32_t *outs, uint32_t total, uint32_t columns) {
    if (!graph_ok(g)) return TENSOR_NONE;
    const char *suffix = columns ? "weight" : "bias";
    shape4 shape = columns ? (shape4){1, 1, total, columns} : (shape4){1, 1, 1, total};
    char *text = param_name(g, name, suffix);
    tensor x = text ? graph_stacked_param(g, text, columns ? g->weight : DTYPE_F32, shape) : TENSOR_NONE;
    host_free(g->host, text);
    uint64_t element = 0;
    for (uint32_t i = 0; i < count && graph_ok(g); i++) {
        uint32_t dims[2] = {outs[i], columns};
        text = param_name(g, leaves[i], suffix);
        if (text) graph_add_piece(g, x, text, PLAN_PACK_PLAIN, columns ? 2 : 1, dims, element);
        host_free(g->host, text);
        element += (uint64_t)outs[i] * (columns ? columns : 1);
    }
    return x;
}

tensor graph_linear_stack(graph *g, tensor x, const char *name, uint32_t count, const char *const *leaves,
                          const uint32_t *outs, bool bias) {
    if (!graph_ok(g)) return TENSOR_NONE;
    uint32_t in = graph_shape(g, x).c;
    uint64_t total = 0;
    bool empty = in == 0 || count == 0;
    for (uint32_t i = 0; i < count; i++) {
        total += outs[i];
        empty |= outs[i] == 0;
    }
    if (empty || total > INT32_MAX) {
        graph_fail(g, MZT_ERROR_INVALID, "%s.%s: %u linear layers from %u to %llu columns", g->scope, name,
                   count, in, (unsigned long long)total);
        return TENSOR_NONE;
    }
    tensor weight = stack_param(g, name, count, leaves, outs, (uint32_t)total, in);
    tensor shift = bias ? stack_param(g, name, count, leaves, outs, (uint32_t)total, 0) : TENSOR_NONE;
    return emit_linear(g, x, name, weight, shift, NULL);
}

/* ----------------------------------------------------------------------------------------------- convolution
 * -- */

/* Size of an output axis; 0 if the kernel does not fit. */
static uint32_t conv_size(uint32_t size, const graph_conv *conv) {
    uint64_t padded = (uint64_t)size + (conv->pad_after_only ? 1 : 2) * (uint64_t)conv->pad;
    if (conv->stride == 0 || padded < conv->kernel) return 0;
    uint64_t out = (padded - conv->kernel) / conv->stride + 1;
    return out <= INT32_MAX ? (uint32_t)out : 0;
}

tensor graph_conv2d(graph *g, tensor x, const char *leaf, const graph_conv *conv) {
    if (!graph_ok(g) || !check_vec(g, x, leaf, conv)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    uint32_t k = conv->kernel, dims[4] = {conv->cout, s.c, k, k};
    tensor bias = conv->bias ? vector_param(g, leaf, "bias", conv->cout) : TENSOR_NONE;
    if (k == 1 && conv->stride == 1 && conv->pad == 0) {
        tensor matrix = layer_param(g, leaf, "weight", g->weight, (shape4){1, 1, conv->cout, s.c},
                                    PLAN_PACK_PLAIN, 4, dims);
        return emit_linear(g, x, leaf, matrix, bias, conv);
    }
    tensor weight = layer_param(g, leaf, "weight", g->weight, (shape4){conv->cout, k, k, s.c},
                                PLAN_PACK_CONV_OHWI, 4, dims);
    shape4 out = {s.n, conv_size(s.h, conv), conv_size(s.w, conv), conv->cout};
    uint32_t pad = conv->pad_after_only ? 0 : conv->pad;
    op_params params = {.conv2d = {.n = s.n,
                                   .h = s.h,
                                   .w = s.w,
                                   .c0 = s.c,
                                   .cout = conv->cout,
                                   .kh = k,
                                   .kw = k,
                                   .stride = conv->stride,
                                   .pad_top = pad,
                                   .pad_left = pad,
                                   .oh = out.h,
                                   .ow = out.w,
                                   .rows = graph_elements(out) ? graph_rows(out) : 0}};
    tensor bindings[OP_MAX_BINDINGS] = {x, TENSOR_NONE, weight, bias};
    if (bias) params.conv2d.flags |= EPILOGUE_BIAS;
    if (conv->wrap_x) params.conv2d.flags |= CONV_WRAP_X;
    if (conv->wrap_y) params.conv2d.flags |= CONV_WRAP_Y;
    if (conv->vec) {
        shape4 vec = graph_shape(g, conv->vec);
        params.conv2d.flags |= EPILOGUE_VEC;
        params.conv2d.vec_stride = vec.n == 1 ? 0 : vec.c;
        params.conv2d.vec_offset = conv->vec_offset;
        bindings[4] = conv->vec;
    }
    tensor y = graph_emit(g, OP_CONV2D, leaf, bindings, &params, out, g->activation);
    return g->adapters ? graph_adapt_conv2d(g, x, weight, y, &params.conv2d) : y;
}

/* ----------------------------------------------------------------------------------------------------- norms
 * -- */

/* At most this many partial results a sample, and at least so many rows behind each. */
#define NORM_CHUNKS   128u
#define NORM_MIN_ROWS 16u

tensor graph_group_norm(graph *g, tensor x, const char *leaf, uint32_t groups, float eps) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    uint32_t hw = s.h * s.w, rows = ceil_div(hw, NORM_CHUNKS);
    if (rows < NORM_MIN_ROWS) rows = NORM_MIN_ROWS;
    uint32_t chunks = ceil_div(hw, rows);
    op_params stats = {.group_norm_stats = {.n = s.n,
                                            .hw = hw,
                                            .c0 = s.c,
                                            .groups = groups,
                                            .chunks = chunks,
                                            .rows_per_chunk = rows,
                                            .chunk_count = s.n * chunks}};
    graph_scope_begin(g, "%s", leaf);
    tensor partial = graph_emit(g, OP_GROUP_NORM_STATS, "stats", (tensor[OP_MAX_BINDINGS]){x}, &stats,
                                (shape4){s.n, chunks, groups, 2}, DTYPE_F32);
    graph_scope_end(g);
    tensor gamma = vector_param(g, leaf, "weight", s.c), beta = vector_param(g, leaf, "bias", s.c);
    op_params apply = {.group_norm = {.n = s.n,
                                      .hw = hw,
                                      .c0 = s.c,
                                      .groups = groups,
                                      .chunks = chunks,
                                      .rows_per_chunk = rows,
                                      .eps = eps,
                                      .rows = s.n * hw}};
    return graph_emit(g, OP_GROUP_NORM, leaf, (tensor[OP_MAX_BINDINGS]){x, TENSOR_NONE, partial, gamma, beta},
                      &apply, s, g->activation);
}

tensor graph_group_norm_given(graph *g, tensor x, const char *leaf, uint32_t groups, float eps,
                              tensor statistics) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    uint32_t hw = s.h * s.w;
    tensor gamma = vector_param(g, leaf, "weight", s.c), beta = vector_param(g, leaf, "bias", s.c);
    op_params apply = {.group_norm = {.n = s.n,
                                      .hw = hw,
                                      .c0 = s.c,
                                      .groups = groups,
                                      .chunks = 1,
                                      .rows_per_chunk = hw,
                                      .eps = eps,
                                      .rows = s.n * hw}};
    tensor bindings[OP_MAX_BINDINGS] = {x, TENSOR_NONE, statistics, gamma, beta};
    return graph_emit(g, OP_GROUP_NORM, leaf, bindings, &apply, s, g->activation);
}

tensor graph_layer_norm(graph *g, tensor x, const char *leaf, float eps) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    tensor gamma = vector_param(g, leaf, "weight", s.c), beta = vector_param(g, leaf, "bias", s.c);
    op_params params = {.layer_norm = {.rows = graph_rows(s), .c = s.c, .eps = eps}};
    return graph_emit(g, OP_LAYER_NORM, leaf, (tensor[OP_MAX_BINDINGS]){x, gamma, beta}, &params, s,
                      g->activation);
}

/* ------------------------------------------------------------------------------------------------- embedding
 * -- */

tensor graph_embedding(graph *g, tensor ids, const char *table, uint32_t vocabulary, uint32_t c,
                       const char *positions, uint32_t position_rows) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, ids);
    uint32_t length = s.h * s.w * s.c, dims[2] = {vocabulary, c}, position_dims[2] = {position_rows, c};
    tensor words =
        layer_param(g, table, "weight", g->weight, (shape4){1, 1, vocabulary, c}, PLAN_PACK_PLAIN, 2, dims);
    tensor places = TENSOR_NONE;
    if (positions)
        places = layer_param(g, positions, "weight", g->weight, (shape4){1, 1, position_rows, c},
                             PLAN_PACK_PLAIN, 2, position_dims);
    op_params params = {.embedding = {.rows = s.n * length,
                                      .c = c,
                                      .vocabulary = vocabulary,
                                      .length = positions ? length : 0,
                                      .table_rows = vocabulary}};
    return graph_emit(g, OP_EMBEDDING, table, (tensor[OP_MAX_BINDINGS]){ids, words, places}, &params,
                      (shape4){s.n, length, 1, c}, g->activation);
}
