/* The plan checker, first half: everything that can be told from one element at a time. */
#include "plan/access.h"

#include <string.h>

/* Names come from plans that may be hostile: cut and cleaned for messages. */
#define NAME_BYTES 160
typedef struct label {
    char text[NAME_BYTES];
} label;

static const char *name_of(const plan *p, uint32_t offset, label *buffer) {
    return error_text(buffer->text, sizeof buffer->text, plan_string(p, offset));
}

static mzt_status check_table(const void *items, uint32_t count, uint32_t limit, const char *what,
                              mzt_error *error) {
    if (count > limit || (count && !items))
        return error_set(error, MZT_ERROR_FORMAT, "plan: %u %s, expected at most %u", count, what, limit);
    return MZT_OK;
}

static mzt_status check_header(const plan *p, mzt_error *error) {
    TRY(check_table(p->buffers, p->buffer_count, PLAN_MAX_BUFFERS, "buffers", error));
    TRY(check_table(p->pieces, p->piece_count, PLAN_MAX_BUFFERS, "pieces", error));
    TRY(check_table(p->dispatches, p->dispatch_count, PLAN_MAX_DISPATCHES, "dispatches", error));
    TRY(check_table(p->phases, p->phase_count, 64, "phases", error));
    if (!p->strings || p->string_bytes == 0 || p->strings[0] || p->strings[p->string_bytes - 1])
        return error_set(error, MZT_ERROR_FORMAT,
                         "plan: the string table must begin with \"\" and end with a zero byte");
    if (p->activation > DTYPE_BF16 || p->weight > DTYPE_BF16)
        return error_set(error, MZT_ERROR_FORMAT,
                         "plan: activation type %u or weight type %u is no floating type", p->activation,
                         p->weight);
    if (p->arena_bytes > UINT64_MAX / 2)
        return error_set(error, MZT_ERROR_FORMAT, "plan: the arena is too large");
    return MZT_OK;
}

static bool product(const uint32_t *dims, uint32_t count, uint64_t *result) {
    uint64_t total = 1;
    for (uint32_t i = 0; i < count; i++)
        if (!size_mul(total, dims[i], &total)) return false;
    *result = total;
    return true;
}

static mzt_status check_buffer(const plan *p, uint32_t index, uint64_t *weight_bytes, mzt_error *error) {
    const plan_buffer *b = &p->buffers[index];
    label name;
    name_of(p, b->name, &name);
    if (b->name >= p->string_bytes || b->kind > PLAN_WEIGHT || b->role > PLAN_ROLE_STATE ||
        b->dtype >= DTYPE_COUNT)
        return error_set(error, MZT_ERROR_FORMAT,
                         "buffer %u (%s): name, kind %u, role %u or type %u is unknown", index, name.text,
                         b->kind, b->role, b->dtype);
    uint64_t count, bytes = 0;
    bool whole = product(b->shape, 4, &count) && count % dtype_block((dtype)b->dtype) == 0;
    if (whole) bytes = dtype_bytes((dtype)b->dtype, count);
    if (bytes != b->bytes || bytes == 0 || bytes == UINT64_MAX)
        return error_set(error, MZT_ERROR_FORMAT,
                         "buffer %u (%s): %llu bytes do not agree with its shape and type", index, name.text,
                         (unsigned long long)b->bytes);
    if (b->role && (b->kind != PLAN_PERSISTENT || !plan_string(p, b->name)[0]))
        return error_set(error, MZT_ERROR_FORMAT,
                         "buffer %u (%s): inputs, outputs and states are persistent and have a name", index,
                         name.text);
    if (dtype_block((dtype)b->dtype) > 1 && b->kind != PLAN_WEIGHT)
        return error_set(error, MZT_ERROR_FORMAT, "buffer %u (%s): only weights may have type %s", index,
                         name.text, dtype_name((dtype)b->dtype));
    if (b->offset % PLAN_ALIGNMENT || (b->kind == PLAN_WEIGHT && b->offset))
        return error_set(error, MZT_ERROR_FORMAT,
                         "buffer %u (%s): offset %llu is not a multiple of %u, or not 0 for a weight", index,
                         name.text, (unsigned long long)b->offset, PLAN_ALIGNMENT);
    if (b->kind == PLAN_WEIGHT) {
        if (size_add(*weight_bytes, bytes, weight_bytes)) return MZT_OK;
        return error_set(error, MZT_ERROR_FORMAT, "buffer %u (%s): the weights are too large", index,
                         name.text);
    }
    if (bytes > p->arena_bytes || b->offset > p->arena_bytes ||
        align_up(bytes, 4) > p->arena_bytes - b->offset)
        return error_set(error, MZT_ERROR_FORMAT,
                         "buffer %u (%s): bytes %llu + %llu lie outside the arena of %llu", index, name.text,
                         (unsigned long long)b->offset, (unsigned long long)bytes,
                         (unsigned long long)p->arena_bytes);
    return MZT_OK;
}

