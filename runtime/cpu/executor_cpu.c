/* The program of the CPU executors: host memory for arena and weights, copies in and out, and the loop over
 * dispatches. What a dispatch computes is the backend's business. */
#include "cpu/cpu.h"

#include <math.h>
#include <stdio.h>

static cpu_program *cpu_program_of(program *g) {
    return (cpu_program *)(void *)g;
}

/* ------------------------------------------------------------------------------------------------ the
 * program -- */

static void cpu_release(program *base) {
    cpu_program *g = cpu_program_of(base);
    const base_host *host = base->owner->host;
    const cpu_backend *backend = cpu_executor_of(g)->backend;
    thread_task_destroy(g->task);
    if (backend->release) backend->release(g);
    for (uint32_t i = 0; g->weights && i < base->plan->buffer_count; i++)
        host_free(host, g->weights[i]);
    host_free(host, g->arena_block);
    host_free(host, g->weights);
    host_free(host, g->buffers);
    host_free(host, g->calls);
    host_free(host, g);
}

/* A zeroed block whose address rounded up to PLAN_ALIGNMENT has `bytes` behind it. */
static mzt_status allocate_aligned(const base_host *host, uint64_t bytes, const char *what, void **block,
                                   uint8_t **aligned, mzt_error *error) {
    uint64_t total;
    if (!size_add(bytes, 2 * PLAN_ALIGNMENT, &total) || total > SIZE_MAX)
        return error_memory(error, what, bytes);
    *block = host_calloc(host, 1, (size_t)total);
    if (!*block) return error_memory(error, what, bytes);
    *aligned = (uint8_t *)(uintptr_t)align_up((uintptr_t)*block, PLAN_ALIGNMENT);
    return MZT_OK;
}

static mzt_status allocate_buffers(cpu_program *g, mzt_error *error) {
    const plan *p = g->base.plan;
    const base_host *host = g->base.owner->host;
    g->weights = host_calloc(host, p->buffer_count, sizeof *g->weights);
    g->buffers = host_calloc(host, p->buffer_count, sizeof *g->buffers);
    g->calls = host_calloc(host, p->dispatch_count, sizeof *g->calls);
    if (!g->weights || !g->buffers || !g->calls)
        return error_memory(error, "program tables", p->dispatch_count);
    TRY(allocate_aligned(host, p->arena_bytes, "activations", &g->arena_block, &g->arena, error));
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *b = &p->buffers[i];
        if (b->kind == PLAN_WEIGHT)
            TRY(allocate_aligned(host, b->bytes, plan_string(p, b->name), &g->weights[i], &g->buffers[i],
                                 error));
        else
            g->buffers[i] = g->arena + b->offset;
    }
    return MZT_OK;
}

static void resolve_calls(cpu_program *g) {
    const plan *p = g->base.plan;
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const plan_dispatch *d = &p->dispatches[i];
        cpu_call *call = &g->calls[i];
        call->op = (op)d->op;
        call->params = &d->params;
        call->host = g->base.owner->host;
        call->pool = cpu_executor_of(g)->pool;
        for (uint32_t j = 0; j < op_get(call->op)->binding_count; j++) {
            const plan_binding *binding = &d->bindings[j];
            if (binding->buffer == PLAN_NONE) continue;
            dtype type = (dtype)p->buffers[binding->buffer].dtype;
            call->operands[j].data = g->buffers[binding->buffer] + binding->offset;
            call->operands[j].type = type;
        }
    }
}

static mzt_status cpu_prepare(executor *e, const plan *p, program **out, mzt_error *error) {
    cpu_program *g = host_calloc(e->host, 1, sizeof *g);
    if (!g) return error_memory(error, "program", sizeof *g);
    g->base.owner = e;
    g->base.plan = p;
    mzt_status status = allocate_buffers(g, error);
    if (status < 0) {
        cpu_release(&g->base);
        return status;
    }
    resolve_calls(g);
    *out = &g->base;
    return MZT_OK;
}

static mzt_status check_write(const cpu_program *g, uint32_t buffer, mzt_error *error) {
    const plan *p = g->base.plan;
    if ((g->sealed || g->broken) && p->buffers[buffer].kind == PLAN_WEIGHT)
        return error_set(error, MZT_ERROR_INVALID, "weight \"%s\" written after the program was sealed",
                         plan_string(p, p->buffers[buffer].name));
    return MZT_OK;
}

