/* The networks and a short run of each kind of model against what diffusers and transformers computed
 * (tests/golden/README.md), with nothing but this checkout: the weights of most networks are made up here,
 * from the same seed and names as there. Relative error ||out - reference|| / ||reference|| of every output,
 * f32.
 *
 * MZT_TEST_DEVICE names one device ("vulkan:llvmpipe"); without it, cpu-reference and cpu are tested. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pipeline/eval.h"
#include "synthetic.h"
#include "vulkan_env.h"

#define LIMIT 1e-4 /* largest relative error */

enum { SKIPPED = 77 }; /* exit status of a test that could not be made here; ctest knows it */

static base_host host;
static executor *devices[2]; /* opened in main */
static uint32_t device_count;

static void must(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

/* The tensor's values as stored. Free with free(). */
static float *values(const weights_tensor *t) {
    mzt_error error;
    float *out = malloc(t->count * sizeof *out);
    assert_non_null(out);
    must(weights_convert(t, 0, t->count, DTYPE_F32, out, &error), &error);
    return out;
}

static void compare(const char *device, const char *name, const weights_tensor *got,
                    const weights_tensor *expected) {
    assert_int_equal(got->rank, expected->rank);
    for (uint32_t i = 0; i < got->rank; i++)
        assert_int_equal(got->shape[i], expected->shape[i]);
    float *a = values(got), *b = values(expected);
    double difference = 0, norm = 0;
    for (uint64_t i = 0; i < got->count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    free(a);
    free(b);
    const double relative = sqrt(difference / norm);
    print_message("%-14s %-5s %-42s %.2g (limit %.0e)\n", device, name, got->name, relative, LIMIT);
    if (!(relative <= LIMIT)) fail_msg("%s: relative error %.3g", got->name, relative);
}

/* Evaluates one component on the reference file's inputs and compares all `outputs` tensors that come out. */
static void check(const model *m, executor *e, const char *name, const char *component, uint32_t outputs) {
    char reference[600], result[600];
    snprintf(reference, sizeof reference, "%s/tests/golden/%s/reference.safetensors", MZT_SOURCE_DIR, name);
    snprintf(result, sizeof result, "%s/golden-%s-%s.safetensors", MZT_BINARY_DIR, name, e->limits.spec);
    const eval_request request = {
        .component = component, .input = reference, .output = result, .steps = 6, .guidance = 5};
    mzt_error error;
    weights_set *expected, *got;
    must(pipeline_eval(m, e, PRECISION_F32, &request, &error), &error);
    must(weights_open(&host, reference, &expected, &error), &error);
    must(weights_open(&host, result, &got, &error), &error);
    assert_int_equal(weights_count(got), outputs);
    for (uint32_t i = 0; i < outputs; i++) {
        const weights_tensor *t = weights_at(got, i), *other = weights_find(expected, t->name);
        if (!other) fail_msg("%s: no tensor %s", reference, t->name);
        compare(e->limits.spec, name, t, other);
    }
    weights_close(got);
    weights_close(expected);
    remove(result);
}

static void check_model(const char *name) {
    char source[600], folder[600];
    mzt_error error;
    model *m;
    const synthetic_options options = {.type = DTYPE_F32, .seed = 1};
    snprintf(source, sizeof source, "%s/tests/golden/%s", MZT_SOURCE_DIR, name);
    snprintf(folder, sizeof folder, "%s/golden/%s", MZT_BINARY_DIR, name);
    must(synthetic_model_write(&host, source, folder, &options, &error), &error);
    must(model_open(&host, folder, &m, &error), &error);
    for (uint32_t i = 0; i < device_count; i++) {
        executor *e = devices[i];
        check(m, e, name, "text_encoder", 3);
        if (model_is_xl(m)) check(m, e, name, "text_encoder_2", 3);
        check(m, e, name, "unet", 1);
        check(m, e, name, "vae_encoder", 2);
        check(m, e, name, "vae_decoder", 1);
        check(m, e, name, "pipeline", 2);
    }
    model_close(m);
}

/* Convolutions around the transformers, one head count; DDIM. */
static void test_sd1(void **state) {
    (void)state;
    check_model("sd1");
}

/* Linear layers, head counts by level, sizes that do not halve evenly; DPM-Solver++ on Karras sigmas,
 * velocity. */
static void test_sd2(void **state) {
    (void)state;
    check_model("sd2");
}

/* Two text encoders, transformers of several blocks, pooled text and picture sizes; Euler. */
static void test_sdxl(void **state) {
    (void)state;
    check_model("sdxl");
}

static mzt_status open_devices(mzt_error *error) {
    const char *const both[] = {"cpu-reference", "cpu"}, *named = getenv("MZT_TEST_DEVICE");
    for (device_count = 0; device_count < (named ? 1 : 2); device_count++)
        TRY(device_open(&host, named ? named : both[device_count], &devices[device_count], error));
    return MZT_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sd1), cmocka_unit_test(test_sd2),
                                       cmocka_unit_test(test_sdxl)};
    int failed = 1;
    mzt_error error;
    host = host_make(NULL);
    vulkan_env_set();
    mzt_status status = open_devices(&error);
    if (status < 0) {
        fprintf(stderr, "%s\n", error.message);
        if (status == MZT_ERROR_NOT_FOUND && !vulkan_env_required()) failed = SKIPPED;
    } else {
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    }
    for (uint32_t i = 0; i < device_count; i++)
        executor_destroy(devices[i]);
    return failed;
}
