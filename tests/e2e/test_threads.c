/* Two models on two executors in two threads at once, with different log hooks: no cross-talk, and the
 * results are those of a single thread. Run under ThreadSanitizer by tools/check.sh. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "pipeline/eval.h"

/* What one thread works on; everything it touches is its own. */
typedef struct worker {
    const char *model, *sampler;
    int index;
    base_host host;
    uint32_t lines;
    mzt_status status;
    mzt_error error;
    char output[700];
} worker;

static void count_line(void *user, mzt_log_level level, const char *line) {
    worker *w = user;
    (void)level;
    (void)line;
    w->lines++;
}

static const char *reference_folder(void) {
    const char *shared = getenv("MZT_SHARED");
    return shared ? shared : MZT_SOURCE_DIR "/../shared";
}

static void *work(void *argument) {
    worker *w = argument;
    char folder[600], input[700], config[700];
    snprintf(folder, sizeof folder, "%s/reference/%s", reference_folder(), w->model);
    snprintf(input, sizeof input, "%s/reference.safetensors", folder);
    snprintf(config, sizeof config, "%s/schedulers/%s.json", folder, w->sampler);
    const mzt_hooks hooks = {.user = w, .log = count_line};
    w->host = host_make(&hooks);
    model *m = NULL;
    executor *e = NULL;
    const eval_request request = {.component = "pipeline",
                                  .input = input,
                                  .output = w->output,
                                  .scheduler_config = config,
                                  .steps = 4,
                                  .guidance = 7.5};
    w->status = model_open(&w->host, folder, &m, &w->error);
    if (w->status >= 0) w->status = cpu_create(&w->host, 2, &e, &w->error);
    if (w->status >= 0) w->status = pipeline_eval(m, e, PRECISION_F32, &request, &w->error);
    executor_destroy(e);
    model_close(m);
    return NULL;
}

static void read_whole(const char *path, char **data, uint64_t *size) {
    static base_host host;
    mzt_error error;
    host = host_make(NULL);
    if (file_read(&host, path, 1 << 24, data, size, &error) < 0) fail_msg("%s", error.message);
}

static void test_two_threads(void **state) {
    (void)state;
    if (!file_exists(reference_folder())) {
        print_message("%s is absent: skipped\n", reference_folder());
        skip();
    }
    worker alone[2] = {{.model = "sd1-tiny", .sampler = "euler"},
                       {.model = "sd2-tiny", .sampler = "dpmpp_2m"}},
           together[2];
    memcpy(together, alone, sizeof together);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        snprintf(alone[i].output, sizeof alone[i].output, "%s/threads-alone-%d.safetensors", MZT_BINARY_DIR,
                 i);
        snprintf(together[i].output, sizeof together[i].output, "%s/threads-both-%d.safetensors",
                 MZT_BINARY_DIR, i);
        work(&alone[i]);
        if (alone[i].status < 0) fail_msg("%s", alone[i].error.message);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &together[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 2; i++) {
        char *a, *b;
        uint64_t size_a, size_b;
        if (together[i].status < 0) fail_msg("%s", together[i].error.message);
        read_whole(alone[i].output, &a, &size_a);
        read_whole(together[i].output, &b, &size_b);
        assert_int_equal(size_a, size_b);
        assert_memory_equal(a, b, size_a);
        free(a);
        free(b);
        remove(alone[i].output);
        remove(together[i].output);
        assert_int_equal(alone[i].lines, together[i].lines);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
