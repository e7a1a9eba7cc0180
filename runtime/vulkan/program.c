/* Puts a plan on a device; see program.h. */
#include "vulkan/program.h"

#include <math.h>
#include <string.h>

#include "base/threads.h"
#include "vulkan/picture.h"
#include "vulkan/run.h"

#define PIECE_BYTES ((uint64_t)1 << 20) /* copied between two looks at the clock */

static mzt_status create_shards(vulkan_executor *owner, vulkan_program *g, mzt_error *error) {
    vulkan_device *device = owner->device;
    TRY(vulkan_layout_create(device->host, g->base.plan, device->physical.limits.max_allocation, &g->layout,
                             error));
    g->shards = host_calloc(device->host, g->layout.shard_count, sizeof *g->shards);
    if (!g->shards) return error_memory(error, "list of shards", g->layout.shard_count * sizeof *g->shards);
    for (uint32_t i = 0; i < g->layout.shard_count; i++) {
        const char *what = i < g->layout.arena_shards ? "arena" : "weights";
        uint64_t size = g->layout.shard_bytes[i] ? g->layout.shard_bytes[i] : PLAN_ALIGNMENT;
        TRY(vulkan_buffer_create(device, VULKAN_MEMORY_DEVICE, size, what, &g->shards[i], error));
        g->bytes += g->shards[i].allocated;
    }
    return MZT_OK;
}

/* A rough guess, only there to bound the first submissions until times have been measured: sustained rates of
 * weak devices of each kind. */
static double estimate(const vulkan_device *device, const plan_dispatch *d) {
    double flops = 25e9, bytes = 5e9, launch = 20e-6;
    if (device->physical.shader.is_cpu) {
        flops = 1e9;
        bytes = 1e9;
    } else if (device->physical.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU) {
        flops = 500e9;
        bytes = 50e9;
    }
    return (double)d->flops / flops + (double)d->bytes / bytes + launch;
}

static mzt_status name_node(const vulkan_program *g, uint32_t dispatch, mzt_error *error) {
    char node[96];
    const plan *p = g->base.plan;
    return error_prefix(error,
                        "%s: ", error_text(node, sizeof node, plan_string(p, p->dispatches[dispatch].node)));
}

static mzt_status create_calls(vulkan_executor *owner, vulkan_program *g, mzt_error *error) {
    const plan *p = g->base.plan;
    g->calls = host_calloc(g->base.owner->host, p->dispatch_count, sizeof *g->calls);
    if (!g->calls) return error_memory(error, "list of dispatches", p->dispatch_count * sizeof *g->calls);
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        vulkan_call *call = &g->calls[i];
        const plan_dispatch *d = &p->dispatches[i];
        const shader_variant *variant;
        if (shader_select(&owner->device->physical.shader, p, d, &variant, &call->groups, error) < 0)
            return name_node(g, i, error);
        call->variant = (uint32_t)(variant - shader_variants);
        call->estimate = estimate(owner->device, d);
    }
    return MZT_OK;
}

static mzt_status create_pools(vulkan_executor *owner, vulkan_program *g, mzt_error *error) {
    vulkan_device *device = owner->device;
    const plan *p = g->base.plan;
    VkCommandPoolCreateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT, /* slices are recorded anew each time */
        .queueFamilyIndex = device->physical.queue_family,
    };
    VkResult result = device->vk.CreateCommandPool(device->handle, &commands, NULL, &g->command_pool);
    TRY(vulkan_device_check(device, result, "vkCreateCommandPool", error));
    if (p->dispatch_count == 0) return MZT_OK;
    VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER};
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        size.descriptorCount += op_get((op)p->dispatches[i].op)->binding_count;
    }
    VkDescriptorPoolCreateInfo descriptors = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = p->dispatch_count,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    result = device->vk.CreateDescriptorPool(device->handle, &descriptors, NULL, &g->descriptor_pool);
    return vulkan_device_check(device, result, "vkCreateDescriptorPool", error);
}

