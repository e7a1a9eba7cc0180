/* mezzotint_vulkan.h: the host's own VkDevice, and pictures in the host's own images and buffers. Conventions
 * are those of mezzotint.h. Needs <vulkan/vulkan_core.h>, version 1.2 or later, and no Vulkan library to
 * link: every entry point is taken from the host's vkGetInstanceProcAddr.
 * Hosts that use volk define VK_NO_PROTOTYPES or include volk.h before.
 *
 *   ask mzt_vulkan_instance_requirements and mzt_vulkan_device_requirements what to enable,
 *   create instance and device as the host does anyway, with that added,
 *   mzt_device_import_vulkan, and from there everything as in mezzotint.h.
 *
 * What is promised to a host: no vkDeviceWaitIdle and no vkQueueWaitIdle, ever; nothing of the host's is
 * destroyed; the queue is touched only between its lock and unlock callbacks, and those are held around queue
 * calls alone; a lost device is latched and never tried again. */
#ifndef MEZZOTINT_VULKAN_H
#define MEZZOTINT_VULKAN_H

#include <vulkan/vulkan_core.h>

#include "mezzotint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a host's instance should be made with, besides VkApplicationInfo.apiVersion. Strings are static. */
typedef struct mzt_vulkan_instance_needs {
    size_t struct_size;
    uint32_t api_version;       /* at least */
    uint32_t recommended_count; /* extensions that the loader offers and that make more devices visible */
    const char *recommended[8];
} mzt_vulkan_instance_needs;

/* Any thread. */
MZT_API mzt_status mzt_vulkan_instance_requirements(PFN_vkGetInstanceProcAddr get_instance_proc_addr,
                                                    mzt_vulkan_instance_needs *needs, mzt_error *error);

/* What a host's device should be made with, for one physical device. Strings are static. */
typedef struct mzt_vulkan_device_needs {
    size_t struct_size;
    uint32_t required_count, recommended_count;
    const char *required[8]; /* extensions; refused without them */
    const char
        *recommended[8]; /* that this device has and we use; each may be left out, at the cost of speed */
    /* What this device has and we use, none of it required: features.pNext leads through the ones below. Put
     * into VkDeviceCreateInfo.pNext as it is, or merge into the host's own chain. */
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDeviceVulkan11Features features11;
    VkPhysicalDeviceVulkan12Features features12;
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control;
    uint32_t queue_family; /* one that serves: with graphics if there is one that also computes */
    uint32_t reserved;     /* 0 */
} mzt_vulkan_device_needs;

/* `needs` must stay where it is for as long as its chain is used. UNSUPPORTED says what the device lacks. Any
 * thread. */
MZT_API mzt_status mzt_vulkan_device_requirements(VkInstance instance, VkPhysicalDevice physical_device,
                                                  PFN_vkGetInstanceProcAddr get_instance_proc_addr,
                                                  mzt_vulkan_device_needs *needs, mzt_error *error);

/* A host's device. All handles must outlive the mzt_device made of them. */
typedef struct mzt_vulkan_import {
    size_t struct_size;
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    VkInstance instance;
    uint32_t api_version; /* that the instance was made with */
    uint32_t queue_family;
    VkPhysicalDevice physical_device;
    VkDevice device;
    VkQueue queue; /* of queue_family; it must do compute */
    /* What the device was made with: its VkDeviceCreateInfo.pNext chain and pEnabledFeatures, and its
     * extensions. What is not listed is not used. Borrowed for the call. */
    const void *features; /* a chain that begins with VkPhysicalDeviceFeatures2 or any feature structure;
                             NULL: none */
    const char *const *extensions;
    uint32_t extension_count;
    uint32_t reserved; /* 0 */
    /* Called around every call that touches the queue, on the calling thread, never nested; NULL: the host
     * does not use the queue while a call of ours runs. */
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *user;
    VkPipelineCache
        pipeline_cache;          /* the host's, or VK_NULL_HANDLE: a file of our own, see cache_directory */
    const char *cache_directory; /* NULL: the user's cache folder; "": no file */
    uint64_t memory_limit;       /* bytes of device memory that we may hold at once; 0: no limit */
} mzt_vulkan_import;

/* INVALID names the member at fault; UNSUPPORTED what the device lacks. mzt_device_destroy waits for the
 * fences of what we submitted, and leaves the host's objects alone. */
MZT_API mzt_status mzt_device_import_vulkan(mzt_context *context, const mzt_vulkan_import *import,
                                            mzt_device **device, mzt_error *error);

/* Where a finished picture goes: an image or a buffer of the same VkDevice. */
typedef struct mzt_vulkan_target {
    size_t struct_size;
    /* Mip level 0, layer 0 of a 2D image made with VK_IMAGE_USAGE_TRANSFER_DST_BIT; or VK_NULL_HANDLE: the
     * buffer below. */
    VkImage image;
    /* R8G8B8A8 or B8G8R8A8, _UNORM or _SRGB (the same bytes: sRGB values), R16G16B16A16_SFLOAT or
     * R32G32B32A32_SFLOAT (-1 ... 1, alpha too); a missing fourth channel is 1. */
    VkFormat format;
    uint32_t x, y;            /* where the picture's upper left pixel goes; images only */
    VkImageLayout old_layout; /* VK_IMAGE_LAYOUT_UNDEFINED: what the image held is not kept */
    VkImageLayout
        new_layout; /* that the image is left in; UNDEFINED: VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL */
    /* With VK_BUFFER_USAGE_TRANSFER_DST_BIT; pixels of `format`, rows `row_bytes` (0: without gaps) apart;
     * both numbers are multiples of 4. */
    VkBuffer buffer;
    VkDeviceSize offset;
    uint64_t row_bytes;
    /* The queue family that owns the target before and after; VK_QUEUE_FAMILY_IGNORED: no transfer of
     * ownership. The host does its half of a release or an acquire. */
    uint32_t from_family, to_family;
    /* The write waits for the first and signals the second; either may be VK_NULL_HANDLE. The values are
     * those of timeline semaphores, 0 for binary ones. */
    VkSemaphore wait, signal;
    uint64_t wait_value, signal_value;
} mzt_vulkan_target;

/* Submits the copy of picture `index` of a finished job into the target, and does not wait for it; `signal`
 * tells the host when it is there. 8-bit formats hold exactly the bytes of mzt_job_read_rgba8. PENDING while
 * the picture is not ready, or two of them are still on their way: nothing was submitted, try later. INVALID
 * names the member at fault; UNSUPPORTED for a device that was not imported, or a pipeline of
 * MZT_RESIDENCY_TURNS. */
MZT_API mzt_status mzt_job_write_vulkan(mzt_job *job, uint32_t index, const mzt_vulkan_target *target,
                                        mzt_error *error);

#ifdef __cplusplus
}
#endif

#endif
