/* Runs in slices of time on the CPU executors: every op gives the same bits as in one piece, however small
 * the slices are; sealing and writing in slices; budgets; cancelling at every slice; two programs at once. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/threads.h"
#include "layers_plan.h"
#include "ops_run.h"

enum { CASES = 6 };

static void ok(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

static executor *open_cpu(const base_host *host, bool reference, uint32_t threads) {
    executor *e;
    mzt_error error;
    ok(reference ? cpu_reference_create(host, &e, &error) : cpu_create(host, threads, &e, &error), &error);
    return e;
}

static void check_case(executor *e, const ops_case *c, uint32_t *slices) {
    char text[700];
    mzt_error error;
    uint64_t bytes = ops_output_bytes(c);
    uint32_t calls = 0;
    void *whole = calloc(1, (size_t)bytes), *sliced = calloc(1, (size_t)bytes);
    assert_non_null(whole);
    assert_non_null(sliced);
    ok(ops_run(e, c, 0, NULL, whole, &error), &error);
    ok(ops_run_slices(e, c, 0, &calls, sliced, &error), &error);
    if (memcmp(whole, sliced, (size_t)bytes) != 0)
        fail_msg("%s: other bits in slices", ops_case_describe(c, text, sizeof text));
    *slices += calls;
    free(whole);
    free(sliced);
}

/* Budget 0: a slice is the least that the executor can do at a time. */
static void test_same_bits(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    executor *executors[3] = {open_cpu(&host, false, 1), open_cpu(&host, false, 3), open_cpu(&host, true, 0)};
    for (int i = 0; i < 3; i++) {
        uint32_t slices = 0;
        for (uint32_t o = 0; o < OP_COUNT; o++) {
            for (uint32_t n = 0; n < CASES; n++) {
                ops_case c;
                ops_case_make((op)o, n, DTYPE_F32, DTYPE_F32, &c);
                check_case(executors[i], &c, &slices);
            }
        }
        assert_true(slices > 3 * OP_COUNT * CASES);
        executor_destroy(executors[i]);
    }
}

enum { ROWS = 512, WIDTH = 512 };

typedef struct layers {
    layers_plan net;
    float *expected; /* after one run, unsliced */
} layers;

static void layers_begin(layers *l, const base_host *host, executor *e, uint32_t depth) {
    mzt_error error;
    program *g;
    layers_make(&l->net, host, ROWS, WIDTH, depth);
    l->expected = malloc((size_t)layers_bytes(&l->net));
    assert_non_null(l->expected);
    ok(executor_prepare(e, &l->net.plan.plan, &g, &error), &error);
    ok(layers_queue(&l->net, g, &error), &error);
    ok(program_run_phase(g, "main", NULL, &error), &error); /* does what is queued first */
    ok(layers_read(&l->net, g, &error), &error);
    memcpy(l->expected, l->net.found, (size_t)layers_bytes(&l->net));
    program_destroy(g);
}

static void layers_end(layers *l) {
    layers_free(&l->net);
    free(l->expected);
}

static void expect_layers(layers *l, program *g) {
    mzt_error error;
    ok(layers_read(&l->net, g, &error), &error);
    assert_memory_equal(l->net.found, l->expected, (size_t)layers_bytes(&l->net));
}