/* What a binding shows: its range, rounded up to whole words, in the buffer's shard; the dummy where it is
 * absent. */
static VkDescriptorBufferInfo binding_info(const vulkan_executor *owner, const vulkan_program *g,
                                           const plan_binding *binding) {
    if (binding->buffer == PLAN_NONE || binding->range == 0) {
        return (VkDescriptorBufferInfo){.buffer = owner->dummy.handle, .range = owner->dummy.size};
    }
    const vulkan_place *place = &g->layout.places[binding->buffer];
    return (VkDescriptorBufferInfo){
        .buffer = g->shards[place->shard].handle,
        .offset = place->offset + binding->offset,
        .range = align_up(binding->range, 4),
    };
}

static mzt_status write_set(vulkan_executor *owner, vulkan_program *g, const plan_dispatch *d,
                            vulkan_call *call, mzt_error *error) {
    vulkan_device *device = owner->device;
    uint32_t count = op_get((op)d->op)->binding_count;
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = g->descriptor_pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &owner->pipelines.set_layouts[d->op],
    };
    VkResult result = device->vk.AllocateDescriptorSets(device->handle, &info, &call->set);
    TRY(vulkan_device_check(device, result, "vkAllocateDescriptorSets", error));
    VkDescriptorBufferInfo buffers[OP_MAX_BINDINGS];
    VkWriteDescriptorSet writes[OP_MAX_BINDINGS];
    for (uint32_t i = 0; i < count; i++) {
        buffers[i] = binding_info(owner, g, &d->bindings[i]);
        if (buffers[i].range > device->physical.limits.max_range) {
            char node[96];
            return error_set(error, MZT_ERROR_UNSUPPORTED,
                             "%s: binding %s shows %llu bytes, this device allows %llu",
                             error_text(node, sizeof node, plan_string(g->base.plan, d->node)),
                             op_get((op)d->op)->bindings[i].name, (unsigned long long)buffers[i].range,
                             (unsigned long long)device->physical.limits.max_range);
        }
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = call->set,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[i],
        };
    }
    device->vk.UpdateDescriptorSets(device->handle, count, writes, 0, NULL);
    return MZT_OK;
}

mzt_status vulkan_program_create(vulkan_executor *owner, const plan *p, vulkan_program **out,
                                 mzt_error *error) {
    *out = NULL;
    const base_host *host = owner->base.host;
    TRY(vulkan_device_alive(owner->device, error));
    vulkan_program *g = host_calloc(host, 1, sizeof *g);
    if (!g) return error_memory(error, "program", sizeof *g);
    g->base.owner = &owner->base;
    g->base.plan = p;
    g->base.unbuilt = true;
    mzt_status status = create_calls(owner, g, error);
    if (status == MZT_OK) status = create_shards(owner, g, error);
    if (status == MZT_OK) status = create_pools(owner, g, error);
    if (status < 0) {
        vulkan_program_destroy(g);
        return status;
    }
    *out = g;
    return MZT_OK;
}

/* A software device must have nothing of ours on its way while a pipeline is made: lavapipe has been seen to
 * crash. */
static mzt_status wait_for_quiet(vulkan_device *device, double deadline, mzt_error *error) {
    if (!device->physical.shader.is_cpu) return vulkan_device_alive(device, error);
    return vulkan_device_quiet(device, deadline < INFINITY ? -INFINITY : INFINITY, error);
}

mzt_status vulkan_program_build(vulkan_program *g, double deadline, mzt_error *error) {
    vulkan_executor *owner = vulkan_executor_of(g);
    const plan *p = g->base.plan;
    while (g->built < p->dispatch_count) {
        vulkan_call *call = &g->calls[g->built];
        mzt_status status = wait_for_quiet(owner->device, deadline, error);
        if (status != MZT_OK) return status;
        status =
            vulkan_pipelines_get(&owner->pipelines, &shader_variants[call->variant], &call->pipeline, error);
        if (status < 0) return name_node(g, g->built, error);
        TRY(write_set(owner, g, &p->dispatches[g->built], call, error));
        g->built++;
        if (g->built < p->dispatch_count && clock_seconds() >= deadline) return MZT_PENDING;
    }
    if (deadline == INFINITY) vulkan_cache_save(owner->device, &owner->pipelines.cache);
    return MZT_OK;
}

