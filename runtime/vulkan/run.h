/* Runs a range of a program's dispatches, segment by segment. */
#ifndef VULKAN_RUN_H
#define VULKAN_RUN_H

#include "vulkan/program.h"

/* As executor.h's program_run; `control` is not NULL. Nothing is on its way at return, whatever the outcome.
 */
mzt_status vulkan_run(vulkan_program *g, uint32_t first, uint32_t count, const run_control *control,
                      mzt_error *error);

#endif
