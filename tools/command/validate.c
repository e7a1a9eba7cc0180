/* mezzotint validate: hold a device against the reference, node by node. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "json/json_write.h"
#include "model_path.h"
#include "pipeline/stored.h"
#include "pipeline/validate.h"
#include "plan/op.h"
#include "progress.h"

/* The worst row of each op, and every failed row. */
typedef struct collector {
    bool json, all;
    json_writer writer;
    progress bar;
    struct {
        uint32_t rows, failed;
        double error, limit;
    } ops[OP_COUNT];
} collector;

static void write_row(json_writer *w, const mzt_validate_row *row) {
    json_write_object(w, NULL);
    json_write_string(w, "component", row->component);
    json_write_uint(w, "dispatch", row->index);
    json_write_string(w, "node", row->node);
    json_write_string(w, "op", row->op);
    json_write_double(w, "error", row->error);
    json_write_double(w, "limit", row->limit);
    json_write_bool(w, "passed", row->passed != 0);
    json_write_end_object(w);
}

static int on_row(void *user, const mzt_validate_row *row) {
    collector *c = user;
    op o = op_find(row->op);
    if (o < OP_COUNT) {
        c->ops[o].rows++;
        c->ops[o].failed += !row->passed;
        if (row->error > c->ops[o].error) c->ops[o].error = row->error;
        c->ops[o].limit = row->limit;
    }
    if (c->json) {
        write_row(&c->writer, row);
    } else if (!row->passed || strcmp(row->node, "(whole)") == 0 || c->all) {
        progress_end(&c->bar);
        printf("%-6s %-15s %-18s error %.2e, limit %.1e  %s\n", row->passed ? "ok" : "FAILED", row->component,
               row->op, row->error, row->limit, row->node);
    }
    c->bar.label = row->component;
    progress_update(&c->bar, row->share, 1);
    return command_interrupted();
}

static void print_ops(const collector *c) {
    printf("\n%-20s %6s %7s %12s %9s\n", "op", "nodes", "failed", "worst error", "limit");
    for (int i = 0; i < OP_COUNT; i++)
        if (c->ops[i].rows)
            printf("%-20s %6u %7u %12.2e %9.1e\n", op_get((op)i)->name, c->ops[i].rows, c->ops[i].failed,
                   c->ops[i].error, c->ops[i].limit);
}

static mzt_status print_json(collector *c, const mzt_device_info *limits, const mzt_validate_summary *s,
                             mzt_error *error) {
    json_write_end_array(&c->writer);
    json_write_string(&c->writer, "device", limits->name);
    json_write_string(&c->writer, "driver", limits->driver);
    json_write_uint(&c->writer, "tier", limits->tier);
    json_write_uint(&c->writer, "failed", s->failed);
    json_write_end_object(&c->writer);
    char *text;
    TRY(json_writer_finish(&c->writer, &text, NULL, error));
    puts(text);
    host_free(c->writer.host, text);
    return MZT_OK;
}

/* Prints what the summary comes to; MISMATCH where a check failed. */
static mzt_status conclude(collector *c, const mzt_device_info *device, const mzt_validate_summary *summary,
                           mzt_error *error) {
    if (c->json) TRY(print_json(c, device, summary, error));
    if (!c->json) print_ops(c);
    if (summary->failed)
        return error_set(error, MZT_ERROR_MISMATCH,
                         "%u of %u checks failed, first %s: node %s (%s): error %.2e, limit %.1e",
                         summary->failed, summary->rows, summary->first_component, summary->first_node,
                         summary->first_op, summary->first_error, summary->first_limit);
    if (!c->json) printf("\nall %u checks passed\n", summary->rows);
    return MZT_OK;
}

static mzt_status run(command_context *context, const char *path, const char *spec, mzt_weights stored,
                      mzt_validate_params *params, collector *c, mzt_error *error) {
    mzt_context *opened = NULL;
    mzt_model *m = NULL;
    mzt_device *d = NULL;
    mzt_device_info device = {.struct_size = sizeof device};
    mzt_validate_summary summary = {.struct_size = sizeof summary};
    mzt_model_params opening;
    mzt_hooks hooks = context->host.hooks;
    hooks.struct_size = sizeof hooks;
    mzt_model_params_init(&opening, sizeof opening);
    opening.weights = stored;
    params->struct_size = sizeof *params;
    mzt_status status = mzt_context_create(&hooks, &opened, error);
    if (status >= 0) status = mzt_model_open(opened, path, &opening, &m, error);
    if (status >= 0) status = mzt_device_open(opened, spec, &d, error);
    if (status >= 0) status = mzt_device_get_info(d, &device, error);
    if (status >= 0 && !c->json)
        printf("%s on %s%s%s%s against cpu-reference\n", path, device.name, device.driver[0] ? " (" : "",
               device.driver, device.driver[0] ? ")" : "");
    if (status >= 0) status = mzt_validate(m, d, params, &summary, error);
    progress_end(&c->bar);
    if (status >= 0) status = conclude(c, &device, &summary, error);
    mzt_device_destroy(d);
    mzt_model_close(m);
    mzt_context_destroy(opened);
    return status;
}

mzt_status command_validate(command_context *context, int argc, char **argv, mzt_error *error) {
    const char *path = NULL, *device = "auto", *precision_name = "auto", *weights_name = "auto";
    collector c = {.writer = json_writer_make(&context->host)};
    mzt_validate_params request = {.report = on_row, .user = &c};
    const option options[] = {
        {'m', "model", "MODEL", "a model folder; default: the model that ships", OPTION_TEXT, &path, 0, 0,
         NULL},
        {0, "device", "D", "see mezzotint devices; default auto", OPTION_TEXT, &device, 0, 0, NULL},
        {0, "precision", "P", "auto, f32, f16 or bf16; default auto", OPTION_TEXT, &precision_name, 0, 0,
         NULL},
        {0, "weights", "W", "how matrices are stored: auto, f32, f16, bf16, q8 or q4; default auto",
         OPTION_TEXT, &weights_name, 0, 0, NULL},
        {0, "size", "N", "latents of N x N run through the networks; default 16", OPTION_COUNT,
         &request.latent_size, 1, 4096, NULL},
        {0, "perturb", "NODE", "spoil this node's result (name or dispatch), to see the check fail",
         OPTION_TEXT, &request.perturb, 0, 0, NULL},
        {'v', "verbose", NULL, "print every node, not only failures", OPTION_FLAG, &c.all, 0, 0, NULL},
        {0, "json", NULL, "print one JSON object with every node", OPTION_FLAG, &c.json, 0, 0, NULL},
    };
    const option_set set = {
        "validate",
        "",
        "Runs every network of a model on a device and on cpu-reference, node by node from the same bytes, "
        "and\n"
        "names the first node whose relative error passes its limit. Exits 0 only if all pass.",
        NULL,
        options,
        8,
        0,
        0};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, NULL, &operand_count, error);
    if (status != MZT_OK) return status;
    precision wanted;
    TRY(precision_parse(precision_name, &wanted, error));
    weight_choice stored;
    TRY(weight_choice_parse(weights_name, &stored, error));
    char *found;
    TRY(model_path_find(&context->host, path, &found, error));
    if (c.json) {
        json_write_object(&c.writer, NULL);
        json_write_array(&c.writer, "nodes");
    }
    c.bar = progress_begin("validating", c.json);
    request.precision = (mzt_precision)wanted;
    status = run(context, found, device, (mzt_weights)stored, &request, &c, error);
    json_writer_discard(&c.writer);
    host_free(&context->host, found);
    return status;
}
