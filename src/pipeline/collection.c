/* Parameters of a network between the device and files; see collection.h. */
#include "pipeline/collection.h"

#include <stdio.h>
#include <string.h>

void collection_begin(collection *c, const base_host *host) {
    *c = (collection){.host = host};
}

void collection_release(collection *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        host_free(c->host, (void *)(uintptr_t)c->tensors[i].name);
        host_free(c->host, (void *)(uintptr_t)c->tensors[i].data);
    }
    if (c->host) host_free(c->host, c->tensors);
    *c = (collection){0};
}

/* a + b in a fresh block. */
static char *join(const base_host *host, const char *a, const char *b) {
    size_t size = strlen(a) + strlen(b) + 1;
    char *text = host_calloc(host, size, 1);
    if (text) snprintf(text, size, "%s%s", a, b);
    return text;
}

mzt_status collection_add(collection *c, const char *prefix, const char *name, const uint32_t *shape,
                          uint32_t rank, float **values, mzt_error *error) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < rank; i++)
        if (!size_mul(count, shape[i], &count)) return error_memory(error, name, UINT64_MAX);
    bool room = HOST_GROW(c->host, c->tensors, c->count, c->capacity);
    char *full = join(c->host, prefix, name);
    *values = count <= SIZE_MAX ? host_calloc(c->host, (size_t)count, sizeof **values) : NULL;
    if (!room || !full || !*values) {
        host_free(c->host, full);
        host_free(c->host, *values);
        return error_memory(error, name, count);
    }
    weights_tensor *t = &c->tensors[c->count++];
    *t = (weights_tensor){.name = full, .file = full, .dtype = WEIGHTS_F32, .rank = rank, .count = count};
    t->data = (const uint8_t *)*values;
    for (uint32_t i = 0; i < rank; i++)
        t->shape[i] = shape[i];
    return MZT_OK;
}

/* The buffer called kind + the parameter of this piece; PLAN_NONE: there is none. */
static mzt_status find_buffer(const network *n, const plan_piece *piece, const char *kind, uint32_t *buffer,
                              mzt_error *error) {
    const plan *p = n->plan;
    const base_host *host = n->program->owner->host;
    char *name = join(host, kind, plan_string(p, p->buffers[piece->buffer].name));
    if (!name) return error_memory(error, "a name", 0);
    *buffer = plan_find_buffer(p, name);
    host_free(host, name);
    if (*buffer != PLAN_NONE && p->buffers[*buffer].kind == PLAN_WEIGHT)
        *buffer = PLAN_NONE; /* not trained */
    if (*buffer != PLAN_NONE && (p->buffers[*buffer].bytes != p->buffers[piece->buffer].bytes ||
                                 p->buffers[*buffer].dtype != DTYPE_F32))
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s%s: not f32 in the size of its parameter", kind,
                         plan_string(p, p->buffers[piece->buffer].name));
    return MZT_OK;
}

/* Reads the part of `buffer` that this piece describes. */
static mzt_status read_piece(collection *c, network *n, const plan_piece *piece, uint32_t buffer,
                             const char *prefix, mzt_error *error) {
    float *values, *packed;
    TRY(collection_add(c, prefix, plan_string(n->plan, piece->name), piece->shape, piece->rank, &values,
                       error));
    const weights_tensor *t = &c->tensors[c->count - 1];
    const uint64_t bytes = t->count * sizeof *values, offset = piece->element * sizeof *values;
    if (piece->packing == PLAN_PACK_PLAIN)
        return program_read(n->program, buffer, offset, values, bytes, error);
    packed = host_calloc(c->host, (size_t)t->count, sizeof *packed);
    if (!packed) return error_memory(error, t->name, bytes);
    weights_tensor source = *t;
    const uint32_t *s = piece->shape, order[4] = {s[0], s[2], s[3], s[1]};
    source.data = (const uint8_t *)packed;
    for (uint32_t i = 0; i < 4; i++)
        source.shape[i] = order[i];
    mzt_status status = program_read(n->program, buffer, offset, packed, bytes, error);
    if (status >= 0) status = weights_pack(&source, WEIGHTS_OHWI_TO_OIHW, DTYPE_F32, values, bytes, error);
    host_free(c->host, packed);
    return status;
}

mzt_status collection_read(collection *c, network *n, const char *kind, const char *prefix,
                           mzt_error *error) {
    return collection_read_chosen(c, n, kind, prefix, NULL, NULL, error);
}

mzt_status collection_read_chosen(collection *c, network *n, const char *kind, const char *prefix,
                                  collection_chooses *chooses, const void *user, mzt_error *error) {
    uint32_t before = c->count;
    for (uint32_t i = 0; i < n->plan->piece_count; i++) {
        const plan_piece *piece = &n->plan->pieces[i];
        uint32_t buffer;
        if (chooses && !chooses(user, plan_string(n->plan, piece->name))) continue;
        TRY(find_buffer(n, piece, kind, &buffer, error));
        if (buffer != PLAN_NONE) TRY(read_piece(c, n, piece, buffer, prefix, error));
    }
    if (c->count > before) return MZT_OK;
    return error_set(error, MZT_ERROR_NOT_FOUND, "the network has no tensors called %s<parameter>", kind);
}

static mzt_status restore_piece(network *n, const weights_set *file, const plan_piece *piece, uint32_t buffer,
                                const char *prefix, mzt_error *error) {
    const base_host *host = n->program->owner->host;
    uint64_t shape[4] = {piece->shape[0], piece->shape[1], piece->shape[2], piece->shape[3]}, count = 1;
    for (uint32_t i = 0; i < piece->rank; i++)
        count *= shape[i];
    weights_layout layout = piece->packing == PLAN_PACK_CONV_OHWI ? WEIGHTS_OIHW_TO_OHWI : WEIGHTS_PLAIN;
    char *name = join(host, prefix, plan_string(n->plan, piece->name));
    float *values = host_calloc(host, (size_t)count, sizeof *values);
    mzt_status status = name && values ? MZT_OK : error_memory(error, "a parameter", count * sizeof *values);
    if (status >= 0)
        status = weights_load(file, name, shape, piece->rank, layout, DTYPE_F32, values,
                              count * sizeof *values, error);
    if (status >= 0)
        status = program_write(n->program, buffer, piece->element * sizeof *values, values,
                               count * sizeof *values, error);
    host_free(host, name);
    host_free(host, values);
    return status;
}

mzt_status collection_restore(network *n, const weights_set *file, const char *kind, const char *prefix,
                              mzt_error *error) {
    for (uint32_t i = 0; i < n->plan->piece_count; i++) {
        const plan_piece *piece = &n->plan->pieces[i];
        uint32_t buffer;
        TRY(find_buffer(n, piece, kind, &buffer, error));
        if (buffer != PLAN_NONE) TRY(restore_piece(n, file, piece, buffer, prefix, error));
    }
    return MZT_OK;
}
