/* Losses, the optimiser, mixed precision and choices of training graphs, on cpu-reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "executor.h"
#include "ops_cases.h"
#include "train/optimizer.h"

static base_host host;

typedef struct bench {
    executor *e;
    plan *plan;
    program *program;
} bench;

static void must(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

static uint32_t buffer_of(const bench *b, const char *name) {
    uint32_t buffer = plan_find_buffer(b->plan, name);
    if (buffer == PLAN_NONE) fail_msg("no buffer %s", name);
    return buffer;
}

static uint32_t count_of(const bench *b, const char *name) {
    const plan_buffer *p = &b->plan->buffers[buffer_of(b, name)];
    return (uint32_t)(p->bytes / dtype_size((dtype)p->dtype));
}

static void put(const bench *b, const char *name, const float *values) {
    mzt_error error;
    const plan_buffer *p = &b->plan->buffers[buffer_of(b, name)];
    void *converted = malloc(p->bytes);
    assert_non_null(converted);
    dtype_convert((dtype)p->dtype, converted, DTYPE_F32, values, count_of(b, name));
    must(program_write(b->program, buffer_of(b, name), 0, converted, p->bytes, &error), &error);
    free(converted);
}

static void get(const bench *b, const char *name, float *values) {
    mzt_error error;
    must(program_read(b->program, buffer_of(b, name), 0, values, b->plan->buffers[buffer_of(b, name)].bytes,
                      &error),
         &error);
}

static void step(const bench *b) {
    mzt_error error;
    must(program_run_phase(b->program, "step", NULL, &error), &error);
}

/* Compiles and destroys the graph. */
static void prepare(bench *b, graph *g) {
    mzt_error error;
    must(cpu_reference_create(&host, &b->e, &error), &error);
    must(graph_compile(g, &(graph_options){0}, &b->plan, &error), &error);
    graph_destroy(g);
    must(executor_prepare(b->e, b->plan, &b->program, &error), &error);
    must(program_seal(b->program, &error), &error);
}

static void finish(bench *b) {
    program_destroy(b->program);
    plan_destroy(b->plan);
    executor_destroy(b->e);
}

