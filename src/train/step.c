/* The program of one training step; see step.h. */
#include "train/step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/differentiate.h"
#include "pipeline/collection.h"
#include "train/initial.h"
#include "train/lora.h"
#include "train/optimizer.h"

/* Values of gradients that go to the other ranks at once. */
enum { EXCHANGE = 1 << 20 };

/* ------------------------------------------------------------------------------------------------ compiling
 * -- */

static uint32_t describe(train_task *task, graph *g, bool sums) {
    const train_context *c = task->context;
    tensor losses[TASK_LOSSES_MAX] = {0};
    const graph_adapters adapters = train_lora_adapters(&c->config->lora);
    if (adapters.rank) g->adapters = &adapters;
    const uint32_t count = task->functions->describe(task, g, losses);
    g->adapters = NULL;
    graph_make_trainable(g, adapters.rank ? graph_is_adapter : NULL, NULL);
    for (uint32_t i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof name, "loss.%u", (unsigned)i);
        graph_output(g, losses[i], name);
    }
    const tensor scale = c->type == DTYPE_F16 ? optimizer_scale(g) : TENSOR_NONE;
    const graph_differentiate_options options = {
        .factor = scale, .recompute = c->config->recompute, .max_range = c->device->limits.max_range};
    const optimizer_options optimizer = {.rows = 1,
                                         .clip = true,
                                         .average = true,
                                         .scale = scale,
                                         .scale_steps = c->config->optimizer.loss_scale_steps};
    graph_gradients gradients = {0};
    graph_differentiate(g, losses, count, &options, &gradients);
    if (sums) optimizer_sum_batches(g, &gradients);
    optimizer_describe(g, &gradients, &optimizer);
    graph_gradients_release(g->host, &gradients);
    return count;
}

/* Parameters that are trained are states; the others are constants. */
static bool is_trained(const plan *p, const plan_piece *piece) {
    return p->buffers[piece->buffer].role == PLAN_ROLE_STATE;
}

static mzt_status find_buffers(train_step *s, const train_task *task, mzt_error *error) {
    const plan *p = s->network.plan;
    s->phase = plan_find_phase(p, "step");
    s->update = plan_find_phase(p, "update");
    s->table = plan_find_buffer(p, "optimizer.table");
    s->counter = plan_find_buffer(p, "optimizer.step");
    s->part = plan_find_buffer(p, "optimizer.part");
    s->norm = plan_find_buffer(p, "optimizer.norm");
    s->scale = plan_find_buffer(p, "optimizer.scale");
    if (s->phase == PLAN_NONE || s->table == PLAN_NONE || s->norm == PLAN_NONE || s->counter == PLAN_NONE)
        return error_set(error, MZT_ERROR_INTERNAL, "training: the plan has no step");
    for (uint32_t i = 0; i < s->loss_count; i++) {
        char name[24];
        snprintf(name, sizeof name, "loss.%u", (unsigned)i);
        s->losses[i] = plan_find_buffer(p, name);
        if (s->losses[i] == PLAN_NONE)
            return error_set(error, MZT_ERROR_INTERNAL, "training: the plan has no %s", name);
    }
    s->flops = plan_flops(p, s->phase) * (s->batches / ranks_count(task->context->ranks));
    if (s->update != PLAN_NONE) s->flops += plan_flops(p, s->update);
    for (uint32_t i = 0; i < p->piece_count; i++)
        *(is_trained(p, &p->pieces[i]) ? &s->parameters : &s->frozen) += initial_count(&p->pieces[i]);
    return MZT_OK;
}

mzt_status train_step_create(train_task *task, train_step *out, mzt_error *error) {
    const train_context *c = task->context;
    *out = (train_step){.batches = c->config->optimizer.accumulate * ranks_count(c->ranks)};
    graph *g = graph_create(c->host, c->type, c->type);
    if (!g) return error_memory(error, "graph", sizeof *g);
    out->loss_count = describe(task, g, out->batches > 1);
    TRY(network_prepare(c->device, g, &out->network, error));
    mzt_status status = find_buffers(out, task, error);
    if (status < 0) train_step_destroy(out);
    return status;
}

void train_step_destroy(train_step *s) {
    network_destroy(&s->network);
    *s = (train_step){0};
}

/* ------------------------------------------------------------------------------------------------ beginning
 * -- */

static weights_layout layout_of(const plan_piece *piece) {
    return piece->packing == PLAN_PACK_CONV_OHWI ? WEIGHTS_OIHW_TO_OHWI : WEIGHTS_PLAIN;
}

