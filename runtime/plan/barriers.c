/* Where dispatches must wait: barriers exactly at hazards on overlapping arena bytes. */
#include "plan/access.h"

uint32_t plan_accesses(const plan *p, const plan_dispatch *d, plan_access accesses[OP_MAX_BINDINGS]) {
    const op_info *info = op_get((op)d->op);
    op_region regions[OP_MAX_BINDINGS];
    uint32_t count = 0;
    if (!op_regions((op)d->op, &d->params, regions)) return 0;
    for (uint32_t i = 0; i < info->binding_count; i++) {
        if (d->bindings[i].buffer == PLAN_NONE) continue;
        const plan_buffer *buffer = &p->buffers[d->bindings[i].buffer];
        if (buffer->kind == PLAN_WEIGHT || regions[i].end == 0) continue;
        uint64_t start = buffer->offset + d->bindings[i].offset, size = dtype_size((dtype)buffer->dtype);
        accesses[count++] = (plan_access){start + regions[i].first * size, start + regions[i].end * size, i,
                                          (uint32_t)info->bindings[i].access};
    }
    return count;
}

const char *plan_hazard(const plan_access *earlier, const plan_access *later) {
    if (!plan_overlap(earlier, later)) return NULL;
    if ((earlier->access & OP_WRITE) && (later->access & OP_READ)) return "read after write";
    if ((earlier->access & OP_READ) && (later->access & OP_WRITE)) return "write after read";
    if ((earlier->access & OP_WRITE) && (later->access & OP_WRITE)) return "write after write";
    return NULL;
}

/* True if dispatch `later` cannot run beside one of `first` ... `later` - 1. */
static bool must_wait(const plan *p, uint32_t first, uint32_t later) {
    plan_access mine[OP_MAX_BINDINGS], theirs[OP_MAX_BINDINGS];
    uint32_t my_count = plan_accesses(p, &p->dispatches[later], mine);
    for (uint32_t i = first; i < later; i++) {
        uint32_t their_count = plan_accesses(p, &p->dispatches[i], theirs);
        for (uint32_t a = 0; a < their_count; a++)
            for (uint32_t b = 0; b < my_count; b++)
                if (plan_hazard(&theirs[a], &mine[b])) return true;
    }
    return false;
}

mzt_status plan_place_barriers(plan *p, mzt_error *error) {
    TRY(plan_check_bounds(p, error));
    for (uint32_t phase = 0; phase < p->phase_count; phase++) {
        uint32_t first = p->phases[phase].first, end = first + p->phases[phase].count;
        for (uint32_t i = first, since = first; i < end; i++) {
            p->dispatches[i].barrier = i == first || must_wait(p, since, i);
            if (p->dispatches[i].barrier) since = i;
        }
    }
    return MZT_OK;
}
