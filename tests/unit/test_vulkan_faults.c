/* The Vulkan executor when things go wrong: device loss at every submission, every host allocation failing,
 * no memory on the device, damaged pipeline caches, devices that do not exist; and that validation, on which
 * the other tests rely, does see a missing barrier. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/file.h"
#include "tiny_plan.h"
#include "vulkan_fixture.h"

static vulkan_fixture fixture;

static int begin_all(void **state) {
    (void)state;
    vulkan_fixture_begin(&fixture);
    return 0;
}

static void ok(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

enum { COUNT = 1000 };

/* b2 = b0 + b1 (a weight); b3 = 2 b2. */
static void build_sum(tiny_plan *t, const base_host *host, bool barrier) {
    tiny_begin(t, host, DTYPE_F32, DTYPE_F32);
    tiny_buffer(t, PLAN_PERSISTENT, DTYPE_F32, COUNT);
    tiny_buffer(t, PLAN_WEIGHT, DTYPE_F32, COUNT);
    tiny_buffer(t, PLAN_ARENA, DTYPE_F32, COUNT);
    tiny_buffer(t, PLAN_PERSISTENT, DTYPE_F32, COUNT);
    tiny_add(t, true, 1, 0, 1, 1, 2);
    tiny_unary(t, barrier, UNARY_IDENTITY, 2, 0, 2, 3);
}

/* Everything a user does, up to the first failure. */
static mzt_status use(executor *e, const plan *p, mzt_error *error) {
    static float ones[COUNT], found[COUNT];
    program *g = NULL;
    for (uint32_t i = 0; i < COUNT; i++)
        ones[i] = 1;
    mzt_status status = executor_prepare(e, p, &g, error);
    for (uint32_t i = 0; i < 2 && status == MZT_OK; i++)
        status = program_write(g, i, 0, ones, sizeof ones, error);
    if (status == MZT_OK) status = program_seal(g, error);
    for (uint32_t i = 0; i < 2 && status == MZT_OK; i++)
        status = program_run_phase(g, "main", &(run_control){.repeat = 2}, error);
    if (status == MZT_OK) status = program_read(g, 3, 0, found, sizeof found, error);
    for (uint32_t i = 0; i < COUNT && status == MZT_OK; i++)
        if (found[i] != 4)
            status = error_set(error, MZT_ERROR_MISMATCH, "element %u is %g, not 4", i, found[i]);
    if (status == MZT_ERROR_DEVICE_LOST && g) { /* latched */
        assert_int_equal(program_write(g, 0, 0, ones, 4, NULL), MZT_ERROR_DEVICE_LOST);
        assert_int_equal(program_read(g, 0, 0, found, 4, NULL), MZT_ERROR_DEVICE_LOST);
        assert_int_equal(program_seal(g, NULL), MZT_ERROR_DEVICE_LOST);
        assert_int_equal(program_run_phase(g, "main", NULL, NULL), MZT_ERROR_DEVICE_LOST);
        program *other;
        assert_int_equal(executor_prepare(e, p, &other, NULL), MZT_ERROR_DEVICE_LOST);
        assert_null(other);
    }
    program_destroy(g);
    return status;
}

static void test_device_loss(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        uint32_t lost = 0;
        for (uint32_t n = 1;; n++) {
            vulkan_options options = vulkan_fixture_options(&fixture);
            options.force_staging = true;
            options.staging_bytes = 4096;
            options.segment_seconds = 1e-9;
            options.max_groups = 8;
            options.lose_after = n;
            tiny_plan t;
            mzt_error error;
            executor *e = vulkan_fixture_open(&fixture, i, &options);
            build_sum(&t, e->host, true);
            mzt_status status = use(e, &t.plan, &error);
            bool done = vulkan_submission_count(e) < n;
            vulkan_fixture_close(&fixture, e);
            if (done) {
                ok(status, &error);
                break;
            }
            assert_int_equal(status, MZT_ERROR_DEVICE_LOST);
            lost++;
        }
        assert_true(lost > 8);
    }
}

/* Every allocation of the host fails once: always a clean OUT_OF_MEMORY (or success, where it was only for a
 * log line or a cache), and nothing is leaked. */
