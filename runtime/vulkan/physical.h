/* What a physical device is and can do, before anything is created on it. */
#ifndef VULKAN_PHYSICAL_H
#define VULKAN_PHYSICAL_H

#include "vulkan/instance.h"
#include "vulkan/shader_table.h"
#include "vulkan/vulkan_import.h"

typedef struct vulkan_physical {
    VkPhysicalDevice handle;
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    executor_limits limits;
    shader_device shader;
    uint32_t queue_family;
    uint32_t timestamp_bits; /* 0: no timestamps */
    bool portability_subset; /* the extension is listed and must then be enabled */
    bool required_size; /* a compute stage may require a subgroup size: shader.subgroup_size is then kept */
    bool size_control_in_core;
    bool mapped_first; /* device memory that the host sees costs nothing: integrated GPUs and CPUs */
} vulkan_physical;

/* All devices of the instance that can be used (Vulkan 1.2, a compute queue), in the driver's order, in a
 * fresh block that the caller frees with host_free. The others are named in the log. */
mzt_status vulkan_physical_list(const vulkan_instance *instance, const vulkan_options *options,
                                vulkan_physical **out, uint32_t *count, mzt_error *error);

/* The host's physical device, with no more than what the host has enabled on its device. INVALID or
 * UNSUPPORTED names what is missing. */
mzt_status vulkan_physical_import(const vulkan_instance *instance, const vulkan_options *options,
                                  const vulkan_import *import, vulkan_physical *out, mzt_error *error);

#endif
