/* AutoencoderKL (and, where the configuration says so, AutoencoderTiny) as graphs: pictures to latents and
 * back. */
#ifndef MODEL_VAE_H
#define MODEL_VAE_H

#include "model/blocks.h"
#include "model/vae_config.h"

typedef struct vae_options {
    model_wrap wrap;
    /* Does the checkpoint have a tensor of this name? Chooses between the attention's old parameter names
     * (query, key, value, proj_attn) and the new ones (to_q, to_k, to_v, to_out.0). NULL: the new ones. */
    bool (*has)(const void *user, const char *name);
    const void *user;
} vae_options;

/* Picture [B,H,W,in_channels] in -1...1, activation type, to moments [B, H/f, W/f, 2 * latent_channels]: the
 * mean's channels, then those of log(variance), which diffusers clamps to -30...20. H and W must be multiples
 * of f = vae_factor; INVALID says so. Nothing is scaled: multiply by scaling_factor for the UNet. `options`
 * may be NULL. */
tensor vae_describe_encoder(graph *g, const vae_config *config, tensor picture, const vae_options *options);

/* Latent [B,h,w,latent_channels] (unscaled), activation type, to picture [B, f h, f w, out_channels], about
 * -1...1. */
tensor vae_describe_decoder(graph *g, const vae_config *config, tensor latent, const vae_options *options);

#endif