static void test_host_memory(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        uint32_t failures = 0;
        for (long n = 1;; n++) {
            alloc_count counts = {.fail_at = n};
            base_host host = alloc_count_host(&counts);
            vulkan_options options = vulkan_fixture_options(&fixture);
            options.validation = false;
            tiny_plan t;
            mzt_error error;
            executor *e = NULL;
            mzt_status status = vulkan_open(&host, &options, i, &e, &error);
            build_sum(&t, &host, true);
            if (status == MZT_OK) status = use(e, &t.plan, &error);
            executor_destroy(e);
            assert_int_equal(counts.live, 0);
            if (counts.calls < n) {
                ok(status, &error);
                break;
            }
            if (status != MZT_OK) assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
            failures += status != MZT_OK;
        }
        assert_true(failures > 10);
    }
}

static void test_device_memory(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        uint64_t base, used, peak;
        mzt_error error;
        tiny_plan t;
        vulkan_options options = vulkan_fixture_options(&fixture);
        options.memory_limit = 8192; /* the dummy, arena or weights, but not both */
        executor *e = vulkan_fixture_open(&fixture, i, &options);
        build_sum(&t, e->host, true);
        vulkan_memory_totals(e, &base, NULL);
        for (uint32_t round = 0; round < 2; round++) {
            assert_int_equal(use(e, &t.plan, &error), MZT_ERROR_OUT_OF_MEMORY);
            assert_non_null(strstr(error.message, "arena of"));
            vulkan_memory_totals(e, &used, &peak);
            assert_true(used == base && peak <= options.memory_limit);
        }
        vulkan_fixture_close(&fixture, e);

        options.memory_limit = 0;
        options.max_allocation = 2048;
        e = vulkan_fixture_open(&fixture, i, &options);
        assert_int_equal(use(e, &t.plan, &error), MZT_ERROR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "2048 at most"));
        vulkan_memory_totals(e, &used, NULL);
        assert_true(used == base);
        vulkan_fixture_close(&fixture, e);
    }
}

/* The only file in a folder, as a fresh string; NULL: there is none. */
static char *only_file(const char *folder) {
    DIR *directory = opendir(folder);
    char *path = NULL;
    if (!directory) return NULL;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        assert_null(path);
        path = path_join(&fixture.host, folder, entry->d_name);
    }
    closedir(directory);
    return path;
}

static void run_cached(uint32_t device, const char *folder) {
    vulkan_options options = vulkan_fixture_options(&fixture);
    options.cache_directory = folder;
    tiny_plan t;
    mzt_error error;
    executor *e = vulkan_fixture_open(&fixture, device, &options);
    build_sum(&t, e->host, true);
    ok(use(e, &t.plan, &error), &error);
    vulkan_fixture_close(&fixture, e);
}

/* A cache file is made, read again, and replaced where it is damaged anywhere or belongs to something else.
 */
static void test_cache(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count; i++) {
        char base[] = "/tmp/mezzotint-cache-XXXXXX", folder[64];
        mzt_error error;
        assert_non_null(mkdtemp(base));
        snprintf(folder, sizeof folder, "%s/a/b", base);
        run_cached(i, folder);
        char *path = only_file(folder), *good, *bad;
        uint64_t size, size_now;
        assert_non_null(path);
        ok(file_read(&fixture.host, path, 1 << 24, &good, &size, &error), &error);
        run_cached(i, folder);
        for (uint32_t damage = 0; damage < 6; damage++) {
            bad = malloc((size_t)size + 1);
            assert_non_null(bad);
            memcpy(bad, good, (size_t)size);
            uint64_t length = damage == 4 ? 10 : damage == 5 ? size - 1 : size;
            if (damage < 4) bad[damage * (size - 1) / 3] ^= 0x10;
            ok(file_write(&fixture.host, path, bad, length, &error), &error);
            free(bad);
            run_cached(i, folder);
            ok(file_read(&fixture.host, path, 1 << 24, &bad, &size_now, &error), &error);
            assert_int_equal(size_now, size); /* written anew, whole */
            host_free(&fixture.host, bad);
        }
        host_free(&fixture.host, good);
        assert_int_equal(unlink(path), 0);
        host_free(&fixture.host, path);
        assert_int_equal(rmdir(folder), 0);
        snprintf(folder, sizeof folder, "%s/a", base);
        assert_int_equal(rmdir(folder), 0);
        assert_int_equal(rmdir(base), 0);
    }
}

