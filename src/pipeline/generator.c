/* Networks kept on a device; see generator.h. */
#include "pipeline/generator.h"

generator generator_make(const model *m, executor *e, precision p) {
    return (generator){.m = m, .e = e, .precision = p};
}

static void drop(generator *g, uint32_t kind) {
    network_destroy(&g->parts[kind].network);
    g->parts[kind].there = false;
}

bool generator_has(const generator *g, const part_spec *spec) {
    return g->parts[spec->kind].there && part_spec_equal(&g->parts[spec->kind].spec, spec);
}

mzt_status generator_need(generator *g, const part_spec *spec, uint64_t budget_us, network **out,
                          mzt_error *error) {
    const uint32_t kind = spec->kind;
    (void)budget_us;
    *out = &g->parts[kind].network;
    if (generator_has(g, spec)) return MZT_OK;
    for (uint32_t i = 0; i < PART_KIND_COUNT; i++)
        if (i == kind || g->turns) drop(g, i);
    TRY(part_create(g->m, g->e, g->precision, spec, *out, error));
    g->parts[kind].spec = *spec;
    g->parts[kind].there = true;
    const uint64_t held = generator_memory(g);
    if (!g->memory_limit || held <= g->memory_limit) return MZT_OK;
    drop(g, kind);
    return error_set(error, MZT_ERROR_OUT_OF_MEMORY,
                     "%s: the networks would hold %llu bytes on the device, the limit is %llu",
                     part_name((part_kind)kind), (unsigned long long)held,
                     (unsigned long long)g->memory_limit);
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
