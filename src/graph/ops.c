/* Builders without parameters: elementwise ops, data movement, attention, and the step loop's own nodes. */
#include "graph/build.h"

#include <math.h>

tensor graph_unary(graph *g, tensor x, uint32_t kind, float scale, float shift, dtype type) {
    static const char *const names[] = {"cast", "silu", "gelu", "quick_gelu", "exp", "tanh", "relu"};
    if (!graph_ok(g)) return TENSOR_NONE;
    const char *name = kind >= UNARY_KINDS                                    ? "unary"
                       : kind == UNARY_IDENTITY && (scale != 1 || shift != 0) ? "scale"
                                                                              : names[kind];
    op_params params = {
        .unary = {.count = graph_elements(graph_shape(g, x)), .kind = kind, .scale = scale, .shift = shift}};
    return graph_emit(g, OP_UNARY, name, (tensor[OP_MAX_BINDINGS]){x}, &params, graph_shape(g, x), type);
}

tensor graph_silu(graph *g, tensor x) {
    return graph_activation(g, x, UNARY_SILU);
}

tensor graph_activation(graph *g, tensor x, uint32_t kind) {
    return graph_unary(g, x, kind, 1, 0, graph_type(g, x));
}

tensor graph_cast(graph *g, tensor x, dtype type) {
    if (!graph_ok(g)) return TENSOR_NONE;
    return x && graph_type(g, x) == type ? x : graph_unary(g, x, UNARY_IDENTITY, 1, 0, type);
}

tensor graph_geglu(graph *g, tensor x) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    if (s.c % 2) {
        graph_fail(g, MZT_ERROR_INVALID, "%s.geglu: %u channels cannot be halved", g->scope, s.c);
        return TENSOR_NONE;
    }
    op_params params = {.geglu = {.rows = graph_rows(s), .c = s.c / 2}};
    return graph_emit(g, OP_GEGLU, "geglu", (tensor[OP_MAX_BINDINGS]){x}, &params,
                      (shape4){s.n, s.h, s.w, s.c / 2}, g->activation);
}

static tensor emit_binary(graph *g, tensor a, tensor b, uint32_t kind, const char *name) {
    if (!graph_ok(g)) return TENSOR_NONE;
    op_params params = {.binary = {.count = graph_elements(graph_shape(g, a)),
                                   .b_count = graph_elements(graph_shape(g, b)),
                                   .kind = kind,
                                   .a_scale = 1,
                                   .b_scale = 1}};
    return graph_emit(g, OP_BINARY, name, (tensor[OP_MAX_BINDINGS]){a, b}, &params, graph_shape(g, a),
                      g->activation);
}

tensor graph_add(graph *g, tensor a, tensor b) {
    return emit_binary(g, a, b, BINARY_ADD, "add");
}

tensor graph_mul(graph *g, tensor a, tensor b) {
    return emit_binary(g, a, b, BINARY_MUL, "mul");
}

tensor graph_concat(graph *g, tensor a, tensor b) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, a), t = graph_shape(g, b);
    if (s.n != t.n || s.h != t.h || s.w != t.w) {
        graph_fail(g, MZT_ERROR_INVALID,
                   "%s.concat: {%u, %u, %u, %u} and {%u, %u, %u, %u} differ before the channels", g->scope,
                   s.n, s.h, s.w, s.c, t.n, t.h, t.w, t.c);
        return TENSOR_NONE;
    }
    op_params params = {.concat = {.rows = graph_rows(s), .c0 = s.c, .c1 = t.c}};
    return graph_emit(g, OP_CONCAT, "concat", (tensor[OP_MAX_BINDINGS]){a, b}, &params,
                      (shape4){s.n, s.h, s.w, s.c + t.c}, g->activation);
}

tensor graph_slice(graph *g, tensor x, uint32_t offset, uint32_t count) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    op_params params = {.slice = {.rows = graph_rows(s), .x_c = s.c, .offset = offset, .c = count}};
    return graph_emit(g, OP_SLICE, "slice", (tensor[OP_MAX_BINDINGS]){x}, &params,
                      (shape4){s.n, s.h, s.w, count}, g->activation);
}