static void fill(float *values, uint32_t count, uint64_t seed, double scale) {
    ops_random r = ops_random_seed(31, seed, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = (float)(scale * ops_random_uniform(&r));
}

/* Every input and state but the optimiser's, by a seed from its name. */
static void fill_all(const bench *b, double scale) {
    for (uint32_t i = 0; i < b->plan->buffer_count; i++) {
        const plan_buffer *p = &b->plan->buffers[i];
        const char *name = plan_string(b->plan, p->name);
        bool mine = (p->role == PLAN_ROLE_INPUT || p->role == PLAN_ROLE_STATE) && p->dtype != DTYPE_U32;
        if (!mine || strncmp(name, "optimizer.", 10) == 0) continue;
        uint64_t seed = 5381;
        for (const char *c = name; *c; c++)
            seed = seed * 33 + (unsigned char)*c;
        float *values = malloc(count_of(b, name) * sizeof *values);
        assert_non_null(values);
        fill(values, count_of(b, name), seed, scale);
        put(b, name, values);
        free(values);
    }
}

/* ------------------------------------------------------------------------------------------------------
 * losses -- */

static double loss_of(uint32_t kind, double beta, double d, double *slope) {
    if (kind == LOSS_SQUARE) {
        *slope = 2 * d;
        return d * d;
    }
    if (kind == LOSS_EXP) {
        *slope = exp(d) - 1;
        return exp(d) - 1 - d;
    }
    bool near_zero = fabs(d) < beta;
    *slope = near_zero ? d / beta : d > 0 ? 1 : -1;
    return near_zero ? d * d / (2 * beta) : fabs(d) - beta / 2;
}

/* `weights`: none, one per sample, one per pixel. */
static void check_loss(uint32_t kind, float beta, uint32_t weights, bool target) {
    const shape4 shape = {3, 5, 7, 2}, weight_shape = {3, weights == 2 ? 5 : 1, weights == 2 ? 7 : 1, 1};
    enum { COUNT = 210 };
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    tensor x = graph_varying_input(g, "x", DTYPE_F32, shape);
    graph_loss_options options = {.kind = kind, .beta = beta};
    if (target) options.target = graph_varying_input(g, "t", DTYPE_F32, shape);
    if (weights) options.weight = graph_varying_input(g, "w", DTYPE_F32, weight_shape);
    tensor loss = graph_loss(g, x, "loss", &options);
    graph_gradients d;
    graph_differentiate(g, &loss, 1,
                        &(graph_differentiate_options){.scale = 2, .inputs = &x, .input_count = 1}, &d);
    assert_int_equal(d.count, 1);
    graph_output(g, d.items[0].gradient, "dx");
    graph_output(g, loss, "loss");
    graph_gradients_release(&host, &d);
    bench b;
    prepare(&b, g);
    float values[COUNT], t[COUNT] = {0}, w[COUNT], dx[COUNT], found;
    fill(values, COUNT, 1, 2);
    put(&b, "x", values);
    if (target) {
        fill(t, COUNT, 2, 1);
        put(&b, "t", t);
    }
    if (weights) {
        fill(w, COUNT, 3, 1);
        put(&b, "w", w);
    }
    step(&b);
    get(&b, "loss", &found);
    get(&b, "dx", dx);
    double sum = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        double slope, weight = weights == 0 ? 1 : (double)w[weights == 1 ? i / 70 : i / 2];
        sum += weight * loss_of(kind, (double)beta, (double)values[i] - (double)t[i], &slope) / COUNT;
        double expected = 2 * weight * slope / COUNT; /* gradients are scaled by 2 */
        if (!(fabs((double)dx[i] - expected) <= 1e-6 * fabs(expected) + 1e-9))
            fail_msg("kind %u: dx[%u] is %.9g, expected %.9g", kind, i, (double)dx[i], expected);
    }
    if (!(fabs((double)found - sum) <= 1e-6 * fabs(sum) + 1e-9))
        fail_msg("kind %u: the loss is %.9g, expected %.9g", kind, (double)found, sum);
    finish(&b);
}

static void test_losses(void **state) {
    (void)state;
    for (uint32_t weights = 0; weights < 3; weights++)
        for (uint32_t target = 0; target < 2; target++) {
            check_loss(LOSS_SQUARE, 0, weights, target);
            check_loss(LOSS_HUBER, 0.5f, weights, target);
            check_loss(LOSS_HUBER, 0, weights, target);
            check_loss(LOSS_EXP, 0, weights, target);
        }
}

/* --------------------------------------------------------------------------------------------------
 * optimiser -- */

/* A little network of everything that has parameters; returns its loss, summed over two terms. */
static void describe_network(graph *g, tensor losses[2]) {
    tensor x = graph_varying_input(g, "x", g->activation, (shape4){2, 6, 5, 4}),
           target = graph_varying_input(g, "t", DTYPE_F32, (shape4){2, 6, 5, 4});
    tensor vec =
        graph_linear(g, graph_varying_input(g, "e", g->activation, (shape4){2, 1, 1, 6}), "embed", 10, true);
    tensor h = graph_silu(g, graph_group_norm(g, x, "norm1", 2, 1e-3f));
    h = graph_conv2d(
        g, h, "conv1",
        &(graph_conv){
            .cout = 8, .kernel = 3, .stride = 1, .pad = 1, .bias = true, .vec = vec, .vec_offset = 2});
    tensor y = graph_layer_norm(g, h, "norm2", 1e-3f);
    y = graph_attention(g, graph_linear(g, y, "q", 8, false), graph_linear(g, y, "k", 8, false),
                        graph_linear(g, y, "v", 8, false), 2, false, 0);
    h = graph_add(g, graph_linear(g, y, "out", 8, true), h);
    y = graph_geglu(g, graph_linear(g, h, "wide", 12, true));
    h = graph_add(g, graph_linear(g, y, "narrow", 8, true), h);
    h = graph_upsample(
        g, graph_conv2d(g, h, "down", &(graph_conv){.cout = 6, .kernel = 3, .stride = 2, .pad = 1}));
    h = graph_concat(g, graph_slice(g, graph_view(g, h, (shape4){2, 6, 1, 36}), 0, 30),
                     graph_view(g, x, (shape4){2, 6, 1, 20}));
    h = graph_conv2d(g, graph_view(g, h, (shape4){2, 6, 5, 10}), "last",
                     &(graph_conv){.cout = 4, .kernel = 3, .stride = 1, .pad = 1, .bias = true});
    graph_make_trainable(g, NULL, NULL);
    losses[0] = graph_loss(g, h, "square", &(graph_loss_options){.kind = LOSS_SQUARE, .target = target});
    losses[1] = graph_loss(g, vec, "exp", &(graph_loss_options){.kind = LOSS_EXP, .scale = 0.01f});
}

