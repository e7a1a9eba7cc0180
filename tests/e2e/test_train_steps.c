/* Ways to make the same step: one batch; several smaller ones after each other; several processes (through
 * the command and mpirun); blocks computed again. And other arithmetic: f16 with losses that are raised,
 * bf16. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "train_data.h"
#include "train_runs.h"
#include "vulkan_env.h"

enum { STEPS = 12 };

/* Of weights and averages, and of moments, after STEPS steps whose sums were made in another order. Measured:
 * 4e-7 and 2e-6. */
#define WEIGHT_LIMIT 3e-6
#define MOMENT_LIMIT 2e-5

static base_host host;
static mzt_error error;

#define DATA                                                                                                 \
    "\"data\": {\"held_out\": 0, \"flip\": 0.5, \"hue\": 0.5, \"shift\": 0.1, \"scale\": [0.8, 1.2]}, "      \
    "\"log\": {\"sample_minutes\": 0, \"line_seconds\": 0}, "
#define OPTIMIZER "\"optimizer\": {\"learning_rate\": 0.002, \"warmup\": 5, \"steps\": 12"
static const char autoencoder_json[] =
    "{\"resolution\": 16, \"batch\": 4, " DATA OPTIMIZER "}, " TRAIN_RUNS_VAE "}";
static const char denoiser_json[] =
    "{\"resolution\": 16, \"batch\": 4, " DATA OPTIMIZER "}, " TRAIN_RUNS_UNET "}";

static void run(const train_request *request, mzt_status expected) {
    train_result result;
    if (train_here(&host, request, &result, &error) != expected) fail_msg("%s", error.message);
}

/* "run-<name>" beside the folder's output. */
static const char *beside(const train_folders *f, const char *name, char path[400]) {
    snprintf(path, 400, "%s-%s", f->output, name);
    return path;
}

/* A trained autoencoder, where a denoiser is to be trained; and the first run to compare with. */
static void begin(train_folders *f, train_kind kind, train_request *request, char init[400]) {
    train_folders_make(&host, f, autoencoder_json);
    *request =
        (train_request){.kind = TRAIN_AUTOENCODER, .data = f->data, .config = f->config, .output = f->output};
    if (kind == TRAIN_DENOISER) {
        char made[400];
        request->output = beside(f, "autoencoder", made);
        request->steps = 2;
        run(request, MZT_OK);
        snprintf(init, 400, "%s-autoencoder/latest", f->output);
        train_folders_configure(&host, f, denoiser_json);
        *request = (train_request){
            .kind = kind, .data = f->data, .config = f->config, .output = f->output, .init = init};
    }
    run(request, MZT_OK);
}

static void expect_near(const train_folders *f, const char *output, const char *what) {
    const train_difference d = train_states_compare(&host, f->output, output, STEPS);
    print_message("%s: weights %.1e, moments %.1e\n", what, d.weights, d.moments);
    assert_true(d.weights < WEIGHT_LIMIT && d.moments < MOMENT_LIMIT);
}

/* -------------------------------------------------------------------------------------------- several
 * batches --
 */

static void check_accumulated(train_kind kind) {
    train_folders f;
    train_request request;
    char init[400], output[400], stopped[400];
    begin(&f, kind, &request, init);
    request.output = beside(&f, "two", output);
    request.batch = request.accumulate = 2;
    run(&request, MZT_OK);
    expect_near(&f, output, "two batches of 2 against one of 4");
    /* The same, stopped and resumed. */
    request.output = beside(&f, "stopped", stopped);
    request.steps = 5;
    run(&request, MZT_OK);
    request.steps = 0;
    request.resume = true;
    run(&request, MZT_OK);
    assert_true(train_states_compare(&host, output, stopped, STEPS).same);
    /* What was trained with 4 pictures a step does not go on with 2. */
    request.accumulate = 1;
    run(&request, MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "4 pictures a step"));
    train_data_remove(f.root);
}

