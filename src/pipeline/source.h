/* The picture that image to image starts from, and the mask that says where it may change. */
#ifndef PIPELINE_SOURCE_H
#define PIPELINE_SOURCE_H

#include "image/image.h"
#include "model/blocks.h"
#include "pipeline/model.h"

/* Fitted to one size: scaled to cover it and cropped in the middle. */
typedef struct source {
    const base_host *host;
    image picture; /* with the autoencoder's channels; clear parts lie on white where those are 3 */
    float *mask; /* [height][width], 1 where the picture is repainted, 0 where it stays; NULL: repaint all */
    uint32_t latent_height, latent_width, latent_channels;
    float *latent;      /* [h][w][c], scaled for the UNet; written by whoever encodes it */
    float *latent_mask; /* [h][w]: the largest mask value of what a latent pixel covers; NULL like mask */
} source;

/* The size that a picture of these sides is taken at if none is given: rounded down to what the model can do.
 */
void source_size(const model *m, const image *picture, uint32_t *width, uint32_t *height);

/* Fits both, without encoding. The mask's grey values count, where it is clear it is 0; NULL: none. INVALID
 * when the mask's size is not the picture's. */
mzt_status source_create(const model *m, const image *picture, const image *mask, uint32_t width,
                         uint32_t height, source *out, mzt_error *error);
void source_destroy(source *s); /* zeroed is accepted */

/* What the encoder is given, [height][width][in_channels]: the picture; with `hide`, without what the mask
 * covers (mid grey there). */
void source_values(const model *m, const source *s, bool hide, float *values);

/* What inpainting UNets are given besides the latent, [h][w][1 + c]: the mask, and `hidden` [h][w][c], the
 * encoded and scaled picture without what the mask covers. With `s` NULL, or without a mask, everything is to
 * be painted: ones, and `hidden` of a grey picture. */
void source_inpaint_channels(const model *m, const source *s, const float *hidden, uint64_t pixels,
                             float *channels);

/* Puts back the pixels that the mask keeps; in between, mixes. Nothing happens without a mask. */
void source_paste(const source *s, image *picture);

#endif
