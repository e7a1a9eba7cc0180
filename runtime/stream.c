/* Weights from host memory, range by range; see stream.h. */
#include "stream.h"

#include <math.h>
#include <string.h>

#include "base/threads.h"

#define BLOCK_LEAST                                                                                          \
    ((uint64_t)16 << 20) /* so many bytes at least are worth a range of their own, where the limit allows */

typedef struct stream_executor {
    executor base;
    executor *inner;
    uint64_t limit;
} stream_executor;

/* Where a weight that is not resident lies; `host` NULL: it is. */
typedef struct streamed {
    uint8_t *host;
    uint64_t offset; /* in the block */
    uint32_t range;  /* that reads it */
} streamed;

/* Dispatches first ... first + count - 1, whose matrices lie in the block side by side. */
typedef struct stream_range {
    uint32_t first, count;
} stream_range;

typedef struct stream_program {
    program base;
    program *inner;
    plan changed;      /* its buffers are ours, everything else is the plan's */
    streamed *weights; /* [buffer_count] */
    stream_range *ranges;
    uint32_t range_count;
    uint32_t loaded; /* range whose matrices are in the block; PLAN_NONE: none */
    uint64_t bytes, block_bytes;
    uint32_t first, count, repeat, at, repetition; /* of the run in progress; `at` is the next dispatch */
    bool inside, cancelled;                        /* inside: the inner program is running */
} stream_program;

static stream_executor *executor_of(const program *g) {
    return (stream_executor *)(void *)g->owner;
}

static stream_program *program_of(program *g) {
    return (stream_program *)(void *)g;
}

/* ------------------------------------------------------------------------------------------------ planning
 * -- */

/* Whether a weight may be streamed: matrices that dispatches only multiply with. */
static void find_matrices(const plan *p, bool *matrix) {
    for (uint32_t i = 0; i < p->buffer_count; i++)
        matrix[i] = p->buffers[i].kind == PLAN_WEIGHT;
    for (uint32_t i = 0; i < p->dispatch_count; i++)
        for (uint32_t b = 0; b < op_get((op)p->dispatches[i].op)->binding_count; b++) {
            const uint32_t buffer = p->dispatches[i].bindings[b].buffer;
            if (buffer != PLAN_NONE && op_get((op)p->dispatches[i].op)->bindings[b].class_ != OP_CLASS_MATRIX)
                matrix[buffer] = false;
        }
}

static uint64_t placed_bytes(const plan_buffer *b) {
    return align_up(b->bytes, PLAN_ALIGNMENT);
}

/* Keeps as many matrices on the device as there is room for: those that every step reads first, of which the
 * last phase has most.
 */
static void keep_resident(const plan *p, bool *matrix, uint64_t room) {
    for (uint32_t phase = p->phase_count; phase-- > 0;)
        for (uint32_t i = 0; i < p->phases[phase].count; i++) {
            const plan_dispatch *d = &p->dispatches[p->phases[phase].first + i];
            for (uint32_t b = 0; b < op_get((op)d->op)->binding_count; b++) {
                const uint32_t buffer = d->bindings[b].buffer;
                if (buffer == PLAN_NONE || !matrix[buffer] || placed_bytes(&p->buffers[buffer]) > room)
                    continue;
                matrix[buffer] = false;
                room -= placed_bytes(&p->buffers[buffer]);
            }
        }
}

/* Puts the matrices of a dispatch into the range that is being filled; false: another range has one of them.
 */
static bool place(stream_program *g, const plan_dispatch *d, const bool *matrix, uint64_t *filled,
                  bool *overfull) {
    const plan *p = g->base.plan;
    for (uint32_t b = 0; b < op_get((op)d->op)->binding_count; b++) {
        const uint32_t buffer = d->bindings[b].buffer;
        if (buffer == PLAN_NONE || !matrix[buffer] || g->weights[buffer].range == g->range_count) continue;
        if (g->weights[buffer].range != PLAN_NONE) return false;
        const uint64_t bytes = placed_bytes(&p->buffers[buffer]);
        if (bytes > g->block_bytes - *filled) {
            *overfull = true;
            return true;
        }
        g->weights[buffer].range = g->range_count;
        g->weights[buffer].offset = *filled;
        *filled += bytes;
    }
    return true;
}

/* Divides the dispatches. A matrix that two ranges would read is made resident, and false returned: begin
 * again. */
