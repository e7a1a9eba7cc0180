/* 3x3 convolutions of stride 1, and the gradients of their weights, with a quarter of the multiplications:
 * see fast_winograd.c. Callers ask whether that applies (it may, and gains something), add its scratch to
 * their own, and run it with the shared part. */
#ifndef CPU_FAST_WINOGRAD_H
#define CPU_FAST_WINOGRAD_H

#include "cpu/fast_matrix.h"

enum {
    WINOGRAD_TILE = 4,           /* results a side */
    WINOGRAD_SIDE = 6,           /* pixels a side that these depend on */
    WINOGRAD_PLACES = 36,        /* of a transformed tile */
    WINOGRAD_LEAST_CHANNELS = 16 /* below, transforms take longer than what they save */
};

/* Floats from one place's matrix of `count` to the next: the 36 are written side by side, and at a distance
 * of whole pages they would drive each other out of the first-level cache. */
static inline uint64_t winograd_apart(uint64_t count) {
    return align_up(count, 16) + 16;
}

/* Elements of the 36 transformed filters that are worth their memory: 128 MiB; larger ones stay with the
 * direct way. */
#define WINOGRAD_MOST_WEIGHTS ((128u << 20) / (WINOGRAD_PLACES * sizeof(float)))

/* Tiles that cover a picture of h x w results. */
static inline uint64_t winograd_tiles(uint32_t h, uint32_t w) {
    return (uint64_t)ceil_div(h, WINOGRAD_TILE) * ceil_div(w, WINOGRAD_TILE);
}

/* Whether a picture of h x w results fills most of the tiles that cover it. How many pictures there are must
 * not count: one picture is the same, to the bit, alone and in a batch. */
static inline bool winograd_fits(uint32_t h, uint32_t w) {
    return 2 * winograd_tiles(h, w) * WINOGRAD_TILE * WINOGRAD_TILE <= 3 * (uint64_t)h * w;
}

bool winograd_applies(const cpu_call *call);
fast_scratch winograd_scratch(const fast_program *f, const cpu_call *call);
void winograd_run(const cpu_call *call, const matrix_job *job, float *scratch);

/* fast_grad_winograd.c; x is f32. */
bool winograd_grad_applies(const weight_grad_params *p);
fast_scratch winograd_grad_scratch(const fast_program *f, const weight_grad_params *p);
void winograd_grad_run(const fast_program *f, const cpu_call *call, const float *x, float *scratch);

#endif
