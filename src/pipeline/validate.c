/* A device against the reference, node by node; see validate.h. */
#include "pipeline/validate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/validate_networks.h"

/* One network's plan, prepared on both sides. */
typedef struct pair {
    const base_host *host;
    const validate_request *request;
    validate_summary *summary;
    const char *component;
    plan *plan;
    program *device, *reference;
    void *bytes; /* as large as the largest buffer */
    double *expected, *found;
    uint32_t perturbed; /* dispatch, or PLAN_NONE */
    bool perturb_seen;
    mzt_error *error;
} pair;

static double limit_of(const op_info *info, uint32_t activation) {
    return info->limit[activation == DTYPE_F16 ? 1 : activation == DTYPE_BF16 ? 2 : 0];
}

/* The end-to-end limit of a network: errors of its nodes add up. */
static double whole_limit(uint32_t activation) {
    return activation == DTYPE_F16 ? 5e-3 : activation == DTYPE_BF16 ? 2e-2 : 1e-4;
}

static mzt_status load(pair *p, program *from, const plan_binding *b, double *values, uint64_t *count) {
    const plan_buffer *buffer = &p->plan->buffers[b->buffer];
    uint64_t size = b->range < buffer->bytes - b->offset ? b->range : buffer->bytes - b->offset;
    TRY(program_read(from, b->buffer, b->offset, p->bytes, size, p->error));
    *count = size / dtype_size((dtype)buffer->dtype);
    for (uint64_t i = 0; i < *count; i++)
        values[i] = dtype_load((dtype)buffer->dtype, p->bytes, i);
    return MZT_OK;
}

/* Gives the device the bytes that the reference sees through this binding. */
static mzt_status mirror(pair *p, const plan_binding *b) {
    const plan_buffer *buffer = &p->plan->buffers[b->buffer];
    uint64_t size = b->range < buffer->bytes - b->offset ? b->range : buffer->bytes - b->offset;
    TRY(program_read(p->reference, b->buffer, b->offset, p->bytes, size, p->error));
    return program_write(p->device, b->buffer, b->offset, p->bytes, size, p->error);
}

/* Every value 5 % too large. */
static mzt_status spoil(pair *p, const plan_binding *b) {
    const plan_buffer *buffer = &p->plan->buffers[b->buffer];
    const dtype type = (dtype)buffer->dtype;
    uint64_t size = b->range < buffer->bytes - b->offset ? b->range : buffer->bytes - b->offset;
    TRY(program_read(p->device, b->buffer, b->offset, p->bytes, size, p->error));
    for (uint64_t i = 0; i < size / dtype_size(type); i++)
        dtype_store(type, p->bytes, i, dtype_load(type, p->bytes, i) * 1.05 + (type == DTYPE_U32));
    return program_write(p->device, b->buffer, b->offset, p->bytes, size, p->error);
}

static double relative_error(const double *found, const double *expected, uint64_t count) {
    double difference = 0, norm = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(found[i]) && isfinite(expected[i])) return INFINITY;
        double d = found[i] - expected[i];
        difference += d * d;
        norm += expected[i] * expected[i];
    }
    if (difference == 0) return 0;
    return norm > 0 ? sqrt(difference / norm) : INFINITY;
}

static mzt_status report(pair *p, validate_row row, double share) {
    validate_summary *s = p->summary;
    row.component = p->component;
    row.passed = row.error <= row.limit;
    s->rows++;
    if (!row.passed && s->failed++ == 0) {
        snprintf(s->first_component, sizeof s->first_component, "%s", row.component);
        snprintf(s->first_node, sizeof s->first_node, "%s", row.node);
        snprintf(s->first_op, sizeof s->first_op, "%s", row.op);
        s->first_error = row.error;
        s->first_limit = row.limit;
    }
    if (p->request->report && !p->request->report(p->request->user, &row, share)) return MZT_CANCELLED;
    return MZT_OK;
}

static mzt_status check_dispatch(pair *p, uint32_t index) {
    const plan_dispatch *d = &p->plan->dispatches[index];
    const op_info *info = op_get((op)d->op);
    for (uint32_t b = 0; b < info->binding_count; b++) {
        const plan_binding *binding = &d->bindings[b];
        if (binding->buffer == PLAN_NONE || p->plan->buffers[binding->buffer].kind == PLAN_WEIGHT) continue;
        if (info->bindings[b].access & OP_READ) TRY(mirror(p, binding));
    }
    const plan_binding *out = &d->bindings[info->output];
    if (d->piece > 0)
        TRY(mirror(p, out)); /* a later piece of a cut node adds to what the earlier ones wrote */
    TRY(program_run(p->reference, index, 1, NULL, p->error));
    TRY(program_run(p->device, index, 1, NULL, p->error));
    if (p->perturbed == index) TRY(spoil(p, out));
    uint64_t count;
    TRY(load(p, p->reference, out, p->expected, &count));
    TRY(load(p, p->device, out, p->found, &count));
    validate_row row = {.node = plan_string(p->plan, d->node),
                        .op = info->name,
                        .index = index,
                        .error = relative_error(p->found, p->expected, count),
                        .limit = limit_of(info, p->plan->activation)};
    return report(p, row, (double)(index + 1) / p->plan->dispatch_count);
}

