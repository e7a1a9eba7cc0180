/* What a device can do at best, measured: the yardstick of every other figure. */
#ifndef BENCH_PEAKS_H
#define BENCH_PEAKS_H

#include "executor.h"

enum { BENCH_PEAKS_MAX = 8 };

typedef struct bench_peak {
    const char *what, *unit; /* "matrix product", "FLOP/s" */
    double rate;
} bench_peak;

typedef struct bench_peaks {
    bench_peak list[BENCH_PEAKS_MAX];
    uint32_t count;
} bench_peaks;

/* Measures the best of several sizes of matrix product ("matrix product"), and copying a buffer far larger
 * than any cache
 * ("copy"; bytes read and bytes written both count), in activations of `type`. Takes about `seconds` for
 * each. */
mzt_status bench_peaks_measure(executor *device, dtype type, double seconds, bench_peaks *out,
                               mzt_error *error);

/* The rate of a peak by what it is; 0 when it was not measured. */
double bench_peak_rate(const bench_peaks *peaks, const char *what);

#endif