/* What the host finds by name must be found unambiguously. */
static mzt_status check_buffer_names(const plan *p, mzt_error *error) {
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        if (!p->buffers[i].role) continue;
        uint32_t found = plan_find_buffer(p, plan_string(p, p->buffers[i].name));
        label name;
        if (found != i)
            return error_set(error, MZT_ERROR_FORMAT, "buffer %u (%s): buffer %u has the same name", i,
                             name_of(p, p->buffers[i].name, &name), found);
    }
    return MZT_OK;
}

/* A buffer's pieces follow each other and, if there are any, fill it exactly. */
static mzt_status check_pieces(const plan *p, mzt_error *error) {
    uint64_t next = 0;
    for (uint32_t i = 0; i < p->piece_count; i++) {
        const plan_piece *piece = &p->pieces[i];
        label name;
        name_of(p, piece->name, &name);
        bool fills = piece->buffer < p->buffer_count && (p->buffers[piece->buffer].kind == PLAN_WEIGHT ||
                                                         p->buffers[piece->buffer].role == PLAN_ROLE_STATE);
        if (!fills || piece->name >= p->string_bytes || piece->rank < 1 || piece->rank > 4 ||
            piece->packing > PLAN_PACK_CONV_OHWI ||
            (piece->packing == PLAN_PACK_CONV_OHWI && piece->rank != 4))
            return error_set(error, MZT_ERROR_FORMAT,
                             "piece %u (%s): buffer %u, rank %u or packing %u is wrong", i, name.text,
                             piece->buffer, piece->rank, piece->packing);
        bool begins = i == 0 || p->pieces[i - 1].buffer != piece->buffer;
        bool ends = i + 1 == p->piece_count || p->pieces[i + 1].buffer != piece->buffer;
        if (begins) next = 0;
        if (begins && i > 0 && p->pieces[i - 1].buffer > piece->buffer)
            return error_set(error, MZT_ERROR_FORMAT,
                             "piece %u (%s): pieces are not in the order of their buffers", i, name.text);
        const plan_buffer *buffer = &p->buffers[piece->buffer];
        uint64_t count, total = dtype_elements((dtype)buffer->dtype, buffer->bytes);
        if (!product(piece->shape, piece->rank, &count) || count == 0 || piece->element != next ||
            count % dtype_block((dtype)buffer->dtype) || count > total - next ||
            (ends && next + count != total))
            return error_set(error, MZT_ERROR_FORMAT,
                             "piece %u (%s): does not fill its part of buffer %u without gaps", i, name.text,
                             piece->buffer);
        next += count;
    }
    return MZT_OK;
}

/* "dispatch 12 (down.0.conv1, conv2d): " in front of what is wrong with it. */
static mzt_status at_dispatch(const plan *p, uint32_t index, mzt_error *error) {
    const plan_dispatch *d = &p->dispatches[index];
    label node;
    return error_prefix(error, "dispatch %u (%s, %s): ", index, name_of(p, d->node, &node),
                        d->op < OP_COUNT ? op_get((op)d->op)->name : "?");
}

static mzt_status check_binding(const plan *p, const plan_dispatch *d, uint32_t i, uint64_t elements,
                                mzt_error *error) {
    const op_binding_info *info = &op_get((op)d->op)->bindings[i];
    const plan_binding *binding = &d->bindings[i];
    if (binding->buffer == PLAN_NONE) {
        if (elements == 0 && info->optional) return MZT_OK;
        return error_set(error, MZT_ERROR_FORMAT, "%s is missing", info->name);
    }
    if (binding->buffer >= p->buffer_count)
        return error_set(error, MZT_ERROR_FORMAT, "%s: buffer %u of %u", info->name, binding->buffer,
                         p->buffer_count);
    const plan_buffer *buffer = &p->buffers[binding->buffer];
    label name;
    name_of(p, buffer->name, &name);
    if (!op_type_fits(info->class_, buffer->dtype, p->activation, p->weight))
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: buffer %u (%s) has type %s, which this binding cannot have", info->name,
                         binding->buffer, name.text, dtype_name((dtype)buffer->dtype));
    if ((info->access & OP_WRITE) && (buffer->kind == PLAN_WEIGHT || buffer->role == PLAN_ROLE_INPUT))
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: buffer %u (%s) is a weight or an input and must not be written", info->name,
                         binding->buffer, name.text);
    if (binding->offset % PLAN_ALIGNMENT)
        return error_set(error, MZT_ERROR_FORMAT, "%s: offset %llu in buffer %u (%s) is not a multiple of %u",
                         info->name, (unsigned long long)binding->offset, binding->buffer, name.text,
                         PLAN_ALIGNMENT);
    uint64_t size = align_up(buffer->bytes, 4);
    if (binding->range == 0 || binding->offset > size || binding->range > size - binding->offset)
        return error_set(error, MZT_ERROR_FORMAT, "%s: bytes %llu + %llu lie outside buffer %u (%s) of %llu",
                         info->name, (unsigned long long)binding->offset, (unsigned long long)binding->range,
                         binding->buffer, name.text, (unsigned long long)buffer->bytes);
    if (elements > dtype_elements((dtype)buffer->dtype, binding->range))
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: the parameters need %llu elements, buffer %u (%s) shows %llu bytes", info->name,
                         (unsigned long long)elements, binding->buffer, name.text,
                         (unsigned long long)binding->range);
    return MZT_OK;
}

