/* The Vulkan executor on every device there is, under validation with synchronization validation: copies to
 * and from every kind of buffer, chains with barriers against cpu-reference, replay, cancelling at every
 * segment, timing, and dispatches cut into launches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tiny_plan.h"
#include "vulkan_fixture.h"

static vulkan_fixture fixture;

static int begin_all(void **state) {
    (void)state;
    vulkan_fixture_begin(&fixture);
    for (uint32_t i = 0; i < fixture.count; i++) {
        const executor_limits *d = &fixture.devices[i];
        printf("%s: %s, %s, tier %u\n", d->spec, d->name, d->driver, d->tier);
    }
    return 0;
}

static void ok(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

/* Small whole numbers, exact in every type. */
static float sample(uint32_t i) {
    return (float)((i * 7 + i / 13) % 31) - 15;
}

static void write_samples(program *g, uint32_t buffer) {
    const plan_buffer *b = &g->plan->buffers[buffer];
    mzt_error error;
    void *data = malloc((size_t)b->bytes);
    assert_non_null(data);
    for (uint32_t i = 0; i < b->shape[3]; i++)
        dtype_store((dtype)b->dtype, data, i, sample(i + buffer) / 16);
    ok(program_write(g, buffer, 0, data, b->bytes, &error), &error);
    free(data);
}

static double *read_values(program *g, uint32_t buffer) {
    const plan_buffer *b = &g->plan->buffers[buffer];
    mzt_error error;
    void *data = malloc((size_t)b->bytes);
    double *values = malloc(b->shape[3] * sizeof *values);
    assert_non_null(data);
    assert_non_null(values);
    ok(program_read(g, buffer, 0, data, b->bytes, &error), &error);
    for (uint32_t i = 0; i < b->shape[3]; i++)
        values[i] = dtype_load((dtype)b->dtype, data, i);
    free(data);
    return values;
}

/* Every byte that is written comes back, whatever is written around it, for all kinds of buffers, through the
 * staging buffer in chunks or through mapped memory, in one shard or in many. */
static void check_copies(executor *e) {
    static const uint32_t counts[] = {1, 3, 255, 4096, 5000};
    enum { KINDS = 3, COUNTS = 5, TOTAL = KINDS * COUNTS };
    static const plan_buffer_kind kinds[KINDS] = {PLAN_ARENA, PLAN_PERSISTENT, PLAN_WEIGHT};
    static uint8_t expected[TOTAL][4 * 5000], found[4 * 5000];
    tiny_plan t;
    mzt_error error;
    tiny_begin(&t, e->host, DTYPE_F32, DTYPE_F32);
    for (uint32_t i = 0; i < TOTAL; i++)
        tiny_buffer(&t, kinds[i % KINDS], DTYPE_F32, counts[i / KINDS]);
    program *g = vulkan_fixture_prepare(e, &t.plan);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < TOTAL; i++) {
            uint64_t size = t.buffers[i].bytes, first = size * round / 7, length = size - first - round;
            for (uint64_t j = 0; j < length; j++)
                expected[i][first + j] = (uint8_t)(j * 31 + i * 7 + round * 101);
            ok(program_write(g, i, first, expected[i] + first, length, &error), &error);
        }
    }
    for (uint32_t i = 0; i < TOTAL; i++) {
        uint64_t size = t.buffers[i].bytes;
        ok(program_read(g, i, 0, found, size, &error), &error);
        assert_memory_equal(found, expected[i], (size_t)size);
        ok(program_read(g, i, 1, found, size - 2, &error), &error);
        assert_memory_equal(found, expected[i] + 1, (size_t)size - 2);
        ok(program_read(g, i, size, found, 0, &error), &error);
    }
    assert_int_equal(program_write(g, 0, 1, found, 4, &error), MZT_ERROR_INVALID);
    assert_true(program_memory(g) >= t.plan.arena_bytes + t.plan.weight_bytes);
    program_destroy(g);
}

static void test_copies(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        for (uint32_t variant = 0; variant < 3; variant++) {
            vulkan_options options = vulkan_fixture_options(&fixture);
            options.force_staging = variant > 0;
            options.staging_bytes = variant == 1 ? 2048 : 1 << 20;
            if (variant == 2) options.max_allocation = 20480;
            executor *e = vulkan_fixture_open(&fixture, i, &options);
            check_copies(e);
            vulkan_fixture_close(&fixture, e);
        }
    }
}

enum { ROWS = 37, WIDTH = 64, INNER = 48 };

/* x -> linear -> silu -> linear -> + x, plus an independent branch without barriers; buffer 0 is the input,
 * 1 ... 4 are weights, `*out` and `*side` the results. */
