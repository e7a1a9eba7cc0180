/* The pipeline cache on disk: one file per device and driver version. */
#ifndef VULKAN_CACHE_H
#define VULKAN_CACHE_H

#include "vulkan/device.h"

typedef struct vulkan_cache {
    char *path; /* NULL: nothing is read or written */
    VkPipelineCache handle;
    bool borrowed;   /* the host's */
    uint64_t stored; /* bytes that the file holds */
} vulkan_cache;

/* Takes the host's cache where it has given one. Otherwise creates one, filled from the file where that is
 * there and belongs to this device and driver; a damaged or foreign file is ignored. `directory` as in
 * vulkan_options. On failure *cache can be passed to vulkan_cache_destroy. */
mzt_status vulkan_cache_create(vulkan_device *device, const char *directory, vulkan_cache *cache,
                               mzt_error *error);

/* Writes the file if the cache has grown. Best effort: a failure is logged, nothing else. */
void vulkan_cache_save(vulkan_device *device, vulkan_cache *cache);

void vulkan_cache_destroy(vulkan_device *device, vulkan_cache *cache);

#endif