tensor graph_upsample(graph *g, tensor x) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    op_params params = {.upsample = {.n = s.n, .h = s.h, .w = s.w, .c = s.c}};
    return graph_emit(g, OP_UPSAMPLE, "upsample", (tensor[OP_MAX_BINDINGS]){x}, &params,
                      (shape4){s.n, 2 * s.h, 2 * s.w, s.c}, g->activation);
}

/* `coarse` is the shape with fewer pixels. */
static tensor shuffle(graph *g, tensor x, shape4 coarse, uint32_t block, bool inverse) {
    shape4 fine = {coarse.n, coarse.h * block, coarse.w * block, coarse.c / block / block};
    op_params params = {
        .pixel_shuffle = {
            .n = coarse.n, .h = coarse.h, .w = coarse.w, .c = fine.c, .block = block, .inverse = inverse}};
    return graph_emit(g, OP_PIXEL_SHUFFLE, inverse ? "unshuffle" : "shuffle", (tensor[OP_MAX_BINDINGS]){x},
                      &params, inverse ? coarse : fine, g->activation);
}

tensor graph_pixel_shuffle(graph *g, tensor x, uint32_t block) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    if (block == 0 || block > s.c || s.c % ((uint64_t)block * block) || s.h > UINT32_MAX / block ||
        s.w > UINT32_MAX / block) {
        graph_fail(g, MZT_ERROR_INVALID, "pixel_shuffle: %u channels in blocks of %u x %u", (unsigned)s.c,
                   (unsigned)block, (unsigned)block);
        return TENSOR_NONE;
    }
    return shuffle(g, x, s, block, false);
}

tensor graph_pixel_unshuffle(graph *g, tensor x, uint32_t block) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x);
    if (block == 0 || s.h % block || s.w % block || (uint64_t)s.c * block > UINT32_MAX / block) {
        graph_fail(g, MZT_ERROR_INVALID, "pixel_unshuffle: %u x %u pixels in blocks of %u x %u",
                   (unsigned)s.w, (unsigned)s.h, (unsigned)block, (unsigned)block);
        return TENSOR_NONE;
    }
    return shuffle(g, x, (shape4){s.n, s.h / block, s.w / block, s.c * block * block}, block, true);
}

tensor graph_attention(graph *g, tensor q, tensor k, tensor v, uint32_t heads, bool causal, float scale) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 sq = graph_shape(g, q), sk = graph_shape(g, k), sv = graph_shape(g, v);
    bool same = sk.n == sv.n && sk.h == sv.h && sk.w == sv.w && sk.c == sv.c && sq.n == sk.n && sq.c == sk.c;
    if (!same || heads == 0 || sq.c % heads) {
        graph_fail(
            g, MZT_ERROR_INVALID,
            "%s.attention: q {%u, %u, %u, %u}, k {%u, %u, %u, %u} and v {%u, %u, %u, %u} with %u heads",
            g->scope, sq.n, sq.h, sq.w, sq.c, sk.n, sk.h, sk.w, sk.c, sv.n, sv.h, sv.w, sv.c, heads);
        return TENSOR_NONE;
    }
    uint32_t d = sq.c / heads;
    op_params params = {.attention = {.batch = sq.n,
                                      .heads = heads,
                                      .d = d,
                                      .lq = sq.h * sq.w,
                                      .lk = sk.h * sk.w,
                                      .q_stride = sq.c,
                                      .k_stride = sk.c,
                                      .v_stride = sv.c,
                                      .o_stride = sq.c,
                                      .flags = causal ? ATTENTION_CAUSAL : 0,
                                      .scale = scale != 0 ? scale : (float)(1 / sqrt((double)d))}};
    return graph_emit(g, OP_ATTENTION, "attention", (tensor[OP_MAX_BINDINGS]){q, k, v}, &params, sq,
                      g->activation);
}

tensor graph_timestep_embedding(graph *g, tensor t, uint32_t dim, bool flip, float shift, float max_period,
                                float scale) {
    if (!graph_ok(g)) return TENSOR_NONE;
    uint32_t rows = graph_elements(graph_shape(g, t));
    op_params params = {.timestep_embedding = {.rows = rows,
                                               .dim = dim,
                                               .flags = flip ? TIMESTEP_FLIP : 0,
                                               .shift = shift,
                                               .max_period = max_period,
                                               .scale = scale}};
    return graph_emit(g, OP_TIMESTEP_EMBEDDING, "timestep_embedding", (tensor[OP_MAX_BINDINGS]){t}, &params,
                      (shape4){rows, 1, 1, dim}, g->activation);
}