static void build_chain(tiny_plan *t, const base_host *host, dtype type, uint32_t *out, uint32_t *side) {
    tiny_begin(t, host, type, type);
    uint32_t x = tiny_buffer(t, PLAN_PERSISTENT, type, ROWS * WIDTH);
    uint32_t w0 = tiny_buffer(t, PLAN_WEIGHT, type, INNER * WIDTH),
             b0 = tiny_buffer(t, PLAN_WEIGHT, DTYPE_F32, INNER);
    uint32_t w1 = tiny_buffer(t, PLAN_WEIGHT, type, WIDTH * INNER),
             b1 = tiny_buffer(t, PLAN_WEIGHT, DTYPE_F32, WIDTH);
    uint32_t h0 = tiny_buffer(t, PLAN_ARENA, type, ROWS * INNER),
             h1 = tiny_buffer(t, PLAN_ARENA, type, ROWS * INNER);
    uint32_t h2 = tiny_buffer(t, PLAN_ARENA, type, ROWS * WIDTH);
    *out = tiny_buffer(t, PLAN_PERSISTENT, type, ROWS * WIDTH);
    *side = tiny_buffer(t, PLAN_PERSISTENT, type, ROWS * WIDTH);
    tiny_linear(t, true, ROWS, INNER, WIDTH, x, w0, b0, h0);
    tiny_unary(t, false, UNARY_GELU, 0.5f, 0.25f, x, *side);
    tiny_unary(t, true, UNARY_SILU, 1, 0, h0, h1);
    tiny_linear(t, true, ROWS, WIDTH, INNER, h1, w1, b1, h2);
    tiny_add(t, true, 1, h2, 0.5f, x, *out);
}

static program *load_chain(executor *e, const tiny_plan *t) {
    mzt_error error;
    program *g = vulkan_fixture_prepare(e, &t->plan);
    for (uint32_t i = 0; i < 5; i++)
        write_samples(g, i);
    ok(program_seal(g, &error), &error);
    return g;
}

static double relative_error(const double *found, const double *expected, uint32_t count) {
    double distance = 0, norm = 0;
    for (uint32_t i = 0; i < count; i++) {
        distance += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return sqrt(distance / norm);
}

/* The results of the chain on cpu-reference. */
static void reference_chain(dtype type, double **out, double **side) {
    tiny_plan t;
    executor *e;
    mzt_error error;
    uint32_t out_buffer, side_buffer;
    ok(cpu_reference_create(&fixture.host, &e, &error), &error);
    build_chain(&t, &fixture.host, type, &out_buffer, &side_buffer);
    program *g = load_chain(e, &t);
    ok(program_run_phase(g, "main", NULL, &error), &error);
    *out = read_values(g, out_buffer);
    *side = read_values(g, side_buffer);
    program_destroy(g);
    executor_destroy(e);
}

/* Runs the chain on `e` in several ways and compares. The limit is the op table's, for five roundings. */
static void check_chain(executor *e, dtype type, const run_control *control) {
    tiny_plan t;
    mzt_error error;
    uint32_t out, side;
    double *expected_out, *expected_side, limit = 5 * op_get(OP_LINEAR)->limit[type];
    reference_chain(type, &expected_out, &expected_side);
    build_chain(&t, e->host, type, &out, &side);
    program *g = load_chain(e, &t);
    for (uint32_t i = 0; i < 4; i++) { /* the first records, the others replay; results do not depend on it */
        write_samples(g, 0);
        if (i < 3) ok(program_run_phase(g, "main", control, &error), &error);
        for (uint32_t d = 0; i == 3 && d < t.plan.dispatch_count; d++)
            ok(program_run(g, d, 1, control, &error), &error);
        double *found_out = read_values(g, out), *found_side = read_values(g, side);
        assert_true(relative_error(found_out, expected_out, ROWS * WIDTH) <= limit);
        assert_true(relative_error(found_side, expected_side, ROWS * WIDTH) <= limit);
        free(found_out);
        free(found_side);
    }
    program_destroy(g);
    free(expected_out);
    free(expected_side);
}

static void test_chain(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        for (uint32_t tier = 0; tier <= fixture.devices[i].tier; tier++) {
            vulkan_options options = vulkan_fixture_options(&fixture);
            options.max_tier = tier;
            executor *e = vulkan_fixture_open(&fixture, i, &options);
            assert_int_equal(e->limits.tier, tier);
            check_chain(e, DTYPE_F32, NULL);
            if (e->limits.f16) check_chain(e, DTYPE_F16, NULL);
            assert_true(tier > 0 || !e->limits.f16);
            vulkan_fixture_close(&fixture, e);
        }
    }
}