static void output_gradients(graph *g, const graph_gradients *d) {
    for (uint32_t i = 0; i < d->count; i++) {
        char name[100];
        snprintf(name, sizeof name, "grad.%s", g->tensors[d->items[i].parameter].name);
        graph_output(g, d->items[i].gradient, name);
    }
}

static void make_network(bench *b, dtype type, const optimizer_options *optimizer) {
    mzt_error error;
    graph *g = graph_create(&host, type, type);
    tensor losses[2];
    graph_gradients d;
    describe_network(g, losses);
    graph_differentiate(g, losses, 2, NULL, &d);
    must(graph_check(g, &error), &error);
    output_gradients(g, &d);
    graph_output(g, losses[0], "loss");
    if (optimizer) optimizer_describe(g, &d, optimizer);
    graph_gradients_release(&host, &d);
    prepare(b, g);
    fill_all(b, 0.6);
}

static const optimizer_config settings = {.learning_rate = 1e-2,
                                          .final = 0.1,
                                          .warmup = 2,
                                          .steps = 6,
                                          .schedule = LEARNING_COSINE,
                                          .weight_decay = 0.1,
                                          .beta1 = 0.8,
                                          .beta2 = 0.95,
                                          .epsilon = 1e-6,
                                          .max_norm = 0.5,
                                          .ema = 0.9};

enum { STEPS = 6 };

typedef struct adam {
    double *weight, *m, *v, *average;
    uint32_t count;
} adam;

/* One step of the definition in double; g is the gradient as computed, `norm` that of all of them. */
static void adam_step(adam *a, const float *g, double norm, uint32_t number, bool decays) {
    double rate = train_learning_rate(&settings, number), kept = train_ema_decay(&settings, number);
    double clip = norm > settings.max_norm ? settings.max_norm / norm : 1;
    for (uint32_t i = 0; i < a->count; i++) {
        double x = clip * (double)g[i];
        a->m[i] = settings.beta1 * a->m[i] + (1 - settings.beta1) * x;
        a->v[i] = settings.beta2 * a->v[i] + (1 - settings.beta2) * x * x;
        double m = a->m[i] / (1 - pow(settings.beta1, number + 1)),
               v = a->v[i] / (1 - pow(settings.beta2, number + 1));
        if (decays) a->weight[i] -= rate * settings.weight_decay * a->weight[i];
        a->weight[i] -= rate * m / (sqrt(v) + settings.epsilon);
        a->average[i] = kept * a->average[i] + (1 - kept) * a->weight[i];
    }
}

static void expect_near(const bench *b, const char *prefix, const char *name, const double *expected,
                        double limit) {
    char full[100];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    uint32_t count = count_of(b, full);
    float *found = malloc(count * sizeof *found);
    assert_non_null(found);
    get(b, full, found);
    for (uint32_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - expected[i]) <= limit))
            fail_msg("%s[%u] is %.9g, expected %.9g", full, i, (double)found[i], expected[i]);
    free(found);
}

