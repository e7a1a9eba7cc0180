/* Gradients of every parameter of a UNet and an autoencoder, and three steps of AdamW, against PyTorch's
 * (training.safetensors of the reference data), through the same path as `mezzotint eval`.
 *
 * MZT_TEST_DEVICE names one device; without it, cpu-reference and cpu are tested. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "pipeline/eval.h"

/* Relative errors, f32. */
#define GRADIENT_LIMIT 1e-3
#define LOSS_LIMIT     1e-4
#define WEIGHT_LIMIT   1e-4

enum { SKIPPED = 77 }; /* exit status of a test that could not be made here; ctest knows it */

static base_host host;

static void must(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

static void reference_folder(char *path, size_t size) {
    const char *shared = getenv("MZT_SHARED");
    snprintf(path, size, "%s/reference/sd1-tiny", shared ? shared : MZT_SOURCE_DIR "/../shared");
}

/* Inputs lie in one file, targets and results in another: both together are what `eval` reads. */
static weights_set *open_reference(char *input, size_t size) {
    char folder[600], path[700];
    mzt_error error;
    weights_set *inputs, *training;
    reference_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/training.safetensors", folder);
    if (!file_exists(path)) {
        print_message("%s is absent: skipped\n", path);
        skip();
    }
    must(weights_open(&host, path, &training, &error), &error);
    snprintf(path, sizeof path, "%s/reference.safetensors", folder);
    must(weights_open(&host, path, &inputs, &error), &error);
    uint32_t count = weights_count(inputs), more = weights_count(training);
    weights_tensor *all = calloc(count + more, sizeof *all);
    assert_non_null(all);
    for (uint32_t i = 0; i < count; i++)
        all[i] = *weights_at(inputs, i);
    for (uint32_t i = 0; i < more; i++)
        all[count + i] = *weights_at(training, i);
    snprintf(input, size, "%s/test_gradients_input.safetensors", MZT_BINARY_DIR);
    must(safetensors_save(&host, input, all, count + more, NULL, 0, &error), &error);
    free(all);
    weights_close(inputs);
    return training;
}

static float *values(const weights_tensor *t) {
    mzt_error error;
    float *out = malloc(t->count * sizeof *out);
    assert_non_null(out);
    must(weights_convert(t, 0, t->count, DTYPE_F32, out, &error), &error);
    return out;
}

static double norm(const float *x, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static bool begins(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Softmax does not change when a constant is added to all scores of a query, so the gradient of a key's bias
 * is zero but for rounding, PyTorch's as well as ours: it is held against the gradient of that layer's
 * weight. 0 for others. */
static double least_norm(const weights_set *reference, const weights_tensor *t) {
    static const char ending[] = "to_k.bias";
    size_t length = strlen(t->name), end = sizeof ending - 1;
    char name[200];
    if (length < end || strcmp(t->name + length - end, ending) != 0) return 0;
    snprintf(name, sizeof name, "%.*sweight", (int)(length - 4), t->name);
    const weights_tensor *weight = weights_find(reference, name);
    assert_non_null(weight);
    float *x = values(weight);
    double size = norm(x, weight->count);
    free(x);
    return size;
}

/* ||found - expected|| / max(||expected||, least). */
static double distance(const weights_tensor *expected, const weights_tensor *found, double least) {
    assert_int_equal(expected->rank, found->rank);
    for (uint32_t i = 0; i < expected->rank; i++)
        assert_int_equal(expected->shape[i], found->shape[i]);
    float *a = values(expected), *b = values(found);
    double size = fmax(norm(a, expected->count), least);
    for (uint64_t i = 0; i < expected->count; i++)
        b[i] -= a[i];
    double result = norm(b, expected->count) / size;
    free(a);
    free(b);
    return result;
}

/* Every reference tensor whose name begins with `prefix`. */
static void compare(const executor *e, const weights_set *reference, const weights_set *results,
                    const char *prefix, double limit) {
    double worst = 0;
    const char *worst_name = "";
    uint32_t count = 0;
    for (uint32_t i = 0; i < weights_count(reference); i++) {
        const weights_tensor *t = weights_at(reference, i), *found;
        if (!begins(t->name, prefix)) continue;
        found = weights_find(results, t->name);
        if (!found) fail_msg("%s was not written", t->name);
        double error = distance(t, found, least_norm(reference, t));
        if (!(error <= limit)) print_message("%s: relative error %.3g\n", t->name, error);
        if (!(error <= worst)) {
            worst = error;
            worst_name = t->name;
        }
        count++;
    }
    print_message("%-13s %-22s %3u tensors, worst %.2g of %.0e (%s)\n", e->limits.spec, prefix, count, worst,
                  limit, worst_name);
    assert_true(count > 0);
    assert_true(worst <= limit);
}

/* One tensor. */
static void compare_one(const executor *e, const weights_set *reference, const weights_set *results,
                        const char *name, double limit) {
    const weights_tensor *t = weights_find(reference, name), *found = weights_find(results, name);
    if (!t || !found) fail_msg("%s is missing", name);
    double error = distance(t, found, 0);
    print_message("%-13s %-22s %.2g of %.0e\n", e->limits.spec, name, error, limit);
    assert_true(error <= limit);
}

static void run_component(executor *e, const char *input, const char *component, weights_set **results) {
    char folder[600], output[700];
    mzt_error error;
    model *m;
    reference_folder(folder, sizeof folder);
    snprintf(output, sizeof output, "%s/test_gradients_output.safetensors", MZT_BINARY_DIR);
    must(model_open(&host, folder, &m, &error), &error);
    eval_request request = {.component = component, .input = input, .output = output};
    must(pipeline_eval(m, e, PRECISION_F32, &request, &error), &error);
    model_close(m);
    must(weights_open(&host, output, results, &error), &error);
    remove(output); /* it stays mapped */
}

static void check_unet(executor *e, const weights_set *reference, const char *input) {
    weights_set *results;
    run_component(e, input, "gradients", &results);
    compare_one(e, reference, results, "train.loss", LOSS_LIMIT);
    compare(e, reference, results, "train.grad.", GRADIENT_LIMIT);
    weights_close(results);
}

static void check_vae(executor *e, const weights_set *reference, const char *input) {
    weights_set *results;
    run_component(e, input, "vae_gradients", &results);
    compare_one(e, reference, results, "train.vae_loss", LOSS_LIMIT);
    compare(e, reference, results, "train.vae_grad.", GRADIENT_LIMIT);
    weights_close(results);
}

static void check_adamw(executor *e, const weights_set *reference, const char *input) {
    weights_set *results;
    run_component(e, input, "adamw", &results);
    compare_one(e, reference, results, "train.adamw_losses", LOSS_LIMIT);
    compare(e, reference, results, "train.adamw.", WEIGHT_LIMIT);
    weights_close(results);
}

typedef void check_function(executor *e, const weights_set *reference, const char *input);

static void on_devices(check_function *check) {
    static const char *const usual[] = {"cpu-reference", "cpu"};
    const char *named = getenv("MZT_TEST_DEVICE");
    char input[700];
    mzt_error error;
    weights_set *reference = open_reference(input, sizeof input);
    for (uint32_t i = 0; i < (named ? 1 : 2); i++) {
        executor *e;
        must(device_open(&host, named ? named : usual[i], &e, &error), &error);
        check(e, reference, input);
        executor_destroy(e);
    }
    weights_close(reference);
    remove(input);
}

static void test_unet(void **state) {
    (void)state;
    on_devices(check_unet);
}

static void test_vae(void **state) {
    (void)state;
    on_devices(check_vae);
}

static void test_adamw(void **state) {
    (void)state;
    on_devices(check_adamw);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unet), cmocka_unit_test(test_vae),
                                       cmocka_unit_test(test_adamw)};
    host = host_make(NULL);
    const char *named = getenv("MZT_TEST_DEVICE");
    mzt_error error;
    executor *e = NULL;
    if (named && device_open(&host, named, &e, &error) == MZT_ERROR_NOT_FOUND) {
        printf("skipped: %s\n", error.message);
        return SKIPPED;
    }
    executor_destroy(e);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
