/* The record of a training run; see log.h. */
#include "train/log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const char header[] = "step,seconds,loss,learning_rate,gradient_norm,pictures_per_second,flops_per_"
                             "second,validation_0,validation_1,"
                             "validation_2,validation_3,validation_4,loss_scale\n";
enum { ROW_SIZE = 320, FIELDS = 8 + TRAIN_BANDS };

/* Values that do not exist are empty fields. */
static int print_field(char *text, size_t size, double value, const char *end) {
    return isnan(value) ? snprintf(text, size, "%s", end) : snprintf(text, size, "%.9g%s", value, end);
}

static size_t print_row(const train_row *row, char text[ROW_SIZE]) {
    const double fields[] = {
        row->seconds,         row->loss, row->learning_rate, row->norm, row->pictures_per_second,
        row->flops_per_second};
    size_t length = (size_t)snprintf(text, ROW_SIZE, "%llu,", (unsigned long long)row->step);
    for (int i = 0; i < 6; i++)
        length += (size_t)print_field(text + length, ROW_SIZE - length, fields[i], ",");
    for (uint32_t i = 0; i < TRAIN_BANDS; i++)
        length += (size_t)print_field(text + length, ROW_SIZE - length, row->validation[i], ",");
    return length + (size_t)print_field(text + length, ROW_SIZE - length, row->loss_scale, "\n");
}

/* A row as print_row wrote it; anything else (a line cut short by a kill) is no row. */
static bool parse_row(const char *line, const char *end, train_row *row) {
    double fields[FIELDS];
    for (int i = 0; i < FIELDS; i++) {
        char *next;
        fields[i] = NAN;
        if (line < end && *line != ',') {
            fields[i] = strtod(line, &next);
            if (next == line || next > end) return false;
            line = next;
        }
        if (i + 1 < FIELDS && (line >= end || *line++ != ',')) return false;
    }
    if (line != end || !(fields[0] >= 0 && fields[0] < 1e15)) return false;
    *row = (train_row){.step = (uint64_t)fields[0],
                       .seconds = fields[1],
                       .loss = fields[2],
                       .learning_rate = fields[3],
                       .norm = fields[4],
                       .pictures_per_second = fields[5],
                       .flops_per_second = fields[6]};
    memcpy(row->validation, fields + 7, sizeof row->validation);
    row->loss_scale = fields[FIELDS - 1];
    return true;
}

static mzt_status keep_row(train_log *log, const train_row *row, mzt_error *error) {
    if (!HOST_GROW(log->host, log->rows, log->count, log->capacity))
        return error_memory(error, "log", sizeof *row);
    log->rows[log->count++] = *row;
    return MZT_OK;
}

static mzt_status read_rows(train_log *log, uint64_t step, mzt_error *error) {
    char *text;
    uint64_t size;
    if (step == 0 || !file_exists(log->csv)) return MZT_OK;
    TRY(file_read(log->host, log->csv, 1u << 30, &text, &size, error));
    mzt_status status = MZT_OK;
    const char *line = strchr(text, '\n');
    while (status >= 0 && line && *++line) {
        const char *end = strchr(line, '\n');
        train_row row;
        if (!end) break;
        if (parse_row(line, end, &row) && row.step <= step) status = keep_row(log, &row, error);
        line = end;
    }
    host_free(log->host, text);
    return status;
}

static mzt_status rewrite(const train_log *log, mzt_error *error) {
    file_writer *writer;
    char text[ROW_SIZE];
    TRY(file_writer_open(log->host, log->csv, &writer, error));
    mzt_status status = file_writer_write(writer, header, sizeof header - 1, error);
    for (uint32_t i = 0; status >= 0 && i < log->count; i++)
        status = file_writer_write(writer, text, print_row(&log->rows[i], text), error);
    if (status >= 0) return file_writer_commit(writer, error);
    file_writer_abandon(writer);
    return status;
}

mzt_status train_log_open(const base_host *host, const char *folder, uint64_t step, train_log *log,
                          mzt_error *error) {
    *log = (train_log){.host = host};
    mzt_status status = folder_create(host, folder, error);
    log->csv = path_join(host, folder, "log.csv");
    log->svg = path_join(host, folder, "loss.svg");
    if (status >= 0 && (!log->csv || !log->svg)) status = error_memory(error, folder, strlen(folder));
    if (status >= 0) status = read_rows(log, step, error);
    if (status >= 0) status = rewrite(log, error);
    if (status < 0) train_log_close(log);
    return status;
}

void train_log_close(train_log *log) {
    if (!log->host) return;
    host_free(log->host, log->csv);
    host_free(log->host, log->svg);
    host_free(log->host, log->rows);
    *log = (train_log){0};
}

mzt_status train_log_add(train_log *log, const train_row *row, mzt_error *error) {
    char text[ROW_SIZE];
    TRY(keep_row(log, row, error));
    const size_t length = print_row(row, text);
    FILE *file = fopen(log->csv, "ab");
    if (!file) return error_set(error, MZT_ERROR_IO, "%s: cannot append: %s", log->csv, strerror(errno));
    const bool wrote = fwrite(text, 1, length, file) == length;
    return fclose(file) == 0 && wrote
               ? MZT_OK
               : error_set(error, MZT_ERROR_IO, "%s: cannot append: %s", log->csv, strerror(errno));
}

mzt_status train_log_plot(const train_log *log, mzt_error *error) {
    const uint32_t n = log->count;
    double *values = host_calloc(log->host, (size_t)n + 1, 3 * sizeof *values);
    if (!values) return error_memory(error, "plot", (uint64_t)n * 3 * sizeof *values);
    double *x = values, *loss = values + n, *validation = values + 2 * (size_t)n;
    for (uint32_t i = 0; i < n; i++) {
        double sum = 0;
        uint32_t bands = 0;
        for (uint32_t b = 0; b < TRAIN_BANDS; b++) {
            if (isnan(log->rows[i].validation[b])) continue;
            sum += log->rows[i].validation[b];
            bands++;
        }
        x[i] = (double)log->rows[i].step;
        loss[i] = log->rows[i].loss;
        validation[i] = bands ? sum / bands : NAN;
    }
    const plot_series series[] = {{"training", x, loss, n}, {"held out", x, validation, n}};
    const plot_options options = {.title = "loss", .x_label = "step", .y_label = "loss", .logarithmic = true};
    mzt_status status = plot_write(log->host, log->svg, series, 2, &options, error);
    host_free(log->host, values);
    return status;
}

void train_log_line(const train_row *row, double left, char *text, size_t size) {
    char time[32] = "";
    if (left >= 0 && left < 1e8) {
        const unsigned long seconds = (unsigned long)left;
        if (seconds >= 3600)
            snprintf(time, sizeof time, "  %lu:%02lu:%02lu left", seconds / 3600, seconds / 60 % 60,
                     seconds % 60);
        else
            snprintf(time, sizeof time, "  %lu:%02lu left", seconds / 60, seconds % 60);
    }
    snprintf(text, size, "step %llu  loss %.5f  norm %.3g  rate %.3g  %.1f pictures/s  %.3g GFLOP/s%s",
             (unsigned long long)row->step, row->loss, row->norm, row->learning_rate,
             row->pictures_per_second, row->flops_per_second / 1e9, time);
}