static void test_accumulated(void **state) {
    (void)state;
    check_accumulated(TRAIN_AUTOENCODER);
    check_accumulated(TRAIN_DENOISER);
}

static void test_recomputed(void **state) {
    (void)state;
    train_folders f;
    train_request request;
    char init[400], output[400];
    for (int kind = 0; kind < 2; kind++) {
        begin(&f, kind ? TRAIN_DENOISER : TRAIN_AUTOENCODER, &request, init);
        request.output = beside(&f, "again", output);
        request.recompute = true;
        run(&request, MZT_OK);
        assert_true(train_states_compare(&host, f.output, output, STEPS).same);
        train_data_remove(f.root);
    }
}

/* ------------------------------------------------------------------------------------------- several
 * processes
 * -- */

/* Runs a command line; its output goes to `text`. Returns the exit status. */
static int shell(const char *line, char *text, size_t size) {
    FILE *p = popen(line, "r");
    assert_non_null(p);
    const size_t length = fread(text, 1, size - 1, p);
    text[length] = '\0';
    char rest[256];
    while (fread(rest, 1, sizeof rest, p) > 0)
        ;
    const int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define COMMAND MZT_BINARY_DIR "/mezzotint"
#define MPIRUN  "timeout 120 mpirun --allow-run-as-root --oversubscribe --bind-to none -n %d "

/* Only a machine without MPI may leave this out. */
static bool can_share(void) {
    char text[4000];
    const bool installed = shell("command -v mpirun >/dev/null 2>&1", text, sizeof text) == 0;
    if (!installed) {
        print_message("mpirun is not installed here\n");
        return false;
    }
    assert_int_equal(shell(COMMAND " --version", text, sizeof text), 0);
    if (!strstr(text, "with MPI")) fail_msg("mpirun is installed, but this was built without MPI");
    return true;
}

static int mpirun(int count, const train_request *r, const char *more, char *text, size_t size) {
    char line[3000];
    snprintf(line, sizeof line,
             MPIRUN COMMAND " train %s --device cpu --data %s --config %s -o %s %s%s %s 2>&1", count,
             r->kind == TRAIN_DENOISER ? "denoiser" : "autoencoder", r->data, r->config, r->output,
             r->init ? "--init " : "", r->init ? r->init : "", more);
    return shell(line, text, size);
}

static uint32_t count_text(const char *text, const char *part) {
    uint32_t count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

static void check_shared(train_kind kind) {
    train_folders f;
    train_request request;
    char init[400], output[400], other[400], text[20000];
    begin(&f, kind, &request, init);
    request.output = beside(&f, "shared", output);
    if (mpirun(2, &request, "", text, sizeof text) != 0) fail_msg("%s", text);
    assert_int_equal(count_text(text, "wrote the checkpoint of step 12"), 1); /* the others are silent */
    expect_near(&f, output, "two processes against one");
    request.output = beside(&f, "repeated", other);
    if (mpirun(2, &request, "--steps 7", text, sizeof text) != 0) fail_msg("%s", text);
    if (mpirun(2, &request, "--resume", text, sizeof text) != 0) fail_msg("%s", text);
    assert_true(train_states_compare(&host, output, other, STEPS).same);
    /* A run may go on with another number of processes: what a step sees stays the same. */
    request.output = beside(&f, "both", other);
    if (mpirun(2, &request, "--steps 6 --batch 2 --accumulate 2", text, sizeof text) != 0)
        fail_msg("%s", text);
    request.resume = true;
    run(&request, MZT_OK);
    expect_near(&f, other, "two processes with two batches each, then one");
    train_data_remove(f.root);
}

static void test_shared(void **state) {
    (void)state;
    if (!can_share()) skip();
    check_shared(TRAIN_AUTOENCODER);
    check_shared(TRAIN_DENOISER);
}

/* One rank's mistake ends all, with one message. */
static void test_shared_mistakes(void **state) {
    (void)state;
    if (!can_share()) skip();
    train_folders f;
    char text[20000], missing[400], output[400];
    train_folders_make(&host, &f, autoencoder_json);
    train_request request = {.kind = TRAIN_AUTOENCODER,
                             .data = f.data,
                             .config = f.config,
                             .output = beside(&f, "shared", output)};
    assert_int_not_equal(mpirun(3, &request, "", text, sizeof text), 0);
    assert_int_equal(count_text(text, "a batch of 4 does not divide among 3 processes"), 1);
    /* Only the second process is told a device that does not exist. */
    assert_int_not_equal(mpirun(2, &request, "--device cpu,nonsense", text, sizeof text), 0);
    assert_int_equal(count_text(text, "mezzotint train: "), 1);
    assert_non_null(strstr(text, "nonsense"));
    snprintf(missing, sizeof missing, "%s/nothing", f.root);
    request.data = missing;
    assert_int_not_equal(mpirun(2, &request, "", text, sizeof text), 0);
    assert_int_equal(count_text(text, "mezzotint train: "), 1);
    train_data_remove(f.root);
}

/* ------------------------------------------------------------------------------------------------- half
 * precision
 * -- */

static const char half_format[] =
    "{\"resolution\": 16, \"batch\": 8, \"precision\": \"%s\", \"data\": {\"held_out\": 0, \"captions\": "
    "\"plain\"}, \"loss\": {\"kl\": 1e-5, \"scales\": 2}, \"log\": {\"sample_minutes\": 0, \"line_seconds\": "
    "0}, "
    "\"optimizer\": {\"learning_rate\": 0.003, \"warmup\": 20, \"steps\": %d, \"ema\": 0.98, "
    "\"weight_decay\": 0, \"loss_scale\": %s, \"loss_scale_steps\": 40}, " TRAIN_RUNS_VAE "}";

static double train_precision(train_folders *f, executor *e, const char *type, int steps, const char *scale,
                              const char *name) {
    char config[2000], output[400];
    train_result result;
    snprintf(config, sizeof config, half_format, type, steps, scale);
    train_folders_configure(&host, f, config);
    const train_request request = {
        .kind = TRAIN_AUTOENCODER, .data = f->data, .config = f->config, .output = beside(f, name, output)};
    if (train_run(&host, e, &request, &result, &error) != MZT_OK) fail_msg("%s: %s", name, error.message);
    return result.loss;
}

/* The last column of a row of log.csv (0: the first below the header). */
static double logged_scale(const train_folders *f, const char *name, uint32_t row) {
    char path[440], output[400], line[1000];
    snprintf(path, sizeof path, "%s/log.csv", beside(f, name, output));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (uint32_t i = 0; i < row + 2; i++)
        if (!fgets(line, sizeof line, file)) fail_msg("%s: no row %u", path, (unsigned)row);
    fclose(file);
    const char *comma = strrchr(line, ',');
    assert_non_null(comma);
    return strtod(comma + 1, NULL);
}

/* Learned by heart in f16 and bf16 as in f32. */
static void test_half(void **state) {
    (void)state;
    enum { LONG = 150 };
    train_folders f;
    executor *e;
    train_folders_make(&host, &f, autoencoder_json);
    assert_int_equal(cpu_create(&host, 2, &e, &error), MZT_OK);
    const double f32 = train_precision(&f, e, "f32", LONG, "65536", "f32"),
                 f16 = train_precision(&f, e, "f16", LONG, "65536", "f16"),
                 bf16 = train_precision(&f, e, "bf16", LONG, "65536", "bf16");
    print_message("loss after %d steps: f32 %.5f, f16 %.5f, bf16 %.5f\n", LONG, f32, f16, bf16);
    assert_true(f32 < 0.03);
    assert_true(fabs(f16 / f32 - 1) < 0.3 && fabs(bf16 / f32 - 1) < 0.5);
    assert_true(isnan(logged_scale(&f, "f32", 0)) || logged_scale(&f, "f32", 0) == 0);
    assert_true(logged_scale(&f, "f16", 0) == 65536);
    executor_destroy(e);
    train_data_remove(f.root);
}

/* Losses raised until gradients overflow: those steps are left out and the scale halves until they do not,
 * and the run goes on from there. */
static void check_overflow(executor *e, int steps, uint32_t most_halved, const char *device) {
    train_folders f;
    train_folders_make(&host, &f, autoencoder_json);
    const double loss = train_precision(&f, e, "f16", steps, "1099511627776", device);
    uint32_t halved = 0;
    double scale = logged_scale(&f, device, 0);
    assert_true(fabs(scale / 1099511627776.0 - 1) < 1e-6); /* as many digits as the log has */
    for (int i = 1; i < steps; i++) {
        const double next = logged_scale(&f, device, (uint32_t)i);
        const double factor = next / scale;
        assert_true(fabs(factor - 0.5) < 1e-6 || fabs(factor - 1) < 1e-6);
        halved += factor < 0.75;
        scale = next;
    }
    print_message("%s: the scale was halved %u times, to %.0f; loss %.4f\n", device, (unsigned)halved, scale,
                  loss);
    assert_true(halved >= 1 && halved <= most_halved && scale >= 1);
    assert_true(isfinite(loss));
    train_data_remove(f.root);
}

static void test_overflow(void **state) {
    (void)state;
    executor *e;
    assert_int_equal(cpu_create(&host, 2, &e, &error), MZT_OK);
    check_overflow(e, 36, 30, "cpu");
    executor_destroy(e);
}

/* What was begun in f32 goes on in f16, with a scale that begins anew. */
static void test_other_precision(void **state) {
    (void)state;
    train_folders f;
    train_folders_make(&host, &f, autoencoder_json);
    train_request request = {
        .kind = TRAIN_AUTOENCODER, .data = f.data, .config = f.config, .output = f.output, .steps = 3};
    run(&request, MZT_OK);
    train_folders_configure(&host, &f,
                            "{\"resolution\": 16, \"batch\": 4, \"precision\": \"f16\", " DATA OPTIMIZER
                            "}, " TRAIN_RUNS_VAE "}");
    request.steps = 6;
    request.resume = true;
    run(&request, MZT_OK);
    train_data_remove(f.root);
}

/* The same on a Vulkan device with f16 storage; and the first steps there are those of the CPU. */
static void test_half_vulkan(void **state) {
    (void)state;
    enum { FEW = 3 };
    executor *vulkan, *cpu;
    train_folders f;
    if (device_open(&host, "vulkan:llvmpipe", &vulkan, &error) < 0 || !vulkan->limits.f16) {
        print_message("no Vulkan device on the CPU that stores f16 here: %s\n", error.message);
        skip();
    }
    train_folders_make(&host, &f, autoencoder_json);
    assert_int_equal(cpu_create(&host, 2, &cpu, &error), MZT_OK);
    const double here = train_precision(&f, cpu, "f16", FEW, "65536", "cpu"),
                 there = train_precision(&f, vulkan, "f16", FEW, "65536", "vulkan");
    print_message("loss after %d steps in f16: cpu %.5f, %s %.5f\n", FEW, here, vulkan->limits.name, there);
    assert_true(fabs(there / here - 1) < 0.01);
    check_overflow(vulkan, 4, 4, "vulkan");
    executor_destroy(vulkan);
    executor_destroy(cpu);
    train_data_remove(f.root);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accumulated), cmocka_unit_test(test_recomputed),
        cmocka_unit_test(test_shared),      cmocka_unit_test(test_shared_mistakes),
        cmocka_unit_test(test_half),        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_half_vulkan), cmocka_unit_test(test_other_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
