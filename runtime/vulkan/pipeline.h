/* Compute pipelines, one per shader variant, and the layouts they share per op. */
#ifndef VULKAN_PIPELINE_H
#define VULKAN_PIPELINE_H

#include "vulkan/cache.h"

typedef struct vulkan_pipelines {
    vulkan_device *device;
    vulkan_cache cache;
    VkDescriptorSetLayout
        set_layouts[OP_COUNT];          /* op_info.binding_count storage buffers; made when first needed */
    VkPipelineLayout layouts[OP_COUNT]; /* that set, and op_info.param_size bytes of push constants */
    VkPipeline *by_variant;             /* [shader_variant_count]; made when first needed */
    bool *warm; /* [shader_variant_count]: running it takes no longer than the next time. Software devices
                 * translate a shader when it first runs, which can take seconds. */
} vulkan_pipelines;

/* Fills *pipelines in place; on failure it can be passed to vulkan_pipelines_destroy. */
mzt_status vulkan_pipelines_create(vulkan_device *device, const char *cache_directory,
                                   vulkan_pipelines *pipelines, mzt_error *error);
void vulkan_pipelines_destroy(vulkan_pipelines *pipelines); /* a zeroed one is accepted */

/* Makes layouts and pipeline of a row of shader_variants, unless they are there. No submission may be on its
 * way: lavapipe has been seen to crash when one runs while a pipeline is made. */
mzt_status vulkan_pipelines_get(vulkan_pipelines *pipelines, const shader_variant *variant, VkPipeline *out,
                                mzt_error *error);

#endif
