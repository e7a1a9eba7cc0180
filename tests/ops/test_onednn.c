/* Linear layers and convolutions by way of oneDNN, which `cpu` itself takes only for bf16 on processors with
 * matrix units: here in f32, on any processor, against cpu-reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cpu/fast.h"
#include "ops_run.h"

static void check_cases(op o, executor *device, executor *reference) {
    double worst = 0;
    for (uint32_t i = 0; i < 80; i++) {
        ops_case c;
        char text[700];
        mzt_error error = {0};
        ops_case_make(o, i, DTYPE_F32, DTYPE_F32, &c);
        uint64_t bytes = ops_case_bytes(&c, op_get(o)->output);
        void *expected = calloc(1, bytes), *out = calloc(1, bytes);
        assert_non_null(expected);
        assert_non_null(out);
        if (ops_run(reference, &c, 0, NULL, expected, &error) < 0 ||
            ops_run(device, &c, 0, NULL, out, &error) < 0)
            fail_msg("%s: %s", ops_case_describe(&c, text, sizeof text), error.message);
        double distance = ops_compare(&c, out, expected);
        if (!(distance <= ops_limit(&c)))
            fail_msg("%s: error %.3g, limit %.3g", ops_case_describe(&c, text, sizeof text), distance,
                     ops_limit(&c));
        if (distance > worst) worst = distance;
        free(expected);
        free(out);
    }
    print_message("%s by oneDNN: worst error %.2g\n", op_get(o)->name, worst);
}

static void test_matrices(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    executor *device, *reference;
    assert_int_equal(cpu_create_native(&host, 2, DTYPE_F32, &device, &error), MZT_OK);
    assert_int_equal(cpu_reference_create(&host, &reference, &error), MZT_OK);
    check_cases(OP_LINEAR, device, reference);
    check_cases(OP_CONV2D, device, reference);
    executor_destroy(device);
    executor_destroy(reference);
}

/* A 2x2 filter over one row of two concatenated channels, of which the second is used: the path that every
 * case above takes. */
static void test_convolution(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    onednn *o = onednn_create(&host, 1);
    assert_non_null(o);
    onednn_shape shape = {.n = 1,
                          .h = 2,
                          .w = 2,
                          .c = 1,
                          .cout = 1,
                          .kh = 2,
                          .kw = 2,
                          .stride = 1,
                          .oh = 2,
                          .ow = 2, /* one row and one column of padding after */
                          .weight_stride = 2,
                          .weight_offset = 1,
                          .accumulate = true};
    float weights[] = {9, 1, 9, 10, 9, 100, 9, 1000}, source[] = {1, 2, 3, 4}, sums[] = {0.5f, 0, 0, 0};
    onednn_conv *conv = onednn_conv_create(o, &shape, weights);
    assert_non_null(conv);
    assert_true(onednn_conv_run(conv, source, sums));
    float expected[] = {4321.5f, 402, 43, 4};
    for (int i = 0; i < 4; i++)
        assert_true(sums[i] == expected[i]);
    onednn_conv_destroy(conv);
    onednn_destroy(o);
}

/* More than a tenth of a GFLOP/s however slow and busy the machine, and less than any processor's. */
static void test_peak(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    executor *device;
    assert_int_equal(cpu_create(&host, 1, &device, &error), MZT_OK);
    const double peak = executor_peak(device);
    print_message("best of oneDNN on one thread: %.1f GFLOP/s\n", peak / 1e9);
    assert_true(peak > 1e8 && peak < 1e14);
    executor_destroy(device);
}

int main(void) {
    base_host host = host_make(NULL);
    onednn *o = onednn_create(&host, 1);
    if (!o) {
        printf("skipped: built without oneDNN\n");
        return 0;
    }
    onednn_destroy(o);
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_convolution),
                                              cmocka_unit_test(test_matrices), cmocka_unit_test(test_peak)};
    return cmocka_run_group_tests_name("onednn", tests, NULL, NULL);
}
