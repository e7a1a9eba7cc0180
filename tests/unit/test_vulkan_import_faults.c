/* An imported device when things go wrong: lost at every submission and at every wait, every Vulkan call that
 * may fail for lack of memory failing once, every allocation of the host failing once. Always an error value
 * that says so, nothing leaked, nothing broken, and another device works in the same process. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/threads.h"
#include "tiny_plan.h"
#include "vulkan_host.h"

enum { DEVICES = 8, BUDGET = 300, COUNT = 512 };

static vulkan_host h;
static vulkan_host_counts used; /* what had been called when `attempt` began to destroy things */

/* Ops whose shaders software devices translate quickly: y = x + w (a weight), x = 2 y, as a picture of 4
 * channels. */
typedef struct sums {
    tiny_plan plan;
    float data[COUNT], found[COUNT];
} sums;

static void build(sums *s) {
    const uint32_t shape[4] = {1, 8, COUNT / 32, 4};
    tiny_begin(&s->plan, &h.host, DTYPE_F32, DTYPE_F32);
    uint32_t x = tiny_buffer(&s->plan, PLAN_PERSISTENT, DTYPE_F32, COUNT);
    uint32_t w = tiny_buffer(&s->plan, PLAN_WEIGHT, DTYPE_F32, COUNT);
    uint32_t y = tiny_buffer(&s->plan, PLAN_ARENA, DTYPE_F32, COUNT);
    tiny_add(&s->plan, true, 1, x, 1, w, y);
    tiny_unary(&s->plan, true, UNARY_IDENTITY, 2, 0, y, x);
    memcpy(s->plan.buffers[x].shape, shape, sizeof shape);
    for (uint32_t i = 0; i < COUNT; i++)
        s->data[i] = (float)(i % 17) / 16;
}

static mzt_status reset(const sums *s, program *g, mzt_error *error) {
    return program_write(g, 0, 0, s->data, sizeof s->data, error);
}

static mzt_status queue(const sums *s, program *g, mzt_error *error) {
    for (uint32_t i = 0; i < 2; i++)
        TRY(program_queue_write(g, i, 0, s->data, sizeof s->data, error));
    return program_queue_seal(g, error);
}

/* The result must be right whenever there is one. */
static mzt_status read_sums(sums *s, program *g, mzt_error *error) {
    TRY(program_read(g, 0, 0, s->found, sizeof s->found, error));
    for (uint32_t i = 0; i < COUNT; i++)
        if (s->found[i] != 4 * s->data[i])
            return error_set(error, MZT_ERROR_MISMATCH, "element %u is %g", i, (double)s->found[i]);
    return MZT_OK;
}

/* Waits as a host would, but not for ever. */
static mzt_status advance_to_end(program *g, bool prepare, mzt_error *error) {
    mzt_status status = MZT_PENDING;
    for (double start = clock_seconds(); status == MZT_PENDING && clock_seconds() - start < 100;) {
        status = prepare ? program_prepare_advance(g, BUDGET, NULL, error)
                         : program_advance(g, BUDGET, NULL, error);
        if (!prepare && status == MZT_PENDING && program_wait(g, BUDGET_UNLIMITED, error) < 0)
            status = program_advance(g, BUDGET, NULL, error);
    }
    return status == MZT_PENDING ? error_set(error, MZT_ERROR_INTERNAL, "no end in sight") : status;
}

static mzt_status write_picture(executor *e, program *g, const vulkan_host_target *t, mzt_error *error) {
    vulkan_picture_target target = {.buffer = t->buffer,
                                    .format = VK_FORMAT_R8G8B8A8_UNORM,
                                    .from_family = VK_QUEUE_FAMILY_IGNORED,
                                    .to_family = VK_QUEUE_FAMILY_IGNORED};
    mzt_status status = MZT_PENDING;
    TRY(vulkan_program_write_picture(g, 0, &target, error));
    TRY(vulkan_write_rgba8(e, t->mapped, 4, 4, &target, error));
    for (int i = 0; i < 10000 && status == MZT_PENDING; i++) {
        const struct timespec pause = {.tv_nsec = 2000000};
        status = vulkan_pictures_done(e, error);
        if (status == MZT_PENDING) nanosleep(&pause, NULL);
    }
    return status;
}

