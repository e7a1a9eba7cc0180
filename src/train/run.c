/* A whole training run; see run.h. */
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/profile.h"
#include "train/step.h"

/* Steps in a row that the optimiser skipped because gradients were not finite. */
enum { MOST_SKIPPED = 100 };

/* In one step. */
#define MOST_PICTURES (1u << 24)

typedef struct run {
    const base_host *host;
    const train_request *request;
    train_config *config;
    dataset *data;
    thread_pool *pool;
    train_context context;
    train_task *task;
    train_step step;
    train_profile profile; /* zeroed: not wanted */
    loader *loader;
    train_log log;
    char *resume;                              /* OUTPUT/latest, or NULL */
    safetensors_file *state;                   /* of the checkpoint that is resumed */
    uint64_t first, next, end;                 /* steps: of this run, to be run next, where to stop */
    uint64_t saved;                            /* step of the last checkpoint of this run, or `first` */
    double earlier;                            /* seconds of the runs before this one */
    double start, saved_at, drawn_at, line_at; /* clock */
    uint64_t line_step;                        /* the first step after the last line */
    double loss_sum;
    train_step_result last;
    uint32_t skipped;
    bool has_checkpoint;
    train_result *result;
    mzt_error *error;
} run;

static void say(const run *r, const char *text) {
    if (r->request->line && ranks_is_first(r->request->ranks)) r->request->line(r->request->user, text);
}

/* ------------------------------------------------------------------------------------------------ beginning
 * -- */

/* In one step, on all ranks. */
static uint64_t step_pictures(const run *r) {
    return (uint64_t)r->config->batch * r->config->optimizer.accumulate;
}

static mzt_status read_config(run *r) {
    const train_request *q = r->request;
    TRY(train_config_read(r->host, q->config, q->kind, &r->config, r->error));
    for (uint32_t i = 0; i < q->exclude_count; i++)
        TRY(exclude_add(&r->config->exclude, q->exclude[i], r->error));
    if (q->seed_given) r->config->seed = q->seed;
    if (q->batch) r->config->batch = q->batch;
    if (q->lora) TRY(train_config_set_lora(r->config, q->lora, r->error));
    if (q->accumulate) r->config->optimizer.accumulate = q->accumulate;
    r->config->recompute |= q->recompute;
    if (r->config->batch % ranks_count(q->ranks))
        return error_set(r->error, MZT_ERROR_INVALID, "a batch of %u does not divide among %u processes",
                         (unsigned)r->config->batch, (unsigned)ranks_count(q->ranks));
    if (step_pictures(r) <= MOST_PICTURES) return MZT_OK;
    return error_set(r->error, MZT_ERROR_INVALID,
                     "%u batches of %u in one step: expected at most %u pictures",
                     (unsigned)r->config->optimizer.accumulate, (unsigned)r->config->batch, MOST_PICTURES);
}

static mzt_status read_number(const run *r, const char *key, double *out) {
    const char *text = safetensors_metadata(r->state, key);
    if (!text)
        return error_set(r->error, MZT_ERROR_FORMAT, "%s: \"%s\" is missing", safetensors_name(r->state),
                         key);
    *out = strtod(text, NULL);
    if (*out >= 0 && *out < 9e15) return MZT_OK;
    return error_set(r->error, MZT_ERROR_FORMAT, "%s: %s is \"%.40s\"", safetensors_name(r->state), key,
                     text);
}

/* What must not change for a run to go on as if it had never stopped. */
static mzt_status check_state(const run *r) {
    double batch, seed_low, seed_high;
    const char *config = safetensors_metadata(r->state, "config");
    TRY(read_number(r, "batch", &batch));
    TRY(read_number(r, "seed_low", &seed_low));
    TRY(read_number(r, "seed_high", &seed_high));
    const uint64_t seed = (uint64_t)seed_high << 32 | (uint64_t)seed_low;
    if ((uint64_t)batch != step_pictures(r) || seed != r->config->seed)
        return error_set(r->error, MZT_ERROR_INVALID,
                         "%s: was trained with %llu pictures a step and seed %llu, given %llu and %llu",
                         r->resume, (unsigned long long)batch, (unsigned long long)seed,
                         (unsigned long long)step_pictures(r), (unsigned long long)r->config->seed);
    if (!config || strcmp(config, r->config->text) != 0)
        host_log(r->host, MZT_LOG_WARNING,
                 "%s: the configuration has changed since: the run goes on, but not as if it had not stopped",
                 r->resume);
    return MZT_OK;
}

