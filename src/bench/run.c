/* Timing and checking a network; see run.h. */
#include "bench/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "bench/check.h"
#include "bench/made_up.h"
#include "bench/shape.h"

enum { MOST_RUNS = 200 };

typedef struct bench {
    executor *device;
    const bench_options *options;
    bench_result *result;
    plan *plan;
    program *program;
    uint32_t step;     /* the phase that is one evaluation */
    uint32_t *kernel;  /* [dispatch_count] which kernel each dispatch is; PLAN_NONE outside the step */
    uint32_t *example; /* [kernel_count] a dispatch */
    mzt_error *error;
} bench;

static mzt_status going(const bench *b, const char *doing, double share) {
    const bench_options *o = b->options;
    return o->keep_going && !o->keep_going(o->user, doing, share) ? MZT_CANCELLED : MZT_OK;
}

/* ------------------------------------------------------------------------------------------------ kernels --
 */

static bool same_kernel(const plan_dispatch *a, const plan_dispatch *b) {
    return a->op == b->op && memcmp(&a->params, &b->params, sizeof a->params) == 0;
}

static mzt_status list_kernels(bench *b) {
    const base_host *host = b->device->host;
    const plan_phase *phase = &b->plan->phases[b->step];
    b->kernel = host_calloc(host, b->plan->dispatch_count, sizeof *b->kernel);
    b->example = host_calloc(host, phase->count, sizeof *b->example);
    b->result->kernels = host_calloc(host, phase->count, sizeof *b->result->kernels);
    if (!b->kernel || !b->example || !b->result->kernels)
        return error_memory(b->error, "table of kernels", phase->count * sizeof *b->result->kernels);
    memset(b->kernel, 0xff, b->plan->dispatch_count * sizeof *b->kernel);
    bench_result *r = b->result;
    for (uint32_t i = phase->first; i < phase->first + phase->count; i++) {
        const plan_dispatch *d = &b->plan->dispatches[i];
        r->dispatches++;
        r->barriers += d->barrier;
        r->flops += d->flops;
        r->bytes += d->bytes;
        uint32_t k = 0;
        while (k < r->kernel_count && !same_kernel(d, &b->plan->dispatches[b->example[k]]))
            k++;
        if (k == r->kernel_count) {
            bench_kernel *fresh = &r->kernels[r->kernel_count++];
            fresh->op = (op)d->op;
            fresh->flops = d->flops;
            fresh->bytes = d->bytes;
            snprintf(fresh->node, sizeof fresh->node, "%s", plan_string(b->plan, d->node));
            bench_shape((op)d->op, &d->params, fresh->shape, sizeof fresh->shape);
            b->example[k] = i;
        }
        r->kernels[k].count++;
        b->kernel[i] = k;
    }
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------- timing --
 */

static mzt_status run_phase(bench *b, uint32_t phase, const run_control *control) {
    return program_run(b->program, b->plan->phases[phase].first, b->plan->phases[phase].count, control,
                       b->error);
}

/* Whole evaluations, until the median is known to 2 % or time is up. The first run, which may still be
 * building what later ones reuse, does not count. */
static mzt_status time_whole(bench *b) {
    double seconds[MOST_RUNS], sorted[MOST_RUNS];
    uint32_t runs = 0;
    const double start = clock_seconds();
    TRY(run_phase(b, b->step, NULL));
    while (runs < MOST_RUNS) {
        const double begin = clock_seconds();
        TRY(run_phase(b, b->step, NULL));
        seconds[runs++] = clock_seconds() - begin;
        memcpy(sorted, seconds, runs * sizeof *sorted);
        b->result->time = timing_of(sorted, runs);
        const timing *t = &b->result->time;
        const bool late = clock_seconds() - start > b->options->seconds;
        if (runs >= 2 && (late || (runs >= 6 && t->high - t->low < 0.02 * t->median))) break;
        TRY(going(b, "evaluations", fmin((clock_seconds() - start) / b->options->seconds, 1)));
    }
    b->result->stopped |= runs < 6;
    return MZT_OK;
}

/* Each dispatch's own time within an evaluation. */
static mzt_status time_within(bench *b) {
    const base_host *host = b->device->host;
    const plan_phase *phase = &b->plan->phases[b->step];
    double *seconds = host_calloc(host, phase->count, sizeof *seconds);
    if (!seconds) return error_memory(b->error, "timings", phase->count * sizeof *seconds);
    const run_control control = {.seconds = seconds};
    mzt_status status = run_phase(b, b->step, &control);
    for (uint32_t i = 0; status >= 0 && i < phase->count; i++) {
        bench_kernel *k = &b->result->kernels[b->kernel[phase->first + i]];
        k->in_step += seconds[i] / k->count;
        b->result->device_seconds += seconds[i];
    }
    host_free(host, seconds);
    return status;
}

/* Running it again must not change what it reads: not for ops that read what they write. */
static bool repeats(op o) {
    const op_info *info = op_get(o);
    for (uint32_t i = 0; i < info->binding_count; i++)
        if (info->bindings[i].access == OP_READ_WRITE) return false;
    return true;
}

static mzt_status time_alone(bench *b, uint32_t index) {
    bench_kernel *k = &b->result->kernels[index];
    double seconds[MOST_RUNS], sorted[MOST_RUNS];
    uint32_t runs = 0;
    const double start = clock_seconds();
    while (repeats(k->op) && runs < MOST_RUNS) {
        double one = 0;
        const run_control control = {.seconds = &one};
        TRY(program_run(b->program, b->example[index], 1, &control, b->error));
        if (runs == 0 && clock_seconds() - start <
                             0.5 * b->options->kernel_seconds) /* warm-up, unless it takes too long */
            TRY(program_run(b->program, b->example[index], 1, (one = 0, &control), b->error));
        seconds[runs++] = one;
        memcpy(sorted, seconds, runs * sizeof *sorted);
        k->time = timing_of(sorted, runs);
        if (clock_seconds() - start > b->options->kernel_seconds) break;
        if (runs >= 9 && k->time.high - k->time.low < 0.02 * k->time.median) break;
    }
    return MZT_OK;
}

static mzt_status time_kernels(bench *b) {
    const uint32_t count = b->result->kernel_count;
    for (uint32_t i = 0; b->options->kernel_seconds > 0 && i < count && i < b->options->kernels; i++) {
        TRY(going(b, "kernels", (double)i / count));
        TRY(time_alone(b, i));
    }
    b->result->stopped |= b->options->kernels < count;
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------- the run
 * -- */

/* Largest share of an evaluation first. `example` and `kernel` follow. */
static mzt_status sort_kernels(bench *b) {
    const base_host *host = b->device->host;
    const uint32_t count = b->result->kernel_count;
    bench_kernel *kernels = b->result->kernels;
    uint32_t *to = host_calloc(host, count, sizeof *to);
    if (!to) return error_memory(b->error, "table of kernels", count * sizeof *to);
    for (uint32_t i = 0; i < count; i++)
        to[i] = i;
    for (uint32_t i = 1; i < count; i++) { /* by insertion: there are tens */
        for (uint32_t k = i;
             k > 0 && kernels[k - 1].in_step * kernels[k - 1].count < kernels[k].in_step * kernels[k].count;
             k--) {
            const bench_kernel kernel = kernels[k];
            const uint32_t example = b->example[k], from = to[k];
            kernels[k] = kernels[k - 1], kernels[k - 1] = kernel;
            b->example[k] = b->example[k - 1], b->example[k - 1] = example;
            to[k] = to[k - 1], to[k - 1] = from;
        }
    }
    for (uint32_t i = 0; i < b->plan->dispatch_count; i++) {
        for (uint32_t k = 0; b->kernel[i] != PLAN_NONE && k < count; k++)
            if (to[k] == b->kernel[i]) {
                b->kernel[i] = k;
                break;
            }
    }
    host_free(host, to);
    return MZT_OK;
}

static uint64_t count_parameters(const plan *p) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].kind == PLAN_WEIGHT)
            count += dtype_elements((dtype)p->buffers[i].dtype, p->buffers[i].bytes);
    return count;
}

