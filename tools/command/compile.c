/* mezzotint compile: a model for one kind of picture, in one file for the small runtime. */
#include <stdio.h>

#include "command.h"
#include "model_path.h"
#include "pipeline/generate.h"
#include "pipeline/stored.h"

typedef struct compile_options {
    const char *output, *device, *precision_name, *weights_name;
    mzt_job_params job;
    bool unguided, preview;
} compile_options;

static mzt_status compile(const base_host *host, const char *path, const compile_options *o,
                          mzt_error *error) {
    mzt_context *context = NULL;
    mzt_model *opened = NULL;
    mzt_device *device = NULL;
    mzt_model_params model_params;
    mzt_pipeline_params pipeline;
    mzt_hooks hooks = host->hooks;
    precision wanted;
    weight_choice stored;
    TRY(precision_parse(o->precision_name, &wanted, error));
    TRY(weight_choice_parse(o->weights_name, &stored, error));
    hooks.struct_size = sizeof hooks;
    mzt_model_params_init(&model_params, sizeof model_params);
    mzt_pipeline_params_init(&pipeline, sizeof pipeline);
    model_params.weights = (mzt_weights)stored;
    pipeline.precision = (mzt_precision)wanted;
    pipeline.shape = &o->job;
    mzt_status status = mzt_context_create(&hooks, &context, error);
    if (status >= 0) status = mzt_model_open(context, path, &model_params, &opened, error);
    if (status >= 0 && o->device) status = mzt_device_open(context, o->device, &device, error);
    if (status >= 0) status = mzt_model_compile(opened, device, &pipeline, o->output, error);
    mzt_device_destroy(device);
    mzt_model_close(opened);
    mzt_context_destroy(context);
    return status;
}

mzt_status command_compile(command_context *context, int argc, char **argv, mzt_error *error) {
    compile_options o = {.precision_name = "auto", .weights_name = "auto"};
    const char *operand = NULL;
    uint32_t operands;
    mzt_job_params_init(&o.job, sizeof o.job);
    enum { SIDE = GENERATE_SIDE_MAX, STEPS = SAMPLER_STEPS_MAX };
    const option options[] = {
        {'o', "output", "FILE.plan", "where the compiled model goes", OPTION_TEXT, &o.output, 0, 0, NULL},
        {'W', "width", "PIXELS", "default: the model's own size", OPTION_COUNT, &o.job.width, 8, SIDE, NULL},
        {'H', "height", "PIXELS", "likewise", OPTION_COUNT, &o.job.height, 8, SIDE, NULL},
        {'n', "count", "N", "pictures of one run; default 1", OPTION_COUNT, &o.job.count, 1,
         GENERATE_COUNT_MAX, NULL},
        {0, "steps", "N", "denoising steps; default 20", OPTION_COUNT, &o.job.steps, 1, STEPS, NULL},
        {0, "sampler", "NAME", "default: the model's own", OPTION_TEXT, &o.job.sampler, 0, 0, NULL},
        {0, "schedule", "NAME", "likewise", OPTION_TEXT, &o.job.schedule, 0, 0, NULL},
        {0, "unguided", NULL, "for guidance 1: half the work a step", OPTION_FLAG, &o.unguided, 0, 0, NULL},
        {0, "preview", NULL, "with what previews take", OPTION_FLAG, &o.preview, 0, 0, NULL},
        {0, "precision", "P", "auto, f32, f16 or bf16; default auto", OPTION_TEXT, &o.precision_name, 0, 0,
         NULL},
        {0, "weights", "W", "how matrices are stored: auto, f32, f16, bf16, q8 or q4; default auto",
         OPTION_TEXT, &o.weights_name, 0, 0, NULL},
        {0, "device", "D", "compile for this one's limits; default: any", OPTION_TEXT, &o.device, 0, 0, NULL},
    };
    const option_set set = {
        "compile",
        "[MODEL]",
        "Writes plans, weights and vocabulary of MODEL (default: the one that ships) for one "
        "kind of picture\ninto one file, which libmezzotint-runtime maps and runs.",
        "example: mezzotint compile models/sprite -W 64 -H 64 --steps 12 -o sprite.plan",
        options,
        sizeof options / sizeof *options,
        0,
        1};
    mzt_status status = options_parse(&set, argc, argv, &operand, &operands, error);
    if (status != MZT_OK) return status;
    if (!o.output) return error_set(error, MZT_ERROR_INVALID, "expected --output FILE.plan");
    if (o.unguided) o.job.guidance = 1;
    o.job.preview = o.preview;
    char *path;
    TRY(model_path_find(&context->host, operand, &path, error));
    status = compile(&context->host, path, &o, error);
    host_free(&context->host, path);
    return status;
}
