/* What the compiler does to training graphs must not change their results: steps that are cut to a small
 * binding range, steps that compute blocks again, and steps whose gradients are summed over batches. Weights,
 * moments and losses after two steps are compared bit by bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "executor.h"
#include "model/unet.h"
#include "ops_cases.h"
#include "train/optimizer.h"

static base_host host;

/* How a step is made. */
typedef struct making {
    dtype type;
    uint64_t described_range, range; /* what graph_differentiate and graph_compile are told */
    bool recompute, sums, scaled;
} making;

static plan *compile(graph *g, tensor loss, const making *how, mzt_error *error) {
    plan *p = NULL;
    graph_gradients gradients = {0};
    graph_make_trainable(g, NULL, NULL);
    graph_output(g, loss, "loss");
    tensor scale = how->scaled ? optimizer_scale(g) : TENSOR_NONE;
    const graph_differentiate_options options = {
        .recompute = how->recompute, .max_range = how->described_range, .factor = scale};
    graph_differentiate(g, &loss, 1, &options, &gradients);
    if (how->sums) optimizer_sum_batches(g, &gradients);
    optimizer_describe(
        g, &gradients,
        &(optimizer_options){.rows = 1, .clip = true, .average = true, .scale = scale, .scale_steps = 2});
    graph_gradients_release(&host, &gradients);
    graph_compile(g, &(graph_options){.max_range = how->range}, &p, error);
    graph_destroy(g);
    return p;
}

/* ---------------------------------------------------------------------------------------------------- a
 * network with one of everything -- */

enum { SAMPLES = 8, WIDTH = 32, IDS = 4, VOCABULARY = 5000 };

static tensor resnet(graph *g, tensor x, tensor vec, const char *name) {
    graph_scope_begin(g, "resnets.%s", name);
    tensor y = graph_silu(g, graph_group_norm(g, x, "norm1", 32, 1e-5f));
    graph_conv conv = {.cout = WIDTH, .kernel = 3, .stride = 1, .pad = 1, .bias = true, .vec = vec};
    y = graph_conv2d(g, y, "conv1", &conv);
    y = graph_silu(g, graph_group_norm(g, y, "norm2", 32, 1e-5f));
    conv.vec = TENSOR_NONE;
    y = graph_add(g, graph_conv2d(g, y, "conv2", &conv), x);
    graph_scope_end(g);
    return y;
}

static tensor transformer(graph *g, tensor x, tensor context, const char *name) {
    graph_scope_begin(g, "attentions.%s", name);
    tensor y = graph_layer_norm(g, x, "norm", 1e-5f);
    tensor q = graph_linear(g, y, "q", WIDTH, false), k = graph_linear(g, context, "k", WIDTH, false),
           v = graph_linear(g, context, "v", WIDTH, true);
    x = graph_add(g, x, graph_linear(g, graph_attention(g, q, k, v, 2, false, 0), "out", WIDTH, true));
    y = graph_geglu(g, graph_linear(g, graph_layer_norm(g, x, "norm2", 1e-5f), "up", 2 * WIDTH, true));
    y = graph_linear(g, y, "down", WIDTH, true);
    graph_scope_end(g);
    return graph_add(g, x, y);
}

