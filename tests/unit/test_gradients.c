/* Every gradient rule against differences of the op itself, on small odd shapes.
 *
 * A case describes y from inputs and parameters; the loss is sum((y - t)^2) / 2, which the test sums in
 * double from the y that cpu-reference gives. Its derivative along a direction comes from the five-point
 * formula (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h,   error h^4 f''''' / 30, with h = 1/32, below 1e-7 for
 * functions of order one. Inputs are multiples of 1/4096, so x + h is exact in f32. What limits the
 * comparison is the rounding of y to f32: each element adds about 2^-25 |y| |y - t| to f, so f is known to a
 * few 1e-7 times the square root of y's size and the derivative to some 1e-5. The limit is 2e-4 of the
 * gradient's largest element (of its norm, for random directions); a wrong index, tap or factor is off by
 * order one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "executor.h"
#include "graph/adapter.h"
#include "graph/differentiate.h"
#include "ops_cases.h"

#define LIMIT 2e-4
#define STEP  (1.0 / 32)

enum { MAX_INPUTS = 4, ROUNDS = 4, ELEMENTS = 8 };

static base_host host;

typedef struct bench {
    graph *g;
    ops_random random;
    tensor inputs[MAX_INPUTS]; /* whose gradients are wanted */
    uint32_t input_count;
    double scale; /* of the values of inputs and parameters */
    plan *plan;
    program *program;
    float *target;
} bench;

typedef tensor describe_function(bench *b);

static uint32_t between(bench *b, uint32_t low, uint32_t high) {
    return ops_random_between(&b->random, low, high);
}

static tensor source(bench *b, shape4 shape) {
    char name[16];
    snprintf(name, sizeof name, "x%u", (unsigned)b->input_count);
    tensor x = graph_varying_input(b->g, name, b->g->activation, shape);
    b->inputs[b->input_count++] = x;
    return x;
}

static shape4 picture(bench *b) {
    return (shape4){between(b, 1, 2), between(b, 3, 6), between(b, 3, 6), between(b, 1, 5)};
}

/* -------------------------------------------------------------------------------------------------------
 * cases -- */

static tensor describe_linear(bench *b) {
    return graph_linear(b->g, source(b, picture(b)), "layer", between(b, 1, 6), true);
}

static tensor describe_stack(bench *b) {
    static const char *const leaves[] = {"a", "b", "c"};
    const uint32_t outs[] = {3, 1, 4};
    return graph_linear_stack(b->g, source(b, picture(b)), "stack", 3, leaves, outs, true);
}

static tensor describe_conv(bench *b) {
    graph_conv conv = {
        .cout = between(b, 1, 5), .kernel = 3, .stride = 1, .pad = between(b, 0, 1), .bias = true};
    return graph_conv2d(b->g, source(b, picture(b)), "conv", &conv);
}

static tensor describe_conv_stride(bench *b) {
    graph_conv conv = {.cout = between(b, 1, 5), .kernel = between(b, 1, 3), .stride = 2, .bias = true};
    conv.pad = conv.kernel / 2;
    conv.pad_after_only = conv.kernel > 1 && between(b, 0, 1);
    return graph_conv2d(b->g, source(b, picture(b)), "conv", &conv);
}

static tensor describe_conv_wrap(bench *b) {
    graph_conv conv = {
        .cout = between(b, 1, 4), .kernel = 3, .stride = between(b, 1, 2), .pad = 1, .wrap_x = true};
    conv.wrap_y = between(b, 0, 1);
    shape4 shape = {between(b, 1, 2), 2 * between(b, 2, 3), 2 * between(b, 2, 3), between(b, 1, 3)};
    return graph_conv2d(b->g, source(b, shape), "conv", &conv);
}

/* A vector for every sample, or one for all, of which the layer reads some columns. */
static tensor describe_vec(bench *b) {
    shape4 shape = picture(b);
    graph_conv conv = {
        .cout = between(b, 1, 4), .kernel = between(b, 0, 1) ? 3 : 1, .stride = 1, .bias = true};
    conv.pad = conv.kernel / 2;
    conv.vec_offset = between(b, 0, 3);
    tensor x = source(b, shape);
    conv.vec = source(
        b, (shape4){between(b, 0, 1) ? shape.n : 1, 1, 1, conv.vec_offset + conv.cout + between(b, 0, 2)});
    return graph_conv2d(b->g, x, "conv", &conv);
}

