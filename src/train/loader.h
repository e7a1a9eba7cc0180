/* Batches, made ahead of time by background threads: pictures decoded and augmented, captions worded and
 * tokenized, noise drawn. The queue is bounded. What is in the batch of a step depends on the seed and the
 * step alone, whichever thread makes it and whenever. Thread-safety: a loader belongs to one thread; its own
 * threads are its private business. */
#ifndef TRAIN_LOADER_H
#define TRAIN_LOADER_H

#include "text/bpe.h"
#include "train/config.h"
#include "train/dataset.h"

typedef struct loader_options {
    const dataset *data; /* borrowed, as all else here */
    const data_config *config;
    const exclude_list *exclude;
    uint64_t seed, first_step;
    uint32_t batch; /* samples in a batch; a step has `accumulate` of them on each of `ranks` (0: 1), ... */
    uint32_t accumulate, ranks, rank; /* ... of which this loader makes those of `rank` */
    bool pictures;                    /* decode and augment */
    const bpe *tokenizer;             /* NULL: no captions */
    uint32_t length;                  /* tokens of a caption */
    uint32_t noise;                   /* standard normals for each sample */
    uint32_t variants; /* 0: augment afresh in each epoch e; else with variant e % variants, ... */
    const dataset_facts
        *facts; /* ... of which this is known: [variants][train_count]; NULL: found out with the picture */
    uint32_t threads, depth; /* 0: one per processor; 0: 4 batches */
} loader_options;

typedef struct loader_batch {
    uint64_t step;
    uint32_t first, all; /* which of the step's samples this begins with; how many those are, on all ranks */
    uint32_t *samples;   /* [batch] places in data->train */
    uint32_t *variants;  /* [batch] */
    float *pictures;     /* [batch][resolution][resolution][channels], or NULL */
    uint32_t *ids;       /* [batch][length], or NULL */
    float *noise;        /* [batch][noise], or NULL */
} loader_batch;

typedef struct loader loader;

/* Starts the threads. */
mzt_status loader_create(const base_host *host, const loader_options *options, loader **out,
                         mzt_error *error);
void loader_destroy(loader *l); /* NULL is accepted */

/* Waits for the next batch, from the first of first_step on; it stays valid until the next call. The error of
 * a sample that could not be made, naming its file. */
mzt_status loader_next(loader *l, const loader_batch **batch, mzt_error *error);

#endif
