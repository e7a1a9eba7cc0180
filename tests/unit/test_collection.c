/* Trained parameters to a file in the checkpoint's names and layouts, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "executor.h"
#include "graph/differentiate.h"
#include "pipeline/collection.h"

#define PATH MZT_BINARY_DIR "/test_collection.safetensors"

static alloc_count counts;
static base_host host;

static void must(mzt_status status, const mzt_error *error) {
    if (status < 0) fail_msg("%s", error->message);
}

/* A convolution [2][3][3][3] and two stacked layers, in bf16 with f32 parameters; one parameter is not
 * trained. */
static bool trains(const void *user, const char *name) {
    (void)user;
    return strncmp(name, "frozen", 6) != 0;
}

static void open_network(network *n, executor *e) {
    static const char *const leaves[] = {"a", "b"};
    static const uint32_t outs[] = {2, 1};
    mzt_error error;
    graph *g = graph_create(&host, DTYPE_BF16, DTYPE_BF16);
    tensor x = graph_varying_input(g, "x", DTYPE_BF16, (shape4){1, 4, 4, 3});
    x = graph_conv2d(g, x, "conv",
                     &(graph_conv){.cout = 2, .kernel = 3, .stride = 1, .pad = 1, .bias = true});
    x = graph_linear(g, graph_linear(g, x, "frozen", 2, false), "linear", 2, false);
    graph_output(g, graph_linear_stack(g, x, "stack", 2, leaves, outs, true), "y");
    graph_make_trainable(g, trains, NULL);
    must(graph_compile(g, &(graph_options){0}, &n->plan, &error), &error);
    graph_destroy(g);
    must(executor_prepare(e, n->plan, &n->program, &error), &error);
    must(program_seal(n->program, &error), &error);
}

/* Fills every state with values that differ, if `write`; else checks them. */
static void each_state(network *n, bool write) {
    mzt_error error;
    for (uint32_t i = 0; i < n->plan->buffer_count; i++) {
        const plan_buffer *b = &n->plan->buffers[i];
        float values[64];
        if (b->role != PLAN_ROLE_STATE) continue;
        assert_true(b->bytes <= sizeof values);
        if (!write) must(program_read(n->program, i, 0, values, b->bytes, &error), &error);
        for (uint32_t k = 0; k < b->bytes / 4; k++) {
            float value = (float)(i * 1000 + k);
            if (write) values[k] = value;
            if (values[k] != value)
                fail_msg("%s[%u] is %g, expected %g", plan_string(n->plan, b->name), k, (double)values[k],
                         (double)value);
        }
        if (write) must(program_write(n->program, i, 0, values, b->bytes, &error), &error);
    }
}

static void check_file(const weights_set *file) {
    static const char *const names[] = {"p.a.bias",    "p.a.weight",    "p.b.bias",       "p.b.weight",
                                        "p.conv.bias", "p.conv.weight", "p.linear.weight"};
    assert_int_equal(weights_count(file), 7);
    for (uint32_t i = 0; i < 7; i++)
        assert_string_equal(weights_at(file, i)->name, names[i]);
    const weights_tensor *conv = weights_find(file, "p.conv.weight");
    float w[54];
    mzt_error error;
    must(weights_convert(conv, 0, 54, DTYPE_F32, w, &error), &error);
    assert_int_equal(conv->rank, 4);
    assert_int_equal(conv->shape[1], 3);
    /* [O][I][kh][kw]: the next tap lies three channels further in the network's order, the next channel one
     */
    assert_true(w[1] - w[0] == 3 && w[9] - w[0] == 1 && w[27] - w[0] == 27);
}

static void test_round_trip(void **state) {
    (void)state;
    mzt_error error;
    executor *e;
    network n = {0}, other = {0};
    collection c;
    weights_set *file;
    must(cpu_reference_create(&host, &e, &error), &error);
    open_network(&n, e);
    open_network(&other, e);
    each_state(&n, true);
    collection_begin(&c, &host);
    must(collection_read(&c, &n, "", "p.", &error), &error);
    must(safetensors_save(&host, PATH, c.tensors, c.count, NULL, 0, &error), &error);
    assert_int_equal(collection_read(&c, &n, "m.", "", &error), MZT_ERROR_NOT_FOUND);
    collection_release(&c);
    must(weights_open(&host, PATH, &file, &error), &error);
    check_file(file);
    must(collection_restore(&other, file, "", "p.", &error), &error);
    each_state(&other, false);
    assert_int_equal(collection_restore(&other, file, "", "q.", &error), MZT_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "q."));
    weights_close(file);
    remove(PATH);
    network_destroy(&n);
    network_destroy(&other);
    executor_destroy(e);
    assert_int_equal(counts.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip)};
    host = alloc_count_host(&counts);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
