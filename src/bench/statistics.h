/* Figures of repeated timings. Thread-safety: pure functions. */
#ifndef BENCH_STATISTICS_H
#define BENCH_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds of one run. `low` and `high` bound the median with about 95 % confidence: order statistics of a
 * binomial distribution, so no shape of the distribution is assumed. With fewer than six runs they are the
 * least and the most. */
typedef struct timing {
    double median, low, high, least;
    uint32_t runs;
} timing;

/* Sorts `seconds` in place. runs > 0. */
timing timing_of(double *seconds, uint32_t runs);

/* Whether the confidence intervals do not overlap: a difference that noise does not explain. */
bool timing_differs(const timing *a, const timing *b);

#endif
