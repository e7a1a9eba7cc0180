/* Reads properties and features of a physical device and derives tier, limits and queue; see physical.h. */
#include "vulkan/physical.h"

#include <stdio.h>
#include <string.h>
#include "vulkan/quirks.h"
#include "vulkan/result.h"

static bool has_extension(const vulkan_instance *instance, VkPhysicalDevice handle, const char *name) {
    uint32_t count = 0;
    bool found = false;
    if (instance->vk.EnumerateDeviceExtensionProperties(handle, NULL, &count, NULL) < 0) return false;
    VkExtensionProperties *list = host_calloc(instance->host, count, sizeof *list);
    if (list && instance->vk.EnumerateDeviceExtensionProperties(handle, NULL, &count, list) >= 0) {
        for (uint32_t i = 0; i < count; i++)
            found = found || strcmp(list[i].extensionName, name) == 0;
    }
    host_free(instance->host, list);
    return found;
}

/* One queue for everything. A family that computes but does not draw comes first: there our work does not
 * stand in the desktop's way. */
static mzt_status choose_queue(const vulkan_instance *instance, const vulkan_import *import,
                               vulkan_physical *out, mzt_error *error) {
    uint32_t count = 0;
    instance->vk.GetPhysicalDeviceQueueFamilyProperties(out->handle, &count, NULL);
    VkQueueFamilyProperties *list = host_calloc(instance->host, count, sizeof *list);
    if (!list) return error_memory(error, "Vulkan queue families", count * sizeof *list);
    instance->vk.GetPhysicalDeviceQueueFamilyProperties(out->handle, &count, list);
    uint32_t best = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!(list[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || list[i].queueCount == 0) continue;
        if (import && import->queue_family != i) continue;
        bool alone = !(list[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        if (best == count || (alone && (list[best].queueFlags & VK_QUEUE_GRAPHICS_BIT))) best = i;
    }
    if (best < count) {
        out->queue_family = best;
        out->timestamp_bits = list[best].timestampValidBits;
    }
    host_free(instance->host, list);
    if (best < count) return MZT_OK;
    if (import)
        return error_set(error, MZT_ERROR_INVALID, "%s: queue family %u of %u cannot compute",
                         out->properties.deviceName, import->queue_family, count);
    return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: has no compute queue", out->properties.deviceName);
}

/* Everything that GetPhysicalDevice{Properties,Features}2 tells, chained. */
typedef struct query {
    VkPhysicalDeviceProperties2 properties;
    VkPhysicalDeviceVulkan11Properties properties11;
    VkPhysicalDeviceVulkan12Properties properties12;
    VkPhysicalDeviceSubgroupSizeControlProperties size_control;
    VkPhysicalDeviceMaintenance4Properties maintenance4;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDeviceVulkan11Features features11;
    VkPhysicalDeviceVulkan12Features features12;
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control_features;
    bool has_size_control, has_maintenance4;
} query;

static void run_query(const vulkan_instance *instance, VkPhysicalDevice handle, uint32_t version, query *q) {
    memset(q, 0, sizeof *q);
    q->has_maintenance4 = version >= VK_API_VERSION_1_3;
    q->has_size_control = version >= VK_API_VERSION_1_3 ||
                          has_extension(instance, handle, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    q->properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    q->properties11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES;
    q->properties12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES;
    q->size_control.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
    q->maintenance4.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES;
    q->properties.pNext = &q->properties11;
    q->properties11.pNext = &q->properties12;
    void **tail = &q->properties12.pNext;
    if (q->has_size_control) {
        *tail = &q->size_control;
        tail = &q->size_control.pNext;
    }
    if (q->has_maintenance4) *tail = &q->maintenance4;
    instance->vk.GetPhysicalDeviceProperties2(handle, &q->properties);

    q->features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    q->features11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    q->features12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    q->size_control_features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
    q->features.pNext = &q->features11;
    q->features11.pNext = &q->features12;
    if (q->has_size_control) q->features12.pNext = &q->size_control_features;
    instance->vk.GetPhysicalDeviceFeatures2(handle, &q->features);
}

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* Tier 1: 16-bit storage. Tier 2: also f16 arithmetic or subgroup sums. */
static void choose_tier(const query *q, const vulkan_options *options, uint32_t quirks,
                        vulkan_physical *out) {
    shader_device *shader = &out->shader;
    const VkPhysicalDeviceVulkan11Properties *eleven = &q->properties11;
    shader->subgroup_size = eleven->subgroupSize;
    out->size_control_in_core = q->has_maintenance4;
    out->required_size = q->has_size_control && q->size_control_features.subgroupSizeControl &&
                         (q->size_control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                         shader->subgroup_size >= q->size_control.minSubgroupSize &&
                         shader->subgroup_size <= q->size_control.maxSubgroupSize;
    shader->storage16 = q->features11.storageBuffer16BitAccess && options->max_tier >= 1;
    if (shader->storage16 && options->max_tier >= 2) {
        shader->f16 = q->features12.shaderFloat16 && !(quirks & QUIRK_NO_F16);
        shader->subgroup_arithmetic =
            (eleven->subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
            (eleven->subgroupSupportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT) &&
            !(quirks & QUIRK_NO_SUBGROUPS);
    }
    out->limits.tier = shader->f16 || shader->subgroup_arithmetic ? 2 : shader->storage16 ? 1 : 0;
}

/* Whether a plan with this activation type can run: some linear kernel for it needs nothing that the device
 * lacks. */
static bool runs_type(const shader_device *device, dtype type) {
    uint32_t has = (device->storage16 ? SHADER_NEEDS_STORAGE16 : 0) | (device->f16 ? SHADER_NEEDS_F16 : 0) |
                   (device->subgroup_arithmetic ? SHADER_NEEDS_SUBGROUP : 0) |
                   (device->shared_bytes >= 32768 ? SHADER_NEEDS_SHARED32K : 0);
    for (uint32_t i = 0; i < shader_variant_count; i++) {
        const shader_variant *row = &shader_variants[i];
        if (row->op == OP_LINEAR && row->activation == (int32_t)type && (row->needs & ~has) == 0) return true;
    }
    return false;
}

static void fill_limits(const query *q, const vulkan_options *options, uint32_t index, vulkan_physical *out) {
    executor_limits *limits = &out->limits;
    const VkPhysicalDeviceLimits *from = &out->properties.limits;
    snprintf(limits->name, sizeof limits->name, "%s", out->properties.deviceName);
    snprintf(limits->spec, sizeof limits->spec, "vulkan:%u", index);
    const char *info = q->properties12.driverInfo;
    snprintf(limits->driver, sizeof limits->driver, "%.120s%s%.120s", q->properties12.driverName,
             info[0] ? " " : "", info);
    VkPhysicalDeviceType type = out->properties.deviceType;
    limits->is_gpu = type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ||
                     type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU ||
                     type == VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU;
    limits->is_discrete = type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    out->mapped_first = type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU || type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    limits->max_range = from->maxStorageBufferRange;
    limits->max_allocation = q->properties11.maxMemoryAllocationSize;
    if (q->has_maintenance4 && q->maintenance4.maxBufferSize < limits->max_allocation) {
        limits->max_allocation = q->maintenance4.maxBufferSize;
    }
    if (options->max_allocation > 0 && options->max_allocation < limits->max_allocation) {
        limits->max_allocation = options->max_allocation;
    }
    for (uint32_t i = 0; i < out->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &out->memory.memoryHeaps[i];
        if ((heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && heap->size > limits->memory)
            limits->memory = heap->size;
    }
    shader_device *shader = &out->shader;
    shader->shared_bytes = from->maxComputeSharedMemorySize;
    shader->max_invocations = min_u32(from->maxComputeWorkGroupInvocations, from->maxComputeWorkGroupSize[0]);
    shader->max_groups_x = from->maxComputeWorkGroupCount[0];
    shader->is_cpu = type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    shader->vendor = out->properties.vendorID;
    limits->f16 = runs_type(shader, DTYPE_F16);
    limits->bf16 = runs_type(shader, DTYPE_BF16);
}

static bool was_enabled(const vulkan_import *import, const char *name) {
    for (uint32_t i = 0; i < import->extension_count; i++)
        if (strcmp(import->extensions[i], name) == 0) return true;
    return false;
}

/* Leaves of the features only what stands in the host's chain, in either of the forms that Vulkan has for it.
 */
static void keep_enabled(const vulkan_import *import, query *q) {
    VkBool32 storage16 = VK_FALSE, f16 = VK_FALSE, size_control = VK_FALSE;
    for (const VkBaseInStructure *s = import->features; s; s = s->pNext) {
        const void *features = s;
        switch ((int)s->sType) {
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES:
            storage16 |= ((const VkPhysicalDeviceVulkan11Features *)features)->storageBuffer16BitAccess;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
            storage16 |= ((const VkPhysicalDevice16BitStorageFeatures *)features)->storageBuffer16BitAccess;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES:
            f16 |= ((const VkPhysicalDeviceVulkan12Features *)features)->shaderFloat16;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES:
            f16 |= ((const VkPhysicalDeviceShaderFloat16Int8Features *)features)->shaderFloat16;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES:
            size_control |= ((const VkPhysicalDeviceVulkan13Features *)features)->subgroupSizeControl;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES:
            size_control |=
                ((const VkPhysicalDeviceSubgroupSizeControlFeatures *)features)->subgroupSizeControl;
            break;
        default:
            break;
        }
    }
    q->features11.storageBuffer16BitAccess &= storage16;
    q->features12.shaderFloat16 &= f16;
    q->size_control_features.subgroupSizeControl &= size_control;
}

/* UNSUPPORTED names what the device lacks. `import` NULL: it is for a device of ours. `known` is the version
 * that the instance was made for; what is newer is not asked. */
static mzt_status query_device(const vulkan_instance *instance, const vulkan_options *options,
                               const vulkan_import *import, uint32_t known, VkPhysicalDevice handle,
                               uint32_t index, vulkan_physical *out, mzt_error *error) {
    memset(out, 0, sizeof *out);
    out->handle = handle;
    instance->vk.GetPhysicalDeviceProperties(handle, &out->properties);
    uint32_t version = out->properties.apiVersion;
    if (version < VK_API_VERSION_1_2) {
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: its driver knows Vulkan %u.%u, 1.2 is needed",
                         out->properties.deviceName, VK_API_VERSION_MAJOR(version),
                         VK_API_VERSION_MINOR(version));
    }
    uint32_t buffers = out->properties.limits.maxPerStageDescriptorStorageBuffers;
    if (buffers < OP_MAX_BINDINGS) {
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: binds %u storage buffers at once, %u are needed",
                         out->properties.deviceName, buffers, OP_MAX_BINDINGS);
    }
    instance->vk.GetPhysicalDeviceMemoryProperties(handle, &out->memory);
    TRY(choose_queue(instance, import, out, error));
    query q;
    run_query(instance, handle, version < known ? version : known, &q);
    const char *why;
    uint32_t quirks = vulkan_quirks(out->properties.vendorID, q.properties12.driverID, &why);
    if (why[0])
        host_log(instance->host, MZT_LOG_INFO, "%s: restricted (%s)", out->properties.deviceName, why);
    out->portability_subset = has_extension(instance, handle, "VK_KHR_portability_subset");
    if (import && out->portability_subset && !was_enabled(import, "VK_KHR_portability_subset"))
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "%s: extension VK_KHR_portability_subset is not enabled on the imported device",
                         out->properties.deviceName);
    if (import) keep_enabled(import, &q);
    choose_tier(&q, options, quirks, out);
    fill_limits(&q, options, index, out);
    return MZT_OK;
}

mzt_status vulkan_physical_list(const vulkan_instance *instance, const vulkan_options *options,
                                vulkan_physical **out, uint32_t *count, mzt_error *error) {
    VkPhysicalDevice *handles;
    uint32_t handle_count;
    *out = NULL;
    *count = 0;
    TRY(vulkan_instance_devices(instance, &handles, &handle_count, error));
    vulkan_physical *list = host_calloc(instance->host, handle_count, sizeof *list);
    mzt_status status =
        list ? MZT_OK : error_memory(error, "list of Vulkan devices", handle_count * sizeof *list);
    for (uint32_t i = 0; status == MZT_OK && i < handle_count; i++) {
        mzt_error reason;
        status = query_device(instance, options, NULL, VK_API_VERSION_1_3, handles[i], *count, &list[*count],
                              &reason);
        if (status == MZT_OK) {
            (*count)++;
        } else if (status == MZT_ERROR_UNSUPPORTED) {
            host_log(instance->host, MZT_LOG_INFO, "%s", reason.message);
            status = MZT_OK;
        } else {
            error_set(error, status, "%s", reason.message);
        }
    }
    host_free(instance->host, handles);
    if (status < 0) {
        host_free(instance->host, list);
        return status;
    }
    *out = list;
    return MZT_OK;
}

mzt_status vulkan_physical_import(const vulkan_instance *instance, const vulkan_options *options,
                                  const vulkan_import *import, vulkan_physical *out, mzt_error *error) {
    TRY(query_device(instance, options, import, import->api_version, import->physical_device, 0, out, error));
    snprintf(out->limits.spec, sizeof out->limits.spec, "imported");
    return MZT_OK;
}

uint32_t vulkan_instance_needs(PFN_vkGetInstanceProcAddr get, const char **names, uint32_t capacity) {
    static const char portability[] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    VkExtensionProperties list[256];
    uint32_t count = sizeof list / sizeof *list, found = 0;
    PFN_vkEnumerateInstanceExtensionProperties enumerate =
        (PFN_vkEnumerateInstanceExtensionProperties)get(NULL, "vkEnumerateInstanceExtensionProperties");
    if (!enumerate || enumerate(NULL, &count, list) < 0) return 0;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].extensionName, portability) != 0) continue;
        if (capacity > 0) names[0] = portability;
        found = 1;
    }
    return found;
}

