/* See mixture_sampler.h. */
#include "mixture_sampler.h"

#include <math.h>

#include "gaussian_mixture.h"
#include "sample/run.h"

#define BATCH 500 /* points moved at once, so that the noises of a long run fit in the cache's size or so */

double mixture_scale(sampler_space space, double sigma) {
    if (space == SPACE_EXPLODING) return 1;
    return space == SPACE_FLOW ? 1 - sigma : 1 / sqrt(1 + sigma * sigma);
}

double mixture_ratio(sampler_space space, double sigma) {
    return space == SPACE_FLOW ? sigma / (1 - sigma) : sigma;
}

static void exact_network(sampler_space space, const double *row, const double input[2], double m[2]) {
    double sigma = row[SAMPLER_ROW_SIGMA], ratio = mixture_ratio(space, sigma), d[2];
    double scale = space == SPACE_FLOW ? 1 - sigma : 1 / sqrt(1 + sigma * sigma);
    const double x[2] = {input[0] / scale, input[1] / scale};
    mixture_clean(x, ratio, d);
    for (int a = 0; a < 2; a++) {
        double noise = (x[a] - d[a]) / ratio;
        m[a] = space == SPACE_FLOW ? noise - d[a] : noise;
    }
}

/* One batch; `slots` [SAMPLER_SLOTS][size], noises [program->noises][size], input and m [size]. */
static void run_batch(const mixture_run *run, double *const *slots, const double *noises, double *input,
                      double *m, size_t size) {
    const sampler_program *program = run->program;
    uint32_t calls = run->calls ? run->calls : program->calls;
    for (uint32_t call = 0; call < calls; call++) {
        const double *row = sampler_program_row(program, call);
        const double *noise[2] = {NULL, NULL};
        for (int k = 0; k < 2; k++)
            if (row[SAMPLER_ROW_NOISE1 + k] >= 0)
                noise[k] = noises + (size_t)row[SAMPLER_ROW_NOISE1 + k] * size;
        sampler_input_f64(row, program->slots, (const double *const *)slots, input, size);
        for (size_t e = 0; e < size; e += 2)
            if (run->network)
                run->network(run->context, row, input + e, m + e);
            else
                exact_network(run->space, row, input + e, m + e);
        sampler_update_f64(row, program->slots, slots, m, noise[0], noise[1], NULL, size);
    }
}

bool mixture_run_program(const base_host *host, const mixture_run *run, double *x, size_t count) {
    size_t most = 2 * (count < BATCH ? count : BATCH);
    double *block = host_calloc(host, (SAMPLER_SLOTS + 2) * most, sizeof *block), *slots[SAMPLER_SLOTS];
    double *noises = host_calloc(host, run->program->noises * most + 1, sizeof *noises);
    uint64_t random = run->random;
    bool made = block && noises;
    for (size_t done = 0; made && done < 2 * count; done += most) {
        size_t size = 2 * count - done < most ? 2 * count - done : most;
        for (size_t i = 0; i < SAMPLER_SLOTS * most; i++)
            block[i] = 0;
        for (size_t i = 0; i < SAMPLER_SLOTS; i++)
            slots[i] = block + i * most;
        for (size_t i = 0; i < run->program->noises * size; i++)
            noises[i] = mixture_normal(&random);
        for (size_t i = 0; i < size; i++)
            slots[0][i] = x[done + i];
        run_batch(run, slots, noises, block + SAMPLER_SLOTS * most, block + (SAMPLER_SLOTS + 1) * most, size);
        for (size_t i = 0; i < size; i++)
            x[done + i] = slots[0][i];
    }
    host_free(host, block);
    host_free(host, noises);
    return made;
}
