/* Figures of repeated timings; see statistics.h. */
#include "bench/statistics.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

timing timing_of(double *seconds, uint32_t runs) {
    qsort(seconds, runs, sizeof *seconds, compare);
    timing t = {.runs = runs, .least = seconds[0]};
    t.median = runs % 2 ? seconds[runs / 2] : (seconds[runs / 2 - 1] + seconds[runs / 2]) / 2;
    /* The number of runs below the true median is binomial(runs, 1/2): mean runs / 2, deviation sqrt(runs)
     * / 2. */
    double reach = 1.96 * sqrt((double)runs) / 2;
    int64_t low = (int64_t)floor((double)runs / 2 - reach) - 1,
            high = (int64_t)ceil((double)runs / 2 + reach);
    t.low = seconds[low < 0 ? 0 : low];
    t.high = seconds[high >= (int64_t)runs ? (int64_t)runs - 1 : high];
    return t;
}

bool timing_differs(const timing *a, const timing *b) {
    return a->high < b->low || b->high < a->low;
}
