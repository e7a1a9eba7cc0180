/* Opens the Vulkan loader; see loader.h. The only file of the executor that differs between operating
 * systems. */
#include "vulkan/loader.h"

#include <string.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static const char *const library_names[] = {"vulkan-1.dll"};

static void *library_open(const char *name) {
    return (void *)LoadLibraryA(name);
}

static PFN_vkGetInstanceProcAddr library_entry(void *library) {
    return (PFN_vkGetInstanceProcAddr)(void (*)(void))GetProcAddress((HMODULE)library,
                                                                     "vkGetInstanceProcAddr");
}

static void library_close(void *library) {
    FreeLibrary((HMODULE)library);
}
#else
#include <dlfcn.h>

#if defined(__APPLE__)
/* MoltenVK implements the loader's entry point itself, for applications that bundle it without a loader. */
static const char *const library_names[] = {"libvulkan.dylib", "libvulkan.1.dylib", "libMoltenVK.dylib",
                                            "/usr/local/lib/libvulkan.dylib",
                                            "/opt/homebrew/lib/libvulkan.dylib"};
#else
static const char *const library_names[] = {"libvulkan.so.1", "libvulkan.so"};
#endif

static void *library_open(const char *name) {
    return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

static PFN_vkGetInstanceProcAddr library_entry(void *library) {
    void *address = dlsym(library, "vkGetInstanceProcAddr");
    PFN_vkGetInstanceProcAddr entry;
    memcpy(&entry, &address,
           sizeof entry); /* ISO C has no conversion between the two; POSIX says they are alike */
    return entry;
}

static void library_close(void *library) {
    dlclose(library);
}
#endif

mzt_status vulkan_loader_open(vulkan_loader *loader, mzt_error *error) {
    memset(loader, 0, sizeof *loader);
    for (size_t i = 0; i < sizeof library_names / sizeof library_names[0] && !loader->library; i++) {
        loader->library = library_open(library_names[i]);
    }
    if (!loader->library)
        return error_set(error, MZT_ERROR_NOT_FOUND, "no Vulkan loader: cannot open %s", library_names[0]);
    loader->get = library_entry(loader->library);
    const char *missing = loader->get ? NULL : "vkGetInstanceProcAddr";
#define LOAD(name)                                                                                           \
    if (!missing) {                                                                                          \
        loader->vk.name = (PFN_vk##name)loader->get(NULL, "vk" #name);                                       \
        if (!loader->vk.name) missing = "vk" #name;                                                          \
    }
    VULKAN_GLOBAL_FUNCTIONS(LOAD)
#undef LOAD
    if (!missing) return MZT_OK;
    vulkan_loader_close(loader);
    return error_set(error, MZT_ERROR_NOT_FOUND, "the Vulkan loader lacks %s: it must know Vulkan 1.2",
                     missing);
}

void vulkan_loader_close(vulkan_loader *loader) {
    if (loader->library) library_close(loader->library);
    memset(loader, 0, sizeof *loader);
}
