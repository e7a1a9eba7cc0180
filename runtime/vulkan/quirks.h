/* Drivers that report a feature which gives wrong results: a deny-list, each row with its source. */
#ifndef VULKAN_QUIRKS_H
#define VULKAN_QUIRKS_H

#include <stdint.h>
#include "vulkan/table.h"

#define QUIRK_NO_F16       1u /* wrong results in f16 arithmetic */
#define QUIRK_NO_SUBGROUPS 2u /* wrong results in subgroup arithmetic */

/* The QUIRK_ bits of a device; `why` receives the last matching row's reason, or "". */
uint32_t vulkan_quirks(uint32_t vendor, VkDriverId driver, const char **why);

#endif
