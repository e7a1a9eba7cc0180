/* How a model's matrices are stored on devices: in the type of activations, in 16 bits, or in blocks of 8 or
 * 4 bits that kernels unpack (base/block.h). Biases, norms and embedding tables are never in blocks, and of
 * an autoencoder only what lies in its file in blocks already is: its few weights stand for pixels directly.
 */
#ifndef PIPELINE_STORED_H
#define PIPELINE_STORED_H

#include "graph/graph.h"
#include "pipeline/model.h"

/* "auto", "f32", "f16", "bf16", "q8", "q4". INVALID lists them. */
mzt_status weight_choice_parse(const char *text, weight_choice *out, mzt_error *error);
const char *weight_choice_name(weight_choice choice);

/* An empty graph for a network of the model's component: activations of this type, weights as m->stored says.
 * With blocks, and where a file has some, what is not in blocks is f16. NULL when out of memory. */
graph *model_graph(const model *m, model_component component, dtype activation);

#endif