tensor graph_gather_rows(graph *g, tensor x, tensor index, uint32_t block) {
    if (!graph_ok(g)) return TENSOR_NONE;
    shape4 s = graph_shape(g, x), out = {graph_elements(graph_shape(g, index)) * block, 1, 1, s.c};
    op_params params = {.gather_rows = {.rows = out.n, .c = s.c, .block = block, .x_rows = graph_rows(s)}};
    return graph_emit(g, OP_GATHER_ROWS, "gather_rows", (tensor[OP_MAX_BINDINGS]){x, index}, &params, out,
                      g->activation);
}

/* ------------------------------------------------------------------------------------------------- step loop
 * -- */

/* Rows of a sampler table, or arrays of noise: how often `size` elements fit into x. */
static uint32_t rows_of(const graph *g, tensor x, uint32_t size) {
    return x && size ? graph_elements(graph_shape(g, x)) / size : 0;
}

tensor graph_sampler_input(graph *g, tensor slots, tensor table, tensor step, tensor extra, shape4 latent,
                           uint32_t repeat) {
    if (!graph_ok(g)) return TENSOR_NONE;
    uint32_t count = graph_elements(latent), extra_c = graph_shape(g, extra).c;
    op_params params = {.sampler_input = {.pixels = count ? graph_rows(latent) : 0,
                                          .c = latent.c,
                                          .extra_c = extra_c,
                                          .repeat = repeat,
                                          .slots = rows_of(g, slots, count),
                                          .calls = rows_of(g, table, SAMPLER_ROW_LENGTH)}};
    return graph_emit(g, OP_SAMPLER_INPUT, "sampler_input",
                      (tensor[OP_MAX_BINDINGS]){slots, table, step, extra}, &params,
                      (shape4){latent.n * repeat, latent.h, latent.w, latent.c + extra_c}, g->activation);
}

void graph_sampler_update(graph *g, tensor slots, tensor output, tensor table, tensor step, tensor noise,
                          shape4 latent, uint32_t repeat) {
    output = graph_cast(g, output, DTYPE_F32);
    if (!graph_ok(g)) return;
    uint32_t count = graph_elements(latent);
    op_params params = {.sampler_update = {.count = count,
                                           .repeat = repeat,
                                           .slots = rows_of(g, slots, count),
                                           .calls = rows_of(g, table, SAMPLER_ROW_LENGTH),
                                           .noise_rows = rows_of(g, noise, count)}};
    graph_emit(g, OP_SAMPLER_UPDATE, "sampler_update",
               (tensor[OP_MAX_BINDINGS]){output, table, step, noise, slots}, &params, graph_shape(g, slots),
               DTYPE_F32);
}

tensor graph_guidance(graph *g, tensor slots, tensor output, tensor table, tensor step, tensor known,
                      tensor mask, shape4 latent, uint32_t repeat, float rescale) {
    output = graph_cast(g, output, DTYPE_F32);
    if (!graph_ok(g)) return TENSOR_NONE;
    uint32_t elements = graph_elements(latent);
    bool masked = known && mask;
    op_params params = {.guidance = {.samples = latent.n,
                                     .count = latent.n ? elements / latent.n : 0,
                                     .repeat = repeat,
                                     .slots = rows_of(g, slots, elements),
                                     .calls = rows_of(g, table, SAMPLER_ROW_LENGTH),
                                     .masked = masked,
                                     .rescale = rescale}};
    return graph_emit(g, OP_GUIDANCE, "guidance",
                      (tensor[OP_MAX_BINDINGS]){output, table, step, masked ? slots : TENSOR_NONE,
                                                masked ? known : TENSOR_NONE, masked ? mask : TENSOR_NONE},
                      &params, latent, DTYPE_F32);
}

void graph_step_advance(graph *g, tensor step) {
    op_params params = {.step_advance = {.first = 0}};
    graph_emit(g, OP_STEP_ADVANCE, "step_advance", (tensor[OP_MAX_BINDINGS]){step}, &params,
               graph_shape(g, step), DTYPE_U32);
}
