/* Weights and inputs that nobody trained: values of the size that networks hold, the same on every device. */
#ifndef BENCH_MADE_UP_H
#define BENCH_MADE_UP_H

#include "executor.h"

/* Fills every weight: matrices with deviation 1 / sqrt(inputs of one output), norm scales near 1, biases near
 * 0. `also` (may be NULL), made from the same plan, gets the same bytes. */
mzt_status made_up_weights(program *g, program *also, mzt_error *error);

/* Fills every input and state. */
mzt_status made_up_inputs(program *g, program *also, mzt_error *error);

#endif
