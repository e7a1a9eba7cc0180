/* mezzotint bench: how fast networks and their kernels run on a device, with every result checked. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/threads.h"
#include "bench/report.h"
#include "bench/text.h"
#include "command.h"
#include "pipeline/network.h"
#include "progress.h"

enum { MAX_DEVICES = 8 };

#ifndef MZT_REVISION
#define MZT_REVISION ""
#endif

/* What a suite runs: the networks, and for how long. */
typedef struct suite_row {
    const char *suite, *model;
    bench_part part;
    uint32_t batch, size;
    bool gpu_only; /* minutes on a processor */
} suite_row;

static const suite_row rows[] = {
    {"quick", "sd15", BENCH_UNET, 1, 128, false},
    {"standard", "sd15", BENCH_TEXT_ENCODER, 2, 512, false},
    {"standard", "sd15", BENCH_UNET, 1, 256, false},
    {"standard", "sd15", BENCH_UNET, 2, 256, true},
    {"standard", "sd15", BENCH_UNET, 2, 512, true},
    {"standard", "sd15", BENCH_VAE_DECODER, 1, 256, false},
    {"standard", "sd15", BENCH_VAE_DECODER, 1, 512, true},
    {"standard", "sdxl", BENCH_UNET, 2, 1024, true},
    {"full", "sd15", BENCH_TEXT_ENCODER, 2, 512, false},
    {"full", "sd15", BENCH_UNET, 1, 256, false},
    {"full", "sd15", BENCH_UNET, 2, 256, false},
    {"full", "sd15", BENCH_UNET, 1, 512, false},
    {"full", "sd15", BENCH_UNET, 2, 512, false},
    {"full", "sd15", BENCH_VAE_DECODER, 1, 256, false},
    {"full", "sd15", BENCH_VAE_DECODER, 1, 512, false},
    {"full", "sdxl", BENCH_UNET, 2, 1024, true},
    {"full", "sdxl", BENCH_VAE_DECODER, 1, 1024, true},
};

enum { ROW_COUNT = sizeof rows / sizeof *rows };

typedef struct bench_settings {
    const char *device[MAX_DEVICES], *suite, *json, *type, *perturb;
    uint32_t device_count, items;
    double seconds;
} bench_settings;

typedef struct watching {
    progress bar;
    const char *doing;
} watching;

static bool watch(void *user, const char *doing, double share) {
    watching *w = user;
    if (w->doing != doing) {
        progress_end(&w->bar);
        w->bar = progress_begin(doing, false);
        w->doing = doing;
    }
    progress_update(&w->bar, share, 1);
    return !command_interrupted();
}

static void print_result(const bench_result *r, const bench_peaks *peaks) {
    char a[24], b[24], c[24], d[32], e[32];
    const double peak = bench_peak_rate(peaks, "matrix product");
    printf("\n%s %s, batch %u, %u x %u: %s (%s ... %s, %u runs), %s, %.0f %% of the best matrix product%s\n",
           r->network.model->name, bench_part_name(r->network.part), (unsigned)r->network.batch,
           (unsigned)r->network.size, (unsigned)r->network.size, text_seconds(r->time.median, a),
           text_seconds(r->time.low, b), text_seconds(r->time.high, c), (unsigned)r->time.runs,
           text_rate((double)r->flops / r->time.median, "FLOP/s", d),
           peak > 0 ? 100 * (double)r->flops / r->time.median / peak : 0, r->wrong ? "   WRONG RESULTS" : "");
    printf("  %u dispatches, %u barriers, %s held; sum of the kernels' times %.1f %% of it\n",
           (unsigned)r->dispatches, (unsigned)r->barriers, text_rate((double)r->memory, "B", e),
           100 * r->device_seconds / r->time.median);
    printf("  %-17s %-36s %5s %10s %14s %12s  %s\n", "kernel", "shape", "times", "each", "rate", "share",
           "error");
    for (uint32_t i = 0; i < r->kernel_count && i < 14; i++) {
        const bench_kernel *k = &r->kernels[i];
        const double each = k->time.runs ? k->time.median : k->in_step;
        printf("  %-17s %-36.36s %5u %10s %14s %10.1f %%  ", op_get(k->op)->name, k->shape,
               (unsigned)k->count, text_seconds(each, a),
               k->flops ? text_rate((double)k->flops / each, "FLOP/s", d)
                        : text_rate((double)k->bytes / each, "B/s", d),
               100 * k->in_step * k->count / r->device_seconds);
        if (!k->checked)
            printf("not checked\n");
        else
            printf("%.1e%s\n", k->error, k->wrong ? "  WRONG" : "");
    }
}

static mzt_status run_device(command_context *context, const bench_settings *s, const char *spec,
                             bench_model *models, bench_device_result *out, mzt_error *error) {
    const base_host *host = &context->host;
    executor *device = NULL;
    precision wanted;
    watching w = {.bar = progress_begin("peaks", false)};
    TRY(precision_parse(s->type, &wanted, error));
    TRY(device_open(host, spec, &device, error));
    out->limits = device->limits;
    mzt_status status = precision_resolve(wanted, &device->limits, &out->type, error);
    if (status >= 0) status = bench_peaks_measure(device, out->type, s->seconds / 5, &out->peaks, error);
    progress_end(&w.bar);
    char a[32], b[32];
    if (status >= 0)
        printf("\n%s (%s), %s, tier %u: best matrix product %s, copy %s\n", device->limits.name,
               device->limits.spec, dtype_name(out->type), (unsigned)device->limits.tier,
               text_rate(out->peaks.list[0].rate, "FLOP/s", a), text_rate(out->peaks.list[1].rate, "B/s", b));
    for (int i = 0; status >= 0 && i < ROW_COUNT; i++) {
        const suite_row *row = &rows[i];
        if (strcmp(row->suite, s->suite) != 0 || (row->gpu_only && !device->limits.is_gpu)) continue;
        const bench_network n = {&models[strcmp(row->model, "sdxl") == 0], row->part, row->batch, row->size};
        const bench_options options = {.type = out->type,
                                       .seconds = s->seconds,
                                       .kernel_seconds = s->seconds / 100,
                                       .kernels = 40,
                                       .check_items = s->items,
                                       .perturb = s->perturb,
                                       .keep_going = watch,
                                       .user = &w};
        if (!HOST_GROW(host, out->results, out->count, out->capacity))
            status = error_memory(error, "results", sizeof *out->results);
        if (status >= 0) status = bench_run(device, &n, &options, &out->results[out->count], error);
        progress_end(&w.bar);
        w.doing = NULL;
        if (status >= 0) print_result(&out->results[out->count++], &out->peaks);
        fflush(stdout);
    }
    executor_destroy(device);
    return status;
}

