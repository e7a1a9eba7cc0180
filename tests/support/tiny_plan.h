/* Small plans built by hand, for tests of executors: everything lies in one struct, nothing is allocated. */
#ifndef SUPPORT_TINY_PLAN_H
#define SUPPORT_TINY_PLAN_H

#include "plan/plan.h"

enum { TINY_BUFFERS = 48, TINY_DISPATCHES = 64 };

typedef struct tiny_plan {
    plan plan; /* points into this struct: do not copy it */
    plan_buffer buffers[TINY_BUFFERS];
    plan_dispatch dispatches[TINY_DISPATCHES];
    plan_phase phase;
    char strings[16 * TINY_BUFFERS];
} tiny_plan;

/* An empty plan with one phase, "main", that holds all dispatches. */
void tiny_begin(tiny_plan *t, const base_host *host, dtype activation, dtype weight);

/* Adds a buffer of `count` elements behind those in the arena; returns its index. Named "b0", "b1", ... */
uint32_t tiny_buffer(tiny_plan *t, plan_buffer_kind kind, dtype type, uint32_t count);

/* Adds a dispatch that binds `buffers` whole, in the op's order (PLAN_NONE: absent). Its FLOP and bytes are
 * filled in. */
void tiny_dispatch(tiny_plan *t, op o, bool barrier, op_params params, const uint32_t *buffers);

/* out = f(scale * x + shift) over whole buffers; out = a_scale * a + b_scale * b. */
void tiny_unary(tiny_plan *t, bool barrier, uint32_t kind, float scale, float shift, uint32_t x,
                uint32_t out);
void tiny_add(tiny_plan *t, bool barrier, float a_scale, uint32_t a, float b_scale, uint32_t b, uint32_t out);

/* out [m][n] = x [m][k] * weight [n][k]^T + bias [n]. */
void tiny_linear(tiny_plan *t, bool barrier, uint32_t m, uint32_t n, uint32_t k, uint32_t x, uint32_t weight,
                 uint32_t bias, uint32_t out);

#endif
