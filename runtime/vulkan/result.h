/* VkResult in words, and as a status. */
#ifndef VULKAN_RESULT_H
#define VULKAN_RESULT_H

#include "base/error.h"
#include "vulkan/table.h"

/* "VK_ERROR_DEVICE_LOST"; "an unknown VkResult" for codes newer than this list. */
const char *vulkan_result_name(VkResult result);

/* The status that `result` means to callers; OK for success codes. */
mzt_status vulkan_result_status(VkResult result);

/* OK for success; otherwise an error "CALL: VK_ERROR_... ". */
mzt_status vulkan_result_check(VkResult result, const char *call, mzt_error *error);

#endif
