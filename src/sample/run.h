/* Running a sampler program on plain arrays, and guidance. For the C interface, tests, and hosts with their
 * own network. Nothing here fails, allocates or keeps state. Thread-safety: calls on different arrays are
 * independent. */
#ifndef SAMPLE_RUN_H
#define SAMPLE_RUN_H

#include "sample/program.h"

/* The network's input of one call: input[i] = sum over j of in[j] * slots[j][i]. `row` is a row of program.h,
 * `slots` holds `slot_count` arrays of `count` values. */
void sampler_input(const float *row, uint32_t slot_count, const float *const *slots, float *input,
                   size_t count);
void sampler_input_f64(const double *row, uint32_t slot_count, const double *const *slots, double *input,
                       size_t count);

/* The rest of a call: from the (guided) network output, updates all slots in place. noise1 and noise2 may be
 * NULL where the row names none. `denoised` NULL, or [count] values that receive the clean estimate. */
void sampler_update(const float *row, uint32_t slot_count, float *const *slots, const float *output,
                    const float *noise1, const float *noise2, float *denoised, size_t count);
void sampler_update_f64(const double *row, uint32_t slot_count, double *const *slots, const double *output,
                        const double *noise1, const double *noise2, double *denoised, size_t count);

/* Classifier-free guidance: output = uncond + scale (cond - uncond), for `batch` samples of `count` values,
 * in place in `output` if wanted. `rescale` in 0 ... 1 mixes in the output scaled to the standard deviation
 * of cond, per sample (Lin et al. 2023, arXiv 2305.08891, section 3.4); 0 is off. */
void guidance_apply(const float *uncond, const float *cond, float scale, float rescale, uint32_t batch,
                    size_t count, float *output);

#endif