static mzt_status open_state(run *r) {
    const char *output = r->request->output;
    if (!r->request->resume) {
        char *latest = NULL;
        if (checkpoint_latest(r->host, output, &latest, NULL) < 0) return MZT_OK;
        host_free(r->host, latest);
        return error_set(r->error, MZT_ERROR_INVALID,
                         "%s holds a checkpoint: go on with it with --resume, or choose another folder",
                         output);
    }
    TRY(checkpoint_latest(r->host, output, &r->resume, r->error));
    r->has_checkpoint = true;
    char *path = path_join(r->host, r->resume, "training_state.safetensors");
    if (!path) return error_memory(r->error, r->resume, 0);
    double step;
    mzt_status status = safetensors_open(r->host, path, &r->state, r->error);
    host_free(r->host, path);
    if (status >= 0) status = read_number(r, "step", &step);
    if (status >= 0) status = read_number(r, "seconds", &r->earlier);
    if (status >= 0) r->first = r->next = r->saved = (uint64_t)step;
    return status >= 0 ? check_state(r) : status;
}

static mzt_status open_data(run *r) {
    const data_config *data = &r->config->data;
    char line[400];
    const dataset_options options = {.exclude = &r->config->exclude,
                                     .held_out = data->held_out,
                                     .style_word = train_style_word,
                                     .user = data,
                                     .pool = r->pool};
    TRY(dataset_open(r->host, r->request->data, &options, &r->data, r->error));
    snprintf(line, sizeof line,
             "%u pictures to train on, %u held out; left out: %u without text, %u missing, %u undecodable, "
             "%u excluded",
             (unsigned)r->data->train_count, (unsigned)r->data->held_out_count,
             (unsigned)r->data->lost[DATASET_NO_TEXT], (unsigned)r->data->lost[DATASET_NO_FILE],
             (unsigned)r->data->lost[DATASET_UNDECODABLE], (unsigned)r->data->lost[DATASET_EXCLUDED]);
    say(r, line);
    return MZT_OK;
}

static mzt_status open_task(run *r, executor *device) {
    precision wanted;
    TRY(precision_parse(r->config->precision, &wanted, r->error));
    r->context = (train_context){.host = r->host,
                                 .config = r->config,
                                 .device = device,
                                 .data = r->data,
                                 .pool = r->pool,
                                 .batch = r->config->batch / ranks_count(r->request->ranks),
                                 .ranks = r->request->ranks,
                                 .seed = r->config->seed,
                                 .output = r->request->output,
                                 .init = r->request->init,
                                 .resume = r->resume,
                                 .line = ranks_is_first(r->request->ranks) ? r->request->line : NULL,
                                 .user = r->request->user};
    TRY(precision_resolve(wanted, &device->limits, &r->context.type, r->error));
    if (r->request->kind == TRAIN_AUTOENCODER)
        return autoencoder_task_create(&r->context, &r->task, r->error);
    return denoiser_task_create(&r->context, &r->task, r->error);
}

static mzt_status open_step(run *r) {
    char line[420];
    TRY(train_step_create(r->task, &r->step, r->error));
    if (r->state)
        TRY(train_step_load(&r->step, r->state, &r->config->optimizer, r->error));
    else
        TRY(train_step_begin(&r->step, r->task, r->error));
    TRY(train_step_freeze(&r->step, r->task, r->error));
    TRY(program_seal(r->step.network.program, r->error));
    r->result->parameters = r->step.parameters;
    if (r->request->profile) TRY(train_profile_create(r->host, r->step.network.plan, &r->profile, r->error));
    int length = snprintf(
        line, sizeof line, "%.3f of %.3f million parameters, %.2f GFLOP a step of %llu, %.1f MiB on %s",
        (double)r->step.parameters / 1e6, (double)(r->step.parameters + r->step.frozen) / 1e6,
        (double)r->step.flops * ranks_count(r->request->ranks) / 1e9, (unsigned long long)step_pictures(r),
        (double)program_memory(r->step.network.program) / 1048576.0, r->context.device->limits.name);
    if (r->request->ranks)
        snprintf(line + length, sizeof line - (size_t)length, ", and on %u more",
                 (unsigned)(r->request->ranks->count - 1));
    say(r, line);
    return MZT_OK;
}

