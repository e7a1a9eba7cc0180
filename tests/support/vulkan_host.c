/* A host program in miniature; see vulkan_host.h. */
#include "vulkan_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vulkan_env.h"

static vulkan_host *host_now; /* whose hooks are called */

/* What the host itself calls. */
#define HOST_FUNCTIONS(X)                                                                                    \
    X(DestroyDevice)                                                                                         \
    X(GetDeviceQueue)                                                                                        \
    X(QueueSubmit)                                                                                           \
    X(CreateImage)                                                                                           \
    X(DestroyImage) X(GetImageMemoryRequirements) X(BindImageMemory) X(AllocateMemory) X(FreeMemory)         \
        X(MapMemory) X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements) X(BindBufferMemory)     \
            X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers) X(BeginCommandBuffer)       \
                X(EndCommandBuffer) X(CmdPipelineBarrier) X(CmdClearColorImage) X(CmdCopyImageToBuffer)      \
                    X(CreateFence) X(DestroyFence) X(WaitForFences) X(CreateSemaphore) X(DestroySemaphore)   \
                        X(CreatePipelineCache) X(DestroyPipelineCache)

/* The real functions behind those that are hooked: results that may say "no memory". */
#define FALLIBLE_FUNCTIONS(X)                                                                                \
    X(AllocateMemory,                                                                                        \
      (VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *o),        \
      (d, i, a, o), 1)                                                                                       \
    X(CreateBuffer, (VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a, VkBuffer *o),  \
      (d, i, a, o), 1)                                                                                       \
    X(CreateShaderModule,                                                                                    \
      (VkDevice d, const VkShaderModuleCreateInfo *i, const VkAllocationCallbacks *a, VkShaderModule *o),    \
      (d, i, a, o), 1)                                                                                       \
    X(CreatePipelineCache,                                                                                   \
      (VkDevice d, const VkPipelineCacheCreateInfo *i, const VkAllocationCallbacks *a, VkPipelineCache *o),  \
      (d, i, a, o), 1)                                                                                       \
    X(CreateComputePipelines,                                                                                \
      (VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo *i,                      \
       const VkAllocationCallbacks *a, VkPipeline *o),                                                       \
      (d, c, n, i, a, o), 1)                                                                                 \
    X(CreatePipelineLayout,                                                                                  \
      (VkDevice d, const VkPipelineLayoutCreateInfo *i, const VkAllocationCallbacks *a,                      \
       VkPipelineLayout *o),                                                                                 \
      (d, i, a, o), 1)                                                                                       \
    X(CreateDescriptorSetLayout,                                                                             \
      (VkDevice d, const VkDescriptorSetLayoutCreateInfo *i, const VkAllocationCallbacks *a,                 \
       VkDescriptorSetLayout *o),                                                                            \
      (d, i, a, o), 1)                                                                                       \
    X(CreateDescriptorPool,                                                                                  \
      (VkDevice d, const VkDescriptorPoolCreateInfo *i, const VkAllocationCallbacks *a,                      \
       VkDescriptorPool *o),                                                                                 \
      (d, i, a, o), 1)                                                                                       \
    X(CreateCommandPool,                                                                                     \
      (VkDevice d, const VkCommandPoolCreateInfo *i, const VkAllocationCallbacks *a, VkCommandPool *o),      \
      (d, i, a, o), 1)                                                                                       \
    X(CreateFence, (VkDevice d, const VkFenceCreateInfo *i, const VkAllocationCallbacks *a, VkFence *o),     \
      (d, i, a, o), 1)                                                                                       \
    X(CreateQueryPool,                                                                                       \
      (VkDevice d, const VkQueryPoolCreateInfo *i, const VkAllocationCallbacks *a, VkQueryPool *o),          \
      (d, i, a, o), 1)                                                                                       \
    X(AllocateDescriptorSets, (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o),        \
      (d, i, o), 0)                                                                                          \
    X(AllocateCommandBuffers, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o),        \
      (d, i, o), 0)                                                                                          \
    X(BindBufferMemory, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize o), (d, b, m, o), 0)         \
    X(MapMemory,                                                                                             \
      (VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize s, VkMemoryMapFlags f, void **p),          \
      (d, m, o, s, f, p), 0)                                                                                 \
    X(BeginCommandBuffer, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i), 0)                 \
    X(EndCommandBuffer, (VkCommandBuffer c), (c), 0)

