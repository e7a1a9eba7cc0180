/* mezzotint noise: the forward process, a picture turning into noise as a network sees it in training. In the
 * picture's own pixels: x_t = sqrt(a) x_0 + sqrt(1 - a) n, with a the product of (1 - beta) up to t. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "image/png.h"
#include "image/sheet.h"
#include "sample/random.h"
#include "sample/schedule.h"

enum { NOISE_STEPS = 64, CAPTION_SIZE = 64 };

typedef struct noise_command {
    const base_host *host;
    const char *output, *schedule;
    uint32_t steps, side;
    uint64_t seed;
    image tiles[NOISE_STEPS + 1];
    char words[NOISE_STEPS + 1][CAPTION_SIZE];
} noise_command;

static mzt_status make_table(const noise_command *c, noise_table *table, mzt_error *error) {
    static const char *const names[] = {"linear", "scaled-linear", "cosine"};
    sampler_config config = sampler_config_default(SAMPLER_DDPM);
    int kind = 0;
    while (kind < 3 && strcmp(c->schedule, names[kind]) != 0)
        kind++;
    if (kind == 3)
        return error_set(error, MZT_ERROR_INVALID,
                         "unknown schedule '%s': expected linear, scaled-linear or cosine", c->schedule);
    config.betas = (beta_schedule)kind;
    if (config.betas == BETAS_SCALED_LINEAR) {
        config.beta_start = 0.00085; /* as Stable Diffusion was trained */
        config.beta_end = 0.012;
    }
    return noise_table_create(c->host, &config, table, error);
}

/* The picture, at most `side` pixels wide, in RGB. */
static mzt_status read_picture(const noise_command *c, const char *file, image *out, mzt_error *error) {
    static const uint8_t white[3] = {255, 255, 255};
    image read = {0}, small = {0};
    mzt_status status = image_png_read(c->host, file, NULL, &read, NULL, error);
    uint32_t width = read.width, height = read.height;
    if (status >= 0 && width > c->side) {
        height = (uint32_t)(((uint64_t)height * c->side + width / 2) / width);
        width = c->side;
    }
    if (status >= 0)
        status = image_resize(c->host, &read, width, height ? height : 1, IMAGE_LANCZOS, &small, error);
    if (status >= 0) status = image_over_colour(c->host, &small, white, out, error);
    image_free(c->host, &read);
    image_free(c->host, &small);
    return status;
}

static mzt_status make_tiles(noise_command *c, const image *picture, const noise_table *table,
                             mzt_error *error) {
    const uint64_t count = (uint64_t)picture->width * picture->height * 3;
    float *clean = host_calloc(c->host, 3 * (size_t)count, sizeof *clean), *noise = clean + count,
          *mixed = noise + count;
    if (!clean) return error_memory(error, "noise", 3 * count * sizeof *clean);
    image_to_floats(picture, 3, clean);
    random_normals(c->seed, 0, 0, count, noise);
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; status >= 0 && i <= c->steps; i++) {
        /* step i of n stands at the training timestep i / n of the way; before the first there is no noise */
        uint32_t t = (uint32_t)((uint64_t)i * table->count / c->steps);
        double a = t ? table->alpha_bars[t - 1] : 1, signal = sqrt(a), rest = sqrt(1 - a);
        for (uint64_t k = 0; k < count; k++)
            mixed[k] = (float)(signal * (double)clean[k] + rest * (double)noise[k]);
        if (t == 0)
            snprintf(c->words[i], CAPTION_SIZE, "the picture x");
        else if (signal < 0.005)
            snprintf(c->words[i], CAPTION_SIZE, "t = %u: pure noise n", t);
        else
            snprintf(c->words[i], CAPTION_SIZE, "t = %u: %.2f x + %.2f n", t, signal, rest);
        status = image_from_floats(c->host, mixed, picture->width, picture->height, 3, &c->tiles[i], error);
    }
    host_free(c->host, clean);
    return status;
}

static mzt_status run(noise_command *c, const char *file, mzt_error *error) {
    noise_table table = {0};
    image picture = {0}, strip = {0};
    const char *captions[NOISE_STEPS + 1];
    for (uint32_t i = 0; i <= c->steps; i++)
        captions[i] = c->words[i];
    mzt_status status = make_table(c, &table, error);
    if (status >= 0) status = read_picture(c, file, &picture, error);
    if (status >= 0) status = make_tiles(c, &picture, &table, error);
    const sheet_options options = {.columns = c->steps < 8 ? c->steps + 1 : 0,
                                   .scale = picture.width >= 200 ? 2 : 0};
    if (status >= 0) status = sheet_make(c->host, c->tiles, captions, c->steps + 1, &options, &strip, error);
    if (status >= 0) status = image_png_write(c->host, c->output, &strip, NULL, error);
    if (status >= 0) printf("%s: %u pictures, %s schedule\n", c->output, c->steps + 1, c->schedule);
    for (uint32_t i = 0; i <= c->steps; i++)
        image_free(c->host, &c->tiles[i]);
    image_free(c->host, &picture);
    image_free(c->host, &strip);
    noise_table_destroy(c->host, &table);
    return status;
}

mzt_status command_noise(command_context *context, int argc, char **argv, mzt_error *error) {
    const char *file = NULL;
    noise_command *c = host_calloc(&context->host, 1, sizeof *c);
    if (!c) return error_memory(error, "noise", sizeof *c);
    *c = (noise_command){
        .host = &context->host, .output = "noise.png", .schedule = "cosine", .steps = 4, .side = 256};
    const option options[] = {
        {'o', "output", "FILE.png", "where the strip goes; default noise.png", OPTION_TEXT, &c->output, 0, 0,
         NULL},
        {0, "steps", "N", "from the picture to pure noise; default 4", OPTION_COUNT, &c->steps, 1,
         NOISE_STEPS, NULL},
        {0, "schedule", "NAME", "cosine, linear or scaled-linear (Stable Diffusion's); default cosine",
         OPTION_TEXT, &c->schedule, 0, 0, NULL},
        {0, "tile", "PIXELS", "scale a larger picture down to this width; default 256", OPTION_COUNT,
         &c->side, 8, 4096, NULL},
        {'s', "seed", "N", "of the noise; default 0", OPTION_SEED, &c->seed, 0, 0, NULL},
    };
    const option_set set = {
        "noise",
        "IMAGE.png",
        "Shows a picture turning into noise: the process that a diffusion network learns to run backwards.",
        "Under each picture: how much of the picture x and of the noise n is in it.",
        options,
        sizeof options / sizeof *options,
        1,
        1};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, &file, &operand_count, error);
    if (status == MZT_OK) status = run(c, file, error);
    host_free(&context->host, c);
    return status;
}
