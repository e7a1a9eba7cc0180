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

/* The decoder once more, as a sequence of pieces that need no more of their input than a pixel around each of their own:
 * so they can be computed window by window. What a norm must know of the whole picture it is given. */
typedef enum vae_stage_kind {
    VAE_STAGE_FIRST,    /* of a residual block: norm1, SiLU, conv1 */
    VAE_STAGE_SECOND,   /* norm2, SiLU, conv2, plus the block's input */
    VAE_STAGE_UPSAMPLE, /* to twice the size: the statistics are not looked at */
    VAE_STAGE_LAST      /* to the picture */
} vae_stage_kind;

typedef struct vae_stage {
    vae_stage_kind kind;
    uint32_t block, index;
    uint32_t cin, skip, cout; /* channels; skip: of the residual block's input, 0: none */
    uint32_t scale;           /* output pixels for each of the input along an axis */
} vae_stage;

enum { VAE_STAGES_MAX = 128 };

/* The stages behind the head, in order; 0: this autoencoder cannot be divided. */
uint32_t vae_decoder_stages(const vae_config *config, vae_stage stages[VAE_STAGES_MAX]);

/* From the latent to the first stage's input, at the latent's size: convolutions and the mid block with its attention. */
tensor vae_describe_head(graph *g, const vae_config *config, tensor latent, const vae_options *options);

typedef struct vae_stage_inputs {
    tensor x, skip;    /* [1, h, w, cin], [1, h, w, skip] */
    tensor statistics; /* of the whole picture behind x; see graph_group_norm_given */
} vae_stage_inputs;

/* [1, scale h, scale w, cout]; convolutions see zeros around the window, or its other side. */
tensor vae_describe_stage(graph *g, const vae_config *config, const vae_stage *stage, const vae_stage_inputs *in,
                          model_wrap wrap);

#endif
