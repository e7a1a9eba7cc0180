/* Converts a decoder's output into pixels and copies these into what belongs to the host; see picture.h. */
#include "vulkan/picture.h"

#include <math.h>
#include <string.h>

#include "picture_spv.h"

#define PICTURE_LANES 64u /* local_size_x of shaders/picture.comp */

enum { FLIGHTS = 2 }; /* pictures on their way at a time */

/* As in shaders/picture.comp. */
typedef struct picture_params {
    uint32_t pixels, channels, type, format;
} picture_params;

typedef struct picture_flight {
    vulkan_fence fence;
    VkCommandBuffer commands;
    VkDescriptorSet set;
    vulkan_buffer pixels;  /* as the shader writes them */
    vulkan_buffer staging; /* as the host does */
} picture_flight;

typedef struct vulkan_pictures {
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkDescriptorPool descriptors;
    VkCommandPool commands;
    picture_flight flights[FLIGHTS];
} vulkan_pictures;

/* ------------------------------------------------------------------------------------------------- objects
 * -- */

static mzt_status create_pipeline(vulkan_executor *owner, vulkan_pictures *p, mzt_error *error) {
    vulkan_device *device = owner->device;
    VkDescriptorSetLayoutBinding bindings[2];
    for (uint32_t i = 0; i < 2; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = 2,
                                           .pBindings = bindings};
    VkResult result = device->vk.CreateDescriptorSetLayout(device->handle, &set, NULL, &p->set_layout);
    TRY(vulkan_device_check(device, result, "vkCreateDescriptorSetLayout", error));
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = sizeof(picture_params)};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &p->set_layout,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &push};
    result = device->vk.CreatePipelineLayout(device->handle, &layout, NULL, &p->layout);
    TRY(vulkan_device_check(device, result, "vkCreatePipelineLayout", error));
    VkShaderModule module = VK_NULL_HANDLE;
    VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = sizeof picture_code,
                                     .pCode = picture_code};
    result = device->vk.CreateShaderModule(device->handle, &code, NULL, &module);
    TRY(vulkan_device_check(device, result, "vkCreateShaderModule", error));
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"},
        .layout = p->layout,
    };
    result = device->vk.CreateComputePipelines(device->handle, owner->pipelines.cache.handle, 1, &info, NULL,
                                               &p->pipeline);
    device->vk.DestroyShaderModule(device->handle, module, NULL);
    return vulkan_device_check(device, result, "vkCreateComputePipelines", error);
}

static mzt_status create_flights(vulkan_device *device, vulkan_pictures *p, mzt_error *error) {
    VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 2 * FLIGHTS};
    VkDescriptorPoolCreateInfo descriptors = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                              .maxSets = FLIGHTS,
                                              .poolSizeCount = 1,
                                              .pPoolSizes = &size};
    VkResult result = device->vk.CreateDescriptorPool(device->handle, &descriptors, NULL, &p->descriptors);
    TRY(vulkan_device_check(device, result, "vkCreateDescriptorPool", error));
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = device->physical.queue_family};
    result = device->vk.CreateCommandPool(device->handle, &pool, NULL, &p->commands);
    TRY(vulkan_device_check(device, result, "vkCreateCommandPool", error));
    for (uint32_t i = 0; i < FLIGHTS; i++) {
        picture_flight *f = &p->flights[i];
        VkDescriptorSetAllocateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                           .descriptorPool = p->descriptors,
                                           .descriptorSetCount = 1,
                                           .pSetLayouts = &p->set_layout};
        result = device->vk.AllocateDescriptorSets(device->handle, &set, &f->set);
        TRY(vulkan_device_check(device, result, "vkAllocateDescriptorSets", error));
        VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                .commandPool = p->commands,
                                                .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                .commandBufferCount = 1};
        result = device->vk.AllocateCommandBuffers(device->handle, &commands, &f->commands);
        TRY(vulkan_device_check(device, result, "vkAllocateCommandBuffers", error));
        TRY(vulkan_fence_create(device, &f->fence, error));
    }
    return MZT_OK;
}

/* A software device must have nothing of ours on its way while the pipeline is made, see program.c. */
static mzt_status create(vulkan_executor *owner, mzt_error *error) {
    if (owner->pictures) return MZT_OK;
    if (owner->device->physical.shader.is_cpu) TRY(vulkan_device_quiet(owner->device, INFINITY, error));
    owner->pictures = host_calloc(owner->base.host, 1, sizeof *owner->pictures);
    if (!owner->pictures) return error_memory(error, "pictures", sizeof *owner->pictures);
    mzt_status status = create_pipeline(owner, owner->pictures, error);
    if (status == MZT_OK) status = create_flights(owner->device, owner->pictures, error);
    if (status < 0) vulkan_pictures_destroy(owner);
    return status;
}

