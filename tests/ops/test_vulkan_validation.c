/* Every op on every Vulkan device under the validation layer with synchronization validation: any message
 * fails. The same cases in slices of one launch give the same bits as in one piece. What they compute is
 * judged by ops.ops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops_run.h"
#include "vulkan_fixture.h"

enum { CASES = 4 };

static vulkan_fixture fixture;

static int begin_all(void **state) {
    (void)state;
    vulkan_fixture_begin(&fixture);
    return 0;
}

/* Returns whether the device can run the case. */
static bool run_case(executor *e, const ops_case *c, bool slices) {
    char text[700];
    mzt_error error = {0};
    uint64_t bytes = ops_output_bytes(c);
    void *whole = calloc(1, (size_t)bytes), *sliced = calloc(1, (size_t)bytes);
    assert_non_null(whole);
    assert_non_null(sliced);
    mzt_status status = ops_run(e, c, 0, NULL, whole, &error);
    if (status == MZT_OK && slices) status = ops_run_slices(e, c, 0, NULL, sliced, &error);
    if (status < 0 && status != MZT_ERROR_UNSUPPORTED)
        fail_msg("%s: %s", ops_case_describe(c, text, sizeof text), error.message);
    if (status == MZT_OK && slices && memcmp(whole, sliced, (size_t)bytes) != 0)
        fail_msg("%s: other bits in slices", ops_case_describe(c, text, sizeof text));
    if (fixture.warnings > 0) fail_msg("%s: see the messages above", ops_case_describe(c, text, sizeof text));
    free(whole);
    free(sliced);
    return status == MZT_OK;
}

static void test_ops(void **state) {
    (void)state;
    for (uint32_t i = 0; i < fixture.count && fixture.validation; i++) {
        vulkan_options options = vulkan_fixture_options(&fixture);
        options.max_groups = 64; /* most cases take several launches */
        executor *e = vulkan_fixture_open(&fixture, i, &options);
        for (uint32_t o = 0; o < OP_COUNT; o++) {
            uint32_t run = 0;
            for (uint32_t n = 0; n < CASES; n++) {
                ops_case c;
                dtype type = n % 2 && e->limits.f16 ? DTYPE_F16 : DTYPE_F32;
                ops_case_make((op)o, n, type, type, &c);
                run += run_case(e, &c, n < 2);
            }
            if (run == 0) fail_msg("%s: no case could be run on %s", op_get((op)o)->name, e->limits.name);
        }
        vulkan_fixture_close(&fixture, e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ops)};
    return cmocka_run_group_tests(tests, begin_all, NULL);
}
