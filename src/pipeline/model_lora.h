/* LoRA files laid over an opened model: every network that is made of it from then on has them in its
 * weights. */
#ifndef PIPELINE_MODEL_LORA_H
#define PIPELINE_MODEL_LORA_H

#include "pipeline/model.h"

typedef struct model_lora {
    const char *path;
    double scale; /* 1: as trained; 0: none of it */
} model_lora;

/* Opens and checks the files and lays them over the UNet and the text encoders. Once for a model, before it
 * is shared by threads. Where all scales are 0, weights are read exactly as without. The model owns what is
 * opened. See lora.h for errors and warnings; on failure the model stays without. INTERNAL when called twice.
 */
mzt_status model_apply_loras(model *m, const model_lora *loras, uint32_t count, mzt_error *error);

#endif