static tensor describe_group_norm(bench *b) {
    uint32_t groups = between(b, 1, 3);
    shape4 shape = {between(b, 1, 2), between(b, 4, 7), between(b, 4, 7), groups * between(b, 1, 3)};
    return graph_group_norm(b->g, source(b, shape), "norm", groups, 1e-2f);
}

static tensor describe_layer_norm(bench *b) {
    shape4 shape = {between(b, 1, 2), between(b, 1, 20), 1, between(b, 4, 9)};
    return graph_layer_norm(b->g, source(b, shape), "norm", 1e-1f);
}

static tensor describe_unary(bench *b) {
    return graph_unary(b->g, source(b, picture(b)), between(b, UNARY_IDENTITY, UNARY_EXP), 0.75f, -0.25f,
                       b->g->activation);
}

static tensor describe_silu(bench *b) {
    return graph_silu(b->g, source(b, picture(b)));
}

static tensor describe_gelu(bench *b) {
    return graph_activation(b->g, source(b, picture(b)), UNARY_GELU);
}

static tensor describe_quick_gelu(bench *b) {
    return graph_activation(b->g, source(b, picture(b)), UNARY_QUICK_GELU);
}

/* The second operand: as large, a whole sample, or one row of channels. */
static shape4 operand(bench *b, shape4 s) {
    uint32_t kind = between(b, 0, 2);
    return kind == 0 ? s : kind == 1 ? (shape4){1, s.h, s.w, s.c} : (shape4){1, 1, 1, s.c};
}

static tensor describe_add(bench *b) {
    shape4 s = picture(b);
    tensor x = source(b, s);
    return graph_add(b->g, x, source(b, operand(b, s)));
}

static tensor describe_mul(bench *b) {
    shape4 s = picture(b);
    tensor x = source(b, s);
    return graph_mul(b->g, x, source(b, operand(b, s)));
}

static tensor describe_geglu(bench *b) {
    shape4 s = picture(b);
    s.c *= 2;
    return graph_geglu(b->g, source(b, s));
}

static tensor describe_concat(bench *b) {
    shape4 s = picture(b), t = s;
    t.c = between(b, 1, 5);
    tensor x = source(b, s);
    return graph_concat(b->g, x, source(b, t));
}

static tensor describe_slice(bench *b) {
    shape4 s = picture(b);
    uint32_t offset = between(b, 0, 6), count = between(b, 1, 6);
    s.c = offset + count + between(b, 0, 3);
    return graph_slice(b->g, source(b, s), offset, count);
}

static tensor describe_upsample(bench *b) {
    return graph_upsample(b->g, source(b, picture(b)));
}

static tensor describe_pixel_shuffle(bench *b) {
    shape4 s = picture(b);
    uint32_t block = between(b, 1, 3);
    s.c = block * block * between(b, 1, 3);
    return graph_pixel_shuffle(b->g, source(b, s), block);
}

static tensor describe_pixel_unshuffle(bench *b) {
    shape4 s = picture(b);
    uint32_t block = between(b, 1, 3);
    s.h *= block;
    s.w *= block;
    return graph_pixel_unshuffle(b->g, source(b, s), block);
}

/* At least two keys: the probability of a single one is 1, whatever q and k are. */
static tensor attention(bench *b, bool causal, uint32_t lq, uint32_t lk) {
    uint32_t n = between(b, 1, 2), heads = between(b, 1, 3), c = heads * between(b, 1, 5);
    tensor q = source(b, (shape4){n, lq, 1, c}), k = source(b, (shape4){n, lk, 1, c}),
           v = source(b, (shape4){n, lk, 1, c});
    return graph_attention(b->g, q, k, v, heads, causal, 0);
}

static tensor describe_attention(bench *b) {
    return attention(b, false, between(b, 1, 6), between(b, 2, 7));
}