mzt_status plan_check_blocks(const plan *p, const plan_dispatch *d, mzt_error *error) {
    for (uint32_t i = 0; i < op_get((op)d->op)->binding_count; i++) {
        const plan_binding *binding = &d->bindings[i];
        if (binding->buffer == PLAN_NONE || dtype_block((dtype)p->buffers[binding->buffer].dtype) == 1)
            continue;
        if (!op_takes_blocks((op)d->op, &d->params) || binding->offset != 0)
            return error_set(
                error, MZT_ERROR_FORMAT,
                "%s: matrices of type %s have rows of whole blocks, channels in fours, and are bound "
                "from their start",
                op_get((op)d->op)->bindings[i].name, dtype_name((dtype)p->buffers[binding->buffer].dtype));
    }
    return MZT_OK;
}

static mzt_status check_dispatch(const plan *p, const plan_dispatch *d, mzt_error *error) {
    if (d->op >= OP_COUNT) return error_set(error, MZT_ERROR_FORMAT, "op %u is unknown", d->op);
    if (d->node >= p->string_bytes || d->barrier > 1 || d->params.first != 0)
        return error_set(error, MZT_ERROR_FORMAT,
                         "node name %u, barrier %u or first workgroup %u is out of range", d->node,
                         d->barrier, d->params.first);
    TRY(op_check((op)d->op, &d->params, error));
    uint64_t extents[OP_MAX_BINDINGS];
    if (!op_extents((op)d->op, &d->params, extents))
        return error_set(error, MZT_ERROR_FORMAT,
                         "the parameters' sizes do not agree or exceed 2^32 elements");
    const op_info *info = op_get((op)d->op);
    for (uint32_t i = 0; i < info->binding_count; i++)
        TRY(check_binding(p, d, i, extents[i], error));
    TRY(plan_check_blocks(p, d, error));
    for (uint32_t i = info->binding_count; i < OP_MAX_BINDINGS; i++)
        if (d->bindings[i].buffer != PLAN_NONE)
            return error_set(error, MZT_ERROR_FORMAT, "binding %u holds buffer %u, expected none", i,
                             d->bindings[i].buffer);
    return MZT_OK;
}

/* Phases lie side by side and cover all dispatches; each begins with a barrier. */
static mzt_status check_phases(const plan *p, mzt_error *error) {
    uint32_t next = 0;
    for (uint32_t i = 0; i < p->phase_count; i++) {
        const plan_phase *phase = &p->phases[i];
        label name;
        if (phase->name == 0 || phase->name >= p->string_bytes || phase->first != next ||
            phase->count > p->dispatch_count - next || plan_find_phase(p, plan_string(p, phase->name)) != i)
            return error_set(error, MZT_ERROR_FORMAT,
                             "phase %u (%s): its name or its dispatches %u + %u are wrong", i,
                             name_of(p, phase->name, &name), phase->first, phase->count);
        next += phase->count;
    }
    if (next != p->dispatch_count)
        return error_set(error, MZT_ERROR_FORMAT, "plan: its phases hold %u of %u dispatches", next,
                         p->dispatch_count);
    return MZT_OK;
}

mzt_status plan_check_bounds(const plan *p, mzt_error *error) {
    TRY(check_header(p, error));
    uint64_t weight_bytes = 0;
    for (uint32_t i = 0; i < p->buffer_count; i++)
        TRY(check_buffer(p, i, &weight_bytes, error));
    if (weight_bytes != p->weight_bytes)
        return error_set(error, MZT_ERROR_FORMAT, "plan: %llu bytes of weights, its buffers hold %llu",
                         (unsigned long long)p->weight_bytes, (unsigned long long)weight_bytes);
    TRY(check_buffer_names(p, error));
    TRY(check_pieces(p, error));
    for (uint32_t i = 0; i < p->dispatch_count; i++)
        if (check_dispatch(p, &p->dispatches[i], error) < 0) return at_dispatch(p, i, error);
    return check_phases(p, error);
}

mzt_status plan_check(const plan *p, mzt_error *error) {
    mzt_error ignored;
    if (!error) error = &ignored;
    TRY(plan_check_bounds(p, error));
    return plan_check_values(p, error);
}
