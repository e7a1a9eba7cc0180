/* Lowering: what graph_compile's steps share. Each step is one file. */
#ifndef GRAPH_LOWER_H
#define GRAPH_LOWER_H

#include "graph/build.h"

typedef struct lowering {
    graph *g;
    plan *p;
    uint64_t max_range;    /* bytes one binding may show; UINT64_MAX: no limit */
    uint32_t *buffer_of;   /* by root tensor; PLAN_NONE: none yet */
    bool steps;            /* there are phases: setup, step, and update where update_first < node_count */
    uint32_t setup_count;  /* nodes 0 ... setup_count - 1 are the setup phase */
    uint32_t update_first; /* nodes update_first ... are the update phase */
    uint32_t buffer_capacity, piece_capacity, dispatch_capacity, phase_capacity, string_capacity;
} lowering;

/* phase.c: sorts live nodes into setup, step and update, in place, keeping their order otherwise. */
void lower_phases(lowering *l);

/* lower.c: appends a dispatch whose bindings have buffers and offsets; fills in ranges and costs. */
mzt_status lower_append(lowering *l, const plan_dispatch *dispatch, mzt_error *error);

/* True if every binding's range respects max_range. */
bool lower_fits(const lowering *l, const plan_dispatch *dispatch);

/* cut.c: appends the dispatch in as many pieces as max_range demands. */
mzt_status lower_cut(lowering *l, const plan_dispatch *whole, mzt_error *error);

/* arena.c: gives every buffer outside the weights its offset. */
mzt_status lower_arena(plan *p, mzt_error *error);

#endif