static mzt_status write_json(const base_host *host, const char *path, const bench_report *report,
                             mzt_error *error) {
    json_writer w = json_writer_make(host);
    char *text = NULL;
    size_t length;
    bench_report_write(&w, report);
    TRY(json_writer_finish(&w, &text, &length, error));
    mzt_status status = file_write(host, path, text, length, error);
    host_free(host, text);
    if (status >= 0) printf("\nwrote %s\n", path);
    return status;
}

static mzt_status run_all(command_context *context, const bench_settings *s, mzt_error *error) {
    const base_host *host = &context->host;
    bench_model models[2];
    bench_device_result devices[MAX_DEVICES] = {{.count = 0}};
    bench_report report = {
        .suite = s->suite, .revision = MZT_REVISION, .facts = bench_facts_read(), .devices = devices};
    TRY(bench_model_published(host, "sd15", &models[0], error));
    TRY(bench_model_published(host, "sdxl", &models[1], error));
    printf("mezzotint %s %s, %s, %s, %u processors", MZT_VERSION_STRING, report.revision, report.facts.system,
           report.facts.processor, (unsigned)report.facts.processors);
    if (report.facts.load >= 0) printf(", load %.2f", report.facts.load);
    if (report.facts.load > 0.5) printf(" (busy: figures will vary)");
    printf("\n");
    mzt_status status = MZT_OK;
    bool wrong = false;
    for (uint32_t i = 0; status >= 0 && i < s->device_count; i++) {
        status = run_device(context, s, s->device[i], models, &devices[i], error);
        report.count++;
        for (uint32_t k = 0; k < devices[i].count; k++)
            wrong |= devices[i].results[k].wrong;
    }
    if (status >= 0 && s->json) status = write_json(host, s->json, &report, error);
    for (uint32_t i = 0; i < report.count; i++) {
        for (uint32_t k = 0; k < devices[i].count; k++)
            bench_result_destroy(host, &devices[i].results[k]);
        host_free(host, devices[i].results);
    }
    if (status >= 0 && wrong)
        status = error_set(error, MZT_ERROR_INTERNAL,
                           "some kernels gave wrong results: those rows count for nothing");
    return status;
}

/* Commas divide several devices. */
static mzt_status split_devices(char *list, bench_settings *s, mzt_error *error) {
    for (char *name = list; name;) {
        char *comma = strchr(name, ',');
        if (comma) *comma++ = '\0';
        if (s->device_count == MAX_DEVICES)
            return error_set(error, MZT_ERROR_INVALID, "--device: more than %d devices", MAX_DEVICES);
        s->device[s->device_count++] = name;
        name = comma;
    }
    return MZT_OK;
}

static mzt_status check_suite(const char *suite, mzt_error *error) {
    for (int i = 0; i < ROW_COUNT; i++)
        if (strcmp(rows[i].suite, suite) == 0) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "--suite %s: there are quick, standard and full", suite);
}

mzt_status command_bench(command_context *context, int argc, char **argv, mzt_error *error) {
    bench_settings s = {.suite = "standard", .type = "auto", .items = 64, .seconds = 30};
    const char *devices = "auto";
    const option options[] = {
        {'d', "device", "NAMES", "what to time, as mezzotint devices names them; commas divide several",
         OPTION_TEXT, &devices, 0, 0, NULL},
        {0, "suite", "NAME", "quick (a minute), standard or full", OPTION_TEXT, &s.suite, 0, 0, NULL},
        {0, "precision", "TYPE", "auto, f32, f16, bf16", OPTION_TEXT, &s.type, 0, 0, NULL},
        {0, "seconds", "N", "limit for timing each network, at least two runs", OPTION_NUMBER, &s.seconds,
         0.1, 3600, NULL},
        {0, "check", "N", "rows of each kernel held against the reference; 0: none", OPTION_COUNT, &s.items,
         0, 1e9, NULL},
        {0, "perturb", "NODE", "spoil this node's result, to see that it is found", OPTION_TEXT, &s.perturb,
         0, 0, NULL},
        {0, "json", "FILE", "write all figures here, for mezzotint compare", OPTION_TEXT, &s.json, 0, 0,
         NULL},
    };
    const option_set set = {
        "bench",
        "",
        "Times networks and their kernels, and checks in the same run that results are right.",
        "Weights are made up. Exits with 1 when a kernel's result was wrong.",
        options,
        sizeof options / sizeof *options,
        0,
        0};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, NULL, &operand_count, error);
    if (status != MZT_OK) return status;
    TRY(check_suite(s.suite, error));
    char *list = host_strdup(&context->host, devices);
    if (!list) return error_memory(error, "--device", strlen(devices));
    status = split_devices(list, &s, error);
    if (status >= 0) status = run_all(context, &s, error);
    host_free(&context->host, list);
    return status;
}
