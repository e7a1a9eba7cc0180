/* Benchmark results as JSON, format "mezzotint-bench": what `mezzotint bench --json` writes and `mezzotint
 * compare` reads.
 *
 *   {"format": "mezzotint-bench", "version": 1, "date", "library", "revision", "suite", "host": {...},
 *    "devices": [{"name", "driver", "spec", "tier", "gpu", "type", "peaks": [{"what", "unit", "rate"}],
 *                 "networks": [{"model", "network", "batch", "size", "seconds": {"median", "low", "high",
 * "least", "runs"}, "device_seconds", "flops", "bytes", "memory", "dispatches", "barriers", "wrong", "ops":
 * [{"op", "seconds", "flops", "bytes", "count"}], "kernels": [{"op", "shape", "node", "count", "flops",
 * "bytes", "in_step", "seconds": {...}, "error", "limit", "wrong"}]}]}]}
 *
 * Times are seconds, rates per second. Kernels whose result was wrong carry "wrong": true and are never
 * ranked. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/facts.h"
#include "bench/peaks.h"
#include "bench/run.h"

#define BENCH_FORMAT "mezzotint-bench"

typedef struct bench_device_result {
    executor_limits limits;
    dtype type;
    bench_peaks peaks;
    bench_result *results; /* [count] */
    uint32_t count, capacity;
} bench_device_result;

typedef struct bench_report {
    const char *suite, *revision;
    bench_facts facts;
    bench_device_result *devices; /* [count] */
    uint32_t count;
} bench_report;

/* Seconds, FLOP, bytes and dispatches of one op in one evaluation. */
typedef struct bench_op_share {
    double seconds;
    uint64_t flops, bytes;
    uint32_t count;
} bench_op_share;
void bench_shares(const bench_result *r, bench_op_share shares[OP_COUNT]);

/* Takes from `w` what is asked of json_writer_finish. */
void bench_report_write(json_writer *w, const bench_report *report);

#endif
