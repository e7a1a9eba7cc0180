/* Every op on one device against cpu-reference, on random shapes, for every pair of element types the device
 * runs. The limit of each op stands in the op table. The device is named by MZT_TEST_DEVICE (default cpu);
 * one op alone by the argument; MZT_TEST_CASES sets how many shapes each op and type gets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ops_run.h"
#include "vulkan_env.h"

enum { SKIPPED = 77 }; /* exit status of a test that could not be made here; ctest knows it */

typedef struct fixture {
    executor *device, *reference;
    uint32_t cases;
} fixture;

static fixture devices; /* opened in main, used by every test */

/* What happened to one op. */
typedef struct tally {
    uint32_t run, unsupported, failed;
    double worst[3]; /* by activation type */
} tally;

static void run_case(const fixture *f, const ops_case *c, tally *t) {
    char text[700];
    mzt_error error = {0};
    uint64_t bytes = ops_output_bytes(c);
    void *expected = calloc(1, (size_t)bytes), *out = calloc(1, (size_t)bytes);
    assert_non_null(expected);
    assert_non_null(out);
    if (c->elements[op_get(c->op)->output] == 0) {
        print_message("%s: no valid parameters\n", ops_case_describe(c, text, sizeof text));
        t->failed++;
    } else if (ops_run(f->reference, c, 0, NULL, expected, &error) < 0) {
        print_message("%s: cpu-reference: %s\n", ops_case_describe(c, text, sizeof text), error.message);
        t->failed++;
    } else if (ops_run(f->device, c, 0, NULL, out, &error) < 0) {
        if (error.status == MZT_ERROR_UNSUPPORTED) {
            t->unsupported++;
        } else {
            print_message("%s: %s\n", ops_case_describe(c, text, sizeof text), error.message);
            t->failed++;
        }
    } else {
        double distance = ops_compare(c, out, expected);
        t->run++;
        if (distance > t->worst[c->activation]) t->worst[c->activation] = distance;
        if (!(distance <= ops_limit(c))) {
            print_message("%s: error %.3g, limit %.3g\n", ops_case_describe(c, text, sizeof text), distance,
                          ops_limit(c));
            t->failed++;
        }
    }
    free(expected);
    free(out);
}

/* Types that the device says it has must work for every op; other pairs may be refused, but only as a whole.
 */
static bool must_run(const fixture *f, dtype activation, dtype weight) {
    const executor_limits *limits = &f->device->limits;
    if (activation != weight && dtype_block(weight) == 1) return false;
    return activation == DTYPE_F32 || (activation == DTYPE_F16 && limits->f16) ||
           (activation == DTYPE_BF16 && limits->bf16);
}

static bool has_weight(op o) {
    const op_info *info = op_get(o);
    for (uint32_t i = 0; i < info->binding_count; i++)
        if (info->bindings[i].class_ == OP_CLASS_WEIGHT || info->bindings[i].class_ == OP_CLASS_MATRIX)
            return true;
    return false;
}

static bool has_matrix(op o) {
    const op_info *info = op_get(o);
    for (uint32_t i = 0; i < info->binding_count; i++)
        if (info->bindings[i].class_ == OP_CLASS_MATRIX) return true;
    return false;
}

static void test_op(void **state) {
    op o = *(const op *)*state;
    const fixture *f = &devices;
    tally total = {0};
    static const dtype weights[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8, DTYPE_Q4};
    for (int pair = 0; pair < 15; pair++) {
        dtype activation = (dtype)(pair / 5), weight = weights[pair % 5];
        if (!has_weight(o) && activation != weight) continue;
        if (!has_matrix(o) && dtype_block(weight) > 1) continue;
        tally t = {0};
        for (uint32_t i = 0; i < f->cases; i++) {
            ops_case c;
            ops_case_make(o, i, activation, weight, &c);
            run_case(f, &c, &t);
        }
        if (t.unsupported && (t.run || must_run(f, activation, weight))) {
            print_message("%s: %u of %u cases refused with %s activations and %s weights\n", op_get(o)->name,
                          t.unsupported, f->cases, dtype_name(activation), dtype_name(weight));
            t.failed++;
        }
        total.run += t.run;
        total.failed += t.failed;
        for (int i = 0; i < 3; i++)
            total.worst[i] = fmax(total.worst[i], t.worst[i]);
    }
    const double *limit = op_get(o)->limit;
    print_message("%-20s %4u cases   f32 %.1e of %.0e   f16 %.1e of %.0e   bf16 %.1e of %.0e\n",
                  op_get(o)->name, total.run, total.worst[0], limit[0], total.worst[1], limit[1],
                  total.worst[2], limit[2]);
    assert_int_equal(total.failed, 0);
    assert_true(total.run > 0);
}

static mzt_status open_devices(const base_host *host, const char *spec, mzt_error *error) {
    TRY(cpu_reference_create(host, &devices.reference, error));
    return device_open(host, spec, &devices.device, error);
}

int main(int argc, char **argv) {
    static const op ops[] = {
#define OP_VALUE(enumerator, name, params) enumerator,
        OP_LIST(OP_VALUE)};
    static const struct CMUnitTest tests[] = {
#define OP_TEST(enumerator, name, params) {#name, test_op, NULL, NULL, (void *)(uintptr_t)&ops[enumerator]},
        OP_LIST(OP_TEST)};
    const char *spec = getenv("MZT_TEST_DEVICE"), *cases = getenv("MZT_TEST_CASES");
    if (!spec) spec = "cpu";
    devices.cases = cases ? (uint32_t)strtoul(cases, NULL, 10) : 40;
    vulkan_env_set();
    base_host host = host_make(NULL);
    mzt_error error = {0};
    mzt_status status = open_devices(&host, spec, &error);
    int result = 1;
    if (status == MZT_ERROR_NOT_FOUND) {
        printf("skipped: %s\n", error.message);
        result = SKIPPED;
    } else if (status < 0) {
        printf("%s\n", error.message);
    } else {
        printf("%s\n", devices.device->limits.name);
        if (argc > 1) cmocka_set_test_filter(argv[1]);
        result = cmocka_run_group_tests_name(spec, tests, NULL, NULL);
    }
    executor_destroy(devices.device);
    executor_destroy(devices.reference);
    return result;
}
