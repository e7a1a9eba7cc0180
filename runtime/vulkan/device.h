/* One VkDevice with its queue: submission, waiting, and the latch that remembers its loss. */
#ifndef VULKAN_DEVICE_H
#define VULKAN_DEVICE_H

#include "vulkan/physical.h"

typedef struct vulkan_device {
    const base_host *host;
    vulkan_instance *instance; /* owned */
    vulkan_physical physical;
    vulkan_options options; /* as given, with defaults filled in; cache_directory is not kept */
    VkDevice handle;
    vulkan_device_functions vk;
    VkQueue queue;
    bool lost;            /* latched: afterwards only destruction is allowed */
    uint64_t submissions; /* so far */
    uint64_t used, peak;  /* bytes of device memory, staging included */
} vulkan_device;

/* Takes ownership of `instance`, also on failure. */
mzt_status vulkan_device_create(vulkan_instance *instance, const vulkan_options *options,
                                const vulkan_physical *physical, vulkan_device **out, mzt_error *error);

/* Everything made on the device must be destroyed before. NULL is accepted. */
void vulkan_device_destroy(vulkan_device *device);

/* OK, or DEVICE_LOST once the latch is set. */
mzt_status vulkan_device_alive(const vulkan_device *device, mzt_error *error);

/* vulkan_result_check that sets the latch on VK_ERROR_DEVICE_LOST and names the device. */
mzt_status vulkan_device_check(vulkan_device *device, VkResult result, const char *call, mzt_error *error);

/* Submits one command buffer; `fence` is signalled when it is done. */
mzt_status vulkan_device_submit(vulkan_device *device, VkCommandBuffer commands, VkFence fence,
                                mzt_error *error);

/* Waits for a submitted fence and resets it. Without an answer for options.timeout_seconds the device counts
 * as lost. */
mzt_status vulkan_device_wait(vulkan_device *device, VkFence fence, mzt_error *error);

/* After a failure: gives a submission that is still on its way two seconds to end, so that what it uses can
 * be destroyed. */
void vulkan_device_settle(vulkan_device *device, VkFence fence);

#endif
