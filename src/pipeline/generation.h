/* One generation on its way: a machine of stages that generation_step drives, a slice of time at a call. Each
 * stage is a run of a network, with what is uploaded before it and read after it, or work on the host alone;
 * generation_stages.c lists them. All host memory, and on the device whatever the generator keeps there, is
 * reserved by generation_create.
 *
 * Thread-safety: one thread at a time, but for `cancelled`. */
#ifndef PIPELINE_GENERATION_H
#define PIPELINE_GENERATION_H

#include <stdatomic.h>

#include "pipeline/denoise.h"
#include "pipeline/generate.h"
#include "pipeline/generator.h"
#include "pipeline/source.h"
#include "pipeline/start.h"
#include "pipeline/tiled_decoder.h"

typedef enum generation_stage {
    STAGE_TEXT,       /* once for each text encoder */
    STAGE_ENCODE,     /* the init image, to a latent */
    STAGE_HIDDEN,     /* the same without what the mask covers, for inpainting UNets */
    STAGE_MAP,        /* the colours of latents, for previews; learned once for a generator */
    STAGE_NOISE,      /* once for each array of noise */
    STAGE_START,      /* the latents that the step loop starts from */
    STAGE_SETUP,      /* the denoiser's inputs and its setup phase */
    STAGE_STEPS,      /* the step loop; once for each step where they are watched */
    STAGE_DECODE,     /* once for each picture */
    STAGE_TRAJECTORY, /* once for each step */
    STAGE_WINDOWS,    /* both, where the decoder does not fit: once for each window */
    STAGE_COUNT
} generation_stage;

typedef struct generation {
    const model *m;
    generator *owner;
    generate_request copy; /* what `request` points to; its pictures are not looked at after creation */
    const generate_request *request;
    generate_result result;
    atomic_bool cancelled; /* set from any thread */

    sampler_config config;
    sampler_program *sampler; /* NULL: no step runs (strength 0) */
    double *guidances;        /* [calls] */
    prompt_work prompts;
    source source; /* host NULL: none */
    denoise_request denoise;
    denoiser denoiser;
    latent_map_fit fit;
    start_noise noise;
    shape4 latent; /* [images, h, w, c] */
    bool guided;

    float *values;    /* the latents [images][h][w][c]: the start, then the result */
    float *estimates; /* trajectory: [steps][h][w][c] of the first picture */
    float *estimate;  /* the last clean estimate [images][h][w][c], where it is watched */
    float *colours;   /* scratch of a preview */
    float *time_ids;
    float *pixels;    /* one picture as the autoencoder has it */
    float *hidden;    /* inpainting UNets: the encoded picture without what the mask covers [h][w][c] */
    float *further;   /* their channels, [h][w][1 + c] */
    float *blocks[3]; /* the same for each picture of the batch; or mask and known region */
    image preview;

    tiled_decoder *tiles;               /* NULL: the decoder runs as a whole */
    uint32_t tiled;                     /* pictures decoded in windows; those of the trajectory come last */
    bool tiling;                        /* one of them has begun */
    uint64_t whole_bytes, window_limit; /* what the decoder takes, and may take */
    double tile_share;                  /* of it */

    part_spec encoder, decoder, unet;
    generation_stage stage;
    uint32_t index;   /* which run of the stage */
    network *network; /* of the run in progress; NULL: none */
    network_task task;
    double share; /* of the run in progress */
    uint32_t steps_done;
    mzt_status status; /* PENDING, or how it ended */
    mzt_error ended;   /* with a failure */
    mzt_error *error;  /* of the call in progress */
} generation;

/* Checks the request against the model, compiles the sampler, fills sizes, counts and names of the result. */
mzt_status generation_resolve(generation *g);

/* Checks, tokenizes and reserves. The request is copied; its texts, sigmas and pictures are borrowed for the
 * call. On failure *out is NULL. */
mzt_status generation_create(generator *owner, const generate_request *request, generation **out,
                             mzt_error *error);
/* Waits for what is on the device. NULL is accepted. */
void generation_destroy(generation *g);

/* From here on pictures are decoded in windows within `limit`; `bytes` is what the whole decoder takes. */
mzt_status generation_use_windows(generation *g, uint64_t bytes, uint64_t limit);

/* The networks that will run, in their order; `specs` holds PART_KIND_COUNT. Returns how many. */
uint32_t generation_parts(const generation *g, const part_spec **specs);

/* Works for about `budget_us` and returns PENDING, or OK when the pictures are there, CANCELLED once
 * `cancelled` is set or the request's progress function said so, or the failure. Never waits for a GPU; after
 * PENDING, generation_wait does, for at most so long. */
mzt_status generation_step(generation *g, uint64_t budget_us, mzt_error *error);
mzt_status generation_wait(generation *g, uint64_t timeout_us, mzt_error *error);

/* How far: the phase, and 0...1 of it. */
generate_phase generation_phase(const generation *g, double *share);

/* Finished steps of the step loop. */
uint32_t generation_steps(const generation *g);

/* One stage, in generation_stages.c. */
typedef struct stage_functions {
    generate_phase phase;
    bool (*more)(const generation *g);                      /* whether run `index` is to be made */
    const part_spec *(*part)(const generation *g);          /* NULL: on the host alone */
    mzt_status (*begin)(generation *g, network_task *task); /* uploads; says what to run, if anything */
    mzt_status (*end)(generation *g);                       /* reads; may be NULL */
} stage_functions;

extern const stage_functions generation_stages[STAGE_COUNT];

/* Whether the step loop is run step by step, with a look at each clean estimate. */
static inline bool generation_is_watched(const generation *g) {
    return g->request->trajectory || g->request->preview || g->request->keep_preview;
}

static inline bool generation_is_previewed(const generation *g) {
    return g->request->preview || g->request->keep_preview;
}

static inline uint64_t generation_latent_count(const generation *g) {
    return (uint64_t)g->latent.h * g->latent.w * g->latent.c; /* of one picture */
}

#endif
