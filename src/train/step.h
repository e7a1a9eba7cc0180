/* The program that one training step runs on the device: the task's network and losses, their gradients, the
 * optimiser. Its states (the parameters, their moments and averages) stay on the device from step to step;
 * here they are begun, saved and loaded. Thread-safety: belongs to one thread, like its executor. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H

#include "train/task.h"

typedef struct train_step {
    network network;
    uint32_t phase, table, norm; /* of the plan: the phase that is a step; buffers */
    uint32_t loss_count, losses[TASK_LOSSES_MAX];
    double gradient_scale;
    uint64_t parameters, flops; /* values that are trained; of one step */
} train_step;

/* Compiles and prepares. UNSUPPORTED names an op that cannot be differentiated, or that the device cannot
 * run. */
mzt_status train_step_create(train_task *task, train_step *out, mzt_error *error);
void train_step_destroy(train_step *s); /* zeroed is accepted */

/* Parameters from the task's initial weights, and what those do not hold from random numbers; then the
 * optimiser's state. */
mzt_status train_step_begin(train_step *s, train_task *task, mzt_error *error);

/* Writes the files of weights (the averaged ones, under the checkpoint's names), and
 * training_state.safetensors: every state, with the given pairs of metadata. */
mzt_status train_step_save(train_step *s, train_task *task, checkpoint_writer *c, const char *const *metadata,
                           uint32_t metadata_count, mzt_error *error);

/* Loads every state from a checkpoint's training_state.safetensors; FORMAT names the first that is missing or
 * differs in size. */
mzt_status train_step_load(train_step *s, const safetensors_file *state, mzt_error *error);

/* Runs the step (counted from 0), whose inputs have been uploaded. `loss`: the sum of all losses; `norm`: of
 * the gradients; `seconds`: as run_control's, of every dispatch, added up; NULL: not measured. */
mzt_status train_step_run(train_step *s, const optimizer_config *optimizer, uint64_t step, double *loss,
                          double *norm, double *seconds, mzt_error *error);

#endif
