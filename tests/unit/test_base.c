/* Base layer: half-precision conversions against a search over all halves, overflow checks, worker pool, files. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/dtype.h"
#include "base/file.h"
#include "base/threads.h"

/* Every finite half survives the round trip, and each midpoint between neighbours goes to the even one. */
static void test_f16(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 0x7c00; bits++) {
        float value = f32_from_f16((uint16_t)bits);
        assert_int_equal(f16_from_f32(value), bits);
        assert_int_equal(f16_from_f32(-value), bits | 0x8000u);
        if (bits + 1 < 0x7c00) {
            float middle = (value + f32_from_f16((uint16_t)(bits + 1))) * 0.5f;
            assert_int_equal(f16_from_f32(middle), bits + (bits & 1));
            assert_int_equal(f16_from_f32(nextafterf(middle, 1e9f)), bits + 1);
        }
    }
    assert_int_equal(f16_from_f32(65519.99f), 0x7bff);
    assert_int_equal(f16_from_f32(65520.0f), 0x7c00);
    assert_true(isnan(f32_from_f16(f16_from_f32(NAN))));
}

static void test_bf16(void **state) {
    (void)state;
    assert_int_equal(bf16_from_f32(1.0f), 0x3f80);
    assert_int_equal(bf16_from_f32(1.00390625f), 0x3f80); /* halfway, even */
    assert_int_equal(bf16_from_f32(1.01171875f), 0x3f82); /* halfway, odd */
    assert_true(isnan(f32_from_bf16(bf16_from_f32(NAN))));
}

static void test_sizes(void **state) {
    (void)state;
    uint64_t result = 7;
    assert_false(size_mul(UINT64_MAX / 2, 3, &result));
    assert_false(size_add(UINT64_MAX, 1, &result));
    assert_int_equal(result, 7);
    base_host host = host_make(NULL);
    assert_null(host_calloc(&host, SIZE_MAX / 2, 3));
}

static void add_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    uint64_t *sums = argument;
    for (uint64_t i = first; i < last; i++) sums[worker] += i;
}

static void test_threads(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    thread_pool *pool;
    mzt_error error;
    assert_int_equal(thread_pool_create(&host, 4, &pool, &error), MZT_OK);
    for (uint64_t count = 0; count < 300; count++) {
        uint64_t sums[4] = {0}, total = 0;
        thread_pool_for(pool, count, 1, add_range, sums);
        for (int i = 0; i < 4; i++) total += sums[i];
        assert_int_equal(total, count ? count * (count - 1) / 2 : 0);
    }
    thread_pool_destroy(pool);
}

static void test_files(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    const char *path = MZT_BINARY_DIR "/test_base_file";
    assert_int_equal(file_write(&host, path, "plate", 5, &error), MZT_OK);
    char *text;
    uint64_t size;
    assert_int_equal(file_read(&host, path, 100, &text, &size, &error), MZT_OK);
    assert_string_equal(text, "plate");
    host_free(&host, text);
    assert_int_equal(file_read(&host, path, 4, &text, &size, &error), MZT_ERROR_FORMAT);
    file_writer *writer;
    assert_int_equal(file_writer_open(&host, path, &writer, &error), MZT_OK);
    assert_int_equal(file_writer_write(writer, "burr", 4, &error), MZT_OK);
    file_writer_abandon(writer);
    file_mapping mapping;
    assert_int_equal(file_map(path, &mapping, &error), MZT_OK);
    assert_memory_equal(mapping.data, "plate", 5);
    file_unmap(&mapping);
    remove(path);
    assert_int_equal(file_map(path, &mapping, &error), MZT_ERROR_NOT_FOUND);
    assert_int_equal(file_write(&host, "/nonexistent/x", "", 0, &error), MZT_ERROR_IO);
}

/* A pipe that nobody writes to is refused at once; the alarm ends the program if opening it waits. */
static void test_pipe(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    file_mapping mapping;
    char *text;
    uint64_t size;
    const char *path = MZT_BINARY_DIR "/test_base_pipe";
    remove(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10);
    assert_int_equal(file_map(path, &mapping, &error), MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "not a regular file"));
    assert_int_equal(file_read(&host, path, 100, &text, &size, &error), MZT_ERROR_INVALID);
    alarm(0);
    remove(path);
}

/* Files get the permissions that the umask leaves, and two writers of one path do not meet: the last commit stands. */
static void test_writers(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    const char *path = MZT_BINARY_DIR "/test_base_writers";
    file_writer *first, *second;
    const mode_t before = umask(027);
    assert_int_equal(file_writer_open(&host, path, &first, &error), MZT_OK);
    assert_int_equal(file_writer_open(&host, path, &second, &error), MZT_OK);
    assert_int_equal(file_writer_write(second, "second", 6, &error), MZT_OK);
    assert_int_equal(file_writer_write(first, "first", 5, &error), MZT_OK);
    assert_int_equal(file_writer_commit(second, &error), MZT_OK);
    assert_int_equal(file_writer_commit(first, &error), MZT_OK);
    umask(before);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(info.st_size, 5);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f16), cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_sizes), cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_pipe), cmocka_unit_test(test_writers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
