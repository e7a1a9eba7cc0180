/* What an autoencoder's picture is judged by: premultiplied alpha (what is clear has no colour), at several
 * sizes, and edges. */
#ifndef TRAIN_AUTOENCODER_LOSS_H
#define TRAIN_AUTOENCODER_LOSS_H

#include "graph/graph.h"
#include "train/config.h"

/* Straight values -1...1 of `pixels` pixels to the negated premultiplied values 0...1 that the loss adds to
 * what the network made. */
void autoencoder_target(const float *picture, uint64_t pixels, uint32_t channels, float *negated);

/* Losses of `picture` [B,R,R,C], straight values of about -1...1, against `negated`, activation type, as
 * above: at each size 1, 1/2,
 * ... of config->scales (fewer where the side is odd) a Huber loss of the difference, and at full size one of
 * its horizontal and vertical differences. Appends to `losses`, which has room; returns the new count. Zero
 * beta would be the plain L1 norm, whose gradient never gets small. */
uint32_t autoencoder_losses(graph *g, tensor picture, tensor negated, const autoencoder_config *config,
                            tensor *losses, uint32_t count);

#endif
