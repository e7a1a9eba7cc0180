/* A dispatch's sizes in words, for tables. */
#ifndef BENCH_SHAPE_H
#define BENCH_SHAPE_H

#include "plan/plan.h"

/* "[2,64,64,320] 3x3 -> 320"; cut when it does not fit. Returns text. */
const char *bench_shape(op o, const op_params *p, char *text, size_t size);

#endif
