/* Decoding a latent in less device memory than the whole decoder takes: stage by stage (vae_decoder_stages),
 * and each stage window by window, with the activations of the whole picture in host memory. Windows overlap
 * by the pixel that a 3x3 convolution looks beyond its own, and norms are given the statistics of the whole
 * picture, so the result is that of the whole decoder but for rounding: there are no seams to hide. The price
 * is the transfer of every activation.
 *
 * Thread-safety: as its executor. */
#ifndef PIPELINE_TILED_DECODER_H
#define PIPELINE_TILED_DECODER_H

#include "pipeline/autoencoder.h"

typedef struct tiled_decoder tiled_decoder;

/* `limit`: bytes that may be held on the device at a time. UNSUPPORTED for autoencoders without stages;
 * OUT_OF_MEMORY, with what it takes, where the head or a window of 32 x 32 does not fit. Nothing is on the
 * device between two calls of tiled_decoder_advance but the stage in progress. */
mzt_status tiled_decoder_create(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                                uint64_t limit, tiled_decoder **out, mzt_error *error);
void tiled_decoder_destroy(tiled_decoder *d); /* NULL is accepted */

/* Begins with another latent, as decoder_run's. */
mzt_status tiled_decoder_begin(tiled_decoder *d, const float *latent, mzt_error *error);

/* Computes the next window: PENDING until the picture is whole. `share`: of all pixels' work, 0...1. */
mzt_status tiled_decoder_advance(tiled_decoder *d, double *share, mzt_error *error);

/* [f h][f w][out_channels], as decoder_run's; once advance has said OK. */
void tiled_decoder_picture(const tiled_decoder *d, float *picture);

/* The most that was held on the device. */
uint64_t tiled_decoder_memory(const tiled_decoder *d);

#endif
