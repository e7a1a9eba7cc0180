/* AdamW over all trained parameters, as nodes at the end of a step, and the table that drives it.
 *
 * Inputs and states that it adds to the graph:
 *   "optimizer.table"  f32 {rows,1,1,OPTIMIZER_ROW_LENGTH}: hyperparameters, a row per step (params.h, adamw)
 *   "optimizer.step"   u32: which row is next; raised by every step, and by the host when it resumes
 *   "m.<parameter>", "v.<parameter>", with averages "average.<parameter>": f32 like the parameter
 * and the output "optimizer.norm": the sum of squares of all gradients, f32 {1,1,1,1}, if they are clipped.
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
    bool decay_vectors; /* weight decay also for biases and norm scales (as PyTorch's AdamW does) */
} optimizer_options;

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

#endif