static bool divide(stream_program *g, bool *matrix) {
    const plan *p = g->base.plan;
    uint64_t filled = 0;
    g->range_count = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        g->weights[i].range = PLAN_NONE;
    g->ranges[0] = (stream_range){0, 0};
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const plan_dispatch *d = &p->dispatches[i];
        bool overfull = false;
        if (place(g, d, matrix, &filled, &overfull) && !overfull) {
            g->ranges[g->range_count].count++;
            continue;
        }
        if (overfull && g->ranges[g->range_count].count > 0) { /* once more, in a range of its own */
            g->ranges[++g->range_count] = (stream_range){i, 0};
            filled = 0;
            i--;
            continue;
        }
        for (uint32_t b = 0; b < op_get((op)d->op)->binding_count; b++)
            if (d->bindings[b].buffer != PLAN_NONE) matrix[d->bindings[b].buffer] = false;
        return false;
    }
    g->range_count++;
    return true;
}

static uint64_t resident_bytes(const plan *p, const bool *matrix) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].kind == PLAN_WEIGHT && !matrix[i]) bytes += placed_bytes(&p->buffers[i]);
    return bytes;
}

/* Decides what is streamed. The block holds the largest matrix, and more where there is room. */
static mzt_status choose(stream_program *g, bool *matrix, uint64_t limit, mzt_error *error) {
    const plan *p = g->base.plan;
    const uint64_t arena = align_up(p->arena_bytes, PLAN_ALIGNMENT);
    find_matrices(p, matrix);
    uint64_t all = 0, largest = 0, fixed = resident_bytes(p, matrix);
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        if (!matrix[i]) continue;
        all += placed_bytes(&p->buffers[i]);
        if (placed_bytes(&p->buffers[i]) > largest) largest = placed_bytes(&p->buffers[i]);
    }
    if (arena + fixed + all <= limit) {
        memset(matrix, 0, p->buffer_count * sizeof *matrix);
        g->ranges[0] = (stream_range){0, p->dispatch_count};
        g->range_count = 1;
        for (uint32_t i = 0; i < p->buffer_count; i++)
            g->weights[i].range = PLAN_NONE;
        return MZT_OK;
    }
    if (arena + fixed + largest > limit)
        return error_set(
            error, MZT_ERROR_OUT_OF_MEMORY,
            "%llu bytes of activations, %llu of other weights and a matrix of %llu exceed the limit of %llu",
            (unsigned long long)arena, (unsigned long long)fixed, (unsigned long long)largest,
            (unsigned long long)limit);
    g->block_bytes = largest > BLOCK_LEAST ? largest : BLOCK_LEAST;
    if (g->block_bytes > limit - arena - fixed) g->block_bytes = limit - arena - fixed;
    keep_resident(p, matrix, limit - arena - fixed - g->block_bytes);
    while (!divide(g, matrix))
        ;
    if (arena + g->block_bytes + resident_bytes(p, matrix) <= limit) return MZT_OK;
    return error_set(error, MZT_ERROR_OUT_OF_MEMORY,
                     "its matrices cannot be divided to fit the limit of %llu bytes",
                     (unsigned long long)limit);
}

/* The plan as the inner executor sees it, and room for what stays with the host. */
static mzt_status change_plan(stream_program *g, const bool *matrix, mzt_error *error) {
    const plan *p = g->base.plan;
    const base_host *host = g->base.owner->host;
    const uint64_t block = align_up(p->arena_bytes, PLAN_ALIGNMENT);
    plan_buffer *buffers = host_calloc(host, p->buffer_count, sizeof *buffers);
    if (!buffers) return error_memory(error, "streamed plan", p->buffer_count * sizeof *buffers);
    memcpy(buffers, p->buffers, p->buffer_count * sizeof *buffers);
    g->changed = *p;
    g->changed.buffers = buffers;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        if (!matrix[i] || g->weights[i].range == PLAN_NONE) continue;
        buffers[i].kind = PLAN_ARENA;
        buffers[i].offset = block + g->weights[i].offset;
        g->changed.weight_bytes -= buffers[i].bytes;
        g->changed.arena_bytes = block + g->block_bytes;
        g->bytes += buffers[i].bytes;
        g->weights[i].host = host_calloc(host, (size_t)buffers[i].bytes, 1);
        if (!g->weights[i].host) return error_memory(error, "weights kept by the host", buffers[i].bytes);
    }
    return MZT_OK;
}