static mzt_status cpu_write(program *base, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                            mzt_error *error) {
    cpu_program *g = cpu_program_of(base);
    TRY(check_write(g, buffer, error));
    if (size) memcpy(g->buffers[buffer] + offset, data, (size_t)size);
    return MZT_OK;
}

static mzt_status cpu_write_some(program *base, uint32_t buffer, uint64_t offset, const void *data,
                                 uint64_t size, double deadline, uint64_t *written, mzt_error *error) {
    enum { PIECE = 1 << 20 }; /* bytes between two looks at the clock */
    cpu_program *g = cpu_program_of(base);
    TRY(check_write(g, buffer, error));
    for (*written = 0; *written < size;) {
        uint64_t piece = size - *written < PIECE ? size - *written : PIECE;
        memcpy(g->buffers[buffer] + offset + *written, (const uint8_t *)data + *written, (size_t)piece);
        *written += piece;
        if (*written < size && clock_seconds() >= deadline) return MZT_PENDING;
    }
    return MZT_OK;
}

static mzt_status cpu_read(program *base, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                           mzt_error *error) {
    cpu_program *g = cpu_program_of(base);
    if (g->broken) return error_set(error, MZT_ERROR_INVALID, "program read after sealing it had failed");
    if (!g->buffers[buffer])
        cpu_executor_of(g)->backend->read_weight(g, buffer, offset, data, size);
    else if (size)
        memcpy(data, g->buffers[buffer] + offset, (size_t)size);
    return MZT_OK;
}

static void seal_body(void *argument) {
    cpu_program *g = argument;
    const cpu_backend *backend = cpu_executor_of(g)->backend;
    g->outcome = backend->seal ? backend->seal(g, &g->reason) : MZT_OK;
}

/* Moves the task, and destroys it once it has ended. False: it has not. */
static bool advance_task(cpu_program *g, double seconds) {
    if (!thread_task_advance(g->task, seconds)) return false;
    thread_task_destroy(g->task);
    g->task = NULL;
    return true;
}

static mzt_status cpu_seal(program *base, double deadline, mzt_error *error) {
    cpu_program *g = cpu_program_of(base);
    if (g->sealed) return MZT_OK;
    if (g->broken) return error_set(error, MZT_ERROR_INVALID, "program sealed again after a failure");
    if (!g->task && deadline < INFINITY)
        TRY(thread_task_start(base->owner->host, cpu_executor_of(g)->pool, seal_body, g, &g->task, error));
    if (!g->task)
        seal_body(g);
    else if (!advance_task(g, deadline - clock_seconds()))
        return MZT_PENDING;
    g->sealed = g->outcome >= 0;
    g->broken = g->outcome < 0;
    return g->sealed ? MZT_OK : error_set(error, g->outcome, "%s", g->reason.message);
}

static mzt_status run_once(cpu_program *g, uint32_t first, uint32_t count, uint32_t repetition,
                           const run_control *control, mzt_error *error) {
    const cpu_backend *backend = cpu_executor_of(g)->backend;
    for (uint32_t i = 0; i < count; i++) {
        double begin = control->seconds ? clock_seconds() : 0;
        mzt_status status = backend->run(g, &g->calls[first + i], error);
        if (status < 0) return status;
        if (control->seconds) control->seconds[i] += clock_seconds() - begin;
        double share = (double)(i + 1) / count;
        if (control->keep_going &&
            !control->keep_going(control->user, i + 1 < count ? repetition : repetition + 1,
                                 i + 1 < count ? share : 0))
            return error_set(error, MZT_CANCELLED, "cancelled after dispatch %u", first + i);
    }
    return MZT_OK;
}

static mzt_status cpu_run(program *base, uint32_t first, uint32_t count, const run_control *control,
                          mzt_error *error) {
    static const run_control once = {0};
    cpu_program *g = cpu_program_of(base);
    if (!g->sealed) return error_set(error, MZT_ERROR_INVALID, "program run before it was sealed");
    if (!control) control = &once;
    uint32_t repeat = control->repeat ? control->repeat : 1;
    for (uint32_t i = 0; i < repeat; i++)
        TRY(run_once(g, first, count, i, control, error));
    return MZT_OK;
}

/* -- the same in slices: on a thread of its own, which stands still between two calls of cpu_advance -- */

static void run_body(void *argument) {
    cpu_program *g = argument;
    const cpu_backend *backend = cpu_executor_of(g)->backend;
    bool going = true;
    while (going && g->run.repetitions < g->run.repeat) {
        if (g->run.dispatches < g->run.count) {
            g->outcome = backend->run(g, &g->calls[g->run.first + g->run.dispatches], &g->reason);
            going = thread_task_point(cpu_executor_of(g)->pool) && g->outcome >= 0;
            g->run.dispatches++;
        }
        if (g->run.dispatches < g->run.count) continue;
        g->run.dispatches = 0;
        g->run.repetitions++;
    }
}

