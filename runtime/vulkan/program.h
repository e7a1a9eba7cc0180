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
    struct vulkan_pictures *pictures; /* see picture.h; made at the first picture */
    vulkan_buffer dummy;              /* bound where a binding is absent */
    VkQueryPool timestamps;           /* of timed runs; NULL: the device has none */
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
struct vulkan_run;
struct vulkan_pictures;

typedef struct vulkan_program {
    program base;
    vulkan_layout layout;
    vulkan_buffer *shards; /* [layout.shard_count] */
    VkDescriptorPool descriptor_pool;
    vulkan_call *calls; /* [dispatch_count] */
    VkCommandPool command_pool;
    struct vulkan_recording **recordings; /* [recording_count], see recording.h */
    uint32_t recording_count, recording_capacity;
    struct vulkan_run *run; /* see run.h; made at the first run */
    uint32_t built;         /* dispatches whose pipeline and descriptor set are there */
    bool sealed;
    uint64_t bytes; /* held on the device */
} vulkan_program;

static inline vulkan_executor *vulkan_executor_of(const vulkan_program *g) {
    return (vulkan_executor *)(void *)g->base.owner;
}

/* Allocates buffers and chooses kernels. */
mzt_status vulkan_program_create(vulkan_executor *owner, const plan *p, vulkan_program **out,
                                 mzt_error *error);
void vulkan_program_destroy(vulkan_program *g);

/* Makes pipelines and writes descriptor sets, dispatch by dispatch, until `deadline`; PENDING: not all. */
mzt_status vulkan_program_build(vulkan_program *g, double deadline, mzt_error *error);

/* Copies to and from a buffer; the range was checked. Writing copies the first *written bytes, until
 * `deadline`; PENDING: not all. */
mzt_status vulkan_program_write(vulkan_program *g, uint32_t buffer, uint64_t offset, const void *data,
                                uint64_t size, double deadline, uint64_t *written, mzt_error *error);
mzt_status vulkan_program_read(vulkan_program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                               mzt_error *error);

#endif