/* What gives back what those made. */
#define DESTROY_FUNCTIONS(X)                                                                                 \
    X(FreeMemory, VkDeviceMemory)                                                                            \
    X(DestroyBuffer, VkBuffer)                                                                               \
    X(DestroyShaderModule, VkShaderModule)                                                                   \
    X(DestroyPipelineCache, VkPipelineCache)                                                                 \
    X(DestroyPipeline, VkPipeline)                                                                           \
    X(DestroyPipelineLayout, VkPipelineLayout)                                                               \
    X(DestroyDescriptorSetLayout, VkDescriptorSetLayout)                                                     \
    X(DestroyDescriptorPool, VkDescriptorPool)                                                               \
    X(DestroyCommandPool, VkCommandPool)                                                                     \
    X(DestroyFence, VkFence)                                                                                 \
    X(DestroyQueryPool, VkQueryPool)

static struct {
#define MEMBER(name) PFN_vk##name name;
    HOST_FUNCTIONS(MEMBER)
#undef MEMBER
} vk;

static struct {
    PFN_vkGetInstanceProcAddr get_instance;
    PFN_vkGetDeviceProcAddr get_device;
    PFN_vkQueueSubmit QueueSubmit;
    PFN_vkWaitForFences WaitForFences;
    PFN_vkGetQueryPoolResults GetQueryPoolResults;
#define MEMBER(name, parameters, arguments, made) PFN_vk##name name;
    FALLIBLE_FUNCTIONS(MEMBER)
#undef MEMBER
#define MEMBER(name, type) PFN_vk##name name;
    DESTROY_FUNCTIONS(MEMBER)
#undef MEMBER
} real;

static void no_lock(void) {
    host_now->counts.lock_abused += host_now->locked;
}

#define HOOK(name, parameters, arguments, made)                                                              \
    static VKAPI_ATTR VkResult VKAPI_CALL hook_##name parameters {                                           \
        no_lock();                                                                                           \
        if (++host_now->counts.fallible == host_now->fail_at) return VK_ERROR_OUT_OF_DEVICE_MEMORY;          \
        VkResult result = real.name arguments;                                                               \
        if (result >= 0) host_now->counts.live += made;                                                      \
        return result;                                                                                       \
    }
FALLIBLE_FUNCTIONS(HOOK)
#undef HOOK

#define HOOK(name, type)                                                                                     \
    static VKAPI_ATTR void VKAPI_CALL hook_##name(VkDevice d, type object, const VkAllocationCallbacks *a) { \
        no_lock();                                                                                           \
        host_now->counts.live -= object != VK_NULL_HANDLE;                                                   \
        real.name(d, object, a);                                                                             \
    }
DESTROY_FUNCTIONS(HOOK)
#undef HOOK

static VKAPI_ATTR VkResult VKAPI_CALL hook_QueueSubmit(VkQueue queue, uint32_t count,
                                                       const VkSubmitInfo *infos, VkFence fence) {
    vulkan_host *h = host_now;
    h->counts.unlocked += !h->locked;
    if (++h->counts.submissions == h->lose_at_submit) h->lost = true;
    if (h->lost) return VK_ERROR_DEVICE_LOST;
    if (++h->counts.fallible == h->fail_at) return VK_ERROR_OUT_OF_HOST_MEMORY;
    return real.QueueSubmit(queue, count, infos, fence);
}

/* The real device is alive, and must be done with what is about to be destroyed. */
static VKAPI_ATTR VkResult VKAPI_CALL hook_WaitForFences(VkDevice device, uint32_t count,
                                                         const VkFence *fences, VkBool32 all,
                                                         uint64_t timeout) {
    vulkan_host *h = host_now;
    no_lock();
    if (++h->counts.waits == h->lose_at_wait) h->lost = true;
    if (!h->lost) return real.WaitForFences(device, count, fences, all, timeout);
    real.WaitForFences(device, count, fences, all, UINT64_MAX);
    return VK_ERROR_DEVICE_LOST;
}

