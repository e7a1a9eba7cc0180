/* AdamW over all trained parameters; see optimizer.h. */
#include "train/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/build.h"

#define NORM_PART  65536u /* elements in one partial sum of squares */
#define NORM_PARTS 256u   /* of one tensor, at most */

static uint32_t norm_part(uint32_t count) {
    uint32_t each = ceil_div(count, NORM_PARTS);
    if (each < NORM_PART) each = NORM_PART;
    return each < count ? each : count;
}

/* The sum of squares of all gradients: parts of every tensor side by side, then one sum. */
static tensor describe_norm(graph *g, const graph_gradients *gradients) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < gradients->count; i++) {
        uint32_t count = graph_elements(graph_shape(g, gradients->items[i].gradient));
        total += ceil_div(count, norm_part(count));
    }
    tensor parts = graph_new_tensor(g, GRAPH_VALUE, DTYPE_F32, (shape4){1, 1, 1, total});
    uint32_t first = 0;
    for (uint32_t i = 0; i < gradients->count && graph_ok(g); i++) {
        tensor x = gradients->items[i].gradient;
        uint32_t count = graph_elements(graph_shape(g, x)), each = norm_part(count),
                 own = ceil_div(count, each);
        op_params params = {
            .square_sum = {.count = count, .parts = own, .per_part = each, .out_first = first}};
        graph_scope_begin(g, "%s", g->tensors[gradients->items[i].parameter].name);
        graph_emit(g, OP_SQUARE_SUM, "square_sum", (tensor[OP_MAX_BINDINGS]){x, parts}, &params,
                   (shape4){1, 1, 1, total}, DTYPE_F32);
        graph_scope_end(g);
        first += own;
    }
    op_params sum = {.reduce_sum = {.parts = total, .count = 1, .stride = 1, .scale = 1}};
    tensor norm = graph_emit(g, OP_REDUCE_SUM, "norm", (tensor[OP_MAX_BINDINGS]){parts}, &sum,
                             (shape4){1, 1, 1, 1}, DTYPE_F32);
    graph_output(g, norm, "optimizer.norm");
    return norm;
}

/* A state beside a parameter: "<kind>.<parameter>". */
static tensor companion(graph *g, const char *kind, tensor parameter) {
    if (!graph_ok(g)) return TENSOR_NONE;
    const graph_tensor *t = &g->tensors[parameter];
    size_t size = strlen(kind) + strlen(t->name) + 2;
    char *name = host_calloc(g->host, size, 1);
    if (!name) {
        graph_fail(g, MZT_ERROR_OUT_OF_MEMORY, "%s: out of memory for its optimiser", t->name);
        return TENSOR_NONE;
    }
    snprintf(name, size, "%s.%s", kind, t->name);
    tensor x = graph_state(g, name, DTYPE_F32, t->shape);
    host_free(g->host, name);
    return x;
}

static void describe_update(graph *g, const graph_gradient *gradient, const optimizer_options *options,
                            tensor table, tensor step, tensor norm) {
    tensor weight = gradient->parameter;
    if (g->tensors[weight].kind != GRAPH_STATE || g->tensors[weight].piece_count == 0) {
        graph_fail(g, MZT_ERROR_INVALID, "tensor %u is to be trained, but is no trainable parameter", weight);
        return;
    }
    bool vector = g->tensors[weight].pieces[0].rank == 1;
    tensor m = companion(g, "m", weight), v = companion(g, "v", weight),
           average = options->average ? companion(g, "average", weight) : TENSOR_NONE;
    op_params params = {.adamw = {.count = graph_elements(graph_shape(g, weight)),
                                  .steps = options->rows,
                                  .flags = (norm ? ADAMW_NORM : 0) | (average ? ADAMW_AVERAGE : 0) |
                                           (options->scale ? ADAMW_SCALED : 0),
                                  .rate = 1,
                                  .decay = vector && !options->decay_vectors ? 0 : 1}};
    if (!graph_ok(g)) return;
    graph_scope_begin(g, "%s", g->tensors[weight].name);
    graph_emit(g, OP_ADAMW, "adamw",
               (tensor[OP_MAX_BINDINGS]){gradient->gradient, table, step, norm, weight, m, v, average},
               &params, graph_shape(g, weight), DTYPE_F32);
    graph_scope_end(g);
}

tensor optimizer_scale(graph *g) {
    return graph_state(g, "optimizer.scale", DTYPE_F32, (shape4){1, 1, 1, LOSS_SCALE_LENGTH});
}

void optimizer_sum_batches(graph *g, graph_gradients *gradients) {
    tensor part = graph_state(g, "optimizer.part", DTYPE_U32, (shape4){1, 1, 1, 1});
    g->part = GRAPH_BACKWARD;
    for (uint32_t i = 0; i < gradients->count && graph_ok(g); i++) {
        graph_gradient *gradient = &gradients->items[i];
        const shape4 shape = graph_shape(g, gradient->parameter);
        op_params params = {.accumulate = {.count = graph_elements(shape)}};
        tensor sum = companion(g, "sum", gradient->parameter);
        graph_scope_begin(g, "%s", g->tensors[gradient->parameter].name);
        graph_emit(g, OP_ACCUMULATE, "accumulate", (tensor[OP_MAX_BINDINGS]){gradient->gradient, part, sum},
                   &params, shape, DTYPE_F32);
        graph_scope_end(g);
        gradient->gradient = sum;
    }
    graph_step_advance(g, part);
    graph_begin_update(g);
}

