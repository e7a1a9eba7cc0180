/* mezzotint score: pictures against what their prompts asked for. docs/scoring.md defines the measure. */
#include <stdio.h>
#include <string.h>

#include "model_path.h"
#include "score_command.h"
#include "train/latents.h"

bool score_progress(void *command, uint32_t done, uint32_t count) {
    score_command *c = command;
    progress_update(&c->bar, done, count);
    return !command_interrupted();
}

static void keep_tile(score_command *c, const score_prompt *prompt, const image *picture,
                      const score_result *r, mzt_error *error) {
    if (!c->sheet || c->tile_count == SCORE_SHEET_MAX) return;
    image *tile = &c->tiles[c->tile_count];
    if (image_copy(c->host, picture, tile, error) < 0) return; /* a tile less is no failure */
    const char *right = r->concept_asked && !r->concept_right ? "concept"
                        : r->colour_asked && !r->colour_right ? "colour"
                        : r->style_asked && !r->style_right   ? "style"
                                                              : NULL;
    snprintf(c->captions[c->tile_count++], sizeof *c->captions, "%.60s%s%s", prompt->text,
             right ? ": not " : "", right ? right : "");
}

mzt_status score_take(score_command *c, uint32_t suite, const score_prompt *prompt, const image *pictures,
                      uint64_t first_seed, uint32_t count, mzt_error *error) {
    score_points *points = host_calloc(c->host, count, sizeof *points);
    if (!points) return error_memory(error, "scores", count * sizeof *points);
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; status >= 0 && i < count; i++) {
        const score_result r = score_picture(c->reference, prompt, &pictures[i], &points[i]);
        score_add(&c->totals[suite], &r);
        if (i == 0) keep_tile(c, prompt, &pictures[i], &r, error);
        status = score_log_add(c, prompt, &pictures[i], first_seed + i, error);
    }
    if (status >= 0) score_spread(&c->totals[suite], c->reference, points, count);
    host_free(c->host, points);
    return status;
}

static mzt_status open_reference(score_command *c, mzt_error *error) {
    const score_reference_options options = {.style_word = score_suites_style_word,
                                             .user = c->suites,
                                             .held_out = c->held_out,
                                             .fold = c->check ? 1 : 0,
                                             .pool = c->pool,
                                             .progress = score_progress,
                                             .user_progress = c};
    c->bar = progress_begin("looking at the training pictures", c->quiet);
    mzt_status status = score_reference_open(c->host, c->data, &options, &c->reference, error);
    progress_end(&c->bar);
    return status;
}

/* Named suites, or all. */
static mzt_status choose_suites(score_command *c, const char *const *names, uint32_t count,
                                mzt_error *error) {
    char known[300] = "";
    for (uint32_t s = 0; s < c->suites->count; s++) {
        const size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", s ? ", " : "", c->suites->suites[s].name);
        if (count == 0 && c->chosen_count < OPTION_LIST_MAX)
            c->chosen[c->chosen_count++] = &c->suites->suites[s];
    }
    for (uint32_t i = 0; i < count; i++) {
        const score_suite *found = NULL;
        for (uint32_t s = 0; s < c->suites->count; s++)
            if (strcmp(c->suites->suites[s].name, names[i]) == 0) found = &c->suites->suites[s];
        if (!found)
            return error_set(error, MZT_ERROR_INVALID, "no suite \"%.40s\": there are %s", names[i], known);
        c->chosen[c->chosen_count++] = found;
    }
    return MZT_OK;
}

static mzt_status measure_autoencoder(score_command *c, const dataset *data, mzt_error *error) {
    model *m = NULL;
    executor *e = NULL;
    model_options options;
    precision p = PRECISION_F32;
    if (c->precision) TRY(precision_parse(c->precision, &p, error));
    TRY(model_choice_options(c->host, &c->parts, &options, error));
    mzt_status status = c->only_autoencoder ? latents_open_autoencoder(c->host, c->model, &m, error)
                                            : model_open_with(c->host, c->model, &options, &m, error);
    if (status >= 0) status = device_open(c->host, c->device, &e, error);
    c->bar = progress_begin("autoencoder", c->quiet);
    if (status >= 0)
        status = score_fidelity_measure(m, e, p, data, c->side, score_progress, c, &c->fidelity, error);
    progress_end(&c->bar);
    c->fidelity_known = status >= 0;
    executor_destroy(e);
    model_close(m);
    return status;
}

/* Without looking at the training pictures. */
static mzt_status run_autoencoder(score_command *c, mzt_error *error) {
    const dataset_options options = {.held_out = c->held_out, .unchecked = true};
    dataset *data = NULL;
    TRY(model_path_find(c->host, c->model_option, &c->model, error));
    TRY(dataset_open(c->host, c->data, &options, &data, error));
    mzt_status status = measure_autoencoder(c, data, error);
    dataset_close(data);
    return status < 0 ? status : score_report(c, error);
}

static mzt_status run(score_command *c, const char *const *names, uint32_t count, mzt_error *error) {
    char *file = NULL;
    if (!c->data)
        return error_set(error, MZT_ERROR_INVALID, "--data: the folder of the training pictures is needed");
    if (c->only_autoencoder) return run_autoencoder(c, error);
    TRY(thread_pool_create(c->host, 0, &c->pool, error));
    if (!c->suites_file) TRY(shipped_path_find(c->host, "scoring.json", &file, error));
    mzt_status status = score_suites_read(c->host, file ? file : c->suites_file, &c->suites, error);
    host_free(c->host, file);
    if (status >= 0) status = choose_suites(c, names, count, error);
    if (status >= 0 && !c->pictures && !c->check)
        status = model_path_find(c->host, c->model_option, &c->model, error);
    if (status >= 0) status = open_reference(c, error);
    if (status < 0) return status;
    if (c->check) return score_report_check(c, error);
    TRY(score_log_open(c, error));
    status = c->pictures ? score_read_folder(c, error) : score_generate(c, error);
    if (status >= 0) status = score_log_finish(c, true, error);
    if (status >= 0 && c->model && !c->no_autoencoder)
        status = measure_autoencoder(c, c->reference->data, error);
    if (status >= 0) status = score_report(c, error);
    return status < 0 || !c->sheet ? status : score_write_sheet(c, error);
}