static VKAPI_ATTR VkResult VKAPI_CALL hook_GetQueryPoolResults(VkDevice device, VkQueryPool pool,
                                                               uint32_t first, uint32_t count, size_t bytes,
                                                               void *data, VkDeviceSize stride,
                                                               VkQueryResultFlags flags) {
    no_lock();
    if (host_now->lost) return VK_ERROR_DEVICE_LOST;
    return real.GetQueryPoolResults(device, pool, first, count, bytes, data, stride, flags);
}

static VKAPI_ATTR VkResult VKAPI_CALL hook_idle(void *anything) {
    (void)anything;
    host_now->counts.idles++;
    return VK_SUCCESS;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_hook(VkDevice device, const char *name) {
#define HOOK(function)                                                                                       \
    if (strcmp(name, "vk" #function) == 0) {                                                                 \
        real.function = (PFN_vk##function)real.get_device(device, name);                                     \
        return (PFN_vkVoidFunction)hook_##function;                                                          \
    }
    HOOK(QueueSubmit)
    HOOK(WaitForFences)
    HOOK(GetQueryPoolResults)
#define HOOK_FALLIBLE(function, parameters, arguments, made) HOOK(function)
    FALLIBLE_FUNCTIONS(HOOK_FALLIBLE)
#undef HOOK_FALLIBLE
#define HOOK_DESTROY(function, type) HOOK(function)
    DESTROY_FUNCTIONS(HOOK_DESTROY)
#undef HOOK_DESTROY
#undef HOOK
    if (strstr(name, "WaitIdle")) {
        host_now->counts.idles++;
        return (PFN_vkVoidFunction)hook_idle;
    }
    return real.get_device(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_hook(VkInstance instance, const char *name) {
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)get_device_hook;
    return real.get_instance(instance, name);
}

static void lock(void *user) {
    vulkan_host *h = user;
    h->counts.lock_abused += h->locked;
    h->locked = true;
    h->counts.locks++;
}

static void unlock(void *user) {
    vulkan_host *h = user;
    h->counts.lock_abused += !h->locked;
    h->locked = false;
}

static void on_log(void *user, mzt_log_level level, const char *line) {
    vulkan_host *h = user;
    if (level < MZT_LOG_WARNING) return;
    h->warnings++;
    fprintf(stderr, "warning: %s\n", line);
}

/* ------------------------------------------------------------------------------------------- opening,
 * closing -- */

static void check(VkResult result, const char *call) {
    if (result < 0) fail_msg("%s: %d", call, (int)result);
}

static void make_device(vulkan_host *h, bool robust) {
    mzt_error error;
    if (vulkan_device_requirements(&h->host, h->instance->loader.get, h->instance->handle, h->physical,
                                   &h->needs, &error) < 0)
        fail_msg("%s", error.message);
    const char *extensions[8];
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->needs.required_count; i++)
        extensions[count++] = h->needs.required[i];
    for (uint32_t i = 0; i < h->needs.recommended_count; i++)
        extensions[count++] = h->needs.recommended[i];
    h->needs.features12.timelineSemaphore = VK_TRUE; /* the host's own wish */
    h->needs.features.features.robustBufferAccess = robust;
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = h->needs.queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &h->needs.features,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = count,
                               .ppEnabledExtensionNames = extensions};
    check(h->instance->vk.CreateDevice(h->physical, &info, NULL, &h->device), "vkCreateDevice");
}

static void find_memory(vulkan_host *h) {
    const VkMemoryPropertyFlags wanted =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    h->instance->vk.GetPhysicalDeviceMemoryProperties(h->physical, &memory);
    for (uint32_t i = memory.memoryTypeCount; i-- > 0;)
        if ((memory.memoryTypes[i].propertyFlags & wanted) == wanted) h->memory_type = i;
}

static bool open_device(vulkan_host *h, uint32_t index, bool robust) {
    vulkan_env_set();
    memset(h, 0, sizeof *h);
    mzt_error error;
    VkPhysicalDevice *list;
    uint32_t count;
    mzt_hooks hooks = {.user = h, .log = on_log};
    h->host = host_make(&hooks);
    mzt_status status = vulkan_instance_create(&h->host, true, &h->instance, &error);
    if (status == MZT_ERROR_NOT_FOUND && vulkan_env_required()) fail_msg("%s", error.message);
    if (status == MZT_ERROR_NOT_FOUND) status = vulkan_instance_create(&h->host, false, &h->instance, &error);
    if (status == MZT_ERROR_NOT_FOUND) return false;
    if (status < 0 || vulkan_instance_devices(h->instance, &list, &count, &error) < 0)
        fail_msg("%s", error.message);
    if (index < count) h->physical = list[index];
    host_free(&h->host, list);
    if (!h->physical) {
        vulkan_instance_destroy(h->instance);
        return false;
    }
    host_now = h;
    real.get_instance = h->instance->loader.get;
    real.get_device = h->instance->vk.GetDeviceProcAddr;
    make_device(h, robust);
#define LOAD(name) vk.name = (PFN_vk##name)real.get_device(h->device, "vk" #name);
    HOST_FUNCTIONS(LOAD)
#undef LOAD
    vk.GetDeviceQueue(h->device, h->needs.queue_family, 0, &h->queue);
    VkPipelineCacheCreateInfo cache = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    check(vk.CreatePipelineCache(h->device, &cache, NULL, &h->cache), "vkCreatePipelineCache");
    find_memory(h);
    return true;
}

bool vulkan_host_open(vulkan_host *h, uint32_t index) {
    return open_device(h, index, false);
}

bool vulkan_host_open_robust(vulkan_host *h, uint32_t index) {
    return open_device(h, index, true);
}

void vulkan_host_renew(vulkan_host *h) {
    assert_int_equal(h->warnings, 0);
    assert_int_equal(h->counts.live, 0);
    assert_int_equal(h->counts.idles, 0);
    assert_int_equal(h->counts.unlocked, 0);
    assert_int_equal(h->counts.lock_abused, 0);
    assert_int_equal(h->counts.locks, h->counts.submissions);
    assert_false(h->locked);
    memset(&h->counts, 0, sizeof h->counts);
    h->fail_at = h->lose_at_submit = h->lose_at_wait = 0;
    h->lost = false;
}

void vulkan_host_close(vulkan_host *h) {
    vk.DestroyPipelineCache(h->device, h->cache, NULL);
    vk.DestroyDevice(h->device, NULL); /* leaked objects are reported here */
    vulkan_instance_destroy(h->instance);
    vulkan_host_renew(h);
    host_now = NULL;
}

vulkan_import vulkan_host_import(vulkan_host *h) {
    return (vulkan_import){.instance = h->instance->handle,
                           .api_version = VK_API_VERSION_1_2,
                           .get_instance_proc_addr = get_instance_hook,
                           .physical_device = h->physical,
                           .device = h->device,
                           .queue = h->queue,
                           .queue_family = h->needs.queue_family,
                           .extensions = h->needs.required,
                           .extension_count = h->needs.required_count,
                           .features = &h->needs.features,
                           .lock = lock,
                           .unlock = unlock,
                           .user = h,
                           .cache = h->cache};
}

vulkan_options vulkan_host_options(void) {
    vulkan_options options = vulkan_options_default();
    options.cache_directory = "";
    return options;
}

/* -------------------------------------------------------------------------------------------- the host's
 * things -- */

static VkDeviceMemory allocate(vulkan_host *h, uint64_t bytes, uint32_t types) {
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .allocationSize = bytes,
                                 .memoryTypeIndex = h->memory_type};
    while (!(types & (1u << info.memoryTypeIndex)))
        info.memoryTypeIndex = (info.memoryTypeIndex + 1) % 32;
    VkDeviceMemory memory;
    check(vk.AllocateMemory(h->device, &info, NULL, &memory), "vkAllocateMemory");
    return memory;
}

vulkan_host_target vulkan_host_image(vulkan_host *h, VkFormat format, uint32_t width, uint32_t height) {
    vulkan_host_target t = {0};
    VkImageCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
        .imageType = VK_IMAGE_TYPE_2D,
        .format = format,
        .extent = {width, height, 1},
        .mipLevels = 1,
        .arrayLayers = 1,
        .samples = VK_SAMPLE_COUNT_1_BIT,
        .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
    };
    check(vk.CreateImage(h->device, &info, NULL, &t.image), "vkCreateImage");
    VkMemoryRequirements needs;
    vk.GetImageMemoryRequirements(h->device, t.image, &needs);
    t.memory = allocate(h, needs.size, needs.memoryTypeBits);
    check(vk.BindImageMemory(h->device, t.image, t.memory, 0), "vkBindImageMemory");
    return t;
}

