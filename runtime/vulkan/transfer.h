/* Copies between host memory and buffers that the host cannot see, through a staging buffer used in two
 * halves: while the device copies one, the host fills the other. */
#ifndef VULKAN_TRANSFER_H
#define VULKAN_TRANSFER_H

#include "vulkan/memory.h"

typedef struct vulkan_transfer {
    vulkan_device *device;
    vulkan_buffer staging; /* made at the first copy */
    VkCommandPool pool;
    VkCommandBuffer commands[2];
    vulkan_fence fences[2];
    uint32_t next; /* the half to be used next */
} vulkan_transfer;

/* Fills a transfer in place; nothing is allocated before the first copy. */
void vulkan_transfer_init(vulkan_transfer *transfer, vulkan_device *device);
void vulkan_transfer_destroy(vulkan_transfer *transfer);

/* Copies the first *written bytes into a buffer: until `deadline` (in clock_seconds; INFINITY: all of them),
 * without waiting for the device before that. PENDING: not all of them. The last chunks may still be on their
 * way at return: what is submitted later sees them. */
mzt_status vulkan_transfer_write(vulkan_transfer *transfer, const vulkan_buffer *buffer, uint64_t offset,
                                 const void *data, uint64_t size, double deadline, uint64_t *written,
                                 mzt_error *error);

/* Copies out of a buffer; done at return. */
mzt_status vulkan_transfer_read(vulkan_transfer *transfer, const vulkan_buffer *buffer, uint64_t offset,
                                void *data, uint64_t size, mzt_error *error);

/* Waits until no copy is on its way; PENDING: one still is at `deadline`. */
mzt_status vulkan_transfer_wait(vulkan_transfer *transfer, double deadline, mzt_error *error);

#endif
