/* A network of Stable Diffusion 1.5's size, with random weights: one UNet step with guidance at 512x512 on
 * `cpu`, and one without at 256x256 on `cpu` and on lavapipe, there with bindings of at most 128 MiB, the
 * smallest range that Vulkan promises. Prints seconds and memory; results must be finite, of sane size, and
 * equal on both devices.
 *
 * Takes minutes, 5 GB of memory and 2 GB of disk under the build directory (removed at the end), so it runs
 * only when MZT_SLOW=1. */
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/threads.h"
#include "pipeline/denoise.h"
#include "sample/compile.h"
#include "sample/random.h"
#include "synthetic.h"
#include "vulkan_env.h"

#define FOLDER    MZT_BINARY_DIR "/sd15-shape"
#define MAX_RANGE (128u << 20)
#define LIMIT     1e-3 /* relative error between two devices */

enum { SKIPPED = 77, TOKENS = 77, CHANNELS = 768 };

static base_host host;
static model *sd15;

static void must(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

/* Begins a new peak; Linux only, elsewhere the peak is that of the whole program. */
static void reset_peak(void) {
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* VmHWM: the most memory that was in use, mapped weights included, in MiB; 0 where the system does not say.
 */
static double peak_mib(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];
    double kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0) kib = strtod(line + 6, NULL);
    if (f) fclose(f);
    return kib / 1024;
}

/* No dispatch shows more than MAX_RANGE bytes of a buffer. */
static void check_ranges(const plan *p) {
    uint64_t largest = 0;
    for (uint32_t i = 0; i < p->dispatch_count; i++)
        for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++) {
            const plan_binding *binding = &p->dispatches[i].bindings[b];
            if (binding->buffer != PLAN_NONE && binding->range > largest) largest = binding->range;
        }
    print_message("%u dispatches, largest range %.1f MiB\n", p->dispatch_count, (double)largest / (1 << 20));
    assert_true(largest > 0 && largest <= MAX_RANGE);
}

static float *normals(uint64_t draw, uint64_t count, double scale) {
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    random_normals(1, draw, 0, count, values);
    for (uint64_t i = 0; i < count; i++)
        values[i] = (float)(values[i] * scale);
    return values;
}

/* The first of 20 steps of Euler's method. Returns what the step changed, that is the noise estimate times
 * the difference of two sigmas, [side][side][4]; to be freed. `max_range` 0: the device's own. */
static float *run_step(const char *spec, uint32_t pixels, bool guided, uint64_t max_range) {
    const uint32_t side = pixels / 8, rows = guided ? 2 : 1;
    const uint64_t count = (uint64_t)side * side * 4;
    mzt_error error;
    executor *e;
    must(device_open(&host, spec, &e, &error), &error);
    if (max_range && e->limits.max_range > max_range) e->limits.max_range = max_range;
    sampler_config config = sd15->sampler;
    sampler_program *sampler;
    must(sampler_config_select(&config, "euler", NULL, &error), &error);
    const sampler_request steps = sampler_request_default(20);
    must(sampler_compile(&host, &config, &steps, &sampler, &error), &error);
    float *start = normals(1, count, sampler->init_noise_sigma), *end = malloc(count * sizeof *end);
    float *context = normals(2, (uint64_t)rows * TOKENS * CHANNELS, 1);
    assert_non_null(end);
    const conditioning text = {.rows = rows, .length = TOKENS, .channels = CHANNELS, .context = context};
    const denoise_request request = {.images = 1,
                                     .height = side,
                                     .width = side,
                                     .guided = guided,
                                     .guidance = 7.5,
                                     .sampler = sampler,
                                     .text = &text};
    denoiser d;
    reset_peak();
    const double begun = clock_seconds();
    must(denoiser_create(sd15, e, PRECISION_F32, &request, &d, &error), &error);
    if (max_range) check_ranges(d.network->plan);
    must(denoiser_start(&d, start, NULL, &error), &error);
    const double ready = clock_seconds();
    must(denoiser_run(&d, 1, NULL, &error), &error);
    const double done = clock_seconds();
    must(denoiser_latent(&d, end, &error), &error);
    print_message("%s, %ux%u: ready after %.1f s, one step%s %.1f s; program %.0f MiB, peak %.0f MiB\n",
                  e->limits.name, pixels, pixels, ready - begun, guided ? " with guidance" : "", done - ready,
                  (double)program_memory(d.network->program) / (1 << 20), peak_mib());
    for (uint64_t i = 0; i < count; i++)
        end[i] -= start[i];
    denoiser_destroy(&d);
    sampler_program_destroy(&host, sampler);
    executor_destroy(e);
    free(start);
    free(context);
    return end;
}

/* Finite, and neither vanishing nor overflowing: root mean square. */
static void check_sane(const float *change, uint32_t pixels) {
    const uint64_t count = (uint64_t)pixels / 8 * (pixels / 8) * 4;
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += (double)change[i] * change[i];
    const double rms = sqrt(sum / (double)count);
    print_message("change by one step: %.3g (root mean square)\n", rms);
    assert_true(rms > 0.1 && rms < 1000);
}

static void test_512(void **state) {
    (void)state;
    float *change = run_step("cpu", 512, true, 0);
    check_sane(change, 512);
    free(change);
}

static void test_256_on_two_devices(void **state) {
    (void)state;
    const char *spec = "vulkan:llvmpipe";
    mzt_error error;
    executor *probe;
    if (device_open(&host, spec, &probe, &error) < 0) {
        if (vulkan_env_required()) fail_msg("%s", error.message);
        print_message("skipped: %s\n", error.message);
        skip();
    }
    executor_destroy(probe);
    float *expected = run_step("cpu", 256, false, 0), *got = run_step(spec, 256, false, MAX_RANGE);
    check_sane(expected, 256);
    check_sane(got, 256);
    double difference = 0, norm = 0;
    for (int i = 0; i < 32 * 32 * 4; i++) {
        difference += ((double)got[i] - expected[i]) * ((double)got[i] - expected[i]);
        norm += (double)expected[i] * expected[i];
    }
    const double relative = sqrt(difference / norm);
    print_message("lavapipe against cpu: relative error %.2g (limit %.0e)\n", relative, LIMIT);
    assert_true(relative <= LIMIT);
    free(expected);
    free(got);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static int make_model(void **state) {
    (void)state;
    const synthetic_options options = {.type = DTYPE_F16, .seed = 1};
    mzt_error error;
    mzt_status status = synthetic_model_write(&host, "sd15", FOLDER, &options, &error);
    if (status >= 0) status = model_open(&host, FOLDER, &sd15, &error);
    if (status < 0) fprintf(stderr, "%s\n", error.message);
    return status < 0;
}

static int remove_model(void **state) {
    (void)state;
    model_close(sd15);
    return nftw(FOLDER, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
    const char *slow = getenv("MZT_SLOW");
    if (!slow || strcmp(slow, "1") != 0) {
        printf("skipped: takes minutes; set MZT_SLOW=1\n");
        return SKIPPED;
    }
    vulkan_env_set();
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_512), cmocka_unit_test(test_256_on_two_devices)};
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
