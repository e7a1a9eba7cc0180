/* Loading weights; see load.h. */
#include "model/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"

#define STAGING_BYTES (16u << 20)
#define WHOLE_BLOCKS  256u /* so many elements, or rows, are whole blocks of every type */

typedef struct model_loader {
    const base_host *host;
    program *target;
    const weights_set *weights;
    const weights_tensor **used; /* [piece_count] */
    uint32_t next;               /* piece */
    uint8_t *staging;
    uint64_t staging_bytes;
} loader;

/* The shapes agree but for trailing sizes of 1: a linear layer [O,I] may be stored as a 1x1 convolution
 * [O,I,1,1] and the other way round, with the same bytes. */
static bool same_shape(const plan_piece *piece, const weights_tensor *tensor) {
    for (uint32_t i = 0; i < WEIGHTS_RANK_LIMIT; i++) {
        uint64_t wanted = i < piece->rank && i < 4 ? piece->shape[i] : 1;
        uint64_t found = i < tensor->rank ? tensor->shape[i] : 1;
        if (wanted != found) return false;
    }
    return true;
}

static mzt_status find(const loader *l, const plan_piece *piece, const weights_tensor **out,
                       mzt_error *error) {
    char name[160], expected[120], found[120];
    const char *wanted = plan_string(l->target->plan, piece->name);
    const weights_tensor *tensor = weights_find(l->weights, wanted);
    error_text(name, sizeof name, wanted);
    if (!tensor)
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s: there is no tensor \"%s\"",
                         weights_name(l->weights), name);
    if (!same_shape(piece, tensor)) {
        uint64_t shape[4] = {piece->shape[0], piece->shape[1], piece->shape[2], piece->shape[3]};
        return error_set(
            error, MZT_ERROR_FORMAT, "%s: tensor \"%s\": expected shape %s, found %s", tensor->file, name,
            weights_shape_text(expected, sizeof expected, shape, piece->rank <= 4 ? piece->rank : 4),
            weights_shape_text(found, sizeof found, tensor->shape, tensor->rank));
    }
    *out = tensor;
    return MZT_OK;
}

/* Makes the staging block hold at least `bytes`. */
static mzt_status reserve(loader *l, uint64_t bytes, mzt_error *error) {
    if (bytes <= l->staging_bytes) return MZT_OK;
    uint8_t *block = bytes <= SIZE_MAX ? host_realloc(l->host, l->staging, (size_t)bytes, 1) : NULL;
    if (!block) return error_memory(error, "weights in transit", bytes);
    l->staging = block;
    l->staging_bytes = bytes;
    return MZT_OK;
}

/* Converts elements into the staging block. An overlay works best on many rows at once: the chunk then passes
 * through f32 as a whole, behind the result's place. */
static mzt_status stage(loader *l, const weights_tensor *tensor, uint64_t first, uint64_t count, dtype type,
                        mzt_error *error) {
    const uint64_t bytes = dtype_bytes(type, count), aligned = (bytes + 3) / 4 * 4;
    const bool wide = tensor->overlay && type != DTYPE_F32;
    TRY(reserve(l, wide ? aligned + count * sizeof(float) : bytes, error));
    if (!wide) return weights_convert(tensor, first, count, type, l->staging, error);
    float *values = (float *)(void *)(l->staging + aligned);
    TRY(weights_convert(tensor, first, count, DTYPE_F32, values, error));
    dtype_convert(type, l->staging, DTYPE_F32, values, (size_t)count);
    return MZT_OK;
}

/* Elements as they stand, a chunk at a time. */
static mzt_status load_plain(loader *l, const plan_piece *piece, const weights_tensor *tensor,
                             mzt_error *error) {
    const dtype type = (dtype)l->target->plan->buffers[piece->buffer].dtype;
    const uint64_t most = dtype_elements(type, STAGING_BYTES) / WHOLE_BLOCKS * WHOLE_BLOCKS;
    for (uint64_t first = 0; first < tensor->count;) {
        uint64_t count = tensor->count - first < most ? tensor->count - first : most;
        TRY(stage(l, tensor, first, count, type, error));
        TRY(program_write(l->target, piece->buffer, dtype_bytes(type, piece->element + first), l->staging,
                          dtype_bytes(type, count), error));
        first += count;
    }
    return MZT_OK;
}

