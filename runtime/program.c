/* The checked front of programs: copies, runs, and what is queued to be done in slices. */
#include <math.h>

#include "base/threads.h"
#include "executor.h"

/* What one dispatch counts, beside bytes of weights, in the share of preparation that is done. */
#define DISPATCH_WEIGHT 65536.0

/* A write, or the sealing (`data` NULL and `size` 0). */
typedef struct queued {
    const uint8_t *data;
    uint64_t offset, size;
    uint32_t buffer;
    bool seal;
} queued;

typedef struct program_queue {
    queued *items;
    uint32_t count, capacity, next;
    uint64_t done_bytes, all_bytes; /* of all writes ever queued */
} program_queue;

void program_destroy(program *g) {
    if (!g) return;
    const base_host *host = g->owner->host;
    program_queue *queue = g->queue;
    g->owner->functions->release(g);
    if (queue) host_free(host, queue->items);
    host_free(host, queue);
}

static mzt_status check_idle(const program *g, mzt_error *error) {
    if (g->broken) return error_set(error, MZT_ERROR_INVALID, "program used after preparing it had failed");
    if (g->running) return error_set(error, MZT_ERROR_INVALID, "program used while it is running");
    return MZT_OK;
}

/* Whether bytes [offset, offset + size) lie in the buffer. */
static mzt_status check_range(const program *g, uint32_t buffer, uint64_t offset, uint64_t size,
                              mzt_error *error) {
    uint64_t end;
    if (buffer >= g->plan->buffer_count)
        return error_set(error, MZT_ERROR_INVALID, "buffer %u of %u", buffer, g->plan->buffer_count);
    const plan_buffer *b = &g->plan->buffers[buffer];
    if (!size_add(offset, size, &end) || end > b->bytes)
        return error_set(error, MZT_ERROR_INVALID, "buffer \"%s\": bytes %llu + %llu of %llu",
                         plan_string(g->plan, b->name), (unsigned long long)offset, (unsigned long long)size,
                         (unsigned long long)b->bytes);
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------- preparing in slices
 * -- */

static mzt_status enqueue(program *g, queued item, mzt_error *error) {
    const base_host *host = g->owner->host;
    TRY(check_idle(g, error));
    if (!g->queue) g->queue = host_calloc(host, 1, sizeof *g->queue);
    if (!g->queue || !HOST_GROW(host, g->queue->items, g->queue->count, g->queue->capacity))
        return error_memory(error, "queue of a program", sizeof *g->queue);
    g->queue->items[g->queue->count++] = item;
    g->queue->all_bytes += item.size;
    return MZT_OK;
}

mzt_status program_queue_write(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                               mzt_error *error) {
    TRY(check_range(g, buffer, offset, size, error));
    if (size == 0) return MZT_OK;
    return enqueue(g, (queued){.data = data, .offset = offset, .size = size, .buffer = buffer}, error);
}

mzt_status program_queue_image(program *g, const plan_image *image, mzt_error *error) {
    if (image->plan != g->plan)
        return error_set(error, MZT_ERROR_INVALID, "weights of another plan than the program's");
    for (uint32_t i = 0; i < g->plan->buffer_count; i++) {
        if (image->weights[i])
            TRY(program_queue_write(g, i, 0, image->weights[i], g->plan->buffers[i].bytes, error));
    }
    return MZT_OK;
}

mzt_status program_queue_seal(program *g, mzt_error *error) {
    return enqueue(g, (queued){.seal = true}, error);
}

/* Does the first queued item, or as much of it as the time allows. */
static mzt_status do_item(program *g, double deadline, mzt_error *error) {
    program_queue *queue = g->queue;
    queued *item = &queue->items[queue->next];
    mzt_status status;
    uint64_t written = 0;
    if (item->seal) {
        status = g->owner->functions->seal(g, deadline, error);
    } else {
        status = g->owner->functions->write_some(g, item->buffer, item->offset, item->data, item->size,
                                                 deadline, &written, error);
        item->data += written;
        item->offset += written;
        item->size -= written;
        queue->done_bytes += written;
    }
    if (status != MZT_OK) return status;
    if (++queue->next == queue->count) queue->next = queue->count = 0;
    return MZT_OK;
}

static mzt_status prepare_until(program *g, double deadline, uint32_t *dispatches, mzt_error *error) {
    mzt_status status = MZT_OK;
    *dispatches = g->plan->dispatch_count;
    if (g->unbuilt) {
        status = g->owner->functions->build(g, deadline, dispatches, error);
        g->unbuilt = status != MZT_OK;
    }
    while (status == MZT_OK && g->queue && g->queue->count > 0) {
        status = do_item(g, deadline, error);
        if (status == MZT_OK && g->queue->count > 0 && clock_seconds() >= deadline) status = MZT_PENDING;
    }
    if (status < 0) g->broken = true;
    return status;
}

mzt_status program_prepare_advance(program *g, uint64_t budget_us, double *share, mzt_error *error) {
    TRY(check_idle(g, error));
    double deadline = budget_us == BUDGET_UNLIMITED ? INFINITY : clock_seconds() + (double)budget_us * 1e-6;
    uint32_t dispatches;
    mzt_status status = prepare_until(g, deadline, &dispatches, error);
    if (!share) return status;
    double all = g->plan->dispatch_count * DISPATCH_WEIGHT, done = dispatches * DISPATCH_WEIGHT;
    if (g->queue) {
        all += (double)g->queue->all_bytes;
        done += (double)g->queue->done_bytes;
    }
    *share = all > 0 ? done / all : 1;
    return status;
}

/* Does what is left of the queue before anything else. */
static mzt_status settle(program *g, mzt_error *error) {
    TRY(check_idle(g, error));
    if (!g->unbuilt && (!g->queue || g->queue->count == 0)) return MZT_OK;
    return program_prepare_advance(g, BUDGET_UNLIMITED, NULL, error);
}

/* ------------------------------------------------------------------------------------------------- copies --
 */

mzt_status program_write(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                         mzt_error *error) {
    TRY(check_range(g, buffer, offset, size, error));
    TRY(settle(g, error));
    return g->owner->functions->write(g, buffer, offset, data, size, error);
}

mzt_status program_read(program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                        mzt_error *error) {
    TRY(check_range(g, buffer, offset, size, error));
    TRY(settle(g, error));
    return g->owner->functions->read(g, buffer, offset, data, size, error);
}

mzt_status program_seal(program *g, mzt_error *error) {
    TRY(settle(g, error));
    return g->owner->functions->seal(g, INFINITY, error);
}

uint64_t program_memory(const program *g) {
    return g->owner->functions->memory(g);
}

/* --------------------------------------------------------------------------------------------------- runs --
 */

static mzt_status check_dispatches(const program *g, uint32_t first, uint32_t count, mzt_error *error) {
    if (first <= g->plan->dispatch_count && count <= g->plan->dispatch_count - first) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "dispatches %u + %u of %u", first, count,
                     g->plan->dispatch_count);
}

