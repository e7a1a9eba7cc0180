/* The whole denoising loop against diffusers: latents after every solver call, for each sampler configuration
 * that the reference models come with, and the decoded picture.
 *
 * MZT_TEST_DEVICE names one device ("vulkan:llvmpipe"); without it, cpu is tested. Vulkan devices that run on
 * the processor are slow: there the first model runs the samplers below that differ in kind and the others
 * one each; MZT_TEST_FULL=1 runs everything. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "pipeline/eval.h"
#include "vulkan_env.h"

/* Largest relative error ||latent - reference|| / ||reference|| after any call, and of the picture. */
static const double limit = 1e-3;

static const char *const samplers[] = {
    "ddim",         "pndm", "lms",      "euler",           "euler_trailing",
    "euler_karras", "heun", "dpmpp_2m", "dpmpp_2m_karras", "unipc"};

/* Three that differ in kind: multistep in the clean estimate, two calls a step over scaled input, predictor
 * and corrector. */
static const char *const few_samplers[] = {"dpmpp_2m", "heun", "unipc"};

static base_host host;
static executor *device;
static mzt_error error;

static void must(mzt_status status) {
    if (status < 0) fail_msg("%s", error.message);
}

static float *values(const weights_set *file, const char *name, uint64_t *count, uint64_t *first) {
    const weights_tensor *t = weights_find(file, name);
    if (!t) fail_msg("no tensor %s", name);
    float *out = malloc(t->count * sizeof *out);
    assert_non_null(out);
    must(weights_convert(t, 0, t->count, DTYPE_F32, out, &error));
    *count = t->count;
    *first = t->shape[0];
    return out;
}

/* The largest relative error over the first dimension. */
static double worst_error(const weights_set *out, const char *out_name, const weights_set *reference,
                          const char *name) {
    uint64_t count, calls, expected_count, expected_calls;
    float *found = values(out, out_name, &count, &calls),
          *expected = values(reference, name, &expected_count, &expected_calls);
    assert_int_equal(count, expected_count);
    assert_int_equal(calls, expected_calls);
    double worst = 0;
    for (uint64_t k = 0; k < calls; k++) {
        double difference = 0, norm = 0;
        for (uint64_t i = k * (count / calls); i < (k + 1) * (count / calls); i++) {
            difference += pow((double)found[i] - expected[i], 2);
            norm += pow(expected[i], 2);
        }
        double relative = sqrt(difference / norm);
        if (!(relative <= worst)) worst = relative; /* also catches NaN */
    }
    free(found);
    free(expected);
    return worst;
}

static void run_sampler(const model *m, const char *folder, const weights_set *reference,
                        const char *sampler) {
    char input[700], config[700], output[700], name[100];
    snprintf(input, sizeof input, "%s/reference.safetensors", folder);
    snprintf(config, sizeof config, "%s/schedulers/%s.json", folder, sampler);
    snprintf(output, sizeof output, "%s/trajectory-%s-%ld.safetensors", MZT_BINARY_DIR, sampler,
             (long)(uintptr_t)&host % 100000);
    const eval_request request = {.component = "pipeline",
                                  .input = input,
                                  .output = output,
                                  .scheduler_config = config,
                                  .steps = 8,
                                  .guidance = 7.5};
    must(pipeline_eval(m, device, PRECISION_F32, &request, &error));
    weights_set *out;
    must(weights_open(&host, output, &out, &error));
    snprintf(name, sizeof name, "pipeline.%s.latents", sampler);
    double latents = worst_error(out, "pipeline.latents", reference, name);
    snprintf(name, sizeof name, "pipeline.%s.image", sampler);
    double picture = worst_error(out, "pipeline.image", reference, name);
    weights_close(out);
    remove(output);
    print_message("  %-16s latents %.2e, picture %.2e, limit %.0e\n", sampler, latents, picture, limit);
    assert_true(latents <= limit);
    assert_true(picture <= limit);
}

static void run_model(const char *name) {
    const char *shared = getenv("MZT_SHARED");
    char folder[600], path[700];
    snprintf(folder, sizeof folder, "%s/reference/%s", shared ? shared : MZT_SOURCE_DIR "/../shared", name);
    snprintf(path, sizeof path, "%s/reference.safetensors", folder);
    if (!file_exists(path)) {
        print_message("%s is absent: skipped\n", path);
        skip();
    }
    print_message("%s on %s\n", name, device->limits.name);
    model *m;
    weights_set *reference;
    must(model_open(&host, folder, &m, &error));
    must(weights_open(&host, path, &reference, &error));
    bool all = !device->limits.driver[0] || getenv("MZT_TEST_FULL");
    size_t few = strcmp(name, "sd1-tiny") == 0 ? sizeof few_samplers / sizeof *few_samplers : 1;
    size_t count = all ? sizeof samplers / sizeof *samplers : few;
    for (size_t i = 0; i < count; i++)
        run_sampler(m, folder, reference, all ? samplers[i] : few_samplers[i]);
    weights_close(reference);
    model_close(m);
}

static void test_sd1(void **state) {
    (void)state;
    run_model("sd1-tiny");
}

static void test_sd2(void **state) {
    (void)state;
    run_model("sd2-tiny");
}

static void test_sdxl(void **state) {
    (void)state;
    run_model("sdxl-tiny");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sd1), cmocka_unit_test(test_sd2),
                                       cmocka_unit_test(test_sdxl)};
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
