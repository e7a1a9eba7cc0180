/* mezzotint generate: a prompt in, a PNG out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/threads.h"
#include "generate_command.h"
#include "image/png.h"
#include "model_path.h"

enum { SIDE = GENERATE_SIDE_MAX, STEPS = SAMPLER_STEPS_MAX };

/* "0.1-0.9" */
static mzt_status parse_interval(const char *text, double interval[2], mzt_error *error) {
    char begin[32] = "";
    const char *dash = strchr(text, '-');
    if (dash && dash - text < 31) snprintf(begin, sizeof begin, "%.*s", (int)(dash - text), text);
    if (dash && parameters_number(begin, &interval[0]) && parameters_number(dash + 1, &interval[1]))
        return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID,
                     "--guidance-interval %s: expected two shares of the steps, such as 0.2-0.8", text);
}

static mzt_status parse_tile(const char *text, model_wrap *tile, mzt_error *error) {
    bool x = strcmp(text, "x") == 0, y = strcmp(text, "y") == 0, both = strcmp(text, "xy") == 0;
    if (!x && !y && !both) return error_set(error, MZT_ERROR_INVALID, "--tile %s: expected x, y or xy", text);
    *tile = (model_wrap){x || both, y || both};
    return MZT_OK;
}

/* The outputs are tried before the work, not after it. */
static mzt_status check_writable(const base_host *host, const char *path, mzt_error *error) {
    file_writer *writer;
    if (!path) return MZT_OK;
    TRY(file_writer_open(host, path, &writer, error));
    file_writer_abandon(writer);
    return MZT_OK;
}

static mzt_status read_picture(const base_host *host, const char *path, image *out,
                               char hash[FILE_HASH_DIGITS + 1], mzt_error *error) {
    TRY(image_png_read(host, path, NULL, out, NULL, error));
    return file_hash(path, NULL, hash, error);
}

static mzt_status read_pictures(generate_command *c, mzt_error *error) {
    if (c->init_file) {
        TRY(read_picture(c->host, c->init_file, &c->init_image, c->init_hash, error));
        c->request.init_image = &c->init_image;
    }
    if (c->mask_file) {
        TRY(read_picture(c->host, c->mask_file, &c->mask, c->mask_hash, error));
        c->request.mask = &c->mask;
    }
    if (!c->from) return MZT_OK;
    const char *missing =
        !c->init_file && parameters_find(&c->past, "Denoising strength") ? "init-image" : NULL;
    if (!c->mask_file && parameters_find(&c->past, "Mask hash")) missing = "mask";
    if (!missing) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "%s was made from another picture: give it with --%s", c->from,
                     missing);
}

/* What options say in words of their own goes into the request. */
static mzt_status complete_request(generate_command *c, mzt_error *error) {
    generate_request *r = &c->request;
    if (c->precision_name) TRY(precision_parse(c->precision_name, &r->precision, error));
    if (c->rng_name && !random_kind_find(c->rng_name, &r->rng))
        return error_set(error, MZT_ERROR_INVALID,
                         "unknown generator '%s': expected philox, torch-cpu or torch-cuda", c->rng_name);
    if (c->interval) TRY(parse_interval(c->interval, r->guidance_interval, error));
    if (c->tile) TRY(parse_tile(c->tile, &r->tile, error));
    if (c->steps_given) r->sigmas = NULL; /* those of --from */
    if (c->sigma_list) {
        double *given;
        TRY(generate_sigmas_parse(c->host, c->sigma_list, &given, &r->sigma_count, error));
        host_free(c->host, c->sigmas);
        r->sigmas = c->sigmas = given;
    }
    uint64_t clock = (uint64_t)(clock_seconds() * 1e6) % 1000000000;
    if (!c->seed_given) r->seed = clock;
    if (!c->variation_given) r->variation_seed = clock;
    r->trajectory = c->trajectory != NULL;
    if (c->preview_kind) TRY(terminal_kind_parse(c->preview_kind, &c->terminal.kind, error));
    c->preview = c->preview || c->preview_kind;
    if (c->preview) c->terminal = terminal_open(c->host, stderr, c->terminal.kind);
    c->preview = c->terminal.kind != TERMINAL_NONE;
    c->quiet = c->quiet || c->json;
    return read_pictures(c, error);
}

/* Finds the model's folder. --from remembers a model by name and hash, not by its place. */
static mzt_status find_model(generate_command *c, mzt_error *error) {
    const char *name = c->from ? parameters_find(&c->past, "Model") : NULL;
    mzt_status status = model_path_find(c->host, c->model_option, &c->model, error);
    if (c->model_option || !name) return status;
    if (status >= 0 && strcmp(name, generate_model_name(c->model)) == 0) return MZT_OK;
    char shown[80];
    return error_set(error, MZT_ERROR_INVALID, "%s was made with model \"%s\": give its folder with --model",
                     c->from, error_text(shown, sizeof shown, name));
}

