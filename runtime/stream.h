/* An executor around another, for plans whose weights do not fit the device: matrices that exceed a limit stay in host memory and
 * are copied into one block of the device's, range of dispatches by range, each time before these run. Everything else passes
 * through. Results are the same bits; time is what the copies take.
 *
 * The plan that the inner executor sees differs in this: those weights are part of the arena, where the matrices of
 * different ranges lie on each other. */
#ifndef RUNTIME_STREAM_H
#define RUNTIME_STREAM_H

#include "executor.h"

/* `inner` is borrowed. `limit`: bytes that a program may hold on the device: its activations, the block, and as many
 * weights as fit beside these. executor_prepare of it gives OUT_OF_MEMORY, with what is needed, where the limit is too low. */
mzt_status stream_executor_create(executor *inner, uint64_t limit, executor **out, mzt_error *error);

/* Bytes of weights that are copied in one run of all dispatches; 0: everything fits. For programs of such an executor. */
uint64_t stream_program_bytes(const program *g);

#endif
