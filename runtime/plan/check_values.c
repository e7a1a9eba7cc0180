/* The plan checker, second half: follows the dispatches over the arena's bytes and proves that every read
 * sees the value it means, and that nothing races.
 *
 * `values` maps arena bytes to the buffer that last wrote them. A read of a buffer is right when all its
 * bytes belong to that very buffer; bytes of another buffer mean that a value was overwritten while still
 * needed, bytes of none that it was never written. Only persistent buffers keep their values from phase to
 * phase. `reads` and `writes` map bytes to dispatches since the last barrier: a hazard is an overlap with one
 * of them. */
#include "plan/access.h"
#include "plan/ranges.h"

#include <stdlib.h>

typedef struct follower {
    const plan *p;
    mzt_error *error;
    ranges values, reads, writes;
} follower;

typedef struct label {
    char text[160];
} label;

static const char *name_of(const plan *p, uint32_t offset, label *buffer) {
    return error_text(buffer->text, sizeof buffer->text, plan_string(p, offset));
}

static mzt_status set(follower *f, ranges *map, range item) {
    return ranges_set(map, item) ? MZT_OK : error_memory(f->error, "checking a plan", sizeof item);
}

static mzt_status own(follower *f, uint32_t buffer) {
    const plan_buffer *b = &f->p->buffers[buffer];
    return set(f, &f->values, (range){b->offset, b->offset + b->bytes, buffer, PLAN_NONE});
}

/* --------------------------------------------------------------------------------------------------
 * placement -- */

typedef struct extent {
    uint64_t first, end;
    uint32_t buffer;
    bool persistent;
} extent;

static int by_first(const void *a, const void *b) {
    const extent *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Persistent buffers have their bytes to themselves. In the order of offsets it is enough to remember how far
 * any buffer, and any persistent one, has reached. */
static mzt_status check_persistent(follower *f) {
    const plan *p = f->p;
    extent *extents = host_calloc(p->host, p->buffer_count, sizeof *extents);
    if (!extents) return error_memory(f->error, "checking a plan", p->buffer_count * sizeof *extents);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *b = &p->buffers[i];
        if (b->kind != PLAN_WEIGHT)
            extents[count++] =
                (extent){b->offset, align_up(b->offset + b->bytes, 4), i, b->kind == PLAN_PERSISTENT};
    }
    qsort(extents, count, sizeof *extents, by_first);
    mzt_status status = MZT_OK;
    extent far = {0}, far_persistent = {0};
    for (uint32_t i = 0; i < count && status >= 0; i++) {
        const extent *e = &extents[i], *other = e->persistent ? &far : &far_persistent;
        label a, b;
        if (e->first < other->end)
            status = error_set(f->error, MZT_ERROR_FORMAT,
                               "buffer %u (%s): overlaps buffer %u (%s), and one of them is persistent",
                               e->buffer, name_of(p, p->buffers[e->buffer].name, &a), other->buffer,
                               name_of(p, p->buffers[other->buffer].name, &b));
        if (e->end > far.end) far = *e;
        if (e->persistent && e->end > far_persistent.end) far_persistent = *e;
    }
    host_free(p->host, extents);
    return status;
}

/* -----------------------------------------------------------------------------------------------------
 * values -- */

static mzt_status bad_read(follower *f, uint32_t dispatch, uint32_t buffer, const char *binding,
                           const range *found) {
    const plan *p = f->p;
    label node, name, other;
    name_of(p, p->dispatches[dispatch].node, &node);
    name_of(p, p->buffers[buffer].name, &name);
    if (!found)
        return error_set(
            f->error, MZT_ERROR_FORMAT,
            "dispatch %u (%s, %s): %s reads bytes of buffer %u (%s) that were not written before", dispatch,
            node.text, op_get((op)p->dispatches[dispatch].op)->name, binding, buffer, name.text);
    return error_set(
        f->error, MZT_ERROR_FORMAT,
        "dispatch %u (%s, %s): %s reads buffer %u (%s), which buffer %u (%s) has overwritten at dispatch %u",
        dispatch, node.text, op_get((op)p->dispatches[dispatch].op)->name, binding, buffer, name.text,
        found->owner, name_of(p, p->buffers[found->owner].name, &other), found->writer);
}

/* True if all bytes of [first, end) hold values of `buffer`; otherwise *found is the first other owner, or
 * NULL if none. */
