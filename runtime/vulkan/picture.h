/* Copies of pictures out of programs into images and buffers of the host; the functions are declared in
 * vulkan_import.h. */
#ifndef VULKAN_PICTURE_H
#define VULKAN_PICTURE_H

#include "vulkan/program.h"

/* Waits until all copies have ended, or until `deadline` (PENDING). */
mzt_status vulkan_pictures_wait(vulkan_executor *owner, double deadline, mzt_error *error);

/* The same where nobody hears of a failure. */
void vulkan_pictures_settle(vulkan_executor *owner);

void vulkan_pictures_destroy(vulkan_executor *owner);

#endif
