/* AdamW over all trained parameters, as nodes at the end of a step, and the table that drives it.
 *
 * Inputs and states that it adds to the graph:
 *   "optimizer.table"  f32 {rows,1,1,OPTIMIZER_ROW_LENGTH}: hyperparameters, a row per step (params.h, adamw)
 *   "optimizer.step"   u32: which row is next; raised by every step, and by the host when it resumes
 *   "m.<parameter>", "v.<parameter>", with averages "average.<parameter>": f32 like the parameter
 *   "optimizer.scale"  f32 {1,1,1,LOSS_SCALE_LENGTH}: by how much losses are raised (params.h, loss_scale)
 * where gradients are summed over batches
 *   "sum.<parameter>"  f32 like the parameter
 *   "optimizer.part"   u32: how many batches of this step are in there; raised by every batch, set to 0 by
 * the host when a step begins and the output "optimizer.norm": the sum of squares of all gradients, f32
 * {1,1,1,1}, if they are clipped.
 */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "executor.h"
#include "graph/differentiate.h"
#include "train/config.h"

typedef struct optimizer_options {
    uint32_t rows; /* of the table; the last serves all later steps */
    bool clip;    /* by the norm of all gradients together; also skips steps whose gradients are not finite */
    bool average; /* keep an exponential moving average of the parameters */
    bool decay_vectors;   /* weight decay also for biases and norm scales (as PyTorch's AdamW does) */
    tensor scale;         /* optimizer_scale's result; TENSOR_NONE: losses are not raised */
    uint32_t scale_steps; /* good steps in a row after which it is doubled */
} optimizer_options;

/* Adds the state by which losses are raised, for graph_differentiate's `factor`. */
tensor optimizer_scale(graph *g);

/* Appends nodes that add these gradients up over the batches of a step, and puts the sums in their places.
 * What is described from here on is the phase "update", which is run when the sums of all batches are there.
 */
void optimizer_sum_batches(graph *g, graph_gradients *gradients);

/* Appends the optimiser of these gradients (graph_differentiate's list, of parameters made trainable before)
 * to the graph. Errors stick to the graph. */
void optimizer_describe(graph *g, const graph_gradients *gradients, const optimizer_options *options);

/* Rows of the table for steps first ... first + rows - 1 (steps count from 0). gradient_scale: what gradients
 * are multiplied by before anything else, 1 / graph_differentiate's scale. `table`
 * [rows][OPTIMIZER_ROW_LENGTH]. */
void optimizer_table(const optimizer_config *config, uint64_t first, uint32_t rows, double gradient_scale,
                     float *table);

/* The state before the first step: moments and step are zero, averages are the parameters (which must be
 * loaded). */
mzt_status optimizer_reset(program *target, mzt_error *error);

/* Where losses are raised (else nothing): by `scale` from now on. */
mzt_status optimizer_set_scale(program *target, double scale, mzt_error *error);

#endif
