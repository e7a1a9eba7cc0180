/* The graph's builders: shapes, names, sticky errors; and what the fusion rules make of small networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "graph/graph.h"

static base_host host;

static graph *make(void) {
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    assert_non_null(g);
    return g;
}

static void expect_shape(const graph *g, tensor x, uint32_t n, uint32_t h, uint32_t w, uint32_t c) {
    shape4 s = graph_shape(g, x);
    if (s.n != n || s.h != h || s.w != w || s.c != c)
        fail_msg("{%u, %u, %u, %u}, expected {%u, %u, %u, %u}", s.n, s.h, s.w, s.c, n, h, w, c);
}

/* The graph must have failed with a message that contains both words. */
static void expect_error(graph *g, mzt_status status, const char *first, const char *second) {
    mzt_error error = {0};
    assert_int_equal(graph_check(g, &error), status);
    if (!strstr(error.message, first) || !strstr(error.message, second))
        fail_msg("\"%s\" does not name %s and %s", error.message, first, second);
    plan *p;
    assert_int_equal(graph_compile(g, &(graph_options){0}, &p, &error), status);
    assert_null(p);
    graph_destroy(g);
}

static plan *compile(graph *g, bool no_fusion) {
    mzt_error error;
    plan *p;
    if (graph_compile(g, &(graph_options){.no_fusion = no_fusion}, &p, &error) != MZT_OK)
        fail_msg("%s", error.message);
    graph_destroy(g);
    return p;
}

static const graph_conv conv3 = {.cout = 16, .kernel = 3, .stride = 1, .pad = 1, .bias = true};

/* ---------------------------------------------------------------------------------------------------
 * building -- */

static void test_shapes(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){2, 9, 7, 16});
    graph_conv down = {.cout = 5, .kernel = 3, .stride = 2, .pad = 1};
    expect_shape(g, graph_conv2d(g, x, "a", &down), 2, 5, 4, 5);
    down.pad_after_only = true;
    expect_shape(g, graph_conv2d(g, x, "b", &down), 2, 4, 3, 5);
    expect_shape(g, graph_linear(g, x, "c", 3, true), 2, 9, 7, 3);
    expect_shape(
        g,
        graph_linear_stack(g, x, "d", 2, (const char *const[]){"d0", "d1"}, (const uint32_t[]){3, 4}, false),
        2, 9, 7, 7);
    expect_shape(g, graph_concat(g, x, x), 2, 9, 7, 32);
    expect_shape(g, graph_slice(g, x, 3, 5), 2, 9, 7, 5);
    expect_shape(g, graph_upsample(g, x), 2, 18, 14, 16);
    expect_shape(g, graph_geglu(g, x), 2, 9, 7, 8);
    expect_shape(g, graph_view(g, x, (shape4){1, 126, 1, 16}), 1, 126, 1, 16);
    tensor k = graph_input(g, "k", DTYPE_F32, (shape4){2, 77, 1, 16});
    expect_shape(g, graph_attention(g, x, k, k, 4, false, 0), 2, 9, 7, 16);
    tensor ids = graph_input(g, "ids", DTYPE_U32, (shape4){2, 77, 1, 1});
    expect_shape(g, graph_embedding(g, ids, "e", 100, 24, "p", 77), 2, 77, 1, 24);
    tensor index = graph_input(g, "i", DTYPE_U32, (shape4){3, 1, 1, 1});
    expect_shape(g, graph_gather_rows(g, k, index, 7), 21, 1, 1, 16);
    expect_shape(g, TENSOR_NONE, 0, 0, 0, 0);
    mzt_error error;
    assert_int_equal(graph_check(g, &error), MZT_OK);
    graph_destroy(g);
}

static const plan_piece *find_piece(const plan *p, const char *name) {
    for (uint32_t i = 0; i < p->piece_count; i++)
        if (strcmp(plan_string(p, p->pieces[i].name), name) == 0) return &p->pieces[i];
    fail_msg("no piece is called %s", name);
    return NULL;
}