/* Whatever a user may do, up to the first failure. */
static mzt_status use(executor *e, sums *l, const vulkan_host_target *t, program **g, mzt_error *error) {
    TRY(executor_prepare_begin(e, &l->plan.plan, g, error));
    TRY(queue(l, *g, error));
    TRY(advance_to_end(*g, true, error));
    TRY(program_begin_phase(*g, "main", 1, error));
    TRY(advance_to_end(*g, false, error));
    TRY(reset(l, *g, error));
    TRY(program_run_phase(*g, "main", &(run_control){.repeat = 1}, error));
    TRY(write_picture(e, *g, t, error));
    return read_sums(l, *g, error);
}

/* After a loss everything but destruction says so. */
static void expect_latch(executor *e, sums *l, program *g, const vulkan_host_target *t) {
    mzt_error error;
    program *other = NULL;
    uint32_t submissions = h.counts.submissions;
    assert_int_equal(executor_prepare_begin(e, &l->plan.plan, &other, &error), MZT_ERROR_DEVICE_LOST);
    assert_null(other);
    if (!g || g->broken) return;
    if (g->running) assert_int_equal(program_advance(g, BUDGET, NULL, &error), MZT_ERROR_DEVICE_LOST);
    assert_false(g->running);
    assert_int_equal(reset(l, g, &error), MZT_ERROR_DEVICE_LOST);
    assert_int_equal(read_sums(l, g, &error), MZT_ERROR_DEVICE_LOST);
    assert_int_equal(program_seal(g, &error), MZT_ERROR_DEVICE_LOST);
    assert_int_equal(program_run_phase(g, "main", NULL, &error), MZT_ERROR_DEVICE_LOST);
    assert_int_equal(program_begin_phase(g, "main", 1, &error), MZT_ERROR_DEVICE_LOST);
    vulkan_picture_target target = {.buffer = t->buffer, .format = VK_FORMAT_R8G8B8A8_UNORM};
    assert_int_equal(vulkan_program_write_picture(g, 0, &target, &error), MZT_ERROR_DEVICE_LOST);
    assert_int_equal(vulkan_write_rgba8(e, t->mapped, 4, 4, &target, &error), MZT_ERROR_DEVICE_LOST);
    assert_int_equal(vulkan_pictures_done(e, &error), MZT_ERROR_DEVICE_LOST);
    assert_int_equal(h.counts.submissions, submissions); /* the dead device is left alone */
    assert_non_null(strstr(error.message, "lost"));
}

/* Imports with `host`'s memory, uses everything, and destroys it. */
static mzt_status attempt(const base_host *host, bool staging, mzt_error *error) {
    vulkan_import from = vulkan_host_import(&h);
    vulkan_options options = vulkan_host_options();
    executor *e = NULL;
    program *g = NULL;
    sums l;
    options.force_staging = staging;
    options.staging_bytes = 4096;
    build(&l);
    vulkan_host_target t = vulkan_host_buffer(&h, COUNT);
    mzt_status status = vulkan_executor_import(host, &options, &from, &e, error);
    if (status == MZT_OK) status = use(e, &l, &t, &g, error);
    if (status == MZT_ERROR_DEVICE_LOST) expect_latch(e, &l, g, &t);
    used = h.counts;
    program_destroy(g);
    executor_destroy(e);
    vulkan_host_target_destroy(&h, &t);
    return status;
}

/* Fails at the n-th occasion, for all n. Returns how many there were. */
typedef enum occasion { AT_SUBMIT, AT_WAIT, AT_CALL } occasion;

