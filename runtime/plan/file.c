/* Plans as files: a header, then the plan's arrays one after another, as they lie in memory. None of the
 * structures has padding, so equal plans give equal files. Numbers are in the writer's byte order, which the
 * header shows; a reader of the other order refuses the file (plans are cheap to make again). */
#include "plan/plan.h"

#include <string.h>

#include "base/file.h"

#define PLAN_MAGIC   "MZTPLAN"
#define PLAN_VERSION 1u
#define ORDER_MARK   0x01020304u

typedef struct file_header {
    char magic[8];
    uint32_t version, order;
    uint32_t op_count, activation, weight;
    uint32_t buffer_count, piece_count, dispatch_count, phase_count, string_bytes;
    uint64_t arena_bytes, weight_bytes;
} file_header;

_Static_assert(sizeof(file_header) == 64, "no padding in the header");
_Static_assert(sizeof(plan_buffer) == 48, "no padding in buffers");
_Static_assert(sizeof(plan_piece) == 40, "no padding in pieces");
_Static_assert(sizeof(plan_dispatch) == 32 + 24 * OP_MAX_BINDINGS + 4 * OP_PARAM_WORDS,
               "no padding in dispatches");
_Static_assert(sizeof(plan_phase) == 12, "no padding in phases");

/* Appends a plan to a file; *bytes receives its size. */
static mzt_status write_plan(const plan *p, file_writer *writer, uint64_t *bytes, mzt_error *error) {
    file_header header = {.magic = PLAN_MAGIC,
                          .version = PLAN_VERSION,
                          .order = ORDER_MARK,
                          .op_count = OP_COUNT,
                          .activation = p->activation,
                          .weight = p->weight,
                          .buffer_count = p->buffer_count,
                          .piece_count = p->piece_count,
                          .dispatch_count = p->dispatch_count,
                          .phase_count = p->phase_count,
                          .string_bytes = p->string_bytes,
                          .arena_bytes = p->arena_bytes,
                          .weight_bytes = p->weight_bytes};
    const struct {
        const void *data;
        uint64_t size;
    } parts[] = {{&header, sizeof header},
                 {p->buffers, p->buffer_count * (uint64_t)sizeof *p->buffers},
                 {p->pieces, p->piece_count * (uint64_t)sizeof *p->pieces},
                 {p->dispatches, p->dispatch_count * (uint64_t)sizeof *p->dispatches},
                 {p->phases, p->phase_count * (uint64_t)sizeof *p->phases},
                 {p->strings, p->string_bytes}};
    *bytes = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].size) TRY(file_writer_write(writer, parts[i].data, parts[i].size, error));
        *bytes += parts[i].size;
    }
    return MZT_OK;
}

mzt_status plan_write(const plan *p, const char *path, mzt_error *error) {
    file_writer *writer;
    uint64_t bytes;
    TRY(file_writer_open(p->host, path, &writer, error));
    mzt_status status = write_plan(p, writer, &bytes, error);
    if (status >= 0) return file_writer_commit(writer, error);
    file_writer_abandon(writer);
    return status;
}

/* Zeros up to the next multiple of PLAN_ALIGNMENT. */
static mzt_status write_padding(file_writer *writer, uint64_t *bytes, mzt_error *error) {
    static const uint8_t zeros[PLAN_ALIGNMENT] = {0};
    uint64_t padding = align_up(*bytes, PLAN_ALIGNMENT) - *bytes;
    *bytes += padding;
    return padding ? file_writer_write(writer, zeros, padding, error) : MZT_OK;
}

static mzt_status write_weight(const plan *p, uint32_t buffer, plan_weight_reader *read, void *user,
                               file_writer *writer, mzt_error *error) {
    uint64_t bytes = p->buffers[buffer].bytes;
    void *data = bytes <= SIZE_MAX ? host_realloc(p->host, NULL, (size_t)bytes, 1) : NULL;
    if (!data) return error_memory(error, plan_string(p, p->buffers[buffer].name), bytes);
    mzt_status status = read(user, buffer, data, error);
    if (status >= 0) status = file_writer_write(writer, data, bytes, error);
    host_free(p->host, data);
    return status;
}

mzt_status plan_image_write(const plan *p, plan_weight_reader *read, void *user, file_writer *writer,
                            uint64_t *size, mzt_error *error) {
    uint64_t bytes;
    TRY(write_plan(p, writer, &bytes, error));
    TRY(write_padding(writer, &bytes, error));
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        if (p->buffers[i].kind != PLAN_WEIGHT || p->buffers[i].bytes == 0) continue;
        TRY(write_weight(p, i, read, user, writer, error));
        bytes += p->buffers[i].bytes;
        TRY(write_padding(writer, &bytes, error));
    }
    if (size) *size = bytes;
    return MZT_OK;
}