static void test_names(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 8});
    graph_scope_begin(g, "down.%u", 1u);
    graph_scope_begin(g, "%s", "");
    graph_scope_begin(g, "resnets.0");
    x = graph_conv2d(g, x, "conv1", &conv3);
    graph_conv one = {.cout = 4, .kernel = 1, .stride = 1};
    x = graph_conv2d(g, x, "shortcut", &one);
    graph_scope_end(g);
    graph_scope_end(g);
    graph_scope_end(g);
    x = graph_linear_stack(g, x, "stack", 2, (const char *const[]){"a.to_q", "a.to_k"},
                           (const uint32_t[]){6, 10}, true);
    x = graph_silu(g, graph_mul(g, graph_silu(g, graph_mul(g, x, x)), x));
    graph_output(g, x, "y");
    plan *p = compile(g, true);
    const plan_piece *conv = find_piece(p, "down.1.resnets.0.conv1.weight");
    assert_int_equal(conv->packing, PLAN_PACK_CONV_OHWI);
    assert_memory_equal(conv->shape, ((const uint32_t[]){16, 8, 3, 3}), 16);
    assert_memory_equal(p->buffers[conv->buffer].shape, ((const uint32_t[]){16, 3, 3, 8}), 16);
    assert_int_equal(find_piece(p, "down.1.resnets.0.shortcut.weight")->rank, 4);
    const plan_piece *q = find_piece(p, "a.to_q.weight"), *k = find_piece(p, "a.to_k.weight");
    assert_int_equal(q->buffer, k->buffer);
    assert_int_equal(q->element, 0);
    assert_int_equal(k->element, 6 * 4);
    assert_int_equal(find_piece(p, "a.to_k.bias")->element, 6);
    assert_int_not_equal(plan_find_dispatch(p, "down.1.resnets.0.conv1"), PLAN_NONE);
    assert_int_not_equal(plan_find_dispatch(p, "silu.2"), PLAN_NONE);
    assert_int_equal(p->buffers[plan_find_buffer(p, "x")].role, PLAN_ROLE_INPUT);
    assert_int_equal(p->buffers[plan_find_buffer(p, "y")].role, PLAN_ROLE_OUTPUT);
    plan_destroy(p);
}

/* The first error stays, names the node, and stops everything after it. */
static void test_errors(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 12});
    graph_scope_begin(g, "mid");
    tensor bad = graph_group_norm(g, x, "norm", 5, 1e-5f);
    assert_int_equal(bad, TENSOR_NONE);
    assert_int_equal(graph_linear(g, x, "fine", 4, true), TENSOR_NONE);
    graph_fail(g, MZT_ERROR_INTERNAL, "later");
    expect_error(g, MZT_ERROR_INVALID, "mid.norm", "groups");

    g = make();
    x = graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 12});
    graph_concat(g, x, graph_upsample(g, x));
    expect_error(g, MZT_ERROR_INVALID, "concat", "{1, 8, 8, 12}");

    g = make();
    graph_linear(g, TENSOR_NONE, "lonely", 4, true);
    expect_error(g, MZT_ERROR_INVALID, "lonely", "0");

    g = make();
    x = graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 12});
    graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 12});
    expect_error(g, MZT_ERROR_INVALID, "\"x\"", "twice");

    g = make();
    graph_add(g, graph_input(g, "ids", DTYPE_U32, (shape4){1, 4, 4, 12}), TENSOR_NONE);
    expect_error(g, MZT_ERROR_INVALID, "add", "b_count");

    g = make();
    x = graph_input(g, "ids", DTYPE_U32, (shape4){1, 4, 4, 12});
    graph_silu(g, x);
    expect_error(g, MZT_ERROR_INVALID, "silu", "u32");

    g = make();
    x = graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 12});
    graph_linear(g, x, "shared", 4, true);
    graph_linear(g, x, "shared", 8, true);
    expect_error(g, MZT_ERROR_INVALID, "shared.weight", "twice");

    g = make();
    x = graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 12});
    graph_view(g, x, (shape4){1, 4, 4, 13});
    expect_error(g, MZT_ERROR_INVALID, "{1, 4, 4, 12}", "{1, 4, 4, 13}");

    g = make();
    graph_input(g, "x", DTYPE_F32, (shape4){65536, 65536, 1, 2});
    expect_error(g, MZT_ERROR_INVALID, "65536", "too large");

    g = make();
    x = graph_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 12});
    graph_conv wide = conv3;
    wide.vec = x;
    graph_conv2d(g, x, "conv", &wide);
    expect_error(g, MZT_ERROR_INVALID, "conv", "vec");

    g = make();
    graph_scope_end(g);
    expect_error(g, MZT_ERROR_INVALID, "closed", "never opened");

    g = make();
    for (int i = 0; i < 100; i++)
        graph_scope_begin(g, "deep");
    expect_error(g, MZT_ERROR_INVALID, "deep.deep", "nested");
}

/* -----------------------------------------------------------------------------------------------------
 * fusion -- */

/* The plan's dispatches, as "name:op" words in order, must be these. */
static void expect_dispatches(graph *g, const char *expected) {
    plan *p = compile(g, false);
    char text[1024] = "";
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const plan_dispatch *d = &p->dispatches[i];
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s:%s", used ? " " : "", plan_string(p, d->node),
                 op_get((op)d->op)->name);
    }
    assert_string_equal(text, expected);
    plan_destroy(p);
}

static void test_fuse_resnet(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){2, 8, 8, 8}),
           skip = graph_input(g, "s", DTYPE_F32, (shape4){2, 8, 8, 8});
    tensor wide = graph_concat(g, x, skip);
    tensor h = graph_conv2d(g, graph_silu(g, graph_group_norm(g, wide, "norm", 4, 1e-5f)), "conv", &conv3);
    graph_conv one = {.cout = 16, .kernel = 1, .stride = 1};
    graph_output(g, graph_add(g, graph_conv2d(g, wide, "shortcut", &one), h), "y");
    expect_dispatches(g, "norm.stats:group_norm_stats norm:group_norm conv:conv2d shortcut:linear");
}

