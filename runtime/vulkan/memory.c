/* Buffers and memory types; see memory.h. One allocation per buffer: a program has a handful of large ones.
 */
#include "vulkan/memory.h"

#include <string.h>

#define LOCAL    VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT
#define VISIBLE  VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT
#define CACHED   VK_MEMORY_PROPERTY_HOST_CACHED_BIT
#define COHERENT VK_MEMORY_PROPERTY_HOST_COHERENT_BIT

/* What to look for, best first. Every device has a type for each last row. The device's own memory may run
 * out; shaders can then still work, slowly, on the host's, which is better than no picture. */
static const VkMemoryPropertyFlags staging_wishes[] = {VISIBLE | CACHED | COHERENT, VISIBLE | CACHED,
                                                       VISIBLE | COHERENT};
static const VkMemoryPropertyFlags mapped_wishes[] = {LOCAL | VISIBLE | CACHED, LOCAL | VISIBLE, LOCAL, 0};
static const VkMemoryPropertyFlags device_wishes[] = {LOCAL, 0};

static mzt_status allocate(vulkan_device *device, const VkMemoryRequirements *needs, uint32_t type,
                           vulkan_buffer *out, mzt_error *error) {
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = needs->size,
        .memoryTypeIndex = type,
    };
    VkResult result = device->vk.AllocateMemory(device->handle, &info, NULL, &out->memory);
    TRY(vulkan_device_check(device, result, "vkAllocateMemory", error));
    out->allocated = needs->size;
    device->used += needs->size;
    if (device->used > device->peak) device->peak = device->used;
    VkMemoryPropertyFlags flags = device->physical.memory.memoryTypes[type].propertyFlags;
    out->coherent = (flags & COHERENT) != 0;
    return MZT_OK;
}

/* Tries all types that have `wish`; the first success wins. OUT_OF_MEMORY when there is none or all are full.
 */
static mzt_status allocate_wish(vulkan_device *device, const VkMemoryRequirements *needs,
                                VkMemoryPropertyFlags wish, vulkan_buffer *out, VkMemoryPropertyFlags *got,
                                mzt_error *error) {
    const VkPhysicalDeviceMemoryProperties *memory = &device->physical.memory;
    mzt_status status =
        error_set(error, MZT_ERROR_OUT_OF_MEMORY, "%s: no fitting memory type", device->physical.limits.name);
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        VkMemoryPropertyFlags flags = memory->memoryTypes[i].propertyFlags;
        if (!(needs->memoryTypeBits & (1u << i)) || (flags & wish) != wish) continue;
        if (memory->memoryHeaps[memory->memoryTypes[i].heapIndex].size < needs->size) continue;
        /* Protected, lazily allocated and AMD's debugging types are for other uses. */
        if (flags & ~(VkMemoryPropertyFlags)(LOCAL | VISIBLE | CACHED | COHERENT)) continue;
        status = allocate(device, needs, i, out, error);
        *got = flags;
        if (status != MZT_ERROR_OUT_OF_MEMORY) return status;
    }
    return status;
}

static mzt_status bind(vulkan_device *device, vulkan_buffer *out, bool map, mzt_error *error) {
    VkResult result = device->vk.BindBufferMemory(device->handle, out->handle, out->memory, 0);
    TRY(vulkan_device_check(device, result, "vkBindBufferMemory", error));
    if (!map) return MZT_OK;
    void *address;
    result = device->vk.MapMemory(device->handle, out->memory, 0, VK_WHOLE_SIZE, 0, &address);
    TRY(vulkan_device_check(device, result, "vkMapMemory", error));
    out->mapped = address;
    return MZT_OK;
}