static mzt_status find_phase(const program *g, const char *name, const plan_phase **out, mzt_error *error) {
    uint32_t index = plan_find_phase(g->plan, name);
    if (index == PLAN_NONE)
        return error_set(error, MZT_ERROR_NOT_FOUND, "the plan has no phase \"%s\"", name);
    *out = &g->plan->phases[index];
    return MZT_OK;
}

mzt_status program_run(program *g, uint32_t first, uint32_t count, const run_control *control,
                       mzt_error *error) {
    TRY(check_dispatches(g, first, count, error));
    TRY(settle(g, error));
    return g->owner->functions->run(g, first, count, control, error);
}

mzt_status program_run_phase(program *g, const char *phase, const run_control *control, mzt_error *error) {
    const plan_phase *found = NULL;
    TRY(find_phase(g, phase, &found, error));
    return program_run(g, found->first, found->count, control, error);
}

mzt_status program_begin(program *g, uint32_t first, uint32_t count, uint32_t repeat, mzt_error *error) {
    TRY(check_dispatches(g, first, count, error));
    TRY(check_idle(g, error));
    if (g->unbuilt || (g->queue && g->queue->count > 0))
        return error_set(error, MZT_ERROR_INVALID, "program begun before it was prepared");
    mzt_status status = g->owner->functions->begin(g, first, count, repeat ? repeat : 1, error);
    g->running = status == MZT_OK;
    return status;
}

mzt_status program_begin_phase(program *g, const char *phase, uint32_t repeat, mzt_error *error) {
    const plan_phase *found = NULL;
    TRY(find_phase(g, phase, &found, error));
    return program_begin(g, found->first, found->count, repeat, error);
}

mzt_status program_advance(program *g, uint64_t budget_us, run_progress *progress, mzt_error *error) {
    run_progress ignored;
    if (!progress) progress = &ignored;
    *progress = (run_progress){0};
    if (!g->running) return error_set(error, MZT_ERROR_INVALID, "program advanced that has not begun");
    mzt_status status = g->owner->functions->advance(g, budget_us, progress, error);
    g->running = status == MZT_PENDING;
    return status;
}

mzt_status program_wait(program *g, uint64_t timeout_us, mzt_error *error) {
    if (!g->running) return MZT_OK;
    double deadline = timeout_us == BUDGET_UNLIMITED ? INFINITY : clock_seconds() + (double)timeout_us * 1e-6;
    return g->owner->functions->wait(g, deadline, error);
}

void program_cancel(program *g) {
    if (g->running) g->owner->functions->cancel(g);
}
