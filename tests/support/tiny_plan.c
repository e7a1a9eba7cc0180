/* Small plans built by hand; see tiny_plan.h. */
#include "tiny_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tiny_begin(tiny_plan *t, const base_host *host, dtype activation, dtype weight) {
    memset(t, 0, sizeof *t);
    memcpy(t->strings, "\0main", 6);
    t->phase = (plan_phase){.name = 1};
    t->plan = (plan){.host = host,
                     .activation = activation,
                     .weight = weight,
                     .buffers = t->buffers,
                     .dispatches = t->dispatches,
                     .phases = &t->phase,
                     .phase_count = 1,
                     .strings = t->strings,
                     .string_bytes = 6};
}

uint32_t tiny_buffer(tiny_plan *t, plan_buffer_kind kind, dtype type, uint32_t count) {
    uint32_t index = t->plan.buffer_count++;
    if (index >= TINY_BUFFERS) abort();
    uint64_t bytes = (uint64_t)count * dtype_size(type);
    t->buffers[index] = (plan_buffer){
        .name = t->plan.string_bytes, .kind = kind, .dtype = type, .shape = {1, 1, 1, count}, .bytes = bytes};
    int length = snprintf(t->strings + t->plan.string_bytes, 8, "b%u", index);
    t->plan.string_bytes += (uint32_t)length + 1;
    if (kind == PLAN_WEIGHT) {
        t->plan.weight_bytes += bytes;
    } else {
        t->buffers[index].offset = t->plan.arena_bytes;
        t->plan.arena_bytes += align_up(bytes, PLAN_ALIGNMENT);
    }
    return index;
}

void tiny_dispatch(tiny_plan *t, op o, bool barrier, op_params params, const uint32_t *buffers) {
    uint32_t index = t->plan.dispatch_count++;
    if (index >= TINY_DISPATCHES) abort();
    t->phase.count = t->plan.dispatch_count;
    plan_dispatch *d = &t->dispatches[index];
    *d = (plan_dispatch){
        .op = o, .barrier = barrier, .node = 1, .params = params, .flops = op_flops(o, &params)};
    for (uint32_t i = 0; i < OP_MAX_BINDINGS; i++) {
        d->bindings[i].buffer = PLAN_NONE;
        if (i >= op_get(o)->binding_count || buffers[i] == PLAN_NONE) continue;
        d->bindings[i].buffer = buffers[i];
        d->bindings[i].range = align_up(t->buffers[buffers[i]].bytes, 4);
        d->bytes += d->bindings[i].range;
    }
}

void tiny_unary(tiny_plan *t, bool barrier, uint32_t kind, float scale, float shift, uint32_t x,
                uint32_t out) {
    op_params params = {
        .unary = {.count = t->buffers[out].shape[3], .kind = kind, .scale = scale, .shift = shift}};
    tiny_dispatch(t, OP_UNARY, barrier, params, (const uint32_t[]){x, out});
}

void tiny_add(tiny_plan *t, bool barrier, float a_scale, uint32_t a, float b_scale, uint32_t b,
              uint32_t out) {
    op_params params = {.binary = {.count = t->buffers[out].shape[3],
                                   .b_count = t->buffers[b].shape[3],
                                   .kind = BINARY_ADD,
                                   .a_scale = a_scale,
                                   .b_scale = b_scale}};
    tiny_dispatch(t, OP_BINARY, barrier, params, (const uint32_t[]){a, b, out});
}

void tiny_linear(tiny_plan *t, bool barrier, uint32_t m, uint32_t n, uint32_t k, uint32_t x, uint32_t weight,
                 uint32_t bias, uint32_t out) {
    op_params params = {.linear = {.m = m, .n = n, .k0 = k, .flags = EPILOGUE_BIAS}};
    tiny_dispatch(t, OP_LINEAR, barrier, params,
                  (const uint32_t[]){x, PLAN_NONE, weight, bias, PLAN_NONE, PLAN_NONE, out});
}
