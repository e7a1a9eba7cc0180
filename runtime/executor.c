/* The checked front of every executor: whatever reaches the functions behind it is in bounds. */
#include "executor.h"

static mzt_status check_binding(const plan *p, const plan_dispatch *d, uint32_t index, uint64_t elements,
                                mzt_error *error) {
    const op_binding_info *info = &op_get((op)d->op)->bindings[index];
    const plan_binding *binding = &d->bindings[index];
    const char *node = plan_string(p, d->node), *name = info->name;
    uint64_t end, needed;
    if (binding->buffer == PLAN_NONE) {
        if (info->optional && elements == 0) return MZT_OK;
        return error_set(error, MZT_ERROR_INVALID, "%s: binding %s is missing", node, name);
    }
    if (binding->buffer >= p->buffer_count)
        return error_set(error, MZT_ERROR_INVALID, "%s: binding %s names buffer %u of %u", node, name,
                         binding->buffer, p->buffer_count);
    const plan_buffer *buffer = &p->buffers[binding->buffer];
    if (!op_type_fits(info->class_, buffer->dtype, p->activation, p->weight))
        return error_set(error, MZT_ERROR_INVALID, "%s: binding %s cannot be of type %s", node, name,
                         buffer->dtype < DTYPE_COUNT ? dtype_name((dtype)buffer->dtype) : "?");
    if (!size_add(binding->offset, binding->range, &end) || end > align_up(buffer->bytes, 4) ||
        binding->offset % PLAN_ALIGNMENT)
        return error_set(error, MZT_ERROR_INVALID, "%s: binding %s shows bytes %llu + %llu of %llu", node,
                         name, (unsigned long long)binding->offset, (unsigned long long)binding->range,
                         (unsigned long long)buffer->bytes);
    needed = dtype_bytes((dtype)buffer->dtype, elements);
    if (needed > binding->range)
        return error_set(error, MZT_ERROR_INVALID,
                         "%s: binding %s shows %llu bytes, %llu elements of %s needed", node, name,
                         (unsigned long long)binding->range, (unsigned long long)elements,
                         dtype_name((dtype)buffer->dtype));
    return MZT_OK;
}

static mzt_status check_dispatch(const plan *p, const plan_dispatch *d, mzt_error *error) {
    uint64_t extents[OP_MAX_BINDINGS] = {0};
    const char *node = plan_string(p, d->node);
    if (d->op >= OP_COUNT) return error_set(error, MZT_ERROR_INVALID, "%s: unknown op %u", node, d->op);
    mzt_status status = op_check((op)d->op, &d->params, error);
    if (status < 0) return error_prefix(error, "%s: ", node);
    if (!op_extents((op)d->op, &d->params, extents))
        return error_set(error, MZT_ERROR_INVALID, "%s: sizes of %s overflow", node, op_get((op)d->op)->name);
    for (uint32_t i = 0; i < op_get((op)d->op)->binding_count; i++)
        TRY(check_binding(p, d, i, extents[i], error));
    status = plan_check_blocks(p, d, error);
    return status < 0 ? error_prefix(error, "%s: ", node) : status;
}

static mzt_status check_buffer(const plan *p, const plan_buffer *b, mzt_error *error) {
    uint64_t end;
    const char *name = plan_string(p, b->name);
    if (b->dtype >= DTYPE_COUNT)
        return error_set(error, MZT_ERROR_INVALID, "buffer \"%s\": unknown type %u", name, b->dtype);
    if (b->kind == PLAN_WEIGHT) return MZT_OK;
    if (b->offset % PLAN_ALIGNMENT || !size_add(b->offset, b->bytes, &end) || end > p->arena_bytes)
        return error_set(error, MZT_ERROR_INVALID, "buffer \"%s\": bytes %llu + %llu of an arena of %llu",
                         name, (unsigned long long)b->offset, (unsigned long long)b->bytes,
                         (unsigned long long)p->arena_bytes);
    return MZT_OK;
}

mzt_status executor_prepare(executor *e, const plan *p, program **out, mzt_error *error) {
    *out = NULL;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        TRY(check_buffer(p, &p->buffers[i], error));
    for (uint32_t i = 0; i < p->dispatch_count; i++)
        TRY(check_dispatch(p, &p->dispatches[i], error));
    return e->functions->prepare(e, p, out, error);
}

void executor_destroy(executor *e) {
    if (e) e->functions->destroy(e);
}

void program_destroy(program *g) {
    if (g) g->owner->functions->release(g);
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

mzt_status program_write(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                         mzt_error *error) {
    TRY(check_range(g, buffer, offset, size, error));
    return g->owner->functions->write(g, buffer, offset, data, size, error);
}

mzt_status program_read(program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                        mzt_error *error) {
    TRY(check_range(g, buffer, offset, size, error));
    return g->owner->functions->read(g, buffer, offset, data, size, error);
}

mzt_status program_seal(program *g, mzt_error *error) {
    return g->owner->functions->seal(g, error);
}

mzt_status program_run(program *g, uint32_t first, uint32_t count, const run_control *control,
                       mzt_error *error) {
    if (first > g->plan->dispatch_count || count > g->plan->dispatch_count - first)
        return error_set(error, MZT_ERROR_INVALID, "dispatches %u + %u of %u", first, count,
                         g->plan->dispatch_count);
    return g->owner->functions->run(g, first, count, control, error);
}

mzt_status program_run_phase(program *g, const char *phase, const run_control *control, mzt_error *error) {
    uint32_t index = plan_find_phase(g->plan, phase);
    if (index == PLAN_NONE)
        return error_set(error, MZT_ERROR_NOT_FOUND, "the plan has no phase \"%s\"", phase);
    return program_run(g, g->plan->phases[index].first, g->plan->phases[index].count, control, error);
}

uint64_t program_memory(const program *g) {
    return g->owner->functions->memory(g);
}
