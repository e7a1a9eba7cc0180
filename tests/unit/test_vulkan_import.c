/* The Vulkan executor on a device that the test itself has made, under validation with synchronization
 * validation, with the host drawing in between: refusals, promises, budgets, cancelling at every slice. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/threads.h"
#include "layers_plan.h"
#include "vulkan_host.h"

enum { DEVICES = 8 };

static vulkan_host h;

static void ok(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

static executor *import(const vulkan_options *options) {
    vulkan_import from = vulkan_host_import(&h);
    vulkan_options defaults = vulkan_host_options();
    executor *e;
    mzt_error error;
    ok(vulkan_executor_import(&h.host, options ? options : &defaults, &from, &e, &error), &error);
    return e;
}

static void expect_refusal(const vulkan_import *from, mzt_status status, const char *reason) {
    executor *e = NULL;
    mzt_error error;
    vulkan_options options = vulkan_host_options();
    assert_int_equal(vulkan_executor_import(&h.host, &options, from, &e, &error), status);
    assert_null(e);
    if (!strstr(error.message, reason)) fail_msg("\"%s\" does not say \"%s\"", error.message, reason);
}

static PFN_vkVoidFunction VKAPI_CALL knows_nothing(VkInstance instance, const char *name) {
    (void)instance;
    (void)name;
    return NULL;
}

static void test_refusals(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        vulkan_import from = vulkan_host_import(&h), wrong = from;
        wrong.instance = VK_NULL_HANDLE;
        expect_refusal(&wrong, MZT_ERROR_INVALID, "instance is missing");
        wrong = from;
        wrong.physical_device = VK_NULL_HANDLE;
        expect_refusal(&wrong, MZT_ERROR_INVALID, "physical_device is missing");
        wrong = from;
        wrong.device = VK_NULL_HANDLE;
        expect_refusal(&wrong, MZT_ERROR_INVALID, "device is missing");
        wrong = from;
        wrong.queue = VK_NULL_HANDLE;
        expect_refusal(&wrong, MZT_ERROR_INVALID, "queue is missing");
        wrong = from;
        wrong.get_instance_proc_addr = NULL;
        expect_refusal(&wrong, MZT_ERROR_INVALID, "get_instance_proc_addr is missing");
        wrong = from;
        wrong.unlock = NULL;
        expect_refusal(&wrong, MZT_ERROR_INVALID, "lock and unlock");
        wrong = from;
        wrong.api_version = VK_API_VERSION_1_1;
        expect_refusal(&wrong, MZT_ERROR_UNSUPPORTED, "made for Vulkan 1.1, 1.2 is needed");
        wrong = from;
        wrong.queue_family = 77;
        expect_refusal(&wrong, MZT_ERROR_INVALID, "queue family 77");
        wrong = from;
        wrong.get_instance_proc_addr = knows_nothing;
        expect_refusal(&wrong, MZT_ERROR_DEVICE, "lacks vk");
        vulkan_host_close(&h);
    }
}

/* The tier follows from what the host has enabled, not from what the device could do. */
static void test_features(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        vulkan_import from = vulkan_host_import(&h);
        vulkan_options options = vulkan_host_options();
        mzt_error error;
        executor *all, *none, *old;
        VkPhysicalDeviceShaderFloat16Int8Features f16 = {
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
            .shaderFloat16 = VK_TRUE};
        VkPhysicalDevice16BitStorageFeatures storage = {
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
            .pNext = &f16,
            .storageBuffer16BitAccess = VK_TRUE};
        ok(vulkan_executor_import(&h.host, &options, &from, &all, &error), &error);
        from.features = NULL;
        ok(vulkan_executor_import(&h.host, &options, &from, &none, &error), &error);
        from.features = &storage; /* the same in the structures' older form, without a head */
        ok(vulkan_executor_import(&h.host, &options, &from, &old, &error), &error);
        printf("%s: tier %u, without features %u\n", all->limits.name, all->limits.tier, none->limits.tier);
        assert_int_equal(all->limits.f16, h.needs.features11.storageBuffer16BitAccess);
        assert_int_equal(old->limits.f16, all->limits.f16);
        assert_int_equal(old->limits.tier, all->limits.tier);
        assert_false(none->limits.f16);
        assert_int_equal(none->limits.tier, 0);
        executor_destroy(all);
        executor_destroy(none);
        executor_destroy(old);
        vulkan_host_close(&h);
    }
}

