/* Makes an instance: API version, portability enumeration, optional validation; see instance.h. */
#include "vulkan/instance.h"

#include <string.h>
#include "vulkan/result.h"

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *user) {
    (void)severity;
    (void)types;
    vulkan_instance *instance = user;
    atomic_fetch_add(&instance->validation_count, 1);
    host_log(instance->host, MZT_LOG_WARNING, "Vulkan validation: %s", data->pMessage ? data->pMessage : "");
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(vulkan_instance *instance) {
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = instance,
    };
}

/* Whether the loader (layer NULL) or a layer offers an instance extension. Out of memory counts as "no". */
static bool has_extension(const vulkan_instance *instance, const char *layer, const char *name) {
    uint32_t count = 0;
    bool found = false;
    const vulkan_global_functions *vk = &instance->loader.vk;
    if (vk->EnumerateInstanceExtensionProperties(layer, &count, NULL) < 0) return false;
    VkExtensionProperties *list = host_calloc(instance->host, count, sizeof *list);
    if (list && vk->EnumerateInstanceExtensionProperties(layer, &count, list) >= 0) {
        for (uint32_t i = 0; i < count; i++)
            found = found || strcmp(list[i].extensionName, name) == 0;
    }
    host_free(instance->host, list);
    return found;
}

static bool has_layer(const vulkan_instance *instance, const char *name) {
    uint32_t count = 0;
    bool found = false;
    const vulkan_global_functions *vk = &instance->loader.vk;
    if (vk->EnumerateInstanceLayerProperties(&count, NULL) < 0) return false;
    VkLayerProperties *list = host_calloc(instance->host, count, sizeof *list);
    if (list && vk->EnumerateInstanceLayerProperties(&count, list) >= 0) {
        for (uint32_t i = 0; i < count; i++)
            found = found || strcmp(list[i].layerName, name) == 0;
    }
    host_free(instance->host, list);
    return found;
}

