/* A storage buffer with memory of its own, and the choice of memory type. */
#ifndef VULKAN_MEMORY_H
#define VULKAN_MEMORY_H

#include "vulkan/device.h"

typedef struct vulkan_buffer {
    VkBuffer handle;
    VkDeviceMemory memory;
    uint64_t size;      /* bytes of the buffer */
    uint64_t allocated; /* bytes of its memory */
    uint8_t *mapped;    /* NULL where the host does not see it */
    bool coherent;
} vulkan_buffer;

typedef enum vulkan_memory_use {
    VULKAN_MEMORY_DEVICE, /* worked on by shaders: the device's own, mapped where that costs nothing */
    VULKAN_MEMORY_STAGING /* always mapped; cached where possible, since results are read from it */
} vulkan_memory_use;

/* Makes a buffer of `size` > 0 bytes. OUT_OF_MEMORY names `what`. On failure *out is zeroed. */
mzt_status vulkan_buffer_create(vulkan_device *device, vulkan_memory_use use, uint64_t size, const char *what,
                                vulkan_buffer *out, mzt_error *error);

/* The device must not use the buffer any more. A zeroed buffer is accepted. */
void vulkan_buffer_destroy(vulkan_device *device, vulkan_buffer *buffer);

/* Make host writes to a mapped range visible to the device, or the device's visible to the host. */
mzt_status vulkan_buffer_flush(vulkan_device *device, const vulkan_buffer *buffer, uint64_t offset,
                               uint64_t size, mzt_error *error);
mzt_status vulkan_buffer_invalidate(vulkan_device *device, const vulkan_buffer *buffer, uint64_t offset,
                                    uint64_t size, mzt_error *error);

#endif
