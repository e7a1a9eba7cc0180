/* Makes a logical device and speaks to its queue; see device.h. */
#include "vulkan/device.h"

#include <math.h>
#include <string.h>

#include "base/threads.h"
#include "vulkan/result.h"

#define WAIT_SLICE_NS  100000000u  /* 0.1 s */
#define SETTLE_WAIT_NS 2000000000u /* 2 s */

static mzt_status create_handle(vulkan_device *device, mzt_error *error) {
    const vulkan_physical *physical = &device->physical;
    const shader_device *shader = &physical->shader;
    const char *extensions[2];
    uint32_t extension_count = 0;
    if (physical->portability_subset) extensions[extension_count++] = "VK_KHR_portability_subset";
    bool size_control = physical->required_size && shader->subgroup_arithmetic;
    if (size_control && !physical->size_control_in_core) {
        extensions[extension_count++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    }
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control_features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = VK_TRUE,
    };
    VkPhysicalDeviceVulkan12Features features12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .pNext = size_control ? &size_control_features : NULL,
        .shaderFloat16 = shader->f16,
    };
    VkPhysicalDeviceVulkan11Features features11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
        .pNext = &features12,
        .storageBuffer16BitAccess = shader->storage16,
    };
    float priority = 0.5f;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = physical->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &features11,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = extension_count,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = device->instance->vk.CreateDevice(physical->handle, &info, NULL, &device->handle);
    return vulkan_device_check(device, result, "vkCreateDevice", error);
}