static tensor describe_causal(bench *b) {
    uint32_t length = between(b, 3, 7);
    return attention(b, true, length, length + between(b, 0, 1) - between(b, 0, 1));
}

/* Tokens repeat, and some lie beyond the table. */
static tensor describe_embedding(bench *b) {
    uint32_t length = between(b, 1, 5);
    tensor ids = graph_varying_input(b->g, "ids", DTYPE_U32, (shape4){between(b, 1, 3), length, 1, 1});
    return graph_embedding(b->g, ids, "tokens", 4, between(b, 1, 5), "positions", length);
}

static tensor describe_gather_rows(bench *b) {
    uint32_t block = between(b, 1, 2);
    tensor x = source(b, (shape4){block * 4, 1, 1, between(b, 1, 4)});
    return graph_gather_rows(b->g, x, graph_varying_input(b->g, "ids", DTYPE_U32, (shape4){5, 1, 1, 1}),
                             block);
}

/* One tensor that many read, also through views of it. */
static tensor describe_reuse(bench *b) {
    shape4 s = picture(b), turned = {s.n, s.w, s.h, s.c};
    tensor x = source(b, s), y = graph_mul(b->g, x, x);
    tensor z = graph_view(b->g, graph_silu(b->g, graph_view(b->g, x, turned)), s);
    return graph_add(b->g, graph_add(b->g, y, z), x);
}

static bool every_module(const void *user, const char *module) {
    (void)user;
    (void)module;
    return true;
}

/* Adapters beside a linear layer and a convolution, whose own weights are differentiated too. */
static tensor describe_adapters(bench *b) {
    const graph_adapters adapters = {.rank = between(b, 1, 3), .scale = 0.75f, .chooses = every_module};
    const graph_conv conv = {
        .cout = between(b, 1, 4), .kernel = 3, .stride = between(b, 1, 2), .pad = 1, .bias = true};
    tensor x = source(b, picture(b));
    b->g->adapters = &adapters;
    x = graph_conv2d(b->g, graph_linear(b->g, x, "layer", between(b, 1, 5), true), "conv", &conv);
    b->g->adapters = NULL;
    return x;
}

/* --------------------------------------------------------------------------------------------------- running
 * -- */