/* The result of the plan in one piece, on the same device opened by the library itself. */
static float *run_whole(executor *e, layers_plan *l) {
    mzt_error error;
    program *g;
    float *result = malloc(layers_bytes(l));
    assert_non_null(result);
    ok(executor_prepare(e, &l->plan.plan, &g, &error), &error);
    ok(layers_queue(l, g, &error), &error);
    ok(program_run_phase(g, "main", NULL, &error), &error);
    ok(layers_read(l, g, &error), &error);
    memcpy(result, l->found, layers_bytes(l));
    program_destroy(g);
    return result;
}

static program *prepare_slices(executor *e, layers_plan *l, uint64_t budget_us, bool draw, uint32_t *calls) {
    mzt_error error;
    program *g;
    mzt_status status = MZT_PENDING;
    double share = 0, last = 0;
    ok(executor_prepare_begin(e, &l->plan.plan, &g, &error), &error);
    ok(layers_queue(l, g, &error), &error);
    for (*calls = 0; status == MZT_PENDING; ++*calls) {
        status = program_prepare_advance(g, budget_us, &share, &error);
        assert_true(share >= last && share <= 1);
        last = share;
        if (draw) vulkan_host_draw(&h, *calls);
    }
    ok(status, &error);
    assert_true(share == 1);
    return g;
}

/* Runs in slices, the host drawing after each; returns how many there were. */
static uint32_t advance_all(program *g, uint64_t budget_us, bool draw, run_progress *progress) {
    mzt_error error;
    uint32_t calls = 0;
    mzt_status status = MZT_PENDING;
    double last = 0;
    for (; status == MZT_PENDING; calls++) {
        status = program_advance(g, budget_us, progress, &error);
        assert_true(progress->repetitions + progress->share >= last);
        last = progress->repetitions + progress->share;
        if (draw) vulkan_host_draw(&h, calls);
        ok(program_wait(g, calls % 3 ? 500 : 0, &error), &error);
    }
    ok(status, &error);
    return calls;
}

/* The same bits in slices as in one piece, with the host's frames in between, which stay as they are; through
 * mapped memory and through the staging buffer; with timestamps and without. */
static void test_slices(void **state) {
    (void)state;
    enum { REPEAT = 3 };
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        layers_plan l;
        layers_make(&l, &h.host, 64, 96, 6);
        for (uint32_t variant = 0; variant < 4; variant++) {
            vulkan_options options = vulkan_host_options();
            options.force_staging = variant % 2;
            options.no_timestamps = variant / 2;
            options.staging_bytes = 8192;
            options.max_groups = 16;
            executor *e = import(&options);
            mzt_error error;
            run_progress progress;
            uint32_t calls;
            float *expected = run_whole(e, &l);
            program *g = prepare_slices(e, &l, 0, true, &calls);
            assert_true(calls > 3);
            assert_int_equal(program_advance(g, 0, NULL, &error), MZT_ERROR_INVALID);
            for (uint32_t round = 0; round < 3; round++) {
                ok(layers_reset(&l, g, &error), &error);
                for (uint32_t repeat = 0; repeat < REPEAT; repeat++) {
                    ok(program_begin_phase(g, "main", 1, &error), &error);
                    assert_int_equal(layers_read(&l, g, &error), MZT_ERROR_INVALID);
                    calls =
                        advance_all(g, round == 2 ? BUDGET_UNLIMITED : 200 * round, round == 0, &progress);
                    assert_int_equal(progress.repetitions, 1);
                    assert_true(round > 0 || calls > 12);
                    if (repeat > 0) continue;
                    ok(layers_read(&l, g, &error), &error);
                    assert_memory_equal(l.found, expected, layers_bytes(&l));
                }
            }
            free(expected);
            program_destroy(g);
            executor_destroy(e);
        }
        layers_free(&l);
        vulkan_host_close(&h);
    }
}

