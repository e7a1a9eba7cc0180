/* What a device can do at best; see peaks.h. */
#include "bench/peaks.h"

#include <string.h>

#include "base/threads.h"
#include "bench/made_up.h"
#include "graph/graph.h"

typedef graph *describer(const base_host *host, dtype type, uint32_t size);

static graph *describe_product(const base_host *host, dtype type, uint32_t size) {
    graph *g = graph_create(host, type, type);
    if (!g) return NULL;
    tensor x = graph_input(g, "x", type, (shape4){1, size, 1, size});
    graph_output(g, graph_linear(g, x, "product", size, false), "output");
    return g;
}

static graph *describe_copy(const base_host *host, dtype type, uint32_t mebi) {
    graph *g = graph_create(host, type, type);
    if (!g) return NULL;
    tensor x = graph_input(g, "x", type, (shape4){mebi, 1024, 1, 1024 / (uint32_t)dtype_size(type)});
    graph_output(g, graph_unary(g, x, UNARY_IDENTITY, 1, 0, type), "output");
    return g;
}

/* The least seconds of dispatch 0, and its work. */
static mzt_status time_first(executor *device, graph *g, double limit, double *seconds, uint64_t *flops,
                             uint64_t *bytes, mzt_error *error) {
    const graph_options options = {.max_range = device->limits.max_range};
    plan *p = NULL;
    program *run = NULL;
    mzt_status status = graph_compile(g, &options, &p, error);
    graph_destroy(g);
    if (status >= 0) status = executor_prepare(device, p, &run, error);
    if (status >= 0) status = made_up_weights(run, NULL, error);
    if (status >= 0) status = program_seal(run, error);
    if (status >= 0) status = made_up_inputs(run, NULL, error);
    const double start = clock_seconds();
    *seconds = 0;
    for (int i = 0; status >= 0 && (i < 3 || clock_seconds() - start < limit); i++) {
        double one = 0;
        const run_control control = {.seconds = &one};
        status = program_run(run, 0, 1, &control, error);
        if (i > 0 && one > 0 && (*seconds == 0 || one < *seconds)) *seconds = one;
    }
    if (status >= 0) {
        *flops = p->dispatches[0].flops;
        *bytes = p->dispatches[0].bytes;
    }
    program_destroy(run);
    plan_destroy(p);
    return status;
}

static mzt_status best(executor *device, dtype type, describer *describe, const uint32_t *sizes,
                       uint32_t count, double seconds, bool moves, double *rate, mzt_error *error) {
    *rate = 0;
    for (uint32_t i = 0; i < count; i++) {
        double least;
        uint64_t flops = 0, bytes = 0;
        graph *g = describe(device->host, type, sizes[i]);
        if (!g) return error_memory(error, "graph", sizeof *g);
        TRY(time_first(device, g, seconds / count, &least, &flops, &bytes, error));
        const double work = (double)(moves ? bytes : flops);
        if (least > 0 && work / least > *rate) *rate = work / least;
        if (least > seconds) break; /* the larger ones would take minutes */
    }
    return MZT_OK;
}

mzt_status bench_peaks_measure(executor *device, dtype type, double seconds, bench_peaks *out,
                               mzt_error *error) {
    static const uint32_t sizes[] = {256, 512, 1024, 2048, 4096}, mebi[] = {64};
    const uint32_t products = device->limits.is_gpu ? 5 : 3;
    *out = (bench_peaks){.count = 2};
    out->list[0] = (bench_peak){.what = "matrix product", .unit = "FLOP/s"};
    out->list[1] = (bench_peak){.what = "copy", .unit = "B/s"};
    TRY(best(device, type, describe_product, sizes, products, seconds, false, &out->list[0].rate, error));
    return best(device, type, describe_copy, mebi, 1, seconds, true, &out->list[1].rate, error);
}

double bench_peak_rate(const bench_peaks *peaks, const char *what) {
    for (uint32_t i = 0; i < peaks->count; i++)
        if (strcmp(peaks->list[i].what, what) == 0) return peaks->list[i].rate;
    return 0;
}
