/* What mezzotint generate leaves behind: pictures with their parameters, the trajectory's sheet, a line or a
 * JSON object. */
#include <stdio.h>
#include <string.h>

#include "generate_command.h"
#include "image/png.h"
#include "image/sheet.h"
#include "json/json_write.h"

enum { NAME_SIZE = 4096 };

/* "picture.png" stays for one picture; of several the second is "picture-2.png". */
static void output_name(const generate_command *c, uint32_t index, char *name, size_t size) {
    const char *dot = strrchr(c->output, '.');
    if (index == 0)
        snprintf(name, size, "%s", c->output);
    else if (dot && !strchr(dot, '/'))
        snprintf(name, size, "%.*s-%u%s", (int)(dot - c->output), c->output, index + 1, dot);
    else
        snprintf(name, size, "%s-%u", c->output, index + 1);
}

static uint64_t seed_of(const generate_command *c, uint32_t index) {
    return c->request.variation_strength > 0 ? c->request.seed : c->request.seed + index;
}

static mzt_status make_parameters(const generate_command *c, const generate_result *r, uint32_t index,
                                  parameters *p, mzt_error *error) {
    const generate_origin origin = {.model = generate_model_name(c->model),
                                    .model_hash = c->model_hash,
                                    .init_hash = c->init_hash,
                                    .mask_hash = c->mask_hash,
                                    .lora_hashes = c->loras.hashes};
    return generate_parameters_make(c->host, &c->request, r, &origin, index, p, error);
}

/* Writes a picture with the parameters of picture `index`. */
static mzt_status write_picture(const generate_command *c, const generate_result *r, uint32_t index,
                                const image *picture, const char *name, mzt_error *error) {
    parameters p = {0};
    image_text_list text = {0};
    char *line = NULL;
    mzt_status status = make_parameters(c, r, index, &p, error);
    if (status >= 0) status = parameters_format(&p, &line, error);
    if (status >= 0) status = image_text_add(c->host, &text, "parameters", line, error);
    if (status >= 0) status = image_png_write(c->host, name, picture, &text, error);
    host_free(c->host, line);
    image_text_free(c->host, &text);
    parameters_destroy(&p);
    return status;
}

/* The estimates side by side: a strip of up to 8, else a sheet. Small pictures are enlarged by a whole factor
 * to be seen. */
static mzt_status make_trajectory(const generate_command *c, const generate_result *r, image *sheet,
                                  mzt_error *error) {
    enum { SMALL = 128, LARGE = 256, STRIP = 8 };
    const uint32_t count = r->trajectory_count, factor = ceil_div(SMALL, r->width);
    image *tiles = host_calloc(c->host, count, sizeof *tiles);
    char(*words)[32] = host_calloc(c->host, count, sizeof *words);
    const char **captions = host_calloc(c->host, count, sizeof *captions);
    mzt_status status =
        tiles && words && captions ? MZT_OK : error_memory(error, "trajectory", count * sizeof *tiles);
    for (uint32_t i = 0; status >= 0 && i < count; i++) {
        snprintf(words[i], sizeof words[i], "step %u", i + 1);
        captions[i] = words[i];
        status = image_resize(c->host, &r->trajectory[i], r->width * factor, r->height * factor, IMAGE_AREA,
                              &tiles[i], error);
    }
    char title[200];
    snprintf(title, sizeof title, "%.100s%s%s, seed %llu", c->request.prompt,
             c->request.prompt[0] ? ": " : "", r->sampler, (unsigned long long)c->request.seed);
    const sheet_options options = {.columns = count <= STRIP ? count : 0,
                                   .title = json_is_utf8(title) ? title : r->sampler,
                                   .tile_width = r->width * factor > LARGE ? LARGE : 0};
    if (status >= 0) status = sheet_make(c->host, tiles, captions, count, &options, sheet, error);
    for (uint32_t i = 0; tiles && i < count; i++)
        image_free(c->host, &tiles[i]);
    host_free(c->host, tiles);
    host_free(c->host, words);
    host_free(c->host, captions);
    return status;
}