static void release(score_command *c) {
    for (uint32_t i = 0; c->tiles && i < c->tile_count; i++)
        image_free(c->host, &c->tiles[i]);
    host_free(c->host, c->tiles);
    host_free(c->host, c->captions);
    host_free(c->host, c->model);
    model_choice_free(c->host, &c->parts);
    score_reference_close(c->reference);
    score_suites_free(c->suites);
    thread_pool_destroy(c->pool);
}

static uint32_t list_options(score_command *c, option *options) {
    const option list[] = {
        {0, "data", "DIR", "the training pictures, with metadata.jsonl", OPTION_TEXT, &c->data, 0, 0, NULL},
        {'m', "model", "MODEL", "what makes the pictures; default: the model that ships", OPTION_TEXT,
         &c->model_option, 0, 0, NULL},
        {0, "pictures", "DIR", "judge these instead: a folder with metadata.jsonl, as --save writes",
         OPTION_TEXT, &c->pictures, 0, 0, NULL},
        {0, "save", "DIR", "keep the pictures", OPTION_TEXT, &c->save, 0, 0, NULL},
        {0, "sheet", "FILE.png", "a sheet of each prompt's first picture", OPTION_TEXT, &c->sheet, 0, 0,
         NULL},
        {0, "columns", "N", "of the sheet; default 10", OPTION_COUNT, &c->columns, 1, 100, NULL},
        {0, "suites", "FILE.json", "prompts of one's own; see docs/scoring.md", OPTION_TEXT, &c->suites_file,
         0, 0, NULL},
        {0, "seeds", "N", "pictures of each prompt; default: as the suite says", OPTION_COUNT, &c->seeds, 1,
         64, NULL},
        {'s', "seed", "N", "the first; default 0", OPTION_SEED, &c->seed, 0, 0, NULL},
        {0, "steps", "N", "denoising steps; default 20", OPTION_COUNT, &c->steps, 1, 4096, NULL},
        {0, "sampler", "NAME", "default: the model's own", OPTION_TEXT, &c->sampler, 0, 0, NULL},
        {'g', "guidance", "G", "classifier-free guidance; default 7.5", OPTION_NUMBER, &c->guidance, 0, 100,
         NULL},
        {0, "held-out", "SHARE", "of the pictures, as in the training configuration; default 0.02",
         OPTION_NUMBER, &c->held_out, 0, 0.9, NULL},
        {0, "side", "PIXELS", "of the autoencoder's pictures; default: the model's own, or 256", OPTION_COUNT,
         &c->side, 8, 4096, NULL},
        {0, "no-autoencoder", NULL, "leave the autoencoder's score out", OPTION_FLAG, &c->no_autoencoder, 0,
         0, NULL},
        {0, "only-autoencoder", NULL, "nothing but that; the model may lack the rest", OPTION_FLAG,
         &c->only_autoencoder, 0, 0, NULL},
        {0, "check", NULL, "score the measure itself, on real pictures", OPTION_FLAG, &c->check, 0, 0, NULL},
        {0, "every", "N", "--check takes every Nth picture; default 20", OPTION_COUNT, &c->every, 1, 100000,
         NULL},
        {0, "device", "D", "see mezzotint devices; default auto", OPTION_TEXT, &c->device, 0, 0, NULL},
        {0, "precision", "P", "auto, f32, f16 or bf16; default auto", OPTION_TEXT, &c->precision, 0, 0, NULL},
        {'q', "quiet", NULL, "no progress", OPTION_FLAG, &c->quiet, 0, 0, NULL},
        {0, "json", NULL, "print one JSON object", OPTION_FLAG, &c->json, 0, 0, NULL},
    };
    memcpy(options, list, sizeof list);
    return sizeof list / sizeof *list;
}

mzt_status command_score(command_context *context, int argc, char **argv, mzt_error *error) {
    score_command c = {.host = &context->host,
                       .device = "auto",
                       .guidance = 7.5,
                       .held_out = 0.02,
                       .every = 20,
                       .columns = 10};
    const char *names[OPTION_LIST_MAX];
    uint32_t count;
    option options[32 + MODEL_CHOICE_OPTIONS];
    uint32_t option_count = list_options(&c, options);
    option_count += model_choice_list(&c.parts, options + option_count);
    const option_set set = {"score",
                            "[SUITE...]",
                            "Scores pictures against what their prompts asked for.",
                            "example:  mezzotint score --data sprites -m run/latest --sheet scores.png",
                            options,
                            option_count,
                            0,
                            OPTION_LIST_MAX};
    mzt_status status = options_parse(&set, argc, argv, names, &count, error);
    if (status == MZT_OK && c.sheet) {
        c.tiles = host_calloc(c.host, SCORE_SHEET_MAX, sizeof *c.tiles);
        c.captions = host_calloc(c.host, SCORE_SHEET_MAX, sizeof *c.captions);
        if (!c.tiles || !c.captions) status = error_memory(error, "sheet", SCORE_SHEET_MAX * sizeof *c.tiles);
    }
    if (status == MZT_OK) status = run(&c, names, count, error);
    score_log_finish(&c, false, NULL); /* after an error */
    release(&c);
    return status;
}
