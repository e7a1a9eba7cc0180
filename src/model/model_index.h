/* model_index.json: which pipeline a model folder is for, and which networks it holds. */
#ifndef MODEL_MODEL_INDEX_H
#define MODEL_MODEL_INDEX_H

#include "base/host.h"

typedef enum model_component {
    MODEL_UNET,
    MODEL_VAE,
    MODEL_SCHEDULER,
    MODEL_TEXT_ENCODER,
    MODEL_TEXT_ENCODER_2,
    MODEL_TOKENIZER,
    MODEL_TOKENIZER_2,
    MODEL_COMPONENT_COUNT
} model_component;

/* The component's name in model_index.json, which is its folder's: "unet", "text_encoder_2", ... */
const char *model_component_name(model_component component);

typedef struct model_index {
    const base_host *host;
    char *folder;
    bool xl; /* two text encoders' penultimate states side by side, pooled text and picture sizes */
    struct {
        char *path;       /* of the component's folder; NULL: not there */
        char *class_name; /* "UNet2DConditionModel" */
    } components[MODEL_COMPONENT_COUNT];
    /* XL: an empty negative prompt (none given) means zeros instead of the encoding of "". */
    bool force_zeros_for_empty_prompt;
    bool requires_aesthetics_score; /* XL refiner: the time ids are original size, crop, score */
} model_index;

/* Reads FOLDER/model_index.json. Supported are Stable Diffusion, Stable Diffusion XL and latent consistency
 * pipelines (text to image, image to image, inpainting); safety_checker and feature_extractor are ignored.
 * UNSUPPORTED names the pipeline, component or class; INVALID a component that is missing; NOT_FOUND when
 * there is no such file. Whether the folders exist is found out by whoever opens them. *out is zeroed on
 * failure. */
mzt_status model_index_read(const base_host *host, const char *folder, model_index *out, mzt_error *error);
void model_index_destroy(model_index *index); /* zeroed ones are accepted */

#endif
