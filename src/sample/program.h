/* A sampler program: what a sampler does, as a table of linear algebra.
 *
 * Every call of the network is one row. The state is up to SAMPLER_SLOTS arrays of the latent's size, all
 * zero at the start but slot 0, the current latent. A row says, for every slot i:
 *
 *     input   = sum_j in[j] slot_j                what the network is given, with the row's timestep
 *     m       = network(input, timestep)          after guidance
 *     d       = sum_j p[j] slot_j + q m           the clean estimate, clamped to +-clip if clip > 0
 *     slot_i' = sum_j B[i][j] slot_j + c[i] d + g[i] m + n1[i] noise1 + n2[i] noise2
 *
 * where all slot' are made from the old slots. noise1 and noise2 are arrays of unit normals out of the
 * program's sequence of `noises` arrays; a row names them by index, so two rows may share one (correlated
 * increments of a Brownian path).
 *
 * The same table, in float32, is what the device reads: [calls][SAMPLER_ROW_FLOATS], laid out as
 * sampler_row.h says.
 *
 * Thread-safety: a program is immutable once compiled. */
#ifndef SAMPLE_PROGRAM_H
#define SAMPLE_PROGRAM_H

#include "base/host.h"
#include "sampler_row.h"

typedef struct sampler_program {
    double *rows;            /* [calls][SAMPLER_ROW_FLOATS] */
    uint32_t calls;          /* network evaluations */
    uint32_t steps;          /* user-visible steps */
    uint32_t slots;          /* slots 0 ... slots-1 are used, at most SAMPLER_SLOTS */
    uint32_t noises;         /* arrays of unit normals, numbered in the order of first use */
    double init_noise_sigma; /* without an image: slot 0 = init_noise_sigma * noise */
    double image_scale;      /* with an image: slot 0 = image_scale * image + noise_scale * noise */
    double noise_scale;
    double final_scale; /* clean latent = final_scale * slot 0 after the last row */
    double final_sigma; /* noise-to-signal ratio left after the last row; 0 for most */
} sampler_program;

/* NULL is accepted. */
void sampler_program_destroy(const base_host *host, sampler_program *p);

/* The table as the device reads it; `table` holds calls * SAMPLER_ROW_FLOATS floats. */
void sampler_program_table(const sampler_program *p, float *table);

static inline const double *sampler_program_row(const sampler_program *p, uint32_t call) {
    return p->rows + (size_t)call * SAMPLER_ROW_FLOATS;
}

#endif
