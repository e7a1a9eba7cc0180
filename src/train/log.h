/* The record of a training run: a line of progress now and then, OUTPUT/log.csv, OUTPUT/loss.svg. A resumed
 * run goes on where the checkpoint was made: later rows of the interrupted one are dropped. Thread-safety: a
 * train_log belongs to one thread. */
#ifndef TRAIN_LOG_H
#define TRAIN_LOG_H

#include "train/plot.h"

#define TRAIN_BANDS 5u /* validation is told apart by timestep: fifths of the range, least noise first */

typedef struct train_row {
    uint64_t step;
    double seconds; /* of training, all runs together */
    double loss, learning_rate, norm, pictures_per_second, flops_per_second;
    double validation[TRAIN_BANDS]; /* NaN where there is none; an autoencoder has the first only */
    double loss_scale;              /* f16: what losses were raised by; NaN: nothing */
} train_row;

typedef struct train_log {
    const base_host *host;
    char *csv, *svg;
    train_row *rows;
    uint32_t count, capacity;
} train_log;

/* Reads rows up to `step` of an earlier run (step 0: begins anew) and rewrites the file. */
mzt_status train_log_open(const base_host *host, const char *folder, uint64_t step, train_log *log,
                          mzt_error *error);
void train_log_close(train_log *log); /* zeroed is accepted */

/* Adds a row, and appends it to the file. */
mzt_status train_log_add(train_log *log, const train_row *row, mzt_error *error);

/* Draws the loss over the steps. */
mzt_status train_log_plot(const train_log *log, mzt_error *error);

/* One line for a terminal: "step 1200  loss 0.1234  512 pictures/s  1.9 TFLOP/s  3:20 left". Negative `left`:
 * unknown. */
void train_log_line(const train_row *row, double left, char *text, size_t size);

#endif
