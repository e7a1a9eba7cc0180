/* The configuration of diffusers' AutoencoderKL and AutoencoderTiny (vae/config.json). What is not supported
 * is an error that names key and value. */
#ifndef MODEL_VAE_CONFIG_H
#define MODEL_VAE_CONFIG_H

#include "json/json.h"

#define VAE_MAX_LEVELS 8

typedef struct vae_config {
    uint32_t in_channels, out_channels; /* of pictures: 3 RGB, 4 RGBA */
    uint32_t latent_channels;
    uint32_t sample_size[2]; /* height, width in pixels that the model was made for; 0: not said */
    /* Squares of so many pixels a side become one pixel of the networks, with all their values as channels:
     * the outermost levels, which cost most, are left out. Not in diffusers, where it is always 1. */
    uint32_t patch_size;
    uint32_t levels;
    uint32_t channels[VAE_MAX_LEVELS]; /* finest level first */
    uint32_t layers;                   /* residual blocks per encoder level; the decoder has one more */
    uint32_t groups;
    bool mid_attention;                 /* mid_block_add_attention */
    bool quant_conv, post_quant_conv;   /* 1x1 convolutions on the latent side */
    float scaling_factor, shift_factor; /* the UNet's latent = (VAE's latent - shift) * scaling */
    /* The model overflows f16: its activations need f32 or bf16 storage. Does not change the description. */
    bool force_upcast;
    /* TAESD and its relatives: all levels have channels[0] channels, the others of the members above say
     * nothing. Blocks of each level, from the finest on the way down, from the coarsest on the way up. */
    bool tiny;
    uint32_t tiny_down[VAE_MAX_LEVELS], tiny_up[VAE_MAX_LEVELS];
} vae_config;

/* INVALID or UNSUPPORTED with file, key and value. Thread-safety: reads only `root`. */
mzt_status vae_config_read(json_value root, vae_config *config, mzt_error *error);

/* Picture pixels per latent pixel, in each direction: 8 for Stable Diffusion. */
uint32_t vae_factor(const vae_config *config);

#endif
