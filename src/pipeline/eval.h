/* One network, or the whole denoising loop, on tensors from a file: how this engine is held against another.
 * Tensors go by the names and layouts that docs/eval.md lists ([N,C,H,W], as PyTorch has them). */
#ifndef PIPELINE_EVAL_H
#define PIPELINE_EVAL_H

#include "pipeline/model.h"
#include "pipeline/network.h"

typedef struct eval_request {
    const char *component; /* text_encoder, text_encoder_2, unet, vae_encoder, vae_decoder, pipeline,
                              gradients, vae_gradients, adamw */
    const char *input, *output;
    /* for pipeline only */
    const char *scheduler_config; /* a scheduler_config.json; NULL: the model's own */
    uint32_t steps;
    double guidance;
} eval_request;

/* INVALID for an unknown component (lists them); NOT_FOUND and FORMAT name the tensor. */
mzt_status pipeline_eval(const model *m, executor *e, precision p, const eval_request *request,
                         mzt_error *error);

#endif
