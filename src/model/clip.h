/* CLIP's text encoder as a graph: token ids to the UNet's context. */
#ifndef MODEL_CLIP_H
#define MODEL_CLIP_H

#include "graph/graph.h"
#include "model/clip_config.h"

typedef struct clip_inputs {
    tensor ids;      /* u32 {B, L, 1, 1}, L <= config->positions */
    tensor eos_rows; /* u32 {B,1,1,1} from clip_eos_rows; TENSOR_NONE: no pooled output is wanted */
} clip_inputs;

/* Everything a pipeline may want; what is not used costs nothing (nodes that nobody reads are removed). */
typedef struct clip_outputs {
    tensor last_hidden_state; /* [B, L, 1, C], after the final layer norm */
    tensor hidden_state;  /* [B, L, 1, C], hidden_states[-(skip + 1)], without a final layer norm (SDXL: skip
                             1) */
    tensor hidden_normed; /* the same with it (clip skip of Stable Diffusion 1 and 2) */
    tensor pooler_output; /* [B, 1, 1, C]: last_hidden_state at the end token; TENSOR_NONE without eos_rows */
    tensor text_embeds;   /* [B, 1, 1, projection_channels]; TENSOR_NONE without projection or eos_rows */
} clip_outputs;

/* Describes the encoder. `skip` layers are left out of hidden_state: 0 to config->layers. Parameter names are
 * the checkpoint's. Errors stick to the graph. */
clip_outputs clip_describe(graph *g, const clip_config *config, const clip_inputs *inputs, uint32_t skip);

/* Where the pooled output is taken, as rows of [B*L, C]: for each of `batch` sequences of `length` ids, the
 * first position of the end token, or position 0 if there is none. Files that give eos_token_id as 2 date
 * from when the position of the largest id was taken instead (in CLIP's vocabulary the end token has the
 * largest id); transformers keeps that for them. */
void clip_eos_rows(const clip_config *config, const uint32_t *ids, uint32_t batch, uint32_t length,
                   uint32_t *rows);

#endif