static mzt_status begin_piece(train_step *s, train_task *task, const plan_piece *piece,
                              const weights_set *const *sets, uint32_t set_count, mzt_error *error) {
    const base_host *host = task->context->host;
    const char *name = plan_string(s->network.plan, piece->name);
    const dtype type = (dtype)s->network.plan->buffers[piece->buffer].dtype;
    const uint64_t count = initial_count(piece), bytes = count * dtype_size(type);
    void *values = host_calloc(host, (size_t)count, dtype_size(type));
    if (!values) return error_memory(error, name, bytes);
    const weights_set *found = NULL;
    for (uint32_t i = 0; i < set_count && !found; i++)
        found = weights_find(sets[i], name) ? sets[i] : NULL;
    mzt_status status = MZT_OK;
    if (found) {
        uint64_t shape[4];
        for (uint32_t i = 0; i < piece->rank; i++)
            shape[i] = piece->shape[i];
        status = weights_load(found, name, shape, piece->rank, layout_of(piece), type, values, bytes, error);
    } else if (!is_trained(s->network.plan, piece)) {
        status = error_set(error, MZT_ERROR_NOT_FOUND, "%s: there is no tensor \"%s\"",
                           set_count ? weights_name(sets[0]) : "training", name);
    } else if (graph_is_adapter(NULL, name)) {
        train_lora_initial(name, piece, task->context->seed, values);
    } else {
        initial_values(name, piece, task->context->seed, values);
    }
    if (status >= 0)
        status = program_write(s->network.program, piece->buffer, piece->element * dtype_size(type), values,
                               bytes, error);
    host_free(host, values);
    return status;
}

/* All pieces that are trained, or all that are not. */
static mzt_status begin_pieces(train_step *s, train_task *task, bool trained, mzt_error *error) {
    const plan *p = s->network.plan;
    const weights_set *sets[2] = {NULL, NULL};
    const uint32_t set_count = task->functions->initial_weights(task, sets);
    for (uint32_t i = 0; i < p->piece_count; i++)
        if (is_trained(p, &p->pieces[i]) == trained)
            TRY(begin_piece(s, task, &p->pieces[i], sets, set_count, error));
    return MZT_OK;
}

mzt_status train_step_freeze(train_step *s, train_task *task, mzt_error *error) {
    return begin_pieces(s, task, false, error);
}

mzt_status train_step_begin(train_step *s, train_task *task, mzt_error *error) {
    TRY(begin_pieces(s, task, true, error));
    TRY(optimizer_reset(s->network.program, error));
    return optimizer_set_scale(s->network.program, task->context->config->optimizer.loss_scale, error);
}

/* --------------------------------------------------------------------------------------------------- saving
 * -- */

/* A list of tensors whose data are blocks of its own. */
typedef struct tensor_blocks {
    const base_host *host;
    weights_tensor *list;
    uint32_t count;
} tensor_blocks;

static mzt_status blocks_create(tensor_blocks *b, const base_host *host, uint32_t capacity,
                                mzt_error *error) {
    *b = (tensor_blocks){.host = host};
    b->list = host_calloc(host, capacity ? capacity : 1, sizeof *b->list);
    return b->list ? MZT_OK : error_memory(error, "checkpoint", capacity * sizeof *b->list);
}

static void blocks_free(tensor_blocks *b) {
    for (uint32_t i = 0; b->list && i < b->count; i++)
        host_free(b->host, (void *)(uintptr_t)b->list[i].data);
    if (b->host) host_free(b->host, b->list);
    *b = (tensor_blocks){0};
}

/* Reads bytes of a buffer into a new tensor at the list's end. */
static mzt_status blocks_read(tensor_blocks *b, program *from, uint32_t buffer, uint64_t offset,
                              const weights_tensor *form, mzt_error *error) {
    const uint64_t bytes = form->count * weights_dtype_size(form->dtype);
    uint8_t *data = host_realloc(b->host, NULL, (size_t)bytes, 1);
    if (!data) return error_memory(error, form->name, bytes);
    weights_tensor *t = &b->list[b->count++];
    *t = *form;
    t->data = data;
    return program_read(from, buffer, offset, data, bytes, error);
}

/* A file of a checkpoint. */
typedef struct weights_file {
    const train_task *task;
    const char *name;
} weights_file;

static bool belongs(const void *user, const char *parameter) {
    const weights_file *file = user;
    return strcmp(file->task->functions->file_of(file->task, parameter), file->name) == 0;
}

