/* A network on a device; see network.h. */
#include "pipeline/network.h"

#include <math.h>
#include <string.h>

#include "base/threads.h"

mzt_status precision_parse(const char *text, precision *out, mzt_error *error) {
    static const char *const names[] = {"auto", "f32", "f16", "bf16"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (precision)i;
        return MZT_OK;
    }
    return error_set(error, MZT_ERROR_INVALID, "unknown precision '%s': expected auto, f32, f16 or bf16",
                     text);
}

mzt_status precision_resolve(precision wanted, const executor_limits *limits, dtype *type, mzt_error *error) {
    bool possible = true;
    switch (wanted) {
    case PRECISION_AUTO:
        *type = limits->is_gpu && limits->f16 ? DTYPE_F16 : DTYPE_F32;
        break;
    case PRECISION_F32:
        *type = DTYPE_F32;
        break;
    case PRECISION_F16:
        *type = DTYPE_F16;
        possible = limits->f16;
        break;
    case PRECISION_BF16:
        *type = DTYPE_BF16;
        possible = limits->bf16;
        break;
    }
    if (possible) return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED, "device %s (%s) cannot store %s; use --precision f32",
                     limits->spec, limits->name, dtype_name(*type));
}

/* Room for the largest input that network_set converts. */
static mzt_status reserve_scratch(const base_host *host, network *n, mzt_error *error) {
    uint64_t most = 1;
    for (uint32_t i = 0; i < n->plan->buffer_count; i++) {
        const plan_buffer *b = &n->plan->buffers[i];
        const bool written = b->role == PLAN_ROLE_INPUT || b->role == PLAN_ROLE_STATE;
        const bool converted = b->dtype == DTYPE_F16 || b->dtype == DTYPE_BF16;
        if (written && converted && b->bytes > most) most = b->bytes;
    }
    n->scratch = host_calloc(host, (size_t)most, 1);
    return n->scratch ? MZT_OK : error_memory(error, "network inputs", most);
}

mzt_status network_make_plan(executor *e, plan *compiled, network *out, network_maker *maker,
                             mzt_error *error) {
    *out = (network){.plan = compiled};
    *maker = (network_maker){.e = e};
    TRY(reserve_scratch(e->host, out, error));
    return executor_prepare_begin(e, out->plan, &out->program, error);
}

mzt_status network_make_advance(network_maker *maker, network *n, uint64_t budget_us, mzt_error *error) {
    const bool endless = budget_us == BUDGET_UNLIMITED;
    const double deadline = endless ? INFINITY : clock_seconds() + (double)budget_us * 1e-6;
    if (!maker->built) {
        mzt_status status = program_prepare_advance(n->program, budget_us, NULL, error);
        if (status != MZT_OK) return status;
        maker->built = true;
        if (!endless) return MZT_PENDING;
    }
    if (!maker->loaded) {
        mzt_status status = maker->load ? maker->load(maker, n, deadline, error) : MZT_OK;
        if (status != MZT_OK) return status;
        maker->loaded = true;
        TRY(program_queue_seal(n->program, error));
        if (!endless) return MZT_PENDING;
    }
    return program_prepare_advance(n->program, budget_us, NULL, error);
}

void network_make_end(network_maker *maker) {
    if (maker->end) maker->end(maker);
    *maker = (network_maker){.e = NULL};
}

void network_destroy(network *n) {
    program_destroy(n->program);
    if (n->scratch) host_free(n->plan->host, n->scratch);
    plan_destroy(n->plan);
    *n = (network){0};
}

/* The buffer called `name`, which must hold `count` elements and have a role. */
static mzt_status find(const network *n, const char *name, uint64_t count, const plan_buffer **buffer,
                       uint32_t *index, mzt_error *error) {
    *index = plan_find_buffer(n->plan, name);
    if (*index == PLAN_NONE)
        return error_set(error, MZT_ERROR_INTERNAL, "the network has no tensor '%s'", name);
    *buffer = &n->plan->buffers[*index];
    uint64_t held = (*buffer)->bytes / dtype_size((*buffer)->dtype);
    if (held != count)
        return error_set(error, MZT_ERROR_INVALID, "tensor '%s' holds %llu elements, given %llu", name,
                         (unsigned long long)held, (unsigned long long)count);
    return MZT_OK;
}

mzt_status network_set(network *n, const char *name, const float *values, uint64_t count, mzt_error *error) {
    const plan_buffer *buffer = NULL;
    uint32_t index = 0;
    TRY(find(n, name, count, &buffer, &index, error));
    if (buffer->dtype == DTYPE_F32) return program_write(n->program, index, 0, values, buffer->bytes, error);
    dtype_convert(buffer->dtype, n->scratch, DTYPE_F32, values, (size_t)count);
    return program_write(n->program, index, 0, n->scratch, buffer->bytes, error);
}

mzt_status network_set_u32(network *n, const char *name, const uint32_t *values, uint64_t count,
                           mzt_error *error) {
    const plan_buffer *buffer = NULL;
    uint32_t index = 0;
    TRY(find(n, name, count, &buffer, &index, error));
    if (buffer->dtype != DTYPE_U32)
        return error_set(error, MZT_ERROR_INTERNAL, "tensor '%s' does not hold u32", name);
    return program_write(n->program, index, 0, values, buffer->bytes, error);
}

mzt_status network_get(network *n, const char *name, float *values, uint64_t count, mzt_error *error) {
    const plan_buffer *buffer = NULL;
    uint32_t index = 0;
    TRY(find(n, name, count, &buffer, &index, error));
    if (buffer->dtype != DTYPE_F32)
        return error_set(error, MZT_ERROR_INTERNAL, "tensor '%s' does not hold f32", name);
    return program_read(n->program, index, 0, values, buffer->bytes, error);
}

mzt_status network_run(network *n, mzt_error *error) {
    return program_run_phase(n->program, "main", NULL, error);
}

mzt_status network_task_phase(network *n, const char *phase, uint32_t repeat, network_task *task,
                              mzt_error *error) {
    const uint32_t index = plan_find_phase(n->plan, phase);
    if (index == PLAN_NONE)
        return error_set(error, MZT_ERROR_NOT_FOUND, "the plan has no phase \"%s\"", phase);
    *task = (network_task){.n = n,
                           .first = n->plan->phases[index].first,
                           .count = n->plan->phases[index].count,
                           .repeat = repeat};
    return MZT_OK;
}

mzt_status network_task_advance(network_task *task, uint64_t budget_us, mzt_error *error) {
    if (!task->running) TRY(program_begin(task->n->program, task->first, task->count, task->repeat, error));
    task->running = true;
    mzt_status status = program_advance(task->n->program, budget_us, &task->progress, error);
    task->running = status == MZT_PENDING;
    return status;
}

mzt_status network_task_wait(network_task *task, uint64_t timeout_us, mzt_error *error) {
    return task->running ? program_wait(task->n->program, timeout_us, error) : MZT_OK;
}

void network_task_stop(network_task *task) {
    mzt_status status = MZT_PENDING;
    if (!task->running) return;
    program_cancel(task->n->program);
    while (status == MZT_PENDING) {
        status = program_wait(task->n->program, BUDGET_UNLIMITED, NULL);
        if (status >= 0) status = program_advance(task->n->program, BUDGET_UNLIMITED, NULL, NULL);
    }
    task->running = false;
}
