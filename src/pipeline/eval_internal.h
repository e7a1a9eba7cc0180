/* What the components of `eval` share; see eval.h. */
#ifndef PIPELINE_EVAL_INTERNAL_H
#define PIPELINE_EVAL_INTERNAL_H

#include "model/unet.h"
#include "pipeline/eval.h"
#include "pipeline/tensor_file.h"

/* What each component's function works with. */
typedef struct eval_context {
    const model *m;
    executor *e;
    precision p;
    const eval_request *request;
    const weights_set *in;
    tensor_list out; /* written when the component is done; empty: it has written its file itself */
    mzt_error *error;
} eval_context;

/* Inputs of one UNet evaluation. */
typedef struct unet_tensors {
    host_tensor sample, timestep, context, embeds, ids;
} unet_tensors;

/* Reads unet.*, checked against the configuration. Release also after a failure. */
mzt_status eval_read_unet(eval_context *c, unet_tensors *t);
void eval_release_unet(const eval_context *c, unet_tensors *t);

/* Inputs of the graph for them, and their values. `varying`: for graphs with a step phase. */
unet_inputs eval_unet_inputs(const eval_context *c, graph *g, const unet_tensors *t, bool varying);
mzt_status eval_set_unet(eval_context *c, network *n, const unet_tensors *t);

/* eval_gradients.c: gradients of every parameter, and three steps of AdamW. */
mzt_status eval_gradients(eval_context *c);
mzt_status eval_vae_gradients(eval_context *c);
mzt_status eval_adamw(eval_context *c);

#endif
