/* A whole training run: data, networks, steps, checkpoints, log. What the command line calls.
 * docs/training.md describes what comes out. Thread-safety: a run uses threads of its own and belongs to the
 * thread that started it. */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "executor.h"
#include "train/config.h"
#include "train/ranks.h"

typedef struct train_request {
    train_kind kind;
    const char *data, *config, *output; /* folder, file, folder */
    const char *init; /* a model folder to begin from: for a denoiser its autoencoder is needed, and its UNet,
                         text encoder and tokenizer are used if it has them; NULL: none */
    uint32_t
        lora;    /* rank of the adapters to train in place of a denoiser's weights; 0: the configuration's */
    bool resume; /* go on from OUTPUT/latest; otherwise OUTPUT must not hold a checkpoint */
    double minutes;      /* of this run; 0: no limit */
    uint64_t steps;      /* in all, earlier runs included; 0: the schedule's length, optimizer.steps */
    uint32_t batch;      /* pictures that are in work at once, on all ranks; 0: the configuration's */
    uint32_t accumulate; /* batches in a step; 0: the configuration's */
    bool recompute;      /* also where the configuration does not say so */
    ranks *ranks;        /* processes that share the work; NULL: this one alone */
    uint64_t seed;       /* with seed_given, in place of the configuration's */
    bool seed_given;
    bool profile;               /* measure where the time goes, and say it at the end */
    const char *const *exclude; /* further combinations */
    uint32_t exclude_count;
    /* One line of progress or news. May be NULL. */
    void (*line)(void *user, const char *text);
    /* Called after every step; returning false writes a checkpoint and ends the run with CANCELLED. May be
     * NULL. */
    bool (*keep_going)(void *user, uint64_t step);
    void *user;
} train_request;

typedef struct train_result {
    uint64_t steps, parameters;
    double loss, seconds; /* of the last step; of this run */
} train_result;

/* Trains. A failure leaves the last checkpoint as it was; the message names it. With several ranks all return
 * the same status and message; the first alone writes and speaks. */
mzt_status train_run(const base_host *host, executor *device, const train_request *request,
                     train_result *result, mzt_error *error);

#endif