vulkan_host_target vulkan_host_buffer(vulkan_host *h, uint64_t bytes) {
    vulkan_host_target t = {0};
    void *mapped;
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = bytes,
                               .usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    check(vk.CreateBuffer(h->device, &info, NULL, &t.buffer), "vkCreateBuffer");
    VkMemoryRequirements needs;
    vk.GetBufferMemoryRequirements(h->device, t.buffer, &needs);
    t.memory = allocate(h, needs.size, needs.memoryTypeBits);
    check(vk.BindBufferMemory(h->device, t.buffer, t.memory, 0), "vkBindBufferMemory");
    check(vk.MapMemory(h->device, t.memory, 0, VK_WHOLE_SIZE, 0, &mapped), "vkMapMemory");
    t.mapped = mapped;
    return t;
}

void vulkan_host_target_destroy(vulkan_host *h, vulkan_host_target *t) {
    vk.DestroyImage(h->device, t->image, NULL);
    vk.DestroyBuffer(h->device, t->buffer, NULL);
    vk.FreeMemory(h->device, t->memory, NULL);
}

VkSemaphore vulkan_host_semaphore(vulkan_host *h, bool timeline) {
    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType =
                                          timeline ? VK_SEMAPHORE_TYPE_TIMELINE : VK_SEMAPHORE_TYPE_BINARY};
    VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    VkSemaphore semaphore;
    check(vk.CreateSemaphore(h->device, &info, NULL, &semaphore), "vkCreateSemaphore");
    return semaphore;
}