/* A convolution's filters [O][I][kh][kw] to [O][kh][kw][I], some filters at a time. */
static mzt_status load_filters(loader *l, const plan_piece *piece, const weights_tensor *tensor,
                               mzt_error *error) {
    const dtype type = (dtype)l->target->plan->buffers[piece->buffer].dtype;
    if (tensor->count == 0) return MZT_OK;
    const dtype packed =
        dtype_block(type) > 1 ? DTYPE_F32 : type; /* blocks are made of rows in their new order */
    const uint64_t size = dtype_size(packed), filters = piece->shape[0], each = tensor->count / filters;
    const uint64_t fits = STAGING_BYTES / (each * size),
                   step = each % weights_dtype_block(tensor->dtype) ? WHOLE_BLOCKS : 1;
    const uint64_t most = fits > step ? fits / step * step : step;
    weights_tensor whole = *tensor, part;
    whole.rank = 4;
    for (uint32_t i = 0; i < 4; i++)
        whole.shape[i] = piece->shape[i];
    for (uint64_t first = 0; first < filters; first += part.shape[0]) {
        TRY(weights_rows(&whole, first, filters - first < most ? filters - first : most, &part, error));
        const uint64_t bytes = part.count * size, extra = type == packed ? 0 : dtype_bytes(type, part.count);
        TRY(reserve(l, bytes + extra, error));
        TRY(weights_pack(&part, WEIGHTS_OIHW_TO_OHWI, packed, l->staging, bytes, error));
        const uint8_t *ready = l->staging + (extra ? bytes : 0);
        if (extra) dtype_convert(type, l->staging + bytes, packed, l->staging, (size_t)part.count);
        TRY(program_write(l->target, piece->buffer, dtype_bytes(type, piece->element + first * each), ready,
                          dtype_bytes(type, part.count), error));
    }
    return MZT_OK;
}

static int compare_tensors(const void *a, const void *b) {
    const weights_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void report_unused(const loader *l) {
    const uint32_t count = l->target->plan->piece_count;
    uint32_t distinct = count > 0;
    qsort(l->used, count, sizeof *l->used, compare_tensors);
    for (uint32_t i = 1; i < count; i++)
        distinct += l->used[i] != l->used[i - 1];
    if (distinct < weights_count(l->weights))
        host_log(l->host, MZT_LOG_DEBUG, "%s: %u of %u tensors are not used", weights_name(l->weights),
                 (unsigned)(weights_count(l->weights) - distinct), (unsigned)weights_count(l->weights));
}

mzt_status model_loader_create(const base_host *host, program *target, const weights_set *weights,
                               model_loader **out, mzt_error *error) {
    const plan *p = target->plan;
    *out = NULL;
    loader *l = host_calloc(host, 1, sizeof *l);
    if (!l) return error_memory(error, "weights in transit", sizeof *l);
    *l = (loader){.host = host, .target = target, .weights = weights};
    l->used = host_calloc(host, p->piece_count, sizeof *l->used);
    mzt_status status = MZT_OK;
    if (!l->used)
        status = error_memory(error, "the list of weights", (uint64_t)p->piece_count * sizeof *l->used);
    /* All names and shapes first: a wrong checkpoint is refused before anything is written. */
    for (uint32_t i = 0; i < p->piece_count && status == MZT_OK; i++)
        status = find(l, &p->pieces[i], &l->used[i], error);
    if (status < 0)
        model_loader_destroy(l);
    else
        *out = l;
    return status;
}

mzt_status model_loader_advance(model_loader *l, double deadline, mzt_error *error) {
    const plan *p = l->target->plan;
    while (l->next < p->piece_count) {
        const plan_piece *piece = &p->pieces[l->next];
        const weights_tensor *tensor = l->used[l->next++];
        if (piece->packing == PLAN_PACK_CONV_OHWI)
            TRY(load_filters(l, piece, tensor, error));
        else
            TRY(load_plain(l, piece, tensor, error));
        if (l->next < p->piece_count && clock_seconds() >= deadline) return MZT_PENDING;
    }
    report_unused(l);
    return MZT_OK;
}

void model_loader_destroy(model_loader *l) {
    if (!l) return;
    host_free(l->host, l->staging);
    host_free(l->host, l->used);
    host_free(l->host, l);
}

mzt_status model_load(const base_host *host, program *target, const weights_set *weights, mzt_error *error) {
    loader *l;
    TRY(model_loader_create(host, target, weights, &l, error));
    mzt_status status = model_loader_advance(l, INFINITY, error);
    model_loader_destroy(l);
    return status;
}