static void release(program *base) {
    stream_program *g = program_of(base);
    const base_host *host = base->owner->host;
    program_destroy(g->inner);
    for (uint32_t i = 0; g->weights && i < base->plan->buffer_count; i++)
        host_free(host, g->weights[i].host);
    host_free(host, g->weights);
    host_free(host, g->ranges);
    host_free(host, g->changed.buffers);
    host_free(host, g);
}

static mzt_status fill(stream_program *g, mzt_error *error) {
    const plan *p = g->base.plan;
    const stream_executor *e = executor_of(&g->base);
    g->weights = host_calloc(e->base.host, p->buffer_count, sizeof *g->weights);
    g->ranges = host_calloc(e->base.host, (size_t)p->dispatch_count + 1, sizeof *g->ranges);
    bool *matrix = host_calloc(e->base.host, p->buffer_count, sizeof *matrix);
    mzt_status status =
        g->weights && g->ranges && matrix ? MZT_OK : error_memory(error, "streamed plan", p->buffer_count);
    if (status >= 0) status = choose(g, matrix, e->limit, error);
    if (status >= 0) status = change_plan(g, matrix, error);
    host_free(e->base.host, matrix);
    return status < 0 ? status : executor_prepare(e->inner, &g->changed, &g->inner, error);
}

static mzt_status prepare(executor *e, const plan *p, program **out, mzt_error *error) {
    stream_program *g = host_calloc(e->host, 1, sizeof *g);
    if (!g) return error_memory(error, "program", sizeof *g);
    g->base.owner = e;
    g->base.plan = p;
    g->loaded = PLAN_NONE;
    mzt_status status = fill(g, error);
    if (status < 0)
        release(&g->base);
    else
        *out = &g->base;
    return status;
}

static mzt_status build(program *g, double deadline, uint32_t *dispatches, mzt_error *error) {
    (void)deadline;
    (void)error;
    *dispatches = g->plan->dispatch_count;
    return MZT_OK;
}

/* -------------------------------------------------------------------------------------------------- copies
 * -- */

static mzt_status write(program *base, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                        mzt_error *error) {
    stream_program *g = program_of(base);
    streamed *w = &g->weights[buffer];
    if (!w->host) return program_write(g->inner, buffer, offset, data, size, error);
    if (size) memcpy(w->host + offset, data, (size_t)size);
    if (w->range == g->loaded) g->loaded = PLAN_NONE;
    return MZT_OK;
}

static mzt_status write_some(program *base, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                             double deadline, uint64_t *written, mzt_error *error) {
    (void)deadline;
    TRY(write(base, buffer, offset, data, size, error));
    *written = size;
    return MZT_OK;
}

static mzt_status read(program *base, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                       mzt_error *error) {
    stream_program *g = program_of(base);
    if (!g->weights[buffer].host) return program_read(g->inner, buffer, offset, data, size, error);
    if (size) memcpy(data, g->weights[buffer].host + offset, (size_t)size);
    return MZT_OK;
}

static mzt_status seal(program *base, double deadline, mzt_error *error) {
    (void)deadline;
    return program_seal(program_of(base)->inner, error);
}

/* Brings a range's matrices to the device. */
static mzt_status load(stream_program *g, uint32_t range, mzt_error *error) {
    if (g->loaded == range || !g->bytes) return MZT_OK;
    g->loaded = PLAN_NONE;
    for (uint32_t i = 0; i < g->base.plan->buffer_count; i++) {
        const streamed *w = &g->weights[i];
        if (w->host && w->range == range)
            TRY(program_write(g->inner, i, 0, w->host, g->base.plan->buffers[i].bytes, error));
    }
    g->loaded = range;
    return MZT_OK;
}

/* The range that a dispatch is in, and how many dispatches are left from there to its end. */
static uint32_t range_of(const stream_program *g, uint32_t dispatch, uint32_t *left) {
    uint32_t i = 0;
    while (dispatch >= g->ranges[i].first + g->ranges[i].count)
        i++;
    *left = g->ranges[i].first + g->ranges[i].count - dispatch;
    return i;
}

/* ---------------------------------------------------------------------------------------------------- runs
 * -- */

static mzt_status run_once(stream_program *g, uint32_t first, uint32_t count, uint32_t repetition,
                           const run_control *control, mzt_error *error) {
    for (uint32_t done = 0; done < count;) {
        uint32_t some;
        TRY(load(g, range_of(g, first + done, &some), error));
        if (some > count - done) some = count - done;
        const run_control inner = {.seconds = control->seconds ? control->seconds + done : NULL};
        TRY(program_run(g->inner, first + done, some, &inner, error));
        done += some;
        const bool over = done == count;
        if (control->keep_going &&
            !control->keep_going(control->user, repetition + over, over ? 0 : (double)done / count))
            return error_set(error, MZT_CANCELLED, "cancelled after dispatch %u", first + done - 1);
    }
    return MZT_OK;
}

