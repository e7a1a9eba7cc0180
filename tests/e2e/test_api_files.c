/* Models from a host's memory and archive: the same pictures as from the folder; what is missing or cannot be
 * read is named, and nothing leaks. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/api-files-test"
#include "tiny_model.h"

#include "alloc_count.h"
#include "mezzotint.h"

enum { PIXELS = 64 * 64 * 4, MOST = 32 };

static mzt_file files[MOST];
static uint32_t file_count;

static int take_file(const char *path, const struct stat *info, int kind, struct FTW *level) {
    char *data;
    uint64_t size;
    (void)info;
    (void)level;
    if (kind != FTW_F) return 0;
    must(file_read(&host, path, 1u << 28, &data, &size, &error));
    files[file_count++] = (mzt_file){sizeof *files, strdup(path + strlen(TINY) + 1), data, size};
    return file_count == MOST;
}

static int begin_files(void **state) {
    return begin(state) || nftw(TINY, take_file, 16, FTW_PHYS) || file_count < 6;
}

static int end_files(void **state) {
    for (uint32_t i = 0; i < file_count; i++) {
        free((void *)(uintptr_t)files[i].name);
        host_free(&host, (void *)(uintptr_t)files[i].data);
    }
    return end(state);
}

/* A picture of an opened model, which is closed. */
static void picture_of(mzt_context *context, mzt_model *m, uint8_t pixels[PIXELS]) {
    mzt_device *device;
    mzt_pipeline *pipeline;
    mzt_job *job;
    mzt_job_params p;
    mzt_job_params_init(&p, sizeof p);
    p.prompt = "a red apple";
    p.steps = 2;
    must(mzt_device_open_cpu(context, 1, &device, &error));
    must(mzt_pipeline_create(m, device, NULL, &pipeline, &error));
    must(mzt_job_create(pipeline, &p, &job, &error));
    must(mzt_job_run(job, &error));
    must(mzt_job_read_rgba8(job, 0, pixels, 0, &error));
    mzt_job_destroy(job);
    mzt_pipeline_destroy(pipeline);
    mzt_device_destroy(device);
    mzt_model_close(m);
}

static mzt_context *counted_context(alloc_count *counts) {
    mzt_context *context;
    base_host counted = alloc_count_host(counts);
    mzt_hooks hooks = counted.hooks;
    hooks.struct_size = sizeof hooks;
    must(mzt_context_create(&hooks, &context, &error));
    return context;
}

/* -- an archive -- */

typedef struct archive {
    uint32_t reads;
    const char *broken; /* cannot be read */
} archive;

static const mzt_file *entry(const char *name) {
    for (uint32_t i = 0; i < file_count; i++)
        if (strcmp(files[i].name, name) == 0) return &files[i];
    return NULL;
}

static int find(void *user, const char *name, uint64_t *size) {
    const mzt_file *f = entry(name);
    (void)user;
    if (!f) return 1;
    *size = f->size;
    return 0;
}

static int read_piece(void *user, const char *name, uint64_t offset, void *buffer, size_t size) {
    archive *a = user;
    const mzt_file *f = entry(name);
    a->reads++;
    if (a->broken && strcmp(name, a->broken) == 0) return 1;
    assert_true(f && offset + size <= f->size);
    memcpy(buffer, (const uint8_t *)f->data + offset, size);
    return 0;
}

static void test_same_pictures(void **state) {
    (void)state;
    static uint8_t expected[PIXELS], found[PIXELS];
    alloc_count counts = {0};
    archive a = {0, NULL};
    const mzt_reader reader = {sizeof reader, &a, find, read_piece};
    mzt_context *context = counted_context(&counts);
    mzt_model *m;
    must(mzt_model_open(context, TINY, NULL, &m, &error));
    picture_of(context, m, expected);
    must(mzt_model_open_memory(context, files, file_count, NULL, &m, &error));
    picture_of(context, m, found);
    assert_memory_equal(expected, found, PIXELS);
    must(mzt_model_open_reader(context, &reader, NULL, &m, &error));
    assert_true(a.reads >= 6);
    picture_of(context, m, found);
    assert_memory_equal(expected, found, PIXELS);
    mzt_context_destroy(context);
    assert_int_equal(counts.live, 0);
}

static void expect(mzt_status expected, mzt_status found, const char *word) {
    if (expected != found || !strstr(error.message, word))
        fail_msg("%d \"%s\", expected %d and \"%s\"", found, error.message, expected, word);
}

static void test_missing(void **state) {
    (void)state;
    alloc_count counts = {0};
    archive a = {0, "unet/config.json"};
    const mzt_reader reader = {sizeof reader, &a, find, read_piece};
    mzt_context *context = counted_context(&counts);
    mzt_model *m;
    const long before = counts.live;
    expect(MZT_ERROR_IO, mzt_model_open_reader(context, &reader, NULL, &m, &error), "unet/config.json");
    assert_null(m);
    for (uint32_t i = 0; i < file_count; i++) { /* each file missing in turn */
        mzt_file some[MOST];
        uint32_t count = 0;
        for (uint32_t k = 0; k < file_count; k++)
            if (k != i) some[count++] = files[k];
        mzt_status status = mzt_model_open_memory(context, some, count, NULL, &m, &error);
        if (status < 0) assert_true(error.message[0]);
        mzt_model_close(m);
        assert_int_equal(counts.live, before);
    }
    mzt_file cut = *entry("unet/config.json");
    cut.size /= 2;
    mzt_file all[MOST];
    for (uint32_t k = 0; k < file_count; k++)
        all[k] = strcmp(files[k].name, cut.name) ? files[k] : cut;
    assert_true(mzt_model_open_memory(context, all, file_count, NULL, &m, &error) < 0);
    all[0].struct_size = 1;
    expect(MZT_ERROR_INVALID, mzt_model_open_memory(context, all, file_count, NULL, &m, &error),
           "struct_size");
    mzt_context_destroy(context);
    assert_int_equal(counts.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_pictures), cmocka_unit_test(test_missing)};
    host = host_make(NULL);
    return cmocka_run_group_tests(tests, begin_files, end_files);
}
