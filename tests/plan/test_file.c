/* Plan files: what is written comes back; damaged bytes are refused or give another sound plan, and never
 * harm. Images: the same with weights, and a program made from a mapped one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "executor.h"
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

/* Every weight's bytes are a function of buffer and place. */
static mzt_status fill_weight(void *user, uint32_t buffer, void *data, mzt_error *error) {
    const plan *p = user;
    if (buffer == PLAN_NONE) return error_set(error, MZT_ERROR_INVALID, "no such weight");
    const plan_buffer *b = &p->buffers[buffer];
    assert_int_equal(b->kind, PLAN_WEIGHT);
    for (uint64_t i = 0; i < b->bytes / dtype_size((dtype)b->dtype); i++)
        dtype_store((dtype)b->dtype, data, (size_t)i, ((double)((i * 5 + buffer) % 17) - 8) / 16);
    return MZT_OK;
}

static mzt_status fail_weight(void *user, uint32_t buffer, void *data, mzt_error *error) {
    (void)user;
    (void)data;
    return error_set(error, MZT_ERROR_NOT_FOUND, "weight %u", buffer);
}

/* Two images, one after the other; *size receives the bytes of one. */
static void write_images(const plan *p, uint64_t *size) {
    mzt_error error;
    file_writer *writer;
    assert_int_equal(file_writer_open(&host, PATH, &writer, &error), MZT_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(plan_image_write(p, fill_weight, (plan *)(uintptr_t)p, writer, size, &error),
                         MZT_OK);
    assert_int_equal(*size % PLAN_ALIGNMENT, 0);
    assert_int_equal(file_writer_commit(writer, &error), MZT_OK);
}

static void run_image(const plan_image *image, uint8_t *out, uint64_t size) {
    mzt_error error;
    executor *e;
    program *g;
    uint32_t x = plan_find_buffer(image->plan, "x"), y = plan_find_buffer(image->plan, "y");
    const plan_buffer *input = &image->plan->buffers[x];
    float values[4 * 4 * 8];
    assert_true(input->bytes <= sizeof values);
    for (uint32_t i = 0; i < 4 * 4 * 8; i++)
        dtype_store((dtype)input->dtype, values, i, (i % 7) / 4.0);
    assert_int_equal(cpu_reference_create(&host, &e, &error), MZT_OK);
    assert_int_equal(executor_prepare_begin(e, image->plan, &g, &error), MZT_OK);
    plan_image other = *image;
    other.plan = NULL;
    assert_int_equal(program_queue_image(g, &other, &error), MZT_ERROR_INVALID);
    assert_int_equal(program_queue_image(g, image, &error), MZT_OK);
    assert_int_equal(program_queue_seal(g, &error), MZT_OK);
    assert_int_equal(program_prepare_advance(g, BUDGET_UNLIMITED, NULL, &error), MZT_OK);
    assert_int_equal(program_write(g, x, 0, values, input->bytes, &error), MZT_OK);
    assert_int_equal(program_run_phase(g, "setup", NULL, &error), MZT_OK);
    assert_int_equal(program_run_phase(g, "step", NULL, &error), MZT_OK);
    assert_int_equal(image->plan->buffers[y].bytes, size);
    assert_int_equal(program_read(g, y, 0, out, size, &error), MZT_OK);
    program_destroy(g);
    executor_destroy(e);
}

static void test_image(void **state) {
    (void)state;
    uint64_t size = 0;
    mzt_error error;
    plan *p = compile();
    write_images(p, &size);
    file_mapping mapping;
    assert_int_equal(file_map(PATH, &mapping, &error), MZT_OK);
    assert_int_equal(mapping.size, 2 * size);
    uint8_t results[2][4 * 4 * 8 * sizeof(float)], *expected = malloc((size_t)size);
    assert_non_null(expected);
    for (int n = 0; n < 2; n++) {
        plan_image image;
        const uint8_t *data = mapping.data + n * size;
        if (plan_image_parse(&host, data, size, &image, &error) < 0) fail_msg("%s", error.message);
        for (uint32_t i = 0; i < p->buffer_count; i++) {
            assert_int_equal(image.weights[i] != NULL, p->buffers[i].kind == PLAN_WEIGHT);
            if (!image.weights[i]) continue;
            assert_int_equal((image.weights[i] - data) % PLAN_ALIGNMENT, 0);
            fill_weight(p, i, expected, &error);
            assert_memory_equal(image.weights[i], expected, (size_t)p->buffers[i].bytes);
        }
        run_image(&image, results[n], sizeof results[n]);
        plan_image_destroy(&image);
    }
    assert_memory_equal(results[0], results[1], sizeof results[0]);
    static const uint8_t zeros[sizeof results[0]];
    assert_memory_not_equal(results[0], zeros, sizeof zeros);
    free(expected);
    file_unmap(&mapping);
    remove(PATH);
    plan_destroy(p);
}

static void test_damaged_image(void **state) {
    (void)state;
    uint64_t size = 0, file_size;
    mzt_error error;
    char *data;
    plan_image image;
    plan *p = compile();
    write_images(p, &size);
    assert_int_equal(file_read(&host, PATH, 1 << 24, &data, &file_size, &error), MZT_OK);
    for (uint64_t length = 0; length < file_size; length++) {
        if (length == size) continue;
        assert_int_equal(plan_image_parse(&host, data, length, &image, &error), MZT_ERROR_FORMAT);
        assert_true(!image.plan && !image.weights);
    }
    host_free(&host, data);
    remove(PATH);
    file_writer *writer;
    assert_int_equal(file_writer_open(&host, PATH, &writer, &error), MZT_OK);
    assert_int_equal(plan_image_write(p, fail_weight, p, writer, &size, &error), MZT_ERROR_NOT_FOUND);
    file_writer_abandon(writer);
    assert_false(file_exists(PATH));
    plan_destroy(p);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_bit_flips),  cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_image),      cmocka_unit_test(test_damaged_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