static mzt_status run(program *base, uint32_t first, uint32_t count, const run_control *control,
                      mzt_error *error) {
    static const run_control once = {0};
    if (!control) control = &once;
    for (uint32_t i = 0; i < (control->repeat ? control->repeat : 1); i++)
        TRY(run_once(program_of(base), first, count, i, control, error));
    return MZT_OK;
}

static mzt_status begin(program *base, uint32_t first, uint32_t count, uint32_t repeat, mzt_error *error) {
    stream_program *g = program_of(base);
    (void)error;
    g->first = g->at = first;
    g->count = count;
    g->repeat = repeat ? repeat : 1;
    g->repetition = 0;
    g->inside = g->cancelled = false;
    return MZT_OK;
}

/* Begins the next range, unless one is on its way, and carries it on. */
static mzt_status advance_range(stream_program *g, uint64_t budget_us, run_progress *inner,
                                mzt_error *error) {
    uint32_t some;
    const uint32_t range = range_of(g, g->at, &some);
    if (some > g->first + g->count - g->at) some = g->first + g->count - g->at;
    if (!g->inside) {
        if (g->cancelled) return error_set(error, MZT_CANCELLED, "cancelled before dispatch %u", g->at);
        TRY(load(g, range, error));
        TRY(program_begin(g->inner, g->at, some, 1, error));
        g->inside = true;
    }
    mzt_status status = program_advance(g->inner, budget_us, inner, error);
    if (status == MZT_PENDING) return status;
    g->inside = false;
    TRY(status);
    g->at += some;
    if (g->at < g->first + g->count) return MZT_OK;
    g->at = g->first;
    g->repetition++;
    return MZT_OK;
}

static mzt_status advance(program *base, uint64_t budget_us, run_progress *progress, mzt_error *error) {
    stream_program *g = program_of(base);
    run_progress inner = {0};
    const double end = budget_us == BUDGET_UNLIMITED ? INFINITY : clock_seconds() + (double)budget_us * 1e-6;
    mzt_status status = MZT_OK;
    do {
        if (g->count == 0 || g->repetition == g->repeat) break;
        status = advance_range(g, budget_us, &inner, error);
        if (status == MZT_OK && g->repetition < g->repeat && clock_seconds() >= end) status = MZT_PENDING;
    } while (status == MZT_OK);
    inner.repetitions = g->repetition;
    inner.share = g->count && g->repetition < g->repeat ? (double)(g->at - g->first) / g->count : 0;
    if (progress) *progress = inner;
    return status;
}

static mzt_status wait_inner(program *base, double deadline, mzt_error *error) {
    stream_program *g = program_of(base);
    const double left = deadline - clock_seconds();
    if (!g->inside) return MZT_OK;
    return program_wait(g->inner, left < 1e9 ? (uint64_t)(left > 0 ? left * 1e6 : 0) : BUDGET_UNLIMITED,
                        error);
}

static void cancel(program *base) {
    stream_program *g = program_of(base);
    g->cancelled = true;
    if (g->inside) program_cancel(g->inner);
}

static uint64_t memory(const program *base) {
    return program_memory(((const stream_program *)(const void *)base)->inner);
}

uint64_t stream_program_bytes(const program *g) {
    return ((const stream_program *)(const void *)g)->bytes;
}

/* ------------------------------------------------------------------------------------------------ the
 * executor -- */

static void destroy(executor *e) {
    host_free(e->host, e);
}

static const executor_functions functions = {
    .destroy = destroy,
    .prepare = prepare,
    .build = build,
    .release = release,
    .write = write,
    .write_some = write_some,
    .read = read,
    .seal = seal,
    .run = run,
    .begin = begin,
    .advance = advance,
    .wait = wait_inner,
    .cancel = cancel,
    .memory = memory,
};

mzt_status stream_executor_create(executor *inner, uint64_t limit, executor **out, mzt_error *error) {
    *out = NULL;
    stream_executor *e = host_calloc(inner->host, 1, sizeof *e);
    if (!e) return error_memory(error, "executor", sizeof *e);
    e->base = (executor){.functions = &functions, .host = inner->host, .limits = inner->limits};
    e->inner = inner;
    e->limit = limit;
    *out = &e->base;
    return MZT_OK;
}
