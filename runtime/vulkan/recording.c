/* Cuts ranges of dispatches into segments and records them; see recording.h. */
#include "vulkan/recording.h"

#include <string.h>

#define SUBMIT_SECONDS  50e-6 /* what a submission costs beyond its work, roughly */
#define TRUSTED_SECONDS 5e-3  /* shorter segments say more about submission than about the dispatches */
#define TRUSTED_STAMPS  2e-4  /* the same where timestamps measure */
#define REBUILD_LIMIT   4u

mzt_status vulkan_recording_create(vulkan_program *g, uint32_t first, uint32_t count, bool timed,
                                   vulkan_recording **out, mzt_error *error) {
    *out = NULL;
    vulkan_recording *recording = host_calloc(g->base.owner->host, 1, sizeof *recording);
    if (!recording) return error_memory(error, "recording", sizeof *recording);
    recording->program = g;
    recording->first = recording->next_dispatch = first;
    recording->count = count;
    recording->timed = timed;
    recording->limit = vulkan_executor_of(g)->device->options.segment_seconds;
    *out = recording;
    return MZT_OK;
}

mzt_status vulkan_recording_create_slice(vulkan_program *g, vulkan_recording **out, mzt_error *error) {
    vulkan_executor *owner = vulkan_executor_of(g);
    TRY(vulkan_recording_create(g, 0, 0, false, out, error));
    (*out)->slice = true;
    if (!owner->timestamps) return MZT_OK;
    VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2,
    };
    VkResult result = owner->device->vk.CreateQueryPool(owner->device->handle, &info, NULL, &(*out)->stamps);
    return vulkan_device_check(owner->device, result, "vkCreateQueryPool", error);
}

static void clear(vulkan_recording *recording) {
    vulkan_device *device = vulkan_executor_of(recording->program)->device;
    for (uint32_t i = 0; i < recording->segment_count; i++) {
        if (!recording->segments[i].commands) continue;
        device->vk.FreeCommandBuffers(device->handle, recording->program->command_pool, 1,
                                      &recording->segments[i].commands);
    }
    recording->segment_count = recording->launch_count = 0;
    recording->next_dispatch = recording->first;
    recording->next_group = 0;
    recording->complete = false;
}

void vulkan_recording_destroy(vulkan_recording *recording) {
    if (!recording) return;
    const base_host *host = recording->program->base.owner->host;
    const vulkan_device *device = vulkan_executor_of(recording->program)->device;
    clear(recording);
    if (recording->stamps) device->vk.DestroyQueryPool(device->handle, recording->stamps, NULL);
    host_free(host, recording->launches);
    host_free(host, recording->segments);
    host_free(host, recording);
}

mzt_status vulkan_recording_find(vulkan_program *g, uint32_t first, uint32_t count, vulkan_recording **out,
                                 mzt_error *error) {
    for (uint32_t i = 0; i < g->recording_count; i++) {
        if (g->recordings[i]->first != first || g->recordings[i]->count != count) continue;
        *out = g->recordings[i];
        return MZT_OK;
    }
    vulkan_recording *fresh;
    if (!HOST_GROW(g->base.owner->host, g->recordings, g->recording_count, g->recording_capacity)) {
        return error_memory(error, "list of recordings", (uint64_t)(g->recording_count + 1) * sizeof fresh);
    }
    TRY(vulkan_recording_create(g, first, count, false, &fresh, error));
    if (g->recording_count == RECORDING_LIMIT) { /* the oldest goes */
        vulkan_recording_destroy(g->recordings[0]);
        memmove(&g->recordings[0], &g->recordings[1], (RECORDING_LIMIT - 1) * sizeof g->recordings[0]);
        g->recording_count--;
    }
    g->recordings[g->recording_count++] = *out = fresh;
    return MZT_OK;
}

static double expected_seconds(const vulkan_recording *recording, uint32_t dispatch) {
    const vulkan_call *call = &recording->program->calls[dispatch];
    return call->measured > 0 ? call->measured
                              : call->estimate * vulkan_executor_of(recording->program)->slowness;
}

/* How many launches a segment may have at most. */
static uint32_t launch_limit(const vulkan_recording *recording) {
    if (!recording->timed) return UINT32_MAX;
    return vulkan_executor_of(recording->program)->timestamps ? RECORDING_QUERIES - 1 : 1;
}

/* Adds launches to `segment`, from where the recording stands, until the wanted time is filled. A dispatch
 * that fits into a segment of its own is not cut; a longer one is, by workgroups. */
