/* Tiny autoencoders (TAESD, Bohan 2023, and diffusers' AutoencoderTiny): convolutions and rectifiers, a
 * hundred times cheaper than AutoencoderKL. Their latents are the UNet's own, unscaled. */
#ifndef MODEL_VAE_TINY_H
#define MODEL_VAE_TINY_H

#include "model/vae.h"

/* As vae_describe_encoder. There is one latent for a picture: the log-variances are -30. */
tensor vae_tiny_describe_encoder(graph *g, const vae_config *config, tensor picture,
                                 const vae_options *options);

/* As vae_describe_decoder. Latents are bent into -3...3 first: 3 tanh(x / 3). */
tensor vae_tiny_describe_decoder(graph *g, const vae_config *config, tensor latent,
                                 const vae_options *options);

#endif