static mzt_status run(generate_command *c, mzt_error *error) {
    generate_result result = {0};
    mzt_status status = check_writable(c->host, c->output, error);
    if (status >= 0) status = check_writable(c->host, c->trajectory, error);
    if (status >= 0) status = generate_run(c, &result, error);
    if (status >= 0) status = generate_save(c, &result, error);
    if (status >= 0 && c->json) status = generate_print_json(c, &result, error);
    generate_result_destroy(&result);
    return status;
}

/* The options that decide the picture. Both functions fill `options` and return how many they are. */
static uint32_t list_picture_options(generate_command *c, option *options) {
    generate_request *r = &c->request;
    const option list[] = {
        {0, "negative", "TEXT", "what the picture should not show", OPTION_TEXT, &r->negative, 0, 0, NULL},
        {'W', "width", "PIXELS", "default: the init image's, or the model's own size", OPTION_COUNT,
         &r->width, 8, SIDE, NULL},
        {'H', "height", "PIXELS", "likewise", OPTION_COUNT, &r->height, 8, SIDE, NULL},
        {0, "steps", "N", "denoising steps; default 20", OPTION_COUNT, &r->steps, 1, STEPS, &c->steps_given},
        {0, "sampler", "NAME", "default: the model's own; see docs/samplers.md", OPTION_TEXT, &r->sampler, 0,
         0, NULL},
        {0, "schedule", "NAME", "default, karras, exponential, sgm_uniform, simple, beta or ays", OPTION_TEXT,
         &r->schedule, 0, 0, &c->steps_given},
        {0, "sigmas", "S,S,...", "noise levels of one's own, from the first to the last", OPTION_TEXT,
         &c->sigma_list, 0, 0, NULL},
        {0, "eta", "E", "fresh noise of samplers that take any; default: the sampler's own", OPTION_NUMBER,
         &r->eta, 0, 10, NULL},
        {0, "s-noise", "S", "factor on fresh noise; default: the sampler's own", OPTION_NUMBER, &r->s_noise,
         0, 10, NULL},
        {'g', "guidance", "G", "classifier-free guidance; default 7.5, 1 turns it off", OPTION_NUMBER,
         &r->guidance, 0, 100, NULL},
        {0, "guidance-rescale", "PHI", "0 to 1: takes back the contrast that guidance adds", OPTION_NUMBER,
         &r->guidance_rescale, 0, 1, NULL},
        {0, "guidance-interval", "A-B", "guide between these shares of the steps only", OPTION_TEXT,
         &c->interval, 0, 0, NULL},
        {0, "clip-skip", "N", "take the text encoder's Nth layer from the end; default 1", OPTION_COUNT,
         &r->clip_skip, 1, 64, NULL},
        {0, "plain-prompt", NULL, "brackets and BREAK are text, not weights", OPTION_FLAG, &r->plain_prompt,
         0, 0, NULL},
        {'s', "seed", "N", "default: from the clock, and printed", OPTION_SEED, &r->seed, 0, 0,
         &c->seed_given},
        {0, "variation-seed", "N", "the seed that --variation-strength turns to", OPTION_SEED,
         &r->variation_seed, 0, 0, &c->variation_given},
        {0, "variation-strength", "V", "0 to 1: how far the noise is turned to it", OPTION_NUMBER,
         &r->variation_strength, 0, 1, NULL},
        {0, "rng", "NAME", "philox, torch-cpu or torch-cuda; default philox", OPTION_TEXT, &c->rng_name, 0, 0,
         NULL},
        {'i', "init-image", "FILE.png", "start from a picture", OPTION_TEXT, &c->init_file, 0, 0, NULL},
        {0, "strength", "S", "0 to 1: how much of the picture may change; default 0.75", OPTION_NUMBER,
         &r->strength, 0, 1, NULL},
        {0, "mask", "FILE.png", "of the init image's size: repaint what is white", OPTION_TEXT, &c->mask_file,
         0, 0, NULL},
        {0, "tile", "x|y|xy", "a picture whose edges fit together", OPTION_TEXT, &c->tile, 0, 0, NULL},
    };
    memcpy(options, list, sizeof list);
    return sizeof list / sizeof *list;
}

