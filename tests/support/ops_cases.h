/* Random cases for every op: parameters, element types, and the inputs' bytes. A case is a pure function of
 * (op, index, types), so a failing one can be made again by its number. For tests of kernels and for
 * benchmarks. */
#ifndef SUPPORT_OPS_CASES_H
#define SUPPORT_OPS_CASES_H

#include "plan/op.h"

typedef struct ops_case {
    op op;
    uint32_t index;
    dtype activation, weight;
    bool
        changing_weights; /* matrices stand where dispatches could write them, not among the plan's weights */
    op_params params;
    dtype types[OP_MAX_BINDINGS];       /* of each binding */
    op_region regions[OP_MAX_BINDINGS]; /* elements that it touches */
    uint64_t elements[OP_MAX_BINDINGS]; /* of each binding; 0: absent */
} ops_case;

/* A small generator of its own (xorshift64*), so that cases never change with another module. */
typedef struct ops_random {
    uint64_t state;
} ops_random;

ops_random ops_random_seed(uint64_t a, uint64_t b, uint64_t c);
uint32_t ops_random_between(ops_random *r, uint32_t low, uint32_t high); /* both included */
double ops_random_uniform(ops_random *r);                                /* [-1, 1) */

/* Case number `index` of op `o`. Index 0 is the smallest shape there is; low numbers visit listed shapes,
 * higher ones are random. */
void ops_case_make(op o, uint32_t index, dtype activation, dtype weight, ops_case *c);

/* Fills types, regions and elements of a case whose op, element types and params are set. False: op_check or
 * op_regions refuse it. */
bool ops_case_complete(ops_case *c);

/* Fills binding `binding` (c->elements of it) with the case's input values; also outputs, which must be seen
 * to be overwritten. */
void ops_case_fill(const ops_case *c, uint32_t binding, void *data);

/* "conv2d #3 f16/f32 [first 0 n 1 h 5 ...]" */
const char *ops_case_describe(const ops_case *c, char *buffer, size_t size);

#endif
