/* A little network for tests of running in slices: x <- silu(x W^T + b), some times over, in one phase "main". */
#ifndef SUPPORT_LAYERS_PLAN_H
#define SUPPORT_LAYERS_PLAN_H

#include "executor.h"
#include "tiny_plan.h"

typedef struct layers_plan {
    tiny_plan plan;
    uint32_t rows, width;
    float *data[4]; /* x [rows][width], scratch, W [width][width], b [width] */
    float *found;   /* [rows][width] */
} layers_plan;

/* Weights and input are made up; everything in f32. */
void layers_make(layers_plan *l, const base_host *host, uint32_t rows, uint32_t width, uint32_t depth);
void layers_free(layers_plan *l);

/* Queues all data, weights and input, and the sealing. */
mzt_status layers_queue(const layers_plan *l, program *g, mzt_error *error);

/* Writes the input anew: a run then gives what the first one gave. */
mzt_status layers_reset(const layers_plan *l, program *g, mzt_error *error);

/* Reads the result into `found`, and returns it. */
mzt_status layers_read(layers_plan *l, program *g, mzt_error *error);

/* Bytes of x. */
uint64_t layers_bytes(const layers_plan *l);

#endif
