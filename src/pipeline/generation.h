/* One generation on its way: what the stages of generate.c hand to each other. Internal to src/pipeline. */
#ifndef PIPELINE_GENERATION_H
#define PIPELINE_GENERATION_H

#include "pipeline/denoise.h"
#include "pipeline/generate.h"
#include "pipeline/latent_map.h"
#include "pipeline/source.h"

typedef struct generation {
    const model *m;
    executor *e;
    const generate_request *request;
    generate_result *result;
    sampler_config config;
    sampler_program *sampler; /* NULL: no step runs (strength 0) */
    double *guidances;        /* [calls] */
    conditioning text;
    source source; /* host NULL: none */
    denoiser denoiser;
    latent_map map;
    shape4 latent; /* [images, h, w, c] */
    bool guided;
    float *noise;     /* [1 + noises][images][h][w][c]: the start, then what the sampler draws */
    float *values;    /* the latents [images][h][w][c]: the start, then the result */
    float *estimates; /* trajectory: [steps][h][w][c] of the first picture */
    float *estimate;  /* the last clean estimate [images][h][w][c], where it is watched */
    float *time_ids;
    generate_phase phase;
    mzt_error *error;
} generation;

/* Checks the request against the model, compiles the sampler, fills sizes, counts and names of the result. */
mzt_status generation_resolve(generation *g);

/* Whether the step loop is run step by step, with a look at each clean estimate. */
static inline bool generation_is_watched(const generation *g) {
    return g->request->trajectory || g->request->preview;
}

static inline uint64_t generation_latent_count(const generation *g) {
    return (uint64_t)g->latent.h * g->latent.w * g->latent.c; /* of one picture */
}

/* Runs all calls, one step at a time, and shows and keeps the estimate of each. */
mzt_status generation_watch(generation *g, const run_control *control);

/* Decodes the kept estimates with the decoder of the pictures; `scratch` holds one picture. */
struct decoder;
mzt_status generation_decode_trajectory(generation *g, struct decoder *d, float *scratch,
                                        const run_control *control);

#endif
