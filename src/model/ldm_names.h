/* The names of the original layout of checkpoints (CompVis latent diffusion, Stability's generative models,
 * OpenCLIP), in which single files come, and the engine's names, which are diffusers' and transformers'.
 *
 * In the original UNet blocks are numbered through: input_blocks.0 is conv_in, then one for each residual
 * block (0, with its transformer 1 beside it) and each downsampling; output_blocks likewise. So where a block
 * belongs depends on the others, and an ldm_unet, the division into levels, is needed to read a name.
 * The autoencoder counts the decoder's levels from the finest one, diffusers from the coarsest. OpenCLIP
 * keeps queries, keys and values in one matrix.
 *
 * Prefixes ("model.diffusion_model.") are taken off before.
 *
 * Thread-safety: pure functions. */
#ifndef MODEL_LDM_NAMES_H
#define MODEL_LDM_NAMES_H

#include "model/unet_config.h"
#include "weights/weights.h"

#define LDM_NAME_LIMIT  160
#define LDM_BLOCK_LIMIT 64 /* input blocks */

/* Where the numbered blocks belong. */
typedef struct ldm_unet {
    uint32_t levels, layers[UNET_MAX_LEVELS]; /* residual blocks of each level on the way down */
    bool up_attention[UNET_MAX_LEVELS];       /* asked for by ldm_unet_original alone */
    uint32_t inputs;                          /* input blocks, conv_in and downsamplings included */
    uint8_t level[LDM_BLOCK_LIMIT], layer[LDM_BLOCK_LIMIT]; /* layer == layers[level]: the downsampling */
} ldm_unet;

/* One tensor that an original one becomes: rows [part, part + 1) of `parts` equal ones, turned if so. */
typedef struct ldm_target {
    char name[LDM_NAME_LIMIT];
    uint32_t part, parts;
    bool transposed;
} ldm_target;

enum { LDM_TARGETS = 3 };

/* Finds the division of a UNet whose names begin with `prefix`. UNSUPPORTED when it has more levels or layers
 * than a UNet may have, FORMAT when there are no input blocks. */
mzt_status ldm_unet_read(const weights_set *file, const char *prefix, ldm_unet *out, mzt_error *error);

/* The division of a described UNet; false where the original layout has no room for it. */
bool ldm_unet_of(const unet_config *config, ldm_unet *out);

/* What an original tensor is called here; returns how many tensors it becomes (0: it is not of the network).
 */
uint32_t ldm_unet_targets(const ldm_unet *unet, const char *original, ldm_target targets[LDM_TARGETS]);
/* `levels`: of the decoder. */
uint32_t ldm_vae_targets(uint32_t levels, const char *original, ldm_target targets[LDM_TARGETS]);
uint32_t ldm_clip_targets(const char *original, ldm_target targets[LDM_TARGETS]); /* transformers' names */
uint32_t ldm_open_clip_targets(const char *original, ldm_target targets[LDM_TARGETS]); /* OpenCLIP's */

/* And back: the original name, or false for one that is no name of the network. OpenCLIP's queries, keys and
 * values are *part of *parts equal ones of the rows of one tensor (0 of 1: all of it). */
bool ldm_unet_original(const ldm_unet *unet, const char *name, char original[LDM_NAME_LIMIT]);
bool ldm_vae_original(uint32_t levels, const char *name, char original[LDM_NAME_LIMIT]);
bool ldm_open_clip_original(const char *name, char original[LDM_NAME_LIMIT], uint32_t *part, uint32_t *parts,
                            bool *transposed);

#endif
