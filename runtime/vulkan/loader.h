/* The Vulkan loader, opened at run time: nothing links against libvulkan, so that programs start where it is
 * missing. */
#ifndef VULKAN_LOADER_H
#define VULKAN_LOADER_H

#include "base/host.h"
#include "vulkan/table.h"

typedef struct vulkan_loader {
    void *library; /* NULL: not open */
    PFN_vkGetInstanceProcAddr get;
    vulkan_global_functions vk;
} vulkan_loader;

/* NOT_FOUND where there is no loader, or one older than Vulkan 1.1. */
mzt_status vulkan_loader_open(vulkan_loader *loader, mzt_error *error);

/* All instances made through it must be destroyed before. A zeroed loader is accepted. */
void vulkan_loader_close(vulkan_loader *loader);

#endif