static mzt_status allocate_best(vulkan_device *device, vulkan_memory_use use,
                                const VkMemoryRequirements *needs, vulkan_buffer *out,
                                VkMemoryPropertyFlags *flags, mzt_error *error) {
    uint64_t limit = device->options.memory_limit;
    if (limit > 0 && (device->used > limit || needs->size > limit - device->used)) {
        return error_set(error, MZT_ERROR_OUT_OF_MEMORY,
                         "%s: %llu bytes are in use and %llu more exceed the limit of %llu",
                         device->physical.limits.name, (unsigned long long)device->used,
                         (unsigned long long)needs->size, (unsigned long long)limit);
    }
    const VkMemoryPropertyFlags *wishes = device_wishes;
    size_t count = sizeof device_wishes / sizeof device_wishes[0];
    if (use == VULKAN_MEMORY_STAGING) {
        wishes = staging_wishes;
        count = sizeof staging_wishes / sizeof staging_wishes[0];
    } else if (device->physical.mapped_first) {
        wishes = mapped_wishes;
        count = sizeof mapped_wishes / sizeof mapped_wishes[0];
    }
    mzt_status status = MZT_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count && status == MZT_ERROR_OUT_OF_MEMORY; i++) {
        status = allocate_wish(device, needs, wishes[i], out, flags, error);
    }
    if (status == MZT_OK && use == VULKAN_MEMORY_DEVICE && !(*flags & LOCAL)) {
        host_log(device->host, MZT_LOG_WARNING,
                 "%s: its own memory is full; %llu bytes were placed in the host's, which is slow",
                 device->physical.limits.name, (unsigned long long)needs->size);
    }
    return status;
}

mzt_status vulkan_buffer_create(vulkan_device *device, vulkan_memory_use use, uint64_t size, const char *what,
                                vulkan_buffer *out, mzt_error *error) {
    memset(out, 0, sizeof *out);
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 (use == VULKAN_MEMORY_DEVICE ? (VkBufferUsageFlags)VK_BUFFER_USAGE_STORAGE_BUFFER_BIT : 0),
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    VkResult result = device->vk.CreateBuffer(device->handle, &info, NULL, &out->handle);
    mzt_status status = vulkan_device_check(device, result, "vkCreateBuffer", error);
    if (status < 0) goto fail;
    out->size = size;
    VkMemoryRequirements needs;
    VkMemoryPropertyFlags flags = 0;
    device->vk.GetBufferMemoryRequirements(device->handle, out->handle, &needs);
    status = allocate_best(device, use, &needs, out, &flags, error);
    if (status < 0) goto fail;
    bool map = use == VULKAN_MEMORY_STAGING || (device->physical.mapped_first && (flags & VISIBLE));
    status = bind(device, out, map && !(device->options.force_staging && use == VULKAN_MEMORY_DEVICE), error);
    if (status < 0) goto fail;
    return MZT_OK;
fail:
    vulkan_buffer_destroy(device, out);
    error_prefix(error, "%s of %llu bytes: ", what, (unsigned long long)size);
    return status;
}

void vulkan_buffer_destroy(vulkan_device *device, vulkan_buffer *buffer) {
    if (buffer->handle) device->vk.DestroyBuffer(device->handle, buffer->handle, NULL);
    if (buffer->memory) {
        device->vk.FreeMemory(device->handle, buffer->memory, NULL);
        device->used -= buffer->allocated;
    }
    memset(buffer, 0, sizeof *buffer);
}

/* The range widened to whole atoms, as flushing and invalidating want it. */
static VkMappedMemoryRange atoms(const vulkan_device *device, const vulkan_buffer *buffer, uint64_t offset,
                                 uint64_t size) {
    uint64_t atom = device->physical.properties.limits.nonCoherentAtomSize; /* a power of two */
    uint64_t first = offset & ~(atom - 1), last = align_up(offset + size, atom);
    return (VkMappedMemoryRange){
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
        .memory = buffer->memory,
        .offset = first,
        .size = last < buffer->allocated ? last - first : VK_WHOLE_SIZE,
    };
}

mzt_status vulkan_buffer_flush(vulkan_device *device, const vulkan_buffer *buffer, uint64_t offset,
                               uint64_t size, mzt_error *error) {
    if (buffer->coherent || size == 0) return MZT_OK;
    VkMappedMemoryRange range = atoms(device, buffer, offset, size);
    VkResult result = device->vk.FlushMappedMemoryRanges(device->handle, 1, &range);
    return vulkan_device_check(device, result, "vkFlushMappedMemoryRanges", error);
}

mzt_status vulkan_buffer_invalidate(vulkan_device *device, const vulkan_buffer *buffer, uint64_t offset,
                                    uint64_t size, mzt_error *error) {
    if (buffer->coherent || size == 0) return MZT_OK;
    VkMappedMemoryRange range = atoms(device, buffer, offset, size);
    VkResult result = device->vk.InvalidateMappedMemoryRanges(device->handle, 1, &range);
    return vulkan_device_check(device, result, "vkInvalidateMappedMemoryRanges", error);
}
