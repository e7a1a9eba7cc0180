/* What the files that cut dispatches share. */
#ifndef GRAPH_CUT_H
#define GRAPH_CUT_H

#include "graph/lower.h"

/* An op that works row by row: how many rows it has, and the elements of each binding that belong to one (0:
 * bound whole). What a row is differs: an element, a pixel, a sample, a part of a sum. */
typedef struct slicing {
    uint32_t rows;
    uint64_t per_row[OP_MAX_BINDINGS];
} slicing;

/* cut_training.c: how a dispatch of training is sliced; false: it is not. */
bool cut_training_describe(const plan_dispatch *d, slicing *s);

/* Restricts the whole's parameters to rows first ... first + rows - 1. */
void cut_training_set_rows(plan_dispatch *d, uint32_t first, uint32_t rows);

#endif