void vulkan_pictures_destroy(vulkan_executor *owner) {
    vulkan_pictures *p = owner->pictures;
    vulkan_device *device = owner->device;
    if (!p) return;
    for (uint32_t i = 0; i < FLIGHTS; i++) {
        vulkan_fence_destroy(device, &p->flights[i].fence);
        vulkan_buffer_destroy(device, &p->flights[i].pixels);
        vulkan_buffer_destroy(device, &p->flights[i].staging);
    }
    if (p->commands) device->vk.DestroyCommandPool(device->handle, p->commands, NULL);
    if (p->descriptors) device->vk.DestroyDescriptorPool(device->handle, p->descriptors, NULL);
    if (p->pipeline) device->vk.DestroyPipeline(device->handle, p->pipeline, NULL);
    if (p->layout) device->vk.DestroyPipelineLayout(device->handle, p->layout, NULL);
    if (p->set_layout) device->vk.DestroyDescriptorSetLayout(device->handle, p->set_layout, NULL);
    host_free(owner->base.host, p);
    owner->pictures = NULL;
}

mzt_status vulkan_pictures_wait(vulkan_executor *owner, double deadline, mzt_error *error) {
    vulkan_pictures *p = owner->pictures;
    for (uint32_t i = 0; p && i < FLIGHTS; i++) {
        mzt_status status = vulkan_fence_wait(owner->device, &p->flights[i].fence, deadline, error);
        if (status != MZT_OK) return status;
    }
    return MZT_OK;
}

void vulkan_pictures_settle(vulkan_executor *owner) {
    vulkan_pictures *p = owner->pictures;
    vulkan_pictures_wait(owner, INFINITY, NULL);
    for (uint32_t i = 0; p && i < FLIGHTS; i++)
        vulkan_fence_settle(owner->device, &p->flights[i].fence);
}

/* ----------------------------------------------------------------------------------------------- recording
 * -- */

/* What is copied, and what the shader is told of it. */
typedef struct picture_copy {
    uint32_t width, height, pixel_bytes;
    picture_params params;
    VkBuffer from;
} picture_copy;

/* Fills in what follows from the target. */
static mzt_status describe_target(const vulkan_picture_target *target, picture_copy *out, mzt_error *error) {
    out->pixel_bytes = 4;
    out->params.format = 0;
    switch (target->format) {
    case VK_FORMAT_R8G8B8A8_UNORM:
    case VK_FORMAT_R8G8B8A8_SRGB:
        break;
    case VK_FORMAT_B8G8R8A8_UNORM:
    case VK_FORMAT_B8G8R8A8_SRGB:
        out->params.format = 1;
        break;
    case VK_FORMAT_R16G16B16A16_SFLOAT:
        out->params.format = 2;
        out->pixel_bytes = 8;
        break;
    case VK_FORMAT_R32G32B32A32_SFLOAT:
        out->params.format = 3;
        out->pixel_bytes = 16;
        break;
    default:
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "picture: VkFormat %d; expected 8-bit RGBA or BGRA, or RGBA of f16 or f32",
                         (int)target->format);
    }
    uint64_t row = (uint64_t)out->pixel_bytes * out->width;
    if (!target->image == !target->buffer)
        return error_set(error, MZT_ERROR_INVALID, "picture: the target must be an image or a buffer");
    if (target->buffer && target->buffer_row_bytes && target->buffer_row_bytes < row)
        return error_set(error, MZT_ERROR_INVALID, "picture: rows of %llu bytes, %llu are needed",
                         (unsigned long long)target->buffer_row_bytes, (unsigned long long)row);
    if (target->buffer && (target->buffer_offset % 4 || target->buffer_row_bytes % 4))
        return error_set(error, MZT_ERROR_INVALID,
                         "picture: offset %llu and rows of %llu bytes: multiples of 4 are needed",
                         (unsigned long long)target->buffer_offset,
                         (unsigned long long)target->buffer_row_bytes);
    return MZT_OK;
}

