/* VkResult in words, and as a status; see result.h. */
#include "vulkan/result.h"

const char *vulkan_result_name(VkResult result) {
#define RESULT(name)                                                                                         \
    case name:                                                                                               \
        return #name;
    switch (result) {
        RESULT(VK_SUCCESS)
        RESULT(VK_NOT_READY)
        RESULT(VK_TIMEOUT)
        RESULT(VK_INCOMPLETE)
        RESULT(VK_ERROR_OUT_OF_HOST_MEMORY)
        RESULT(VK_ERROR_OUT_OF_DEVICE_MEMORY)
        RESULT(VK_ERROR_INITIALIZATION_FAILED)
        RESULT(VK_ERROR_DEVICE_LOST)
        RESULT(VK_ERROR_MEMORY_MAP_FAILED)
        RESULT(VK_ERROR_LAYER_NOT_PRESENT)
        RESULT(VK_ERROR_EXTENSION_NOT_PRESENT)
        RESULT(VK_ERROR_FEATURE_NOT_PRESENT)
        RESULT(VK_ERROR_INCOMPATIBLE_DRIVER)
        RESULT(VK_ERROR_TOO_MANY_OBJECTS)
        RESULT(VK_ERROR_FRAGMENTED_POOL)
        RESULT(VK_ERROR_OUT_OF_POOL_MEMORY)
        RESULT(VK_ERROR_FRAGMENTATION)
        RESULT(VK_ERROR_INVALID_SHADER_NV)
        RESULT(VK_ERROR_UNKNOWN)
    default:
        return "an unknown VkResult";
    }
#undef RESULT
}

mzt_status vulkan_result_status(VkResult result) {
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
    case VK_ERROR_FRAGMENTATION:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_MEMORY_MAP_FAILED:
        return MZT_ERROR_OUT_OF_MEMORY;
    case VK_ERROR_DEVICE_LOST:
        return MZT_ERROR_DEVICE_LOST;
    default:
        return result < 0 ? MZT_ERROR_DEVICE : MZT_OK;
    }
}

mzt_status vulkan_result_check(VkResult result, const char *call, mzt_error *error) {
    if (result >= 0) return MZT_OK;
    return error_set(error, vulkan_result_status(result), "%s: %s (%d)", call, vulkan_result_name(result),
                     (int)result);
}