/* Where things come from and go to. */
static uint32_t list_run_options(generate_command *c, option *options) {
    const option list[] = {
        {'o', "output", "FILE.png", "where the picture goes; default mezzotint.png", OPTION_TEXT, &c->output,
         0, 0, NULL},
        {'m', "model", "MODEL", "a model folder; default: the model that ships", OPTION_TEXT,
         &c->model_option, 0, 0, NULL},
        {0, "lora", "FILE[:SCALE]", "a LoRA file; may be repeated; or <lora:NAME:SCALE> in PROMPT",
         OPTION_TEXT, &c->lora, 0, 0, NULL},
        {0, "lora-dir", "DIR", "where <lora:NAME> is looked for; default: MODEL/loras, loras beside MODEL",
         OPTION_TEXT, &c->lora_folder, 0, 0, NULL},
        {0, "from", "FILE.png", "repeat a picture; other options override what it says", OPTION_TEXT,
         &c->from, 0, 0, NULL},
        {'n', "count", "N", "pictures, of consecutive seeds, in one run", OPTION_COUNT, &c->request.count, 1,
         GENERATE_COUNT_MAX, NULL},
        {'p', "preview", NULL, "watch the picture come about in the terminal", OPTION_FLAG, &c->preview, 0, 0,
         NULL},
        {0, "preview-as", "KIND", "blocks, kitty or sixel, whatever the terminal says", OPTION_TEXT,
         &c->preview_kind, 0, 0, NULL},
        {0, "trajectory", "FILE.png", "a sheet of what each step took the picture to be", OPTION_TEXT,
         &c->trajectory, 0, 0, NULL},
        {0, "device", "D", "see mezzotint devices; default auto", OPTION_TEXT, &c->device, 0, 0, NULL},
        {0, "precision", "P", "auto, f32, f16 or bf16; default auto", OPTION_TEXT, &c->precision_name, 0, 0,
         NULL},
        {0, "memory", "LIMIT", "device memory to hold at most, such as 4G or 900M", OPTION_TEXT, &c->memory,
         0, 0, NULL},
        {'q', "quiet", NULL, "print nothing but errors", OPTION_FLAG, &c->quiet, 0, 0, NULL},
        {0, "json", NULL, "print parameters and timings as one JSON object", OPTION_FLAG, &c->json, 0, 0,
         NULL},
    };
    memcpy(options, list, sizeof list);
    return sizeof list / sizeof *list;
}

/* Reads the arguments over what stands in *c. */
static mzt_status read_options(generate_command *c, int argc, char **argv, const char **prompt,
                               uint32_t *prompts, mzt_error *error) {
    option options[64];
    uint32_t count = list_run_options(c, options);
    count += list_picture_options(c, options + count);
    count += model_choice_list(&c->parts, options + count);
    const option_set set = {
        "generate",
        "PROMPT",
        "Makes a picture of PROMPT (\"\" for any picture).",
        "examples: mezzotint generate \"a red apple\" -o apple.png --seed 7\n"
        "          mezzotint generate \"a (green:1.3) apple\" -i apple.png --strength 0.6\n"
        "          mezzotint generate --from apple.png --steps 40 -o finer.png",
        options,
        count,
        0,
        1};
    return options_parse(&set, argc, argv, prompt, prompts, error);
}

static void reset(generate_command *c, command_context *context) {
    *c = (generate_command){.host = &context->host,
                            .output = "mezzotint.png",
                            .device = "auto",
                            .request = generate_request_default()};
    c->request.prompt = c->request.negative = "";
}

static void destroy(generate_command *c) {
    parameters_destroy(&c->past);
    lora_choice_release(c->host, &c->loras);
    model_choice_free(c->host, &c->parts);
    image_free(c->host, &c->init_image);
    image_free(c->host, &c->mask);
    host_free(c->host, c->sigmas);
    host_free(c->host, c->model);
}

mzt_status command_generate(command_context *context, int argc, char **argv, mzt_error *error) {
    generate_command c;
    const char *prompt = NULL, *from;
    uint32_t prompts;
    reset(&c, context);
    mzt_status status = read_options(&c, argc, argv, &prompt, &prompts, error);
    if (status != MZT_OK) return status;
    from = c.from;
    if (!from && prompts == 0)
        return error_set(error, MZT_ERROR_INVALID,
                         "expected PROMPT, or --from FILE.png (see mezzotint generate --help)");
    if (from) { /* the picture's parameters, then the options once more on top of them */
        reset(&c, context);
        status = generate_from(&c, from, error);
        if (status >= 0) status = read_options(&c, argc, argv, &prompt, &prompts, error);
    }
    if (prompts) c.request.prompt = prompt;
    if (status >= 0) status = complete_request(&c, error);
    if (status >= 0) status = find_model(&c, error);
    if (status >= 0)
        status = lora_choose(c.host, argc, argv, c.request.prompt, c.request.negative, c.lora_folder, c.model,
                             &c.loras, error);
    if (status >= 0) c.request.prompt = c.loras.prompt;
    if (status >= 0) status = run(&c, error);
    destroy(&c);
    return status;
}
