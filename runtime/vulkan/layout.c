/* Places the buffers of a plan; see layout.h. */
#include "vulkan/layout.h"

#include <stdlib.h>
#include <string.h>

/* A buffer's bytes in the arena. */
typedef struct span {
    uint64_t first, last; /* last is exclusive */
    uint32_t buffer;
} span;

static int by_first(const void *a, const void *b) {
    const span *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return (x->buffer > y->buffer) - (x->buffer < y->buffer);
}

static mzt_status too_large(const plan *p, uint32_t buffer, uint64_t bytes, uint64_t limit,
                            mzt_error *error) {
    char name[96];
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "%s: needs %llu bytes in one piece, this device allocates %llu at most",
                     error_text(name, sizeof name, plan_string(p, p->buffers[buffer].name)),
                     (unsigned long long)bytes, (unsigned long long)limit);
}

static uint32_t add_shard(vulkan_layout *layout) {
    layout->shard_bytes[layout->shard_count] = 0;
    return layout->shard_count++;
}

/* Walks the spans in order of their offset. Spans that overlap, directly or through others, form a cluster,
 * which cannot be cut; a cluster that does not fit behind the shard's others begins a new shard. */
static mzt_status place_arena(const plan *p, const span *spans, uint32_t count, uint64_t limit,
                              vulkan_layout *layout, mzt_error *error) {
    uint64_t base = 0; /* arena offset at which the current shard begins */
    uint32_t shard = 0;
    for (uint32_t i = 0, next; i < count; i = next) {
        uint64_t end = spans[i].last;
        for (next = i + 1; next < count && spans[next].first < end; next++) {
            if (spans[next].last > end) end = spans[next].last;
        }
        if (end - spans[i].first > limit)
            return too_large(p, spans[i].buffer, end - spans[i].first, limit, error);
        if (i == 0 || end - base > limit) {
            shard = add_shard(layout);
            base = spans[i].first;
        }
        for (uint32_t j = i; j < next; j++) {
            layout->places[spans[j].buffer] = (vulkan_place){shard, spans[j].first - base};
        }
        layout->shard_bytes[shard] = end - base;
    }
    layout->arena_shards = layout->shard_count;
    return MZT_OK;
}

static mzt_status place_weights(const plan *p, uint64_t limit, vulkan_layout *layout, mzt_error *error) {
    uint64_t wanted = limit < LAYOUT_WEIGHT_SHARD ? limit : LAYOUT_WEIGHT_SHARD;
    uint32_t shard = UINT32_MAX;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        if (p->buffers[i].kind != PLAN_WEIGHT) continue;
        uint64_t bytes = align_up(p->buffers[i].bytes, PLAN_ALIGNMENT);
        if (bytes > limit) return too_large(p, i, bytes, limit, error);
        if (shard == UINT32_MAX || bytes > wanted || layout->shard_bytes[shard] > wanted - bytes)
            shard = add_shard(layout);
        layout->places[i] = (vulkan_place){shard, layout->shard_bytes[shard]};
        layout->shard_bytes[shard] += bytes;
    }
    return MZT_OK;
}

/* The spans of all arena and persistent buffers, sorted; checks that they end within the arena. */
static mzt_status collect(const plan *p, span *spans, uint32_t *count, mzt_error *error) {
    *count = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *buffer = &p->buffers[i];
        uint64_t end;
        if (buffer->bytes > UINT64_MAX - PLAN_ALIGNMENT ||
            !size_add(buffer->offset, align_up(buffer->bytes, PLAN_ALIGNMENT), &end)) {
            return error_set(error, MZT_ERROR_INVALID, "%s: buffer size overflows",
                             plan_string(p, buffer->name));
        }
        if (buffer->kind == PLAN_WEIGHT) continue;
        spans[(*count)++] = (span){buffer->offset, end, i};
    }
    qsort(spans, *count, sizeof *spans, by_first);
    return MZT_OK;
}

mzt_status vulkan_layout_create(const base_host *host, const plan *p, uint64_t limit, vulkan_layout *out,
                                mzt_error *error) {
    memset(out, 0, sizeof *out);
    limit &= ~(uint64_t)(PLAN_ALIGNMENT - 1);
    uint32_t count;
    mzt_status status = MZT_ERROR_OUT_OF_MEMORY;
    span *spans = host_calloc(host, p->buffer_count, sizeof *spans);
    out->places = host_calloc(host, p->buffer_count, sizeof *out->places);
    out->shard_bytes = host_calloc(host, p->buffer_count, sizeof *out->shard_bytes);
    if (!spans || !out->places || !out->shard_bytes) {
        error_memory(error, "places of the plan's buffers", (uint64_t)p->buffer_count * sizeof *spans);
        goto done;
    }
    status = collect(p, spans, &count, error);
    if (status == MZT_OK) status = place_arena(p, spans, count, limit, out, error);
    if (status == MZT_OK) status = place_weights(p, limit, out, error);
done:
    host_free(host, spans);
    if (status < 0) vulkan_layout_destroy(host, out);
    return status;
}

void vulkan_layout_destroy(const base_host *host, vulkan_layout *layout) {
    host_free(host, layout->places);
    host_free(host, layout->shard_bytes);
    memset(layout, 0, sizeof *layout);
}
