/* A plan on a device: its buffers, and for each dispatch the pipeline, the descriptor set and what it is
 * expected to cost. */
#ifndef VULKAN_PROGRAM_H
#define VULKAN_PROGRAM_H

#include "vulkan/layout.h"
#include "vulkan/pipeline.h"
#include "vulkan/transfer.h"

typedef struct vulkan_executor {
    executor base;
    vulkan_device *device;
    vulkan_pipelines pipelines;
    vulkan_transfer transfer;
    vulkan_buffer dummy;    /* bound where a binding is absent */
    VkQueryPool timestamps; /* NULL: the device has none */
    VkFence fences[2];      /* of the segments that are on their way */
    double
        slowness; /* measured time by estimated time of dispatches never run before, learnt as programs run */
} vulkan_executor;

/* How a dispatch is launched. */
typedef struct vulkan_call {
    VkPipeline pipeline;
    uint32_t variant; /* index in shader_variants */
    VkDescriptorSet set;
    uint32_t groups;
    double estimate; /* seconds, from FLOP and bytes */
    double measured; /* seconds, from its last run; 0: never run */
} vulkan_call;

struct vulkan_recording;

typedef struct vulkan_program {
    program base;
    vulkan_layout layout;
    vulkan_buffer *shards; /* [layout.shard_count] */
    VkDescriptorPool descriptor_pool;
    vulkan_call *calls; /* [dispatch_count] */
    VkCommandPool command_pool;
    struct vulkan_recording **recordings; /* [recording_count], see recording.h */
    uint32_t recording_count, recording_capacity;
    bool sealed;
    uint64_t bytes; /* held on the device */
} vulkan_program;

static inline vulkan_executor *vulkan_executor_of(const vulkan_program *g) {
    return (vulkan_executor *)(void *)g->base.owner;
}

/* Allocates buffers, chooses and builds all pipelines, writes the descriptor sets. */
mzt_status vulkan_program_create(vulkan_executor *owner, const plan *p, vulkan_program **out,
                                 mzt_error *error);
void vulkan_program_destroy(vulkan_program *g);

/* Copies to and from a buffer; the range was checked. */
mzt_status vulkan_program_write(vulkan_program *g, uint32_t buffer, uint64_t offset, const void *data,
                                uint64_t size, mzt_error *error);
mzt_status vulkan_program_read(vulkan_program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                               mzt_error *error);

#endif
