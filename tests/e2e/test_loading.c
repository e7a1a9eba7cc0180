/* Loading touches little memory beyond the file's mapping: at most 1.2 times the largest tensor and 256 MB,
 * counted at the host's allocator, onto a device that forgets what it is given. With files as arguments:
 * measures these and prints a line for each, in place of the tests. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/loading-test"
#include "tiny_model.h"

#include <time.h>

#include "model/load.h"
#include "pipeline/convert.h"
#include "pipeline/validate_networks.h"

/* ------------------------------------------------------------------------------------------------ bytes --
 */

typedef struct byte_count {
    uint64_t live, peak;
} byte_count;

/* Each block begins with its size, in the room of the strictest alignment. */
static void *count_bytes(void *user, void *pointer, size_t size) {
    byte_count *c = user;
    enum { HEAD = 64 };
    uint8_t *block = pointer ? (uint8_t *)pointer - HEAD : NULL;
    size_t before = 0;
    if (block) memcpy(&before, block, sizeof before);
    if (size == 0) {
        c->live -= before;
        free(block);
        return NULL;
    }
    uint8_t *made = realloc(block, size + HEAD);
    if (!made) return NULL;
    memcpy(made, &size, sizeof size);
    c->live += size - before;
    if (c->live > c->peak) c->peak = c->live;
    return made + HEAD;
}

/* ------------------------------------------------------------------------------------------------ loading --
 */

static mzt_status forget(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                         mzt_error *e) {
    (void)e;
    if (buffer >= g->plan->buffer_count || offset > g->plan->buffers[buffer].bytes ||
        size > g->plan->buffers[buffer].bytes - offset)
        fail_msg("a write beyond buffer %u", (unsigned)buffer);
    ((volatile const uint8_t *)data)[0];
    return MZT_OK;
}

typedef struct measured {
    uint64_t peak, largest; /* bytes */
    double seconds, processor_seconds;
    char summary[160];
} measured;

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void load_network(const base_host *counting, const model *m, const validate_network *which,
                         dtype type) {
    static const executor_functions functions = {.write = forget};
    executor device = {.host = counting, .functions = &functions};
    const graph_options options = {0};
    plan *p = NULL;
    graph *g = which->describe(m, type, which, &error);
    assert_non_null(g);
    must(graph_compile(g, &options, &p, &error));
    graph_destroy(g);
    program target = {.owner = &device, .plan = p};
    must(model_load(counting, &target, m->weights[which->component], &error));
    plan_destroy(p);
}

/* Opens the model and loads every network in f16. */
static measured measure(const char *path, const model_options *options) {
    byte_count bytes = {0};
    const mzt_hooks hooks = {.user = &bytes, .reallocate = count_bytes};
    const base_host counting = host_make(&hooks);
    measured result = {0};
    const double begin_wall = seconds_of(CLOCK_MONOTONIC), begin_used = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    model *m;
    must(model_open_with(&counting, path, options, &m, &error));
    validate_network networks[VALIDATE_NETWORK_COUNT];
    const uint32_t count = validate_networks(m, 8, networks);
    for (uint32_t i = 0; i < count; i++)
        load_network(&counting, m, &networks[i], DTYPE_F16);
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++)
        for (uint32_t k = 0; m->weights[i] && k < weights_count(m->weights[i]); k++) {
            const uint64_t size = weights_at(m->weights[i], k)->count * 4; /* as f32, whatever the file has */
            if (size > result.largest) result.largest = size;
        }
    snprintf(result.summary, sizeof result.summary, "%s", m->summary);
    model_close(m);
    result.seconds = seconds_of(CLOCK_MONOTONIC) - begin_wall;
    result.processor_seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begin_used;
    result.peak = bytes.peak;
    assert_int_equal(bytes.live, 0);
    return result;
}

static void expect_little(const char *path, const model_options *options) {
    const measured r = measure(path, options);
    const double limit = 1.2 * (double)r.largest + 256e6;
    if ((double)r.peak > limit)
        fail_msg("%s: %llu bytes, expected at most %.0f", path, (unsigned long long)r.peak, limit);
    /* The tables of a file and a chunk, but no copy of the model. */
    assert_true(r.peak < 64u << 20);
}

static void test_memory(void **state) {
    (void)state;
    static const char *const kinds[] = {"tiny-sd15", "tiny-sdxl"};
    const synthetic_options how = {.type = DTYPE_F16, .seed = 5};
    for (int i = 0; i < 2; i++) {
        char folder[1000], single[1100], tokenizer[1100];
        model *m;
        snprintf(folder, sizeof folder, FOLDER "/%s", kinds[i]);
        snprintf(single, sizeof single, "%s.safetensors", folder);
        snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer", folder);
        must(synthetic_model_write(&host, kinds[i], folder, &how, &error));
        must(model_open(&host, folder, &m, &error));
        must(convert_to_file(m, single, CONVERT_KEEP, NULL, NULL, &error));
        model_close(m);
        const model_options options = {.tokenizer = tokenizer};
        expect_little(folder, NULL);
        expect_little(single, &options);
    }
}

int main(int argc, char **argv) {
    host = host_make(NULL);
    for (int i = 1; i < argc; i++) {
        const measured r = measure(argv[i], NULL);
        printf("%s: %s; %.1f s, %.1f s of processor time, %.1f MB of host memory, largest tensor %.1f MB as "
               "f32\n",
               argv[i], r.summary, r.seconds, r.processor_seconds, (double)r.peak / 1e6,
               (double)r.largest / 1e6);
    }
    if (argc > 1) return 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("loading", tests, begin, end);
}
