/* The environment variables that Vulkan's loader reads; see vulkan_env.h. */
#define _POSIX_C_SOURCE 200809L
#include "vulkan_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Where distributions put lavapipe's manifest. */
static const char *find_lavapipe(void) {
    static const char *const places[] = {
        "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
        "/usr/share/vulkan/icd.d/lvp_icd.aarch64.json",
        "/usr/share/vulkan/icd.d/lvp_icd.json",
        "/usr/local/share/vulkan/icd.d/lvp_icd.json",
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], R_OK) == 0) return places[i];
    return NULL;
}

void vulkan_env_set(void) {
    const char *swiftshader = getenv("MZT_SWIFTSHADER_ICD"), *lavapipe = find_lavapipe();
    if (!swiftshader || !*swiftshader || getenv("VK_DRIVER_FILES") || getenv("VK_ICD_FILENAMES")) return;
    char list[2048];
    int length =
        snprintf(list, sizeof list, "%s%s%s", lavapipe ? lavapipe : "", lavapipe ? ":" : "", swiftshader);
    if (length < 0 || (size_t)length >= sizeof list) return;
    setenv("VK_DRIVER_FILES", list, 1);
    setenv("VK_ICD_FILENAMES", list, 1); /* its older name, for loaders before 1.3.207 */
}

bool vulkan_env_required(void) {
    const char *value = getenv("MZT_REQUIRE_DRIVERS");
    return value && value[0] == '1';
}
