/* The measure measured: real pictures in place of generated ones, with metrics learned from one half of the
 * concepts and pictures of the other half. Thread-safety: pure functions. */
#ifndef SCORE_CHECK_H
#define SCORE_CHECK_H

#include "score/score.h"

typedef struct score_check_row {
    const char *what; /* "moved, scaled, mirrored; hue turned" */
    bool original;    /* the picture itself may be found; otherwise only other pictures */
    uint32_t pictures, concept, first,
        style;            /* right within SCORE_NEAREST, right at the first, style right */
    double nearest, copy; /* means, as in score_total */
} score_check_row;

enum { SCORE_CHECK_ROWS = 6 };

/* Takes every `stride`-th picture of a reference that was opened with fold 1. CANCELLED when `progress` (may
 * be NULL) returns false. */
mzt_status score_check(const score_reference *reference, uint32_t stride,
                       bool (*progress)(void *user, uint32_t done, uint32_t count), void *user,
                       score_check_row rows[SCORE_CHECK_ROWS], mzt_error *error);

#endif
