/* The Vulkan executor's door: what the rest of the runtime may know of it. Needs no Vulkan header.
 *
 * (Not named vulkan.h: with runtime/ among the include paths that would hide <vulkan/vulkan.h>.)
 *
 * Thread-safety: as runtime/executor.h says. Each executor has its own loader handle, instance, device and
 * queue, so that executors of one process never share state. */
#ifndef VULKAN_EXECUTOR_H
#define VULKAN_EXECUTOR_H

#include "executor.h"

#define VULKAN_TIER_MAX 2u

/* How to open a device. Begin with vulkan_options_default. */
typedef struct vulkan_options {
    bool validation;   /* Khronos validation layer with synchronization validation; NOT_FOUND without it */
    uint32_t max_tier; /* pretend that the device is of at most this tier */
    /* Folder of pipeline caches. NULL: the user's cache folder; "": none is read or written. */
    const char *cache_directory;
    double segment_seconds; /* wanted device time of one submission */
    /* A submission without an answer for so long counts as device loss; 0: 60 on GPUs, 1800 on CPUs, which
     * translate shaders meanwhile. */
    double timeout_seconds;
    uint32_t max_groups;     /* workgroups of one launch at most; 0: what the device allows */
    uint64_t memory_limit;   /* bytes all programs together may hold on the device; 0: what it has */
    uint64_t max_allocation; /* bytes of one allocation at most; 0: what the device allows */
    uint64_t staging_bytes;  /* size of the staging buffer, at least 2048 */
    bool force_staging;      /* copy through the staging buffer even where device memory can be mapped */
    bool no_timestamps;      /* measure dispatches by one submission each, as where there are none */
    uint32_t lose_after;     /* for tests: the device is lost at this submission (1: the first); 0: never */
} vulkan_options;

vulkan_options vulkan_options_default(void);

/* The Vulkan devices that can be opened, in the driver's order, spelled "vulkan:N". *count receives how many
 * there are, of which at most `capacity` are written. No loader, no driver or no usable device: *count is 0,
 * which is no error. */
mzt_status vulkan_list(const base_host *host, executor_limits *list, uint32_t capacity, uint32_t *count,
                       mzt_error *error);

/* Opens device `index` of vulkan_list. `options` may be NULL. The host must outlive the executor. */
mzt_status vulkan_open(const base_host *host, const vulkan_options *options, uint32_t index, executor **out,
                       mzt_error *error);

/* Warnings and errors the validation layer has reported so far; each also went to the host's log. `e` must
 * come from vulkan_open. Thread-safety: any thread. */
uint32_t vulkan_validation_count(const executor *e);

/* Submissions to the queue so far: lets tests see that work is cut as promised. */
uint64_t vulkan_submission_count(const executor *e);

/* Bytes of device memory that all programs of this executor hold now, and held at most. Either pointer may be
 * NULL. */
void vulkan_memory_totals(const executor *e, uint64_t *used, uint64_t *peak);

#endif
