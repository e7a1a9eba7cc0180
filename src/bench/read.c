/* Reading benchmark results; see read.h. */
#include "bench/read.h"

#include <math.h>
#include <string.h>

/* A number that a time, a rate or a count can be. */
static mzt_status read_number(json_value object, const char *key, double *out, mzt_error *error) {
    TRY(json_require_double(object, key, out, error));
    if (*out >= 0 && *out <= 1e30) return MZT_OK;
    return json_error(json_get(object, key), error, MZT_ERROR_INVALID,
                      "expected a number in 0..1e30, found %g", *out);
}

static mzt_status read_timing(json_value object, timing *t, mzt_error *error) {
    double runs;
    TRY(read_number(object, "median", &t->median, error));
    TRY(read_number(object, "low", &t->low, error));
    TRY(read_number(object, "high", &t->high, error));
    TRY(read_number(object, "least", &t->least, error));
    TRY(read_number(object, "runs", &runs, error));
    t->runs = runs < 1e9 ? (uint32_t)runs : 0;
    if (t->median > 0 && t->low <= t->median && t->median <= t->high) return MZT_OK;
    return json_error(object, error, MZT_ERROR_INVALID, "expected 0 < median between low and high");
}

/* An array's elements as records of `size` bytes. */
typedef mzt_status element_reader(const base_host *host, json_value v, void *record, mzt_error *error);

static mzt_status read_array(const base_host *host, json_value object, const char *key, size_t size,
                             element_reader *read, void **list, uint32_t *count, mzt_error *error) {
    json_value array;
    TRY(json_require_array(object, key, &array, error));
    char *records = host_calloc(host, json_count(array), size);
    *list = records;
    if (!records) return error_memory(error, key, (uint64_t)json_count(array) * size);
    for (json_value v = json_first(array); v.item; v = json_next(v), records += size) {
        ++*count; /* before: what is half read must be freed too */
        TRY(read(host, v, records, error));
    }
    return MZT_OK;
}

static mzt_status read_op(const base_host *host, json_value v, void *record, mzt_error *error) {
    (void)host;
    file_op *o = record;
    TRY(json_require_string(v, "op", &o->name, error));
    TRY(read_number(v, "flops", &o->flops, error));
    return read_number(v, "seconds", &o->seconds, error);
}

static mzt_status read_kernel(const base_host *host, json_value v, void *record, mzt_error *error) {
    (void)host;
    file_kernel *k = record;
    json_value seconds;
    TRY(json_require_string(v, "op", &k->op, error));
    TRY(json_require_string(v, "shape", &k->shape, error));
    TRY(read_number(v, "flops", &k->flops, error));
    TRY(read_number(v, "bytes", &k->bytes, error));
    TRY(read_number(v, "count", &k->count, error));
    TRY(read_number(v, "in_step", &k->in_step, error));
    TRY(json_get_bool(v, "wrong", false, &k->wrong, error));
    TRY(json_get_object(v, "seconds", &seconds, error));
    k->seconds = k->in_step;
    timing t;
    if (!json_given(seconds)) return MZT_OK;
    TRY(read_timing(seconds, &t, error));
    k->seconds = t.median;
    return MZT_OK;
}

static mzt_status read_network(const base_host *host, json_value v, void *record, mzt_error *error) {
    file_network *n = record;
    json_value seconds;
    TRY(json_require_string(v, "model", &n->model, error));
    TRY(json_require_string(v, "network", &n->network, error));
    TRY(read_number(v, "batch", &n->batch, error));
    TRY(read_number(v, "size", &n->size, error));
    TRY(read_number(v, "flops", &n->flops, error));
    TRY(read_number(v, "bytes", &n->bytes, error));
    TRY(read_number(v, "memory", &n->memory, error));
    TRY(read_number(v, "dispatches", &n->dispatches, error));
    TRY(read_number(v, "device_seconds", &n->device_seconds, error));
    TRY(json_get_bool(v, "wrong", false, &n->wrong, error));
    TRY(json_require_object(v, "seconds", &seconds, error));
    TRY(read_timing(seconds, &n->time, error));
    TRY(read_array(host, v, "ops", sizeof *n->ops, read_op, (void **)&n->ops, &n->op_count, error));
    return read_array(host, v, "kernels", sizeof *n->kernels, read_kernel, (void **)&n->kernels,
                      &n->kernel_count, error);
}

static mzt_status read_peaks(json_value device, file_device *d, mzt_error *error) {
    json_value peaks;
    TRY(json_require_array(device, "peaks", &peaks, error));
    for (json_value v = json_first(peaks); v.item; v = json_next(v)) {
        const char *what;
        double rate;
        TRY(json_require_string(v, "what", &what, error));
        TRY(read_number(v, "rate", &rate, error));
        if (strcmp(what, "matrix product") == 0) d->product_rate = rate;
        if (strcmp(what, "copy") == 0) d->copy_rate = rate;
    }
    return MZT_OK;
}

static mzt_status read_device(const base_host *host, json_value v, void *record, mzt_error *error) {
    file_device *d = record;
    TRY(json_require_string(v, "name", &d->name, error));
    TRY(json_get_string(v, "driver", "", &d->driver, error));
    TRY(json_require_string(v, "type", &d->type, error));
    TRY(read_peaks(v, d, error));
    return read_array(host, v, "networks", sizeof *d->networks, read_network, (void **)&d->networks,
                      &d->network_count, error);
}

static mzt_status read_root(bench_file *f, json_value root, mzt_error *error) {
    const char *format;
    int64_t version;
    json_value host;
    TRY(json_require_string(root, "format", &format, error));
    if (strcmp(format, "mezzotint-bench") != 0)
        return json_error(root, error, MZT_ERROR_FORMAT,
                          "no result of mezzotint bench: its format is not \"mezzotint-bench\"");
    TRY(json_require_int(root, "version", 1, 1, &version, error));
    TRY(json_get_string(root, "date", "", &f->date, error));
    TRY(json_get_string(root, "library", "", &f->library, error));
    TRY(json_get_string(root, "revision", "", &f->revision, error));
    TRY(json_get_string(root, "suite", "", &f->suite, error));
    TRY(json_require_object(root, "host", &host, error));
    TRY(json_get_string(host, "processor", "", &f->processor, error));
    TRY(json_get_double(host, "load", -1, &f->load, error));
    if (!isfinite(f->load)) f->load = -1;
    return read_array(f->host, root, "devices", sizeof *f->devices, read_device, (void **)&f->devices,
                      &f->device_count, error);
}

mzt_status bench_file_read(const base_host *host, const char *path, bench_file *out, mzt_error *error) {
    *out = (bench_file){.host = host, .path = path};
    mzt_status status = json_read(host, path, &out->doc, error);
    if (status >= 0) status = read_root(out, json_root(out->doc), error);
    if (status < 0) bench_file_destroy(out);
    return status;
}

void bench_file_destroy(bench_file *file) {
    for (uint32_t d = 0; d < file->device_count; d++) {
        file_device *device = &file->devices[d];
        for (uint32_t n = 0; n < device->network_count; n++) {
            host_free(file->host, device->networks[n].ops);
            host_free(file->host, device->networks[n].kernels);
        }
        host_free(file->host, device->networks);
    }
    if (file->host) host_free(file->host, file->devices);
    json_destroy(file->doc);
    *file = (bench_file){0};
}
