/* The `cpu` executor: threads, vector loops and, where it was built in, oneDNN. Ops without a fast kernel run
 * as in cpu-reference. */
#ifndef CPU_FAST_H
#define CPU_FAST_H

#include "cpu/cpu.h"

/* Computes one dispatch with all threads of call->pool. */
typedef mzt_status fast_function(cpu_program *g, cpu_call *call, mzt_error *error);

#endif
