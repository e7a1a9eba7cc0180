/* Line plots as SVG files: a loss over steps. Thread-safety: pure functions. */
#ifndef TRAIN_PLOT_H
#define TRAIN_PLOT_H

#include "base/host.h"

typedef struct plot_series {
    const char *name;
    const double *x,
        *y; /* [count]; what is not finite is left out, on a logarithmic axis also what is not positive */
    uint32_t count;
} plot_series;

typedef struct plot_options {
    const char *title, *x_label, *y_label;
    bool logarithmic; /* the y axis */
} plot_options;

/* Writes the file, aside and then renamed. Series without a point to draw are fine. */
mzt_status plot_write(const base_host *host, const char *path, const plot_series *series, uint32_t count,
                      const plot_options *options, mzt_error *error);

#endif
