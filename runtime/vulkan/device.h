/* One VkDevice with its queue: submission, waiting, and the latch that remembers its loss. */
#ifndef VULKAN_DEVICE_H
#define VULKAN_DEVICE_H

#include "vulkan/physical.h"
#include "vulkan/vulkan_import.h"

/* One submission on its way. */
typedef struct vulkan_fence {
    VkFence handle;
    bool pending;     /* submitted, and not yet seen to have ended */
    double submitted; /* when, in clock_seconds */
    struct vulkan_fence *next;
} vulkan_fence;

typedef struct vulkan_device {
    const base_host *host;
    vulkan_instance *instance; /* owned */
    vulkan_physical physical;
    vulkan_options options; /* as given, with defaults filled in; cache_directory is not kept */
    VkDevice handle;
    bool imported; /* the host's: not to be destroyed */
    vulkan_device_functions vk;
    VkQueue queue;
    void (*lock)(void *user); /* held around vkQueueSubmit; NULL: nobody else submits */
    void (*unlock)(void *user);
    void *lock_user;
    VkPipelineCache host_cache; /* VK_NULL_HANDLE: none */
    vulkan_fence *fences;       /* all there are */
    bool lost;                  /* latched: afterwards only destruction is allowed */
    uint64_t submissions;       /* so far */
    uint64_t used, peak;        /* bytes of device memory, staging included */
} vulkan_device;

/* Takes ownership of `instance`, also on failure. */
mzt_status vulkan_device_create(vulkan_instance *instance, const vulkan_options *options,
                                const vulkan_physical *physical, vulkan_device **out, mzt_error *error);

/* The same around the host's device. */
mzt_status vulkan_device_import(vulkan_instance *instance, const vulkan_options *options,
                                const vulkan_physical *physical, const vulkan_import *import,
                                vulkan_device **out, mzt_error *error);

/* Everything made on the device must be destroyed before. NULL is accepted. */
void vulkan_device_destroy(vulkan_device *device);

/* OK, or DEVICE_LOST once the latch is set. */
mzt_status vulkan_device_alive(const vulkan_device *device, mzt_error *error);

/* vulkan_result_check that sets the latch on VK_ERROR_DEVICE_LOST and names the device. */
mzt_status vulkan_device_check(vulkan_device *device, VkResult result, const char *call, mzt_error *error);

/* Fills a zeroed fence in place; it must stay where it is until it is destroyed. */
mzt_status vulkan_fence_create(vulkan_device *device, vulkan_fence *fence, mzt_error *error);

/* What was submitted with it gets two seconds to end, so that what it uses can be destroyed. A zeroed fence
 * is accepted. */
void vulkan_fence_destroy(vulkan_device *device, vulkan_fence *fence);

/* Submits one command buffer; `fence`, which is not pending, tells when it is done. `more` (may be NULL) is
 * the chain and the semaphores of the submission. */
mzt_status vulkan_device_submit(vulkan_device *device, VkCommandBuffer commands, const VkSubmitInfo *more,
                                vulkan_fence *fence, mzt_error *error);

/* Waits until what was submitted with the fence has ended (OK, and the fence can be used again), or until
 * `deadline` (PENDING; in clock_seconds; INFINITY, or -INFINITY to ask only). A fence that is not pending is
 * OK. Without an answer for options.timeout_seconds the device counts as lost. */
mzt_status vulkan_fence_wait(vulkan_device *device, vulkan_fence *fence, double deadline, mzt_error *error);

/* The same without taking note of it: the fence stays pending. */
mzt_status vulkan_fence_peek(vulkan_device *device, const vulkan_fence *fence, double deadline,
                             mzt_error *error);

/* After a failure: as vulkan_fence_destroy, but keeps the fence. */
void vulkan_fence_settle(vulkan_device *device, vulkan_fence *fence);

/* Whether nothing of ours is on its way (OK) or something is still, at `deadline` (PENDING). Takes note of
 * nothing: fences stay pending. */
mzt_status vulkan_device_quiet(vulkan_device *device, double deadline, mzt_error *error);

#endif
