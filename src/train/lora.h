/* Training low-rank adapters in place of a denoiser's own weights: which layers get one, what they are at
 * first, and the file that others can load (weights/lora.h reads it back). Thread-safety: pure functions. */
#ifndef TRAIN_LORA_H
#define TRAIN_LORA_H

#include "graph/adapter.h"
#include "train/checkpoint.h"
#include "train/config.h"

/* The file of adapters in a checkpoint's folder. */
#define TRAIN_LORA_FILE "lora.safetensors"

/* For g->adapters; `options` must live as long. All zero where rank is 0. */
graph_adapters train_lora_adapters(const lora_options *options);

/* Fills an adapter's parameter: `up` is zero, so that the network begins as it was; `down` is normal with
 * Kaiming's deviation 1 / sqrt(inputs). */
void train_lora_initial(const char *parameter, const plan_piece *piece, uint64_t seed, float *values);

/* Writes TRAIN_LORA_FILE of all adapters' parameters, named as in the graph: kohya's layout with an alpha for
 * each module, or diffusers' with alpha / rank already in `up`. */
mzt_status train_lora_save(checkpoint_writer *c, const base_host *host, const lora_options *options,
                           weights_tensor *tensors, uint32_t count, mzt_error *error);

#endif
