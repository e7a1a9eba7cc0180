/* The CPU executors as executors: refused arguments, cancelling, timing, two of them at once, weights after
 * sealing. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "ops_run.h"

enum { ELEMENTS = 1000, DISPATCHES = 4 };

/* x = 2 x, four times, in place. */
typedef struct doubling {
    plan plan;
    plan_buffer buffers[1];
    plan_dispatch dispatches[DISPATCHES];
    plan_phase phase;
} doubling;

static void make_doubling(doubling *d, const base_host *host) {
    static char strings[] = "\0x\0main\0node";
    memset(d, 0, sizeof *d);
    d->plan = (plan){.host = host,
                     .arena_bytes = ELEMENTS * sizeof(float),
                     .buffers = d->buffers,
                     .buffer_count = 1,
                     .dispatches = d->dispatches,
                     .dispatch_count = DISPATCHES,
                     .phases = &d->phase,
                     .phase_count = 1,
                     .strings = strings,
                     .string_bytes = sizeof strings};
    d->buffers[0] = (plan_buffer){.name = 1,
                                  .kind = PLAN_PERSISTENT,
                                  .dtype = DTYPE_F32,
                                  .shape = {1, 1, 1, ELEMENTS},
                                  .bytes = ELEMENTS * sizeof(float)};
    d->phase = (plan_phase){.name = 3, .count = DISPATCHES};
    for (int i = 0; i < DISPATCHES; i++) {
        d->dispatches[i] = (plan_dispatch){.op = OP_UNARY, .barrier = 1, .node = 8};
        for (int j = 0; j < OP_MAX_BINDINGS; j++)
            d->dispatches[i].bindings[j] =
                (plan_binding){.buffer = j < 2 ? 0 : PLAN_NONE, .range = ELEMENTS * sizeof(float)};
        d->dispatches[i].params.unary = (unary_params){.count = ELEMENTS, .kind = UNARY_IDENTITY, .scale = 2};
    }
}

typedef mzt_status creator(const base_host *host, executor **out, mzt_error *error);

static mzt_status create_fast(const base_host *host, executor **out, mzt_error *error) {
    return cpu_create(host, 2, out, error);
}

static creator *const creators[] = {cpu_reference_create, create_fast};

typedef struct watch {
    uint32_t calls, stop_at;
} watch;

static bool keep_going(void *user, uint32_t repetitions, double share) {
    watch *w = user;
    assert_true(share >= 0 && share <= 1);
    assert_true(repetitions <= 3);
    return ++w->calls != w->stop_at;
}

static void test_run(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    for (size_t i = 0; i < sizeof creators / sizeof *creators; i++) {
        doubling d;
        make_doubling(&d, &host);
        mzt_error error;
        executor *e;
        program *g;
        assert_int_equal(creators[i](&host, &e, &error), MZT_OK);
        assert_int_equal(executor_prepare(e, &d.plan, &g, &error), MZT_OK);
        float x[ELEMENTS] = {1, 3};
        assert_int_equal(program_write(g, 0, 0, x, sizeof x, &error), MZT_OK);
        assert_int_equal(program_run(g, 0, 1, NULL, &error), MZT_ERROR_INVALID); /* not sealed */
        assert_int_equal(program_seal(g, &error), MZT_OK);
        double seconds[DISPATCHES] = {0};
        watch w = {0};
        run_control control = {.repeat = 3, .keep_going = keep_going, .user = &w, .seconds = seconds};
        assert_int_equal(program_run_phase(g, "main", &control, &error), MZT_OK);
        assert_int_equal(w.calls, 3 * DISPATCHES);
        for (int j = 0; j < DISPATCHES; j++)
            assert_true(seconds[j] > 0);
        assert_int_equal(program_read(g, 0, 0, x, sizeof x, &error), MZT_OK);
        assert_true(x[0] == 4096 && x[1] == 3 * 4096);
        /* Cancelled after the second dispatch: exactly two have run. */
        w = (watch){.stop_at = 2};
        assert_int_equal(program_run_phase(g, "main", &control, &error), MZT_CANCELLED);
        assert_int_equal(program_read(g, 0, 4, x, 4, &error), MZT_OK);
        assert_true(x[0] == 3 * 4096 * 4);
        assert_true(program_memory(g) >= d.plan.arena_bytes);
        /* Out of range */
        assert_int_equal(program_run(g, 3, 2, NULL, &error), MZT_ERROR_INVALID);
        assert_int_equal(program_run(g, UINT32_MAX, 2, NULL, &error), MZT_ERROR_INVALID);
        assert_int_equal(program_run_phase(g, "absent", NULL, &error), MZT_ERROR_NOT_FOUND);
        assert_int_equal(program_read(g, 0, sizeof x, x, 1, &error), MZT_ERROR_INVALID);
        assert_int_equal(program_write(g, 0, UINT64_MAX, x, 2, &error), MZT_ERROR_INVALID);
        assert_int_equal(program_write(g, 1, 0, x, 1, &error), MZT_ERROR_INVALID);
        program_destroy(g);
        executor_destroy(e);
    }
}

