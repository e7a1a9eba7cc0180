/* mezzotint generate: a prompt in, a PNG out. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/threads.h"
#include "command.h"
#include "image/png.h"
#include "json/json_write.h"
#include "model_path.h"
#include "pipeline/generate.h"
#include "progress.h"

typedef struct generate_command {
    command_context *context;
    const char *model, *output, *device, *precision_name, *rng_name;
    bool json, quiet, seed_given;
    generate_request request;
    progress bar;
    generate_phase shown;
} generate_command;

static const char *const phase_labels[] = {"reading the prompt", "preparing", "denoising", "decoding"};

static bool on_progress(void *user, generate_phase phase, double share, uint32_t step, uint32_t steps) {
    generate_command *c = user;
    (void)step;
    (void)steps;
    if (phase != c->shown) {
        progress_end(&c->bar);
        c->bar = progress_begin(phase_labels[phase], c->quiet);
        c->shown = phase;
    }
    progress_update(&c->bar, share, 1);
    return !command_interrupted();
}

/* "picture.png" stays for one picture; of several the second is "picture-2.png". */
static void output_name(const generate_command *c, uint32_t index, char *name, size_t size) {
    const char *dot = strrchr(c->output, '.');
    if (c->request.count <= 1 || index == 0)
        snprintf(name, size, "%s", c->output);
    else if (dot && !strchr(dot, '/'))
        snprintf(name, size, "%.*s-%u%s", (int)(dot - c->output), c->output, index + 1, dot);
    else
        snprintf(name, size, "%s-%u", c->output, index + 1);
}

/* The text chunk that other programs of the field read. */
static mzt_status add_parameters(const generate_command *c, const generate_result *r, uint32_t index, image_text_list *text,
                                 mzt_error *error) {
    const generate_request *q = &c->request;
    const size_t size = strlen(q->prompt) + strlen(q->negative) + 512;
    char *line = host_calloc(&c->context->host, size, 1);
    if (!line) return error_memory(error, "parameters", size);
    const char *name = strrchr(c->model, '/');
    snprintf(line, size,
             "%s%s%s\nSteps: %u, Sampler: %s, Schedule type: %s, CFG scale: %g, Seed: %llu, Size: %ux%u, Model: %s, RNG: %s, "
             "Version: mezzotint %s",
             q->prompt, q->negative[0] ? "\nNegative prompt: " : "", q->negative, r->steps, r->sampler, r->schedule, q->guidance,
             (unsigned long long)(q->seed + index), r->width, r->height, name && name[1] ? name + 1 : c->model,
             random_kind_name(q->rng), MZT_VERSION_STRING);
    mzt_status status = image_text_add(&c->context->host, text, "parameters", line, error);
    host_free(&c->context->host, line);
    return status;
}

static mzt_status print_json(const generate_command *c, const executor_limits *device, const generate_result *r, mzt_error *error) {
    json_writer w = json_writer_make(&c->context->host);
    json_write_object(&w, NULL);
    json_write_array(&w, "images");
    for (uint32_t i = 0; i < r->count; i++) {
        char name[4096];
        output_name(c, i, name, sizeof name);
        json_write_object(&w, NULL);
        json_write_string(&w, "file", name);
        json_write_uint(&w, "seed", c->request.seed + i);
        json_write_end_object(&w);
    }
    json_write_end_array(&w);
    json_write_string(&w, "prompt", c->request.prompt);
    json_write_string(&w, "negative", c->request.negative);
    json_write_string(&w, "model", c->model);
    json_write_string(&w, "device", device->name);
    json_write_string(&w, "precision", c->precision_name);
    json_write_uint(&w, "width", r->width);
    json_write_uint(&w, "height", r->height);
    json_write_uint(&w, "steps", r->steps);
    json_write_uint(&w, "evaluations", r->calls);
    json_write_double(&w, "guidance", c->request.guidance);
    json_write_string(&w, "sampler", r->sampler);
    json_write_string(&w, "schedule", r->schedule);
    json_write_string(&w, "rng", random_kind_name(c->request.rng));
    json_write_uint(&w, "device_bytes", r->device_bytes);
    json_write_object(&w, "seconds");
    json_write_double(&w, "text", r->text_seconds);
    json_write_double(&w, "prepare", r->prepare_seconds);
    json_write_double(&w, "denoise", r->denoise_seconds);
    json_write_double(&w, "decode", r->decode_seconds);
    json_write_end_object(&w);
    json_write_end_object(&w);
    char *line;
    TRY(json_writer_finish(&w, &line, NULL, error));
    puts(line);
    host_free(&c->context->host, line);
    return MZT_OK;
}

