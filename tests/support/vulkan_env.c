/* The environment variables that Vulkan's loader reads; see vulkan_env.h. */
#define _POSIX_C_SOURCE 200809L
#include "vulkan_env.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_LEAK_CHECK 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WITH_LEAK_CHECK 1
#endif

/* Keeps drivers and layer loaded for good: what a library leaks that is gone by the end of the program cannot
 * be told apart from leaks of ours (tests/support/leaks.txt names theirs). */
static void pin_drivers(const char *swiftshader) {
#if defined(WITH_LEAK_CHECK)
    const char *slash = swiftshader ? strrchr(swiftshader, '/') : NULL;
    char path[1024];
    dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_LOCAL);
    dlopen("libVkLayer_khronos_validation.so", RTLD_NOW | RTLD_LOCAL);
    if (!slash) return;
    snprintf(path, sizeof path, "%.*s/libvk_swiftshader.so", (int)(slash - swiftshader), swiftshader);
    dlopen(path, RTLD_NOW | RTLD_LOCAL);
#else
    (void)swiftshader;
#endif
}

void vulkan_env_set(void) {
    const char *swiftshader = getenv("MZT_SWIFTSHADER_ICD"), *lavapipe = find_lavapipe();
    pin_drivers(swiftshader);
    /* Newer validation layers look at what shaders touch, as older ones always did, only when told to. */
    setenv("VK_KHRONOS_VALIDATION_SYNCVAL_SHADER_ACCESSES_HEURISTIC", "1", 0);
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