static graph *describe(dtype type, uint32_t side, tensor *loss) {
    graph *g = graph_create(&host, type, type);
    tensor x = graph_varying_input(g, "x", type, (shape4){SAMPLES, side, side, WIDTH}),
           vec = graph_varying_input(g, "vec", type, (shape4){SAMPLES, 1, 1, WIDTH}),
           ids = graph_varying_input(g, "ids", DTYPE_U32, (shape4){SAMPLES, IDS, 1, 1});
    tensor context = graph_embedding(g, ids, "table", VOCABULARY, WIDTH, "positions", IDS);
    x = resnet(g, x, graph_linear(g, vec, "time", WIDTH, true), "0");
    tensor skip = x;
    graph_conv down = {.cout = WIDTH, .kernel = 3, .stride = 2, .pad = 1, .bias = true};
    x = graph_conv2d(g, transformer(g, x, context, "0"), "down", &down);
    graph_conv up = {.cout = WIDTH, .kernel = 3, .stride = 1, .pad = 1, .bias = true};
    x = graph_conv2d(g, graph_upsample(g, x), "up", &up);
    up.kernel = 1;
    up.pad = 0;
    x = resnet(g, graph_conv2d(g, graph_concat(g, x, skip), "join", &up), TENSOR_NONE, "1");
    const graph_loss_options options = {
        .kind = LOSS_HUBER,
        .beta = 0.5f,
        .target = graph_varying_input(g, "target", DTYPE_F32, graph_shape(g, x)),
        .weight = graph_varying_input(g, "weights", DTYPE_F32, (shape4){SAMPLES, 1, 1, 1})};
    *loss = graph_loss(g, x, "loss", &options);
    return g;
}

/* ----------------------------------------------------------------------------------------------------
 * running
 * -- */

static void fill_buffer(program *prog, uint32_t buffer, uint64_t round) {
    const plan_buffer *b = &prog->plan->buffers[buffer];
    const char *name = plan_string(prog->plan, b->name);
    uint64_t count = b->bytes / dtype_size((dtype)b->dtype), seed = 5381;
    void *data = calloc(1, b->bytes);
    assert_non_null(data);
    for (const char *c = name; *c; c++)
        seed = seed * 33 + (unsigned char)*c;
    ops_random r = ops_random_seed(seed, 7, round);
    const bool vector = b->shape[0] * b->shape[1] * b->shape[2] == 1;
    const double scale = b->role == PLAN_ROLE_INPUT || vector ? 1 : 0.15;
    for (uint64_t i = 0; i < count; i++) {
        if (b->dtype == DTYPE_U32)
            ((uint32_t *)data)[i] = ops_random_between(&r, 0, VOCABULARY);
        else
            dtype_store((dtype)b->dtype, data, i, scale * ops_random_uniform(&r));
    }
    mzt_error error;
    if (program_write(prog, buffer, 0, data, b->bytes, &error) != MZT_OK) fail_msg("%s", error.message);
    free(data);
}

static void fill(program *prog, uint64_t round, bool states) {
    for (uint32_t i = 0; i < prog->plan->buffer_count; i++) {
        const plan_buffer *b = &prog->plan->buffers[i];
        const char *name = plan_string(prog->plan, b->name);
        if (strncmp(name, "optimizer.", 10) == 0 || strncmp(name, "sum.", 4) == 0) continue;
        if (b->role == PLAN_ROLE_INPUT || (states && b->role == PLAN_ROLE_STATE)) fill_buffer(prog, i, round);
    }
}

static void prepare_step(program *prog, uint64_t step, double parts) {
    const optimizer_config config = {.learning_rate = 1e-2,
                                     .steps = 10,
                                     .schedule = LEARNING_CONSTANT,
                                     .beta1 = 0.9,
                                     .beta2 = 0.99,
                                     .epsilon = 1e-8,
                                     .max_norm = 1,
                                     .ema = 0.9};
    const uint32_t zero = 0, part = plan_find_buffer(prog->plan, "optimizer.part");
    float row[OPTIMIZER_ROW_LENGTH];
    mzt_error error;
    optimizer_table(&config, step, 1, 1 / parts, row);
    program_write(prog, plan_find_buffer(prog->plan, "optimizer.table"), 0, row, sizeof row, &error);
    program_write(prog, plan_find_buffer(prog->plan, "optimizer.step"), 0, &zero, sizeof zero, &error);
    if (part != PLAN_NONE) program_write(prog, part, 0, &zero, sizeof zero, &error);
}

static void run_phase(program *prog, const char *phase) {
    mzt_error error;
    if (program_run_phase(prog, phase, NULL, &error) != MZT_OK) fail_msg("%s", error.message);
}