/* Plans that would read or write out of bounds are refused before anything is allocated. */
static void test_refused_plans(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    executor *e;
    assert_int_equal(cpu_reference_create(&host, &e, &error), MZT_OK);
    for (int i = 0; i < 8; i++) {
        doubling d;
        program *g = NULL;
        make_doubling(&d, &host);
        plan_dispatch *last = &d.dispatches[DISPATCHES - 1];
        switch (i) {
        case 0:
            last->op = OP_COUNT;
            break;
        case 1:
            last->params.unary.count = ELEMENTS + 1;
            break;
        case 2:
            last->params.unary.kind = 99;
            break;
        case 3:
            last->bindings[1].buffer = PLAN_NONE;
            break;
        case 4:
            last->bindings[0].buffer = 1;
            break;
        case 5:
            last->bindings[0].offset = UINT64_MAX - 255;
            break;
        case 6:
            d.buffers[0].dtype = DTYPE_U32;
            break;
        case 7:
            d.plan.arena_bytes -= 4;
            break;
        }
        assert_int_equal(executor_prepare(e, &d.plan, &g, &error), MZT_ERROR_INVALID);
        assert_null(g);
    }
    executor_destroy(e);
}

/* A matrix that changes from run to run, out of the arena: the product follows it. */
static void test_changing_weights(void **state) {
    (void)state;
    static char strings[] = "\0x\0main\0node";
    base_host host = host_make(NULL);
    plan_buffer buffers[3];
    plan_dispatch dispatch = {
        .op = OP_LINEAR, .barrier = 1, .node = 8, .params.linear = {.m = 1, .n = 1, .k0 = 1}};
    plan_phase phase = {.name = 3, .count = 1};
    plan p = {.host = &host,
              .arena_bytes = 3 * PLAN_ALIGNMENT,
              .buffers = buffers,
              .buffer_count = 3,
              .dispatches = &dispatch,
              .dispatch_count = 1,
              .phases = &phase,
              .phase_count = 1,
              .strings = strings,
              .string_bytes = sizeof strings};
    for (uint32_t i = 0; i < OP_MAX_BINDINGS; i++)
        dispatch.bindings[i].buffer = PLAN_NONE;
    const uint32_t used[3] = {0, 2, op_get(OP_LINEAR)->output}; /* x0, weight, out */
    for (uint32_t i = 0; i < 3; i++) {
        buffers[i] = (plan_buffer){.name = 1, .kind = PLAN_PERSISTENT, .shape = {1, 1, 1, 1}, .bytes = 4};
        buffers[i].offset = (uint64_t)i * PLAN_ALIGNMENT;
        dispatch.bindings[used[i]] = (plan_binding){.buffer = i, .range = 4};
    }
    mzt_error error;
    executor *e;
    program *g;
    float x = 3, weight = 5, out = 0;
    assert_int_equal(cpu_create(&host, 1, &e, &error), MZT_OK);
    assert_int_equal(executor_prepare(e, &p, &g, &error), MZT_OK);
    assert_int_equal(program_write(g, 0, 0, &x, 4, &error), MZT_OK);
    assert_int_equal(program_seal(g, &error), MZT_OK);
    for (; weight < 8; weight++) {
        assert_int_equal(program_write(g, 1, 0, &weight, 4, &error), MZT_OK);
        assert_int_equal(program_run(g, 0, 1, NULL, &error), MZT_OK);
        assert_int_equal(program_read(g, 2, 0, &out, 4, &error), MZT_OK);
        assert_true(out == x * weight);
    }
    program_destroy(g);
    executor_destroy(e);
}

static void *run_cases(void *argument) {
    base_host host = host_make(NULL);
    mzt_error error;
    executor *e = NULL, *reference = NULL;
    double *worst = argument;
    *worst = INFINITY;
    if (cpu_create(&host, 2, &e, &error) < 0 || cpu_reference_create(&host, &reference, &error) < 0)
        return NULL;
    *worst = 0;
    for (uint32_t i = 0; i < 60; i++) {
        ops_case c;
        ops_case_make(i % 3 == 0   ? OP_LINEAR
                      : i % 3 == 1 ? OP_CONV2D
                                   : OP_ATTENTION,
                      i / 3, DTYPE_F32, DTYPE_F32, &c);
        uint64_t bytes = ops_case_bytes(&c, op_get(c.op)->output);
        void *expected = calloc(1, bytes), *out = calloc(1, bytes);
        double distance = INFINITY;
        if (expected && out && ops_run(reference, &c, 0, NULL, expected, &error) >= 0 &&
            ops_run(e, &c, 0, NULL, out, &error) >= 0)
            distance = ops_compare(&c, out, expected);
        if (!(distance <= *worst)) *worst = distance;
        free(expected);
        free(out);
    }
    executor_destroy(e);
    executor_destroy(reference);
    return NULL;
}

static void test_two_at_once(void **state) {
    (void)state;
    pthread_t threads[2];
    double worst[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_cases, &worst[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(worst[i] <= 1e-5);
    }
}

/* Every allocation of a program fails once: an error, no leak, no crash. One thread, as the counter is not
 * for several. */
static void test_out_of_memory(void **state) {
    (void)state;
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    mzt_error error;
    executor *e;
    ops_case c;
    ops_case_make(OP_CONV2D, 2, DTYPE_F32, DTYPE_F32, &c);
    void *out = calloc(1, ops_case_bytes(&c, op_get(OP_CONV2D)->output));
    assert_non_null(out);
    long needed = 0;
    for (long fail_at = 0; fail_at <= needed; fail_at++) {
        counts = (alloc_count){.fail_at = fail_at};
        mzt_status status = cpu_create(&host, 1, &e, &error);
        if (status >= 0) {
            status = ops_run(e, &c, 0, NULL, out, &error);
            executor_destroy(e);
        }
        assert_int_equal(status, fail_at ? MZT_ERROR_OUT_OF_MEMORY : MZT_OK);
        assert_int_equal(counts.live, 0);
        if (fail_at == 0) needed = counts.calls;
    }
    assert_true(needed > 5);
    free(out);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_refused_plans),
        cmocka_unit_test(test_changing_weights),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("executor", tests, NULL, NULL);
}