static double gradient_norm(const bench *b) {
    float squares, sum = 0;
    double total = 0;
    for (uint32_t i = 0; i < b->plan->buffer_count; i++) {
        const char *name = plan_string(b->plan, b->plan->buffers[i].name);
        if (b->plan->buffers[i].role != PLAN_ROLE_OUTPUT || strncmp(name, "grad.", 5) != 0) continue;
        float *g = malloc(count_of(b, name) * sizeof *g);
        assert_non_null(g);
        get(b, name, g);
        for (uint32_t k = 0; k < count_of(b, name); k++)
            total += (double)g[k] * (double)g[k];
        free(g);
    }
    get(b, "optimizer.norm", &squares);
    sum = (float)total;
    assert_true(fabs((double)squares - (double)sum) <= 1e-6 * total);
    return sqrt(total);
}

/* Two of the parameters, a matrix and a vector, through six steps with warm-up, clipping, decay and averages.
 */
static void test_optimizer(void **state) {
    (void)state;
    static const char *const names[] = {"conv1.weight", "norm2.bias"};
    bench b;
    mzt_error error;
    make_network(&b, DTYPE_F32, &(optimizer_options){.rows = STEPS, .clip = true, .average = true});
    must(optimizer_reset(b.program, &error), &error);
    float table[STEPS * OPTIMIZER_ROW_LENGTH], values[400], gradient[400];
    optimizer_table(&settings, 0, STEPS, 1, table);
    put(&b, "optimizer.table", table);
    double store[2][4][400] = {{{0}}};
    adam models[2];
    for (uint32_t i = 0; i < 2; i++) {
        models[i] = (adam){store[i][0], store[i][1], store[i][2], store[i][3], count_of(&b, names[i])};
        assert_true(models[i].count <= 400);
        get(&b, names[i], values);
        for (uint32_t k = 0; k < models[i].count; k++)
            store[i][0][k] = store[i][3][k] = (double)values[k];
    }
    bool clipped = false;
    for (uint32_t number = 0; number < STEPS; number++) {
        step(&b);
        double norm = gradient_norm(&b);
        clipped |= norm > settings.max_norm;
        for (uint32_t i = 0; i < 2; i++) {
            char name[100];
            snprintf(name, sizeof name, "grad.%s", names[i]);
            get(&b, name, gradient);
            adam_step(&models[i], gradient, norm, number, i == 0);
            expect_near(&b, "", names[i], models[i].weight, 2e-6);
            expect_near(&b, "m.", names[i], models[i].m, 2e-6);
            expect_near(&b, "v.", names[i], models[i].v, 2e-6);
            expect_near(&b, "average.", names[i], models[i].average, 2e-6);
        }
    }
    assert_true(clipped);
    finish(&b);
}

/* A step whose gradients are not finite changes no parameter. */
static void test_not_finite(void **state) {
    (void)state;
    bench b;
    mzt_error error;
    make_network(&b, DTYPE_F32, &(optimizer_options){.rows = 1, .clip = true, .average = true});
    must(optimizer_reset(b.program, &error), &error);
    float row[OPTIMIZER_ROW_LENGTH], before[400], after[400], *x = calloc(count_of(&b, "x"), sizeof *x);
    assert_non_null(x);
    optimizer_table(&settings, 3, 1, 1, row);
    put(&b, "optimizer.table", row);
    x[17] = NAN;
    put(&b, "x", x);
    get(&b, "conv1.weight", before);
    step(&b);
    get(&b, "conv1.weight", after);
    assert_memory_equal(before, after, count_of(&b, "conv1.weight") * sizeof *before);
    get(&b, "m.conv1.weight", after);
    for (uint32_t i = 0; i < count_of(&b, "conv1.weight"); i++)
        assert_true(after[i] == 0);
    free(x);
    finish(&b);
}