/* The residual is computed after the matrix op: the op waits for it. */
static void test_fuse_later_residual(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){2, 8, 8, 16});
    tensor a = graph_linear(g, x, "a", 16, true), b = graph_layer_norm(g, x, "b", 1e-5f);
    graph_output(g, graph_add(g, a, b), "y");
    expect_dispatches(g, "b:layer_norm a:linear");
}

static void test_fuse_transformer(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){2, 8, 8, 16}),
           tokens = graph_view(g, x, (shape4){2, 64, 1, 16});
    tensor y = graph_layer_norm(g, tokens, "norm", 1e-5f);
    tensor q = graph_linear(g, y, "q", 16, false), k = graph_linear(g, y, "k", 16, false),
           v = graph_linear(g, y, "v", 16, false);
    y = graph_linear(g, graph_attention(g, q, k, v, 2, false, 0), "out", 16, true);
    y = graph_add(g, y, tokens);
    y = graph_linear(g, graph_geglu(g, graph_linear(g, y, "up", 128, true)), "down", 16, true);
    graph_output(g, graph_add(g, graph_view(g, y, (shape4){2, 8, 8, 16}), x), "y");
    expect_dispatches(g, "norm:layer_norm q:linear attention:attention out:linear up:linear down:linear");
}

static void test_fuse_upsample(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){2, 8, 8, 8});
    x = graph_upsample(g, graph_concat(g, x, x));
    graph_output(g, graph_activation(g, graph_conv2d(g, x, "conv", &conv3), UNARY_GELU), "y");
    expect_dispatches(g, "conv:conv2d");
}

/* What somebody else reads too stays: an output, a second reader, a reader that cannot. */
static void test_fuse_not(void **state) {
    (void)state;
    graph *g = make();
    tensor x = graph_input(g, "x", DTYPE_F32, (shape4){1, 8, 8, 16});
    tensor a = graph_linear(g, x, "a", 16, true);
    graph_output(g, a, "a");
    graph_output(g, graph_silu(g, a), "b");
    tensor c = graph_concat(g, x, x);
    graph_output(g, graph_linear(g, c, "c", 4, false), "c");
    graph_output(g, graph_layer_norm(g, c, "d", 1e-5f), "d");
    tensor e = graph_linear(g, x, "e", 16, false);
    graph_output(g, graph_add(g, e, e), "e");
    graph_linear(g, x, "nobody_reads_this", 8, true);
    expect_dispatches(g, "a:linear silu:unary concat:concat c:linear d:layer_norm e:linear add:binary");
}

/* -----------------------------------------------------------------------------------------------------
 * phases -- */

static void test_phases(void **state) {
    (void)state;
    graph *g = make();
    tensor latent = graph_state(g, "slots", DTYPE_F32, (shape4){6, 8, 8, 4}),
           step = graph_state(g, "step", DTYPE_U32, (shape4){1, 1, 1, 1});
    tensor table = graph_input(g, "table", DTYPE_F32, (shape4){10, 1, 1, 128}),
           t = graph_input(g, "t", DTYPE_F32, (shape4){20, 1, 1, 1});
    tensor x = graph_sampler_input(g, latent, table, step, TENSOR_NONE, (shape4){1, 8, 8, 4}, 2);
    tensor vec = graph_linear(g, graph_timestep_embedding(g, t, 32, true, 0, 10000, 1), "temb", 16, true);
    graph_conv conv = conv3;
    conv.vec = graph_gather_rows(g, vec, step, 2);
    x = graph_conv2d(g, x, "conv_in", &conv);
    x = graph_linear(g, x, "conv_out", 4, true);
    graph_sampler_update(g, latent, x, table, step, TENSOR_NONE, (shape4){1, 8, 8, 4}, 2);
    graph_step_advance(g, step);
    plan *p = compile(g, false);
    assert_int_equal(p->phase_count, 2);
    assert_int_equal(p->phases[plan_find_phase(p, "setup")].count, 2);
    assert_int_equal(p->phases[plan_find_phase(p, "step")].count, 6);
    const plan_dispatch *temb = &p->dispatches[plan_find_dispatch(p, "temb")];
    assert_int_equal(p->buffers[temb->bindings[6].buffer].kind, PLAN_PERSISTENT);
    assert_int_equal(p->buffers[temb->bindings[0].buffer].kind, PLAN_ARENA);
    assert_int_equal(plan_flops(p, 0), p->dispatches[0].flops + temb->flops);
    assert_int_equal(temb->flops, 2 * 20 * 32 * 16);
    assert_int_equal(temb->bytes, 4 * (20 * 32 + 32 * 16 + 16 + 20 * 16));
    plan_destroy(p);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_fuse_resnet),
        cmocka_unit_test(test_fuse_later_residual),
        cmocka_unit_test(test_fuse_transformer),
        cmocka_unit_test(test_fuse_upsample),
        cmocka_unit_test(test_fuse_not),
        cmocka_unit_test(test_phases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
