/* One VkInstance, with its own loader handle and function table, and the validation layer's messages. */
#ifndef VULKAN_INSTANCE_H
#define VULKAN_INSTANCE_H

#include <stdatomic.h>
#include "vulkan/loader.h"

typedef struct vulkan_instance {
    const base_host *host;
    vulkan_loader loader;
    VkInstance handle;
    bool imported; /* the host's: not to be destroyed */
    vulkan_instance_functions vk;
    VkDebugUtilsMessengerEXT messenger; /* only with validation */
    atomic_uint validation_count;       /* the layer may report from any thread */
} vulkan_instance;

/* NOT_FOUND: no loader, no driver, Vulkan older than 1.2, or no validation layer where one is asked for.
 * Owner: the caller. */
mzt_status vulkan_instance_create(const base_host *host, bool validation, vulkan_instance **out,
                                  mzt_error *error);

/* Around the host's instance. UNSUPPORTED names a function that the host's vkGetInstanceProcAddr does not
 * know. */
mzt_status vulkan_instance_attach(const base_host *host, PFN_vkGetInstanceProcAddr get, VkInstance handle,
                                  vulkan_instance **out, mzt_error *error);

/* All devices must be destroyed before. NULL is accepted. */
void vulkan_instance_destroy(vulkan_instance *instance);

/* All physical devices, in a fresh block that the caller frees with host_free; *count may be 0. */
mzt_status vulkan_instance_devices(const vulkan_instance *instance, VkPhysicalDevice **devices,
                                   uint32_t *count, mzt_error *error);

#endif
