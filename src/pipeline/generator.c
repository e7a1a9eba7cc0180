/* Networks kept on a device; see generator.h. */
#include "pipeline/generator.h"

generator generator_make(const model *m, executor *e, precision p) {
    return (generator){.m = m, .e = e, .precision = p};
}

static void drop(generator *g, uint32_t kind) {
    network_make_end(&g->parts[kind].maker);
    network_destroy(&g->parts[kind].network);
    g->parts[kind].there = g->parts[kind].begun = false;
}

bool generator_has(const generator *g, const part_spec *spec) {
    return g->parts[spec->kind].there && part_spec_equal(&g->parts[spec->kind].spec, spec);
}

static mzt_status check_limit(const generator *g, const char *name, mzt_error *error) {
    const uint64_t held = generator_memory(g);
    if (!g->memory_limit || held <= g->memory_limit) return MZT_OK;
    return error_set(error, MZT_ERROR_OUT_OF_MEMORY,
                     "%s: the networks would hold %llu bytes on the device, the limit is %llu", name,
                     (unsigned long long)held, (unsigned long long)g->memory_limit);
}

/* Compiles and allocates in place of what is in the way. */
static mzt_status begin(generator *g, const part_spec *spec, mzt_error *error) {
    const uint32_t kind = spec->kind;
    for (uint32_t i = 0; i < PART_KIND_COUNT; i++)
        if (i == kind || g->turns) drop(g, i);
    g->parts[kind].spec = *spec;
    TRY(part_begin(g->m, g->e, g->precision, spec, &g->parts[kind].network, &g->parts[kind].maker, error));
    g->parts[kind].begun = true;
    return check_limit(g, part_name((part_kind)kind), error);
}

mzt_status generator_need(generator *g, const part_spec *spec, uint64_t budget_us, network **out,
                          mzt_error *error) {
    const uint32_t kind = spec->kind;
    *out = &g->parts[kind].network;
    if (generator_has(g, spec)) return MZT_OK;
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
    if (status >= 0) status = check_limit(g, part_name((part_kind)kind), error); /* packed copies count too */
    if (status < 0) {
        drop(g, kind);
        return status;
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