/* Many small shards, staged copies, one launch a segment, two workgroups a launch. */
static void test_chain_cut(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        vulkan_options options = vulkan_fixture_options(&fixture);
        options.force_staging = true;
        options.staging_bytes = 4096;
        options.max_allocation = 16384;
        options.max_groups = 2;
        options.segment_seconds = 1e-9;
        executor *e = vulkan_fixture_open(&fixture, i, &options);
        uint64_t before = vulkan_submission_count(e);
        check_chain(e, DTYPE_F32, NULL);
        /* 20 runs of a dispatch, most of them of many workgroups */
        assert_true(vulkan_submission_count(e) - before > 40);
        vulkan_fixture_close(&fixture, e);
    }
}

/* Both ways of measuring: timestamps, and one submission for each dispatch. */
static void test_seconds(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 2 * fixture.count; i++) {
        vulkan_options options = vulkan_fixture_options(&fixture);
        options.no_timestamps = i % 2;
        executor *e = vulkan_fixture_open(&fixture, i / 2, &options);
        tiny_plan t;
        mzt_error error;
        uint32_t out, side;
        double seconds[5] = {0}, more[2] = {0};
        run_control control = {.repeat = 3, .seconds = seconds};
        build_chain(&t, e->host, DTYPE_F32, &out, &side);
        program *g = load_chain(e, &t);
        ok(program_run_phase(g, "main", &control, &error), &error);
        for (uint32_t d = 0; d < 5; d++)
            assert_true(seconds[d] > 0 && seconds[d] < 600);
        control.seconds = more;
        ok(program_run(g, 1, 2, &control, &error), &error);
        assert_true(more[0] > 0 && more[1] > 0);
        program_destroy(g);
        control.seconds = seconds;
        check_chain(e, DTYPE_F32, &control);
        vulkan_fixture_close(&fixture, e);
    }
}

enum { COUNTERS = 1000 };

/* b = a + c; a = b; step += 1: after n repetitions a = a0 + n c exactly, and step = n. */
static program *load_counters(executor *e, tiny_plan *t) {
    mzt_error error;
    tiny_begin(t, e->host, DTYPE_F32, DTYPE_F32);
    for (uint32_t i = 0; i < 3; i++)
        tiny_buffer(t, PLAN_PERSISTENT, DTYPE_F32, COUNTERS);
    uint32_t step = tiny_buffer(t, PLAN_PERSISTENT, DTYPE_U32, 1), zero = 0;
    tiny_add(t, true, 1, 0, 1, 2, 1);
    tiny_unary(t, true, UNARY_IDENTITY, 1, 0, 1, 0);
    op_params none = {0};
    tiny_dispatch(t, OP_STEP_ADVANCE, false, none, &step);
    program *g = vulkan_fixture_prepare(e, &t->plan);
    write_samples(g, 0);
    write_samples(g, 2);
    ok(program_write(g, step, 0, &zero, sizeof zero, &error), &error);
    ok(program_seal(g, &error), &error);
    return g;
}

static void expect_counters(program *g, uint32_t repetitions) {
    mzt_error error;
    uint32_t step;
    double *a = read_values(g, 0);
    for (uint32_t i = 0; i < COUNTERS; i++)
        assert_true(a[i] == (sample(i) + repetitions * sample(i + 2)) / 16);
    free(a);
    ok(program_read(g, 3, 0, &step, sizeof step, &error), &error);
    assert_int_equal(step, repetitions);
}

static void test_replay(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        for (uint32_t cut = 0; cut < 2; cut++) {
            vulkan_options options = vulkan_fixture_options(&fixture);
            if (cut) options.segment_seconds = 1e-9;
            executor *e = vulkan_fixture_open(&fixture, i, &options);
            tiny_plan t;
            mzt_error error;
            program *g = load_counters(e, &t);
            uint32_t done = 0;
            for (uint32_t repeat = 1; repeat <= 16; repeat *= 4) {
                run_control control = {.repeat = repeat};
                ok(program_run_phase(g, "main", &control, &error), &error);
                expect_counters(g, done += repeat);
            }
            ok(program_run(g, 0, 0, NULL, &error), &error);
            expect_counters(g, done);
            program_destroy(g);
            vulkan_fixture_close(&fixture, e);
        }
    }
}

