/* A quick look at a latent: an affine map from a latent pixel to the mean colour of the picture pixels under
 * it, fitted to the model's own autoencoder. Far from sharp, but enough to see a picture come about. */
#ifndef PIPELINE_LATENT_MAP_H
#define PIPELINE_LATENT_MAP_H

#include "image/image.h"
#include "pipeline/model.h"
#include "pipeline/network.h"

#define LATENT_MAP_INPUTS  32 /* latent channels */
#define LATENT_MAP_OUTPUTS 4  /* colours */

typedef struct latent_map {
    uint32_t inputs, outputs;
    float weights[LATENT_MAP_OUTPUTS][LATENT_MAP_INPUTS + 1]; /* the last one is added */
} latent_map;

/* Decodes one small latent of random patches and solves for the least squares. UNSUPPORTED for more channels
 * than above. */
mzt_status latent_map_fit(const model *m, executor *e, precision p, latent_map *map, mzt_error *error);

/* The UNet's latent [h][w][inputs] as a picture of h x w pixels. */
mzt_status latent_map_apply(const base_host *host, const latent_map *map, const float *latent, uint32_t width,
                            uint32_t height, image *out, mzt_error *error);

#endif
