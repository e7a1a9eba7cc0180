/* Benchmarks: the figures of repeated timings, the check that comes with every timing, and results written,
 * read back and compared. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/file.h"
#include "bench/compare.h"
#include "bench/report.h"
#include "tiny_plan.h"

static base_host host;
static mzt_error error;

static void test_statistics(void **state) {
    (void)state;
    double few[] = {3, 1, 2};
    timing t = timing_of(few, 3);
    assert_true(t.median == 2 && t.low == 1 && t.high == 3 && t.least == 1 && t.runs == 3);
    double many[100];
    for (int i = 0; i < 100; i++)
        many[i] = 100 - i;
    t = timing_of(many, 100);
    assert_true(t.median == 50.5);
    /* 95 % of a binomial(100, 1/2) lies within 40 ... 60: order statistics 40 and 61, counted from 1. */
    assert_true(t.low >= 39 && t.low <= 41 && t.high >= 60 && t.high <= 62);
    const timing slow = {.median = 70, .low = 65, .high = 75},
                 near_it = {.median = 55, .low = 52, .high = 66};
    assert_true(timing_differs(&t, &slow) && timing_differs(&slow, &t));
    assert_false(timing_differs(&t, &near_it));
}

/* Of 1000 values 10 are computed, evenly spread and right; the others stay as they were. */
static void test_sampled_reference(void **state) {
    (void)state;
    tiny_plan t;
    tiny_begin(&t, &host, DTYPE_F32, DTYPE_F32);
    const uint32_t x = tiny_buffer(&t, PLAN_PERSISTENT, DTYPE_F32, 1000),
                   y = tiny_buffer(&t, PLAN_PERSISTENT, DTYPE_F32, 1000);
    t.buffers[x].role = PLAN_ROLE_INPUT;
    t.buffers[y].role = PLAN_ROLE_OUTPUT;
    tiny_unary(&t, true, UNARY_IDENTITY, 2, 1, x, y);
    executor *e;
    program *g;
    float in[1000], out[1000];
    for (int i = 0; i < 1000; i++)
        in[i] = (float)i, out[i] = -5;
    assert_int_equal(cpu_reference_create_sampled(&host, 10, &e, &error), MZT_OK);
    assert_int_equal(executor_prepare(e, &t.plan, &g, &error), MZT_OK);
    assert_int_equal(program_seal(g, &error), MZT_OK);
    assert_int_equal(program_write(g, x, 0, in, sizeof in, &error), MZT_OK);
    assert_int_equal(program_write(g, y, 0, out, sizeof out, &error), MZT_OK);
    assert_int_equal(program_run(g, 0, 1, NULL, &error), MZT_OK);
    assert_int_equal(program_read(g, y, 0, out, sizeof out, &error), MZT_OK);
    for (int i = 0; i < 1000; i++)
        assert_true(out[i] == (i % 100 == 50 ? 2 * in[i] + 1 : -5));
    program_destroy(g);
    executor_destroy(e);
}

static void run_tiny(const bench_model *model, const char *perturb, bench_result *result) {
    executor *cpu;
    assert_int_equal(cpu_create(&host, 0, &cpu, &error), MZT_OK);
    const bench_network n = {model, BENCH_UNET, 2, 64};
    const bench_options options = {.type = DTYPE_F32,
                                   .seconds = 0.05,
                                   .kernel_seconds = 0.001,
                                   .kernels = 5,
                                   .check_items = 16,
                                   .perturb = perturb};
    if (bench_run(cpu, &n, &options, result, &error) != MZT_OK) fail_msg("%s", error.message);
    executor_destroy(cpu);
}

/* What is timed is checked: all kernels of a sound device are right, and a spoiled one is found and named. */
static void test_wrong_is_found(void **state) {
    (void)state;
    bench_model model;
    bench_result good, bad;
    assert_int_equal(bench_model_published(&host, "tiny", &model, &error), MZT_OK);
    run_tiny(&model, NULL, &good);
    assert_true(good.kernel_count > 10 && good.flops > 0 && good.time.runs >= 2 && good.time.median > 0);
    assert_false(good.wrong);
    uint32_t dispatches = 0, timed = 0;
    for (uint32_t i = 0; i < good.kernel_count; i++) {
        assert_true(good.kernels[i].checked && good.kernels[i].error <= good.kernels[i].limit);
        dispatches += good.kernels[i].count;
        timed += good.kernels[i].time.runs > 0;
    }
    assert_int_equal(dispatches, good.dispatches);
    assert_int_equal(timed, 5);
    run_tiny(&model, "conv_out", &bad);
    assert_true(bad.wrong);
    for (uint32_t i = 0; i < bad.kernel_count; i++)
        assert_int_equal(bad.kernels[i].wrong, strcmp(bad.kernels[i].node, "conv_out") == 0);
    bench_result_destroy(&host, &good);
    bench_result_destroy(&host, &bad);
}

