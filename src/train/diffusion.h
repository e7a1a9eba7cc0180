/* The forward process and what is learned of it: which noise level a sample gets, what the network sees and
 * what it is to answer. All in one convention: sample = alpha * clean + sigma * noise. Thread-safety:
 * immutable once made. */
#ifndef TRAIN_DIFFUSION_H
#define TRAIN_DIFFUSION_H

#include "sample/schedule.h"
#include "train/config.h"

typedef struct diffusion {
    const base_host *host;
    denoiser_config config;
    noise_table table;    /* empty for flow matching */
    char *scheduler_json; /* scheduler/scheduler_config.json that fits */
} diffusion;

/* One sample's place on the way from picture to noise. */
typedef struct diffusion_point {
    double alpha, sigma;
    double timestep; /* what the network is told */
    double weight;   /* of its squared error */
} diffusion_point;

mzt_status diffusion_create(const base_host *host, const denoiser_config *config, diffusion *out,
                            mzt_error *error);
void diffusion_destroy(diffusion *d); /* zeroed is accepted */

/* The point at share 0...1 of the range of timesteps. */
diffusion_point diffusion_at(const diffusion *d, double share);

/* Draws a point for sample `place` of a batch: evenly spread over the batch, but for flow matching's
 * logit-normal density. */
diffusion_point diffusion_draw(const diffusion *d, uint64_t seed, uint64_t step, uint32_t place,
                               uint32_t batch);

/* The network's input and the wanted output, `count` values each. */
void diffusion_mix(const diffusion *d, const diffusion_point *p, const float *clean, const float *noise,
                   uint64_t count, float *sample, float *target);

#endif