/* More ranges than a program keeps recordings of: the oldest are dropped and made again. */
static void test_many_ranges(void **state) {
    (void)state;
    enum { LENGTH = 12 }; /* 78 ranges */
    for (uint32_t i = 0; i < fixture.count; i++) {
        vulkan_options options = vulkan_fixture_options(&fixture);
        executor *e = vulkan_fixture_open(&fixture, i, &options);
        tiny_plan t;
        mzt_error error;
        double total = 0;
        tiny_begin(&t, e->host, DTYPE_F32, DTYPE_F32);
        for (uint32_t b = 0; b < LENGTH + 1; b++)
            tiny_buffer(&t, PLAN_PERSISTENT, DTYPE_F32, 5);
        for (uint32_t d = 0; d < LENGTH; d++) /* a counter each: buffer d + 1 += 1 * buffer 0 */
            tiny_add(&t, true, 1, d + 1, 1, 0, d + 1);
        program *g = vulkan_fixture_prepare(e, &t.plan);
        float one[5] = {1, 1, 1, 1, 1}, zero[5] = {0};
        ok(program_write(g, 0, 0, one, sizeof one, &error), &error);
        for (uint32_t d = 0; d < LENGTH; d++)
            ok(program_write(g, d + 1, 0, zero, sizeof zero, &error), &error);
        ok(program_seal(g, &error), &error);
        for (uint32_t round = 0; round < 2; round++)
            for (uint32_t first = 0; first < LENGTH; first++)
                for (uint32_t count = 1; first + count <= LENGTH; count++)
                    ok(program_run(g, first, count, NULL, &error), &error);
        for (uint32_t d = 0; d < LENGTH; d++) {
            double *values = read_values(g, d + 1);
            assert_true(values[0] == 2.0 * (d + 1) * (LENGTH - d)); /* ranges that contain d */
            total += values[4];
            free(values);
        }
        assert_true(total == 2.0 * LENGTH * (LENGTH + 1) * (LENGTH + 2) / 6);
        program_destroy(g);
        vulkan_fixture_close(&fixture, e);
    }
}

typedef struct watch {
    uint32_t calls, stop_at; /* the call (from 1) that says no; 0: none */
    double last;
} watch;

static bool on_progress(void *user, uint32_t repetitions, double share) {
    watch *w = user;
    assert_true(share >= 0 && share < 1);
    assert_true(repetitions + share >= w->last);
    w->last = repetitions + share;
    return ++w->calls != w->stop_at;
}

/* Cancelling at every segment boundary: the run stops there, and the program can be used again. */
static void test_cancel(void **state) {
    (void)state;
    enum { REPEAT = 3 };
    for (uint32_t i = 0; i < fixture.count; i++) {
        vulkan_options options = vulkan_fixture_options(&fixture);
        options.segment_seconds = 1e-9; /* a segment for each workgroup */
        options.max_groups = 8;
        executor *e = vulkan_fixture_open(&fixture, i, &options);
        tiny_plan t;
        mzt_error error;
        program *g = load_counters(e, &t);
        watch w = {0};
        run_control control = {.repeat = REPEAT, .keep_going = on_progress, .user = &w};
        ok(program_run_phase(g, "main", &control, &error), &error);
        expect_counters(g, REPEAT);
        uint32_t boundaries = w.calls;
        assert_true(w.last == REPEAT && boundaries >= 3 * REPEAT);
        for (uint32_t stop = 1; stop <= boundaries; stop += 1 + boundaries / 24) {
            uint32_t zero = 0;
            w = (watch){.stop_at = stop};
            uint64_t before = vulkan_submission_count(e);
            assert_int_equal(program_run_phase(g, "main", &control, &error), MZT_CANCELLED);
            assert_int_equal(w.calls, stop);
            assert_true(vulkan_submission_count(e) - before <= stop + 1);
            write_samples(g, 0);
            ok(program_write(g, 3, 0, &zero, sizeof zero, &error), &error);
            ok(program_run_phase(g, "main", NULL, &error), &error);
            expect_counters(g, 1);
        }
        program_destroy(g);
        vulkan_fixture_close(&fixture, e);
    }
}

/* What must be refused before anything runs. */
static void test_order(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        vulkan_options options = vulkan_fixture_options(&fixture);
        executor *e = vulkan_fixture_open(&fixture, i, &options);
        tiny_plan t;
        mzt_error error;
        uint32_t out, side;
        float value = 0;
        build_chain(&t, e->host, DTYPE_F32, &out, &side);
        program *g = vulkan_fixture_prepare(e, &t.plan);
        assert_int_equal(program_run_phase(g, "main", NULL, &error), MZT_ERROR_INVALID);
        assert_non_null(strstr(error.message, "sealed"));
        ok(program_seal(g, &error), &error);
        assert_int_equal(program_write(g, 1, 0, &value, sizeof value, &error), MZT_ERROR_INVALID);
        assert_non_null(strstr(error.message, "b1"));
        assert_int_equal(program_run(g, 5, 1, NULL, &error), MZT_ERROR_INVALID);
        program_destroy(g);
        vulkan_fixture_close(&fixture, e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),  cmocka_unit_test(test_chain),       cmocka_unit_test(test_chain_cut),
        cmocka_unit_test(test_seconds), cmocka_unit_test(test_replay),      cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_order),   cmocka_unit_test(test_many_ranges),
    };
    return cmocka_run_group_tests(tests, begin_all, NULL);
}