static mzt_status describe(const program *g, uint32_t buffer, const vulkan_picture_target *target,
                           picture_copy *out, mzt_error *error) {
    if (buffer >= g->plan->buffer_count)
        return error_set(error, MZT_ERROR_INVALID, "picture: buffer %u of %u", buffer, g->plan->buffer_count);
    const plan_buffer *b = &g->plan->buffers[buffer];
    const char *name = plan_string(g->plan, b->name);
    const uint32_t *shape = b->shape;
    uint64_t pixels = (uint64_t)shape[1] * shape[2];
    if (shape[0] != 1 || shape[3] < 3 || shape[3] > 4 || pixels == 0 || pixels * 4 > UINT32_MAX ||
        b->dtype > DTYPE_BF16 || b->bytes != pixels * shape[3] * dtype_size((dtype)b->dtype))
        return error_set(
            error, MZT_ERROR_INVALID,
            "picture: buffer \"%s\" is [%u, %u, %u, %u] of %s, expected [1, h, w, 3 or 4] of floats", name,
            shape[0], shape[1], shape[2], shape[3],
            b->dtype < DTYPE_COUNT ? dtype_name((dtype)b->dtype) : "?");
    *out = (picture_copy){.width = shape[2],
                          .height = shape[1],
                          .params = {.pixels = (uint32_t)pixels, .channels = shape[3], .type = b->dtype}};
    return describe_target(target, out, error);
}

/* Where a change of owner takes place: both families, else twice "none". */
static void families(uint32_t from, uint32_t to, uint32_t *source, uint32_t *target) {
    bool change = from != to && from != VK_QUEUE_FAMILY_IGNORED && to != VK_QUEUE_FAMILY_IGNORED;
    *source = change ? from : VK_QUEUE_FAMILY_IGNORED;
    *target = change ? to : VK_QUEUE_FAMILY_IGNORED;
}

/* Before (`before`) the copy: the target becomes ours; afterwards it is made ready for whatever the host does
 * next on this queue, or released to another family. */
static void target_barrier(const vulkan_device *device, VkCommandBuffer commands,
                           const vulkan_picture_target *target, bool before) {
    uint32_t ours = device->physical.queue_family, source, destination;
    VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, copy = VK_PIPELINE_STAGE_TRANSFER_BIT;
    VkAccessFlags any = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
    VkAccessFlags from = before ? any : VK_ACCESS_TRANSFER_WRITE_BIT,
                  to = before ? VK_ACCESS_TRANSFER_WRITE_BIT : any;
    if (before)
        families(target->from_family, ours, &source, &destination);
    else
        families(ours, target->to_family, &source, &destination);
    VkImageLayout after = target->new_layout == VK_IMAGE_LAYOUT_UNDEFINED
                              ? VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL
                              : target->new_layout;
    VkImageMemoryBarrier image = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
        .srcAccessMask = from,
        .dstAccessMask = to,
        .oldLayout = before ? target->old_layout : VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
        .newLayout = before ? VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL : after,
        .srcQueueFamilyIndex = source,
        .dstQueueFamilyIndex = destination,
        .image = target->image,
        .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1},
    };
    VkBufferMemoryBarrier buffer = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER,
        .srcAccessMask = from,
        .dstAccessMask = to,
        .srcQueueFamilyIndex = source,
        .dstQueueFamilyIndex = destination,
        .buffer = target->buffer,
        .size = VK_WHOLE_SIZE,
    };
    device->vk.CmdPipelineBarrier(commands, before ? all : copy, before ? copy : all, 0, 0, NULL,
                                  target->buffer ? 1 : 0, &buffer, target->image ? 1 : 0, &image);
}

static void copy_pixels(const vulkan_device *device, const picture_flight *f, const picture_copy *copy,
                        const vulkan_picture_target *target) {
    if (target->image) {
        VkBufferImageCopy region = {
            .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
            .imageOffset = {(int32_t)target->x, (int32_t)target->y, 0},
            .imageExtent = {copy->width, copy->height, 1},
        };
        device->vk.CmdCopyBufferToImage(f->commands, copy->from, target->image,
                                        VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &region);
        return;
    }
    uint64_t row = (uint64_t)copy->width * copy->pixel_bytes;
    uint64_t stride = target->buffer_row_bytes ? target->buffer_row_bytes : row;
    uint32_t rows = stride == row ? 1 : copy->height;
    for (uint32_t y = 0; y < rows; y++) {
        VkBufferCopy region = {.srcOffset = y * row,
                               .dstOffset = target->buffer_offset + y * stride,
                               .size = rows == 1 ? row * copy->height : row};
        device->vk.CmdCopyBuffer(f->commands, copy->from, target->buffer, 1, &region);
    }
}

