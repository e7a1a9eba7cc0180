/* Plan files: what is written comes back; damaged bytes are refused or give another sound plan, and never
 * harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "graph/graph.h"

#define PATH MZT_BINARY_DIR "/test_file.plan"

static base_host host;

/* A small network with setup and step phases, a weight of two pieces, and a convolution. */
static plan *compile(void) {
    mzt_error error;
    graph *g = graph_create(&host, DTYPE_F16, DTYPE_F16);
    tensor t = graph_input(g, "t", DTYPE_F32, (shape4){1, 1, 1, 1});
    tensor x = graph_varying_input(g, "x", DTYPE_F16, (shape4){1, 4, 4, 8});
    tensor vec = graph_timestep_embedding(g, t, 8, false, 0, 10000, 1);
    vec = graph_linear_stack(g, vec, "stack", 2, (const char *const[]){"one", "two"},
                             (const uint32_t[]){8, 8}, true);
    graph_conv conv = {
        .cout = 8, .kernel = 3, .stride = 1, .pad = 1, .bias = true, .vec = vec, .vec_offset = 8};
    x = graph_add(g, graph_conv2d(g, graph_silu(g, graph_group_norm(g, x, "norm", 4, 1e-5f)), "conv", &conv),
                  x);
    graph_output(g, x, "y");
    plan *p;
    if (graph_compile(g, &(graph_options){0}, &p, &error) != MZT_OK) fail_msg("%s", error.message);
    graph_destroy(g);
    return p;
}

static char *file_bytes(uint64_t *size) {
    mzt_error error;
    char *data;
    plan *p = compile();
    assert_int_equal(plan_write(p, PATH, &error), MZT_OK);
    plan_destroy(p);
    assert_int_equal(file_read(&host, PATH, 1 << 20, &data, size, &error), MZT_OK);
    remove(PATH);
    return data;
}

static void same(const void *a, const void *b, uint32_t count, size_t size) {
    assert_memory_equal(a, b, count * size);
}

static void test_round_trip(void **state) {
    (void)state;
    uint64_t size;
    mzt_error error;
    char *data = file_bytes(&size);
    plan *a = compile(), *b;
    assert_int_equal(plan_parse(&host, data, size, &b, &error), MZT_OK);
    assert_int_equal(a->activation, b->activation);
    assert_int_equal(a->weight, b->weight);
    assert_int_equal(a->arena_bytes, b->arena_bytes);
    assert_int_equal(a->weight_bytes, b->weight_bytes);
    assert_int_equal(a->buffer_count, b->buffer_count);
    assert_int_equal(a->piece_count, b->piece_count);
    assert_int_equal(a->dispatch_count, b->dispatch_count);
    assert_int_equal(a->phase_count, b->phase_count);
    assert_int_equal(a->string_bytes, b->string_bytes);
    same(a->buffers, b->buffers, a->buffer_count, sizeof *a->buffers);
    same(a->pieces, b->pieces, a->piece_count, sizeof *a->pieces);
    same(a->dispatches, b->dispatches, a->dispatch_count, sizeof *a->dispatches);
    same(a->phases, b->phases, a->phase_count, sizeof *a->phases);
    same(a->strings, b->strings, a->string_bytes, 1);
    assert_int_not_equal(plan_find_phase(b, "setup"), PLAN_NONE);
    plan_destroy(a);
    plan_destroy(b);
    host_free(&host, data);
}

/* Copies to a block of exactly this size, so that a sanitizer sees every byte read too far. */
static mzt_status parse_copy(const char *data, uint64_t size) {
    mzt_error error;
    char *copy = host_calloc(&host, size + !size, 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    plan *p;
    mzt_status status = plan_parse(&host, copy, size, &p, &error);
    assert_true(status == MZT_OK ? p != NULL : p == NULL);
    if (status == MZT_OK) assert_int_equal(plan_check(p, &error), MZT_OK);
    plan_destroy(p);
    host_free(&host, copy);
    return status;
}

static void test_truncations(void **state) {
    (void)state;
    uint64_t size;
    char *data = file_bytes(&size);
    assert_int_equal(parse_copy(data, size), MZT_OK);
    for (uint64_t length = 0; length < size; length++)
        assert_int_equal(parse_copy(data, length), MZT_ERROR_FORMAT);
    host_free(&host, data);
}

static void test_bit_flips(void **state) {
    (void)state;
    uint64_t size, refused = 0;
    char *data = file_bytes(&size);
    for (uint64_t bit = 0; bit < size * 8; bit++) {
        data[bit / 8] ^= (char)(1 << bit % 8);
        mzt_status status = parse_copy(data, size);
        refused += status != MZT_OK;
        if (bit < 8 * 8) assert_int_equal(status, MZT_ERROR_FORMAT); /* the magic */
        data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(refused > size); /* one bit in eight, at the very least, matters */
    host_free(&host, data);
}

static void test_other_files(void **state) {
    (void)state;
    uint64_t size;
    char *data = file_bytes(&size);
    char *longer = host_calloc(&host, size + 1, 1);
    memcpy(longer, data, size);
    assert_int_equal(parse_copy(longer, size + 1), MZT_ERROR_FORMAT);
    data[8]++; /* version */
    assert_int_equal(parse_copy(data, size), MZT_ERROR_UNSUPPORTED);
    data[8]--;
    memmove(data + 12, (const char[]){data[15], data[14], data[13], data[12]}, 4); /* byte order */
    assert_int_equal(parse_copy(data, size), MZT_ERROR_UNSUPPORTED);
    host_free(&host, longer);
    host_free(&host, data);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
