/* Configurations of networks from their tensors alone, for files that come without config.json. What tensors
 * do not show is what every published network of the kind has: 32 groups, epsilons, heads of 64 channels
 * (8 heads where the transformers' projections are convolutions).
 *
 * Sets are under the engine's names. FORMAT, naming the tensor, for sets that are no such network or lack
 * parts; UNSUPPORTED for networks that this library cannot describe.
 *
 * Thread-safety: reads only the set. */
#ifndef MODEL_DETECT_H
#define MODEL_DETECT_H

#include "model/clip_config.h"
#include "model/unet_config.h"
#include "model/vae_config.h"
#include "weights/weights.h"

mzt_status unet_config_detect(const weights_set *set, unet_config *config, mzt_error *error);

/* `xl`: made for Stable Diffusion XL's latents, which are scaled otherwise and whose autoencoder overflows
 * f16. Sets with one half only (tiny autoencoders) are fine: the other half's description then lacks tensors.
 */
mzt_status vae_config_detect(const weights_set *set, bool xl, vae_config *config, mzt_error *error);

/* `open_clip`: trained by OpenCLIP, whose activation is the exact GELU; CLIP's is the quick one.
 * `projection`: text_embeds are wanted. */
mzt_status clip_config_detect(const weights_set *set, bool open_clip, bool projection, clip_config *config,
                              mzt_error *error);

#endif