/* Robust buffer access hides what reads and writes out of bounds: results must not lean on it. */
static void test_robust(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        layers_plan l;
        layers_make(&l, &h.host, 33, 65, 2); /* sizes that end in the middle of every tile */
        executor *e = import(NULL);
        float *plain = run_whole(e, &l);
        executor_destroy(e);
        vulkan_host_close(&h);
        assert_true(vulkan_host_open_robust(&h, i));
        l.plan.plan.host = &h.host;
        e = import(NULL);
        float *robust = run_whole(e, &l);
        assert_memory_equal(plain, robust, layers_bytes(&l));
        free(plain);
        free(robust);
        executor_destroy(e);
        layers_free(&l);
        vulkan_host_close(&h);
    }
}

/* Two programs take turns on one queue; one of them is destroyed in the middle of its run. */
static void test_turns(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        layers_plan l;
        layers_make(&l, &h.host, 64, 96, 4);
        executor *e = import(NULL);
        mzt_error error;
        run_progress progress;
        uint32_t calls;
        float *expected = run_whole(e, &l);
        program *g[3];
        for (int n = 0; n < 3; n++)
            g[n] = prepare_slices(e, &l, 500, false, &calls);
        for (int n = 0; n < 3; n++)
            ok(program_begin_phase(g[n], "main", 1, &error), &error);
        for (int turn = 0; turn < 3; turn++)
            for (int n = 0; n < 3; n++)
                if (g[n]->running) ok(program_advance(g[n], 0, &progress, &error), &error);
        program_destroy(g[1]);
        for (int n = 0; n < 3; n += 2) {
            if (g[n]->running) advance_all(g[n], 100, false, &progress);
            ok(layers_read(&l, g[n], &error), &error);
            assert_memory_equal(l.found, expected, layers_bytes(&l));
            program_destroy(g[n]);
        }
        free(expected);
        executor_destroy(e);
        layers_free(&l);
        vulkan_host_close(&h);
    }
}

/* Cancelled after every number of slices; afterwards the program gives the right result, and holds as much
 * memory as before. */
