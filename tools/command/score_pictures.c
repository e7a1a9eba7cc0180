/* Where mezzotint score's pictures come from and go to: the model through the C API, and folders with
 * metadata.jsonl. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "image/png.h"
#include "json/json_write.h"
#include "score_command.h"

/* ------------------------------------------------------------------------------------------------ the model
 */

typedef struct objects {
    mzt_context *context;
    mzt_model *model;
    mzt_device *device;
    mzt_pipeline *pipeline;
} objects;

static int on_progress(void *user, mzt_job *job, const mzt_progress *p) {
    (void)user;
    (void)job;
    (void)p;
    return command_interrupted();
}

static mzt_job_params job_params(score_command *c, const char *prompt, uint32_t count) {
    mzt_job_params p;
    mzt_job_params_init(&p, sizeof p);
    p.prompt = prompt;
    p.plain_prompt = 1;
    p.count = count;
    p.steps = c->steps;
    p.sampler = c->sampler;
    p.guidance = c->guidance;
    p.seed = c->seed;
    p.progress = on_progress;
    p.user = c;
    return p;
}

static mzt_status open_all(score_command *c, objects *o, mzt_error *error) {
    mzt_hooks hooks = c->host->hooks;
    model_options options;
    mzt_model_params p;
    mzt_pipeline_params pipeline;
    precision chosen = PRECISION_AUTO;
    hooks.struct_size = sizeof hooks;
    if (c->precision) TRY(precision_parse(c->precision, &chosen, error));
    TRY(model_choice_options(c->host, &c->parts, &options, error));
    mzt_model_params_init(&p, sizeof p);
    p.vae = options.vae;
    p.text_encoders[0] = options.text_encoders[0];
    p.text_encoders[1] = options.text_encoders[1];
    p.tokenizer = options.tokenizer;
    p.data_folder = options.data_folder;
    p.prediction = options.prediction;
    p.embeddings = options.embeddings;
    p.embedding_count = options.embedding_count;
    p.weights = (mzt_weights)options.stored;
    TRY(mzt_context_create(&hooks, &o->context, error));
    TRY(mzt_model_open(o->context, c->model, &p, &o->model, error));
    TRY(mzt_device_open(o->context, c->device, &o->device, error));
    mzt_pipeline_params_init(&pipeline, sizeof pipeline);
    pipeline.precision = (mzt_precision)chosen;
    return mzt_pipeline_create(o->model, o->device, &pipeline, &o->pipeline, error);
}

static mzt_status read_pictures(const score_command *c, mzt_job *job, image *pictures, uint32_t count,
                                mzt_error *error) {
    mzt_job_info info = {.struct_size = sizeof info};
    TRY(mzt_job_get_info(job, &info, error));
    for (uint32_t i = 0; i < count; i++) {
        TRY(image_create(c->host, info.width, info.height, 4, &pictures[i], error));
        TRY(mzt_job_read_rgba8(job, i, pictures[i].pixels, 0, error));
    }
    return MZT_OK;
}

static mzt_status make_prompt(score_command *c, objects *o, uint32_t suite, const score_prompt *prompt,
                              uint32_t count, mzt_error *error) {
    const mzt_job_params params = job_params(c, prompt->text, count);
    mzt_job *job = NULL;
    image pictures[64] = {{0}};
    mzt_status status = mzt_job_create(o->pipeline, &params, &job, error);
    if (status >= 0) status = mzt_job_run(job, error);
    if (status >= 0) status = read_pictures(c, job, pictures, count, error);
    mzt_job_destroy(job);
    if (status >= 0) status = score_take(c, suite, prompt, pictures, c->seed, count, error);
    for (uint32_t i = 0; i < count; i++)
        image_free(c->host, &pictures[i]);
    return status;
}

static mzt_status make_all(score_command *c, objects *o, mzt_error *error) {
    uint32_t total = 0, done = 0;
    for (uint32_t s = 0; s < c->chosen_count; s++)
        total += c->chosen[s]->count * (c->seeds ? c->seeds : c->chosen[s]->seeds);
    for (uint32_t s = 0; s < c->chosen_count; s++) {
        const uint32_t seeds = c->seeds ? c->seeds : c->chosen[s]->seeds;
        for (uint32_t i = 0; i < c->chosen[s]->count; i++) {
            TRY(make_prompt(c, o, s, &c->chosen[s]->prompts[i], seeds, error));
            done += seeds;
            if (!score_progress(c, done, total)) return MZT_CANCELLED;
        }
    }
    return MZT_OK;
}

mzt_status score_generate(score_command *c, mzt_error *error) {
    objects o = {NULL, NULL, NULL, NULL};
    mzt_status status = open_all(c, &o, error);
    c->bar = progress_begin("making and judging pictures", c->quiet);
    if (status >= 0) status = make_all(c, &o, error);
    progress_end(&c->bar);
    mzt_pipeline_destroy(o.pipeline);
    mzt_device_destroy(o.device);
    mzt_model_close(o.model);
    mzt_context_destroy(o.context);
    return status;
}

/* --------------------------------------------------------------------------------------------- a folder's */

typedef struct run_of { /* pictures of the same prompt, one line after another */
    image pictures[64];
    uint32_t count;
    json_doc *doc; /* of the first one's line; the prompt points into it */
    score_prompt prompt;
} run_of;

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_prompt(const score_prompt *a, const score_prompt *b) {
    return same_text(a->text, b->text) && same_text(a->concept, b->concept) &&
           same_text(a->words, b->words) && same_text(a->style, b->style) && a->colour == b->colour;
}

