/* Results as JSON; see report.h. */
#include "bench/report.h"

void bench_shares(const bench_result *r, bench_op_share shares[OP_COUNT]) {
    for (int o = 0; o < OP_COUNT; o++)
        shares[o] = (bench_op_share){0};
    for (uint32_t i = 0; i < r->kernel_count; i++) {
        const bench_kernel *k = &r->kernels[i];
        bench_op_share *s = &shares[k->op];
        s->seconds += k->in_step * k->count;
        s->flops += k->flops * k->count;
        s->bytes += k->bytes * k->count;
        s->count += k->count;
    }
}

static void write_timing(json_writer *w, const char *key, const timing *t) {
    json_write_object(w, key);
    json_write_double(w, "median", t->median);
    json_write_double(w, "low", t->low);
    json_write_double(w, "high", t->high);
    json_write_double(w, "least", t->least);
    json_write_uint(w, "runs", t->runs);
    json_write_end_object(w);
}

static void write_kernel(json_writer *w, const bench_kernel *k) {
    json_write_object(w, NULL);
    json_write_string(w, "op", op_get(k->op)->name);
    json_write_string(w, "shape", k->shape);
    json_write_string(w, "node", k->node);
    json_write_uint(w, "count", k->count);
    json_write_uint(w, "flops", k->flops);
    json_write_uint(w, "bytes", k->bytes);
    json_write_double(w, "in_step", k->in_step);
    if (k->time.runs) write_timing(w, "seconds", &k->time);
    if (k->checked) {
        json_write_double(w, "error", k->error);
        json_write_double(w, "limit", k->limit);
        json_write_bool(w, "wrong", k->wrong);
    }
    json_write_end_object(w);
}

static void write_result(json_writer *w, const bench_result *r) {
    bench_op_share shares[OP_COUNT];
    json_write_object(w, NULL);
    json_write_string(w, "model", r->network.model->name);
    json_write_string(w, "network", bench_part_name(r->network.part));
    json_write_uint(w, "batch", r->network.batch);
    json_write_uint(w, "size", r->network.size);
    write_timing(w, "seconds", &r->time);
    json_write_double(w, "device_seconds", r->device_seconds);
    json_write_double(w, "setup_seconds", r->setup_seconds);
    json_write_double(w, "compile_seconds", r->compile_seconds);
    json_write_double(w, "prepare_seconds", r->prepare_seconds);
    json_write_uint(w, "parameters", r->parameters);
    json_write_uint(w, "flops", r->flops);
    json_write_uint(w, "bytes", r->bytes);
    json_write_uint(w, "memory", r->memory);
    json_write_uint(w, "dispatches", r->dispatches);
    json_write_uint(w, "barriers", r->barriers);
    json_write_bool(w, "stopped", r->stopped);
    json_write_bool(w, "wrong", r->wrong);
    json_write_array(w, "ops");
    bench_shares(r, shares);
    for (int o = 0; o < OP_COUNT; o++) {
        if (shares[o].count == 0) continue;
        json_write_object(w, NULL);
        json_write_string(w, "op", op_get((op)o)->name);
        json_write_double(w, "seconds", shares[o].seconds);
        json_write_uint(w, "flops", shares[o].flops);
        json_write_uint(w, "bytes", shares[o].bytes);
        json_write_uint(w, "count", shares[o].count);
        json_write_end_object(w);
    }
    json_write_end_array(w);
    json_write_array(w, "kernels");
    for (uint32_t i = 0; i < r->kernel_count; i++)
        write_kernel(w, &r->kernels[i]);
    json_write_end_array(w);
    json_write_end_object(w);
}

static void write_device(json_writer *w, const bench_device_result *d) {
    json_write_object(w, NULL);
    json_write_string(w, "name", d->limits.name);
    json_write_string(w, "driver", d->limits.driver);
    json_write_string(w, "spec", d->limits.spec);
    json_write_uint(w, "tier", d->limits.tier);
    json_write_bool(w, "gpu", d->limits.is_gpu);
    json_write_string(w, "type", dtype_name(d->type));
    json_write_array(w, "peaks");
    for (uint32_t i = 0; i < d->peaks.count; i++) {
        json_write_object(w, NULL);
        json_write_string(w, "what", d->peaks.list[i].what);
        json_write_string(w, "unit", d->peaks.list[i].unit);
        json_write_double(w, "rate", d->peaks.list[i].rate);
        json_write_end_object(w);
    }
    json_write_end_array(w);
    json_write_array(w, "networks");
    for (uint32_t i = 0; i < d->count; i++)
        write_result(w, &d->results[i]);
    json_write_end_array(w);
    json_write_end_object(w);
}

void bench_report_write(json_writer *w, const bench_report *report) {
    json_write_object(w, NULL);
    json_write_string(w, "format", BENCH_FORMAT);
    json_write_uint(w, "version", 1);
    json_write_string(w, "date", report->facts.date);
    json_write_string(w, "library", MZT_VERSION_STRING);
    json_write_string(w, "revision", report->revision);
    json_write_string(w, "suite", report->suite);
    bench_facts_write(w, "host", &report->facts);
    json_write_array(w, "devices");
    for (uint32_t i = 0; i < report->count; i++)
        write_device(w, &report->devices[i]);
    json_write_end_array(w);
    json_write_end_object(w);
}
