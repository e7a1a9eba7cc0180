/* UNet2DConditionModel as a graph: the noise (or velocity) predictor of Stable Diffusion 1, 2, XL and
 * relatives. */
#ifndef MODEL_UNET_H
#define MODEL_UNET_H

#include "model/blocks.h"
#include "model/unet_config.h"

/* The network's inputs, made by the caller. B: samples of one evaluation (2 with guidance, unconditional
 * first). rows: B, or with `step` calls * B, the rows of one call side by side. In a denoising loop
 * everything but `sample` and `step` is a plain (not varying) input: time embeddings of all calls and the
 * context's keys and values then fall into the setup phase. */
typedef struct unet_inputs {
    tensor sample;      /* activation type [B, h, w, in_channels] */
    tensor timesteps;   /* f32 {rows,1,1,1} */
    tensor step;        /* u32 {1,1,1,1}, which call this is; TENSOR_NONE: the only one */
    tensor context;     /* activation type [B, L, 1, context_channels] */
    tensor text_embeds; /* with text_time: activation type [B,1,1,P] */
    tensor time_ids;    /* with text_time: f32 {B*K,1,1,1}; SDXL: K = 6, original h and w, crop top and left,
                           target h and w */
    /* With guidance_channels: f32 {rows or B or 1,1,1,1}, 1000 * (guidance scale - 1); TENSOR_NONE leaves it
     * out. */
    tensor guidance;
} unet_inputs;

typedef struct unet_options {
    model_wrap wrap;
} unet_options;

/* Describes the network inside the open scopes (none, for the checkpoint's own names) and returns its output
 * [B, h, w, out_channels] in the activation type. Any h and w >= 1 work if downsample_padding is 1; else both
 * must be multiples of unet_multiple. Errors stick to the graph. `options` may be NULL. */
tensor unet_describe(graph *g, const unet_config *config, const unet_inputs *inputs,
                     const unet_options *options);

/* Latent sizes that halve evenly at every level are multiples of this. */
uint32_t unet_multiple(const unet_config *config);

#endif