static executor *open_device(bool fast) {
    executor *e;
    mzt_error error;
    mzt_status status = fast ? cpu_create(&host, 2, &e, &error) : cpu_reference_create(&host, &e, &error);
    if (status != MZT_OK) fail_msg("%s", error.message);
    return e;
}

static program *open_program(executor *e, const plan *p) {
    program *prog;
    mzt_error error;
    if (executor_prepare(e, p, &prog, &error) != MZT_OK) fail_msg("%s", error.message);
    fill(prog, 0, true);
    if (optimizer_reset(prog, &error) != MZT_OK || optimizer_set_scale(prog, 4, &error) != MZT_OK)
        fail_msg("%s", error.message);
    if (program_seal(prog, &error) != MZT_OK) fail_msg("%s", error.message);
    return prog;
}

/* Two steps of one batch. */
static void run_steps(program *prog) {
    for (uint64_t step = 0; step < 2; step++) {
        prepare_step(prog, step, 1);
        fill(prog, step, false);
        run_phase(prog, "step");
        if (plan_find_phase(prog->plan, "update") != PLAN_NONE) run_phase(prog, "update");
    }
}

/* Every state and output of `a` against `b`'s of that name. */
static void compare(program *a, program *b, const char *what) {
    uint32_t compared = 0;
    for (uint32_t i = 0; i < a->plan->buffer_count; i++) {
        const plan_buffer *buffer = &a->plan->buffers[i];
        const char *name = plan_string(a->plan, buffer->name);
        if (buffer->role != PLAN_ROLE_STATE && buffer->role != PLAN_ROLE_OUTPUT) continue;
        if (strcmp(name, "optimizer.norm") == 0 &&
            plan_find_buffer(a->plan, "optimizer.scale") != plan_find_buffer(b->plan, "optimizer.scale"))
            continue; /* of raised gradients */
        const uint32_t other = plan_find_buffer(b->plan, name);
        if (other == PLAN_NONE) fail_msg("%s: no %s", what, name);
        void *x = calloc(1, buffer->bytes), *y = calloc(1, buffer->bytes);
        assert_non_null(x);
        assert_non_null(y);
        mzt_error error;
        assert_int_equal(program_read(a, i, 0, x, buffer->bytes, &error), MZT_OK);
        assert_int_equal(program_read(b, other, 0, y, buffer->bytes, &error), MZT_OK);
        if (memcmp(x, y, buffer->bytes) != 0) fail_msg("%s: %s differs", what, name);
        free(x);
        free(y);
        compared++;
    }
    assert_true(compared > 40);
}

static plan *must_compile(const making *how, uint32_t side) {
    mzt_error error = {MZT_OK, ""};
    tensor loss;
    graph *g = describe(how->type, side, &loss);
    plan *p = compile(g, loss, how, &error);
    if (!p) fail_msg("%s", error.message);
    return p;
}

/* -----------------------------------------------------------------------------------------------------
 * cutting
 * -- */

static uint32_t count_pieces(const plan *p, uint64_t range, bool seen[OP_COUNT]) {
    uint32_t pieces = 0;
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const plan_dispatch *d = &p->dispatches[i];
        pieces += d->piece > 0;
        if (d->piece > 0) seen[d->op] = true;
        for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++)
            if (d->bindings[b].buffer != PLAN_NONE) assert_true(d->bindings[b].range <= range);
    }
    return pieces;
}

