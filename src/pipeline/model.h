/* An opened model: configurations, mapped weights and tokenizers, of a diffusers folder or of a single-file
 * checkpoint. No device work happens here. Ownership: model_close. Thread-safety: immutable after model_open;
 * several threads may use one model, each with its own executors and networks. */
#ifndef PIPELINE_MODEL_H
#define PIPELINE_MODEL_H

#include "model/clip_config.h"
#include "model/model_index.h"
#include "model/unet_config.h"
#include "model/vae_config.h"
#include "pipeline/network.h"
#include "sample/config.h"
#include "text/bpe.h"
#include "text/known_words.h"
#include "weights/weights.h"

enum { MODEL_FILES = 8 };

struct part_spec;

/* How devices store matrices; see stored.h. */
typedef enum weight_choice {
    WEIGHT_AUTO, /* blocks where the file has blocks, else as activations */
    WEIGHT_F32,
    WEIGHT_F16,
    WEIGHT_BF16,
    WEIGHT_Q8,
    WEIGHT_Q4
} weight_choice;

typedef struct model {
    const base_host *host;
    model_index index;                           /* of a single file: without components' folders */
    const char *path;                            /* the folder or file, in `index` */
    weights_set *weights[MODEL_COMPONENT_COUNT]; /* of the networks; NULL: not there */
    struct lora_stack *loras;                    /* see model_lora.h; NULL: none ... */
    weights_set
        *unchanged[MODEL_COMPONENT_COUNT]; /* ... and the sets below those in `weights` that have them */
    clip_config text[2];
    bpe *tokenizer[2];  /* NULL: the folder has none (token ids must then be given) */
    known_words *words; /* NULL: not known which words the model was trained on */
    unet_config unet;
    vae_config vae;
    sampler_config sampler;
    struct embedding_rows *embeddings[2]; /* rows behind each text encoder's own; see embedding.h */
    weights_set *files[MODEL_FILES];      /* what `weights` are views over, where they are */
    uint32_t file_count;
    weight_choice stored; /* on devices */
    char summary[160];    /* "SD 1.x, epsilon, f16, 1.07 B parameters" */
    /* How networks are made (part_begin of part.h), and how the model is closed: of a checkpoint, or of a
     * compiled file. */
    mzt_status (*begin_part)(const struct model *m, executor *e, precision p, const struct part_spec *spec,
                             network *out, network_maker *maker, mzt_error *error);
    mzt_status (*estimate_part)(const struct model *m, const executor_limits *limits, precision p,
                                const struct part_spec *spec, uint64_t *weights, uint64_t *activations,
                                mzt_error *error);
    void (*close)(struct model *m);
    const struct packed_model *packed; /* a compiled file; NULL: a checkpoint */
} model;

/* What stands in for parts of the model, and what its files may leave open. Zero: nothing. */
typedef struct model_options {
    const char *vae; /* a file, or a component folder; a tiny autoencoder's decoder brings its encoder's file
                        along if that lies beside it */
    const char *text_encoders[2];  /* files or component folders, in any order */
    const char *tokenizer;         /* a file or folder that bpe_load takes */
    const char *data_folder;       /* where CLIP's vocabulary is looked for last */
    const char *prediction;        /* "epsilon" or "v": what the UNet predicts */
    const char *const *embeddings; /* [embedding_count] files of textual inversions; see embedding.h */
    uint32_t embedding_count;
    weight_choice stored; /* on devices */
    bool complete;        /* all that making pictures from prompts takes must be there */
} model_options;

/* Opens a folder with model_index.json, or a file of weights (see checkpoint.h). Every component is read and
 * checked; errors name file, key and value. `options` may be NULL. */
mzt_status model_open_with(const base_host *host, const char *path, const model_options *options, model **out,
                           mzt_error *error);
mzt_status model_open(const base_host *host, const char *path, model **out, mzt_error *error);
void model_close(model *m); /* NULL is accepted */

/* Whether the model has a network's weights. */
static inline bool model_has(const model *m, model_component component) {
    return m->packed || m->weights[component];
}

/* Stable Diffusion XL: both text encoders' penultimate states side by side are the context. */
static inline bool model_is_xl(const model *m) {
    return m->index.xl;
}

/* NOT_FOUND, with the public file that is missing and where to put it: the error of whoever needs tokenizer
 * `index`. */
mzt_status model_no_tokenizer(const model *m, uint32_t index, mzt_error *error);

/* Whether the autoencoder's weights hold a tensor of this name: for vae_options.has, with the model as
 * `user`. */
bool model_vae_has(const void *user, const char *name);

#endif
