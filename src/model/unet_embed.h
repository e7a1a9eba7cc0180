/* The UNet's time embedding and its projections into all residual blocks. */
#ifndef MODEL_UNET_EMBED_H
#define MODEL_UNET_EMBED_H

#include "model/unet.h"

/* [B,1,1,S] of this call: every residual block's time_emb_proj(silu(embedding)) side by side, in the order in
 * which the network runs the blocks; S is the sum of their output channels. */
tensor unet_embed(graph *g, const unet_config *config, const unet_inputs *inputs);

#endif
