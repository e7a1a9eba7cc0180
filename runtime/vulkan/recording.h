/* A range of dispatches as command buffers ("segments") that each keep the device busy for a bounded time.
 *
 * Segments are recorded when they are first run, with what is known of the dispatches' cost by then; a replay
 * uses them again. Between two dispatches there is a barrier where the plan has one, and before the first one
 * always. */
#ifndef VULKAN_RECORDING_H
#define VULKAN_RECORDING_H

#include "vulkan/program.h"

#define RECORDING_LIMIT   64u  /* recordings a program keeps */
#define RECORDING_QUERIES 256u /* timestamps of one segment at most */

/* Workgroups [first, first + groups) of a dispatch. */
typedef struct vulkan_launch {
    uint32_t dispatch, first, groups;
    double share;    /* of the dispatch's workgroups */
    double expected; /* seconds of the whole dispatch, when this was recorded */
} vulkan_launch;

typedef struct vulkan_segment {
    VkCommandBuffer commands;
    uint32_t launch, launch_count; /* its part of `launches` */
    double expected;               /* seconds */
    double seconds;                /* when it last ran with warm pipelines; 0: never */
} vulkan_segment;

typedef struct vulkan_recording {
    vulkan_program *program;
    uint32_t first, count; /* dispatches */
    bool timed;            /* to measure single dispatches: a barrier and a timestamp after each launch */
    bool slice;            /* one segment, recorded anew each time; see vulkan_recording_slice */
    double limit;          /* seconds that a segment should take at most */
    VkQueryPool stamps;    /* slices: two timestamps, around the segment; NULL: the device has none */
    bool complete;         /* all is recorded */
    uint32_t next_dispatch, next_group; /* where the next segment begins */
    vulkan_launch *launches;
    uint32_t launch_count, launch_capacity;
    vulkan_segment *segments;
    uint32_t segment_count, segment_capacity;
    uint32_t
        rebuilds; /* how often it was recorded anew, since measured times were far from the wanted ones */
} vulkan_recording;

/* The program's recording of this range; made, or emptied of an old one, if there is none. Owner: the
 * program. */
mzt_status vulkan_recording_find(vulkan_program *g, uint32_t first, uint32_t count, vulkan_recording **out,
                                 mzt_error *error);

/* A recording of its own, for timed runs. Owner: the caller. */
mzt_status vulkan_recording_create(vulkan_program *g, uint32_t first, uint32_t count, bool timed,
                                   vulkan_recording **out, mzt_error *error);
void vulkan_recording_destroy(
    vulkan_recording *recording); /* none of it may be on its way; NULL is accepted */

/* For vulkan_recording_slice. Owner: the caller. */
mzt_status vulkan_recording_create_slice(vulkan_program *g, vulkan_recording **out, mzt_error *error);

/* Records segment 0, which begins at workgroup `group` of `dispatch` in the range and takes at most `seconds`
 * by what is known, or one workgroup; next_dispatch and next_group tell where it ends. */
mzt_status vulkan_recording_slice(vulkan_recording *recording, uint32_t first, uint32_t count,
                                  uint32_t dispatch, uint32_t group, double seconds, mzt_error *error);

/* Records the next segment of an incomplete recording. */
mzt_status vulkan_recording_extend(vulkan_recording *recording, mzt_error *error);

/* Notes that a segment took `seconds`, and learns from it. */
void vulkan_recording_measured(vulkan_recording *recording, uint32_t segment, double seconds);

/* Whether, by the last measured times, the segments are about as long as wanted, or as near as they can be.
 */
bool vulkan_recording_fits(const vulkan_recording *recording);

/* Forgets all segments: the next run records them anew. None of them may be on its way. */
void vulkan_recording_rebuild(vulkan_recording *recording);

#endif
