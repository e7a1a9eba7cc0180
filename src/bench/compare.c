/* Results side by side, as text; see compare.h. */
#include "bench/compare.h"

#include <string.h>

mzt_status compare_columns(const base_host *host, const bench_file *files, uint32_t count,
                           compare_column **columns, uint32_t *column_count, mzt_error *error) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += files[i].device_count;
    *columns = host_calloc(host, total, sizeof **columns);
    *column_count = 0;
    if (!*columns) return error_memory(error, "columns", total * sizeof **columns);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t d = 0; d < files[i].device_count; d++)
            (*columns)[(*column_count)++] = (compare_column){&files[i], &files[i].devices[d]};
    return MZT_OK;
}

const file_network *compare_find(const file_device *device, const file_network *like) {
    for (uint32_t i = 0; i < device->network_count; i++) {
        const file_network *n = &device->networks[i];
        if (strcmp(n->model, like->model) == 0 && strcmp(n->network, like->network) == 0 &&
            n->batch == like->batch && n->size == like->size)
            return n;
    }
    return NULL;
}

/* Whether an earlier column has this row already. */
static bool seen_before(const compare_column *columns, uint32_t column, const file_network *row) {
    for (uint32_t c = 0; c < column; c++)
        if (compare_find(columns[c].device, row)) return true;
    return false;
}

/* The fastest right result of a row; NULL: none is right. */
static const file_network *fastest(const compare_column *columns, uint32_t count, const file_network *row) {
    const file_network *best = NULL;
    for (uint32_t c = 0; c < count; c++) {
        const file_network *n = compare_find(columns[c].device, row);
        if (n && !n->wrong && (!best || n->time.median < best->time.median)) best = n;
    }
    return best;
}

static void add_row(text_builder *t, const compare_column *columns, uint32_t count, const file_network *row) {
    const file_network *best = fastest(columns, count, row);
    char a[24], b[24], c[24], rate[32];
    text_add(t, "\n%s %s, batch %.0f, %.0f x %.0f\n", row->model, row->network, row->batch, row->size,
             row->size);
    for (uint32_t i = 0; i < count; i++) {
        const file_network *n = compare_find(columns[i].device, row);
        text_add(t, "  %c ", 'A' + (char)(i % 26));
        if (!n) {
            text_add(t, "-\n");
            continue;
        }
        text_add(t, "%10s  (%s ... %s)  %14s  ", text_seconds(n->time.median, a),
                 text_seconds(n->time.low, b), text_seconds(n->time.high, c),
                 text_rate(n->flops / n->time.median, "FLOP/s", rate));
        if (n->wrong)
            text_add(t, "WRONG RESULTS, not ranked\n");
        else if (n == best)
            text_add(t, "fastest\n");
        else if (!timing_differs(&n->time, &best->time))
            text_add(t, "the same within noise\n");
        else
            text_add(t, "%.2f x as long\n", n->time.median / best->time.median);
    }
}

void compare_table(text_builder *t, const compare_column *columns, uint32_t count) {
    for (uint32_t c = 0; c < count; c++) {
        const bench_file *f = columns[c].file;
        text_add(t, "%c  %s, %s  [%s, revision %s, %s, %s]\n", 'A' + (char)(c % 26), columns[c].device->name,
                 columns[c].device->type, f->path, *f->revision ? f->revision : "unknown", f->date,
                 f->processor);
        if (f->load > 0.5) text_add(t, "   the machine was busy (load %.1f) before this one\n", f->load);
    }
    for (uint32_t c = 0; c < count; c++)
        for (uint32_t n = 0; n < columns[c].device->network_count; n++)
            if (!seen_before(columns, c, &columns[c].device->networks[n]))
                add_row(t, columns, count, &columns[c].device->networks[n]);
}

uint32_t compare_regressions(text_builder *t, const bench_file *baseline, const bench_file *now) {
    uint32_t found = 0;
    char a[24], b[24];
    for (uint32_t d = 0; d < now->device_count; d++) {
        for (uint32_t e = 0; e < baseline->device_count; e++) {
            const file_device *new_device = &now->devices[d], *old_device = &baseline->devices[e];
            if (strcmp(new_device->name, old_device->name) != 0 ||
                strcmp(new_device->type, old_device->type) != 0)
                continue;
            for (uint32_t i = 0; i < new_device->network_count; i++) {
                const file_network *n = &new_device->networks[i], *old = compare_find(old_device, n);
                if (!old || old->wrong || n->time.median <= old->time.median ||
                    !timing_differs(&n->time, &old->time))
                    continue;
                found++;
                text_add(t, "%s: %s %s, batch %.0f, %.0f x %.0f: %s was %s (%+.0f %%)\n", new_device->name,
                         n->model, n->network, n->batch, n->size, n->size, text_seconds(n->time.median, a),
                         text_seconds(old->time.median, b), 100 * (n->time.median / old->time.median - 1));
            }
        }
    }
    return found;
}