/* *expected receives how many bytes the plan takes. */
static mzt_status check_header(const file_header *h, uint64_t *expected, mzt_error *error) {
    if (memcmp(h->magic, PLAN_MAGIC, sizeof h->magic) != 0)
        return error_set(error, MZT_ERROR_FORMAT, "not a plan file");
    if (h->order != ORDER_MARK)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "plan file in another byte order");
    if (h->version != PLAN_VERSION || h->op_count != OP_COUNT)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "plan file of version %u with %u ops, expected %u and %u", h->version, h->op_count,
                         PLAN_VERSION, (unsigned)OP_COUNT);
    /* 32-bit counts times small sizes: no sum here can leave 64 bits. */
    *expected = sizeof *h + h->buffer_count * (uint64_t)sizeof(plan_buffer) +
                h->piece_count * (uint64_t)sizeof(plan_piece) +
                h->dispatch_count * (uint64_t)sizeof(plan_dispatch) +
                h->phase_count * (uint64_t)sizeof(plan_phase) + h->string_bytes;
    return MZT_OK;
}

/* Copies the next `count` items out of the file into a fresh block; NULL when out of memory. */
static void *take(const base_host *host, const uint8_t **at, uint32_t count, size_t size) {
    void *block = host_calloc(host, count, size);
    uint64_t bytes = (uint64_t)count * size;
    if (block && bytes) memcpy(block, *at, (size_t)bytes);
    *at += bytes;
    return block;
}

static mzt_status parse(plan *p, const uint8_t *at, uint64_t size, mzt_error *error) {
    p->buffers = take(p->host, &at, p->buffer_count, sizeof *p->buffers);
    p->pieces = take(p->host, &at, p->piece_count, sizeof *p->pieces);
    p->dispatches = take(p->host, &at, p->dispatch_count, sizeof *p->dispatches);
    p->phases = take(p->host, &at, p->phase_count, sizeof *p->phases);
    p->strings = take(p->host, &at, p->string_bytes, 1);
    if (!p->buffers || !p->pieces || !p->dispatches || !p->phases || !p->strings)
        return error_memory(error, "a plan", size);
    return plan_check(p, error);
}

/* Parses the plan at the beginning of the bytes; *used receives how many it takes. */
static mzt_status parse_front(const base_host *host, const void *data, uint64_t size, bool more,
                              uint64_t *used, plan **out, mzt_error *error) {
    *out = NULL;
    file_header h;
    if (size < sizeof h)
        return error_set(error, MZT_ERROR_FORMAT, "plan file of %llu bytes is too short",
                         (unsigned long long)size);
    memcpy(&h, data, sizeof h);
    TRY(check_header(&h, used, error));
    if (more ? *used > size : *used != size)
        return error_set(error, MZT_ERROR_FORMAT, "plan file of %llu bytes, its header announces %llu",
                         (unsigned long long)size, (unsigned long long)*used);
    plan *p = host_calloc(host, 1, sizeof *p);
    if (!p) return error_memory(error, "a plan", sizeof *p);
    p->host = host;
    p->activation = h.activation;
    p->weight = h.weight;
    p->arena_bytes = h.arena_bytes;
    p->weight_bytes = h.weight_bytes;
    p->buffer_count = h.buffer_count;
    p->piece_count = h.piece_count;
    p->dispatch_count = h.dispatch_count;
    p->phase_count = h.phase_count;
    p->string_bytes = h.string_bytes;
    mzt_status status = parse(p, (const uint8_t *)data + sizeof h, *used, error);
    if (status < 0)
        plan_destroy(p);
    else
        *out = p;
    return status;
}

mzt_status plan_parse(const base_host *host, const void *data, uint64_t size, plan **out, mzt_error *error) {
    uint64_t used;
    return parse_front(host, data, size, false, &used, out, error);
}

/* Finds the weights, which follow from `at` on to the very end of the bytes. */
static mzt_status find_weights(const plan *p, const uint8_t *data, uint64_t at, uint64_t size,
                               const uint8_t **weights, mzt_error *error) {
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *b = &p->buffers[i];
        if (b->kind != PLAN_WEIGHT || b->bytes == 0) continue;
        at = align_up(at, PLAN_ALIGNMENT);
        if (at > size || b->bytes > size - at)
            return error_set(error, MZT_ERROR_FORMAT,
                             "plan image of %llu bytes ends before weight \"%s\" does",
                             (unsigned long long)size, plan_string(p, b->name));
        weights[i] = data + at;
        at += b->bytes;
    }
    if (align_up(at, PLAN_ALIGNMENT) == size) return MZT_OK;
    return error_set(error, MZT_ERROR_FORMAT, "plan image of %llu bytes, its plan needs %llu",
                     (unsigned long long)size, (unsigned long long)align_up(at, PLAN_ALIGNMENT));
}

mzt_status plan_image_parse(const base_host *host, const void *data, uint64_t size, plan_image *out,
                            mzt_error *error) {
    uint64_t used;
    *out = (plan_image){.host = host};
    TRY(parse_front(host, data, size, true, &used, &out->plan, error));
    out->weights = host_calloc(host, out->plan->buffer_count, sizeof *out->weights);
    mzt_status status = out->weights ? find_weights(out->plan, data, used, size, out->weights, error)
                                     : error_memory(error, "a plan's weights",
                                                    out->plan->buffer_count * sizeof *out->weights);
    if (status < 0) plan_image_destroy(out);
    return status;
}

void plan_image_destroy(plan_image *image) {
    if (image->host) host_free(image->host, image->weights);
    plan_destroy(image->plan);
    *image = (plan_image){0};
}
