/* A progress bar with the time left, on a terminal only: silent when standard error is piped. */
#ifndef COMMAND_PROGRESS_H
#define COMMAND_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *label; /* "denoising" */
    bool visible;
    double start, shown; /* seconds */
} progress;

/* Starts a bar; `quiet` keeps it silent. */
progress progress_begin(const char *label, bool quiet);

/* Redraws at most ten times a second. done <= total. */
void progress_update(progress *bar, double done, double total);

/* Takes the bar away for now, to print something else; the next update shows it again. */
void progress_clear(progress *bar);

/* Clears the bar. */
void progress_end(progress *bar);

#endif