static mzt_status open_loader(run *r) {
    loader_options options = {.data = r->data,
                              .config = &r->config->data,
                              .exclude = &r->config->exclude,
                              .seed = r->config->seed,
                              .first_step = r->first,
                              .batch = r->context.batch,
                              .accumulate = r->config->optimizer.accumulate,
                              .ranks = ranks_count(r->request->ranks),
                              .rank = r->request->ranks ? r->request->ranks->index : 0,
                              .threads = r->config->data.threads};
    r->task->functions->choose_batches(r->task, &options);
    return loader_create(r->host, &options, &r->loader, r->error);
}

static mzt_status open_all(run *r, executor *device) {
    TRY(read_config(r));
    TRY(folder_create(r->host, r->request->output, r->error));
    TRY(open_state(r));
    TRY(thread_pool_create(r->host, r->config->data.threads, &r->pool, r->error));
    TRY(open_data(r));
    TRY(open_task(r, device));
    TRY(open_step(r));
    if (ranks_is_first(r->request->ranks))
        TRY(train_log_open(r->host, r->request->output, r->first, &r->log, r->error));
    TRY(open_loader(r));
    r->end = r->request->steps ? r->request->steps : r->config->optimizer.steps;
    return MZT_OK;
}

/* ---------------------------------------------------------------------------------------------- checkpoints
 * -- */

static double seconds_trained(const run *r) {
    return r->earlier + clock_seconds() - r->start;
}

static mzt_status write_checkpoint(run *r) {
    char step[32], seconds[32], batch[32], low[16], high[16];
    snprintf(step, sizeof step, "%llu", (unsigned long long)r->next);
    snprintf(seconds, sizeof seconds, "%.3f", seconds_trained(r));
    snprintf(batch, sizeof batch, "%llu", (unsigned long long)step_pictures(r));
    snprintf(low, sizeof low, "%lu", (unsigned long)(r->config->seed & 0xffffffffu));
    snprintf(high, sizeof high, "%lu", (unsigned long)(r->config->seed >> 32));
    const char *const metadata[] = {"step",     step, "seconds",   seconds, "batch",  batch,
                                    "seed_low", low,  "seed_high", high,    "config", r->config->text};
    checkpoint_writer *c;
    TRY(checkpoint_begin(r->host, r->request->output, r->next, &c, r->error));
    mzt_status status =
        train_step_save(&r->step, r->task, c, metadata, sizeof metadata / sizeof *metadata / 2, r->error);
    if (status >= 0) status = r->task->functions->save(r->task, c, r->error);
    if (status >= 0) return checkpoint_commit(c, r->error);
    checkpoint_abandon(c);
    return status;
}

/* Writes a checkpoint; a failure says which one stays. */
static mzt_status save(run *r) {
    if ((r->next == r->saved && r->has_checkpoint) || !ranks_is_first(r->request->ranks)) return MZT_OK;
    char line[100];
    if (write_checkpoint(r) < 0)
        return error_prefix(r->error,
                            "the checkpoint of step %llu was not written%s: ", (unsigned long long)r->next,
                            r->has_checkpoint ? ", the one before stays" : "");
    r->saved = r->next;
    r->has_checkpoint = true;
    r->saved_at = clock_seconds();
    snprintf(line, sizeof line, "wrote the checkpoint of step %llu", (unsigned long long)r->next);
    say(r, line);
    return MZT_OK;
}

static train_row row_now(const run *r, double now) {
    const double steps = (double)(r->next - r->line_step), seconds = now - r->line_at;
    train_row row = {.step = r->next,
                     .seconds = seconds_trained(r),
                     .loss = steps > 0 ? r->loss_sum / steps : NAN,
                     .norm = r->last.norm,
                     .loss_scale = r->last.scale};
    row.learning_rate = train_learning_rate(&r->config->optimizer, r->next ? r->next - 1 : 0);
    const double processes = ranks_count(r->request->ranks);
    row.pictures_per_second = seconds > 0 ? steps * (double)step_pictures(r) / seconds : NAN;
    row.flops_per_second = seconds > 0 ? steps * processes * (double)r->step.flops / seconds : NAN;
    for (uint32_t i = 0; i < TRAIN_BANDS; i++)
        row.validation[i] = NAN;
    return row;
}

