/* Small training runs; see train_runs.h. */
#define _XOPEN_SOURCE 700
#include "train_runs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "train_data.h"
#include "weights/safetensors.h"

void train_folders_configure(const base_host *host, const train_folders *f, const char *config) {
    mzt_error error;
    assert_int_equal(file_write(host, f->config, config, strlen(config), &error), MZT_OK);
}

void train_folders_make(const base_host *host, train_folders *f, const char *config) {
    mzt_error error;
    train_data_temporary(f->root);
    snprintf(f->data, sizeof f->data, "%s/data", f->root);
    snprintf(f->config, sizeof f->config, "%s/config.json", f->root);
    snprintf(f->output, sizeof f->output, "%s/run", f->root);
    assert_int_equal(folder_create(host, f->data, &error), MZT_OK);
    train_data_write(host, f->data, TRAIN_DATA_SHAPES, 32);
    train_folders_configure(host, f, config);
}

mzt_status train_here(const base_host *host, const train_request *request, train_result *result,
                      mzt_error *error) {
    executor *e;
    TRY(cpu_create(host, 2, &e, error));
    mzt_status status = train_run(host, e, request, result, error);
    executor_destroy(e);
    return status;
}

static bool tell(void *user, uint64_t step) {
    int *pipe_end = user;
    (void)step;
    if (*pipe_end >= 0) {
        if (write(*pipe_end, "", 1) != 1) return false;
        close(*pipe_end);
        *pipe_end = -1;
    }
    return true;
}

pid_t train_elsewhere(const base_host *host, const train_request *request, int *started) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        train_request own = *request;
        train_result result;
        mzt_error error = {MZT_OK, ""};
        own.keep_going = tell;
        own.user = &ends[1];
        const mzt_status status = train_here(host, &own, &result, &error);
        if (status < 0) fprintf(stderr, "%s\n", error.message);
        _exit(status == MZT_OK ? 0 : 1);
    }
    close(ends[1]);
    *started = ends[0];
    return child;
}

/* Adds ||x - y||^2 and ||x||^2 of two f32 tensors. */
static void add_distance(const weights_tensor *x, const weights_tensor *y, double sums[2]) {
    for (uint64_t k = 0; k < x->count; k++) {
        float a, b;
        memcpy(&a, x->data + k * sizeof a, sizeof a);
        memcpy(&b, y->data + k * sizeof b, sizeof b);
        sums[0] += ((double)a - (double)b) * ((double)a - (double)b);
        sums[1] += (double)a * (double)a;
    }
}

static safetensors_file *open_state(const base_host *host, const char *output, uint32_t step) {
    char path[500], text[16];
    mzt_error error;
    safetensors_file *file;
    snprintf(path, sizeof path, "%s/latest/training_state.safetensors", output);
    snprintf(text, sizeof text, "%u", (unsigned)step);
    if (safetensors_open(host, path, &file, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_string_equal(safetensors_metadata(file, "step"), text);
    return file;
}

train_difference train_states_compare(const base_host *host, const char *a_output, const char *b_output,
                                      uint32_t step) {
    safetensors_file *a = open_state(host, a_output, step), *b = open_state(host, b_output, step);
    train_difference d = {.tensors = safetensors_count(a), .same = true};
    double weights[2] = {0, 1e-30}, moments[2] = {0, 1e-30};
    assert_int_equal(safetensors_count(a), safetensors_count(b));
    assert_true(d.tensors > 100);
    for (uint32_t i = 0; i < d.tensors; i++) {
        const weights_tensor *x = safetensors_at(a, i), *y = safetensors_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(x->count, y->count);
        if (memcmp(x->data, y->data, x->count * weights_dtype_size(x->dtype)) != 0) d.same = false;
        if (x->dtype != WEIGHTS_F32) continue;
        const bool moment = strncmp(x->name, "m.", 2) == 0 || strncmp(x->name, "v.", 2) == 0;
        add_distance(x, y, moment ? moments : weights);
    }
    d.weights = sqrt(weights[0] / weights[1]);
    d.moments = sqrt(moments[0] / moments[1]);
    safetensors_close(a);
    safetensors_close(b);
    return d;
}
