/* Which Vulkan drivers a test sees. */
#ifndef SUPPORT_VULKAN_ENV_H
#define SUPPORT_VULKAN_ENV_H

#include <stdbool.h>

/* Where the caller's environment names a SwiftShader manifest (MZT_SWIFTSHADER_ICD) and chooses no drivers
 * itself (VK_DRIVER_FILES, VK_ICD_FILENAMES): makes that driver and lavapipe the only ones. Otherwise changes
 * nothing. Call it first, before any Vulkan call and any other thread. */
void vulkan_env_set(void);

/* MZT_REQUIRE_DRIVERS=1: what is not installed here (lavapipe, SwiftShader, the validation layer) shall fail
 * tests instead of being left out. */
bool vulkan_env_required(void);

#endif