static mzt_status cpu_begin(program *base, uint32_t first, uint32_t count, uint32_t repeat,
                            mzt_error *error) {
    cpu_program *g = cpu_program_of(base);
    if (!g->sealed) return error_set(error, MZT_ERROR_INVALID, "program run before it was sealed");
    g->run.first = first;
    g->run.count = count;
    g->run.repeat = repeat;
    g->run.repetitions = g->run.dispatches = 0;
    g->run.cancelled = false;
    g->outcome = MZT_OK;
    return thread_task_start(base->owner->host, cpu_executor_of(g)->pool, run_body, g, &g->task, error);
}

static mzt_status cpu_advance(program *base, uint64_t budget_us, run_progress *progress, mzt_error *error) {
    cpu_program *g = cpu_program_of(base);
    bool ended =
        thread_task_advance(g->task, budget_us == BUDGET_UNLIMITED ? INFINITY : (double)budget_us * 1e-6);
    thread_task_pieces(g->task, &progress->segments, &progress->longest);
    progress->repetitions = g->run.repetitions;
    progress->share = g->run.count ? (double)g->run.dispatches / g->run.count : 0;
    if (!ended) return MZT_PENDING;
    thread_task_destroy(g->task);
    g->task = NULL;
    if (g->run.cancelled)
        return error_set(error, MZT_CANCELLED, "cancelled while running dispatches %u + %u", g->run.first,
                         g->run.count);
    return g->outcome >= 0 ? MZT_OK : error_set(error, g->outcome, "%s", g->reason.message);
}

/* Nothing is on its way between two slices. */
static mzt_status cpu_wait(program *base, double deadline, mzt_error *error) {
    (void)base;
    (void)deadline;
    (void)error;
    return MZT_OK;
}

static void cpu_cancel(program *base) {
    cpu_program *g = cpu_program_of(base);
    g->run.cancelled = true;
    thread_task_stop(g->task);
}

static uint64_t cpu_memory(const program *base) {
    const cpu_program *g = (const cpu_program *)(const void *)base;
    const cpu_backend *backend = cpu_executor_of(g)->backend;
    uint64_t bytes = base->plan->arena_bytes;
    for (uint32_t i = 0; i < base->plan->buffer_count; i++)
        if (g->weights[i]) bytes += base->plan->buffers[i].bytes;
    return bytes + (backend->memory ? backend->memory(g) : 0);
}

/* ----------------------------------------------------------------------------------------------- the
 * executor -- */

static void cpu_destroy(executor *e) {
    cpu_executor *cpu = (cpu_executor *)(void *)e;
    thread_pool_destroy(cpu->pool);
    host_free(e->host, cpu);
}

static const executor_functions functions = {
    .destroy = cpu_destroy,
    .prepare = cpu_prepare,
    .release = cpu_release,
    .write = cpu_write,
    .write_some = cpu_write_some,
    .read = cpu_read,
    .seal = cpu_seal,
    .run = cpu_run,
    .begin = cpu_begin,
    .advance = cpu_advance,
    .wait = cpu_wait,
    .cancel = cpu_cancel,
    .memory = cpu_memory,
    .peak = cpu_peak,
};

mzt_status cpu_executor_create(const base_host *host, const cpu_backend *backend, uint32_t threads,
                               const char *name, const char *spec, executor **out, mzt_error *error) {
    *out = NULL;
    cpu_executor *cpu = host_calloc(host, 1, sizeof *cpu);
    if (!cpu) return error_memory(error, "CPU executor", sizeof *cpu);
    cpu->base.functions = &functions;
    cpu->base.host = host;
    cpu->backend = backend;
    cpu->native = DTYPE_COUNT;
    mzt_status status = thread_pool_create(host, threads, &cpu->pool, error);
    if (status < 0) {
        cpu_destroy(&cpu->base);
        return status;
    }
    executor_limits *limits = &cpu->base.limits;
    snprintf(limits->name, sizeof limits->name, "%s, %u threads", name, thread_pool_size(cpu->pool));
    snprintf(limits->spec, sizeof limits->spec, "%s", spec);
    limits->f16 = limits->bf16 = true;
    limits->max_range = limits->max_allocation = SIZE_MAX / 2;
    *out = &cpu->base;
    return MZT_OK;
}