static uint32_t fail_everywhere(occasion at, bool staging, mzt_status expected) {
    uint32_t failures = 0;
    for (uint32_t n = 1;; n++) {
        mzt_error error = {0};
        h.lose_at_submit = at == AT_SUBMIT ? n : 0;
        h.lose_at_wait = at == AT_WAIT ? n : 0;
        h.fail_at = at == AT_CALL ? n : 0;
        mzt_status status = attempt(&h.host, staging, &error);
        uint32_t occasions = at == AT_SUBMIT ? used.submissions : at == AT_WAIT ? used.waits : used.fallible;
        bool reached = occasions >= n;
        if (reached && status != expected && !(at == AT_CALL && status == MZT_OK))
            fail_msg("failure %u: status %d, expected %d: %s", n, status, expected, error.message);
        if (!reached && status < 0) fail_msg("%s", error.message);
        vulkan_host_renew(&h);
        if (!reached) return failures;
        failures += status != MZT_OK;
    }
}

static void test_loss(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        uint32_t submits = fail_everywhere(AT_SUBMIT, true, MZT_ERROR_DEVICE_LOST);
        uint32_t waits = fail_everywhere(AT_WAIT, true, MZT_ERROR_DEVICE_LOST);
        printf("lost at each of %u submissions and %u waits\n", submits, waits);
        assert_true(submits >= 7 && waits >= 7);
        vulkan_host_close(&h);
    }
}

static void test_device_memory(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        uint32_t mapped = fail_everywhere(AT_CALL, false, MZT_ERROR_OUT_OF_MEMORY);
        uint32_t staged = fail_everywhere(AT_CALL, true, MZT_ERROR_OUT_OF_MEMORY);
        printf("failed at each of %u and %u Vulkan calls\n", mapped, staged);
        assert_true(mapped > 40 && staged > 40);
        vulkan_host_close(&h);
    }
}

static void test_host_memory(void **state) {
    (void)state;
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        uint32_t failures = 0;
        for (long n = 1;; n++) {
            mzt_error error = {0};
            alloc_count counts = {.fail_at = n};
            base_host host = alloc_count_host(&counts);
            mzt_status status = attempt(&host, true, &error);
            vulkan_host_renew(&h);
            assert_int_equal(counts.live, 0);
            if (counts.calls < n) {
                if (status < 0) fail_msg("%s", error.message);
                break;
            }
            if (status != MZT_OK) assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
            failures += status != MZT_OK;
        }
        printf("failed at each of %u allocations\n", failures);
        assert_true(failures > 10);
        vulkan_host_close(&h);
    }
}

/* One device is lost, another works on, and a third is opened afterwards: nothing of the loss is shared. */
static void test_another_device(void **state) {
    (void)state;
    vulkan_options options = vulkan_options_default();
    mzt_error error;
    options.cache_directory = "";
    for (uint32_t i = 0; i < DEVICES && vulkan_host_open(&h, i); i++) {
        executor *alive = NULL, *after = NULL;
        program *g = NULL;
        sums l;
        build(&l);
        if (vulkan_open(&h.host, &options, 0, &alive, &error) < 0) fail_msg("%s", error.message);
        h.lose_at_submit = 5;
        assert_int_equal(attempt(&h.host, true, &error), MZT_ERROR_DEVICE_LOST);
        if (vulkan_open(&h.host, &options, 0, &after, &error) < 0) fail_msg("%s", error.message);
        for (int n = 0; n < 2; n++) {
            mzt_status status = executor_prepare(n ? alive : after, &l.plan.plan, &g, &error);
            if (status == MZT_OK) status = queue(&l, g, &error);
            if (status == MZT_OK) status = program_run_phase(g, "main", NULL, &error);
            if (status == MZT_OK) status = read_sums(&l, g, &error);
            if (status < 0) fail_msg("%s", error.message);
            program_destroy(g);
        }
        executor_destroy(alive);
        executor_destroy(after);
        vulkan_host_close(&h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_device_memory),
        cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_another_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