static mzt_status prepare(bench *b, const bench_network *n) {
    const double start = clock_seconds();
    const dtype type = b->options->type;
    graph *g = bench_network_describe(b->device->host, n, type, type, b->error);
    if (!g) return MZT_ERROR_OUT_OF_MEMORY;
    const graph_options options = {.max_range = b->device->limits.max_range};
    mzt_status status = graph_compile(g, &options, &b->plan, b->error);
    graph_destroy(g);
    if (status < 0) return status;
    const uint32_t step = plan_find_phase(b->plan, "step");
    b->step = step == PLAN_NONE ? 0 : step;
    const double compiled = clock_seconds();
    b->result->compile_seconds = compiled - start;
    b->result->parameters = count_parameters(b->plan);
    TRY(executor_prepare(b->device, b->plan, &b->program, b->error));
    TRY(made_up_weights(b->program, NULL, b->error));
    TRY(program_seal(b->program, b->error));
    TRY(made_up_inputs(b->program, NULL, b->error));
    b->result->prepare_seconds = clock_seconds() - compiled;
    b->result->memory = program_memory(b->program);
    return MZT_OK;
}

static mzt_status measure(bench *b) {
    const double start = clock_seconds();
    for (uint32_t i = 0; i < b->step; i++)
        TRY(run_phase(b, i, NULL));
    b->result->setup_seconds = clock_seconds() - start;
    TRY(list_kernels(b));
    TRY(time_whole(b));
    TRY(time_within(b));
    TRY(sort_kernels(b));
    return time_kernels(b);
}

static mzt_status check(bench *b) {
    if (b->options->check_items == 0) return MZT_OK;
    bench_check c = {.program = b->program,
                     .kernel_of = b->kernel,
                     .kernels = b->result->kernels,
                     .items = b->options->check_items,
                     .perturbed = PLAN_NONE,
                     .keep_going = b->options->keep_going,
                     .user = b->options->user};
    if (b->options->perturb) c.perturbed = plan_find_dispatch(b->plan, b->options->perturb);
    TRY(bench_check_run(&c, b->error));
    for (uint32_t i = 0; i < b->result->kernel_count; i++)
        b->result->wrong |= b->result->kernels[i].wrong;
    return MZT_OK;
}

mzt_status bench_run(executor *device, const bench_network *n, const bench_options *options,
                     bench_result *out, mzt_error *error) {
    *out = (bench_result){.network = *n, .type = options->type};
    bench b = {.device = device, .options = options, .result = out, .error = error};
    mzt_status status = prepare(&b, n);
    if (status >= 0) status = measure(&b);
    if (status >= 0) status = check(&b);
    program_destroy(b.program);
    plan_destroy(b.plan);
    host_free(device->host, b.kernel);
    host_free(device->host, b.example);
    if (status < 0) bench_result_destroy(device->host, out);
    return status;
}

void bench_result_destroy(const base_host *host, bench_result *r) {
    host_free(host, r->kernels);
    *r = (bench_result){0};
}
