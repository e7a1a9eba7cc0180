/* A prompt in, pictures out: tokenizer, text encoders, step loop, autoencoder. */
#ifndef PIPELINE_GENERATE_H
#define PIPELINE_GENERATE_H

#include "image/image.h"
#include "pipeline/model.h"
#include "pipeline/network.h"
#include "sample/random.h"

typedef enum generate_phase { GENERATE_TEXT, GENERATE_PREPARE, GENERATE_DENOISE, GENERATE_DECODE } generate_phase;

/* All that decides a picture. Zero means the default where one is named. */
typedef struct generate_request {
    const char *prompt, *negative; /* UTF-8; NULL: empty */
    uint32_t width, height;        /* pixels, multiples of what the model needs; 0: the model's own size */
    uint32_t steps;                /* 0: 20 */
    double guidance;               /* 1: the unconditional half is not computed */
    const char *sampler, *schedule; /* NULL: the model's own */
    uint64_t seed;
    random_kind rng;
    uint32_t count; /* pictures with seeds seed, seed + 1, ...; 0: 1 */
    precision precision;
    /* Called on the calling thread as work goes on; returning false cancels. share 0...1 of the phase. May be NULL. */
    bool (*progress)(void *user, generate_phase phase, double share, uint32_t step, uint32_t steps);
    void *user;
} generate_request;

typedef struct generate_result {
    const base_host *host;
    image *images; /* [count], 3 or 4 channels as the autoencoder makes them */
    uint32_t count;
    uint32_t width, height, steps, calls;
    const char *sampler;           /* the sampler's label ("DPM++ 2M") and schedule that ran; static strings */
    const char *schedule;
    double text_seconds, prepare_seconds, denoise_seconds, decode_seconds;
    uint64_t device_bytes; /* held while denoising */
} generate_result;

/* The defaults of a request; guidance 7.5. */
generate_request generate_request_default(void);

/* INVALID names the value at fault and what the model allows. */
mzt_status pipeline_generate(const model *m, executor *e, const generate_request *request, generate_result *result, mzt_error *error);
void generate_result_destroy(generate_result *result); /* zeroed is accepted */

#endif