static void memory_barrier(const vulkan_device *device, VkCommandBuffer commands, VkPipelineStageFlags from,
                           VkAccessFlags wrote, VkPipelineStageFlags to, VkAccessFlags reads) {
    VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = wrote, .dstAccessMask = reads};
    device->vk.CmdPipelineBarrier(commands, from, to, 0, 1, &memory, 0, NULL, 0, NULL);
}

/* The conversion, whose result the copy then reads. */
static void record_conversion(vulkan_executor *owner, const picture_flight *f, const picture_copy *copy) {
    vulkan_device *device = owner->device;
    const vulkan_pictures *p = owner->pictures;
    const VkPipelineStageFlags compute = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                               transfer = VK_PIPELINE_STAGE_TRANSFER_BIT;
    memory_barrier(device, f->commands, compute | transfer | VK_PIPELINE_STAGE_HOST_BIT,
                   VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_WRITE_BIT,
                   compute, VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    device->vk.CmdBindPipeline(f->commands, VK_PIPELINE_BIND_POINT_COMPUTE, p->pipeline);
    device->vk.CmdBindDescriptorSets(f->commands, VK_PIPELINE_BIND_POINT_COMPUTE, p->layout, 0, 1, &f->set, 0,
                                     NULL);
    device->vk.CmdPushConstants(f->commands, p->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof copy->params,
                                &copy->params);
    device->vk.CmdDispatch(f->commands, ceil_div(copy->params.pixels, PICTURE_LANES), 1, 1);
    memory_barrier(device, f->commands, compute, VK_ACCESS_SHADER_WRITE_BIT, transfer,
                   VK_ACCESS_TRANSFER_READ_BIT);
}

static mzt_status record(vulkan_executor *owner, const picture_flight *f, const picture_copy *copy,
                         const vulkan_picture_target *target, mzt_error *error) {
    vulkan_device *device = owner->device;
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkResult result = device->vk.BeginCommandBuffer(f->commands, &begin);
    TRY(vulkan_device_check(device, result, "vkBeginCommandBuffer", error));
    if (copy->from == f->pixels.handle) record_conversion(owner, f, copy);
    target_barrier(device, f->commands, target, true);
    copy_pixels(device, f, copy, target);
    target_barrier(device, f->commands, target, false);
    return vulkan_device_check(device, device->vk.EndCommandBuffer(f->commands), "vkEndCommandBuffer", error);
}

/* Room for the pixels, and the descriptor set that shows source and room. */
static mzt_status bind(vulkan_executor *owner, picture_flight *f, const vulkan_program *g, uint32_t buffer,
                       const picture_copy *copy, mzt_error *error) {
    vulkan_device *device = owner->device;
    uint64_t bytes = (uint64_t)copy->params.pixels * copy->pixel_bytes;
    if (f->pixels.size < bytes) {
        vulkan_buffer_destroy(device, &f->pixels);
        TRY(vulkan_buffer_create(device, VULKAN_MEMORY_DEVICE, bytes, "pixels of a picture", &f->pixels,
                                 error));
    }
    const vulkan_place *place = &g->layout.places[buffer];
    VkDescriptorBufferInfo infos[2] = {{.buffer = g->shards[place->shard].handle,
                                        .offset = place->offset,
                                        .range = align_up(g->base.plan->buffers[buffer].bytes, 4)},
                                       {.buffer = f->pixels.handle, .range = bytes}};
    VkWriteDescriptorSet writes[2];
    for (uint32_t i = 0; i < 2; i++) {
        if (infos[i].range > device->physical.limits.max_range ||
            ceil_div(copy->params.pixels, PICTURE_LANES) > device->physical.shader.max_groups_x)
            return error_set(error, MZT_ERROR_UNSUPPORTED,
                             "picture of %u x %u: too large for one launch on %s", copy->width, copy->height,
                             device->physical.limits.name);
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = f->set,
                                           .dstBinding = i,
                                           .descriptorCount = 1,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .pBufferInfo = &infos[i]};
    }
    device->vk.UpdateDescriptorSets(device->handle, 2, writes, 0, NULL);
    return MZT_OK;
}

/* ----------------------------------------------------------------------------------------------- interface
 * -- */

