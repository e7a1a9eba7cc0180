/* One file that holds a whole model or one of its networks: which networks, in which layout of names, and
 * each of them as a set under the engine's names, without copying a byte. Known are the original layouts
 * (latent diffusion, OpenCLIP), with or without their prefixes, and diffusers' names; safetensors and GGUF.
 * What is known but not supported is refused by name.
 *
 * Ownership: views borrow from the checkpoint, which must be closed after them. Thread-safety: an open
 * checkpoint is immutable. */
#ifndef PIPELINE_CHECKPOINT_H
#define PIPELINE_CHECKPOINT_H

#include "model/ldm_names.h"
#include "model/model_index.h"
#include "weights/weights.h"

typedef enum checkpoint_layout {
    CHECKPOINT_ENGINE,    /* diffusers' and transformers' names */
    CHECKPOINT_LDM,       /* the original ones */
    CHECKPOINT_OPEN_CLIP, /* OpenCLIP's, for text encoders */
    CHECKPOINT_TAESD      /* a tiny autoencoder's halves, numbered layer by layer */
} checkpoint_layout;

/* Where a network lies in a file. */
typedef struct checkpoint_part {
    bool found;
    checkpoint_layout layout;
    const char *prefix;  /* of its names; static */
    uint32_t leave_out;  /* text encoders: layers from this one on are not used */
    ldm_unet unet;       /* CHECKPOINT_LDM */
    uint32_t vae_levels; /* CHECKPOINT_LDM */
} checkpoint_part;

typedef struct checkpoint {
    const base_host *host;
    weights_set *file;
    checkpoint_part parts[MODEL_COMPONENT_COUNT];
    bool xl; /* of Stable Diffusion XL, as far as the file tells */
} checkpoint;

/* Opens and recognises. UNSUPPORTED naming what the file is, or that it is none of what is known; the errors
 * of weights_open. *out is zeroed on failure. */
mzt_status checkpoint_open(const base_host *host, const char *path, checkpoint *out, mzt_error *error);
/* The same of a set, which is taken over, also on failure. */
mzt_status checkpoint_recognise(const base_host *host, weights_set *file, checkpoint *out, mzt_error *error);
void checkpoint_close(checkpoint *c); /* zeroed is accepted */

/* A network of the file under the engine's names. FORMAT for damaged ones. The part must have been found. */
mzt_status checkpoint_view(const checkpoint *c, model_component component, weights_set **out,
                           mzt_error *error);

#endif
