/* The Vulkan executor on a device that belongs to a host program: what the host must enable, importing the
 * device, and writing a picture into the host's image or buffer. Unlike vulkan_executor.h this speaks
 * Vulkan's own types.
 *
 * What the library promises on an imported device: it never waits for the device or a queue to fall idle,
 * only for its own fences; it submits to the one queue it was given, and holds the host's lock around
 * vkQueueSubmit and nothing else; it loads every function through the host's vkGetInstanceProcAddr into
 * tables of its own; executor_destroy releases all it made and leaves instance, device, queue and pipeline
 * cache to the host.
 *
 * Thread-safety: as executor.h says. The host may use its device, and the queue under the lock, on other
 * threads meanwhile. */
#ifndef VULKAN_IMPORT_H
#define VULKAN_IMPORT_H

#include "vulkan/table.h"
#include "vulkan/vulkan_executor.h"

#define VULKAN_NEEDED_VERSION VK_API_VERSION_1_2 /* of instance and device */

/* What to enable when making the device. `features` heads a chain through the structures after it, ready for
 * VkDeviceCreateInfo.pNext; set in it is what this device has and the library makes use of. None of it is
 * required. Does not move: the chain points into the structure itself. */
typedef struct vulkan_device_needs {
    const char *required[4]; /* extensions; refused without them */
    uint32_t required_count;
    const char *recommended[4]; /* extensions that this device has and the library makes use of */
    uint32_t recommended_count;
    uint32_t queue_family; /* one that computes, and draws too where there is such a one */
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDeviceVulkan11Features features11;
    VkPhysicalDeviceVulkan12Features features12;
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control;
} vulkan_device_needs;

/* Extensions that the instance should have, so far as the loader offers them: VK_KHR_portability_enumeration,
 * without which some drivers hide. Required is none. Returns how many there are, of which at most `capacity`
 * are written. */
uint32_t vulkan_instance_needs(PFN_vkGetInstanceProcAddr get, const char **names, uint32_t capacity);

/* UNSUPPORTED names what the physical device lacks to be used at all. */
mzt_status vulkan_device_requirements(const base_host *host, PFN_vkGetInstanceProcAddr get,
                                      VkInstance instance, VkPhysicalDevice physical,
                                      vulkan_device_needs *out, mzt_error *error);

typedef struct vulkan_import {
    VkInstance instance;
    uint32_t api_version; /* VkApplicationInfo.apiVersion that the instance was made with */
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    VkPhysicalDevice physical_device;
    VkDevice device;
    VkQueue queue;
    uint32_t queue_family;         /* of the queue; must be able to compute */
    const char *const *extensions; /* enabled on the device */
    uint32_t extension_count;
    /* The features enabled on the device: the chain given to vkCreateDevice, VkPhysicalDeviceFeatures2 or not
     * at its head. NULL: none. The library uses nothing beyond it. */
    const void *features;
    void (*lock)(
        void *user); /* held around vkQueueSubmit on `queue`; both NULL: the host does not share the queue */
    void (*unlock)(void *user);
    void *user;
    VkPipelineCache cache; /* the host's, or VK_NULL_HANDLE: the library keeps its own file
                              (vulkan_options.cache_directory) */
} vulkan_import;

/* Opens the host's device. `options` may be NULL; `validation` in it is ignored, the host has its own layers.
 * INVALID or UNSUPPORTED name what is missing. All handles must outlive the executor. */
mzt_status vulkan_executor_import(const base_host *host, const vulkan_options *options,
                                  const vulkan_import *import, executor **out, mzt_error *error);

/* Where a picture goes: mip level 0, layer 0 of a 2D image, or a buffer. */
typedef struct vulkan_picture_target {
    VkImage image;   /* with VK_IMAGE_USAGE_TRANSFER_DST_BIT; or VK_NULL_HANDLE, then: */
    VkBuffer buffer; /* with VK_BUFFER_USAGE_TRANSFER_DST_BIT */
    uint64_t buffer_offset, buffer_row_bytes; /* multiples of 4; row_bytes 0: dense */
    VkFormat format;          /* R8G8B8A8_UNORM or _SRGB (the same bytes), B8G8R8A8_UNORM or _SRGB,
                               * R16G16B16A16_SFLOAT,          R32G32B32A32_SFLOAT */
    uint32_t x, y;            /* where the picture's upper left corner goes; images only */
    VkImageLayout old_layout; /* UNDEFINED: what was in the image may be lost */
    VkImageLayout new_layout; /* that the image is left in; UNDEFINED: TRANSFER_DST_OPTIMAL */
    /* Ownership: taken from family `from_family` before, released to `to_family` after, where they are
     * neither the queue's own nor VK_QUEUE_FAMILY_IGNORED. The host records the matching halves. */
    uint32_t from_family, to_family;
    VkSemaphore wait;    /* before the target is touched; may be VK_NULL_HANDLE */
    uint64_t wait_value; /* of a timeline semaphore; ignored for binary ones */
    VkSemaphore signal;  /* when the picture is there */
    uint64_t signal_value;
} vulkan_picture_target;

/* Submits the copy of a picture from buffer `buffer` of a program ([1, h, w, 3 or 4] of f32, f16 or bf16,
 * values -1 ... 1, as decoders write) into the target, and returns without waiting for it. 8-bit formats hold
 * exactly what image_from_floats gives; float formats hold the values themselves; a missing fourth channel
 * is 1. What is done with the program afterwards waits by itself. INVALID while the program is running
 * (program_begin); UNSUPPORTED names a format that is none of the above. PENDING: two pictures are still on
 * their way, try again later; nothing was submitted. */
mzt_status vulkan_program_write_picture(program *g, uint32_t buffer, const vulkan_picture_target *target,
                                        mzt_error *error);

/* The same for a picture in host memory, [height][width][4] bytes RGBA, dense, which is copied before this
 * returns. 8-bit formats only. */
mzt_status vulkan_write_rgba8(executor *e, const uint8_t *pixels, uint32_t width, uint32_t height,
                              const vulkan_picture_target *target, mzt_error *error);

/* Whether all pictures written so far have arrived: MZT_OK or MZT_PENDING. Never waits. */
mzt_status vulkan_pictures_done(executor *e, mzt_error *error);

#endif
