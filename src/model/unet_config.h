/* The configuration of diffusers' UNet2DConditionModel (unet/config.json): Stable Diffusion 1, 2, XL and
 * their relatives (distilled, inpainting, LCM). What is not supported is an error that names key and value.
 */
#ifndef MODEL_UNET_CONFIG_H
#define MODEL_UNET_CONFIG_H

#include "json/json.h"

#define UNET_MAX_LEVELS 8
#define UNET_MAX_LAYERS 16 /* residual blocks of one level on the way down; one more on the way up */

typedef enum unet_mid {
    UNET_MID_NONE,   /* mid_block_type null */
    UNET_MID_RESNET, /* UNetMidBlock2D: one residual block */
    UNET_MID_CROSS   /* UNetMidBlock2DCrossAttn: residual block, transformer, residual block */
} unet_mid;

/* Levels count from the finest; in the `up` members too, although the decoder runs through them backwards. */
typedef struct unet_config {
    uint32_t in_channels, out_channels;
    uint32_t sample_size[2]; /* height, width in latent pixels that the model was made for; 0: not said */
    uint32_t levels;
    uint32_t channels[UNET_MAX_LEVELS];
    uint32_t layers[UNET_MAX_LEVELS];
    bool down_attention[UNET_MAX_LEVELS], up_attention[UNET_MAX_LEVELS];
    unet_mid mid;
    /* Transformer blocks behind each residual block. */
    uint32_t down_depth[UNET_MAX_LEVELS][UNET_MAX_LAYERS];
    uint32_t up_depth[UNET_MAX_LEVELS][UNET_MAX_LAYERS + 1];
    uint32_t mid_depth;
    uint32_t heads[UNET_MAX_LEVELS]; /* diffusers calls this number of heads attention_head_dim */
    uint32_t context_channels;       /* cross_attention_dim */
    bool linear_projection;          /* proj_in and proj_out are linear layers, not 1x1 convolutions */
    uint32_t groups;
    float eps;
    uint32_t time_channels; /* of the time embedding: time_embedding_dim, or 4 * channels[0] */
    bool flip_sin_to_cos;
    float freq_shift;
    uint32_t downsample_padding; /* 1: on all sides; 0: one row and column at the bottom and the right */
    uint32_t conv_in_kernel, conv_out_kernel;
    bool text_time;                   /* addition_embed_type "text_time" (SDXL) */
    uint32_t addition_time_channels;  /* sinusoid width of each time id */
    uint32_t addition_input_channels; /* text_embeds and all time ids side by side */
    uint32_t guidance_channels;       /* time_cond_proj_dim (LCM); 0: no guidance embedding */
} unet_config;

/* INVALID or UNSUPPORTED with file, key and value. Thread-safety: reads only `root`. */
mzt_status unet_config_read(json_value root, unet_config *config, mzt_error *error);

/* Residual blocks in the order in which the network runs them (down, mid, up). */
uint32_t unet_resnet_count(const unet_config *config);

#endif