static mzt_status save(const generate_command *c, const generate_result *r, mzt_error *error) {
    for (uint32_t i = 0; i < r->count; i++) {
        char name[4096];
        image_text_list text = {0};
        output_name(c, i, name, sizeof name);
        mzt_status status = add_parameters(c, r, i, &text, error);
        if (status >= 0) status = image_png_write(&c->context->host, name, &r->images[i], &text, error);
        image_text_free(&c->context->host, &text);
        if (status < 0) return status;
        if (!c->json)
            printf("%s: %u x %u, seed %llu, %u steps of %s in %.2f s\n", name, r->width, r->height,
                   (unsigned long long)(c->request.seed + i), r->steps, r->sampler, r->denoise_seconds);
    }
    return MZT_OK;
}

/* The output is tried before the work, not after it. */
static mzt_status check_writable(const generate_command *c, mzt_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&c->context->host, c->output, &writer, error));
    file_writer_abandon(writer);
    return MZT_OK;
}

static mzt_status run(generate_command *c, mzt_error *error) {
    const base_host *host = &c->context->host;
    model *m = NULL;
    executor *e = NULL;
    generate_result result = {0};
    mzt_status status = check_writable(c, error);
    if (status >= 0) status = model_open(host, c->model, &m, error);
    if (status >= 0) status = device_open(host, c->device, &e, error);
    c->bar = progress_begin(phase_labels[0], c->quiet);
    if (status >= 0) status = pipeline_generate(m, e, &c->request, &result, error);
    progress_end(&c->bar);
    if (status >= 0) status = save(c, &result, error);
    if (status >= 0 && c->json) status = print_json(c, &e->limits, &result, error);
    generate_result_destroy(&result);
    executor_destroy(e);
    model_close(m);
    return status;
}

mzt_status command_generate(command_context *context, int argc, char **argv, mzt_error *error) {
    generate_command c = {.context = context, .output = "mezzotint.png", .device = "auto", .precision_name = "auto",
                          .rng_name = "philox", .request = generate_request_default()};
    generate_request *r = &c.request;
    const char *model_option = NULL;
    r->negative = "";
    const option options[] = {
        {'o', "output", "FILE.png", "where the picture goes; default mezzotint.png", OPTION_TEXT, &c.output, 0, 0, NULL},
        {'m', "model", "MODEL", "a model folder (diffusers layout); default: the model that ships", OPTION_TEXT, &model_option, 0, 0, NULL},
        {0, "negative", "TEXT", "what the picture should not show", OPTION_TEXT, &r->negative, 0, 0, NULL},
        {'W', "width", "PIXELS", "default: the model's own size", OPTION_COUNT, &r->width, 8, 8192, NULL},
        {'H', "height", "PIXELS", "default: the model's own size", OPTION_COUNT, &r->height, 8, 8192, NULL},
        {0, "steps", "N", "denoising steps; default 20", OPTION_COUNT, &r->steps, 1, 1000, NULL},
        {0, "guidance", "G", "classifier-free guidance; default 7.5, 1 turns it off", OPTION_NUMBER, &r->guidance, 0, 100, NULL},
        {0, "sampler", "NAME", "default: the model's own; see docs/samplers.md", OPTION_TEXT, &r->sampler, 0, 0, NULL},
        {0, "schedule", "NAME", "default, karras, exponential, sgm_uniform, simple, beta or ays", OPTION_TEXT, &r->schedule, 0, 0, NULL},
        {'s', "seed", "N", "default: from the clock, and printed", OPTION_SEED, &r->seed, 0, 0, &c.seed_given},
        {0, "rng", "NAME", "philox, torch-cpu or torch-cuda; default philox", OPTION_TEXT, &c.rng_name, 0, 0, NULL},
        {'n', "count", "N", "pictures, of consecutive seeds, in one run", OPTION_COUNT, &r->count, 1, 64, NULL},
        {0, "device", "D", "see mezzotint devices; default auto", OPTION_TEXT, &c.device, 0, 0, NULL},
        {0, "precision", "P", "auto, f32, f16 or bf16; default auto", OPTION_TEXT, &c.precision_name, 0, 0, NULL},
        {'q', "quiet", NULL, "no progress bar", OPTION_FLAG, &c.quiet, 0, 0, NULL},
        {0, "json", NULL, "print parameters and timings as one JSON object", OPTION_FLAG, &c.json, 0, 0, NULL},
    };
    const option_set set = {"generate", "PROMPT", "Makes a picture of PROMPT.",
                            "example:  mezzotint generate \"a red apple\" -o apple.png --seed 7", options,
                            sizeof options / sizeof *options, 1, 1};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, &r->prompt, &operand_count, error);
    if (status != MZT_OK) return status;
    TRY(precision_parse(c.precision_name, &r->precision, error));
    if (!random_kind_find(c.rng_name, &r->rng))
        return error_set(error, MZT_ERROR_INVALID, "unknown generator '%s': expected philox, torch-cpu or torch-cuda", c.rng_name);
    if (!c.seed_given) r->seed = (uint64_t)(clock_seconds() * 1e6) % 1000000000;
    char *path;
    TRY(model_path_find(&context->host, model_option, &path, error));
    c.model = path;
    c.quiet = c.quiet || c.json;
    r->progress = on_progress;
    r->user = &c;
    status = run(&c, error);
    host_free(&context->host, path);
    return status;
}
