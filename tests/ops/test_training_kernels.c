/* The `cpu` executor gives the same bits whatever the number of threads, so that a training run can be
 * repeated: every op of training, and matrices whose weights change, on one, two and five threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cpu/cpu.h"
#include "ops_run.h"

enum { CASES = 12, COUNTS = 3 };

static executor *executors[COUNTS]; /* opened in main, used by every test */

static void assert_same_bits(const ops_case *c) {
    char text[700];
    mzt_error error = {0};
    uint64_t bytes = ops_output_bytes(c);
    uint8_t *first = calloc(1, (size_t)bytes), *other = calloc(1, (size_t)bytes);
    assert_non_null(first);
    assert_non_null(other);
    for (int i = 0; i < COUNTS; i++) {
        if (ops_run(executors[i], c, 0, NULL, i == 0 ? first : other, &error) < 0)
            fail_msg("%s: %s", ops_case_describe(c, text, sizeof text), error.message);
        if (i > 0 && memcmp(first, other, (size_t)bytes) != 0)
            fail_msg("%s: other bits on %s than on %s", ops_case_describe(c, text, sizeof text),
                     executors[i]->limits.name, executors[0]->limits.name);
    }
    free(first);
    free(other);
}

static void test_threads(void **state) {
    op o = *(const op *)*state;
    ops_case c;
    for (uint32_t i = 1; i <= CASES; i++) {
        ops_case_make(o, i, DTYPE_F32, DTYPE_F32, &c);
        assert_true(c.elements[op_get(o)->output] > 0);
        assert_same_bits(&c);
    }
}

/* Large enough that every number of threads cuts it into other blocks. */
static void test_large(void **state) {
    (void)state;
    ops_case gradient = {.op = OP_WEIGHT_GRAD, .activation = DTYPE_F32, .weight = DTYPE_F32};
    gradient.params.weight_grad = (weight_grad_params){.n = 2,
                                                       .h = 20,
                                                       .w = 20,
                                                       .c = 72,
                                                       .cout = 200,
                                                       .kh = 3,
                                                       .kw = 3,
                                                       .stride = 1,
                                                       .pad_top = 1,
                                                       .pad_left = 1,
                                                       .oh = 20,
                                                       .ow = 20,
                                                       .splits = 2,
                                                       .rows_per_split = 400};
    ops_case linear = {
        .op = OP_LINEAR, .activation = DTYPE_F32, .weight = DTYPE_F32, .changing_weights = true};
    linear.params.linear = (linear_params){.m = 300, .n = 500, .k0 = 400, .rows_per_sample = 300};
    assert_true(ops_case_complete(&gradient));
    assert_true(ops_case_complete(&linear));
    assert_same_bits(&gradient);
    assert_same_bits(&linear);
}

int main(void) {
    static const uint32_t threads[COUNTS] = {1, 2, 5};
    static const op ops[] = {OP_LINEAR,
                             OP_CONV2D,
                             OP_TRANSPOSE_WEIGHT,
                             OP_DILATE,
                             OP_WEIGHT_GRAD,
                             OP_COLUMN_SUM,
                             OP_REDUCE_SUM,
                             OP_UNARY_GRAD,
                             OP_GEGLU_GRAD,
                             OP_LAYER_NORM_GRAD,
                             OP_LAYER_NORM_PARAM_GRAD,
                             OP_GROUP_NORM_GRAD_STATS,
                             OP_GROUP_NORM_GRAD,
                             OP_ATTENTION_STATS,
                             OP_ATTENTION_GRAD,
                             OP_GATHER_ROWS_GRAD,
                             OP_UPSAMPLE_GRAD,
                             OP_LOSS,
                             OP_LOSS_GRAD,
                             OP_SQUARE_SUM,
                             OP_ADAMW,
                             OP_ACCUMULATE};
    enum { OPS = sizeof ops / sizeof *ops };
    struct CMUnitTest tests[OPS + 1] = {cmocka_unit_test(test_large)};
    for (uint32_t i = 0; i < OPS; i++)
        tests[i + 1] =
            (struct CMUnitTest){op_get(ops[i])->name, test_threads, NULL, NULL, (void *)(uintptr_t)&ops[i]};
    base_host host = host_make(NULL);
    mzt_error error = {0};
    int result = 1;
    bool open = true;
    for (int i = 0; open && i < COUNTS; i++)
        open = cpu_create(&host, threads[i], &executors[i], &error) >= 0;
    if (open)
        result = cmocka_run_group_tests(tests, NULL, NULL);
    else
        printf("%s\n", error.message);
    for (int i = 0; i < COUNTS; i++)
        executor_destroy(executors[i]);
    return result;
}
