/* Every Vulkan function this executor calls, as tables that belong to one instance or one device.
 *
 * volk.h is included for its types and because it keeps the prototypes of vulkan.h away; volk.c is not used:
 * its function pointers are process-wide, and filling them would overwrite those of a host program that uses
 * volk itself. */
#ifndef VULKAN_TABLE_H
#define VULKAN_TABLE_H

#include <volk.h>

/* X(name without "vk"): callable before an instance exists. */
#define VULKAN_GLOBAL_FUNCTIONS(X)                                                                           \
    X(EnumerateInstanceVersion)                                                                              \
    X(EnumerateInstanceLayerProperties)                                                                      \
    X(EnumerateInstanceExtensionProperties)                                                                  \
    X(CreateInstance)

#define VULKAN_INSTANCE_FUNCTIONS(X)                                                                         \
    X(DestroyInstance)                                                                                       \
    X(EnumeratePhysicalDevices)                                                                              \
    X(GetPhysicalDeviceProperties)                                                                           \
    X(GetPhysicalDeviceProperties2)                                                                          \
    X(GetPhysicalDeviceFeatures2)                                                                            \
    X(GetPhysicalDeviceMemoryProperties)                                                                     \
    X(GetPhysicalDeviceQueueFamilyProperties)                                                                \
    X(EnumerateDeviceExtensionProperties)                                                                    \
    X(CreateDevice)                                                                                          \
    X(GetDeviceProcAddr)

#define VULKAN_DEVICE_FUNCTIONS(X)                                                                           \
    X(DestroyDevice)                                                                                         \
    X(GetDeviceQueue)                                                                                        \
    X(QueueSubmit)                                                                                           \
    X(AllocateMemory)                                                                                        \
    X(FreeMemory)                                                                                            \
    X(MapMemory)                                                                                             \
    X(FlushMappedMemoryRanges)                                                                               \
    X(InvalidateMappedMemoryRanges)                                                                          \
    X(CreateBuffer)                                                                                          \
    X(DestroyBuffer)                                                                                         \
    X(GetBufferMemoryRequirements)                                                                           \
    X(BindBufferMemory)                                                                                      \
    X(CreateShaderModule)                                                                                    \
    X(DestroyShaderModule)                                                                                   \
    X(CreatePipelineCache)                                                                                   \
    X(DestroyPipelineCache)                                                                                  \
    X(GetPipelineCacheData)                                                                                  \
    X(CreateComputePipelines)                                                                                \
    X(DestroyPipeline)                                                                                       \
    X(CreatePipelineLayout)                                                                                  \
    X(DestroyPipelineLayout)                                                                                 \
    X(CreateDescriptorSetLayout)                                                                             \
    X(DestroyDescriptorSetLayout)                                                                            \
    X(CreateDescriptorPool)                                                                                  \
    X(DestroyDescriptorPool)                                                                                 \
    X(AllocateDescriptorSets)                                                                                \
    X(UpdateDescriptorSets)                                                                                  \
    X(CreateCommandPool)                                                                                     \
    X(DestroyCommandPool)                                                                                    \
    X(AllocateCommandBuffers)                                                                                \
    X(FreeCommandBuffers)                                                                                    \
    X(BeginCommandBuffer)                                                                                    \
    X(EndCommandBuffer)                                                                                      \
    X(CmdBindPipeline)                                                                                       \
    X(CmdBindDescriptorSets)                                                                                 \
    X(CmdPushConstants)                                                                                      \
    X(CmdDispatch)                                                                                           \
    X(CmdPipelineBarrier)                                                                                    \
    X(CmdCopyBuffer)                                                                                         \
    X(CmdCopyBufferToImage)                                                                                  \
    X(CmdResetQueryPool)                                                                                     \
    X(CmdWriteTimestamp)                                                                                     \
    X(CreateQueryPool)                                                                                       \
    X(DestroyQueryPool)                                                                                      \
    X(GetQueryPoolResults)                                                                                   \
    X(CreateFence)                                                                                           \
    X(DestroyFence)                                                                                          \
    X(ResetFences)                                                                                           \
    X(WaitForFences)

#define VULKAN_MEMBER(name) PFN_vk##name name;

typedef struct vulkan_global_functions {
    VULKAN_GLOBAL_FUNCTIONS(VULKAN_MEMBER)
} vulkan_global_functions;

typedef struct vulkan_instance_functions {
    VULKAN_INSTANCE_FUNCTIONS(VULKAN_MEMBER)
    /* NULL without VK_EXT_debug_utils */
    PFN_vkCreateDebugUtilsMessengerEXT CreateDebugUtilsMessengerEXT;
    PFN_vkDestroyDebugUtilsMessengerEXT DestroyDebugUtilsMessengerEXT;
} vulkan_instance_functions;

typedef struct vulkan_device_functions {
    VULKAN_DEVICE_FUNCTIONS(VULKAN_MEMBER)
} vulkan_device_functions;

#undef VULKAN_MEMBER

#endif