void vulkan_program_destroy(vulkan_program *g) {
    vulkan_executor *owner = vulkan_executor_of(g);
    vulkan_device *device = owner->device;
    const base_host *host = owner->base.host;
    vulkan_run_destroy(g);
    vulkan_pictures_settle(owner); /* copies into this program or out of it may still be on their way */
    vulkan_transfer_wait(&owner->transfer, INFINITY, NULL);
    for (uint32_t i = 0; i < g->recording_count; i++)
        vulkan_recording_destroy(g->recordings[i]);
    host_free(host, g->recordings);
    if (g->command_pool) device->vk.DestroyCommandPool(device->handle, g->command_pool, NULL);
    if (g->descriptor_pool) device->vk.DestroyDescriptorPool(device->handle, g->descriptor_pool, NULL);
    for (uint32_t i = 0; g->shards && i < g->layout.shard_count; i++)
        vulkan_buffer_destroy(device, &g->shards[i]);
    host_free(host, g->shards);
    host_free(host, g->calls);
    vulkan_layout_destroy(host, &g->layout);
    host_free(host, g);
}

/* Where the host sees the buffer. */
static mzt_status write_mapped(vulkan_device *device, const vulkan_buffer *shard, uint64_t start,
                               const uint8_t *data, uint64_t size, double deadline, uint64_t *written,
                               mzt_error *error) {
    while (*written < size) {
        uint64_t piece = size - *written;
        if (deadline < INFINITY && piece > PIECE_BYTES) piece = PIECE_BYTES;
        memcpy(shard->mapped + start + *written, data + *written, (size_t)piece);
        TRY(vulkan_buffer_flush(device, shard, start + *written, piece, error));
        *written += piece;
        if (*written < size && clock_seconds() >= deadline) return MZT_PENDING;
    }
    return MZT_OK;
}

mzt_status vulkan_program_write(vulkan_program *g, uint32_t buffer, uint64_t offset, const void *data,
                                uint64_t size, double deadline, uint64_t *written, mzt_error *error) {
    vulkan_executor *owner = vulkan_executor_of(g);
    const vulkan_place *place = &g->layout.places[buffer];
    const vulkan_buffer *shard = &g->shards[place->shard];
    *written = 0;
    TRY(vulkan_device_alive(owner->device, error));
    if (size == 0) return MZT_OK;
    uint64_t start = place->offset + offset;
    if (shard->mapped) { /* a picture may still be read from there */
        mzt_status status = vulkan_pictures_wait(owner, deadline < INFINITY ? -INFINITY : INFINITY, error);
        if (status != MZT_OK) return status;
        return write_mapped(owner->device, shard, start, data, size, deadline, written, error);
    }
    return vulkan_transfer_write(&owner->transfer, shard, start, data, size, deadline, written, error);
}

mzt_status vulkan_program_read(vulkan_program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                               mzt_error *error) {
    vulkan_executor *owner = vulkan_executor_of(g);
    const vulkan_place *place = &g->layout.places[buffer];
    const vulkan_buffer *shard = &g->shards[place->shard];
    TRY(vulkan_device_alive(owner->device, error));
    if (size == 0) return MZT_OK;
    uint64_t start = place->offset + offset;
    if (!shard->mapped) return vulkan_transfer_read(&owner->transfer, shard, start, data, size, error);
    TRY(vulkan_buffer_invalidate(owner->device, shard, start, size, error));
    memcpy(data, shard->mapped + start, (size_t)size);
    return MZT_OK;
}