/* Twenty steps must halve the loss. */
static void test_learns(void **state) {
    (void)state;
    static const dtype types[] = {DTYPE_F32, DTYPE_BF16};
    for (uint32_t k = 0; k < 2; k++) {
        bench b;
        mzt_error error;
        optimizer_config config = settings;
        config.schedule = LEARNING_CONSTANT;
        make_network(&b, types[k], &(optimizer_options){.rows = 20, .clip = true});
        must(optimizer_reset(b.program, &error), &error);
        float table[20 * OPTIMIZER_ROW_LENGTH], first = 0, last = 0;
        optimizer_table(&config, 0, 20, 1, table);
        put(&b, "optimizer.table", table);
        for (uint32_t i = 0; i < 20; i++) {
            step(&b);
            get(&b, "loss", i == 0 ? &first : &last);
        }
        print_message("%s: loss %.3g, in step 20 %.3g\n", dtype_name(types[k]), (double)first, (double)last);
        assert_true(last < first / 2);
        finish(&b);
    }
}

/* ------------------------------------------------------------------------------------- mixed precision, cuts
 * -- */

/* ||a - b|| / ||a|| over all gradients together. */
static double gradients_differ(const bench *a, const bench *b) {
    double difference = 0, norm = 0;
    for (uint32_t i = 0; i < a->plan->buffer_count; i++) {
        const char *name = plan_string(a->plan, a->plan->buffers[i].name);
        if (a->plan->buffers[i].role != PLAN_ROLE_OUTPUT || strncmp(name, "grad.", 5) != 0) continue;
        uint32_t count = count_of(a, name);
        float *x = malloc(count * sizeof *x), *y = malloc(count * sizeof *y);
        assert_non_null(x);
        assert_non_null(y);
        get(a, name, x);
        get(b, name, y);
        for (uint32_t k = 0; k < count; k++) {
            difference += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
            norm += (double)x[k] * (double)x[k];
        }
        free(x);
        free(y);
    }
    return sqrt(difference / norm);
}

/* Activations and matrices in half precision, parameters and their gradients in f32. */
static void test_mixed(void **state) {
    (void)state;
    static const dtype types[] = {DTYPE_F16, DTYPE_BF16};
    static const double limits[] = {1e-2, 8e-2}; /* about ten roundings of 2^-11 and 2^-8 in a row */
    bench whole;
    make_network(&whole, DTYPE_F32, NULL);
    step(&whole);
    for (uint32_t i = 0; i < 2; i++) {
        bench b;
        make_network(&b, types[i], NULL);
        assert_int_equal(b.plan->buffers[buffer_of(&b, "conv1.weight")].dtype, DTYPE_F32);
        step(&b);
        double error = gradients_differ(&whole, &b);
        print_message("%s: %.2e of %.0e\n", dtype_name(types[i]), error, limits[i]);
        assert_true(error <= limits[i]);
        finish(&b);
    }
    finish(&whole);
}

/* Where a device shows too few bytes at once for a gradient, the message names it. */
static void test_range(void **state) {
    (void)state;
    mzt_error error;
    plan *p;
    tensor losses[2];
    graph_gradients d;
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    describe_network(g, losses);
    graph_differentiate(g, losses, 2, NULL, &d);
    output_gradients(g, &d);
    graph_gradients_release(&host, &d);
    assert_int_equal(graph_compile(g, &(graph_options){.max_range = 2560}, &p, &error),
                     MZT_ERROR_UNSUPPORTED);
    if (!strstr(error.message, "grad.")) fail_msg("\"%s\" names no gradient", error.message);
    graph_destroy(g);
}

/* ------------------------------------------------------------------------------------------ choices and
 * errors -- */

static bool only_last(const void *user, const char *name) {
    (void)user;
    return strncmp(name, "last.", 5) == 0;
}

