/* Latents to pictures and back, through a model's autoencoder. */
#ifndef PIPELINE_AUTOENCODER_H
#define PIPELINE_AUTOENCODER_H

#include "pipeline/part.h"

/* The part (an encoder of pictures, or a decoder of latents) for inputs of this shape. */
part_spec autoencoder_spec(part_kind kind, shape4 shape, model_wrap wrap);

/* A decoder for latents of one shape, prepared once. */
typedef struct decoder {
    network network;
    uint64_t latent_count, picture_count;
} decoder;

mzt_status decoder_create(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                          decoder *out, mzt_error *error);
/* The autoencoder's own (unscaled) latent to `picture` [n][f h][f w][out_channels], about -1...1. */
mzt_status decoder_run(decoder *d, const float *latent, float *picture, const run_control *control,
                       mzt_error *error);
void decoder_destroy(decoder *d); /* zeroed is accepted */

/* All three for one use: the autoencoder's own (unscaled) latent [n][h][w][latent_channels] to `picture`
 * [n][f h][f w][out_channels], about -1...1. */
mzt_status autoencoder_decode(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                              const float *values, float *picture, const run_control *control,
                              mzt_error *error);

/* `picture` [n][H][W][in_channels] in -1...1 to mean and log-variance, each [n][H/f][W/f][latent_channels].
 */
mzt_status autoencoder_encode(const model *m, executor *e, precision p, shape4 picture, model_wrap wrap,
                              const float *values, float *mean, float *logvar, const run_control *control,
                              mzt_error *error);

/* Between the autoencoder's latent and the UNet's: x = (z - shift) * scale. In place, `count` values. */
void latent_to_autoencoder(const model *m, float *values, uint64_t count);
void latent_to_unet(const model *m, float *values, uint64_t count);

#endif
