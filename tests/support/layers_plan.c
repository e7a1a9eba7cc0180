/* A little network for tests; see layers_plan.h. */
#include "layers_plan.h"

#include <stdlib.h>

static float *samples(uint32_t count, float scale) {
    float *values = malloc(count * sizeof *values);
    if (!values) abort();
    for (uint32_t i = 0; i < count; i++)
        values[i] = scale * ((float)((i * 7 + i / 13) % 31) - 15);
    return values;
}

void layers_make(layers_plan *l, const base_host *host, uint32_t rows, uint32_t width, uint32_t depth) {
    const uint32_t counts[4] = {rows * width, rows * width, width * width, width};
    tiny_begin(&l->plan, host, DTYPE_F32, DTYPE_F32);
    l->rows = rows;
    l->width = width;
    for (uint32_t i = 0; i < 4; i++) {
        tiny_buffer(&l->plan, i < 2 ? PLAN_PERSISTENT : PLAN_WEIGHT, DTYPE_F32, counts[i]);
        l->data[i] = samples(counts[i], i == 2 ? 1.0f / (float)width : 0.1f);
    }
    l->found = samples(counts[0], 0);
    for (uint32_t i = 0; i < depth; i++) {
        tiny_linear(&l->plan, true, rows, width, width, 0, 2, 3, 1);
        tiny_unary(&l->plan, true, UNARY_SILU, 1, 0, 1, 0);
    }
}

void layers_free(layers_plan *l) {
    for (int i = 0; i < 4; i++)
        free(l->data[i]);
    free(l->found);
}

mzt_status layers_queue(const layers_plan *l, program *g, mzt_error *error) {
    for (uint32_t i = 0; i < 4; i++)
        TRY(program_queue_write(g, i, 0, l->data[i], g->plan->buffers[i].bytes, error));
    return program_queue_seal(g, error);
}

mzt_status layers_reset(const layers_plan *l, program *g, mzt_error *error) {
    return program_write(g, 0, 0, l->data[0], layers_bytes(l), error);
}

mzt_status layers_read(layers_plan *l, program *g, mzt_error *error) {
    return program_read(g, 0, 0, l->found, layers_bytes(l), error);
}

uint64_t layers_bytes(const layers_plan *l) {
    return (uint64_t)l->rows * l->width * sizeof(float);
}