static bool holds(const follower *f, uint32_t buffer, uint64_t first, uint64_t end, const range **found) {
    const range *r = ranges_from(&f->values, first), *stop = f->values.items + f->values.count;
    for (uint64_t at = first; at < end; at = r->end, r++) {
        *found = NULL;
        if (!r || r == stop || r->first > at) return false;
        *found = r;
        if (r->owner != buffer) return false;
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------------
 * hazards -- */

static mzt_status hazard(follower *f, uint32_t dispatch, uint32_t buffer, const range *other,
                         const char *kind) {
    const plan *p = f->p;
    label node, before, name;
    return error_set(f->error, MZT_ERROR_FORMAT,
                     "dispatch %u (%s, %s): no barrier between it and dispatch %u (%s): %s of buffer %u (%s)",
                     dispatch, name_of(p, p->dispatches[dispatch].node, &node),
                     op_get((op)p->dispatches[dispatch].op)->name, other->owner,
                     name_of(p, p->dispatches[other->owner].node, &before), kind, buffer,
                     name_of(p, p->buffers[buffer].name, &name));
}

/* Bytes as whole 32-bit words: kernels may store 16-bit elements as halves of them. */
static range words(const plan_access *a, uint32_t dispatch) {
    return (range){a->first & ~UINT64_C(3), align_up(a->end, 4), dispatch, 0};
}

static mzt_status check_hazard(follower *f, uint32_t dispatch, const plan_access *a) {
    range mine = words(a, dispatch);
    uint32_t buffer = f->p->dispatches[dispatch].bindings[a->binding].buffer;
    const range *written = ranges_meet(&f->writes, mine.first, mine.end);
    const range *read = ranges_meet(&f->reads, mine.first, mine.end);
    if (written)
        return hazard(f, dispatch, buffer, written,
                      (a->access & OP_READ) ? "read after write" : "write after write");
    if ((a->access & OP_WRITE) && read) return hazard(f, dispatch, buffer, read, "write after read");
    return MZT_OK;
}

/* A dispatch's own bindings: what it writes no other binding of it may touch. */
static mzt_status check_self(follower *f, uint32_t dispatch, const plan_access *accesses, uint32_t count) {
    const plan *p = f->p;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < count; j++)
            if (i != j && (accesses[i].access & OP_WRITE) && plan_overlap(&accesses[i], &accesses[j])) {
                const op_info *info = op_get((op)p->dispatches[dispatch].op);
                label node;
                return error_set(f->error, MZT_ERROR_FORMAT, "dispatch %u (%s, %s): %s and %s share bytes",
                                 dispatch, name_of(p, p->dispatches[dispatch].node, &node), info->name,
                                 info->bindings[accesses[i].binding].name,
                                 info->bindings[accesses[j].binding].name);
            }
    return MZT_OK;
}

static mzt_status follow(follower *f, uint32_t dispatch) {
    const plan_dispatch *d = &f->p->dispatches[dispatch];
    const op_info *info = op_get((op)d->op);
    plan_access accesses[OP_MAX_BINDINGS];
    uint32_t count = plan_accesses(f->p, d, accesses);
    if (d->barrier) {
        ranges_clear(&f->reads);
        ranges_clear(&f->writes);
    }
    TRY(check_self(f, dispatch, accesses, count));
    for (uint32_t i = 0; i < count; i++) {
        const plan_access *a = &accesses[i];
        uint32_t buffer = d->bindings[a->binding].buffer;
        const range *found;
        if ((a->access & OP_READ) && !holds(f, buffer, a->first, a->end, &found))
            return bad_read(f, dispatch, buffer, info->bindings[a->binding].name, found);
        TRY(check_hazard(f, dispatch, a));
    }
    for (uint32_t i = 0; i < count; i++) {
        const plan_access *a = &accesses[i];
        if (a->access & OP_READ) TRY(set(f, &f->reads, words(a, dispatch)));
        if (!(a->access & OP_WRITE)) continue;
        TRY(set(f, &f->writes, words(a, dispatch)));
        TRY(set(f, &f->values, (range){a->first, a->end, d->bindings[a->binding].buffer, dispatch}));
    }
    return MZT_OK;
}

/* Forgets what is not persistent: the arena's other values do not outlive their phase. */
static void keep_persistent(follower *f) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->values.count; i++)
        if (f->p->buffers[f->values.items[i].owner].kind == PLAN_PERSISTENT)
            f->values.items[kept++] = f->values.items[i];
    f->values.count = kept;
}

static mzt_status follow_phases(follower *f) {
    const plan *p = f->p;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].role == PLAN_ROLE_INPUT || p->buffers[i].role == PLAN_ROLE_STATE) TRY(own(f, i));
    for (uint32_t i = 0; i < p->phase_count; i++) {
        const plan_phase *phase = &p->phases[i];
        label name;
        if (phase->count && !p->dispatches[phase->first].barrier)
            return error_set(f->error, MZT_ERROR_FORMAT, "phase %u (%s): its first dispatch has no barrier",
                             i, name_of(p, phase->name, &name));
        for (uint32_t d = 0; d < phase->count; d++)
            TRY(follow(f, phase->first + d));
        keep_persistent(f);
    }
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *b = &p->buffers[i];
        const range *found;
        label name;
        if (b->role == PLAN_ROLE_OUTPUT && !holds(f, i, b->offset, b->offset + b->bytes, &found))
            return error_set(f->error, MZT_ERROR_FORMAT,
                             "buffer %u (%s): an output that is not written completely", i,
                             name_of(p, b->name, &name));
    }
    return MZT_OK;
}

mzt_status plan_check_values(const plan *p, mzt_error *error) {
    follower f = {p, error, {p->host, NULL, 0, 0}, {p->host, NULL, 0, 0}, {p->host, NULL, 0, 0}};
    mzt_status status = check_persistent(&f);
    if (status >= 0) status = follow_phases(&f);
    ranges_free(&f.values);
    ranges_free(&f.reads);
    ranges_free(&f.writes);
    return status;
}
