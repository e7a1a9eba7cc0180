/* Benchmark results side by side. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "bench/read.h"
#include "bench/text.h"

/* One device of one file. */
typedef struct compare_column {
    const bench_file *file;
    const file_device *device;
} compare_column;

/* All devices of all files, in their order; *columns in a fresh block. */
mzt_status compare_columns(const base_host *host, const bench_file *files, uint32_t count,
                           compare_column **columns, uint32_t *column_count, mzt_error *error);

/* The row of the same model, network, batch and size; NULL: there is none. */
const file_network *compare_find(const file_device *device, const file_network *like);

/* A table for the terminal: a row a network, a column a device; times with the ratio to the first column,
 * "same" where the confidence intervals overlap; wrong results are marked and not ranked. */
void compare_table(text_builder *t, const compare_column *columns, uint32_t count);

/* Networks that the second file runs slower than the first beyond noise, a line each. Returns how many.
 * Devices are matched by name and type. */
uint32_t compare_regressions(text_builder *t, const bench_file *baseline, const bench_file *now);

/* The same and more as a page that needs nothing else: bars by op, a roofline for each device, times over
 * revisions. */
void compare_page(text_builder *t, const compare_column *columns, uint32_t count);

#endif
