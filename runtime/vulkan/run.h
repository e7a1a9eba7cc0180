/* A run of a range of a program's dispatches: in one go, or in slices of device time. */
#ifndef VULKAN_RUN_H
#define VULKAN_RUN_H

#include "vulkan/recording.h"

/* A submitted segment. */
typedef struct vulkan_flight {
    vulkan_fence fence;
    vulkan_recording *slice;     /* its own, made when first needed */
    vulkan_recording *recording; /* whose segment is on its way: `slice`, or that of the whole range */
    uint32_t segment, repetition;
    bool last; /* of its repetition */
    double start;
    double unfinished; /* when it was last seen to be on its way still */
} vulkan_flight;

/* Two segments are on their way at a time, so that the device does not fall idle while the host looks at the
 * one that ended. A range that is run in one go is replayed from its recording; a slice is recorded when it
 * is submitted, for then it is known how long it should be. */
typedef struct vulkan_run {
    vulkan_flight flights[2];
    uint32_t oldest, pending; /* flights[oldest], and the other where pending is 2 */
    uint32_t first, count, repeat;
    uint32_t repetition, dispatch, group; /* where the next segment begins */
    vulkan_recording *replay;             /* of the range; NULL: not looked for yet */
    uint32_t segment;                     /* of `replay`, that begins there; UINT32_MAX: none does */
    const run_control *control;           /* NULL: nobody watches */
    double ended;                         /* when the last segment ended */
    bool cancelled;
    run_progress progress;
} vulkan_run;

/* As executor.h's program_run; `control` is not NULL. Nothing is on its way at return, whatever the outcome.
 */
mzt_status vulkan_run_whole(vulkan_program *g, uint32_t first, uint32_t count, const run_control *control,
                            mzt_error *error);

/* As executor.h's program_begin, program_advance, program_wait and program_cancel. */
mzt_status vulkan_run_begin(vulkan_program *g, uint32_t first, uint32_t count, uint32_t repeat,
                            mzt_error *error);
mzt_status vulkan_run_advance(vulkan_program *g, uint64_t budget_us, run_progress *progress,
                              mzt_error *error);
mzt_status vulkan_run_wait(vulkan_program *g, double deadline, mzt_error *error);
void vulkan_run_cancel(vulkan_program *g);

/* Lets what is on its way come to its end. Without effect where nothing was ever run. */
void vulkan_run_destroy(vulkan_program *g);

#endif
