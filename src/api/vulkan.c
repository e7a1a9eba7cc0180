/* The host's own Vulkan device: mezzotint_vulkan.h. The one file outside of runtime/vulkan that speaks
 * Vulkan's types. */
#include "api/api.h"

#if defined(MZT_HAVE_VULKAN)
#include <string.h>

#define VK_NO_PROTOTYPES
#include "mezzotint_vulkan.h"
#include "vulkan/vulkan_import.h"

mzt_status mzt_vulkan_instance_requirements(PFN_vkGetInstanceProcAddr get, mzt_vulkan_instance_needs *needs,
                                            mzt_error *error) {
    mzt_vulkan_instance_needs own = {.struct_size = sizeof own, .api_version = VULKAN_NEEDED_VERSION};
    enum { MOST = sizeof own.recommended / sizeof *own.recommended };
    if (!get) return api_missing(error, "get_instance_proc_addr");
    const uint32_t count = vulkan_instance_needs(get, own.recommended, MOST);
    own.recommended_count = count < MOST ? count : MOST;
    return api_give("mzt_vulkan_instance_needs", &own, sizeof own, needs, error);
}

/* The first family that computes and draws, or else that computes. */
static uint32_t choose_family(PFN_vkGetInstanceProcAddr get, VkInstance instance, VkPhysicalDevice physical) {
    enum { MOST = 32 };
    VkQueueFamilyProperties families[MOST];
    uint32_t count = MOST, found = UINT32_MAX;
    PFN_vkGetPhysicalDeviceQueueFamilyProperties list = (PFN_vkGetPhysicalDeviceQueueFamilyProperties)get(
        instance, "vkGetPhysicalDeviceQueueFamilyProperties");
    if (!list) return found;
    list(physical, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        if (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) return i;
        if (found == UINT32_MAX) found = i;
    }
    return found;
}

mzt_status mzt_vulkan_device_requirements(VkInstance instance, VkPhysicalDevice physical,
                                          PFN_vkGetInstanceProcAddr get, mzt_vulkan_device_needs *needs,
                                          mzt_error *error) {
    vulkan_device_needs found;
    mzt_vulkan_device_needs own = {.struct_size = sizeof own};
    if (!instance || !physical || !get || !needs)
        return api_missing(error, !instance   ? "instance"
                                  : !physical ? "physical_device"
                                  : !get      ? "get_instance_proc_addr"
                                              : "needs");
    if (needs->struct_size < sizeof own) /* the chain must lie whole in the caller's structure */
        return error_set(error, MZT_ERROR_INVALID,
                         "mzt_vulkan_device_needs: struct_size is %llu, expected %llu",
                         (unsigned long long)needs->struct_size, (unsigned long long)sizeof own);
    const base_host host = host_make(NULL);
    TRY(vulkan_device_requirements(&host, get, instance, physical, &found, error));
    own.required_count = found.required_count;
    own.recommended_count = found.recommended_count;
    memcpy(own.required, found.required, sizeof found.required);
    memcpy(own.recommended, found.recommended, sizeof found.recommended);
    own.features = found.features;
    own.features11 = found.features11;
    own.features12 = found.features12;
    own.size_control = found.size_control;
    own.queue_family = choose_family(get, instance, physical);
    TRY(api_give("mzt_vulkan_device_needs", &own, sizeof own, needs, error));
    /* The same chain, in the caller's structure. */
    const void *const from[] = {&found.features11, &found.features12, &found.size_control};
    void *const to[] = {&needs->features11, &needs->features12, &needs->size_control};
    VkBaseOutStructure *last = (VkBaseOutStructure *)(void *)&needs->features;
    for (const VkBaseInStructure *s = found.features.pNext; s; s = s->pNext)
        for (int i = 0; i < 3; i++)
            if ((const void *)s == from[i]) last = last->pNext = to[i];
    last->pNext = NULL;
    return MZT_OK;
}