static program *prepare_in_slices(executor *e, layers *l, uint64_t budget_us, uint32_t *calls) {
    program *g;
    mzt_error error;
    mzt_status status = MZT_PENDING;
    double share = 0, last = 0;
    ok(executor_prepare_begin(e, &l->net.plan.plan, &g, &error), &error);
    ok(layers_queue(&l->net, g, &error), &error);
    assert_int_equal(program_begin(g, 0, 1, 1, &error), MZT_ERROR_INVALID);
    for (*calls = 0; status == MZT_PENDING; ++*calls) {
        status = program_prepare_advance(g, budget_us, &share, &error);
        assert_true(share >= last && share <= 1);
        last = share;
    }
    ok(status, &error);
    assert_true(share == 1);
    return g;
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A job of many dispatches, each longer than the budget: no call takes more than the budget and one piece,
 * and pieces are short although the dispatches are long. Durations are of this machine under whatever load it
 * has; so the slowest calls are only reported, and the median is held against the limit. */
static void test_budget(void **state) {
    (void)state;
    enum { DEPTH = 20, BUDGET = 2000, MOST = 100000 };
    base_host host = host_make(NULL);
    executor *e = open_cpu(&host, false, 2);
    mzt_error error;
    layers l;
    uint32_t calls, count = 0, within = 0;
    layers_begin(&l, &host, e, DEPTH);
    program *g = prepare_in_slices(e, &l, 100, &calls);
    assert_true(calls > 1);
    run_progress progress = {0};
    double *seconds = calloc(MOST, sizeof *seconds);
    assert_non_null(seconds);
    ok(program_begin_phase(g, "main", 1, &error), &error);
    mzt_status status = MZT_PENDING;
    while (status == MZT_PENDING && count < MOST) {
        double start = clock_seconds();
        status = program_advance(g, BUDGET, &progress, &error);
        seconds[count++] = clock_seconds() - start;
    }
    ok(status, &error);
    assert_int_equal(progress.repetitions, 1);
    assert_true(progress.segments > 4 * DEPTH); /* dispatches are cut */
    expect_layers(&l, g);
    for (uint32_t i = 0; i < count; i++)
        within += seconds[i] <= BUDGET * 1e-6 + progress.longest;
    qsort(seconds, count, sizeof *seconds, by_value);
    print_message(
        "%u calls, %u pieces, the longest %.2f ms; a call takes %.2f ms (median), %.2f ms (99 %%), %.1f %% "
        "are within budget and longest piece\n",
        count, progress.segments, progress.longest * 1e3, seconds[count / 2] * 1e3,
        seconds[count * 99 / 100] * 1e3, 100.0 * within / count);
    assert_true(count > 3);
    assert_true(seconds[count / 2] <= BUDGET * 1e-6 + progress.longest);
    free(seconds);
    program_destroy(g);
    layers_end(&l);
    executor_destroy(e);
}

/* Cancelled after any number of slices; the program gives the right result afterwards, and no memory is lost.
 */
static void test_cancel(void **state) {
    (void)state;
    enum { DEPTH = 2 };
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    executor *e = open_cpu(&host, false, 2);
    mzt_error error;
    layers l;
    uint32_t calls, cancelled = 0;
    layers_begin(&l, &host, e, DEPTH);
    program *g = prepare_in_slices(e, &l, BUDGET_UNLIMITED, &calls);
    assert_int_equal(calls, 1);
    program_cancel(g); /* nothing runs: nothing happens */
    for (uint32_t stop = 0;; stop++) {
        uint32_t done = 0;
        long live = counts.live;
        mzt_status status = MZT_PENDING;
        ok(layers_reset(&l.net, g, &error), &error);
        ok(program_begin_phase(g, "main", 1, &error), &error);
        assert_int_equal(program_read(g, 0, 0, &done, 4, &error), MZT_ERROR_INVALID);
        assert_int_equal(program_begin_phase(g, "main", 1, &error), MZT_ERROR_INVALID);
        while (status == MZT_PENDING && done++ < stop)
            status = program_advance(g, 0, NULL, &error);
        if (status == MZT_PENDING) {
            program_cancel(g);
            program_cancel(g);
            assert_int_equal(program_advance(g, 0, NULL, &error), MZT_CANCELLED);
            cancelled++;
        } else {
            ok(status, &error);
            expect_layers(&l, g);
        }
        assert_int_equal(counts.live, live);
        assert_int_equal(program_advance(g, 0, NULL, &error), MZT_ERROR_INVALID);
        if (status == MZT_OK) break;
    }
    assert_true(cancelled > 3 * DEPTH);
    ok(layers_reset(&l.net, g, &error), &error);
    ok(program_run_phase(g, "main", NULL, &error), &error);
    expect_layers(&l, g);
    ok(program_begin_phase(g, "main", 1, &error), &error);
    program_advance(g, 0, NULL, &error);
    program_destroy(g); /* in the middle of a run */
    layers_end(&l);
    executor_destroy(e);
    assert_int_equal(counts.live, 0);
}

/* Two programs of one executor take turns, and a third is used in between. */
static void test_turns(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    executor *e = open_cpu(&host, false, 2);
    mzt_error error;
    layers l;
    uint32_t calls;
    layers_begin(&l, &host, e, 3);
    program *g[3];
    for (int i = 0; i < 3; i++)
        g[i] = prepare_in_slices(e, &l, 500, &calls);
    ok(program_begin_phase(g[0], "main", 1, &error), &error);
    ok(program_begin_phase(g[1], "main", 1, &error), &error);
    mzt_status status[2] = {MZT_PENDING, MZT_PENDING};
    for (int turn = 0; status[0] == MZT_PENDING || status[1] == MZT_PENDING; turn++) {
        for (int i = 0; i < 2; i++)
            if (status[i] == MZT_PENDING) status[i] = program_advance(g[i], 500, NULL, &error);
        if (turn == 1) {
            ok(program_run_phase(g[2], "main", NULL, &error), &error);
            expect_layers(&l, g[2]);
        }
    }
    for (int i = 0; i < 2; i++) {
        ok(status[i], &error);
        expect_layers(&l, g[i]);
    }
    for (int i = 0; i < 3; i++)
        program_destroy(g[i]);
    layers_end(&l);
    executor_destroy(e);
}

/* Every allocation of preparing and running in slices fails once. */
static void test_memory(void **state) {
    (void)state;
    layers l;
    base_host plain = host_make(NULL);
    executor *first = open_cpu(&plain, false, 1);
    layers_begin(&l, &plain, first, 1);
    executor_destroy(first);
    uint32_t failures = 0;
    for (long n = 1;; n++) {
        alloc_count counts = {.fail_at = n};
        base_host host = alloc_count_host(&counts);
        executor *e = NULL;
        program *g = NULL;
        mzt_error error;
        mzt_status status = cpu_create(&host, 1, &e, &error);
        if (status >= 0) status = executor_prepare_begin(e, &l.net.plan.plan, &g, &error);
        if (status >= 0) status = layers_queue(&l.net, g, &error);
        if (status >= 0) status = MZT_PENDING;
        while (status == MZT_PENDING)
            status = program_prepare_advance(g, 100, NULL, &error);
        if (status >= 0) status = program_begin_phase(g, "main", 1, &error);
        if (status >= 0) status = MZT_PENDING;
        while (status == MZT_PENDING)
            status = program_advance(g, 100, NULL, &error);
        if (status >= 0) expect_layers(&l, g);
        program_destroy(g);
        executor_destroy(e);
        assert_int_equal(counts.live, 0);
        if (counts.calls < n) {
            ok(status, &error);
            break;
        }
        assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
        failures++;
    }
    assert_true(failures > 8);
    layers_end(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_budget), cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_turns),     cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