static mzt_status submit(vulkan_executor *owner, picture_flight *f, const vulkan_picture_target *target,
                         mzt_error *error) {
    VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    VkTimelineSemaphoreSubmitInfo values = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = target->wait ? 1 : 0,
        .pWaitSemaphoreValues = &target->wait_value,
        .signalSemaphoreValueCount = target->signal ? 1 : 0,
        .pSignalSemaphoreValues = &target->signal_value,
    };
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = target->wait_value || target->signal_value ? &values : NULL,
        .waitSemaphoreCount = target->wait ? 1 : 0,
        .pWaitSemaphores = &target->wait,
        .pWaitDstStageMask = &stage,
        .signalSemaphoreCount = target->signal ? 1 : 0,
        .pSignalSemaphores = &target->signal,
    };
    return vulkan_device_submit(owner->device, f->commands, &info, &f->fence, error);
}

/* A flight that is free; PENDING: none is. */
static mzt_status find_flight(vulkan_executor *owner, picture_flight **out, mzt_error *error) {
    TRY(create(owner, error));
    mzt_status status = MZT_PENDING;
    for (uint32_t i = 0; i < FLIGHTS && status == MZT_PENDING; i++) {
        *out = &owner->pictures->flights[i];
        status = vulkan_fence_wait(owner->device, &(*out)->fence, -INFINITY, error);
    }
    return status;
}

mzt_status vulkan_program_write_picture(program *base, uint32_t buffer, const vulkan_picture_target *target,
                                        mzt_error *error) {
    vulkan_program *g = (vulkan_program *)(void *)base;
    vulkan_executor *owner = vulkan_executor_of(g);
    picture_copy copy;
    picture_flight *f;
    TRY(vulkan_device_alive(owner->device, error));
    if (base->running || base->broken || base->unbuilt)
        return error_set(error, MZT_ERROR_INVALID, "picture of a program that is running or not prepared");
    TRY(describe(base, buffer, target, &copy, error));
    mzt_status status = find_flight(owner, &f, error);
    if (status != MZT_OK) return status;
    TRY(bind(owner, f, g, buffer, &copy, error));
    copy.from = f->pixels.handle;
    TRY(record(owner, f, &copy, target, error));
    return submit(owner, f, target, error);
}

static void copy_bytes(uint8_t *to, const uint8_t *from, const picture_copy *copy) {
    uint64_t count = (uint64_t)copy->params.pixels * 4;
    memcpy(to, from, (size_t)count);
    if (copy->params.format != 1) return;
    for (uint64_t i = 0; i < count; i += 4) {
        to[i] = from[i + 2];
        to[i + 2] = from[i];
    }
}

mzt_status vulkan_write_rgba8(executor *e, const uint8_t *pixels, uint32_t width, uint32_t height,
                              const vulkan_picture_target *target, mzt_error *error) {
    vulkan_executor *owner = (vulkan_executor *)(void *)e;
    vulkan_device *device = owner->device;
    picture_flight *f;
    uint64_t count = (uint64_t)width * height, bytes = count * 4;
    picture_copy copy = {.width = width, .height = height};
    TRY(vulkan_device_alive(device, error));
    if (count == 0 || bytes > UINT32_MAX)
        return error_set(error, MZT_ERROR_INVALID, "picture of %u x %u pixels", width, height);
    copy.params.pixels = (uint32_t)count;
    TRY(describe_target(target, &copy, error));
    if (copy.pixel_bytes != 4)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "picture: VkFormat %d; expected 8-bit RGBA or BGRA",
                         (int)target->format);
    mzt_status status = find_flight(owner, &f, error);
    if (status != MZT_OK) return status;
    if (f->staging.size < bytes) {
        vulkan_buffer_destroy(device, &f->staging);
        TRY(vulkan_buffer_create(device, VULKAN_MEMORY_STAGING, bytes, "pixels of a picture", &f->staging,
                                 error));
    }
    copy_bytes(f->staging.mapped, pixels, &copy);
    TRY(vulkan_buffer_flush(device, &f->staging, 0, bytes, error));
    copy.from = f->staging.handle;
    TRY(record(owner, f, &copy, target, error));
    return submit(owner, f, target, error);
}

mzt_status vulkan_pictures_done(executor *e, mzt_error *error) {
    vulkan_executor *owner = (vulkan_executor *)(void *)e;
    TRY(vulkan_device_alive(owner->device, error));
    return vulkan_pictures_wait(owner, -INFINITY, error);
}