/* Adds a row to the log and says it. */
static mzt_status report(run *r, train_row *row) {
    char line[240];
    const double now = clock_seconds(), ran = (double)(r->next - r->first);
    double left = ran > 0 && r->end > r->next ? (double)(r->end - r->next) * (now - r->start) / ran : 0;
    const double limit = r->request->minutes * 60 - (now - r->start);
    if (r->request->minutes > 0 && limit < left) left = limit > 0 ? limit : 0;
    train_log_line(row, left, line, sizeof line);
    say(r, line);
    TRY(train_log_add(&r->log, row, r->error));
    r->line_at = clock_seconds();
    r->line_step = r->next;
    r->loss_sum = 0;
    return MZT_OK;
}

/* Validation, a sheet of samples and the plot, all from the checkpoint just written. */
static mzt_status look(run *r) {
    if (!ranks_is_first(r->request->ranks)) return MZT_OK;
    const base_host *host = r->host;
    char name[40], line[160];
    snprintf(name, sizeof name, "samples-%09llu.png", (unsigned long long)r->next);
    char *latest = path_join(host, r->request->output, "latest"),
         *sheet = path_join(host, r->request->output, name);
    train_row row = row_now(r, clock_seconds());
    mzt_status status = latest && sheet ? MZT_OK : error_memory(r->error, name, 0);
    if (status >= 0) status = r->task->functions->validate(r->task, latest, row.validation, r->error);
    if (status >= 0 && !isnan(row.validation[0])) {
        int length = snprintf(line, sizeof line, "held out:");
        for (uint32_t i = 0; i < TRAIN_BANDS && !isnan(row.validation[i]); i++)
            length += snprintf(line + length, sizeof line - (size_t)length, " %.5f", row.validation[i]);
        say(r, line);
    }
    if (status >= 0 && r->next > r->line_step) status = report(r, &row);
    if (status >= 0) status = train_log_plot(&r->log, r->error);
    if (status >= 0 && r->config->log.sample_minutes > 0)
        status = r->task->functions->draw(r->task, latest, sheet, r->error);
    host_free(host, latest);
    host_free(host, sheet);
    r->drawn_at = r->line_at = clock_seconds();
    return status;
}

/* -------------------------------------------------------------------------------------------------- running
 * -- */

/* A loss that is no number ends the run; gradients that are none, for a while, do not: the optimiser leaves
 * such steps out. */
static mzt_status check_numbers(run *r) {
    const unsigned long long step = (unsigned long long)r->next, kept = (unsigned long long)r->saved;
    const char *what = !isfinite(r->last.loss) ? "the loss is not a number" : NULL;
    r->skipped = isfinite(r->last.norm) ? 0 : r->skipped + 1;
    if (r->skipped == MOST_SKIPPED) what = "gradients have not been finite for 100 steps";
    if (!what) return MZT_OK;
    if (!r->has_checkpoint)
        return error_set(r->error, MZT_ERROR_INVALID, "step %llu: %s; there is no checkpoint yet", step,
                         what);
    return error_set(r->error, MZT_ERROR_INVALID,
                     "step %llu: %s; the last good checkpoint is that of step %llu", step, what, kept);
}

/* Adds the time since `since` to a part of the profile; returns the time now. */
static double count_time(run *r, profile_part part, double since) {
    const double now = clock_seconds();
    r->profile.parts[part] += now - since;
    return now;
}

/* One batch of this rank's. */
static mzt_status one_batch(run *r) {
    const loader_batch *batch;
    double at = clock_seconds();
    TRY(loader_next(r->loader, &batch, r->error));
    at = count_time(r, PROFILE_WAIT, at);
    TRY(r->task->functions->feed(r->task, &r->step.network, batch, r->error));
    at = count_time(r, PROFILE_FEED, at);
    mzt_status status = train_step_run(&r->step, &r->last, r->profile.seconds, r->error);
    count_time(r, PROFILE_STEP, at);
    return status;
}