/* One file: the averages of all trained parameters that belong in it. */
static mzt_status save_weights(train_step *s, train_task *task, checkpoint_writer *c, const char *file,
                               mzt_error *error) {
    static const char *const metadata[] = {"format", "pt"}; /* other readers of such folders insist on it */
    const lora_options *lora = &task->context->config->lora;
    const base_host *host = task->context->host;
    const weights_file wanted = {task, file};
    collection averages;
    collection_begin(&averages, host);
    mzt_status status =
        collection_read_chosen(&averages, &s->network, "average.", "", belongs, &wanted, error);
    if (status >= 0)
        status = lora->rank
                     ? train_lora_save(c, host, lora, averages.tensors, averages.count, error)
                     : checkpoint_tensors(c, file, averages.tensors, averages.count, metadata, 1, error);
    collection_release(&averages);
    return status;
}

/* States that go into checkpoints: not those that every step makes anew. */
static bool is_kept(const plan *p, const plan_buffer *buffer) {
    const char *name = plan_string(p, buffer->name);
    return buffer->role == PLAN_ROLE_STATE && strncmp(name, "sum.", 4) != 0 &&
           strcmp(name, "optimizer.part") != 0;
}

static mzt_status save_state(train_step *s, train_task *task, checkpoint_writer *c,
                             const char *const *metadata, uint32_t metadata_count, mzt_error *error) {
    const plan *p = s->network.plan;
    tensor_blocks b;
    mzt_status status = blocks_create(&b, task->context->host, p->buffer_count, error);
    for (uint32_t i = 0; status >= 0 && i < p->buffer_count; i++) {
        const plan_buffer *buffer = &p->buffers[i];
        if (!is_kept(p, buffer)) continue;
        weights_tensor form = {.name = plan_string(p, buffer->name), .file = "checkpoint", .rank = 1};
        form.dtype = weights_dtype_of((dtype)buffer->dtype);
        form.count = form.shape[0] = buffer->bytes / dtype_size((dtype)buffer->dtype);
        status = blocks_read(&b, s->network.program, i, 0, &form, error);
    }
    if (status >= 0)
        status = checkpoint_tensors(c, "training_state.safetensors", b.list, b.count, metadata,
                                    metadata_count, error);
    blocks_free(&b);
    return status;
}

mzt_status train_step_save(train_step *s, train_task *task, checkpoint_writer *c, const char *const *metadata,
                           uint32_t metadata_count, mzt_error *error) {
    const plan *p = s->network.plan;
    for (uint32_t i = 0; i < p->piece_count; i++) {
        const char *file = task->functions->file_of(task, plan_string(p, p->pieces[i].name));
        bool first = true; /* the first parameter of a file has it written */
        for (uint32_t k = 0; k < i && first; k++)
            first = strcmp(file, task->functions->file_of(task, plan_string(p, p->pieces[k].name))) != 0;
        if (first) TRY(save_weights(s, task, c, file, error));
    }
    return save_state(s, task, c, metadata, metadata_count, error);
}

mzt_status train_step_load(train_step *s, const safetensors_file *state, const optimizer_config *optimizer,
                           mzt_error *error) {
    const plan *p = s->network.plan;
    TRY(optimizer_set_scale(s->network.program, optimizer->loss_scale, error));
    for (uint32_t i = 0; i < p->buffer_count; i++) {
        const plan_buffer *buffer = &p->buffers[i];
        if (!is_kept(p, buffer)) continue;
        const char *name = plan_string(p, buffer->name);
        const weights_tensor *t = safetensors_find(state, name);
        const uint64_t count = buffer->bytes / dtype_size((dtype)buffer->dtype);
        if (!t && i == s->scale) continue; /* until now the run was not in f16 */
        if (!t || t->count != count || t->dtype != weights_dtype_of((dtype)buffer->dtype))
            return error_set(error, MZT_ERROR_FORMAT,
                             "%s: state \"%.200s\": expected %llu values of %s, found %llu; was the "
                             "configuration changed?",
                             safetensors_name(state), name, (unsigned long long)count,
                             dtype_name((dtype)buffer->dtype), t ? (unsigned long long)t->count : 0ull);
        TRY(program_write(s->network.program, i, 0, t->data, buffer->bytes, error));
    }
    return MZT_OK;
}

/* -------------------------------------------------------------------------------------------------- running
 * -- */

