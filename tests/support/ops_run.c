/* A plan of one dispatch, built by hand; see ops_run.h. */
#include "ops_run.h"

#include <math.h>
#include <stdlib.h>

enum { GUARD_BYTES = 1024, TAIL_BYTES = 64, GUARD_BYTE = 0xa5, BUFFERS = 2 * OP_MAX_BINDINGS + 1 };

static const char strings[] = "\0guard\0binding\0main\0node";
enum { NAME_GUARD = 1, NAME_BINDING = 7, NAME_MAIN = 15, NAME_NODE = 20 };

/* The plan and the bytes of each of its buffers before the run. */
typedef struct bench {
    plan plan;
    plan_buffer buffers[BUFFERS];
    plan_dispatch dispatch;
    plan_phase phase;
    uint8_t *before[BUFFERS];
    uint32_t binding_of[BUFFERS]; /* PLAN_NONE: a guard */
} bench;

uint64_t ops_case_bytes(const ops_case *c, uint32_t binding) {
    return align_up(dtype_bytes(c->types[binding], c->elements[binding]), 4);
}

uint64_t ops_output_offset(const ops_case *c, uint32_t binding) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < binding; i++)
        if (op_get(c->op)->bindings[i].access & OP_WRITE) bytes += ops_case_bytes(c, i);
    return bytes;
}

uint64_t ops_output_bytes(const ops_case *c) {
    return ops_output_offset(c, op_get(c->op)->binding_count);
}

double ops_limit(const ops_case *c) {
    return op_get(c->op)->limit[c->activation];
}

static bool is_weight(const ops_case *c, const op_binding_info *info) {
    bool matrix = info->class_ == OP_CLASS_WEIGHT || info->class_ == OP_CLASS_MATRIX;
    if (info->access != OP_READ || (matrix && c->changing_weights)) return false;
    return matrix || strcmp(info->name, "bias") == 0 || strcmp(info->name, "gamma") == 0 ||
           strcmp(info->name, "beta") == 0;
}

static bool add_buffer(bench *b, uint32_t binding, plan_buffer_kind kind, dtype type, uint64_t bytes) {
    uint32_t index = b->plan.buffer_count++;
    b->buffers[index] = (plan_buffer){.name = binding == PLAN_NONE ? NAME_GUARD : NAME_BINDING,
                                      .kind = kind,
                                      .dtype = type,
                                      .shape = {1, 1, 1, (uint32_t)dtype_elements(type, bytes)},
                                      .bytes = bytes};
    if (kind == PLAN_WEIGHT) {
        b->plan.weight_bytes += bytes;
    } else {
        b->buffers[index].offset = b->plan.arena_bytes;
        b->plan.arena_bytes += align_up(bytes, PLAN_ALIGNMENT);
    }
    b->binding_of[index] = binding;
    b->before[index] = malloc((size_t)bytes);
    if (b->before[index]) memset(b->before[index], GUARD_BYTE, (size_t)bytes);
    return b->before[index] != NULL;
}

static bool build(bench *b, const base_host *host, const ops_case *c) {
    const op_info *info = op_get(c->op);
    memset(b, 0, sizeof *b);
    b->plan = (plan){.host = host,
                     .activation = c->activation,
                     .weight = c->weight,
                     .buffers = b->buffers,
                     .dispatches = &b->dispatch,
                     .dispatch_count = 1,
                     .phases = &b->phase,
                     .phase_count = 1,
                     .strings = (char *)(uintptr_t)strings,
                     .string_bytes = sizeof strings};
    b->phase = (plan_phase){.name = NAME_MAIN, .first = 0, .count = 1};
    b->dispatch = (plan_dispatch){.op = c->op,
                                  .barrier = 1,
                                  .node = NAME_NODE,
                                  .flops = op_flops(c->op, &c->params),
                                  .params = c->params};
    if (!add_buffer(b, PLAN_NONE, PLAN_PERSISTENT, DTYPE_U32, GUARD_BYTES)) return false;
    for (uint32_t i = 0; i < OP_MAX_BINDINGS; i++) {
        b->dispatch.bindings[i].buffer = PLAN_NONE;
        if (i >= info->binding_count || c->elements[i] == 0) continue;
        uint64_t bytes = ops_case_bytes(c, i);
        b->dispatch.bindings[i] = (plan_binding){.buffer = b->plan.buffer_count, .range = bytes};
        b->dispatch.bytes += bytes;
        plan_buffer_kind kind = is_weight(c, &info->bindings[i]) ? PLAN_WEIGHT : PLAN_PERSISTENT;
        if (!add_buffer(b, i, kind, c->types[i], bytes + (kind == PLAN_WEIGHT ? 0 : TAIL_BYTES)))
            return false;
        ops_case_fill(c, i, b->before[b->plan.buffer_count - 1]);
        if (!add_buffer(b, PLAN_NONE, PLAN_PERSISTENT, DTYPE_U32, GUARD_BYTES)) return false;
    }
    return true;
}

static void destroy(bench *b) {
    for (uint32_t i = 0; i < BUFFERS; i++)
        free(b->before[i]);
}

/* Compares buffer `index` after the run with what it held before, except where the op writes. */
static mzt_status check_untouched(const bench *b, const ops_case *c, uint32_t index, const uint8_t *after,
                                  mzt_error *error) {
    const op_info *info = op_get(c->op);
    uint32_t binding = b->binding_of[index];
    uint64_t first = 0, end = 0;
    if (binding != PLAN_NONE && (info->bindings[binding].access & OP_WRITE)) {
        first = c->regions[binding].first * dtype_size(c->types[binding]);
        end = c->regions[binding].end * dtype_size(c->types[binding]);
    }
    for (uint64_t i = 0; i < b->buffers[index].bytes; i++) {
        if ((i >= first && i < end) || after[i] == b->before[index][i]) continue;
        return error_set(error, MZT_ERROR_MISMATCH, "byte %llu of %s changed; only %llu ... %llu may",
                         (unsigned long long)i,
                         binding == PLAN_NONE ? "a guard zone" : info->bindings[binding].name,
                         (unsigned long long)first, (unsigned long long)end);
    }
    return MZT_OK;
}

