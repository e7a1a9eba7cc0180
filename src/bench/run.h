/* Times networks on a device, and checks in the same run that what was timed is right. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "bench/networks.h"
#include "bench/statistics.h"
#include "executor.h"

/* One kernel: dispatches of a network with the same op and parameters. */
typedef struct bench_kernel {
    op op;
    char shape[96], node[160]; /* "[2,64,64,320] * [320,3,3,320]"; the first of its nodes */
    uint32_t count;            /* dispatches in one evaluation */
    uint64_t flops, bytes;     /* of one */
    timing time;               /* of one, alone and repeated; runs 0: was not timed */
    double in_step;            /* seconds of one, on average, within an evaluation */
    double error, limit;       /* relative, against the reference in double; error infinite for NaN */
    bool checked, wrong;
} bench_kernel;

typedef struct bench_result {
    bench_network network;
    dtype type;
    uint64_t parameters, flops, bytes, memory; /* flops, bytes of one evaluation; bytes held on the device */
    uint32_t dispatches, barriers;
    double compile_seconds, prepare_seconds, setup_seconds;
    timing time;           /* of one evaluation, start to end as the host sees it */
    double device_seconds; /* sum of the dispatches' own times in one evaluation */
    bench_kernel *kernels; /* [kernel_count] largest share first */
    uint32_t kernel_count;
    bool wrong;   /* some kernel is */
    bool stopped; /* by the time limit: fewer runs or kernels than asked for */
} bench_result;

typedef struct bench_options {
    dtype type;
    double seconds; /* limit for timing whole evaluations; at least two are timed */
    double
        kernel_seconds; /* limit for timing each kernel alone; 0: kernels are timed within evaluations only */
    uint32_t kernels;   /* at most so many are timed alone, the largest shares first */
    uint64_t check_items; /* rows, pixels or elements of each kernel that are held against the reference; 0:
                             none */
    const char *perturb;  /* a node whose result is spoiled on purpose before it is checked; or NULL */
    bool (*keep_going)(void *user, const char *doing, double share); /* NULL: go on */
    void *user;
} bench_options;

/* CANCELLED when keep_going said so; NOT_FOUND for an unknown perturb node; else the errors of compiling and
 * running. */
mzt_status bench_run(executor *device, const bench_network *n, const bench_options *options,
                     bench_result *out, mzt_error *error);
void bench_result_destroy(const base_host *host, bench_result *r); /* zeroed is accepted */

#endif