static mzt_status judge_run(score_command *c, run_of *run, mzt_error *error) {
    mzt_status status = MZT_OK;
    if (run->count) status = score_take(c, 0, &run->prompt, run->pictures, 0, run->count, error);
    for (uint32_t i = 0; i < run->count; i++)
        image_free(c->host, &run->pictures[i]);
    json_destroy(run->doc);
    run->doc = NULL;
    run->count = 0;
    return status;
}

static mzt_status read_line(score_command *c, run_of *run, const char *name, const char *text, size_t length,
                            mzt_error *error) {
    json_doc *doc;
    score_prompt prompt;
    const char *file;
    TRY(json_parse(c->host, name, text, length, &doc, error));
    mzt_status status = score_prompt_read(json_root(doc), &prompt, error);
    if (status >= 0) status = json_require_string(json_root(doc), "file_name", &file, error);
    const bool same = status >= 0 && run->count > 0 && run->count < 64 && same_prompt(&run->prompt, &prompt);
    if (status >= 0 && !same) {
        status = judge_run(c, run, error);
        run->doc = doc;
        run->prompt = prompt;
    }
    char *path = status >= 0 ? path_join(c->host, c->pictures, file) : NULL;
    if (status >= 0 && !path) status = error_memory(error, name, 0);
    if (status >= 0) status = image_png_read(c->host, path, NULL, &run->pictures[run->count], NULL, error);
    if (status >= 0) run->count++;
    host_free(c->host, path);
    if (run->doc != doc) json_destroy(doc);
    return status;
}

mzt_status score_read_folder(score_command *c, mzt_error *error) {
    static const score_suite folder = {.name = "pictures"};
    char *path = path_join(c->host, c->pictures, "metadata.jsonl"), *text = NULL;
    uint64_t size = 0;
    run_of run = {.count = 0};
    c->chosen[0] = &folder;
    c->chosen_count = 1;
    if (!path) return error_memory(error, c->pictures, 0);
    mzt_status status = file_read(c->host, path, 1 << 28, &text, &size, error);
    c->bar = progress_begin("judging pictures", c->quiet);
    uint32_t line = 1;
    for (uint64_t at = 0; status >= 0 && at < size; line++) {
        const char *end = memchr(text + at, '\n', (size_t)(size - at));
        const uint64_t next = end ? (uint64_t)(end - text) : size;
        char name[4200];
        snprintf(name, sizeof name, "%.4000s:%u", path, (unsigned)line);
        if (next > at) status = read_line(c, &run, name, text + at, (size_t)(next - at), error);
        at = next + 1;
        progress_update(&c->bar, (double)at, (double)size);
        if (status >= 0 && command_interrupted()) status = MZT_CANCELLED;
    }
    if (status >= 0) status = judge_run(c, &run, error);
    for (uint32_t i = 0; i < run.count; i++)
        image_free(c->host, &run.pictures[i]);
    json_destroy(run.doc);
    progress_end(&c->bar);
    host_free(c->host, text);
    host_free(c->host, path);
    if (status < 0 || c->totals[0].pictures) return status;
    return error_set(error, MZT_ERROR_INVALID, "%s: no pictures", c->pictures);
}

/* ------------------------------------------------------------------------------------------------- --save */

struct score_log {
    file_writer *writer;
    uint32_t count;
};

mzt_status score_log_open(score_command *c, mzt_error *error) {
    if (!c->save) return MZT_OK;
    TRY(folder_create(c->host, c->save, error));
    char *path = path_join(c->host, c->save, "metadata.jsonl");
    c->log = host_calloc(c->host, 1, sizeof *c->log);
    mzt_status status = path && c->log ? file_writer_open(c->host, path, &c->log->writer, error)
                                       : error_memory(error, c->save, 0);
    host_free(c->host, path);
    if (status >= 0) return status;
    host_free(c->host, c->log);
    c->log = NULL;
    return status;
}

static mzt_status write_line(const score_command *c, const score_prompt *prompt, const char *file,
                             uint64_t seed, mzt_error *error) {
    json_writer w = json_writer_make(c->host);
    char *line = NULL;
    size_t length = 0;
    json_write_object(&w, NULL);
    json_write_string(&w, "file_name", file);
    json_write_string(&w, "prompt", prompt->text);
    if (prompt->concept) json_write_string(&w, "concept", prompt->concept);
    if (prompt->words) json_write_string(&w, "words", prompt->words);
    if (prompt->style) json_write_string(&w, "style", prompt->style);
    if (prompt->colour != COLOUR_NONE) json_write_string(&w, "colour", colour_name(prompt->colour));
    json_write_uint(&w, "seed", seed);
    json_write_end_object(&w);
    TRY(json_writer_finish(&w, &line, &length, error));
    mzt_status status = file_writer_write(c->log->writer, line, length, error);
    if (status >= 0) status = file_writer_write(c->log->writer, "\n", 1, error);
    host_free(c->host, line);
    return status;
}

mzt_status score_log_add(score_command *c, const score_prompt *prompt, const image *picture, uint64_t seed,
                         mzt_error *error) {
    char name[40];
    if (!c->log) return MZT_OK;
    snprintf(name, sizeof name, "%05u.png", (unsigned)++c->log->count);
    char *path = path_join(c->host, c->save, name);
    if (!path) return error_memory(error, name, 0);
    mzt_status status = image_png_write(c->host, path, picture, NULL, error);
    host_free(c->host, path);
    return status < 0 ? status : write_line(c, prompt, name, seed, error);
}

mzt_status score_log_finish(score_command *c, bool keep, mzt_error *error) {
    if (!c->log) return MZT_OK;
    mzt_status status = MZT_OK;
    if (keep)
        status = file_writer_commit(c->log->writer, error);
    else
        file_writer_abandon(c->log->writer);
    host_free(c->host, c->log);
    c->log = NULL;
    return status;
}
