/* Validation passes on every device, and fails, naming the node, when a node is spoiled on purpose. Runs on
 * the reference models, or where they are absent on nothing else: the model that ships has its own check.
 *
 * MZT_TEST_DEVICE names one device ("vulkan:llvmpipe"); without it, cpu is tested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "pipeline/validate.h"
#include "vulkan_env.h"

static base_host host;
static executor *device;
static mzt_error error;

static void must(mzt_status status) {
    if (status < 0) fail_msg("%s", error.message);
}

static model *open_model(const char *name) {
    const char *shared = getenv("MZT_SHARED");
    char folder[600];
    snprintf(folder, sizeof folder, "%s/reference/%s", shared ? shared : MZT_SOURCE_DIR "/../shared", name);
    if (!file_exists(folder)) {
        print_message("%s is absent: skipped\n", folder);
        skip();
    }
    model *m;
    must(model_open(&host, folder, &m, &error));
    return m;
}

static void validate(const char *name, precision p) {
    model *m = open_model(name);
    const validate_request request = {0};
    validate_summary summary;
    must(validate_model(m, device, p, &request, &summary, &error));
    print_message("%s on %s: %u checks, %u failed\n", name, device->limits.name, summary.rows,
                  summary.failed);
    if (summary.failed)
        fail_msg("%s: node %s (%s): error %.2e, limit %.1e", summary.first_component, summary.first_node,
                 summary.first_op, summary.first_error, summary.first_limit);
    assert_true(summary.rows > 300);
    model_close(m);
}

static void test_sd1(void **state) {
    (void)state;
    validate("sd1-tiny", PRECISION_F32);
}

static void test_sd2(void **state) {
    (void)state;
    validate("sd2-tiny", PRECISION_F32);
}

static void test_sdxl(void **state) {
    (void)state;
    validate("sdxl-tiny", PRECISION_F32);
}

static void test_half(void **state) {
    (void)state;
    if (!device->limits.f16) {
        print_message("%s cannot store f16: skipped\n", device->limits.name);
        skip();
    }
    validate("sd1-tiny", PRECISION_F16);
}

/* A spoiled node is the first that fails, by name. */
static void test_perturb(void **state) {
    (void)state;
    static const char *const nodes[] = {"down_blocks.1.resnets.0.conv1",
                                        "mid_block.attentions.0.transformer_blocks.0.attn1.attention",
                                        "decoder.mid_block.resnets.1.conv2"};
    model *m = open_model("sd1-tiny");
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        const validate_request request = {.perturb = nodes[i]};
        validate_summary summary;
        must(validate_model(m, device, PRECISION_F32, &request, &summary, &error));
        assert_true(summary.failed >= 1);
        assert_string_equal(summary.first_node, nodes[i]);
    }
    const validate_request unknown = {.perturb = "no.such.node"};
    validate_summary summary;
    assert_int_equal(validate_model(m, device, PRECISION_F32, &unknown, &summary, &error),
                     MZT_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "no.such.node"));
    model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sd1), cmocka_unit_test(test_sd2),
                                       cmocka_unit_test(test_sdxl), cmocka_unit_test(test_half),
                                       cmocka_unit_test(test_perturb)};
    const char *name = getenv("MZT_TEST_DEVICE");
    host = host_make(NULL);
    vulkan_env_set();
    if (device_open(&host, name ? name : "cpu", &device, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        return vulkan_env_required() ? 1 : 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    executor_destroy(device);
    return failed;
}
