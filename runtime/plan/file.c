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

mzt_status plan_write(const plan *p, const char *path, mzt_error *error) {
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
    file_writer *writer;
    TRY(file_writer_open(p->host, path, &writer, error));
    const struct {
        const void *data;
        uint64_t size;
    } parts[] = {{&header, sizeof header},
                 {p->buffers, p->buffer_count * (uint64_t)sizeof *p->buffers},
                 {p->pieces, p->piece_count * (uint64_t)sizeof *p->pieces},
                 {p->dispatches, p->dispatch_count * (uint64_t)sizeof *p->dispatches},
                 {p->phases, p->phase_count * (uint64_t)sizeof *p->phases},
                 {p->strings, p->string_bytes}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        mzt_status status =
            parts[i].size ? file_writer_write(writer, parts[i].data, parts[i].size, error) : MZT_OK;
        if (status < 0) {
            file_writer_abandon(writer);
            return status;
        }
    }
    return file_writer_commit(writer, error);
}

static mzt_status check_header(const file_header *h, uint64_t size, mzt_error *error) {
    if (memcmp(h->magic, PLAN_MAGIC, sizeof h->magic) != 0)
        return error_set(error, MZT_ERROR_FORMAT, "not a plan file");
    if (h->order != ORDER_MARK)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "plan file in another byte order");
    if (h->version != PLAN_VERSION || h->op_count != OP_COUNT)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "plan file of version %u with %u ops, expected %u and %u", h->version, h->op_count,
                         PLAN_VERSION, (unsigned)OP_COUNT);
    /* 32-bit counts times small sizes: no sum here can leave 64 bits. */
    uint64_t expected = sizeof *h + h->buffer_count * (uint64_t)sizeof(plan_buffer) +
                        h->piece_count * (uint64_t)sizeof(plan_piece) +
                        h->dispatch_count * (uint64_t)sizeof(plan_dispatch) +
                        h->phase_count * (uint64_t)sizeof(plan_phase) + h->string_bytes;
    if (size != expected)
        return error_set(error, MZT_ERROR_FORMAT, "plan file of %llu bytes, its header announces %llu",
                         (unsigned long long)size, (unsigned long long)expected);
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

mzt_status plan_parse(const base_host *host, const void *data, uint64_t size, plan **out, mzt_error *error) {
    *out = NULL;
    file_header h;
    if (size < sizeof h)
        return error_set(error, MZT_ERROR_FORMAT, "plan file of %llu bytes is too short",
                         (unsigned long long)size);
    memcpy(&h, data, sizeof h);
    TRY(check_header(&h, size, error));
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
    mzt_status status = parse(p, (const uint8_t *)data + sizeof h, size, error);
    if (status < 0)
        plan_destroy(p);
    else
        *out = p;
    return status;
}