/* Without a barrier the layer must report a hazard; otherwise the other tests would prove nothing. */
static void test_validation_sees(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count && fixture.validation; i++) {
        vulkan_options options = vulkan_fixture_options(&fixture);
        tiny_plan t;
        executor *e = vulkan_fixture_open(&fixture, i, &options);
        build_sum(&t, e->host, false);
        use(e, &t.plan, NULL);
        assert_true(vulkan_validation_count(e) > 0);
        assert_int_equal(fixture.warnings, vulkan_validation_count(e));
        executor_destroy(e);
        fixture.warnings = 0;
    }
}

static void expect_device(const char *spec, const char *name) {
    executor *e = NULL;
    mzt_error error;
    ok(device_open(&fixture.host, spec, &e, &error), &error);
    if (!strstr(e->limits.name, name) && strcmp(e->limits.spec, name) != 0)
        fail_msg("%s opened %s (%s), not %s", spec, e->limits.spec, e->limits.name, name);
    executor_destroy(e);
}

static void expect_nothing(const char *spec, const char *reason) {
    executor *e = NULL;
    mzt_error error;
    assert_int_equal(device_open(&fixture.host, spec, &e, &error), MZT_ERROR_NOT_FOUND);
    assert_null(e);
    if (!strstr(error.message, reason)) fail_msg("%s: %s", spec, error.message);
}

static void test_spelling(void **state) {
    (void)state;
    executor_limits list[16];
    uint32_t count;
    mzt_error error;
    bool gpu = false;
    ok(device_list(&fixture.host, list, 16, &count, &error), &error);
    assert_int_equal(count, fixture.count + 2);
    assert_string_equal(list[0].spec, "cpu");
    assert_string_equal(list[1].spec, "cpu-reference");
    expect_device("cpu", "cpu");
    expect_device("cpu-reference", "cpu-reference");
    for (uint32_t i = 0; i < fixture.count; i++) {
        char spec[300];
        assert_string_equal(list[i + 2].spec, fixture.devices[i].spec);
        expect_device(list[i + 2].spec, list[i + 2].name);
        snprintf(spec, sizeof spec, "vulkan:%s", list[i + 2].name);
        for (char *c = spec + 7; *c; c++)
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
        expect_device(spec, list[i + 2].name);
        gpu = gpu || list[i + 2].is_gpu;
    }
    if (!gpu) expect_device("auto", "cpu");
    if (fixture.count > 0) expect_device("vulkan", "");
    static const char *const wrong[] = {"",        "CPU", "vulkan:", "vulkan:99", "vulkan:no such name",
                                        "vulkanx", "gpu"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_nothing(wrong[i], "cpu-reference");
    ok(device_list(&fixture.host, list, 1, &count, &error), &error);
    assert_int_equal(count, fixture.count + 2);
}

/* No driver at all: the processors remain. Last, since it changes the environment. */
static void test_no_driver(void **state) {
    (void)state;
    executor_limits list[4];
    uint32_t count;
    mzt_error error;
    setenv("VK_DRIVER_FILES", "/nonexistent.json", 1);
    setenv("VK_ICD_FILENAMES", "/nonexistent.json", 1);
    ok(device_list(&fixture.host, list, 4, &count, &error), &error);
    assert_int_equal(count, 2);
    expect_device("auto", "cpu");
    expect_nothing("vulkan", "cpu-reference");
    executor *e;
    assert_int_equal(vulkan_open(&fixture.host, NULL, 0, &e, &error), MZT_ERROR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_validation_sees), cmocka_unit_test(test_device_loss),
        cmocka_unit_test(test_host_memory),     cmocka_unit_test(test_device_memory),
        cmocka_unit_test(test_cache),           cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_no_driver),
    };
    return cmocka_run_group_tests(tests, begin_all, NULL);
}
