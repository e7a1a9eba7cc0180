/* The noise that a run starts from and draws on. */
#ifndef PIPELINE_START_H
#define PIPELINE_START_H

#include "graph/graph.h"
#include "sample/random.h"

typedef struct start_request {
    random_kind rng;
    uint64_t seed; /* of the first picture; the next ones have seed + 1, ... unless there is a variation */
    uint64_t
        variation_seed; /* of the first picture's variation; the next ones have variation_seed + 1, ... */
    double variation_strength; /* 0: none; else every picture starts from `seed`'s noise, turned this far (1:
                                  all the way) towards the noise of its variation seed */
} start_request;

/* Makes `draws` >= 1 arrays of unit normals, [draws][n][h][w][c]: draw 0 is the start, later ones are the
 * sampler's. Each picture has a stream of its own, so a picture of a batch equals the one that its seed gives
 * alone. Numbers are drawn in the order [C,H,W], as other programs do. One array of one picture at a time. */
typedef struct start_noise {
    start_request request;
    shape4 latent;
    uint32_t draws, picture, draw; /* the next one to be made */
    float *noise;                  /* [draws][n][h][w][c] */
    float *drawn;                  /* scratch: two pictures' latents */
    random_stream stream;
} start_noise;

/* Reserves memory. OUT_OF_MEMORY. */
mzt_status start_noise_begin(const base_host *host, const start_request *request, shape4 latent,
                             uint32_t draws, start_noise *out, mzt_error *error);
bool start_noise_next(start_noise *n); /* makes the next array; false once all are made */
void start_noise_destroy(const base_host *host, start_noise *n); /* zeroed is accepted */

/* The seeds of picture `index`. */
static inline uint64_t start_seed(const start_request *request, uint32_t index) {
    return request->variation_strength > 0 ? request->seed : request->seed + index;
}

/* The point at `share` of the great circle from a to b, in place in a: a sin((1 - share) w) / sin w + b
 * sin(share w) / sin w, w the angle between them; a straight line where they are nearly parallel. */
void start_slerp(float *a, const float *b, uint64_t count, double share);

#endif
