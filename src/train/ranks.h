/* Data-parallel training: several processes, one rank each, take their shares of every batch and add up their
 * gradients. How they talk to each other is the caller's business (the command uses MPI); here is what a run
 * needs of it. A NULL `ranks` is a run of one process, for which every function does nothing and succeeds.
 *
 * Every function but the questions is collective: all ranks call the same ones in the same order. Each begins
 * by asking whether all ranks are well; where one is not, all return its status and message, and no further
 * call waits for anybody. Thread-safety: belongs to one thread. */
#ifndef TRAIN_RANKS_H
#define TRAIN_RANKS_H

#include "base/host.h"

typedef struct ranks ranks;

/* What the caller supplies; false: the others cannot be reached. */
typedef struct ranks_functions {
    /* all[i * size ...] = what rank i gave as `mine`, on every rank. */
    bool (*gather)(ranks *r, const void *mine, void *all, uint32_t size);
    /* `data` becomes what it is on rank `from`. */
    bool (*share)(ranks *r, void *data, uint32_t size, uint32_t from);
    /* values[i] = the sum over the ranks, the same bits on every rank and in every run. */
    bool (*sum)(ranks *r, float *values, uint32_t count);
} ranks_functions;

#define RANKS_MAX 1024u

struct ranks {
    const ranks_functions *functions;
    uint32_t count, index; /* of all, at most RANKS_MAX; of this one */
    bool failed;           /* some rank has failed: nobody waits any more */
};

static inline uint32_t ranks_count(const ranks *r) {
    return r ? r->count : 1;
}

/* Rank 0 writes checkpoints, log and sheets, and speaks. */
static inline bool ranks_is_first(const ranks *r) {
    return !r || r->index == 0;
}

/* The status of the lowest rank that failed, with its message; OK if none did. */
mzt_status ranks_agree(ranks *r, mzt_status status, mzt_error *error);

/* *flags becomes what any rank has set in it. */
mzt_status ranks_any(ranks *r, uint32_t *flags, mzt_error *error);

/* *value becomes the mean over the ranks, added up in their order. */
mzt_status ranks_mean(ranks *r, double *value, mzt_error *error);

/* INTERNAL where the ranks do not hold the same bits: they would train different networks from here on.
 * `what`: for the message. */
mzt_status ranks_check_same(ranks *r, double value, const char *what, mzt_error *error);

/* values[i] becomes the sum over the ranks. Does not ask whether all are well: ranks_agree goes before. */
mzt_status ranks_sum(ranks *r, float *values, uint32_t count, mzt_error *error);

#endif