static mzt_status read_back(program *g, const bench *b, const ops_case *c, void *out, mzt_error *error) {
    for (uint32_t i = 0; i < b->plan.buffer_count; i++) {
        uint8_t *after = malloc((size_t)b->buffers[i].bytes);
        if (!after) return error_memory(error, "buffer", b->buffers[i].bytes);
        mzt_status status = program_read(g, i, 0, after, b->buffers[i].bytes, error);
        if (status >= 0) status = check_untouched(b, c, i, after, error);
        uint32_t binding = b->binding_of[i];
        if (status >= 0 && binding != PLAN_NONE && (op_get(c->op)->bindings[binding].access & OP_WRITE))
            memcpy((uint8_t *)out + ops_output_offset(c, binding), after, (size_t)ops_case_bytes(c, binding));
        free(after);
        TRY(status);
    }
    return MZT_OK;
}

static mzt_status run_timed(program *g, uint32_t repeat, double *seconds, mzt_error *error) {
    TRY(program_run_phase(g, "main", NULL, error));
    if (seconds) *seconds = INFINITY;
    for (uint32_t i = 0; seconds && i < repeat; i++) {
        double spent = 0;
        run_control control = {.seconds = &spent};
        TRY(program_run_phase(g, "main", &control, error));
        if (spent < *seconds) *seconds = spent;
    }
    return MZT_OK;
}

mzt_status ops_run(executor *e, const ops_case *c, uint32_t repeat, double *seconds, void *out,
                   mzt_error *error) {
    bench b;
    program *g = NULL;
    mzt_status status = build(&b, e->host, c) ? MZT_OK : error_memory(error, "case", b.plan.arena_bytes);
    if (status >= 0) status = executor_prepare(e, &b.plan, &g, error);
    for (uint32_t i = 0; status >= 0 && i < b.plan.buffer_count; i++)
        status = program_write(g, i, 0, b.before[i], b.buffers[i].bytes, error);
    if (status >= 0) status = program_seal(g, error);
    if (status >= 0) status = run_timed(g, repeat, seconds, error);
    if (status >= 0) status = read_back(g, &b, c, out, error);
    program_destroy(g);
    destroy(&b);
    return status;
}

static mzt_status prepare_slices(program *g, const bench *b, uint64_t budget_us, mzt_error *error) {
    mzt_status status = MZT_PENDING;
    for (uint32_t i = 0; i < b->plan.buffer_count; i++)
        TRY(program_queue_write(g, i, 0, b->before[i], b->buffers[i].bytes, error));
    TRY(program_queue_seal(g, error));
    while (status == MZT_PENDING)
        status = program_prepare_advance(g, budget_us, NULL, error);
    return status;
}

static mzt_status advance_all(program *g, uint64_t budget_us, uint32_t *slices, mzt_error *error) {
    mzt_status status = MZT_PENDING;
    uint32_t count = 0;
    TRY(program_begin_phase(g, "main", 1, error));
    for (; status == MZT_PENDING; count++) {
        status = program_advance(g, budget_us, NULL, error);
        if (status == MZT_PENDING) TRY(program_wait(g, 1000, error));
    }
    if (slices) *slices = count;
    return status;
}

mzt_status ops_run_slices(executor *e, const ops_case *c, uint64_t budget_us, uint32_t *slices, void *out,
                          mzt_error *error) {
    bench b;
    program *g = NULL;
    mzt_status status = build(&b, e->host, c) ? MZT_OK : error_memory(error, "case", b.plan.arena_bytes);
    if (status >= 0) status = executor_prepare_begin(e, &b.plan, &g, error);
    if (status >= 0) status = prepare_slices(g, &b, budget_us, error);
    if (status >= 0) status = advance_all(g, budget_us, slices, error);
    if (status >= 0) status = read_back(g, &b, c, out, error);
    program_destroy(g);
    destroy(&b);
    return status;
}

/* One written binding. */
static double compare(const ops_case *c, uint32_t output, const void *out, const void *reference) {
    dtype type = c->types[output];
    size_t size = dtype_size(type), first = (size_t)c->regions[output].first,
           end = (size_t)c->regions[output].end;
    if (memcmp((const uint8_t *)out + first * size, (const uint8_t *)reference + first * size,
               (end - first) * size) == 0)
        return 0;
    if (ops_limit(c) == 0) return INFINITY;
    double difference = 0, norm = 0;
    for (size_t i = first; i < end; i++) {
        double expected = dtype_load(type, reference, i), distance = dtype_load(type, out, i) - expected;
        difference += distance * distance;
        norm += expected * expected;
    }
    double error = norm > 0 ? sqrt(difference / norm) : INFINITY;
    return isfinite(error) ? error : INFINITY;
}

double ops_compare(const ops_case *c, const void *out, const void *reference) {
    double worst = 0;
    for (uint32_t i = 0; i < op_get(c->op)->binding_count; i++) {
        if (!(op_get(c->op)->bindings[i].access & OP_WRITE)) continue;
        uint64_t offset = ops_output_offset(c, i);
        worst =
            fmax(worst, compare(c, i, (const uint8_t *)out + offset, (const uint8_t *)reference + offset));
    }
    return worst;
}
