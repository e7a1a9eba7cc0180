/* Where a training run's time goes: seconds outside the device's program by part of a step, and inside it by
 * op and by dispatch. Thread-safety: belongs to one thread. */
#ifndef TRAIN_PROFILE_H
#define TRAIN_PROFILE_H

#include "executor.h"

/* The parts of a run, in the order in which they are reported. */
typedef enum profile_part {
    PROFILE_WAIT,       /* for the loader's next batch */
    PROFILE_FEED,       /* encoding latents, uploading */
    PROFILE_STEP,       /* the program: every dispatch, and reading the losses */
    PROFILE_CHECKPOINT, /* writing checkpoints, drawing, validating */
    PROFILE_PART_COUNT
} profile_part;

typedef struct train_profile {
    const base_host *host;
    const plan *plan;
    double *seconds; /* [dispatch_count], for run_control */
    double parts[PROFILE_PART_COUNT];
    uint64_t steps;
} train_profile;

/* `p` is borrowed. */
mzt_status train_profile_create(const base_host *host, const plan *p, train_profile *out, mzt_error *error);
void train_profile_destroy(train_profile *profile); /* zeroed is accepted */

/* Says the tables line by line: parts; ops; the dispatches that took longest. `peak` in FLOP/s is what shares
 * of the machine's speed refer to; 0: unknown. */
void train_profile_report(const train_profile *profile, double peak,
                          void (*line)(void *user, const char *text), void *user);

#endif
