/* Runs one case (ops_cases.h) as a plan of one dispatch on a device, with guard zones around every buffer. */
#ifndef SUPPORT_OPS_RUN_H
#define SUPPORT_OPS_RUN_H

#include "executor.h"
#include "ops_cases.h"

/* Runs `c` and copies the bytes of its written bindings, one after another, to `out` (ops_output_bytes).
 * MISMATCH names a byte that the dispatch had no business to change: in a guard zone, in an input, or in the
 * output outside of the op's region. `seconds` may be NULL; otherwise it receives the shortest of `repeat`
 * timed runs. UNSUPPORTED: the device cannot run these types. */
mzt_status ops_run(executor *e, const ops_case *c, uint32_t repeat, double *seconds, void *out,
                   mzt_error *error);

/* The same through program_queue_write, program_begin and program_advance with this budget each; *slices (may be
 * NULL) receives how many calls of program_advance that took. */
mzt_status ops_run_slices(executor *e, const ops_case *c, uint64_t budget_us, uint32_t *slices, void *out,
                          mzt_error *error);

/* Bytes of binding `binding` as bound. */
uint64_t ops_case_bytes(const ops_case *c, uint32_t binding);

/* Bytes of all written bindings, and where one of them begins among these. */
uint64_t ops_output_bytes(const ops_case *c);
uint64_t ops_output_offset(const ops_case *c, uint32_t binding);

/* The largest ||out - reference|| / ||reference|| of a written binding, over the op's region; infinite where
 * a value is not finite but the reference is, or where the limit is 0 and a bit differs. */
double ops_compare(const ops_case *c, const void *out, const void *reference);

/* The error limit of the op for the case's activation type. */
double ops_limit(const ops_case *c);

#endif
