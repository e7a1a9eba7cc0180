/* What an autoencoder's and a denoiser's training have in common, seen from the run: a task describes its
 * network and losses, feeds batches, and adds to checkpoints what belongs beside the weights. */
#ifndef TRAIN_TASK_H
#define TRAIN_TASK_H

#include "graph/graph.h"
#include "pipeline/network.h"
#include "train/checkpoint.h"
#include "train/loader.h"
#include "train/log.h"
#include "train/ranks.h"
#include "weights/weights.h"

#define TASK_LOSSES_MAX 24u

/* What every task works with; borrowed from the run. */
typedef struct train_context {
    const base_host *host;
    const train_config *config;
    executor *device;
    dtype type; /* activations and matrices */
    const dataset *data;
    thread_pool *pool;
    uint32_t batch; /* pictures that go through the network at once */
    ranks *ranks;   /* or NULL */
    uint64_t seed;
    const char *output; /* folder of the run */
    const char *init;   /* model folder, or NULL */
    const char *resume; /* checkpoint folder, or NULL */
    void (*line)(void *user, const char *text);
    void *user;
} train_context;

typedef struct train_task train_task;

typedef struct train_task_functions {
    /* Inputs, network and losses for one batch; errors stick to the graph. Returns the count of losses. */
    uint32_t (*describe)(train_task *t, graph *g, tensor losses[TASK_LOSSES_MAX]);
    /* What batches are to hold. */
    void (*choose_batches)(const train_task *t, loader_options *options);
    /* Uploads a batch to the training program. */
    mzt_status (*feed)(train_task *t, network *n, const loader_batch *b, mzt_error *error);
    /* The file of a checkpoint that a parameter belongs in: "unet/diffusion_pytorch_model.safetensors". */
    const char *(*file_of)(const train_task *t, const char *parameter);
    /* Weights to begin from: up to 2 sets, which the task owns. */
    uint32_t (*initial_weights)(const train_task *t, const weights_set *sets[2]);
    /* Adds configurations and fixed parts. The weights' files have been written. */
    mzt_status (*save)(train_task *t, checkpoint_writer *c, mzt_error *error);
    /* Errors on held-out pictures with the weights of a checkpoint; NaN where there is none. */
    mzt_status (*validate)(train_task *t, const char *checkpoint, double bands[TRAIN_BANDS],
                           mzt_error *error);
    /* A sheet of samples with the weights of a checkpoint. */
    mzt_status (*draw)(train_task *t, const char *checkpoint, const char *path, mzt_error *error);
    void (*destroy)(train_task *t);
} train_task_functions;

struct train_task {
    const train_task_functions *functions;
    const train_context *context;
};

/* Read what they need, and prepare it (a vocabulary, encoded pictures). */
mzt_status autoencoder_task_create(const train_context *context, train_task **out, mzt_error *error);
mzt_status denoiser_task_create(const train_context *context, train_task **out, mzt_error *error);

#endif
