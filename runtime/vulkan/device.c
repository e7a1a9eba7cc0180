/* Makes a logical device and speaks to its queue; see device.h. */
#include "vulkan/device.h"

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

mzt_status vulkan_device_create(vulkan_instance *instance, const vulkan_options *options,
                                const vulkan_physical *physical, vulkan_device **out, mzt_error *error) {
    *out = NULL;
    vulkan_device *device = host_calloc(instance->host, 1, sizeof *device);
    if (!device) {
        vulkan_instance_destroy(instance);
        return error_memory(error, "Vulkan device", sizeof *device);
    }
    device->host = instance->host;
    device->instance = instance;
    device->physical = *physical;
    device->options = *options;
    device->options.cache_directory = NULL;
    if (!(options->timeout_seconds > 0))
        device->options.timeout_seconds = physical->shader.is_cpu ? 1800 : 60;
    mzt_status status = create_handle(device, error);
    if (status < 0) goto fail;
    status = load_functions(device, error);
    if (status < 0) goto fail;
    device->vk.GetDeviceQueue(device->handle, physical->queue_family, 0, &device->queue);
    *out = device;
    return MZT_OK;
fail:
    vulkan_device_destroy(device);
    return status;
}

void vulkan_device_destroy(vulkan_device *device) {
    if (!device) return;
    const base_host *host = device->host;
    if (device->handle && device->vk.DestroyDevice) device->vk.DestroyDevice(device->handle, NULL);
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

mzt_status vulkan_device_submit(vulkan_device *device, VkCommandBuffer commands, VkFence fence,
                                mzt_error *error) {
    TRY(vulkan_device_alive(device, error));
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &commands,
    };
    device->submissions++;
    VkResult result = device->submissions == device->options.lose_after
                          ? VK_ERROR_DEVICE_LOST
                          : device->vk.QueueSubmit(device->queue, 1, &info, fence);
    return vulkan_device_check(device, result, "vkQueueSubmit", error);
}

mzt_status vulkan_device_wait(vulkan_device *device, VkFence fence, mzt_error *error) {
    double start = clock_seconds();
    VkResult result;
    while ((result = device->vk.WaitForFences(device->handle, 1, &fence, VK_TRUE, WAIT_SLICE_NS)) ==
           VK_TIMEOUT) {
        if (clock_seconds() - start < device->options.timeout_seconds) continue;
        device->lost = true;
        return error_set(error, MZT_ERROR_DEVICE_LOST, "%s: no answer to a submission for %.0f s",
                         device->physical.limits.name, device->options.timeout_seconds);
    }
    TRY(vulkan_device_check(device, result, "vkWaitForFences", error));
    return vulkan_device_check(device, device->vk.ResetFences(device->handle, 1, &fence), "vkResetFences",
                               error);
}

void vulkan_device_settle(vulkan_device *device, VkFence fence) {
    if (device->vk.WaitForFences(device->handle, 1, &fence, VK_TRUE, SETTLE_WAIT_NS) == VK_SUCCESS) {
        device->vk.ResetFences(device->handle, 1, &fence);
    }
}