static mzt_status create_handle(vulkan_instance *instance, uint32_t version, bool validation,
                                mzt_error *error) {
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "mezzotint",
        .apiVersion = version >= VK_API_VERSION_1_3 ? VK_API_VERSION_1_3 : VK_API_VERSION_1_2,
    };
    const char *extensions[3];
    uint32_t extension_count = 0;
    VkInstanceCreateFlags flags = 0;
    if (has_extension(instance, NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[extension_count++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR; /* otherwise MoltenVK is hidden */
    }
    const char *layer = VALIDATION_LAYER;
    VkValidationFeatureEnableEXT synchronization =
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(instance);
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messenger, /* heard while the instance itself is made and destroyed */
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = &synchronization,
    };
    if (validation) {
        if (!has_layer(instance, layer)) {
            return error_set(error, MZT_ERROR_NOT_FOUND, "%s: not installed, and validation was asked for",
                             layer);
        }
        if (!has_extension(instance, layer, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME)) {
            return error_set(error, MZT_ERROR_NOT_FOUND,
                             "%s: has no " VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME, layer);
        }
        extensions[extension_count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        extensions[extension_count++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    }
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validation ? &features : NULL,
        .flags = flags,
        .pApplicationInfo = &application,
        .enabledLayerCount = validation ? 1 : 0,
        .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = extension_count,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = instance->loader.vk.CreateInstance(&info, NULL, &instance->handle);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        return error_set(error, MZT_ERROR_NOT_FOUND, "no Vulkan driver is installed");
    }
    return vulkan_result_check(result, "vkCreateInstance", error);
}

static mzt_status load_functions(vulkan_instance *instance, bool validation, mzt_error *error) {
#define LOAD(name)                                                                                           \
    instance->vk.name = (PFN_vk##name)instance->loader.get(instance->handle, "vk" #name);                    \
    if (!instance->vk.name) return error_set(error, MZT_ERROR_DEVICE, "the Vulkan loader lacks vk" #name);
    VULKAN_INSTANCE_FUNCTIONS(LOAD)
    if (validation) {
        LOAD(CreateDebugUtilsMessengerEXT)
        LOAD(DestroyDebugUtilsMessengerEXT)
    }
#undef LOAD
    return MZT_OK;
}

mzt_status vulkan_instance_create(const base_host *host, bool validation, vulkan_instance **out,
                                  mzt_error *error) {
    *out = NULL;
    vulkan_instance *instance = host_calloc(host, 1, sizeof *instance);
    if (!instance) return error_memory(error, "Vulkan instance", sizeof *instance);
    instance->host = host;
    uint32_t version = 0;
    mzt_status status = vulkan_loader_open(&instance->loader, error);
    if (status < 0) goto fail;
    status = vulkan_result_check(instance->loader.vk.EnumerateInstanceVersion(&version),
                                 "vkEnumerateInstanceVersion", error);
    if (status < 0) goto fail;
    if (version < VK_API_VERSION_1_2) {
        status =
            error_set(error, MZT_ERROR_NOT_FOUND, "the Vulkan loader knows version %u.%u only, 1.2 is needed",
                      VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
        goto fail;
    }
    status = create_handle(instance, version, validation, error);
    if (status < 0) goto fail;
    status = load_functions(instance, validation, error);
    if (status < 0) goto fail;
    if (validation) {
        VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(instance);
        status = vulkan_result_check(
            instance->vk.CreateDebugUtilsMessengerEXT(instance->handle, &info, NULL, &instance->messenger),
            "vkCreateDebugUtilsMessengerEXT", error);
        if (status < 0) goto fail;
    }
    *out = instance;
    return MZT_OK;
fail:
    vulkan_instance_destroy(instance);
    return status;
}

mzt_status vulkan_instance_attach(const base_host *host, PFN_vkGetInstanceProcAddr get, VkInstance handle,
                                  vulkan_instance **out, mzt_error *error) {
    *out = NULL;
    vulkan_instance *instance = host_calloc(host, 1, sizeof *instance);
    if (!instance) return error_memory(error, "Vulkan instance", sizeof *instance);
    instance->host = host;
    instance->imported = true;
    instance->handle = handle;
    instance->loader.get = get;
    mzt_status status = load_functions(instance, false, error);
    if (status < 0) {
        vulkan_instance_destroy(instance);
        return status;
    }
    *out = instance;
    return MZT_OK;
}

void vulkan_instance_destroy(vulkan_instance *instance) {
    if (!instance) return;
    if (instance->messenger) {
        instance->vk.DestroyDebugUtilsMessengerEXT(instance->handle, instance->messenger, NULL);
    }
    if (instance->handle && instance->vk.DestroyInstance && !instance->imported)
        instance->vk.DestroyInstance(instance->handle, NULL);
    vulkan_loader_close(&instance->loader);
    host_free(instance->host, instance);
}

mzt_status vulkan_instance_devices(const vulkan_instance *instance, VkPhysicalDevice **devices,
                                   uint32_t *count, mzt_error *error) {
    *devices = NULL;
    *count = 0;
    VkResult result = instance->vk.EnumeratePhysicalDevices(instance->handle, count, NULL);
    /* Some loaders report that no driver fits as a failure rather than as a count of 0. */
    if (result == VK_ERROR_INITIALIZATION_FAILED)
        *count = 0;
    else
        TRY(vulkan_result_check(result, "vkEnumeratePhysicalDevices", error));
    VkPhysicalDevice *list = host_calloc(instance->host, *count, sizeof(VkPhysicalDevice));
    if (!list) return error_memory(error, "list of Vulkan devices", *count * sizeof(VkPhysicalDevice));
    if (*count > 0) result = instance->vk.EnumeratePhysicalDevices(instance->handle, count, list);
    if (result < 0 && *count > 0) {
        host_free(instance->host, list);
        return vulkan_result_check(result, "vkEnumeratePhysicalDevices", error);
    }
    *devices = list;
    return MZT_OK;
}
