/* The arena: byte offsets from lifetimes. Persistent buffers come first, each alone. The others are placed
 * from the largest to the smallest, each at the lowest offset where it meets no buffer that lives at the same
 * time ("greedy by size", as in Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
 * Inference", 2020). */
#include "graph/lower.h"

#include <stdlib.h>

typedef struct life {
    uint64_t size, offset;
    uint32_t buffer;
    uint32_t first, last; /* dispatches that touch it, inclusive */
} life;

static int larger_first(const void *a, const void *b) {
    const life *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return x->buffer < y->buffer ? -1 : x->buffer > y->buffer;
}

static bool lies_lower(const life *a, const life *b) {
    return a->offset != b->offset ? a->offset < b->offset : a->buffer < b->buffer;
}

static void measure(const plan *p, life *lives) {
    for (uint32_t i = 0; i < p->buffer_count; i++)
        lives[i] = (life){align_up(p->buffers[i].bytes, PLAN_ALIGNMENT), 0, i, UINT32_MAX, 0};
    for (uint32_t d = 0; d < p->dispatch_count; d++)
        for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++) {
            uint32_t buffer = p->dispatches[d].bindings[b].buffer;
            if (buffer == PLAN_NONE) continue;
            if (lives[buffer].first > d) lives[buffer].first = d;
            lives[buffer].last = d;
        }
}

/* Lowest offset for `mine` beside `placed` ones, which are sorted by offset; only those alive at the same
 * time count. */
static uint64_t find_gap(const life *mine, life *const *placed, uint32_t count, uint64_t start) {
    uint64_t offset = start;
    for (uint32_t i = 0; i < count; i++) {
        const life *other = placed[i];
        if (other->last < mine->first || other->first > mine->last) continue;
        if (other->offset >= offset + mine->size) break;
        if (other->offset + other->size > offset) offset = other->offset + other->size;
    }
    return offset;
}

static void place(plan *p, life *lives, life **placed) {
    uint64_t top = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        if (p->buffers[i].kind != PLAN_PERSISTENT) continue;
        p->buffers[i].offset = top;
        top += align_up(p->buffers[i].bytes, PLAN_ALIGNMENT);
    }
    uint64_t start = top;
    uint32_t count = 0;
    qsort(lives, p->buffer_count, sizeof *lives, larger_first);
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        life *mine = &lives[i];
        if (p->buffers[mine->buffer].kind != PLAN_ARENA) continue;
        mine->offset = find_gap(mine, placed, count, start);
        p->buffers[mine->buffer].offset = mine->offset;
        if (mine->offset + mine->size > top) top = mine->offset + mine->size;
        uint32_t at = count++; /* the list stays sorted */
        for (; at > 0 && lies_lower(mine, placed[at - 1]); at--)
            placed[at] = placed[at - 1];
        placed[at] = mine;
    }
    p->arena_bytes = top;
}

mzt_status lower_arena(plan *p, mzt_error *error) {
    life *lives = host_calloc(p->host, p->buffer_count, sizeof *lives);
    life **placed = host_calloc(p->host, p->buffer_count, sizeof *placed);
    mzt_status status = MZT_OK;
    if (lives && placed) {
        measure(p, lives);
        place(p, lives, placed);
    } else {
        status = error_memory(error, "the arena's layout", p->buffer_count * sizeof *lives);
    }
    host_free(p->host, lives);
    host_free(p->host, placed);
    return status;
}
