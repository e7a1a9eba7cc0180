/* Timed kernels against the reference; see check.h. */
#include "bench/check.h"

#include <math.h>
#include <string.h>

#include "bench/made_up.h"

typedef struct checking {
    bench_check *check;
    const plan *plan;
    program *reference;
    uint8_t *device_bytes, *reference_bytes; /* each as large as the largest buffer */
    mzt_error *error;
} checking;

static uint64_t visible(const plan *p, const plan_binding *b) {
    const uint64_t rest = p->buffers[b->buffer].bytes - b->offset;
    return b->range < rest ? b->range : rest;
}

static mzt_status mirror(checking *c, const plan_binding *b) {
    const uint64_t size = visible(c->plan, b);
    TRY(program_read(c->check->program, b->buffer, b->offset, c->device_bytes, size, c->error));
    return program_write(c->reference, b->buffer, b->offset, c->device_bytes, size, c->error);
}

/* A pattern that no kernel writes (a NaN in every floating type) marks what the reference leaves out. */
static mzt_status blank(checking *c, const plan_binding *b) {
    const uint64_t size = visible(c->plan, b);
    memset(c->reference_bytes, 0xff, (size_t)size);
    return program_write(c->reference, b->buffer, b->offset, c->reference_bytes, size, c->error);
}

static mzt_status spoil(checking *c, const plan_binding *b, dtype type) {
    const uint64_t size = visible(c->plan, b);
    TRY(program_read(c->check->program, b->buffer, b->offset, c->device_bytes, size, c->error));
    for (uint64_t i = 0; i < size / dtype_size(type); i++)
        dtype_store(type, c->device_bytes, i, dtype_load(type, c->device_bytes, i) * 1.05);
    return program_write(c->check->program, b->buffer, b->offset, c->device_bytes, size, c->error);
}

/* ||device - reference|| / ||reference|| over the elements that the reference computed; infinite where the
 * device gave no number, or when there are none to compare. */
static mzt_status compare(checking *c, const plan_binding *b, dtype type, double *out) {
    const uint64_t size = visible(c->plan, b), width = dtype_size(type);
    TRY(program_read(c->check->program, b->buffer, b->offset, c->device_bytes, size, c->error));
    TRY(program_read(c->reference, b->buffer, b->offset, c->reference_bytes, size, c->error));
    const uint8_t untouched[4] = {0xff, 0xff, 0xff, 0xff};
    double difference = 0, norm = 0;
    uint64_t compared = 0;
    for (uint64_t i = 0; i < size / width; i++) {
        if (memcmp(c->reference_bytes + i * width, untouched, (size_t)width) == 0) continue;
        const double wanted = dtype_load(type, c->reference_bytes, i),
                     found = dtype_load(type, c->device_bytes, i);
        const double distance = found - wanted;
        compared++;
        difference += isfinite(found) ? distance * distance : INFINITY;
        norm += wanted * wanted;
    }
    *out = compared == 0 ? INFINITY : difference == 0 ? 0 : norm > 0 ? sqrt(difference / norm) : INFINITY;
    return MZT_OK;
}

static mzt_status check_dispatch(checking *c, uint32_t index, bench_kernel *k) {
    const plan_dispatch *d = &c->plan->dispatches[index];
    const op_info *info = op_get((op)d->op);
    const plan_binding *out = &d->bindings[info->output];
    const dtype type = (dtype)c->plan->buffers[out->buffer].dtype;
    TRY(blank(c, out)); /* before the inputs: in place, the output is one of them */
    for (uint32_t b = 0; b < info->binding_count; b++) {
        const plan_binding *binding = &d->bindings[b];
        if (binding->buffer == PLAN_NONE || c->plan->buffers[binding->buffer].kind == PLAN_WEIGHT) continue;
        if (info->bindings[b].access & OP_READ) TRY(mirror(c, binding));
    }
    TRY(program_run(c->reference, index, 1, NULL, c->error));
    TRY(program_run(c->check->program, index, 1, NULL, c->error));
    if (c->check->perturbed == index) TRY(spoil(c, out, type));
    const uint32_t activation = c->plan->activation;
    k->limit = info->limit[activation == DTYPE_F16 ? 1 : activation == DTYPE_BF16 ? 2 : 0];
    TRY(compare(c, out, type, &k->error));
    k->checked = true;
    k->wrong = !(k->error <= k->limit);
    return MZT_OK;
}

static mzt_status check_all(checking *c) {
    const bench_check *check = c->check;
    TRY(made_up_inputs(check->program, c->reference, c->error));
    for (uint32_t i = 0; i < c->plan->dispatch_count; i++) {
        const uint32_t kernel = check->kernel_of[i];
        bench_kernel *k = kernel == PLAN_NONE ? NULL : &check->kernels[kernel];
        if (k && (!k->checked || i == check->perturbed) && c->plan->dispatches[i].piece == 0)
            TRY(check_dispatch(c, i, k));
        else
            TRY(program_run(check->program, i, 1, NULL, c->error));
        if (check->keep_going &&
            !check->keep_going(check->user, "results", (double)i / c->plan->dispatch_count))
            return MZT_CANCELLED;
    }
    return MZT_OK;
}

mzt_status bench_check_run(bench_check *check, mzt_error *error) {
    const base_host *host = check->program->owner->host;
    checking c = {.check = check, .plan = check->program->plan, .error = error};
    executor *reference = NULL;
    uint64_t largest = 4;
    for (uint32_t i = 0; i < c.plan->buffer_count; i++)
        if (c.plan->buffers[i].kind != PLAN_WEIGHT && c.plan->buffers[i].bytes > largest)
            largest = c.plan->buffers[i].bytes;
    c.device_bytes = host_calloc(host, (size_t)largest, 1);
    c.reference_bytes = host_calloc(host, (size_t)largest, 1);
    mzt_status status =
        c.device_bytes && c.reference_bytes ? MZT_OK : error_memory(error, "buffers to compare", 2 * largest);
    if (status >= 0) status = cpu_reference_create_sampled(host, check->items, &reference, error);
    if (status >= 0) status = executor_prepare(reference, c.plan, &c.reference, error);
    if (status >= 0) status = made_up_weights(c.reference, NULL, error);
    if (status >= 0) status = program_seal(c.reference, error);
    if (status >= 0) status = check_all(&c);
    program_destroy(c.reference);
    executor_destroy(reference);
    host_free(host, c.device_bytes);
    host_free(host, c.reference_bytes);
    return status;
}