static mzt_status choose_launches(vulkan_recording *recording, vulkan_segment *segment, mzt_error *error) {
    const vulkan_executor *owner = vulkan_executor_of(recording->program);
    const vulkan_options *options = &owner->device->options;
    uint32_t most = owner->device->physical.shader.max_groups_x;
    if (options->max_groups > 0 && options->max_groups < most) most = options->max_groups;
    segment->launch = recording->launch_count;
    segment->expected = recording->stamps ? 0 : SUBMIT_SECONDS; /* timestamps see the work alone */
    while (recording->next_dispatch - recording->first < recording->count) {
        uint32_t d = recording->next_dispatch, total = recording->program->calls[d].groups;
        double whole = expected_seconds(recording, d), per_group = whole / total;
        uint32_t groups = total - recording->next_group;
        if (groups > most) groups = most;
        if (per_group * groups > recording->limit) {
            double fit = recording->limit / per_group;
            groups = fit < 1 ? 1 : fit < groups ? (uint32_t)fit : groups;
        }
        double seconds = per_group * groups;
        if (segment->launch_count > 0 && segment->expected + seconds > recording->limit) break;
        if (!HOST_GROW(owner->base.host, recording->launches, recording->launch_count,
                       recording->launch_capacity)) {
            return error_memory(error, "list of launches",
                                (uint64_t)(recording->launch_count + 1) * sizeof(vulkan_launch));
        }
        recording->launches[recording->launch_count++] =
            (vulkan_launch){d, recording->next_group, groups, (double)groups / total, whole};
        segment->launch_count++;
        segment->expected += seconds;
        recording->next_group += groups;
        if (recording->next_group == total) {
            recording->next_group = 0;
            recording->next_dispatch++;
        }
        if (segment->launch_count == launch_limit(recording)) break;
    }
    return MZT_OK;
}

static void barrier(const vulkan_device *device, VkCommandBuffer commands, VkPipelineStageFlags from,
                    VkAccessFlags wrote, VkPipelineStageFlags to, VkAccessFlags uses) {
    VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = wrote,
        .dstAccessMask = uses,
    };
    device->vk.CmdPipelineBarrier(commands, from, to, 0, 1, &memory, 0, NULL, 0, NULL);
}

static void compute_barrier(const vulkan_device *device, VkCommandBuffer commands) {
    barrier(device, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
            VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
}

/* At the start of a range: what copies, the host or earlier runs wrote becomes visible. */
static void begin_barrier(const vulkan_device *device, VkCommandBuffer commands) {
    barrier(device, commands,
            VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT |
                VK_PIPELINE_STAGE_HOST_BIT,
            VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_WRITE_BIT,
            VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
}

/* At its end: the results become visible to copies and to the host. */
static void end_barrier(const vulkan_device *device, VkCommandBuffer commands) {
    barrier(device, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
            VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_HOST_BIT,
            VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_HOST_READ_BIT);
}

static void record_launch(const vulkan_recording *recording, const vulkan_launch *launch, VkPipeline *bound,
                          VkCommandBuffer commands) {
    const vulkan_executor *owner = vulkan_executor_of(recording->program);
    const vulkan_device *device = owner->device;
    const plan_dispatch *d = &recording->program->base.plan->dispatches[launch->dispatch];
    const vulkan_call *call = &recording->program->calls[launch->dispatch];
    VkPipelineLayout layout = owner->pipelines.layouts[d->op];
    if (launch->dispatch == recording->first && launch->first == 0) {
        begin_barrier(device, commands);
    } else if (d->barrier || launch->first > 0 || recording->timed) {
        /* The parts of a cut dispatch write different bytes of one range; ordering them costs next to
         * nothing. */
        compute_barrier(device, commands);
    }
    if (*bound != call->pipeline) {
        device->vk.CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, call->pipeline);
        *bound = call->pipeline;
    }
    op_params params = d->params;
    params.first = launch->first;
    device->vk.CmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &call->set, 0,
                                     NULL);
    device->vk.CmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                op_get((op)d->op)->param_size, &params);
    device->vk.CmdDispatch(commands, launch->groups, 1, 1);
}

static mzt_status record(const vulkan_recording *recording, const vulkan_segment *segment, mzt_error *error) {
    const vulkan_executor *owner = vulkan_executor_of(recording->program);
    vulkan_device *device = owner->device;
    VkCommandBuffer commands = segment->commands;
    VkPipeline bound = VK_NULL_HANDLE;
    bool stamps = recording->timed && owner->timestamps;
    VkQueryPool around = recording->stamps;
    VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags =
            VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT, /* two repetitions may be on their way at once */
    };
    TRY(vulkan_device_check(device, device->vk.BeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer",
                            error));
    if (stamps) {
        device->vk.CmdResetQueryPool(commands, owner->timestamps, 0, segment->launch_count + 1);
        device->vk.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, owner->timestamps, 0);
    }
    if (around) {
        device->vk.CmdResetQueryPool(commands, around, 0, 2);
        device->vk.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, around, 0);
    }
    for (uint32_t i = 0; i < segment->launch_count; i++) {
        record_launch(recording, &recording->launches[segment->launch + i], &bound, commands);
        if (stamps) {
            device->vk.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, owner->timestamps,
                                         i + 1);
        }
    }
    if (around) device->vk.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, around, 1);
    if (recording->next_dispatch - recording->first == recording->count) end_barrier(device, commands);
    return vulkan_device_check(device, device->vk.EndCommandBuffer(commands), "vkEndCommandBuffer", error);
}