static void test_cuts(void **state) {
    (void)state;
    static const op wanted[] = {OP_WEIGHT_GRAD,      OP_UNARY_GRAD,
                                OP_GROUP_NORM_GRAD,  OP_GROUP_NORM_GRAD_STATS,
                                OP_LAYER_NORM_GRAD,  OP_LAYER_NORM_PARAM_GRAD,
                                OP_GEGLU_GRAD,       OP_ATTENTION_STATS,
                                OP_ATTENTION_GRAD,   OP_UPSAMPLE_GRAD,
                                OP_DILATE,           OP_LOSS,
                                OP_LOSS_GRAD,        OP_COLUMN_SUM,
                                OP_GATHER_ROWS_GRAD, OP_ADAMW,
                                OP_SQUARE_SUM,       OP_ACCUMULATE};
    bool seen[OP_COUNT] = {false};
    /* Some samples fit each range, and the table never does. */
    static const struct {
        uint32_t side;
        uint64_t range;
        making how;
    } cases[] = {{20, 270336, {.type = DTYPE_F32, .sums = true}},
                 {24, 270336, {.type = DTYPE_F16, .scaled = true}}};
    uint32_t pieces = 0;
    for (uint32_t i = 0; i < 2; i++) {
        making how = cases[i].how;
        how.described_range = cases[i].range;
        plan *whole = must_compile(&how, cases[i].side);
        how.range = cases[i].range;
        plan *cut = must_compile(&how, cases[i].side);
        pieces += count_pieces(cut, cases[i].range, seen);
        executor *e = open_device(false);
        program *a = open_program(e, whole), *b = open_program(e, cut);
        run_steps(a);
        run_steps(b);
        compare(a, b, "cut");
        program_destroy(a);
        program_destroy(b);
        executor_destroy(e);
        plan_destroy(whole);
        plan_destroy(cut);
    }
    print_message("%u pieces\n", (unsigned)pieces);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!seen[wanted[i]]) print_message("never cut: %s\n", op_get(wanted[i])->name);
    uint32_t missing = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        missing += !seen[wanted[i]];
    assert_int_equal(missing, 0);
}

/* ------------------------------------------------------------------------------------------------
 * recomputing
 * -- */

static uint32_t count_again(const plan *p) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->dispatch_count; i++)
        count += strstr(plan_string(p, p->dispatches[i].node), ".again") != NULL;
    return count;
}

static void check_recomputed(dtype type, bool fast) {
    making how = {.type = type};
    plan *kept = must_compile(&how, 16);
    how.recompute = true;
    plan *again = must_compile(&how, 16);
    assert_int_equal(count_again(kept), 0);
    assert_true(count_again(again) > 8);
    assert_true(again->arena_bytes < kept->arena_bytes);
    executor *e = open_device(fast);
    program *a = open_program(e, kept), *b = open_program(e, again);
    run_steps(a);
    run_steps(b);
    compare(a, b, "recomputed");
    print_message("%s: %.0f KiB with all values kept, %.0f KiB with %u nodes again\n", dtype_name(type),
                  (double)kept->arena_bytes / 1024, (double)again->arena_bytes / 1024,
                  (unsigned)count_again(again));
    program_destroy(a);
    program_destroy(b);
    executor_destroy(e);
    plan_destroy(kept);
    plan_destroy(again);
}

static void test_recomputed(void **state) {
    (void)state;
    check_recomputed(DTYPE_F32, true);
    check_recomputed(DTYPE_BF16, true);
    check_recomputed(DTYPE_F32, false);
}

/* Bytes of the arena that are neither states nor inputs: activations and gradients. */
static uint64_t activation_bytes(const plan *p) {
    uint64_t fixed = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].kind == PLAN_PERSISTENT) fixed += align_up(p->buffers[i].bytes, PLAN_ALIGNMENT);
    return p->arena_bytes - fixed;
}