mzt_status mzt_device_import_vulkan(mzt_context *context, const mzt_vulkan_import *import,
                                    mzt_device **device, mzt_error *error) {
    mzt_vulkan_import own = {.struct_size = sizeof own};
    vulkan_options options = vulkan_options_default();
    executor *e;
    if (device) *device = NULL;
    if (!context || !import || !device)
        return api_missing(error, !context ? "context" : !import ? "import" : "device");
    TRY(api_take("mzt_vulkan_import", import, &own, sizeof own, error));
    options.cache_directory = own.cache_directory;
    options.memory_limit = own.memory_limit;
    const vulkan_import given = {.instance = own.instance,
                                 .api_version = own.api_version,
                                 .get_instance_proc_addr = own.get_instance_proc_addr,
                                 .physical_device = own.physical_device,
                                 .device = own.device,
                                 .queue = own.queue,
                                 .queue_family = own.queue_family,
                                 .extensions = own.extensions,
                                 .extension_count = own.extension_count,
                                 .features = own.features,
                                 .lock = own.lock_queue,
                                 .unlock = own.unlock_queue,
                                 .user = own.user,
                                 .cache = own.pipeline_cache};
    TRY(vulkan_executor_import(&context->host, &options, &given, &e, error));
    return api_device_make(context, e, true, device, error);
}

/* Whether the decoder's output still is picture `index` as it came from there. */
static bool is_there(const generation *g, uint32_t index) {
    const bool pasted = g->source.host && g->source.mask;
    return !pasted && !g->result.trajectory_count && index + 1 == g->result.count;
}

static mzt_status write_picture(mzt_job *job, uint32_t index, const vulkan_picture_target *target,
                                mzt_error *error) {
    generation *g = job->generation;
    network *n = &job->pipeline->generator.parts[PART_DECODER].network;
    const image *picture = &g->result.images[index];
    const uint64_t count = (uint64_t)picture->width * picture->height * picture->channels;
    if (!is_there(g, index)) {
        image_to_floats(picture, picture->channels, g->pixels);
        TRY(network_set(n, "picture", g->pixels, count, error));
    }
    return vulkan_program_write_picture(n->program, plan_find_buffer(n->plan, "picture"), target, error);
}

mzt_status mzt_job_write_vulkan(mzt_job *job, uint32_t index, const mzt_vulkan_target *target,
                                mzt_error *error) {
    mzt_vulkan_target own = {.struct_size = sizeof own,
                             .format = VK_FORMAT_R8G8B8A8_UNORM,
                             .from_family = VK_QUEUE_FAMILY_IGNORED,
                             .to_family = VK_QUEUE_FAMILY_IGNORED};
    if (!job || !target) return api_missing(error, job ? "target" : "job");
    TRY(api_take("mzt_vulkan_target", target, &own, sizeof own, error));
    const generation *g = job->generation;
    if (!job->pipeline->device->imported)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "the device was not imported from the host");
    if (g->owner->turns)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "the pipeline gave its decoder up: MZT_RESIDENCY_TURNS");
    if (index >= g->result.count)
        return error_set(error, MZT_ERROR_INVALID, "picture %u of %u", index, g->result.count);
    if (g->status != MZT_OK) {
        if (g->status < 0 && error) *error = g->ended;
        return g->status;
    }
    const VkImageLayout layout = own.new_layout ? own.new_layout : VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
    const vulkan_picture_target given = {.image = own.image,
                                         .buffer = own.buffer,
                                         .buffer_offset = own.offset,
                                         .buffer_row_bytes = own.row_bytes,
                                         .format = own.format,
                                         .x = own.x,
                                         .y = own.y,
                                         .old_layout = own.old_layout,
                                         .new_layout = layout,
                                         .from_family = own.from_family,
                                         .to_family = own.to_family,
                                         .wait = own.wait,
                                         .wait_value = own.wait_value,
                                         .signal = own.signal,
                                         .signal_value = own.signal_value};
    lock_take(job->pipeline->device->lock);
    mzt_status status = write_picture(job, index, &given, error);
    lock_give(job->pipeline->device->lock);
    return status;
}
#endif
