/* The program that one training step runs on the device: the task's network and losses, their gradients, the
 * optimiser. Its states (the parameters, their moments and averages) stay on the device from step to step;
 * here they are begun, saved and loaded. Thread-safety: belongs to one thread, like its executor. */
#ifndef TRAIN_STEP_H
#define TRAIN_STEP_H

#include "train/task.h"

typedef struct train_step {
    network network;
    uint32_t phase, update; /* of the plan: what is run for every batch; what ends a step, where that is a
                               phase of its own, else PLAN_NONE */
    uint32_t table, counter, part, norm, scale; /* buffers; part, scale: PLAN_NONE where there is none */
    uint32_t loss_count, losses[TASK_LOSSES_MAX];
    bool set_up;      /* what depends on constants alone has been computed */
    uint32_t batches; /* whose gradients are added up: all that make up a step, on all ranks */
    uint64_t parameters, frozen, flops; /* values that are trained, that are not; of one step, on this rank */
} train_step;

/* Compiles and prepares. A step of one batch on one rank is a single phase, hence one recording; otherwise
 * every batch adds its gradients to sums, and the optimiser is a phase of its own. UNSUPPORTED names an op
 * that cannot be differentiated, or that the device cannot run. */
mzt_status train_step_create(train_task *task, train_step *out, mzt_error *error);
void train_step_destroy(train_step *s); /* zeroed is accepted */

/* Parameters from the task's initial weights, and what those do not hold from random numbers; then the
 * optimiser's state. */
mzt_status train_step_begin(train_step *s, train_task *task, mzt_error *error);

/* What is not trained, from the initial weights: before the program is sealed, also where states were loaded.
 * NOT_FOUND naming a tensor that they lack. */
mzt_status train_step_freeze(train_step *s, train_task *task, mzt_error *error);

/* Writes the files of weights (the averaged ones, under the checkpoint's names), and
 * training_state.safetensors: every state, with the given pairs of metadata. */
mzt_status train_step_save(train_step *s, train_task *task, checkpoint_writer *c, const char *const *metadata,
                           uint32_t metadata_count, mzt_error *error);

/* Loads every state from a checkpoint's training_state.safetensors; FORMAT names the first that is missing or
 * differs in size. */
mzt_status train_step_load(train_step *s, const safetensors_file *state, const optimizer_config *optimizer,
                           mzt_error *error);

/* What a step came to. */
typedef struct train_step_result {
    double loss, norm; /* the mean over the batches of the sum of all losses; of the mean gradients */
    double scale;      /* that losses were raised by; NaN: were not */
} train_step_result;

/* A step (counted from 0): begin; for each of its batches on this rank upload the inputs, then run; end,
 * which adds up the gradients over the ranks (NULL: one) and lets the optimiser work. `seconds`: as
 * run_control's, of every dispatch, added up; NULL: not measured. */
mzt_status train_step_prepare(train_step *s, const optimizer_config *optimizer, uint64_t step,
                              train_step_result *result, mzt_error *error);
mzt_status train_step_run(train_step *s, train_step_result *result, double *seconds, mzt_error *error);
mzt_status train_step_finish(train_step *s, ranks *others, train_step_result *result, double *seconds,
                             mzt_error *error);

#endif
