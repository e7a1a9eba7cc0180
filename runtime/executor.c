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

mzt_status executor_prepare_begin(executor *e, const plan *p, program **out, mzt_error *error) {
    *out = NULL;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        TRY(check_buffer(p, &p->buffers[i], error));
    for (uint32_t i = 0; i < p->dispatch_count; i++)
        TRY(check_dispatch(p, &p->dispatches[i], error));
    return e->functions->prepare(e, p, out, error);
}

mzt_status executor_prepare(executor *e, const plan *p, program **out, mzt_error *error) {
    TRY(executor_prepare_begin(e, p, out, error));
    mzt_status status = program_prepare_advance(*out, BUDGET_UNLIMITED, NULL, error);
    if (status >= 0) return status;
    program_destroy(*out);
    *out = NULL;
    return status;
}

double executor_peak(executor *e) {
    return e->functions->peak ? e->functions->peak(e) : 0;
}

void executor_destroy(executor *e) {
    if (e) e->functions->destroy(e);
}