/* Only some parameters: no nodes for what lies before them. */
static void test_some(void **state) {
    (void)state;
    mzt_error error;
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    tensor x = graph_varying_input(g, "x", DTYPE_F32, (shape4){1, 4, 4, 3});
    tensor y = graph_linear(g, graph_silu(g, graph_linear(g, x, "first", 5, true)), "last", 2, true);
    graph_make_trainable(g, only_last, NULL);
    tensor loss = graph_loss(g, y, "loss", &(graph_loss_options){.kind = LOSS_SQUARE});
    graph_gradients d;
    uint32_t before = g->node_count;
    graph_differentiate(g, &loss, 1, NULL, &d);
    must(graph_check(g, &error), &error);
    assert_int_equal(d.count, 2);
    assert_string_equal(g->tensors[d.items[0].parameter].name, "last.weight");
    assert_string_equal(g->tensors[d.items[1].parameter].name, "last.bias");
    for (uint32_t i = before; i < g->node_count; i++)
        assert_null(strstr(g->nodes[i].name, "first"));
    graph_gradients_release(&host, &d);
    graph_destroy(g);
}

static void expect_error(graph *g, tensor loss, mzt_status status, const char *text) {
    mzt_error error;
    graph_gradients d;
    graph_differentiate(g, &loss, 1, NULL, &d);
    assert_int_equal(graph_check(g, &error), status);
    if (!strstr(error.message, text)) fail_msg("\"%s\" lacks \"%s\"", error.message, text);
    graph_gradients_release(&host, &d);
    graph_destroy(g);
}

static void test_errors(void **state) {
    (void)state;
    const shape4 shape = {1, 4, 4, 4};
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    expect_error(g, graph_linear(g, graph_input(g, "x", DTYPE_F32, shape), "layer", 4, true),
                 MZT_ERROR_INVALID, "loss");

    g = graph_create(&host, DTYPE_F32, DTYPE_F32); /* already fused */
    tensor y = graph_silu(g, graph_linear(g, graph_input(g, "x", DTYPE_F32, shape), "layer", 4, true));
    tensor loss = graph_loss(g, y, "loss", &(graph_loss_options){.kind = LOSS_SQUARE});
    graph_pass_fuse(g);
    expect_error(g, loss, MZT_ERROR_UNSUPPORTED, "layer");

    g = graph_create(&host, DTYPE_F32, DTYPE_F32); /* a target of another size */
    tensor x = graph_input(g, "x", DTYPE_F32, shape),
           t = graph_input(g, "t", DTYPE_F32, (shape4){1, 4, 4, 3});
    expect_error(g, graph_loss(g, x, "loss", &(graph_loss_options){.target = t}), MZT_ERROR_INVALID,
                 "64 elements");
}

/* Every allocation of describing, differentiating and compiling fails once: an error, and nothing leaks. */
static void test_out_of_memory(void **state) {
    (void)state;
    bool done = false;
    for (long fail_at = 1; !done; fail_at += 1 + fail_at / 40) {
        alloc_count counts = {.fail_at = fail_at};
        base_host scarce = alloc_count_host(&counts);
        mzt_error error;
        plan *p = NULL;
        mzt_status status = MZT_ERROR_OUT_OF_MEMORY;
        graph *g = graph_create(&scarce, DTYPE_BF16, DTYPE_BF16);
        if (g) {
            tensor losses[2];
            graph_gradients d;
            describe_network(g, losses);
            graph_differentiate(g, losses, 2, NULL, &d);
            optimizer_describe(g, &d, &(optimizer_options){.rows = 1, .clip = true, .average = true});
            graph_gradients_release(&scarce, &d);
            status = graph_compile(g, &(graph_options){0}, &p, &error);
            graph_destroy(g);
        }
        done = counts.calls < fail_at;
        assert_int_equal(status, done ? MZT_OK : MZT_ERROR_OUT_OF_MEMORY);
        plan_destroy(p);
        assert_int_equal(counts.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses), cmocka_unit_test(test_optimizer), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_learns), cmocka_unit_test(test_mixed),     cmocka_unit_test(test_range),
        cmocka_unit_test(test_some),   cmocka_unit_test(test_errors),    cmocka_unit_test(test_out_of_memory),
    };
    host = host_make(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
