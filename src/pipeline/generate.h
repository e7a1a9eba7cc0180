/* A prompt in, pictures out: tokenizer, text encoders, step loop, autoencoder. What the options mean to a
 * person is in docs/generating.md. */
#ifndef PIPELINE_GENERATE_H
#define PIPELINE_GENERATE_H

#include "image/image.h"
#include "model/blocks.h"
#include "pipeline/model.h"
#include "pipeline/network.h"
#include "sample/random.h"

#define GENERATE_COUNT_MAX 64   /* pictures of one run */
#define GENERATE_SIDE_MAX  8192 /* pixels */

typedef enum generate_phase {
    GENERATE_TEXT,
    GENERATE_PREPARE,
    GENERATE_DENOISE,
    GENERATE_DECODE
} generate_phase;

/* All that decides a picture. Begin with generate_request_default; zero means the default where one is named.
 * Everything is borrowed for the call. */
typedef struct generate_request {
    const char *prompt, *negative; /* UTF-8; NULL: empty. With both empty the sampling is unconditional */
    bool plain_prompt;             /* take brackets and BREAK as text */
    uint32_t
        clip_skip; /* hidden state of the text encoder, counted from its last layer (1); 0: the model's own */
    uint32_t width,
        height; /* pixels, multiples of what the model needs; 0: the init image's size, or the model's own */

    uint32_t steps;                 /* 0: 20 */
    const char *sampler, *schedule; /* NULL: the model's own */
    const double *
        sigmas; /* NULL, or sigma_count descending sigmas in place of steps and schedule, the last may be 0 */
    uint32_t sigma_count;
    double eta, s_noise; /* negative: the sampler's own */

    double guidance;         /* 1: the unconditional half is not computed */
    double guidance_rescale; /* 0...1, arXiv 2305.08891; 0: off */
    double
        guidance_interval[2]; /* shares of the steps between which guidance acts; outside of them it is 1 */

    uint64_t seed;
    random_kind rng;
    uint64_t variation_seed;
    double variation_strength; /* 0...1: how far the noise is turned to that of variation_seed */
    uint32_t
        count; /* pictures with seeds seed, seed + 1, ... (with a variation: variation_seed + 1, ...); 0: 1 */

    const image *init_image, *mask; /* NULL: none. The mask is of init_image's size; white is repainted */
    double strength;                /* 0...1, with init_image: share of the steps that run */
    model_wrap tile;                /* pictures that continue at the opposite edge */
    precision precision;

    bool trajectory; /* decode the first picture's clean estimate after every step into the result */
    /* Called on the calling thread as work goes on; returning false cancels. share 0...1 of the phase. May be
     * NULL. */
    bool (*progress)(void *user, generate_phase phase, double share, uint32_t step, uint32_t steps);
    /* NULL, or called after each of the `steps` steps with a rough look at the first picture, one pixel for
     * each of the latent. */
    void (*preview)(void *user, const image *picture, uint32_t step, uint32_t steps);
    bool keep_preview; /* previews will be asked for in another way (generation.h) */
    void *user;
} generate_request;

typedef struct generate_result {
    const base_host *host;
    image *images; /* [count], 3 or 4 channels as the autoencoder makes them */
    uint32_t count;
    image *trajectory; /* [trajectory_count], where asked for */
    uint32_t trajectory_count;
    uint32_t width, height;
    uint32_t steps, calls; /* that ran; 0 at strength 0 */
    bool guided;           /* an unconditional half was computed */
    const char *sampler;   /* the sampler's label ("DPM++ 2M") and schedule that ran; static strings */
    const char *schedule;
    double text_seconds, prepare_seconds, denoise_seconds, decode_seconds;
    uint64_t device_bytes; /* held while denoising */
} generate_result;

/* The defaults of a request: 20 steps, guidance 7.5 throughout, strength 0.75. */
generate_request generate_request_default(void);

/* Makes the pictures. INVALID names the value at fault and
 * what the model allows. */
mzt_status pipeline_generate(const model *m, executor *e, const generate_request *request,
                             generate_result *result, mzt_error *error);
void generate_result_destroy(generate_result *result); /* zeroed is accepted */

#endif
