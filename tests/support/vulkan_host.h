/* A host program in miniature: an instance with validation, a device made as vulkan_device_requirements says,
 * a queue with a lock, and something of its own to draw. Between it and the driver sits a layer of hooks that
 * watches what the library calls, and can make any of it fail. One at a time: the hooks have nowhere else to
 * keep their state. */
#ifndef SUPPORT_VULKAN_HOST_H
#define SUPPORT_VULKAN_HOST_H

#include "vulkan/instance.h"
#include "vulkan/vulkan_import.h"

/* What the library did since vulkan_host_open. Host calls are not counted. */
typedef struct vulkan_host_counts {
    uint32_t locks;                 /* times the lock was taken */
    uint32_t submissions, waits;    /* vkQueueSubmit, vkWaitForFences */
    uint32_t fallible;              /* calls that may fail for lack of memory */
    uint32_t idles;                 /* vkDeviceWaitIdle, vkQueueWaitIdle: asked for, or called */
    uint32_t unlocked, lock_abused; /* submissions without the lock; other calls under it */
    long live;                      /* objects and allocations not yet destroyed */
} vulkan_host_counts;

typedef struct vulkan_host {
    base_host host;
    uint32_t warnings; /* log lines of the library and messages of the validation layer */
    vulkan_instance *instance;
    VkPhysicalDevice physical;
    vulkan_device_needs needs;
    VkDevice device;
    VkQueue queue;
    VkPipelineCache cache;
    uint32_t memory_type; /* mapped and coherent */
    bool locked;
    vulkan_host_counts counts;
    uint32_t fail_at;        /* this fallible call reports no memory; 0: none */
    uint32_t lose_at_submit; /* the device is lost at this submission */
    uint32_t lose_at_wait;   /* or at this wait */
    bool lost;               /* from then on everything that can be, is */
} vulkan_host;

/* Opens physical device `index` of those there are; false: there is none. A failure fails the test. Fill
 * `fail_at` and `lose_at` afterwards. */
bool vulkan_host_open(vulkan_host *h, uint32_t index);

/* The same with robust buffer access, which costs the library nothing and must give it nothing. */
bool vulkan_host_open_robust(vulkan_host *h, uint32_t index);

/* Destroys everything; fails the test if anything leaked, was complained about, or broke the promises of
 * vulkan_import.h. */
void vulkan_host_close(vulkan_host *h);

/* The same without destroying anything: afterwards all is as after vulkan_host_open,. */
void vulkan_host_renew(vulkan_host *h);

/* What to give to vulkan_executor_import. */
vulkan_import vulkan_host_import(vulkan_host *h);

/* Options for tests: no cache on disk. */
vulkan_options vulkan_host_options(void);

/* The host's own frame: clears an image to colour `number`, copies it to memory, waits for its own fence, and
 * fails the test if the colour is wrong. */
void vulkan_host_draw(vulkan_host *h, uint32_t number);

/* An image or a buffer of the host, and its content (`bytes` of it) in host memory. */
typedef struct vulkan_host_target {
    VkImage image;
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint8_t *mapped; /* buffers */
} vulkan_host_target;

vulkan_host_target vulkan_host_image(vulkan_host *h, VkFormat format, uint32_t width, uint32_t height);
vulkan_host_target vulkan_host_buffer(vulkan_host *h, uint64_t bytes);
void vulkan_host_target_destroy(vulkan_host *h, vulkan_host_target *t);

/* Copies an image in TRANSFER_SRC layout to `out`, after `wait` (may be VK_NULL_HANDLE; timeline value
 * `value` if not 0). */
void vulkan_host_read(vulkan_host *h, const vulkan_host_target *t, uint32_t width, uint32_t height,
                      uint32_t pixel_bytes, VkSemaphore wait, uint64_t value, void *out);

/* A semaphore, timeline or binary. */
VkSemaphore vulkan_host_semaphore(vulkan_host *h, bool timeline);
void vulkan_host_semaphore_destroy(vulkan_host *h, VkSemaphore semaphore);

/* Submits nothing but the signal. */
void vulkan_host_signal(vulkan_host *h, VkSemaphore semaphore, uint64_t value);

#endif
