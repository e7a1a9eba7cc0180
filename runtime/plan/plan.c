/* Plans as data: destruction, look-ups and totals. */
#include "plan/plan.h"

#include <string.h>

void plan_destroy(plan *p) {
    if (!p) return;
    const base_host *host = p->host;
    host_free(host, p->buffers);
    host_free(host, p->pieces);
    host_free(host, p->dispatches);
    host_free(host, p->phases);
    host_free(host, p->strings);
    host_free(host, p);
}

uint32_t plan_find_buffer(const plan *p, const char *name) {
    for (uint32_t i = 0; name[0] && i < p->buffer_count; i++)
        if (strcmp(plan_string(p, p->buffers[i].name), name) == 0) return i;
    return PLAN_NONE;
}

uint32_t plan_find_phase(const plan *p, const char *name) {
    for (uint32_t i = 0; i < p->phase_count; i++)
        if (strcmp(plan_string(p, p->phases[i].name), name) == 0) return i;
    return PLAN_NONE;
}

/* A decimal number below `limit`, or PLAN_NONE. */
static uint32_t decimal(const char *text, uint32_t limit) {
    uint64_t value = 0;
    if (!text[0]) return PLAN_NONE;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return PLAN_NONE;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= limit) return PLAN_NONE;
    }
    return (uint32_t)value;
}

uint32_t plan_find_dispatch(const plan *p, const char *name_or_index) {
    for (uint32_t i = 0; i < p->dispatch_count; i++)
        if (strcmp(plan_string(p, p->dispatches[i].node), name_or_index) == 0) return i;
    return decimal(name_or_index, p->dispatch_count);
}

uint64_t plan_flops(const plan *p, uint32_t phase) {
    if (phase >= p->phase_count) return 0;
    uint64_t total = 0;
    const plan_phase *range = &p->phases[phase];
    for (uint32_t i = range->first; i - range->first < range->count && i < p->dispatch_count; i++)
        if (!size_add(total, p->dispatches[i].flops, &total)) return UINT64_MAX;
    return total;
}
