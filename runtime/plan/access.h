/* The bytes that a dispatch touches, as the checker and the barriers see them. Inside runtime/plan only. */
#ifndef PLAN_ACCESS_H
#define PLAN_ACCESS_H

#include "plan/plan.h"

/* Arena bytes first ... end - 1, read or written (or both) by one binding of one dispatch. */
typedef struct plan_access {
    uint64_t first, end;
    uint32_t binding; /* index in the dispatch */
    uint32_t access;  /* op_access */
} plan_access;

/* Fills `accesses` with what the dispatch touches in the arena (weights are never written and left out) and
 * returns how many there are. For plans whose indices and sizes are known to be in bounds. */
uint32_t plan_accesses(const plan *p, const plan_dispatch *dispatch, plan_access accesses[OP_MAX_BINDINGS]);

/* Kernels may store 16-bit elements as halves of 32-bit words: whole words count as touched. */
static inline bool plan_overlap(const plan_access *a, const plan_access *b) {
    return (a->first & ~UINT64_C(3)) < b->end && (b->first & ~UINT64_C(3)) < a->end;
}

/* What `later` would suffer if it ran beside `earlier`: "read after write", "write after read", "write after
 * write", or NULL. */
const char *plan_hazard(const plan_access *earlier, const plan_access *later);

/* First half of plan_check: bounds, names, types and parameters of everything; the rest relies on it. */
mzt_status plan_check_bounds(const plan *p, mzt_error *error);

/* Second half: values and hazards, by following the dispatches over the arena's bytes. */
mzt_status plan_check_values(const plan *p, mzt_error *error);

#endif