static mzt_status all_batches(run *r) {
    TRY(train_step_prepare(&r->step, &r->config->optimizer, r->next, &r->last, r->error));
    for (uint32_t i = 0; i < r->config->optimizer.accumulate; i++)
        TRY(one_batch(r));
    return MZT_OK;
}

static mzt_status one_step(run *r) {
    TRY(ranks_agree(r->request->ranks, all_batches(r), r->error));
    const double at = clock_seconds();
    TRY(train_step_finish(&r->step, r->request->ranks, &r->last, r->profile.seconds, r->error));
    count_time(r, PROFILE_STEP, at);
    r->profile.steps++;
    TRY(check_numbers(r));
    r->next++;
    r->loss_sum += r->last.loss;
    return MZT_OK;
}

static bool is_due(double since, double minutes) {
    return minutes > 0 && clock_seconds() - since >= minutes * 60;
}

/* After a step: a line, a checkpoint, a sheet, where they are due. */
static mzt_status keep_records(run *r) {
    const log_config *log = &r->config->log;
    if (clock_seconds() - r->line_at >= log->line_seconds) {
        train_row row = row_now(r, clock_seconds());
        TRY(report(r, &row));
    }
    const double at = clock_seconds();
    const bool draw = is_due(r->drawn_at, log->sample_minutes),
               counted = log->checkpoint_steps && r->next % log->checkpoint_steps == 0;
    if (draw || counted || is_due(r->saved_at, log->checkpoint_minutes)) TRY(save(r));
    if (draw) TRY(look(r));
    count_time(r, PROFILE_CHECKPOINT, at);
    return MZT_OK;
}

enum { TIME_IS_UP = 1, INTERRUPTED = 2 };

/* Whether any rank wants to stop. */
static mzt_status ask_to_stop(run *r, uint32_t *stop) {
    const train_request *q = r->request;
    *stop = is_due(r->start, q->minutes) ? TIME_IS_UP : 0;
    if (r->next > r->first && q->keep_going && !q->keep_going(q->user, r->next)) *stop |= INTERRUPTED;
    return ranks_any(q->ranks, stop, r->error);
}

static mzt_status loop(run *r) {
    const train_request *q = r->request;
    uint32_t stop;
    r->start = r->saved_at = r->drawn_at = r->line_at = clock_seconds();
    r->line_step = r->next;
    TRY(ask_to_stop(r, &stop));
    while (r->next < r->end && !stop) {
        TRY(one_step(r));
        if (ranks_is_first(q->ranks)) TRY(keep_records(r));
        TRY(ask_to_stop(r, &stop));
    }
    if (r->profile.seconds && !(stop & INTERRUPTED) && ranks_is_first(q->ranks))
        train_profile_report(&r->profile, executor_peak(r->context.device), q->line, q->user);
    TRY(save(r));
    if (stop & INTERRUPTED) return MZT_CANCELLED;
    return r->next > r->first ? look(r) : MZT_OK;
}

static void close_all(run *r) {
    loader_destroy(r->loader);
    train_log_close(&r->log);
    train_profile_destroy(&r->profile);
    train_step_destroy(&r->step);
    if (r->task) r->task->functions->destroy(r->task);
    dataset_close(r->data);
    thread_pool_destroy(r->pool);
    safetensors_close(r->state);
    host_free(r->host, r->resume);
    train_config_free(r->config);
}

mzt_status train_run(const base_host *host, executor *device, const train_request *request,
                     train_result *result, mzt_error *error) {
    mzt_error own = {MZT_OK, ""};
    *result = (train_result){0};
    run r = {.host = host, .request = request, .result = result, .error = error ? error : &own};
    r.start = clock_seconds();
    mzt_status status = ranks_agree(request->ranks, open_all(&r, device), r.error);
    if (status >= 0) status = loop(&r);
    status = ranks_agree(request->ranks, status, r.error);
    result->steps = r.next;
    result->loss = r.last.loss;
    result->seconds = clock_seconds() - r.start;
    close_all(&r);
    return status;
}
