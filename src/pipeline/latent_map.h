/* A quick look at a latent: an affine map from a latent pixel to the mean colour of the picture pixels under
 * it, fitted to the model's own autoencoder. Far from sharp, but enough to see a picture come about. */
#ifndef PIPELINE_LATENT_MAP_H
#define PIPELINE_LATENT_MAP_H

#include "image/image.h"
#include "pipeline/part.h"

#define LATENT_MAP_INPUTS  32 /* latent channels */
#define LATENT_MAP_OUTPUTS 4  /* colours */

typedef struct latent_map {
    uint32_t inputs, outputs;
    float weights[LATENT_MAP_OUTPUTS][LATENT_MAP_INPUTS + 1]; /* the last one is added */
} latent_map;

/* The map is the least squares fit to one small latent of random patches and its decoded picture. Reserves
 * memory for both, and makes the latent. UNSUPPORTED for more channels than above. */
typedef struct latent_map_fit {
    const base_host *host;
    part_spec spec; /* of the decoder that must run from `input` to `picture` */
    float *latent;  /* the UNet's; */
    float *input;   /* the autoencoder's own (unscaled) */
    float *picture;
    double *means;
} latent_map_fit;

mzt_status latent_map_begin(const model *m, latent_map_fit *out, mzt_error *error);
void latent_map_solve(const model *m, latent_map_fit *f, latent_map *map);
void latent_map_end(latent_map_fit *f); /* zeroed is accepted */

/* The UNet's latent [h][w][inputs] as a picture of h x w pixels and `outputs` channels, which is there
 * already; `colours` is scratch of [h][w][outputs]. */
void latent_map_apply(const latent_map *map, const float *latent, float *colours, image *out);

#endif