/* A report of one made-up device with one network. */
static char *write_report(const char *name, double median, bool wrong) {
    static const bench_model model = {.name = "tiny"};
    bench_kernel kernel = {.op = OP_CONV2D,
                           .shape = "[1,8,8,4]",
                           .node = "conv<in>",
                           .count = 1,
                           .flops = 1000,
                           .bytes = 100,
                           .in_step = median};
    bench_result result = {.network = {&model, BENCH_UNET, 1, 64},
                           .flops = 1000,
                           .dispatches = 1,
                           .time = {median, 0.9 * median, 1.1 * median, 0.9 * median, 7},
                           .device_seconds = median,
                           .kernels = &kernel,
                           .kernel_count = 1,
                           .wrong = wrong};
    bench_device_result device = {.results = &result,
                                  .count = 1,
                                  .peaks = {{{"matrix product", "FLOP/s", 1e9}, {"copy", "B/s", 1e8}}, 2}};
    snprintf(device.limits.name, sizeof device.limits.name, "%s", "Some <GPU>");
    const bench_report report = {
        .suite = "quick", .revision = "abc", .facts = bench_facts_read(), .devices = &device, .count = 1};
    json_writer w = json_writer_make(&host);
    char *text;
    static char path[2][256];
    char *to = path[median > 1];
    snprintf(to, sizeof path[0], "%s/%s", MZT_BINARY_DIR, name);
    bench_report_write(&w, &report);
    assert_int_equal(json_writer_finish(&w, &text, NULL, &error), MZT_OK);
    assert_int_equal(file_write(&host, to, text, strlen(text), &error), MZT_OK);
    host_free(&host, text);
    return to;
}

static void test_compare(void **state) {
    (void)state;
    bench_file files[2];
    assert_int_equal(bench_file_read(&host, write_report("bench-a.json", 1, false), &files[0], &error),
                     MZT_OK);
    assert_int_equal(bench_file_read(&host, write_report("bench-b.json", 2, false), &files[1], &error),
                     MZT_OK);
    assert_true(files[0].devices[0].networks[0].time.median == 1 && files[0].devices[0].product_rate == 1e9);
    compare_column *columns;
    uint32_t count;
    assert_int_equal(compare_columns(&host, files, 2, &columns, &count, &error), MZT_OK);
    assert_int_equal(count, 2);
    text_builder t = text_make(&host);
    char *text;
    compare_table(&t, columns, count);
    assert_int_equal(text_finish(&t, &text, NULL, &error), MZT_OK);
    assert_non_null(strstr(text, "fastest"));
    assert_non_null(strstr(text, "2.00 x as long"));
    host_free(&host, text);
    compare_page(&t, columns, count);
    assert_int_equal(text_finish(&t, &text, NULL, &error), MZT_OK);
    assert_null(strstr(text, "<GPU>")); /* names are escaped */
    assert_null(strstr(text, "http"));  /* and nothing is fetched */
    host_free(&host, text);
    assert_int_equal(compare_regressions(&t, &files[0], &files[1]), 1);
    assert_int_equal(compare_regressions(&t, &files[1], &files[0]), 0);
    assert_int_equal(compare_regressions(&t, &files[1], &files[1]), 0);
    text_discard(&t);
    host_free(&host, columns);
    bench_file_destroy(&files[0]);
    bench_file_destroy(&files[1]);
}

static void test_wrong_is_not_ranked(void **state) {
    (void)state;
    bench_file file;
    assert_int_equal(bench_file_read(&host, write_report("bench-w.json", 1, true), &file, &error), MZT_OK);
    const compare_column column = {&file, &file.devices[0]};
    text_builder t = text_make(&host);
    char *text;
    compare_table(&t, &column, 1);
    assert_int_equal(text_finish(&t, &text, NULL, &error), MZT_OK);
    assert_non_null(strstr(text, "not ranked"));
    assert_null(strstr(text, "fastest"));
    host_free(&host, text);
    bench_file_destroy(&file);
}

static void test_hostile_files(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{\"format\": \"other\"}",
        "{\"format\": \"mezzotint-bench\", \"version\": 2}",
        "{\"format\": \"mezzotint-bench\", \"version\": 1, \"host\": {}, \"devices\": 3}",
        "{\"format\": \"mezzotint-bench\", \"version\": 1, \"host\": {}, \"devices\": [{\"name\": \"a\", "
        "\"type\": \"f32\", \"peaks\": "
        "[], \"networks\": [{\"model\": \"m\", \"network\": \"u\", \"batch\": -1}]}]}",
        "{\"format\": \"mezzotint-bench\", \"version\": 1, \"host\": {}, \"devices\": [{\"name\": \"a\", "
        "\"type\": \"f32\", \"peaks\": "
        "[{\"what\": \"copy\", \"rate\": Infinity}], \"networks\": []}]}",
    };
    char path[256];
    snprintf(path, sizeof path, "%s/bench-hostile.json", MZT_BINARY_DIR);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        bench_file file;
        assert_int_equal(file_write(&host, path, texts[i], strlen(texts[i]), &error), MZT_OK);
        assert_true(bench_file_read(&host, path, &file, &error) < 0);
        assert_non_null(strstr(error.message, "bench-hostile.json"));
        assert_null(strchr(error.message, '\n'));
    }
}

int main(void) {
    alloc_count counts = {0};
    host = alloc_count_host(&counts); /* the thread pool of the CPU executor allocates on this thread only */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),          cmocka_unit_test(test_sampled_reference),
        cmocka_unit_test(test_wrong_is_found),      cmocka_unit_test(test_compare),
        cmocka_unit_test(test_wrong_is_not_ranked), cmocka_unit_test(test_hostile_files),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (counts.live != 0) print_message("%ld blocks were not freed\n", counts.live);
    return failed || counts.live != 0;
}