mzt_status vulkan_recording_slice(vulkan_recording *recording, uint32_t first, uint32_t count,
                                  uint32_t dispatch, uint32_t group, double seconds, mzt_error *error) {
    vulkan_device *device = vulkan_executor_of(recording->program)->device;
    double most = device->options.segment_seconds;
    recording->first = first;
    recording->count = count;
    recording->limit = seconds < most ? seconds : most;
    if (recording->segment_count == 0) {
        recording->next_dispatch = dispatch;
        recording->next_group = group;
        return vulkan_recording_extend(recording, error);
    }
    vulkan_segment segment = {.commands = recording->segments[0].commands};
    recording->launch_count = 0;
    recording->next_dispatch = dispatch;
    recording->next_group = group;
    TRY(choose_launches(recording, &segment, error));
    TRY(record(recording, &segment, error));
    recording->segments[0] = segment;
    recording->complete = recording->next_dispatch - first == count;
    return MZT_OK;
}

mzt_status vulkan_recording_extend(vulkan_recording *recording, mzt_error *error) {
    vulkan_device *device = vulkan_executor_of(recording->program)->device;
    vulkan_segment segment = {0};
    uint32_t dispatch = recording->next_dispatch, group = recording->next_group,
             launch = recording->launch_count;
    if (!HOST_GROW(device->host, recording->segments, recording->segment_count,
                   recording->segment_capacity)) {
        return error_memory(error, "list of segments",
                            (uint64_t)(recording->segment_count + 1) * sizeof segment);
    }
    mzt_status status = choose_launches(recording, &segment, error);
    if (status < 0) goto fail;
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = recording->program->command_pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    VkResult result = device->vk.AllocateCommandBuffers(device->handle, &info, &segment.commands);
    status = vulkan_device_check(device, result, "vkAllocateCommandBuffers", error);
    if (status < 0) goto fail;
    status = record(recording, &segment, error);
    if (status < 0) goto fail;
    recording->segments[recording->segment_count++] = segment;
    recording->complete = recording->next_dispatch - recording->first == recording->count;
    return MZT_OK;
fail: /* as before the call: it may be tried again */
    if (segment.commands) {
        device->vk.FreeCommandBuffers(device->handle, recording->program->command_pool, 1, &segment.commands);
    }
    recording->next_dispatch = dispatch;
    recording->next_group = group;
    recording->launch_count = launch;
    return status;
}

/* Whether all of the segment's pipelines had run before; from now on they have. */
static bool all_warm(vulkan_recording *recording, const vulkan_segment *segment) {
    bool *warm = vulkan_executor_of(recording->program)->pipelines.warm, all = true;
    for (uint32_t i = 0; i < segment->launch_count; i++) {
        uint32_t dispatch = recording->launches[segment->launch + i].dispatch;
        uint32_t variant = recording->program->calls[dispatch].variant;
        all = all && warm[variant];
        warm[variant] = true;
    }
    return all;
}

void vulkan_recording_measured(vulkan_recording *recording, uint32_t index, double seconds) {
    vulkan_executor *owner = vulkan_executor_of(recording->program);
    vulkan_segment *segment = &recording->segments[index];
    if (!all_warm(recording, segment)) return;
    double ratio = seconds / segment->expected, estimated = 0;
    segment->seconds = seconds;
    for (uint32_t i = 0; i < segment->launch_count; i++) {
        const vulkan_launch *launch = &recording->launches[segment->launch + i];
        vulkan_call *call = &recording->program->calls[launch->dispatch];
        call->measured = launch->expected * ratio;
        estimated += call->estimate * launch->share;
    }
    double trusted = recording->stamps ? TRUSTED_STAMPS : TRUSTED_SECONDS;
    if (seconds < trusted && segment->expected < trusted) return;
    double seen = seconds / estimated; /* slower than thought is believed at once, faster by halves */
    owner->slowness = seen > owner->slowness ? seen : (owner->slowness + seen) / 2;
}

bool vulkan_recording_fits(const vulkan_recording *recording) {
    double wanted = vulkan_executor_of(recording->program)->device->options.segment_seconds, total = 0,
           longest = 0;
    if (!recording->complete || recording->rebuilds >= REBUILD_LIMIT) return true;
    for (uint32_t i = 0; i < recording->segment_count; i++) {
        const vulkan_segment *segment = &recording->segments[i];
        bool divisible = segment->launch_count > 1 || recording->launches[segment->launch].groups > 1;
        if (!(segment->seconds > 0)) return true; /* not known yet */
        total += segment->seconds;
        if (divisible && segment->seconds > longest) longest = segment->seconds;
    }
    bool too_long = longest > 2 * wanted;
    bool too_many = recording->segment_count > 2 && total / recording->segment_count < wanted / 3;
    return !too_long && !too_many;
}

void vulkan_recording_rebuild(vulkan_recording *recording) {
    clear(recording);
    recording->rebuilds++;
}
