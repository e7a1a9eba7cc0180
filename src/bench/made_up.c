/* Weights and inputs for benchmarks; see made_up.h. */
#include "bench/made_up.h"

#include <math.h>
#include <string.h>

#define CHUNK_VALUES (1u << 20)

/* Sums of four 16-bit digits of a 64-bit generator (Marsaglia's xorshift): near normal, of unit deviation,
 * and quick. */
static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fill(float *values, uint64_t count, float deviation, float mean, uint64_t *state) {
    const float scale =
        deviation * 1.7320508f / 65536.0f; /* of one digit's deviation, 2^16 / sqrt(12), times sqrt(4) */
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t bits = next(state);
        const float sum = (float)(bits & 0xffff) + (float)(bits >> 16 & 0xffff) +
                          (float)(bits >> 32 & 0xffff) + (float)(bits >> 48);
        values[i] = mean + (sum - 131070.0f) * scale;
    }
}

typedef struct chunk {
    program *targets[2];
    float *values;
    void *bytes;
} chunk;

static mzt_status chunk_make(const base_host *host, program *g, program *also, chunk *c, mzt_error *error) {
    *c = (chunk){
        {g, also}, host_calloc(host, CHUNK_VALUES, sizeof(float)), host_calloc(host, CHUNK_VALUES, 8)};
    return c->values && c->bytes ? MZT_OK : error_memory(error, "made-up values", CHUNK_VALUES * 12ull);
}

static void chunk_free(const base_host *host, chunk *c) {
    host_free(host, c->values);
    host_free(host, c->bytes);
}

/* `count` values of a buffer from element `first` on. Blocks are of 32 elements, and so is every chunk's size
 * a multiple. */
static mzt_status write(chunk *c, uint32_t buffer, uint64_t first, uint64_t count, float deviation,
                        float mean, mzt_error *error) {
    const plan *p = c->targets[0]->plan;
    const dtype type = (dtype)p->buffers[buffer].dtype;
    uint64_t state = 0x9e3779b97f4a7c15ull ^ ((uint64_t)buffer << 32 | first);
    for (uint64_t done = 0; done < count;) {
        const uint64_t some = count - done < CHUNK_VALUES ? count - done : CHUNK_VALUES;
        fill(c->values, some, deviation, mean, &state);
        dtype_convert(type, c->bytes, DTYPE_F32, c->values, (size_t)some);
        const uint64_t size = dtype_size(type), block = dtype_block(type);
        for (int t = 0; t < 2; t++)
            if (c->targets[t])
                TRY(program_write(c->targets[t], buffer, (first + done) / block * size, c->bytes,
                                  some / block * size, error));
        done += some;
    }
    return MZT_OK;
}

static bool ends_with(const char *name, const char *end) {
    const size_t a = strlen(name), b = strlen(end);
    return a >= b && strcmp(name + a - b, end) == 0;
}

static mzt_status write_pieces(chunk *c, mzt_error *error) {
    const plan *p = c->targets[0]->plan;
    for (uint32_t i = 0; i < p->piece_count; i++) {
        const plan_piece *piece = &p->pieces[i];
        uint64_t count = 1, inputs = 1;
        for (uint32_t d = 0; d < piece->rank; d++) {
            count *= piece->shape[d];
            if (d > 0) inputs *= piece->shape[d];
        }
        const bool scale = piece->rank == 1 && ends_with(plan_string(p, piece->name), "weight");
        const float deviation = piece->rank == 1 ? 0.05f : 1 / sqrtf((float)inputs);
        TRY(write(c, piece->buffer, piece->element, count, deviation, scale ? 1 : 0, error));
    }
    return MZT_OK;
}

mzt_status made_up_weights(program *g, program *also, mzt_error *error) {
    const base_host *host = g->owner->host;
    chunk c;
    mzt_status status = chunk_make(host, g, also, &c, error);
    if (status >= 0) status = write_pieces(&c, error);
    chunk_free(host, &c);
    return status;
}

/* Token ids count up; everything else that is no float stays 0. */
static mzt_status write_ids(chunk *c, uint32_t buffer, mzt_error *error) {
    const plan_buffer *b = &c->targets[0]->plan->buffers[buffer];
    uint32_t *ids = c->bytes;
    const uint64_t count = b->bytes / sizeof *ids;
    if (count > CHUNK_VALUES || strcmp(plan_string(c->targets[0]->plan, b->name), "ids") != 0) return MZT_OK;
    for (uint64_t i = 0; i < count; i++)
        ids[i] = (uint32_t)(i % 97);
    for (int t = 0; t < 2; t++)
        if (c->targets[t]) TRY(program_write(c->targets[t], buffer, 0, ids, b->bytes, error));
    return MZT_OK;
}

mzt_status made_up_inputs(program *g, program *also, mzt_error *error) {
    const base_host *host = g->owner->host;
    chunk c;
    mzt_status status = chunk_make(host, g, also, &c, error);
    for (uint32_t i = 0; status >= 0 && i < g->plan->buffer_count; i++) {
        const plan_buffer *b = &g->plan->buffers[i];
        if (b->role != PLAN_ROLE_INPUT && b->role != PLAN_ROLE_STATE) continue;
        if (b->dtype == DTYPE_U32)
            status = write_ids(&c, i, error);
        else
            status = write(&c, i, 0, b->bytes / dtype_size((dtype)b->dtype), 1, 0, error);
    }
    chunk_free(host, &c);
    return status;
}
