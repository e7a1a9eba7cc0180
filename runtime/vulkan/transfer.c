/* Staged copies; see transfer.h. */
#include "vulkan/transfer.h"

#include <math.h>
#include <string.h>

#include "base/threads.h"

#define SLICE_BYTES ((uint64_t)1 << 20) /* copied between two looks at the clock */

void vulkan_transfer_init(vulkan_transfer *transfer, vulkan_device *device) {
    memset(transfer, 0, sizeof *transfer);
    transfer->device = device;
}

static mzt_status prepare(vulkan_transfer *transfer, mzt_error *error) {
    vulkan_device *device = transfer->device;
    if (transfer->staging.handle) return MZT_OK;
    if (!transfer->pool) {
        VkCommandPoolCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
            .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT | VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
            .queueFamilyIndex = device->physical.queue_family,
        };
        VkResult result = device->vk.CreateCommandPool(device->handle, &info, NULL, &transfer->pool);
        TRY(vulkan_device_check(device, result, "vkCreateCommandPool", error));
    }
    if (!transfer->commands[0]) {
        VkCommandBufferAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = transfer->pool,
            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
            .commandBufferCount = 2,
        };
        VkResult result = device->vk.AllocateCommandBuffers(device->handle, &info, transfer->commands);
        TRY(vulkan_device_check(device, result, "vkAllocateCommandBuffers", error));
    }
    for (int i = 0; i < 2; i++) {
        if (!transfer->fences[i].handle) TRY(vulkan_fence_create(device, &transfer->fences[i], error));
    }
    return vulkan_buffer_create(device, VULKAN_MEMORY_STAGING, device->options.staging_bytes,
                                "staging buffer", &transfer->staging, error);
}

void vulkan_transfer_destroy(vulkan_transfer *transfer) {
    vulkan_device *device = transfer->device;
    if (!device) return;
    for (int i = 0; i < 2; i++)
        vulkan_fence_destroy(device, &transfer->fences[i]);
    if (transfer->pool) device->vk.DestroyCommandPool(device->handle, transfer->pool, NULL);
    vulkan_buffer_destroy(device, &transfer->staging);
    memset(transfer, 0, sizeof *transfer);
}

static mzt_status wait_half(vulkan_transfer *transfer, uint32_t half, double deadline, mzt_error *error) {
    mzt_status status = vulkan_fence_wait(transfer->device, &transfer->fences[half], deadline, error);
    if (status < 0) vulkan_fence_settle(transfer->device, &transfer->fences[half]);
    return status;
}

mzt_status vulkan_transfer_wait(vulkan_transfer *transfer, double deadline, mzt_error *error) {
    mzt_status first = wait_half(transfer, 0, deadline, error);
    mzt_status second = wait_half(transfer, 1, deadline, first < 0 ? NULL : error);
    return first != MZT_OK ? first : second;
}

/* Records and submits one copy, ordered after all earlier work and before all later. */
static mzt_status submit_copy(vulkan_transfer *transfer, uint32_t half, VkBuffer from, VkBuffer to,
                              VkBufferCopy region, mzt_error *error) {
    vulkan_device *device = transfer->device;
    VkCommandBuffer commands = transfer->commands[half];
    VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    VkMemoryBarrier before = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
    };
    VkMemoryBarrier after = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT,
    };
    const VkPipelineStageFlags compute = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                               copy = VK_PIPELINE_STAGE_TRANSFER_BIT;
    TRY(vulkan_device_check(device, device->vk.BeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer",
                            error));
    device->vk.CmdPipelineBarrier(commands, compute | copy, copy, 0, 1, &before, 0, NULL, 0, NULL);
    device->vk.CmdCopyBuffer(commands, from, to, 1, &region);
    device->vk.CmdPipelineBarrier(commands, copy, compute | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &after, 0, NULL,
                                  0, NULL);
    TRY(vulkan_device_check(device, device->vk.EndCommandBuffer(commands), "vkEndCommandBuffer", error));
    return vulkan_device_submit(device, commands, NULL, &transfer->fences[half], error);
}

/* Halves begin at multiples of 1024, beyond every nonCoherentAtomSize (256 at most), so that flushing one
 * never touches the other. */
static uint64_t half_bytes(const vulkan_transfer *transfer) {
    return transfer->staging.size / 2 & ~(uint64_t)1023;
}

mzt_status vulkan_transfer_write(vulkan_transfer *transfer, const vulkan_buffer *buffer, uint64_t offset,
                                 const void *data, uint64_t size, double deadline, uint64_t *written,
                                 mzt_error *error) {
    *written = 0;
    TRY(prepare(transfer, error));
    const uint8_t *from = data;
    uint64_t capacity = half_bytes(transfer), most = capacity;
    if (deadline < INFINITY && most > SLICE_BYTES) most = SLICE_BYTES;
    while (*written < size) {
        uint32_t half = transfer->next;
        uint64_t chunk = size - *written < most ? size - *written : most, place = half * capacity;
        mzt_status status = wait_half(transfer, half, deadline < INFINITY ? -INFINITY : INFINITY, error);
        if (status != MZT_OK) return status;
        memcpy(transfer->staging.mapped + place, from + *written, (size_t)chunk);
        TRY(vulkan_buffer_flush(transfer->device, &transfer->staging, place, chunk, error));
        VkBufferCopy region = {.srcOffset = place, .dstOffset = offset + *written, .size = chunk};
        TRY(submit_copy(transfer, half, transfer->staging.handle, buffer->handle, region, error));
        transfer->next = 1 - half;
        *written += chunk;
        if (*written < size && clock_seconds() >= deadline) return MZT_PENDING;
    }
    return MZT_OK;
}

mzt_status vulkan_transfer_read(vulkan_transfer *transfer, const vulkan_buffer *buffer, uint64_t offset,
                                void *data, uint64_t size, mzt_error *error) {
    TRY(prepare(transfer, error));
    uint8_t *to = data;
    uint64_t capacity = half_bytes(transfer);
    for (uint64_t done = 0; done < size;) {
        uint32_t half = transfer->next;
        uint64_t chunk = size - done < capacity ? size - done : capacity, place = half * capacity;
        TRY(wait_half(transfer, half, INFINITY, error));
        VkBufferCopy region = {.srcOffset = offset + done, .dstOffset = place, .size = chunk};
        TRY(submit_copy(transfer, half, buffer->handle, transfer->staging.handle, region, error));
        TRY(wait_half(transfer, half, INFINITY, error));
        TRY(vulkan_buffer_invalidate(transfer->device, &transfer->staging, place, chunk, error));
        memcpy(to + done, transfer->staging.mapped + place, (size_t)chunk);
        transfer->next = 1 - half;
        done += chunk;
    }
    return MZT_OK;
}
