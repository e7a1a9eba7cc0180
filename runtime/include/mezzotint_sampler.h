/* mezzotint_sampler.h: schedules and solver steps as plain functions on host arrays, for hosts with a network
 * of their own. Conventions are those of mezzotint.h.
 *
 * A sampler is compiled into rows of linear algebra over up to `slots` arrays of the latent's size, all zero
 * at first but slot 0, the current latent:
 *
 *     mzt_sampler_start(s, image or NULL, noise, slot0, count);
 *     for call in 0 ... calls - 1:
 *         mzt_sampler_input(s, call, slots, input, count);
 *         output = your network(input, call's timestep), guided as you like
 *         mzt_sampler_update(s, call, slots, output, noise1, noise2, NULL, count);
 *     mzt_sampler_finish(s, slot0, latent, count);
 *
 * Threads: a sampler is immutable; any thread, several at once. */
#ifndef MEZZOTINT_SAMPLER_H
#define MEZZOTINT_SAMPLER_H

#include "mezzotint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A compiled sampler. */
typedef struct mzt_sampler mzt_sampler;

typedef enum mzt_prediction {
    MZT_PREDICTION_EPSILON = 0, /* the network gives the noise */
    MZT_PREDICTION_V = 1,       /* alpha noise - sigma clean */
    MZT_PREDICTION_SAMPLE = 2,  /* the clean latent */
    MZT_PREDICTION_FLOW = 3     /* noise - clean, x = (1 - sigma) clean + sigma noise */
} mzt_prediction;

typedef struct mzt_sampler_params {
    size_t struct_size;
    const char *sampler, *schedule; /* NULL: euler; the sampler's default */
    uint32_t steps;
    uint32_t sigma_count;
    const double *sigmas; /* NULL, or [sigma_count] descending, in place of steps and schedule */
    double strength;      /* share of the steps that run, from an image; 1: all */
    double eta, s_noise;  /* negative: the sampler's own */
    /* how the network was trained; NULL model: these, else the model's own */
    mzt_prediction prediction;
    uint32_t train_steps;        /* 1000 */
    double beta_start, beta_end; /* 0.00085 and 0.012, the square root of beta being linear */
    double shift;                /* flow matching: sigma -> shift sigma / (1 + (shift - 1) sigma); 1 */
} mzt_sampler_params;

MZT_API void mzt_sampler_params_init(mzt_sampler_params *params, size_t struct_size);

/* Names in the order of the library's table ("euler", "dpmpp_2m"), their labels ("DPM++ 2M"), and names of
 * schedules ("karras"); NULL at the end of the list. Static strings; any thread. */
MZT_API const char *mzt_sampler_name(uint32_t index);
MZT_API const char *mzt_sampler_label(uint32_t index);
MZT_API const char *mzt_schedule_name(uint32_t index);

/* INVALID names the value at fault and lists what is known; UNSUPPORTED for combinations that have no
 * meaning. `model` NULL, or the one whose training counts; it may be closed afterwards. */
MZT_API mzt_status mzt_sampler_create(mzt_context *context, const mzt_model *model,
                                      const mzt_sampler_params *params, mzt_sampler **sampler,
                                      mzt_error *error);
MZT_API void mzt_sampler_destroy(mzt_sampler *sampler);

typedef struct mzt_sampler_info {
    size_t struct_size;
    uint32_t calls;  /* network evaluations */
    uint32_t steps;  /* user-visible steps */
    uint32_t slots;  /* arrays of state, 1 ... 6 */
    uint32_t noises; /* arrays of unit normals that the updates draw on */
} mzt_sampler_info;

MZT_API mzt_status mzt_sampler_get_info(const mzt_sampler *sampler, mzt_sampler_info *info, mzt_error *error);

typedef struct mzt_sampler_call {
    size_t struct_size;
    double timestep;        /* for the network, as trained (0 ... 999), maybe with a fraction */
    double sigma;           /* noise-to-signal ratio sigma/alpha at this call (flow matching: sigma) */
    uint32_t step;          /* that the call belongs to, from 0 */
    uint32_t ends_step;     /* 1: the last call of its step */
    int32_t noise1, noise2; /* which of the `noises` arrays the update takes; -1: none */
} mzt_sampler_call;

/* INVALID for a call that is not below info.calls. */
MZT_API mzt_status mzt_sampler_get_call(const mzt_sampler *sampler, uint32_t call, mzt_sampler_call *info,
                                        mzt_error *error);

/* slot0 = the scaled noise, or the image with noise mixed in; [count] values each. They never fail; what is
 * out of range is left alone. */
MZT_API void mzt_sampler_start(const mzt_sampler *sampler, const float *image, const float *noise,
                               float *slot0, size_t count);
MZT_API void mzt_sampler_input(const mzt_sampler *sampler, uint32_t call, const float *const *slots,
                               float *input, size_t count);
/* noise1 and noise2 may be NULL where the call names none. `denoised` NULL, or receives the clean estimate.
 */
MZT_API void mzt_sampler_update(const mzt_sampler *sampler, uint32_t call, float *const *slots,
                                const float *output, const float *noise1, const float *noise2,
                                float *denoised, size_t count);
MZT_API void mzt_sampler_finish(const mzt_sampler *sampler, const float *slot0, float *latent, size_t count);

/* output = uncond + scale (cond - uncond), in place in `output` if wanted; `rescale` 0...1 of arXiv
 * 2305.08891. */
MZT_API void mzt_sampler_guide(const float *uncond, const float *cond, double scale, double rescale,
                               size_t count, float *output);

/* Draw `draw` (0: the start) of the seed's stream of unit normals, `count` values in the order [C,H,W].
 * INVALID for an unknown kind. */
MZT_API mzt_status mzt_noise(mzt_rng rng, uint64_t seed, uint32_t draw, float *values, size_t count,
                             mzt_error *error);

#ifdef __cplusplus
}
#endif

#endif