/* Of what the device has, what the library makes use of. */
static void fill_needs(const vulkan_physical *physical, vulkan_device_needs *out) {
    const shader_device *shader = &physical->shader;
    bool size_control = physical->required_size && shader->subgroup_arithmetic;
    if (physical->portability_subset) out->required[out->required_count++] = "VK_KHR_portability_subset";
    if (size_control && !physical->size_control_in_core)
        out->recommended[out->recommended_count++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    out->size_control = (VkPhysicalDeviceSubgroupSizeControlFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = size_control,
    };
    out->features12 = (VkPhysicalDeviceVulkan12Features){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .pNext = size_control ? &out->size_control : NULL,
        .shaderFloat16 = shader->f16,
    };
    out->features11 = (VkPhysicalDeviceVulkan11Features){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
        .pNext = &out->features12,
        .storageBuffer16BitAccess = shader->storage16,
    };
    out->features = (VkPhysicalDeviceFeatures2){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = &out->features11,
    };
}

/* Hosts draw; a family that does both spares them a transfer of ownership. */
static uint32_t drawing_family(const vulkan_instance *instance, const vulkan_physical *physical) {
    VkQueueFamilyProperties list[32];
    uint32_t count = sizeof list / sizeof *list;
    const VkQueueFlags both = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT;
    instance->vk.GetPhysicalDeviceQueueFamilyProperties(physical->handle, &count, list);
    for (uint32_t i = 0; i < count; i++)
        if ((list[i].queueFlags & both) == both && list[i].queueCount > 0) return i;
    return physical->queue_family;
}

mzt_status vulkan_device_requirements(const base_host *host, PFN_vkGetInstanceProcAddr get, VkInstance handle,
                                      VkPhysicalDevice device, vulkan_device_needs *out, mzt_error *error) {
    vulkan_options options = vulkan_options_default();
    vulkan_physical physical;
    vulkan_instance *instance;
    memset(out, 0, sizeof *out);
    TRY(vulkan_instance_attach(host, get, handle, &instance, error));
    mzt_status status =
        query_device(instance, &options, NULL, VULKAN_NEEDED_VERSION, device, 0, &physical, error);
    if (status == MZT_OK) {
        fill_needs(&physical, out);
        out->queue_family = drawing_family(instance, &physical);
    }
    vulkan_instance_destroy(instance);
    return status;
}