static mzt_status load_functions(vulkan_device *device, mzt_error *error) {
    PFN_vkGetDeviceProcAddr get = device->instance->vk.GetDeviceProcAddr;
    const char *missing = NULL;
#define LOAD(function)                                                                                       \
    device->vk.function = (PFN_vk##function)get(device->handle, "vk" #function);                             \
    if (!device->vk.function) missing = "vk" #function;
    VULKAN_DEVICE_FUNCTIONS(LOAD)
#undef LOAD
    if (!missing) return MZT_OK;
    return error_set(error, MZT_ERROR_DEVICE, "%s: its driver lacks %s", device->physical.limits.name,
                     missing);
}

/* The struct alone, which owns the instance from now on. */
static mzt_status make(vulkan_instance *instance, const vulkan_options *options,
                       const vulkan_physical *physical, vulkan_device **out, mzt_error *error) {
    *out = host_calloc(instance->host, 1, sizeof **out);
    if (!*out) {
        vulkan_instance_destroy(instance);
        return error_memory(error, "Vulkan device", sizeof **out);
    }
    vulkan_device *device = *out;
    device->host = instance->host;
    device->instance = instance;
    device->physical = *physical;
    device->options = *options;
    device->options.cache_directory = NULL;
    if (!(options->timeout_seconds > 0))
        device->options.timeout_seconds = physical->shader.is_cpu ? 1800 : 60;
    return MZT_OK;
}

mzt_status vulkan_device_create(vulkan_instance *instance, const vulkan_options *options,
                                const vulkan_physical *physical, vulkan_device **out, mzt_error *error) {
    TRY(make(instance, options, physical, out, error));
    vulkan_device *device = *out;
    mzt_status status = create_handle(device, error);
    if (status == MZT_OK) status = load_functions(device, error);
    if (status < 0) {
        vulkan_device_destroy(device);
        *out = NULL;
        return status;
    }
    device->vk.GetDeviceQueue(device->handle, physical->queue_family, 0, &device->queue);
    return MZT_OK;
}

mzt_status vulkan_device_import(vulkan_instance *instance, const vulkan_options *options,
                                const vulkan_physical *physical, const vulkan_import *import,
                                vulkan_device **out, mzt_error *error) {
    TRY(make(instance, options, physical, out, error));
    vulkan_device *device = *out;
    device->handle = import->device;
    device->imported = true;
    device->queue = import->queue;
    device->lock = import->lock;
    device->unlock = import->unlock;
    device->lock_user = import->user;
    device->host_cache = import->cache;
    mzt_status status = load_functions(device, error);
    if (status < 0) {
        vulkan_device_destroy(device);
        *out = NULL;
    }
    return status;
}

void vulkan_device_destroy(vulkan_device *device) {
    if (!device) return;
    const base_host *host = device->host;
    if (device->handle && device->vk.DestroyDevice && !device->imported)
        device->vk.DestroyDevice(device->handle, NULL);
    vulkan_instance_destroy(device->instance);
    host_free(host, device);
}

mzt_status vulkan_device_alive(const vulkan_device *device, mzt_error *error) {
    if (!device->lost) return MZT_OK;
    return error_set(error, MZT_ERROR_DEVICE_LOST, "%s: the device was lost earlier; open it anew",
                     device->physical.limits.name);
}

mzt_status vulkan_device_check(vulkan_device *device, VkResult result, const char *call, mzt_error *error) {
    if (result >= 0) return MZT_OK;
    if (result == VK_ERROR_DEVICE_LOST) device->lost = true;
    return error_set(error, vulkan_result_status(result), "%s: %s: %s (%d)", device->physical.limits.name,
                     call, vulkan_result_name(result), (int)result);
}

mzt_status vulkan_fence_create(vulkan_device *device, vulkan_fence *fence, mzt_error *error) {
    VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkResult result = device->vk.CreateFence(device->handle, &info, NULL, &fence->handle);
    TRY(vulkan_device_check(device, result, "vkCreateFence", error));
    fence->next = device->fences;
    device->fences = fence;
    return MZT_OK;
}

void vulkan_fence_destroy(vulkan_device *device, vulkan_fence *fence) {
    if (!fence->handle) return;
    vulkan_fence_settle(device, fence);
    device->vk.DestroyFence(device->handle, fence->handle, NULL);
    vulkan_fence **link = &device->fences;
    while (*link != fence)
        link = &(*link)->next;
    *link = fence->next;
    memset(fence, 0, sizeof *fence);
}

mzt_status vulkan_device_submit(vulkan_device *device, VkCommandBuffer commands, const VkSubmitInfo *more,
                                vulkan_fence *fence, mzt_error *error) {
    TRY(vulkan_device_alive(device, error));
    VkSubmitInfo info = more ? *more : (VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO};
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands;
    VkResult result = VK_ERROR_DEVICE_LOST;
    if (++device->submissions != device->options.lose_after) {
        if (device->lock) device->lock(device->lock_user);
        result = device->vk.QueueSubmit(device->queue, 1, &info, fence->handle);
        if (device->unlock) device->unlock(device->lock_user);
    }
    TRY(vulkan_device_check(device, result, "vkQueueSubmit", error));
    fence->pending = true;
    fence->submitted = clock_seconds();
    return MZT_OK;
}

/* A submission without an answer for too long counts as device loss. */
static mzt_status check_patience(vulkan_device *device, const vulkan_fence *fence, mzt_error *error) {
    if (clock_seconds() - fence->submitted <= device->options.timeout_seconds) return MZT_OK;
    device->lost = true;
    return error_set(error, MZT_ERROR_DEVICE_LOST, "%s: no answer to a submission for %.0f s",
                     device->physical.limits.name, device->options.timeout_seconds);
}

mzt_status vulkan_fence_peek(vulkan_device *device, const vulkan_fence *fence, double deadline,
                             mzt_error *error) {
    if (!fence->pending) return MZT_OK;
    TRY(vulkan_device_alive(device, error));
    for (double now = clock_seconds();; now = clock_seconds()) {
        double left = deadline - now;
        uint64_t slice = !(left > 0)                  ? 0
                         : left * 1e9 < WAIT_SLICE_NS ? (uint64_t)(left * 1e9)
                                                      : WAIT_SLICE_NS;
        VkResult result = device->vk.WaitForFences(device->handle, 1, &fence->handle, VK_TRUE, slice);
        TRY(vulkan_device_check(device, result, "vkWaitForFences", error));
        if (result != VK_TIMEOUT) return MZT_OK;
        TRY(check_patience(device, fence, error));
        if (now >= deadline) return MZT_PENDING;
    }
}

mzt_status vulkan_fence_wait(vulkan_device *device, vulkan_fence *fence, double deadline, mzt_error *error) {
    mzt_status status = vulkan_fence_peek(device, fence, deadline, error);
    if (status != MZT_OK || !fence->pending) return status;
    fence->pending = false;
    return vulkan_device_check(device, device->vk.ResetFences(device->handle, 1, &fence->handle),
                               "vkResetFences", error);
}

void vulkan_fence_settle(vulkan_device *device, vulkan_fence *fence) {
    if (!fence->pending) return;
    fence->pending = false;
    if (device->vk.WaitForFences(device->handle, 1, &fence->handle, VK_TRUE, SETTLE_WAIT_NS) == VK_SUCCESS) {
        device->vk.ResetFences(device->handle, 1, &fence->handle);
    }
}

mzt_status vulkan_device_quiet(vulkan_device *device, double deadline, mzt_error *error) {
    TRY(vulkan_device_alive(device, error));
    for (const vulkan_fence *fence = device->fences; fence; fence = fence->next) {
        mzt_status status = vulkan_fence_peek(device, fence, deadline, error);
        if (status != MZT_OK) return status;
    }
    return MZT_OK;
}
