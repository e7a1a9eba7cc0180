/* Benchmark results read back from JSON; see report.h for the format. Files may come from strangers:
 * everything is checked. Ownership: bench_file_destroy frees all. Thread-safety: immutable once read. */
#ifndef BENCH_READ_H
#define BENCH_READ_H

#include "bench/statistics.h"
#include "json/json.h"

typedef struct file_op {
    const char *name;
    double seconds, flops;
} file_op;

typedef struct file_kernel {
    const char *op, *shape;
    double seconds, flops, bytes, count,
        in_step; /* seconds of one, alone where it was timed so, else within a step */
    bool wrong;
} file_kernel;

typedef struct file_network {
    const char *model, *network;
    double batch, size, flops, bytes, memory, dispatches, device_seconds;
    timing time;
    bool wrong;
    file_op *ops;
    file_kernel *kernels;
    uint32_t op_count, kernel_count;
} file_network;

typedef struct file_device {
    const char *name, *driver, *type;
    double product_rate, copy_rate; /* measured peaks, FLOP/s and B/s; 0: not there */
    file_network *networks;
    uint32_t network_count;
} file_device;

typedef struct bench_file {
    const base_host *host;
    json_doc *doc; /* owns the strings */
    const char *path, *date, *library, *revision, *suite, *processor;
    double load; /* negative: not said */
    file_device *devices;
    uint32_t device_count;
} bench_file;

/* FORMAT or INVALID naming the file and key; NOT_FOUND, IO. `path` must outlive the file. */
mzt_status bench_file_read(const base_host *host, const char *path, bench_file *out, mzt_error *error);
void bench_file_destroy(bench_file *file); /* zeroed is accepted */

#endif