void vulkan_host_semaphore_destroy(vulkan_host *h, VkSemaphore semaphore) {
    vk.DestroySemaphore(h->device, semaphore, NULL);
}

void vulkan_host_signal(vulkan_host *h, VkSemaphore semaphore, uint64_t value) {
    VkTimelineSemaphoreSubmitInfo values = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                            .signalSemaphoreValueCount = 1,
                                            .pSignalSemaphoreValues = &value};
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .pNext = value ? &values : NULL,
                         .signalSemaphoreCount = 1,
                         .pSignalSemaphores = &semaphore};
    check(vk.QueueSubmit(h->queue, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
}

/* A command buffer of the host's that is submitted once and waited for. */
typedef struct errand {
    VkCommandPool pool;
    VkCommandBuffer commands;
} errand;

static errand errand_begin(vulkan_host *h) {
    errand e;
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = h->needs.queue_family};
    check(vk.CreateCommandPool(h->device, &pool, NULL, &e.pool), "vkCreateCommandPool");
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = e.pool,
                                            .commandBufferCount = 1};
    check(vk.AllocateCommandBuffers(h->device, &commands, &e.commands), "vkAllocateCommandBuffers");
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    check(vk.BeginCommandBuffer(e.commands, &begin), "vkBeginCommandBuffer");
    return e;
}