static void must(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

static uint64_t elements(const bench *b, uint32_t buffer) {
    return b->plan->buffers[buffer].bytes / 4;
}

static uint32_t buffer_of(const bench *b, const char *name) {
    uint32_t buffer = plan_find_buffer(b->plan, name);
    if (buffer == PLAN_NONE) fail_msg("no buffer %s", name);
    return buffer;
}

/* Multiples of 1/4096; token ids 0 ... 4, one more than there are. */
static void fill(bench *b, uint32_t buffer) {
    const plan_buffer *p = &b->plan->buffers[buffer];
    mzt_error error;
    float *values = calloc(elements(b, buffer), sizeof *values);
    assert_non_null(values);
    for (uint64_t i = 0; i < elements(b, buffer); i++) {
        uint32_t id = between(b, 0, 4);
        if (p->dtype == DTYPE_U32)
            memcpy(&values[i], &id, sizeof id);
        else
            values[i] = (float)(round(ops_random_uniform(&b->random) * b->scale * 4096) / 4096);
    }
    if (strcmp(plan_string(b->plan, p->name), "t") == 0)
        memcpy(b->target, values, elements(b, buffer) * sizeof *values);
    must(program_write(b->program, buffer, 0, values, p->bytes, &error), &error);
    free(values);
}

static void read_buffer(const bench *b, const char *name, float *values) {
    mzt_error error;
    uint32_t buffer = buffer_of(b, name);
    must(program_read(b->program, buffer, 0, values, b->plan->buffers[buffer].bytes, &error), &error);
}

static double run_loss(const bench *b) {
    mzt_error error;
    must(program_run_phase(b->program, "step", NULL, &error), &error);
    uint64_t count = elements(b, buffer_of(b, "y"));
    float *y = malloc(count * sizeof *y);
    assert_non_null(y);
    read_buffer(b, "y", y);
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += 0.5 * ((double)y[i] - (double)b->target[i]) * ((double)y[i] - (double)b->target[i]);
    free(y);
    return sum;
}

/* The loss with `at` moved by `distance` along `direction`. */
static double moved_loss(const bench *b, uint32_t buffer, const float *at, const float *direction,
                         double distance) {
    mzt_error error;
    uint64_t count = elements(b, buffer);
    float *moved = malloc(count * sizeof *moved);
    assert_non_null(moved);
    for (uint64_t i = 0; i < count; i++)
        moved[i] = (float)((double)at[i] + distance * (double)direction[i]);
    must(program_write(b->program, buffer, 0, moved, count * sizeof *moved, &error), &error);
    free(moved);
    return run_loss(b);
}

/* Compares the derivative along `direction` with the gradient's; returns the difference over `norm`. */
static double check_direction(const bench *b, uint32_t buffer, const float *at, const float *gradient,
                              const float *direction, double norm) {
    double expected = 0, h = STEP;
    for (uint64_t i = 0; i < elements(b, buffer); i++)
        expected += (double)gradient[i] * (double)direction[i];
    double f1 = moved_loss(b, buffer, at, direction, h), f_1 = moved_loss(b, buffer, at, direction, -h),
           f2 = moved_loss(b, buffer, at, direction, 2 * h),
           f_2 = moved_loss(b, buffer, at, direction, -2 * h);
    double found = (8 * (f1 - f_1) - (f2 - f_2)) / (12 * h);
    return fabs(found - expected) / norm;
}

/* Some elements alone, then all with random signs. */
static double check_buffer(bench *b, const char *name) {
    char gradient_name[100];
    uint32_t buffer = buffer_of(b, name);
    uint64_t count = elements(b, buffer);
    float *at = malloc(count * sizeof *at), *gradient = malloc(count * sizeof *at),
          *direction = calloc(count, sizeof *at);
    assert_non_null(at);
    assert_non_null(gradient);
    assert_non_null(direction);
    snprintf(gradient_name, sizeof gradient_name, "grad.%s", name);
    read_buffer(b, name, at);
    run_loss(b);
    read_buffer(b, gradient_name, gradient);
    double worst = 0, squares = 0, largest = 0;
    for (uint64_t i = 0; i < count; i++) {
        squares += (double)gradient[i] * (double)gradient[i];
        largest = fmax(largest, fabs((double)gradient[i]));
    }
    assert_true(largest > 0);
    for (uint32_t k = 0; k < ELEMENTS; k++) {
        uint64_t i = between(b, 0, (uint32_t)count - 1);
        direction[i] = 1;
        worst = fmax(worst, check_direction(b, buffer, at, gradient, direction, largest));
        direction[i] = 0;
    }
    for (uint64_t i = 0; i < count; i++) /* shorter steps, as many elements move at once */
        direction[i] = (between(b, 0, 1) ? 1.0f : -1.0f) / 4;
    worst = fmax(worst, check_direction(b, buffer, at, gradient, direction, sqrt(squares)));
    mzt_error error;
    must(program_write(b->program, buffer, 0, at, count * sizeof *at, &error), &error);
    free(at);
    free(gradient);
    free(direction);
    return worst;
}

/* y, its loss, gradients of all inputs and parameters as outputs "grad.<name>". */
static void prepare(bench *b, executor *e, describe_function *describe) {
    mzt_error error;
    tensor y = describe(b);
    must(graph_check(b->g, &error), &error);
    graph_output(b->g, graph_cast(b->g, y, DTYPE_F32), "y");
    tensor target = graph_varying_input(b->g, "t", DTYPE_F32, graph_shape(b->g, y));
    graph_make_trainable(b->g, NULL, NULL);
    tensor loss = graph_loss(b->g, y, "loss",
                             &(graph_loss_options){.kind = LOSS_SQUARE, .scale = 0.5f, .target = target});
    graph_gradients d;
    graph_differentiate(b->g, &loss, 1,
                        &(graph_differentiate_options){.inputs = b->inputs, .input_count = b->input_count},
                        &d);
    assert_true(graph_check(b->g, NULL) < 0 || d.count >= b->input_count);
    for (uint32_t i = 0; i < d.count; i++) {
        char name[100];
        snprintf(name, sizeof name, "grad.%s", b->g->tensors[d.items[i].parameter].name);
        graph_output(b->g, d.items[i].gradient, name);
    }
    graph_gradients_release(&host, &d);
    must(graph_compile(b->g, &(graph_options){0}, &b->plan, &error), &error);
    graph_destroy(b->g);
    must(executor_prepare(e, b->plan, &b->program, &error), &error);
    b->target = calloc(elements(b, buffer_of(b, "t")), sizeof *b->target);
    assert_non_null(b->target);
    for (uint32_t i = 0; i < b->plan->buffer_count; i++) {
        uint32_t role = b->plan->buffers[i].role;
        if (role == PLAN_ROLE_INPUT || role == PLAN_ROLE_STATE) fill(b, i);
    }
    must(program_seal(b->program, &error), &error);
}

static void finish(bench *b) {
    program_destroy(b->program);
    plan_destroy(b->plan);
    free(b->target);
}

/* Every input and state that has a gradient. */
static double check_all(bench *b) {
    double worst = 0;
    uint32_t checked = 0;
    for (uint32_t i = 0; i < b->plan->buffer_count; i++) {
        const char *name = plan_string(b->plan, b->plan->buffers[i].name);
        if (strncmp(name, "grad.", 5) != 0 || b->plan->buffers[i].role != PLAN_ROLE_OUTPUT) continue;
        double error = check_buffer(b, name + 5);
        if (!(error <= LIMIT)) print_message("%s: off by %.3g\n", name, error);
        worst = fmax(worst, error);
        checked++;
    }
    assert_true(checked > 0);
    return worst;
}

typedef struct rule_case {
    const char *name;
    describe_function *describe;
    double scale;
} rule_case;

static const rule_case cases[] = {
    {"linear", describe_linear, 1},
    {"linear stack", describe_stack, 1},
    {"conv2d", describe_conv, 1},
    {"conv2d, stride 2", describe_conv_stride, 1},
    {"conv2d, circular", describe_conv_wrap, 1},
    {"vec", describe_vec, 1},
    {"group_norm", describe_group_norm, 1.5},
    {"layer_norm", describe_layer_norm, 1.5},
    {"unary", describe_unary, 1},
    {"silu", describe_silu, 2},
    {"gelu", describe_gelu, 2},
    {"quick_gelu", describe_quick_gelu, 2},
    {"add", describe_add, 1},
    {"mul", describe_mul, 1},
    {"geglu", describe_geglu, 2},
    {"concat", describe_concat, 1},
    {"slice", describe_slice, 1},
    {"upsample", describe_upsample, 1},
    {"pixel_shuffle", describe_pixel_shuffle, 1},
    {"pixel_unshuffle", describe_pixel_unshuffle, 1},
    {"attention", describe_attention, 1.5},
    {"causal attention", describe_causal, 1.5},
    {"embedding", describe_embedding, 1},
    {"gather_rows", describe_gather_rows, 1},
    {"reuse and views", describe_reuse, 1},
    {"adapters", describe_adapters, 0.7},
};

enum { CASES = sizeof cases / sizeof *cases };

static void test_rule(void **state) {
    const rule_case *c = *state;
    mzt_error error;
    executor *e;
    must(cpu_reference_create(&host, &e, &error), &error);
    double worst = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        bench b = {.g = graph_create(&host, DTYPE_F32, DTYPE_F32),
                   .random = ops_random_seed(7, (uint64_t)(c - cases), round),
                   .scale = c->scale};
        prepare(&b, e, c->describe);
        worst = fmax(worst, check_all(&b));
        finish(&b);
    }
    executor_destroy(e);
    print_message("%-20s %.1e of %.0e\n", c->name, worst, LIMIT);
    assert_true(worst <= LIMIT);
}

int main(void) {
    struct CMUnitTest tests[CASES];
    host = host_make(NULL);
    for (uint32_t i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){cases[i].name, test_rule, NULL, NULL, (void *)(uintptr_t)&cases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
