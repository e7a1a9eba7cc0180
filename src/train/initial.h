/* What parameters are before training. Every parameter draws from a stream of its own name, so that a network
 * with one more layer begins with the same values in all others. Thread-safety: pure functions. */
#ifndef TRAIN_INITIAL_H
#define TRAIN_INITIAL_H

#include "plan/plan.h"

/* Values of a piece. */
uint64_t initial_count(const plan_piece *piece);

/* Fills [initial_count] values, by the parameter's name:
 *  - biases 0; norm scales 1;
 *  - 0 for the layers that end a residual branch of a UNet or autoencoder (conv2, a transformer's proj_out,
 * the autoencoder's attention output) and for the UNet's conv_out: blocks begin as the identity, and the
 * first prediction is 0;
 *  - embeddings normal with deviation 0.02;
 *  - everything else normal with deviation 1 / sqrt(inputs), LeCun's; the ends of a text encoder's residual
 * branches less by 1 / sqrt(2 * 12), as GPT-2 does. */
void initial_values(const char *name, const plan_piece *piece, uint64_t seed, float *values);

#endif