/* Everything once more on the device alone; outputs and states against the reference's. */
static mzt_status check_whole(pair *p, const validate_network *which) {
    TRY(validate_network_inputs(which, p->device, p->error));
    for (uint32_t i = 0; i < p->plan->phase_count; i++)
        TRY(program_run(p->device, p->plan->phases[i].first, p->plan->phases[i].count, NULL, p->error));
    for (uint32_t i = 0; i < p->plan->buffer_count; i++) {
        const plan_buffer *buffer = &p->plan->buffers[i];
        if (buffer->role != PLAN_ROLE_OUTPUT && buffer->role != PLAN_ROLE_STATE) continue;
        const plan_binding all = {.buffer = i, .range = buffer->bytes};
        uint64_t count;
        TRY(load(p, p->reference, &all, p->expected, &count));
        TRY(load(p, p->device, &all, p->found, &count));
        validate_row row = {.node = "(whole)",
                            .op = plan_string(p->plan, buffer->name),
                            .index = p->plan->dispatch_count,
                            .error = relative_error(p->found, p->expected, count),
                            .limit = whole_limit(p->plan->activation)};
        TRY(report(p, row, 1));
    }
    return MZT_OK;
}

static mzt_status allocate(pair *p) {
    uint64_t largest = 4;
    for (uint32_t i = 0; i < p->plan->buffer_count; i++)
        if (p->plan->buffers[i].kind != PLAN_WEIGHT && p->plan->buffers[i].bytes > largest)
            largest = p->plan->buffers[i].bytes;
    p->bytes = host_calloc(p->host, (size_t)largest, 1);
    p->expected = host_calloc(p->host, (size_t)largest / 2, sizeof *p->expected);
    p->found = host_calloc(p->host, (size_t)largest / 2, sizeof *p->found);
    return p->bytes && p->expected && p->found ? MZT_OK
                                               : error_memory(p->error, "validation buffers", largest * 9);
}

static mzt_status check_network(const model *m, executor *device, executor *reference, dtype type,
                                const validate_network *which, pair *p) {
    network_pair both = {0};
    p->component = which->name;
    p->perturbed = PLAN_NONE;
    mzt_status status = validate_network_create(m, device, reference, type, which, &both, p->error);
    p->plan = both.plan;
    p->device = both.device;
    p->reference = both.reference;
    if (status >= 0) status = allocate(p);
    if (status >= 0 && p->request->perturb && !p->perturb_seen) {
        p->perturbed = plan_find_dispatch(p->plan, p->request->perturb);
        p->perturb_seen = p->perturbed != PLAN_NONE;
    }
    if (status >= 0) status = validate_network_inputs(which, p->reference, p->error);
    if (status >= 0) status = validate_network_inputs(which, p->device, p->error);
    for (uint32_t i = 0; status >= 0 && i < p->plan->dispatch_count; i++)
        status = check_dispatch(p, i);
    if (status >= 0) status = check_whole(p, which);
    host_free(p->host, p->bytes);
    host_free(p->host, p->expected);
    host_free(p->host, p->found);
    p->bytes = NULL;
    p->expected = p->found = NULL;
    validate_network_destroy(&both);
    return status;
}

mzt_status validate_model(const model *m, executor *device, precision wanted, const validate_request *request,
                          validate_summary *summary, mzt_error *error) {
    *summary = (validate_summary){0};
    dtype type;
    TRY(precision_resolve(wanted, &device->limits, &type, error));
    executor *reference;
    TRY(cpu_reference_create(m->host, &reference, error));
    pair p = {.host = m->host, .request = request, .summary = summary, .error = error};
    validate_network networks[VALIDATE_NETWORK_COUNT];
    uint32_t count = validate_networks(m, request->latent_size, networks);
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; status >= 0 && i < count; i++) {
        status = check_network(m, device, reference, type, &networks[i], &p);
        if (status < 0 && status != MZT_CANCELLED) error_prefix(error, "%s: ", networks[i].name);
    }
    executor_destroy(reference);
    if (status >= 0 && request->perturb && !p.perturb_seen)
        status = error_set(error, MZT_ERROR_NOT_FOUND,
                           "no node is called '%s' (mezzotint inspect --plan lists them)", request->perturb);
    return status;
}