mzt_status train_step_prepare(train_step *s, const optimizer_config *optimizer, uint64_t step,
                              train_step_result *result, mzt_error *error) {
    program *p = s->network.program;
    const uint32_t zero = 0;
    float row[OPTIMIZER_ROW_LENGTH], scale;
    *result = (train_step_result){.scale = NAN};
    optimizer_table(optimizer, step, 1, 1.0 / s->batches, row);
    TRY(program_write(p, s->table, 0, row, sizeof row, error));
    TRY(program_write(p, s->counter, 0, &zero, sizeof zero, error));
    if (s->part != PLAN_NONE) TRY(program_write(p, s->part, 0, &zero, sizeof zero, error));
    if (s->scale == PLAN_NONE) return MZT_OK;
    TRY(program_read(p, s->scale, LOSS_SCALE_NOW * sizeof scale, &scale, sizeof scale, error));
    result->scale = (double)scale;
    return MZT_OK;
}

static mzt_status run_phase(train_step *s, uint32_t index, double *seconds, mzt_error *error) {
    const plan_phase *phase = &s->network.plan->phases[index];
    const run_control control = {.seconds = seconds ? seconds + phase->first : NULL};
    return phase->count ? program_run(s->network.program, phase->first, phase->count, &control, error)
                        : MZT_OK;
}

mzt_status train_step_run(train_step *s, train_step_result *result, double *seconds, mzt_error *error) {
    float value;
    for (uint32_t i = 0; i < s->network.plan->phase_count; i++)
        if (i == s->phase || (i != s->update && !s->set_up)) TRY(run_phase(s, i, seconds, error));
    s->set_up = true;
    for (uint32_t i = 0; i < s->loss_count; i++) {
        TRY(program_read(s->network.program, s->losses[i], 0, &value, sizeof value, error));
        result->loss += (double)value / s->batches;
    }
    return MZT_OK;
}

/* Adds up one sum of gradients over the ranks. What goes wrong here is told the others afterwards: they are
 * waiting for the values. */
static mzt_status exchange_buffer(train_step *s, uint32_t buffer, ranks *others, float *block,
                                  mzt_status status, mzt_error *error) {
    const uint64_t bytes = s->network.plan->buffers[buffer].bytes;
    for (uint64_t at = 0; at < bytes; at += EXCHANGE * sizeof *block) {
        const uint64_t size = bytes - at < EXCHANGE * sizeof *block ? bytes - at : EXCHANGE * sizeof *block;
        if (status >= 0) status = program_read(s->network.program, buffer, at, block, size, error);
        mzt_status sent =
            ranks_sum(others, block, (uint32_t)(size / sizeof *block), status >= 0 ? error : NULL);
        if (status >= 0) status = sent;
        if (status >= 0) status = program_write(s->network.program, buffer, at, block, size, error);
    }
    return status;
}

static mzt_status exchange(train_step *s, ranks *others, train_step_result *result, mzt_error *error) {
    const plan *p = s->network.plan;
    const base_host *host = s->network.program->owner->host;
    float *block = host_calloc(host, EXCHANGE, sizeof *block);
    mzt_status status = block ? MZT_OK : error_memory(error, "gradients", EXCHANGE * sizeof *block);
    status = ranks_agree(others, status, error);
    const bool all_well = status >= 0;
    for (uint32_t i = 0; all_well && i < p->buffer_count; i++)
        if (strncmp(plan_string(p, p->buffers[i].name), "sum.", 4) == 0 &&
            p->buffers[i].role == PLAN_ROLE_STATE)
            status = exchange_buffer(s, i, others, block, status, error);
    host_free(host, block);
    TRY(ranks_agree(others, status, error));
    result->loss *= ranks_count(others); /* each has its share of the mean so far */
    return ranks_mean(others, &result->loss, error);
}

mzt_status train_step_finish(train_step *s, ranks *others, train_step_result *result, double *seconds,
                             mzt_error *error) {
    program *p = s->network.program;
    float squares;
    if (others) TRY(exchange(s, others, result, error));
    if (s->update != PLAN_NONE) TRY(run_phase(s, s->update, seconds, error));
    TRY(program_read(p, s->norm, 0, &squares, sizeof squares, error));
    result->norm = sqrt((double)squares) / s->batches;
    if (!isnan(result->scale)) result->norm /= result->scale;
    const double same = isfinite(result->norm) ? result->norm : INFINITY;
    return ranks_check_same(others, same, "the norm of the summed gradients", error);
}
