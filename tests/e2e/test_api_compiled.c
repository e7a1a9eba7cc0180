/* Compiled models: their pictures are the checkpoint's, byte for byte; what they were not compiled for is
 * refused; damaged files give errors; the small runtime runs them by itself. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/api-compiled-test"
#include "tiny_model.h"

#include <stdatomic.h>

#include "mezzotint.h"

#define PLAN FOLDER "/tiny.plan"

enum { PIXELS = 64 * 64 * 4 };

static mzt_context *context;
static atomic_long live; /* blocks: executors allocate on several threads */

static void *reallocate(void *user, void *pointer, size_t size) {
    (void)user;
    if (size == 0) {
        if (pointer) atomic_fetch_sub(&live, 1);
        free(pointer);
        return NULL;
    }
    void *block = realloc(pointer, size);
    if (block && !pointer) atomic_fetch_add(&live, 1);
    return block;
}

static mzt_job_params job_of(const char *prompt) {
    mzt_job_params p;
    mzt_job_params_init(&p, sizeof p);
    p.prompt = prompt;
    p.negative = "blurry";
    p.steps = 3;
    p.seed = 5;
    p.preview = 1;
    return p;
}

/* Opens a model and makes a picture. */
static mzt_status picture_of(const char *path, const char *spec, const mzt_job_params *p,
                             uint8_t pixels[PIXELS]) {
    mzt_model *m = NULL;
    mzt_device *device = NULL;
    mzt_pipeline *pipeline = NULL;
    mzt_job *job = NULL;
    mzt_pipeline_params shape;
    mzt_pipeline_params_init(&shape, sizeof shape);
    shape.shape = p;
    mzt_status status = mzt_model_open(context, path, NULL, &m, &error);
    if (status >= 0) status = mzt_device_open(context, spec, &device, &error);
    if (status >= 0) status = mzt_pipeline_create(m, device, &shape, &pipeline, &error);
    if (status >= 0) status = mzt_job_create(pipeline, p, &job, &error);
    if (status >= 0) status = mzt_job_run(job, &error);
    if (status >= 0) status = mzt_job_read_rgba8(job, 0, pixels, 0, &error);
    mzt_job_destroy(job);
    mzt_pipeline_destroy(pipeline);
    mzt_device_destroy(device);
    mzt_model_close(m);
    return status;
}

static void compile(void) {
    mzt_model *m;
    mzt_pipeline_params shape;
    const mzt_job_params p = job_of(NULL);
    mzt_pipeline_params_init(&shape, sizeof shape);
    shape.shape = &p;
    must(mzt_model_open(context, TINY, NULL, &m, &error));
    must(mzt_model_compile(m, NULL, &shape, PLAN, &error));
    mzt_model_close(m);
}

static int begin_compiled(void **state) {
    const mzt_hooks hooks = {.struct_size = sizeof hooks, .reallocate = reallocate};
    if (begin(state) || mzt_context_create(&hooks, &context, &error) < 0) return -1;
    compile();
    return 0;
}

static int end_compiled(void **state) {
    mzt_context_destroy(context);
    return end(state) || atomic_load(&live) != 0;
}

static void test_same_pictures(void **state) {
    (void)state;
    static const char *const specs[] = {"cpu", "cpu-reference"};
    static const char *const prompts[] = {"a red (apple:1.3)", "a green pear"};
    static uint8_t expected[PIXELS], found[PIXELS];
    for (int i = 0; i < 2; i++) {
        const mzt_job_params p = job_of(prompts[i]);
        must(picture_of(TINY, specs[i], &p, expected));
        must(picture_of(PLAN, specs[i], &p, found));
        assert_memory_equal(expected, found, PIXELS);
    }
}

static void expect(mzt_status expected, mzt_status found, const char *word) {
    if (expected != found || !strstr(error.message, word))
        fail_msg("%d \"%s\", expected %d and \"%s\"", found, error.message, expected, word);
}

static void test_refused(void **state) {
    (void)state;
    static uint8_t pixels[PIXELS];
    mzt_job_params p = job_of("x");
    p.steps = 4;
    expect(MZT_ERROR_UNSUPPORTED, picture_of(PLAN, "cpu", &p, pixels), "calls");
    p = job_of("x");
    p.width = 128;
    expect(MZT_ERROR_UNSUPPORTED, picture_of(PLAN, "cpu", &p, pixels), "compiled for");
    p = job_of("x\xff");
    expect(MZT_ERROR_INVALID, picture_of(PLAN, "cpu", &p, pixels), "UTF-8");
    mzt_model *m;
    mzt_model_params params;
    mzt_model_params_init(&params, sizeof params);
    params.vae = TINY "/vae";
    expect(MZT_ERROR_INVALID, mzt_model_open(context, PLAN, &params, &m, &error), "compiled");
}

/* Cut at every length (a sample of them), and with single bytes changed: errors or pictures, never more. */
static void test_damaged(void **state) {
    (void)state;
    char *data;
    uint64_t size;
    const long before = atomic_load(&live);
    must(file_read(&host, PLAN, 1u << 28, &data, &size, &error));
    for (uint64_t length = 0; length < size; length += 1 + size / 97) {
        mzt_model *m;
        const mzt_file file = {sizeof file, "model.plan", data, length};
        assert_true(mzt_model_open_memory(context, &file, 1, NULL, &m, &error) < 0);
        assert_int_equal(atomic_load(&live), before);
    }
    const uint64_t tail = 24 + 12 * 96;
    for (uint64_t at = 0; at < 6000; at += 7) { /* header, facts; then the table at the end */
        const uint64_t place = at < 4800 ? at : size - tail + (at - 4800);
        mzt_model *m;
        if (place >= size) continue;
        data[place] ^= (char)0x81;
        const mzt_file file = {sizeof file, "model.plan", data, size};
        mzt_model_open_memory(context, &file, 1, NULL, &m, &error);
        mzt_model_close(m);
        data[place] ^= (char)0x81;
        assert_int_equal(atomic_load(&live), before);
    }
    host_free(&host, data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_pictures), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_damaged)};
    host = host_make(NULL);
    return cmocka_run_group_tests(tests, begin_compiled, end_compiled);
}