void optimizer_describe(graph *g, const graph_gradients *gradients, const optimizer_options *options) {
    if (graph_ok(g) && (gradients->count == 0 || options->rows == 0))
        graph_fail(g, MZT_ERROR_INVALID, "optimiser: %u parameters and a table of %u rows",
                   (unsigned)gradients->count, (unsigned)options->rows);
    tensor table =
        graph_input(g, "optimizer.table", DTYPE_F32, (shape4){options->rows, 1, 1, OPTIMIZER_ROW_LENGTH});
    tensor step = graph_state(g, "optimizer.step", DTYPE_U32, (shape4){1, 1, 1, 1});
    graph_scope_begin(g, "optimizer");
    tensor norm = options->clip && graph_ok(g) ? describe_norm(g, gradients) : TENSOR_NONE;
    if (options->scale && norm) {
        op_params scale = {.loss_scale = {.grow_after = options->scale_steps,
                                          .least = (float)LOSS_SCALE_LEAST,
                                          .most = (float)LOSS_SCALE_MOST}};
        norm = graph_emit(g, OP_LOSS_SCALE, "scale", (tensor[OP_MAX_BINDINGS]){norm, options->scale}, &scale,
                          graph_shape(g, options->scale), DTYPE_F32);
    }
    for (uint32_t i = 0; i < gradients->count && graph_ok(g); i++)
        describe_update(g, &gradients->items[i], options, table, step, norm);
    graph_step_advance(g, step);
    graph_scope_end(g);
}

void optimizer_table(const optimizer_config *config, uint64_t first, uint32_t rows, double gradient_scale,
                     float *table) {
    memset(table, 0, (size_t)rows * OPTIMIZER_ROW_LENGTH * sizeof *table);
    for (uint32_t i = 0; i < rows; i++) {
        float *row = table + (size_t)i * OPTIMIZER_ROW_LENGTH;
        double number = (double)(first + i) + 1;
        row[OPTIMIZER_ROW_LEARNING_RATE] = (float)train_learning_rate(config, first + i);
        row[OPTIMIZER_ROW_BETA1] = (float)config->beta1;
        row[OPTIMIZER_ROW_BETA2] = (float)config->beta2;
        row[OPTIMIZER_ROW_EPSILON] = (float)config->epsilon;
        row[OPTIMIZER_ROW_WEIGHT_DECAY] = (float)config->weight_decay;
        row[OPTIMIZER_ROW_BIAS1] = (float)(1 - pow(config->beta1, number));
        row[OPTIMIZER_ROW_BIAS2] = (float)(1 - pow(config->beta2, number));
        row[OPTIMIZER_ROW_MAX_NORM] = (float)config->max_norm;
        row[OPTIMIZER_ROW_GRADIENT_SCALE] = (float)gradient_scale;
        row[OPTIMIZER_ROW_EMA_DECAY] = (float)train_ema_decay(config, first + i);
    }
}

/* ------------------------------------------------------------------------------------------------------
 * state -- */

enum { PIECE_BYTES = 1 << 20 };

/* Fills `to` with zeros, or with the bytes of `from`. */
static mzt_status fill(program *target, uint32_t to, uint32_t from, uint8_t *block, mzt_error *error) {
    uint64_t bytes = target->plan->buffers[to].bytes;
    memset(block, 0, PIECE_BYTES);
    for (uint64_t at = 0; at < bytes; at += PIECE_BYTES) {
        uint64_t size = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        if (from != PLAN_NONE) TRY(program_read(target, from, at, block, size, error));
        TRY(program_write(target, to, at, block, size, error));
    }
    return MZT_OK;
}

mzt_status optimizer_reset(program *target, mzt_error *error) {
    static const char *const prefixes[] = {"m.", "v.", "average."};
    const plan *p = target->plan;
    const base_host *host = target->owner->host;
    uint8_t *block = host_calloc(host, PIECE_BYTES, 1);
    mzt_status status = block ? MZT_OK : error_memory(error, "the optimiser's state", PIECE_BYTES);
    for (uint32_t i = 0; i < p->buffer_count && status >= 0; i++) {
        const char *name = plan_string(p, p->buffers[i].name);
        if (p->buffers[i].role != PLAN_ROLE_STATE) continue;
        if (strcmp(name, "optimizer.step") == 0) status = fill(target, i, PLAN_NONE, block, error);
        for (uint32_t k = 0; k < 3 && status >= 0; k++) {
            size_t length = strlen(prefixes[k]);
            if (strncmp(name, prefixes[k], length) != 0) continue;
            uint32_t parameter = plan_find_buffer(p, name + length);
            if (parameter == PLAN_NONE || p->buffers[parameter].bytes != p->buffers[i].bytes) continue;
            status = fill(target, i, k == 2 ? parameter : PLAN_NONE, block, error);
        }
    }
    host_free(host, block);
    return status;
}

mzt_status optimizer_set_scale(program *target, double scale, mzt_error *error) {
    const float state[LOSS_SCALE_LENGTH] = {
        [LOSS_SCALE_NOW] = (float)scale, [LOSS_SCALE_INVERSE] = (float)(1 / scale)};
    const uint32_t buffer = plan_find_buffer(target->plan, "optimizer.scale");
    return buffer == PLAN_NONE ? MZT_OK : program_write(target, buffer, 0, state, sizeof state, error);
}
