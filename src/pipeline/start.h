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
 * alone. Numbers are drawn in the order [C,H,W], as other programs do. OUT_OF_MEMORY. Release with host_free.
 */
mzt_status start_noise(const base_host *host, const start_request *request, shape4 latent, uint32_t draws,
                       float **noise, mzt_error *error);

/* The seeds of picture `index`. */
static inline uint64_t start_seed(const start_request *request, uint32_t index) {
    return request->variation_strength > 0 ? request->seed : request->seed + index;
}

/* The point at `share` of the great circle from a to b, in place in a: a sin((1 - share) w) / sin w + b
 * sin(share w) / sin w, w the angle between them; a straight line where they are nearly parallel. */
void start_slerp(float *a, const float *b, uint64_t count, double share);

#endif
