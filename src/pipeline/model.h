/* An opened model: configurations, mapped weights and tokenizers of a diffusers folder. No device work
 * happens here. Ownership: model_close. Thread-safety: immutable after model_open; several threads may use
 * one model, each with its own executors and networks. */
#ifndef PIPELINE_MODEL_H
#define PIPELINE_MODEL_H

#include "model/clip_config.h"
#include "model/model_index.h"
#include "model/unet_config.h"
#include "model/vae_config.h"
#include "sample/config.h"
#include "text/bpe.h"
#include "weights/weights.h"

typedef struct model {
    const base_host *host;
    model_index index;
    const char *path;                            /* the folder, in `index` */
    weights_set *weights[MODEL_COMPONENT_COUNT]; /* of the networks; NULL: not there */
    clip_config text[2];
    bpe *tokenizer[2]; /* NULL: the folder has none (token ids must then be given) */
    unet_config unet;
    vae_config vae;
    sampler_config sampler;
} model;

/* Opens a folder with model_index.json. Every component that it names is read and checked; errors name file,
 * key and value. */
mzt_status model_open(const base_host *host, const char *path, model **out, mzt_error *error);
void model_close(model *m); /* NULL is accepted */

/* Stable Diffusion XL: both text encoders' penultimate states side by side are the context. */
static inline bool model_is_xl(const model *m) {
    return m->index.xl;
}

/* Whether the autoencoder's weights hold a tensor of this name: for vae_options.has, with the model as
 * `user`. */
bool model_vae_has(const void *user, const char *name);

#endif
