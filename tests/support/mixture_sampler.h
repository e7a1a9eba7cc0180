/* Running sampler programs on the Gaussian mixture, in double. */
#ifndef MIXTURE_SAMPLER_H
#define MIXTURE_SAMPLER_H

#include "sample/compile.h"
#include "sample/samplers.h"

/* What stands for the network: its output for one latent `input` [2] as the row gives it. */
typedef void (*mixture_network)(const void *context, const double *row, const double input[2], double m[2]);

typedef struct mixture_run {
    const sampler_program *program;
    sampler_space space;
    mixture_network network; /* NULL: the exact noise (flow: velocity) */
    const void *context;     /* for `network` */
    uint32_t calls;          /* run only this many; 0: all */
    uint64_t random;         /* seed of the program's noises, not 0 */
} mixture_run;

/* Moves x [count][2] (slot 0, in the sampler's space) through the program. Returns false if memory runs out.
 */
bool mixture_run_program(const base_host *host, const mixture_run *run, double *x, size_t count);

/* Slot 0 = scale * (x0 + sigma n). `sigma` as rows have it. */
double mixture_scale(sampler_space space, double sigma);

/* The noise-to-signal ratio of a row's sigma. */
double mixture_ratio(sampler_space space, double sigma);

#endif