static void errand_run(vulkan_host *h, errand *e, VkSemaphore wait, uint64_t value) {
    check(vk.EndCommandBuffer(e->commands), "vkEndCommandBuffer");
    VkFenceCreateInfo fence_info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkFence fence;
    check(vk.CreateFence(h->device, &fence_info, NULL, &fence), "vkCreateFence");
    VkPipelineStageFlags stage = VK_PIPELINE_STAGE_TRANSFER_BIT;
    VkTimelineSemaphoreSubmitInfo values = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                            .waitSemaphoreValueCount = 1,
                                            .pWaitSemaphoreValues = &value};
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .pNext = value ? &values : NULL,
                         .waitSemaphoreCount = wait ? 1 : 0,
                         .pWaitSemaphores = &wait,
                         .pWaitDstStageMask = &stage,
                         .commandBufferCount = 1,
                         .pCommandBuffers = &e->commands};
    assert_false(h->locked);
    check(vk.QueueSubmit(h->queue, 1, &info, fence), "vkQueueSubmit");
    check(vk.WaitForFences(h->device, 1, &fence, VK_TRUE, UINT64_MAX), "vkWaitForFences");
    vk.DestroyFence(h->device, fence, NULL);
    vk.DestroyCommandPool(h->device, e->pool, NULL);
}

static void copy_out(VkCommandBuffer commands, VkImage image, uint32_t width, uint32_t height, VkBuffer to) {
    VkBufferImageCopy region = {.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                                .imageExtent = {width, height, 1}};
    vk.CmdCopyImageToBuffer(commands, image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, to, 1, &region);
    VkMemoryBarrier seen = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                            .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                            .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    vk.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &seen,
                          0, NULL, 0, NULL);
}

void vulkan_host_read(vulkan_host *h, const vulkan_host_target *t, uint32_t width, uint32_t height,
                      uint32_t pixel_bytes, VkSemaphore wait, uint64_t value, void *out) {
    uint64_t bytes = (uint64_t)width * height * pixel_bytes;
    vulkan_host_target to = vulkan_host_buffer(h, bytes);
    errand e = errand_begin(h);
    copy_out(e.commands, t->image, width, height, to.buffer);
    errand_run(h, &e, wait, value);
    memcpy(out, to.mapped, (size_t)bytes);
    vulkan_host_target_destroy(h, &to);
}

static void layout(VkCommandBuffer commands, VkImage image, VkImageLayout from, VkAccessFlags wrote,
                   VkImageLayout to, VkAccessFlags uses) {
    VkImageMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
                                    .srcAccessMask = wrote,
                                    .dstAccessMask = uses,
                                    .oldLayout = from,
                                    .newLayout = to,
                                    .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .image = image,
                                    .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1}};
    vk.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 0,
                          NULL, 0, NULL, 1, &barrier);
}

void vulkan_host_draw(vulkan_host *h, uint32_t number) {
    enum { SIDE = 16 };
    uint8_t pixels[SIDE * SIDE * 4];
    uint8_t wanted[4] = {(uint8_t)number, (uint8_t)(number * 7 + 1), (uint8_t)(number * 31 + 2), 255};
    vulkan_host_target image = vulkan_host_image(h, VK_FORMAT_R8G8B8A8_UNORM, SIDE, SIDE);
    vulkan_host_target to = vulkan_host_buffer(h, sizeof pixels);
    VkImageSubresourceRange all = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    VkClearColorValue colour;
    for (int i = 0; i < 4; i++)
        colour.float32[i] = (float)wanted[i] / 255;
    errand e = errand_begin(h);
    layout(e.commands, image.image, VK_IMAGE_LAYOUT_UNDEFINED, 0, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
           VK_ACCESS_TRANSFER_WRITE_BIT);
    vk.CmdClearColorImage(e.commands, image.image, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, &colour, 1, &all);
    layout(e.commands, image.image, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, VK_ACCESS_TRANSFER_WRITE_BIT,
           VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, VK_ACCESS_TRANSFER_READ_BIT);
    copy_out(e.commands, image.image, SIDE, SIDE, to.buffer);
    errand_run(h, &e, VK_NULL_HANDLE, 0);
    memcpy(pixels, to.mapped, sizeof pixels);
    for (uint32_t i = 0; i < sizeof pixels; i++)
        assert_int_equal(pixels[i], wanted[i % 4]);
    vulkan_host_target_destroy(h, &image);
    vulkan_host_target_destroy(h, &to);
}