static void test_cancel(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        layers_plan l;
        vulkan_options options = vulkan_host_options();
        layers_make(&l, &h.host, 32, 64, 2);
        options.max_groups = 8;
        options.segment_seconds = 1e-9; /* one launch a slice */
        executor *e = import(&options);
        mzt_error error;
        run_progress progress;
        uint32_t calls, cancelled = 0;
        float *expected = run_whole(e, &l);
        program *g = prepare_slices(e, &l, 1000, false, &calls);
        program_cancel(g);
        long live = 0;
        for (uint32_t stop = 0;; stop++) {
            ok(layers_reset(&l, g, &error), &error);
            ok(program_begin_phase(g, "main", 1, &error), &error);
            mzt_status status = MZT_PENDING;
            progress = (run_progress){0};
            while (status == MZT_PENDING && progress.segments < stop) {
                status = program_advance(g, 0, &progress, &error);
                if (status == MZT_PENDING) ok(program_wait(g, BUDGET_UNLIMITED, &error), &error);
            }
            if (status == MZT_OK) break;
            uint32_t before = h.counts.submissions;
            program_cancel(g);
            while ((status = program_advance(g, 0, &progress, &error)) == MZT_PENDING)
                program_wait(g, BUDGET_UNLIMITED, &error);
            assert_int_equal(status, MZT_CANCELLED);
            assert_int_equal(h.counts.submissions, before);
            if (stop == 2) live = h.counts.live;
            if (stop > 2) assert_int_equal(h.counts.live, live);
            cancelled++;
        }
        assert_true(cancelled > 8);
        ok(layers_read(&l, g, &error), &error);
        assert_memory_equal(l.found, expected, layers_bytes(&l));
        printf("cancelled at each of %u slices\n", cancelled);
        free(expected);
        program_destroy(g);
        executor_destroy(e);
        layers_free(&l);
        vulkan_host_close(&h);
    }
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A job of many dispatches: a call returns within the budget and one segment. */
static void test_budget(void **state) {
    (void)state;
    enum { BUDGET = 2000, MOST = 20000, REPEAT = 2 };
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        layers_plan l;
        layers_make(&l, &h.host, 256, 256, 24);
        executor *e = import(NULL);
        mzt_error error;
        run_progress progress = {0};
        uint32_t calls, count = 0, within = 0, strictly = 0;
        program *g = prepare_slices(e, &l, BUDGET, false, &calls);
        double *seconds = calloc(MOST, sizeof *seconds);
        assert_non_null(seconds);
        ok(program_begin_phase(g, "main", 1, &error), &error);
        advance_all(g, BUDGET, false,
                    &progress); /* software devices translate shaders when these first run */
        printf("%s: the longest segment of the first run %.2f ms\n", e->limits.name, progress.longest * 1e3);
        ok(program_begin_phase(g, "main", REPEAT, &error), &error);
        mzt_status status = MZT_PENDING;
        while (status == MZT_PENDING && count < MOST) {
            double start = clock_seconds();
            status = program_advance(g, BUDGET, &progress, &error);
            seconds[count++] = clock_seconds() - start;
            if (status == MZT_PENDING) ok(program_wait(g, 100 * BUDGET, &error), &error);
        }
        ok(status, &error);
        assert_int_equal(progress.repetitions, REPEAT);
        for (uint32_t n = 0; n < count; n++) {
            within += seconds[n] <= BUDGET * 1e-6 + progress.longest;
            strictly += seconds[n] <= BUDGET * 1e-6;
        }
        qsort(seconds, count, sizeof *seconds, by_value);
        printf("%s: %u calls, %u segments, the longest %.2f ms; a call takes %.3f ms (median), %.3f ms (99 "
               "%%); %.1f %% "
               "within the budget, %.1f %% within budget and longest segment\n",
               e->limits.name, count, progress.segments, progress.longest * 1e3, seconds[count / 2] * 1e3,
               seconds[count * 99 / 100] * 1e3, 100.0 * strictly / count, 100.0 * within / count);
        assert_true(count > 20);
        assert_true(within >= 0.99 * count);
        free(seconds);
        program_destroy(g);
        executor_destroy(e);
        layers_free(&l);
        vulkan_host_close(&h);
    }
}

/* What is recommended and required is a valid device, and says which queue serves. */
static void test_requirements(void **state) {
    (void)state;
    uint32_t count = 0;
    for (; count < DEVICES && vulkan_host_open(&h, count); count++) {
        const char *names[4] = {NULL};
        uint32_t found = vulkan_instance_needs(h.instance->loader.get, names, 4);
        assert_true(found == 0 || strcmp(names[0], "VK_KHR_portability_enumeration") == 0);
        assert_int_equal(vulkan_instance_needs(h.instance->loader.get, NULL, 0), found);
        assert_true(h.needs.required_count + h.needs.recommended_count < 4);
        assert_ptr_equal(h.needs.features.pNext, &h.needs.features11);
        vulkan_host_draw(&h, 1);
        vulkan_host_close(&h);
    }
    printf("%u devices\n", count);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requirements), cmocka_unit_test(test_refusals), cmocka_unit_test(test_features),
        cmocka_unit_test(test_slices),       cmocka_unit_test(test_robust),   cmocka_unit_test(test_turns),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
