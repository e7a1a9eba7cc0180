/* The step loop: a UNet between the sampler's two kernels, with everything that changes from step to step on
 * the device. */
#ifndef PIPELINE_DENOISE_H
#define PIPELINE_DENOISE_H

#include "model/blocks.h"
#include "pipeline/conditioning.h"
#include "sample/program.h"

typedef struct denoise_request {
    uint32_t images, height, width; /* latent pixels */
    bool guided;     /* the network runs for the unconditional and the conditional half, in this order */
    double guidance; /* m = u + guidance * (c - u) */
    const double *guidances; /* NULL, or one guidance per call, instead */
    const sampler_program *sampler;
    const conditioning *text; /* rows: images, or 2 * images when guided, unconditional rows first */
    const float *time_ids;    /* [rows][6], where the UNet wants them (SDXL); else NULL */
    const float
        *extra; /* NULL, or [images][height][width][extra_channels]: further input channels (inpainting) */
    uint32_t extra_channels;
    model_wrap wrap;
    double rescale; /* 0...1 of guidance rescaling (arXiv 2305.08891); 0: none */
    /* Inpainting with an ordinary UNet; NULL: none. Both [images][height][width][channels]: where the mask is
     * 0 the network is overruled so that its clean estimate is `known`, at 1 it is not; in between they mix.
     */
    const float *known, *mask;
    bool keep_estimate; /* the clean estimate of each call can be read; see denoiser_estimate */
} denoise_request;

typedef struct denoiser {
    const base_host *host;
    network *network; /* borrowed, or `own` */
    network own;
    shape4 latent; /* [images, height, width, channels] */
    uint32_t calls, step_first, step_count, done;
    uint32_t estimate_slot;   /* 0: not kept */
    float *table, *timesteps; /* what the network is given: [calls][SAMPLER_ROW_FLOATS], [calls][rows] */
    float *slots;             /* [SAMPLER_SLOTS] latents */
} denoiser;

/* The part that runs such requests. */
part_spec denoise_spec(const model *m, const denoise_request *request);

/* Checks the request and reserves memory, without a network. request->text need not hold values yet. */
mzt_status denoiser_reserve(const model *m, const denoise_request *request, denoiser *out, mzt_error *error);
/* Gives it a network of denoise_spec, which stays the caller's, and uploads conditioning and table. */
mzt_status denoiser_bind(denoiser *d, const model *m, network *n, const denoise_request *request,
                         mzt_error *error);
/* Sets slot 0 to `latent` and the noises [sampler->noises][images][height][width][channels] (NULL if none),
 * and clears the other slots. The setup phase must be run next, then the step phase `calls` times. */
mzt_status denoiser_rewind(denoiser *d, const float *latent, const float *noises, mzt_error *error);

/* Compiles, loads and prepares; uploads conditioning and the sampler's table. `out` must not be moved. */
mzt_status denoiser_create(const model *m, executor *e, precision p, const denoise_request *request,
                           denoiser *out, mzt_error *error);
void denoiser_destroy(denoiser *d); /* zeroed is accepted */

/* Rewinds and runs the setup phase. May be called again for another run. */
mzt_status denoiser_start(denoiser *d, const float *latent, const float *noises, mzt_error *error);

/* Runs the next `calls` network evaluations. */
mzt_status denoiser_run(denoiser *d, uint32_t calls, const run_control *control, mzt_error *error);

/* Slot 0: the current latent [images][height][width][channels]. */
mzt_status denoiser_latent(denoiser *d, float *latent, mzt_error *error);

/* The last call's clean estimate [images][height][width][channels], after guidance and clipping. Only with
 * keep_estimate, which takes a slot that the sampler leaves free: denoiser_create is UNSUPPORTED for samplers
 * that use all of them. */
mzt_status denoiser_estimate(denoiser *d, float *estimate, mzt_error *error);

/* Describes the step loop's graph for the request; for reports and validation too. */
graph *denoise_describe(const model *m, dtype type, const denoise_request *request, mzt_error *error);

#endif
