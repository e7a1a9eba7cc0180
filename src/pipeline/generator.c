/* Networks kept on a device; see generator.h. */
#include "pipeline/generator.h"

#include "stream.h"

generator generator_make(const model *m, executor *e, precision p) {
    return (generator){.m = m, .e = e, .precision = p};
}

static void drop(generator *g, uint32_t kind) {
    network_make_end(&g->parts[kind].maker);
    network_destroy(&g->parts[kind].network);
    executor_destroy(g->parts[kind].stream);
    g->parts[kind].stream = NULL;
    g->parts[kind].there = g->parts[kind].begun = false;
}

bool generator_has(const generator *g, const part_spec *spec) {
    return g->parts[spec->kind].there && part_spec_equal(&g->parts[spec->kind].spec, spec);
}

/* Compiles and allocates in place of what is in the way. */
static mzt_status begin(generator *g, const part_spec *spec, mzt_error *error) {
    const uint32_t kind = spec->kind;
    for (uint32_t i = 0; i < PART_KIND_COUNT; i++)
        if (i == kind || g->turns) drop(g, i);
    g->parts[kind].spec = *spec;
    TRY(g->m->begin_part(g->m, g->e, g->precision, spec, &g->parts[kind].network, &g->parts[kind].maker,
                         error));
    g->parts[kind].begun = true;
    return MZT_OK;
}

/* Gives other networks up until `bytes` more would fit, or none is left. */
static void make_room(generator *g, uint32_t kind, uint64_t bytes) {
    for (uint32_t i = 0; i < PART_KIND_COUNT; i++) {
        const uint64_t held = generator_memory(g);
        if (held <= g->memory_limit && bytes <= g->memory_limit - held) return;
        if (i != kind) drop(g, i);
    }
}

static mzt_status create_now(generator *g, executor *e, const part_spec *spec, mzt_error *error) {
    network *n = &g->parts[spec->kind].network;
    network_maker maker;
    mzt_status status = g->m->begin_part(g->m, e, g->precision, spec, n, &maker, error);
    if (status >= 0) status = network_make_advance(&maker, n, BUDGET_UNLIMITED, error);
    network_make_end(&maker);
    return status < 0 ? error_prefix(error, "%s: ", part_name((part_kind)spec->kind)) : status;
}

static mzt_status create_streamed(generator *g, const part_spec *spec, uint64_t limit, mzt_error *error) {
    const uint32_t kind = spec->kind;
    network *n = &g->parts[kind].network;
    TRY(stream_executor_create(g->e, limit, &g->parts[kind].stream, error));
    TRY(create_now(g, g->parts[kind].stream, spec, error));
    host_log(g->m->host, MZT_LOG_WARNING,
             "%s: does not fit %.1f MB; %.1f MB of its weights are copied in every run, which is slow",
             part_name((part_kind)kind), (double)g->memory_limit * 1e-6,
             (double)stream_program_bytes(n->program) * 1e-6);
    return MZT_OK;
}

/* Whole, if the estimate says that it fits, else streamed. What executors hold beyond the estimate (packed
 * copies, alignment) is only known afterwards: then once more, with so much less. */
static mzt_status create_within(generator *g, const part_spec *spec, mzt_error *error) {
    const uint32_t kind = spec->kind;
    uint64_t weights, activations, limit = g->memory_limit;
    TRY(g->m->estimate_part(g->m, &g->e->limits, g->precision, spec, &weights, &activations, error));
    make_room(g, kind, weights + activations);
    bool streamed = weights + activations > limit;
    for (uint32_t attempt = 0; attempt < 3; attempt++) {
        if (streamed)
            TRY(create_streamed(g, spec, limit, error));
        else
            TRY(create_now(g, g->e, spec, error));
        const uint64_t held = generator_memory(g), over = held > g->memory_limit ? held - g->memory_limit : 0;
        if (over == 0) return MZT_OK;
        for (uint32_t i = 0; i < PART_KIND_COUNT; i++)
            drop(g, i);
        if (over >= limit) break;
        limit = (streamed ? limit : weights + activations) - over;
        streamed = true;
    }
    return error_set(
        error, MZT_ERROR_OUT_OF_MEMORY,
        "%s: %llu bytes of weights and %llu of activations do not fit the limit of %llu, not even in parts",
        part_name((part_kind)kind), (unsigned long long)weights, (unsigned long long)activations,
        (unsigned long long)g->memory_limit);
}

/* With a limit: in one go. */
static mzt_status need_within(generator *g, const part_spec *spec, mzt_error *error) {
    const uint32_t kind = spec->kind;
    for (uint32_t i = 0; i < PART_KIND_COUNT; i++)
        if (i == kind || g->turns) drop(g, i);
    mzt_status status = create_within(g, spec, error);
    if (status < 0) {
        drop(g, kind);
        return status;
    }
    g->parts[kind].spec = *spec;
    g->parts[kind].there = true;
    return MZT_OK;
}

mzt_status generator_need(generator *g, const part_spec *spec, uint64_t budget_us, network **out,
                          mzt_error *error) {
    const uint32_t kind = spec->kind;
    *out = &g->parts[kind].network;
    if (generator_has(g, spec)) return MZT_OK;
    if (g->memory_limit) return need_within(g, spec, error);
    mzt_status status = MZT_OK;
    if (!g->parts[kind].begun || !part_spec_equal(&g->parts[kind].spec, spec)) {
        status = begin(g, spec, error);
        if (status >= 0 && budget_us != BUDGET_UNLIMITED) return MZT_PENDING;
    }
    if (status >= 0) {
        status = network_make_advance(&g->parts[kind].maker, *out, budget_us, error);
        if (status < 0) error_prefix(error, "%s: ", part_name((part_kind)kind));
    }
    if (status == MZT_PENDING) return status;
    if (status < 0) {
        drop(g, kind);
        if (status != MZT_ERROR_OUT_OF_MEMORY || !g->e->limits.memory) return status;
        g->memory_limit = g->e->limits.memory / 8 * 7; /* none was given, but the device has one */
        return need_within(g, spec, error);
    }
    network_make_end(&g->parts[kind].maker);
    g->parts[kind].begun = false;
    g->parts[kind].there = true;
    return MZT_OK;
}

uint64_t generator_memory(const generator *g) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < PART_KIND_COUNT; i++)
        if (g->parts[i].network.program) bytes += program_memory(g->parts[i].network.program);
    return bytes;
}

void generator_release(generator *g) {
    for (uint32_t i = 0; i < PART_KIND_COUNT; i++)
        drop(g, i);
}