/* The shape of Stable Diffusion 1.5's UNet over latents of side x side, as a plan only. */
static plan *plan_sd15(uint32_t batch, uint32_t side, const making *how) {
    static const char text[] =
        "{\"in_channels\": 4, \"out_channels\": 4, \"block_out_channels\": [320, 640, 1280, 1280], "
        "\"layers_per_block\": 2, \"attention_head_dim\": 8, \"cross_attention_dim\": 768, "
        "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "
        "\"CrossAttnDownBlock2D\", \"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", "
        "\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"]}";
    mzt_error error = {MZT_OK, ""};
    json_doc *doc;
    unet_config config;
    assert_int_equal(json_parse(&host, "unet", text, sizeof text - 1, &doc, &error), MZT_OK);
    if (unet_config_read(json_root(doc), &config, &error) != MZT_OK) fail_msg("%s", error.message);
    json_destroy(doc);
    graph *g = graph_create(&host, how->type, how->type);
    const unet_inputs inputs = {
        .sample = graph_varying_input(g, "sample", how->type, (shape4){batch, side, side, 4}),
        .timesteps = graph_varying_input(g, "timesteps", DTYPE_F32, (shape4){batch, 1, 1, 1}),
        .context = graph_varying_input(g, "context", how->type, (shape4){batch, 77, 1, 768})};
    tensor output = unet_describe(g, &config, &inputs, NULL);
    const graph_loss_options options = {
        .target = graph_varying_input(g, "target", DTYPE_F32, graph_shape(g, output))};
    tensor loss = graph_loss(g, output, "loss", &options);
    plan *p = compile(g, loss, how, &error);
    if (!p) fail_msg("%s", error.message);
    return p;
}

/* Pictures of 512 x 512 in f32 on a device that binds 128 MiB at a time. */
static void test_sd15_bindings(void **state) {
    (void)state;
    const uint64_t range = 128u << 20;
    const making how = {.type = DTYPE_F32, .described_range = range, .range = range, .recompute = true};
    bool seen[OP_COUNT] = {false};
    plan *p = plan_sd15(16, 64, &how);
    const uint32_t pieces = count_pieces(p, range, seen);
    print_message("%u dispatches, of which %u are further pieces\n", (unsigned)p->dispatch_count,
                  (unsigned)pieces);
    assert_true(pieces > 100 && seen[OP_WEIGHT_GRAD] && seen[OP_GROUP_NORM_GRAD]);
    plan_destroy(p);
}

/* The gradients of all parameters, which are there at the end of a step whatever the batch, are left out of
 * the comparison: they are larger than the activations of small batches. */
static void test_recomputed_sd15(void **state) {
    (void)state;
    static const uint32_t batches[] = {8, 64};
    for (int i = 0; i < 2; i++) {
        making how = {.type = DTYPE_F16, .scaled = true};
        plan *kept = plan_sd15(batches[i], 32, &how);
        how.recompute = true;
        plan *again = plan_sd15(batches[i], 32, &how);
        const uint32_t step = plan_find_phase(kept, "step");
        const double mib = 1048576.0, before = (double)activation_bytes(kept) / mib,
                     after = (double)activation_bytes(again) / mib;
        print_message(
            "batch %u, f16: activations and gradients %.0f MiB kept, %.0f MiB recomputed; whole arena "
            "%.0f and %.0f MiB; %.2f and %.2f TFLOP a step\n",
            (unsigned)batches[i], before, after, (double)kept->arena_bytes / mib,
            (double)again->arena_bytes / mib, (double)plan_flops(kept, step) / 1e12,
            (double)plan_flops(again, step) / 1e12);
        assert_true(after < (batches[i] == 64 ? 0.6 : 0.95) * before);
        assert_true((double)plan_flops(again, step) < 1.4 * (double)plan_flops(kept, step));
        plan_destroy(kept);
        plan_destroy(again);
    }
}

/* ------------------------------------------------------------------------------------------------ several
 * batches -- */

