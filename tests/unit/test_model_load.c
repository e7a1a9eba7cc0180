/* Loading weights into a program, with an executor that only remembers what it is given: layouts, chunks, and
 * what is said about a checkpoint that does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/dtype.h"
#include "model/load.h"

enum { MAX_BUFFERS = 3, MAX_WRITE = 16 << 20 };

typedef struct memory_executor {
    executor base;
    const plan *plan;
    uint8_t *bytes[MAX_BUFFERS];
    uint64_t largest; /* write */
    uint32_t writes;
} memory_executor;

static mzt_status remember(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                           mzt_error *error) {
    memory_executor *e = (memory_executor *)g->owner;
    (void)error;
    memcpy(e->bytes[buffer] + offset, data, size);
    e->writes++;
    if (size > e->largest) e->largest = size;
    return MZT_OK;
}

static const executor_functions functions = {.write = remember};

/* Element i of every tensor. Never zero, so that what was not written shows. */
static uint8_t value_of(uint64_t i) {
    return (uint8_t)(i % 251 + 1);
}

typedef struct stored {
    const char *name;
    uint32_t rank;
    uint64_t shape[4];
} stored;

static weights_set *make_weights(const base_host *host, const stored *list, uint32_t count) {
    static const char path[] = MZT_BINARY_DIR "/test_model_load.safetensors";
    weights_tensor tensors[4];
    uint8_t *data[4];
    mzt_error error;
    weights_set *set = NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t elements = 1;
        tensors[i] = (weights_tensor){.name = list[i].name, .dtype = WEIGHTS_U8, .rank = list[i].rank};
        for (uint32_t k = 0; k < list[i].rank; k++)
            elements *= tensors[i].shape[k] = list[i].shape[k];
        tensors[i].count = elements;
        tensors[i].data = data[i] = malloc(elements);
        assert_non_null(data[i]);
        for (uint64_t k = 0; k < elements; k++)
            data[i][k] = value_of(k);
    }
    if (safetensors_save(host, path, tensors, count, NULL, 0, &error) != MZT_OK)
        fail_msg("%s", error.message);
    for (uint32_t i = 0; i < count; i++)
        free(data[i]);
    if (weights_open(host, path, &set, &error) != MZT_OK) fail_msg("%s", error.message);
    remove(path); /* the mapping stays */
    return set;
}

static char strings[] = "\0filters\0first\0second";
enum { FILTERS = 1, FIRST = 9, SECOND = 15 };

static mzt_status load(plan *p, const stored *list, uint32_t count, memory_executor *e, alloc_count *counts,
                       mzt_error *error) {
    base_host host = alloc_count_host(counts);
    *e = (memory_executor){.base = {.functions = &functions, .host = &host}, .plan = p};
    p->host = &host;
    p->strings = strings;
    p->string_bytes = sizeof strings;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        e->bytes[i] = calloc(1, p->buffers[i].bytes);
    program target = {.owner = &e->base, .plan = p};
    weights_set *set = make_weights(&host, list, count);
    mzt_status status = model_load(&host, &target, set, error);
    weights_close(set);
    assert_int_equal(counts->live, 0);
    return status;
}

static void release(memory_executor *e) {
    for (uint32_t i = 0; i < MAX_BUFFERS; i++)
        free(e->bytes[i]);
}

/* [O,I,kh,kw] of 20 MB in f32 crosses a chunk's end; so does a plain tensor behind another one in the same
 * buffer. */
static void test_layouts(void **state) {
    (void)state;
    enum { O = 70001, I = 8, K = 9, HEAD = 7, TAIL = 5000003 };
    plan_buffer buffers[] = {
        {.kind = PLAN_WEIGHT, .dtype = DTYPE_F32, .bytes = (uint64_t)O * I * K * 4},
        {.kind = PLAN_WEIGHT, .dtype = DTYPE_F32, .bytes = (uint64_t)(HEAD + TAIL) * 4},
    };
    plan_piece pieces[] = {
        {.buffer = 0, .name = FILTERS, .packing = PLAN_PACK_CONV_OHWI, .rank = 4, .shape = {O, I, 3, 3}},
        {.buffer = 1, .name = FIRST, .rank = 2, .shape = {HEAD, 1}},
        {.buffer = 1, .name = SECOND, .rank = 1, .shape = {TAIL}, .element = HEAD},
    };
    plan p = {.buffers = buffers, .buffer_count = 2, .pieces = pieces, .piece_count = 3};
    const stored list[] = {
        {"filters", 4, {O, I, 3, 3}}, {"first", 4, {HEAD, 1, 1, 1}}, {"second", 1, {TAIL}}};
    memory_executor e;
    alloc_count counts = {0};
    mzt_error error;
    if (load(&p, list, 3, &e, &counts, &error) != MZT_OK) fail_msg("%s", error.message);
    const float *filters = (const float *)(const void *)e.bytes[0],
                *plain = (const float *)(const void *)e.bytes[1];
    for (uint64_t o = 0; o < O; o++)
        for (uint64_t i = 0; i < I; i++)
            for (uint64_t k = 0; k < K; k++)
                if (filters[(o * K + k) * I + i] != value_of((o * I + i) * K + k))
                    fail_msg("filter %u", (unsigned)o);
    for (uint64_t i = 0; i < HEAD + TAIL; i++)
        if (plain[i] != value_of(i < HEAD ? i : i - HEAD)) fail_msg("element %u", (unsigned)i);
    assert_true(e.largest <= MAX_WRITE);
    assert_int_equal(e.writes, 2 + 1 + 2);
    release(&e);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        stored tensor;
        mzt_status status;
        const char *expected;
    } cases[] = {
        {{"other", 2, {4, 6}}, MZT_ERROR_NOT_FOUND, "there is no tensor \"first\""},
        {{"first", 2, {6, 4}}, MZT_ERROR_FORMAT, "tensor \"first\": expected shape [4,6], found [6,4]"},
        {{"first", 1, {24}}, MZT_ERROR_FORMAT, "expected shape [4,6], found [24]"},
        {{"first", 3, {4, 6, 2}}, MZT_ERROR_FORMAT, "expected shape [4,6], found [4,6,2]"},
    };
    plan_buffer buffer = {.kind = PLAN_WEIGHT, .dtype = DTYPE_F16, .bytes = 48};
    plan_piece piece = {.buffer = 0, .name = FIRST, .rank = 2, .shape = {4, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        plan p = {.buffers = &buffer, .buffer_count = 1, .pieces = &piece, .piece_count = 1};
        memory_executor e;
        alloc_count counts = {0};
        mzt_error error;
        assert_int_equal(load(&p, &cases[i].tensor, 1, &e, &counts, &error), cases[i].status);
        if (!strstr(error.message, cases[i].expected))
            fail_msg("\"%s\", expected \"%s\"", error.message, cases[i].expected);
        assert_int_equal(e.writes, 0);
        release(&e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
