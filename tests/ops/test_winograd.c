/* The `cpu` executor computes 3x3 convolutions and their gradients by Winograd's transforms where tiles of 4
 * x 4 fit: against cpu-reference within the limit of every op, over what those transforms treat apart (sides
 * that leave part of a tile, padding, concatenated inputs, circular and upsampled pictures, epilogues, types,
 * channels that leave part of a panel or of a stretch), and with the same bits on any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops_run.h"

enum { COUNTS = 3 };

static executor *reference, *executors[COUNTS]; /* opened in main, used by every test */

static void check(ops_case *c) {
    char text[700];
    mzt_error error = {0};
    if (!ops_case_complete(c)) fail_msg("%s: no valid parameters", ops_case_describe(c, text, sizeof text));
    const uint64_t bytes = ops_output_bytes(c);
    uint8_t *expected = calloc(1, (size_t)bytes), *first = calloc(1, (size_t)bytes),
            *other = calloc(1, (size_t)bytes);
    assert_non_null(expected);
    assert_non_null(first);
    assert_non_null(other);
    if (ops_run(reference, c, 0, NULL, expected, &error) < 0)
        fail_msg("%s: cpu-reference: %s", ops_case_describe(c, text, sizeof text), error.message);
    for (int i = 0; i < COUNTS; i++) {
        if (ops_run(executors[i], c, 0, NULL, i == 0 ? first : other, &error) < 0)
            fail_msg("%s: %s", ops_case_describe(c, text, sizeof text), error.message);
        if (i > 0 && memcmp(first, other, (size_t)bytes) != 0)
            fail_msg("%s: other bits on %s than on %s", ops_case_describe(c, text, sizeof text),
                     executors[i]->limits.name, executors[0]->limits.name);
    }
    const double distance = ops_compare(c, first, expected);
    print_message("%-90.90s %.2g\n", ops_case_describe(c, text, sizeof text), distance);
    if (!(distance <= ops_limit(c)))
        fail_msg("%s: error %.3g, limit %.3g", ops_case_describe(c, text, sizeof text), distance,
                 ops_limit(c));
    free(expected);
    free(first);
    free(other);
}

static ops_case convolution(uint32_t n, uint32_t h, uint32_t w, uint32_t c0, uint32_t c1, uint32_t cout,
                            uint32_t pad, uint32_t flags) {
    const uint32_t scale = flags & CONV_UPSAMPLE2 ? 2 : 1;
    const bool circular = flags & CONV_WRAP_X;
    const uint32_t after = circular || pad ? 1 : 0; /* below and to the right */
    ops_case c = {.op = OP_CONV2D, .activation = DTYPE_F32, .weight = DTYPE_F32, .changing_weights = true};
    conv2d_params *p = &c.params.conv2d;
    *p = (conv2d_params){.n = n,
                         .h = h,
                         .w = w,
                         .c0 = c0,
                         .c1 = c1,
                         .cout = cout,
                         .kh = 3,
                         .kw = 3,
                         .stride = 1,
                         .pad_top = pad,
                         .pad_left = pad,
                         .flags = flags};
    p->oh = h * scale + pad + after - 2;
    p->ow = w * scale + pad + after - 2;
    p->rows = n * p->oh * p->ow;
    if (flags & EPILOGUE_VEC) p->vec_stride = cout + 4;
    return c;
}

static void test_convolutions(void **state) {
    (void)state;
    ops_case cases[] = {
        convolution(3, 8, 8, 32, 0, 48, 1, EPILOGUE_BIAS),
        convolution(32, 4, 4, 40, 0, 33, 1, 0), /* one tile a picture */
        convolution(2, 13, 18, 72, 0, 20, 1, EPILOGUE_BIAS | EPILOGUE_VEC | EPILOGUE_RESIDUAL),
        convolution(2, 15, 14, 24, 72, 65, 1, EPILOGUE_BIAS | EPILOGUE_SILU),
        convolution(1, 16, 16, 16, 16, 16, 1, CONV_WRAP_X | CONV_WRAP_Y),
        convolution(2, 8, 9, 34, 0, 130, 1, CONV_UPSAMPLE2 | EPILOGUE_BIAS),
        convolution(2, 18, 18, 20, 0, 16, 0, EPILOGUE_BIAS), /* no padding */
        convolution(2, 12, 12, 700, 0, 48, 1, 0),            /* longer than a slice */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&cases[i]);
        cases[i].changing_weights = false;
        check(&cases[i]);
    }
}

static void test_types(void **state) {
    static const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    (void)state;
    for (int a = 0; a < 3; a++)
        for (int w = 0; w < 3; w++) {
            ops_case c = convolution(2, 12, 15, 24, 20, 40, 1, EPILOGUE_BIAS);
            c.activation = types[a];
            c.weight = types[w];
            check(&c);
        }
}

/* rows_per_split 0: one split. */
static ops_case gradient(uint32_t n, uint32_t h, uint32_t w, uint32_t channels, uint32_t cout,
                         uint32_t rows_per_split, uint32_t flags) {
    ops_case c = {.op = OP_WEIGHT_GRAD, .activation = DTYPE_F32, .weight = DTYPE_F32};
    c.params.weight_grad =
        (weight_grad_params){.n = n,
                             .h = h,
                             .w = w,
                             .c = channels,
                             .cout = cout,
                             .kh = 3,
                             .kw = 3,
                             .stride = 1,
                             .pad_top = 1,
                             .pad_left = 1,
                             .oh = h,
                             .ow = w,
                             .flags = flags,
                             .splits = rows_per_split ? ceil_div(n * h * w, rows_per_split) : 1,
                             .rows_per_split = rows_per_split ? rows_per_split : n * h * w};
    return c;
}

static void test_gradients(void **state) {
    (void)state;
    ops_case cases[] = {
        gradient(3, 8, 8, 32, 48, 0, 0),
        gradient(32, 4, 4, 40, 33, 0, 0),
        gradient(2, 13, 18, 100, 20, 0, 0),       /* parts of tiles; more channels than a stretch */
        gradient(3, 15, 14, 34, 101, 15 * 14, 0), /* a split a picture */
        gradient(2, 16, 12, 24, 16, 8 * 12, CONV_WRAP_X | CONV_WRAP_Y), /* half a picture */
        gradient(2, 24, 8, 16, 16, 20 * 8, 0), /* splits across pictures, the last is shorter */
        gradient(2, 12, 12, 32, 32, 100, 0),   /* splits that end within a line: the direct way */
        gradient(4, 48, 48, 16, 18, 0, 0),     /* several chunks */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int type = DTYPE_F32; type <= DTYPE_BF16; type++) {
            cases[i].activation = (dtype)type;
            check(&cases[i]);
        }
}

int main(void) {
    static const uint32_t threads[COUNTS] = {1, 2, 5};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_convolutions), cmocka_unit_test(test_types),
                                       cmocka_unit_test(test_gradients)};
    base_host host = host_make(NULL);
    mzt_error error = {0};
    int result = 1;
    bool open = cpu_reference_create(&host, &reference, &error) >= 0;
    for (int i = 0; open && i < COUNTS; i++)
        open = cpu_create(&host, threads[i], &executors[i], &error) >= 0;
    if (open)
        result = cmocka_run_group_tests(tests, NULL, NULL);
    else
        printf("%s\n", error.message);
    for (int i = 0; i < COUNTS; i++)
        executor_destroy(executors[i]);
    executor_destroy(reference);
    return result;
}