/* A step of one batch through sums and an update of its own is the same step. */
static void test_update_phase(void **state) {
    (void)state;
    making how = {.type = DTYPE_F32};
    plan *one = must_compile(&how, 8);
    how.sums = true;
    plan *two = must_compile(&how, 8);
    assert_int_equal(plan_find_phase(one, "update"), PLAN_NONE);
    assert_int_not_equal(plan_find_phase(two, "update"), PLAN_NONE);
    executor *e = open_device(true);
    program *a = open_program(e, one), *b = open_program(e, two);
    run_steps(a);
    run_steps(b);
    compare(a, b, "through sums");
    /* The same batch twice is the same mean. */
    for (int i = 0; i < 2; i++) {
        prepare_step(i ? b : a, 2, i ? 2 : 1);
        fill(i ? b : a, 9, false);
        run_phase(i ? b : a, "step");
    }
    run_phase(b, "step");
    run_phase(b, "update");
    float norms[2];
    mzt_error error;
    for (int i = 0; i < 2; i++) {
        program *p = i ? b : a;
        assert_int_equal(
            program_read(p, plan_find_buffer(p->plan, "optimizer.norm"), 0, &norms[i], 4, &error), MZT_OK);
    }
    assert_true(fabs((double)norms[1] / 4 / (double)norms[0] - 1) < 1e-6);
    program_destroy(a);
    program_destroy(b);
    executor_destroy(e);
    plan_destroy(one);
    plan_destroy(two);
}

/* ------------------------------------------------------------------------------------------- raising losses
 * --
 */

static void read_scale(program *prog, float state[LOSS_SCALE_LENGTH]) {
    mzt_error error;
    assert_int_equal(program_read(prog, plan_find_buffer(prog->plan, "optimizer.scale"), 0, state,
                                  LOSS_SCALE_LENGTH * sizeof *state, &error),
                     MZT_OK);
}

/* Every state but the scale's, one after the other. */
static double sum_of_states(program *prog) {
    double sum = 0;
    for (uint32_t i = 0; i < prog->plan->buffer_count; i++) {
        const plan_buffer *b = &prog->plan->buffers[i];
        const char *name = plan_string(prog->plan, b->name);
        if (b->role != PLAN_ROLE_STATE || b->dtype != DTYPE_F32 || strncmp(name, "optimizer.", 10) == 0)
            continue;
        float *values = calloc(1, b->bytes);
        assert_non_null(values);
        mzt_error error;
        assert_int_equal(program_read(prog, i, 0, values, b->bytes, &error), MZT_OK);
        for (uint64_t k = 0; k < b->bytes / 4; k++)
            sum += (double)values[k] * (double)(k % 7 + 1);
        free(values);
    }
    return sum;
}

/* Raised losses give the same step in f32; too large a scale is noticed, that step changes nothing, and the
 * scale halves; after two good steps it doubles. */
static void test_loss_scale(void **state) {
    (void)state;
    making how = {.type = DTYPE_F32};
    plan *plain = must_compile(&how, 8);
    how.scaled = true;
    plan *scaled = must_compile(&how, 8);
    executor *e = open_device(true);
    program *a = open_program(e, plain), *b = open_program(e, scaled);
    float scale[LOSS_SCALE_LENGTH];
    run_steps(a);
    run_steps(b);
    compare(a, b, "raised by a power of two");
    read_scale(b, scale);
    assert_true(scale[LOSS_SCALE_NOW] == 8 && scale[LOSS_SCALE_GOOD] == 0 && scale[LOSS_SCALE_SKIPPED] == 0);
    mzt_error error;
    assert_int_equal(optimizer_set_scale(b, 1e38, &error), MZT_OK); /* squares beyond f32 */
    const double before = sum_of_states(b);
    prepare_step(b, 2, 1);
    fill(b, 2, false);
    run_phase(b, "step");
    read_scale(b, scale);
    assert_true(scale[LOSS_SCALE_NOW] == 1e38f / 2 && scale[LOSS_SCALE_SKIPPED] == 1);
    assert_true(sum_of_states(b) == before);
    assert_int_equal(optimizer_set_scale(b, 2, &error), MZT_OK);
    run_phase(b, "step");
    assert_true(sum_of_states(b) != before);
    program_destroy(a);
    program_destroy(b);
    executor_destroy(e);
    plan_destroy(plain);
    plan_destroy(scaled);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_recomputed),
        cmocka_unit_test(test_recomputed_sd15),
        cmocka_unit_test(test_sd15_bindings),
        cmocka_unit_test(test_update_phase),
        cmocka_unit_test(test_loss_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
