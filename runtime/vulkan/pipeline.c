/* Makes compute pipelines; see pipeline.h. */
#include "vulkan/pipeline.h"

#include <string.h>

mzt_status vulkan_pipelines_create(vulkan_device *device, const char *cache_directory,
                                   vulkan_pipelines *pipelines, mzt_error *error) {
    memset(pipelines, 0, sizeof *pipelines);
    pipelines->device = device;
    pipelines->by_variant = host_calloc(device->host, shader_variant_count, sizeof(VkPipeline));
    if (!pipelines->by_variant)
        return error_memory(error, "pipelines", shader_variant_count * sizeof(VkPipeline));
    pipelines->warm = host_calloc(device->host, shader_variant_count, sizeof(bool));
    if (!pipelines->warm) return error_memory(error, "pipelines", shader_variant_count * sizeof(bool));
    for (uint32_t i = 0; i < shader_variant_count; i++)
        pipelines->warm[i] = !device->physical.shader.is_cpu;
    return vulkan_cache_create(device, cache_directory, &pipelines->cache, error);
}

void vulkan_pipelines_destroy(vulkan_pipelines *pipelines) {
    vulkan_device *device = pipelines->device;
    if (!device) return;
    for (uint32_t i = 0; pipelines->by_variant && i < shader_variant_count; i++) {
        if (pipelines->by_variant[i])
            device->vk.DestroyPipeline(device->handle, pipelines->by_variant[i], NULL);
    }
    for (uint32_t i = 0; i < OP_COUNT; i++) {
        if (pipelines->layouts[i])
            device->vk.DestroyPipelineLayout(device->handle, pipelines->layouts[i], NULL);
        if (pipelines->set_layouts[i]) {
            device->vk.DestroyDescriptorSetLayout(device->handle, pipelines->set_layouts[i], NULL);
        }
    }
    vulkan_cache_destroy(device, &pipelines->cache);
    host_free(device->host, pipelines->by_variant);
    host_free(device->host, pipelines->warm);
    memset(pipelines, 0, sizeof *pipelines);
}

static mzt_status make_layouts(vulkan_pipelines *pipelines, op o, mzt_error *error) {
    vulkan_device *device = pipelines->device;
    const op_info *info = op_get(o);
    if (!pipelines->set_layouts[o]) {
        VkDescriptorSetLayoutBinding bindings[OP_MAX_BINDINGS];
        for (uint32_t i = 0; i < info->binding_count; i++) {
            bindings[i] = (VkDescriptorSetLayoutBinding){
                .binding = i,
                .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                .descriptorCount = 1,
                .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
            };
        }
        VkDescriptorSetLayoutCreateInfo set = {
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
            .bindingCount = info->binding_count,
            .pBindings = bindings,
        };
        VkResult result =
            device->vk.CreateDescriptorSetLayout(device->handle, &set, NULL, &pipelines->set_layouts[o]);
        TRY(vulkan_device_check(device, result, "vkCreateDescriptorSetLayout", error));
    }
    if (pipelines->layouts[o]) return MZT_OK;
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = info->param_size};
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &pipelines->set_layouts[o],
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };
    VkResult result = device->vk.CreatePipelineLayout(device->handle, &layout, NULL, &pipelines->layouts[o]);
    return vulkan_device_check(device, result, "vkCreatePipelineLayout", error);
}

static mzt_status make_module(vulkan_device *device, const shader_variant *variant, VkShaderModule *module,
                              mzt_error *error) {
    uint32_t *code = host_calloc(device->host, variant->code_bytes, 1);
    if (!code) return error_memory(error, "shader code", variant->code_bytes);
    if (!shader_unpack(variant, code)) {
        host_free(device->host, code);
        return error_set(error, MZT_ERROR_INTERNAL, "its packed code is damaged");
    }
    VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = variant->code_bytes,
        .pCode = code,
    };
    VkResult result = device->vk.CreateShaderModule(device->handle, &info, NULL, module);
    host_free(device->host, code);
    return vulkan_device_check(device, result, "vkCreateShaderModule", error);
}

static mzt_status make_pipeline(vulkan_pipelines *pipelines, const shader_variant *variant, VkPipeline *out,
                                mzt_error *error) {
    vulkan_device *device = pipelines->device;
    VkShaderModule module = VK_NULL_HANDLE;
    TRY(make_module(device, variant, &module, error));
    /* Some drivers choose the subgroup size per pipeline; a shader that sums over subgroups gets the one that
     * was reported. */
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = device->physical.shader.subgroup_size,
    };
    bool require = (variant->needs & SHADER_NEEDS_SUBGROUP) && device->physical.required_size;
    /* Constant 0 is the weight's type; modules without weights do not have it, which is allowed. */
    uint32_t weight = variant->weight < 0 ? 0 : (uint32_t)variant->weight;
    VkSpecializationMapEntry entry = {.constantID = 0, .offset = 0, .size = sizeof weight};
    VkSpecializationInfo special = {
        .mapEntryCount = 1, .pMapEntries = &entry, .dataSize = sizeof weight, .pData = &weight};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = require ? &size : NULL,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &special,
            },
        .layout = pipelines->layouts[variant->op],
    };
    VkResult result =
        device->vk.CreateComputePipelines(device->handle, pipelines->cache.handle, 1, &info, NULL, out);
    device->vk.DestroyShaderModule(device->handle, module, NULL);
    return vulkan_device_check(device, result, "vkCreateComputePipelines", error);
}

mzt_status vulkan_pipelines_get(vulkan_pipelines *pipelines, const shader_variant *variant, VkPipeline *out,
                                mzt_error *error) {
    VkPipeline *slot = &pipelines->by_variant[variant - shader_variants];
    mzt_status status = *slot ? MZT_OK : make_layouts(pipelines, (op)variant->op, error);
    if (status == MZT_OK && !*slot) status = make_pipeline(pipelines, variant, slot, error);
    if (status < 0) {
        error_prefix(error, "shader %s: ", variant->name);
        return status;
    }
    *out = *slot;
    return MZT_OK;
}
