/* Holds the kernels of a program against the reference: each distinct one at its first dispatch, in the order
 * of the plan, on the bytes that the device itself has made up to there, at some of its rows, pixels or
 * elements. */
#ifndef BENCH_CHECK_H
#define BENCH_CHECK_H

#include "bench/run.h"

typedef struct bench_check {
    program *program;          /* sealed, with its inputs */
    const uint32_t *kernel_of; /* [dispatch_count] index into kernels, or PLAN_NONE */
    bench_kernel *kernels;     /* error, limit, checked and wrong are filled in */
    uint64_t items;
    uint32_t perturbed; /* the result of this dispatch is spoiled first; PLAN_NONE: none */
    bool (*keep_going)(void *user, const char *doing, double share); /* may be NULL */
    void *user;
} bench_check;

mzt_status bench_check_run(bench_check *c, mzt_error *error);

#endif