static mzt_status save_trajectory(const generate_command *c, const generate_result *r, mzt_error *error) {
    image sheet = {0};
    if (r->trajectory_count == 0)
        return error_set(error, MZT_ERROR_INVALID,
                         "--trajectory %s: at strength 0 there are no steps to show", c->trajectory);
    mzt_status status = make_trajectory(c, r, &sheet, error);
    if (status >= 0) status = write_picture(c, r, 0, &sheet, c->trajectory, error);
    if (status >= 0 && !c->json && !c->quiet)
        printf("%s: the estimate after each of %u steps\n", c->trajectory, r->trajectory_count);
    image_free(c->host, &sheet);
    return status;
}

mzt_status generate_save(generate_command *c, const generate_result *r, mzt_error *error) {
    char name[NAME_SIZE];
    if (c->preview) TRY(terminal_draw(&c->terminal, &r->images[0], error));
    for (uint32_t i = 0; i < r->count; i++) {
        output_name(c, i, name, sizeof name);
        TRY(write_picture(c, r, i, &r->images[i], name, error));
        if (c->json || c->quiet) continue;
        printf("%s: %u x %u, seed %llu, %u step%s of %s in %.2f s\n", name, r->width, r->height,
               (unsigned long long)seed_of(c, i), r->steps, r->steps == 1 ? "" : "s", r->sampler,
               r->denoise_seconds);
    }
    return c->trajectory ? save_trajectory(c, r, error) : MZT_OK;
}

static void write_seconds(json_writer *w, const generate_result *r) {
    json_write_object(w, "seconds");
    json_write_double(w, "text", r->text_seconds);
    json_write_double(w, "prepare", r->prepare_seconds);
    json_write_double(w, "denoise", r->denoise_seconds);
    json_write_double(w, "decode", r->decode_seconds);
    json_write_end_object(w);
}

static void write_request(json_writer *w, const generate_command *c, const generate_result *r) {
    const generate_request *q = &c->request;
    json_write_string(w, "prompt", q->prompt);
    json_write_string(w, "negative", q->negative);
    json_write_uint(w, "width", r->width);
    json_write_uint(w, "height", r->height);
    json_write_uint(w, "steps", r->steps);
    json_write_uint(w, "evaluations", r->calls);
    json_write_double(w, "guidance", q->guidance);
    json_write_bool(w, "guided", r->guided);
    json_write_double(w, "guidance_rescale", q->guidance_rescale);
    json_write_double(w, "guidance_begin", q->guidance_interval[0]);
    json_write_double(w, "guidance_end", q->guidance_interval[1]);
    json_write_string(w, "sampler", r->sampler);
    json_write_string(w, "schedule", r->schedule);
    json_write_string(w, "rng", random_kind_name(q->rng));
    if (q->variation_strength > 0) json_write_double(w, "variation_strength", q->variation_strength);
    if (q->init_image) json_write_double(w, "strength", q->strength);
    if (q->init_image) json_write_string(w, "init_image", c->init_file);
    if (q->mask) json_write_string(w, "mask", c->mask_file);
}

mzt_status generate_print_json(const generate_command *c, const generate_result *r, mzt_error *error) {
    static const char *const precisions[] = {"auto", "f32", "f16", "bf16"};
    json_writer w = json_writer_make(c->host);
    char name[NAME_SIZE], *line;
    json_write_object(&w, NULL);
    json_write_array(&w, "images");
    for (uint32_t i = 0; i < r->count; i++) {
        output_name(c, i, name, sizeof name);
        json_write_object(&w, NULL);
        json_write_string(&w, "file", name);
        json_write_uint(&w, "seed", seed_of(c, i));
        if (c->request.variation_strength > 0)
            json_write_uint(&w, "variation_seed", c->request.variation_seed + i);
        json_write_end_object(&w);
    }
    json_write_end_array(&w);
    write_request(&w, c, r);
    json_write_string(&w, "model", c->model);
    json_write_string(&w, "model_hash", c->model_hash);
    json_write_string(&w, "device", c->device_info.name);
    json_write_string(&w, "precision", precisions[c->job_info.precision]);
    json_write_uint(&w, "device_bytes", r->device_bytes);
    write_seconds(&w, r);
    json_write_end_object(&w);
    TRY(json_writer_finish(&w, &line, NULL, error));
    puts(line);
    host_free(c->host, line);
    return MZT_OK;
}
