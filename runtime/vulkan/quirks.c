/* The deny-list; see quirks.h. A row may go once its source says fixed and the driver's version can be told
 * apart. */
#include "vulkan/quirks.h"

#define VENDOR_AMD   0x1002u
#define VENDOR_INTEL 0x8086u

typedef struct quirk {
    uint32_t vendor;
    VkDriverId driver;
    uint32_t bits;
    const char *why;
} quirk;

static const quirk quirks[] = {
    /* https://github.com/KhronosGroup/MoltenVK/issues/2757: simd_sum gives wrong sums on Gen9. */
    {VENDOR_INTEL, VK_DRIVER_ID_MOLTENVK, QUIRK_NO_SUBGROUPS, "MoltenVK on Intel: wrong subgroup sums"},
    /* https://github.com/KhronosGroup/MoltenVK/issues/2750 and
     * https://github.com/ggml-org/llama.cpp/issues/15846: a subgroup reported as 64 wide is a 32-wide one,
     * half of it switched off. */
    {VENDOR_AMD, VK_DRIVER_ID_MOLTENVK, QUIRK_NO_SUBGROUPS, "MoltenVK on AMD: wrong subgroup size"},
    /* https://github.com/ggml-org/llama.cpp/issues/17106 and pull request 18814: f16 matrix products come out
       wrong. */
    {VENDOR_INTEL, VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA, QUIRK_NO_F16, "Mesa ANV: wrong f16 arithmetic"},
};

uint32_t vulkan_quirks(uint32_t vendor, VkDriverId driver, const char **why) {
    uint32_t bits = 0;
    *why = "";
    for (size_t i = 0; i < sizeof quirks / sizeof quirks[0]; i++) {
        const quirk *row = &quirks[i];
        if (row->driver != driver || row->vendor != vendor) continue;
        bits |= row->bits;
        *why = row->why;
    }
    return bits;
}
