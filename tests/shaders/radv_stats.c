/* Compiles every shader variant with AMD's real compiler for several generations of GPUs, none of which need
 * be there: RADV's null hardware. Prints registers, shared memory and occupancy; fails on a spill or a failed
 * compilation.
 *
 * The GPU is chosen by an environment variable that RADV reads once, so each gets a process of its own. */
#define _POSIX_C_SOURCE 200809L
#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vulkan/vulkan.h>

#include "vulkan/shader_table.h"

enum { SKIPPED = 77, STATISTICS = 32 };

typedef struct gpu {
    PFN_vkGetInstanceProcAddr get;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    bool storage16, f16, ballot;
    uint32_t subgroup_size;
} gpu;

/* What the compiler says of one pipeline. */
typedef struct statistics {
    uint64_t vgprs, sgprs, spilled, scratch, lds, occupancy, code;
} statistics;

#define LOAD(g, name) PFN_##name name = (PFN_##name)(g)->get((g)->instance, #name)

static bool open_instance(gpu *g) {
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return false;
    void *symbol = dlsym(library, "vkGetInstanceProcAddr");
    memcpy(&g->get, &symbol, sizeof symbol); /* ISO C has no cast from object to function pointer */
    if (!g->get) return false;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)g->get(NULL, "vkCreateInstance");
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                     .apiVersion = VK_API_VERSION_1_2};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &application};
    if (!create || create(&info, NULL, &g->instance) != VK_SUCCESS) return false;
    LOAD(g, vkEnumeratePhysicalDevices);
    uint32_t count = 1;
    return vkEnumeratePhysicalDevices(g->instance, &count, &g->physical) >= 0 && count == 1;
}

static bool open_device(gpu *g) {
    LOAD(g, vkGetPhysicalDeviceFeatures2);
    LOAD(g, vkGetPhysicalDeviceProperties2);
    LOAD(g, vkCreateDevice);
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
    VkPhysicalDeviceShaderFloat16Int8Features f16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, .pNext = &executable};
    VkPhysicalDevice16BitStorageFeatures storage16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, .pNext = &f16};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &storage16};
    vkGetPhysicalDeviceFeatures2(g->physical, &features);
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType =
                                                       VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &subgroup};
    vkGetPhysicalDeviceProperties2(g->physical, &properties);
    g->storage16 = storage16.storageBuffer16BitAccess;
    g->f16 = f16.shaderFloat16;
    g->ballot = subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BALLOT_BIT;
    g->subgroup_size = subgroup.subgroupSize;

    float priority = 1;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    const char *extension = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &features,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = 1,
                               .ppEnabledExtensionNames = &extension};
    return vkCreateDevice(g->physical, &info, NULL, &g->device) == VK_SUCCESS;
}

static bool make_layout(const gpu *g, uint32_t bindings, VkDescriptorSetLayout *set,
                        VkPipelineLayout *layout) {
    LOAD(g, vkCreateDescriptorSetLayout);
    LOAD(g, vkCreatePipelineLayout);
    VkDescriptorSetLayoutBinding binding[OP_MAX_BINDINGS];
    for (uint32_t i = 0; i < bindings; i++)
        binding[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                    .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                    .descriptorCount = 1,
                                                    .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set_info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                .bindingCount = bindings,
                                                .pBindings = binding};
    if (vkCreateDescriptorSetLayout(g->device, &set_info, NULL, set) != VK_SUCCESS) return false;
    VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 4 * OP_PARAM_WORDS};
    VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                       .setLayoutCount = 1,
                                       .pSetLayouts = set,
                                       .pushConstantRangeCount = 1,
                                       .pPushConstantRanges = &push};
    return vkCreatePipelineLayout(g->device, &info, NULL, layout) == VK_SUCCESS;
}

static VkPipeline compile(const gpu *g, const shader_variant *v, VkPipelineLayout layout) {
    LOAD(g, vkCreateShaderModule);
    LOAD(g, vkDestroyShaderModule);
    LOAD(g, vkCreateComputePipelines);
    VkShaderModule module;
    VkPipeline pipeline = VK_NULL_HANDLE;
    uint32_t *code = malloc(v->code_bytes);
    if (!code || !shader_unpack(v, code)) {
        free(code);
        return VK_NULL_HANDLE;
    }
    VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = v->code_bytes, .pCode = code};
    VkResult result = vkCreateShaderModule(g->device, &module_info, NULL, &module);
    free(code);
    if (result != VK_SUCCESS) return VK_NULL_HANDLE;
    uint32_t weight = v->weight < 0 ? 0 : (uint32_t)v->weight;
    VkSpecializationMapEntry entry = {.constantID = 0, .offset = 0, .size = sizeof weight};
    VkSpecializationInfo special = {1, &entry, sizeof weight, &weight};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR,
        .layout = layout,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &special}};
    if (vkCreateComputePipelines(g->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline) != VK_SUCCESS)
        pipeline = VK_NULL_HANDLE;
    vkDestroyShaderModule(g->device, module, NULL);
    return pipeline;
}

static bool ask(const gpu *g, VkPipeline pipeline, statistics *out) {
    LOAD(g, vkGetPipelineExecutableStatisticsKHR);
    VkPipelineExecutableInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                        .pipeline = pipeline};
    VkPipelineExecutableStatisticKHR found[STATISTICS];
    for (uint32_t i = 0; i < STATISTICS; i++)
        found[i] =
            (VkPipelineExecutableStatisticKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    uint32_t count = STATISTICS;
    if (vkGetPipelineExecutableStatisticsKHR(g->device, &info, &count, found) < 0) return false;
    *out = (statistics){0};
    bool spills_known = false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = found[i].value.u64;
        if (strcmp(found[i].name, "VGPRs") == 0) out->vgprs = value;
        if (strcmp(found[i].name, "SGPRs") == 0) out->sgprs = value;
        if (strcmp(found[i].name, "LDS size") == 0) out->lds = value;
        if (strcmp(found[i].name, "Code size") == 0) out->code = value;
        if (strcmp(found[i].name, "Scratch size") == 0) out->scratch = value;
        if (strcmp(found[i].name, "Subgroups per SIMD") == 0) out->occupancy = value;
        if (strncmp(found[i].name, "Spilled", 7) == 0) {
            out->spilled += value;
            spills_known = true;
        }
    }
    return spills_known;
}

static bool can_run(const gpu *g, const shader_variant *v) {
    if ((v->needs & SHADER_NEEDS_STORAGE16) && !g->storage16) return false;
    if ((v->needs & SHADER_NEEDS_F16) && !g->f16) return false;
    return !(v->needs & SHADER_NEEDS_SUBGROUP) || g->ballot;
}

/* All variants on the GPU that the environment names. */
static int run_child(const char *family) {
    gpu g = {0};
    if (!open_instance(&g)) return SKIPPED;
    if (!open_device(&g)) {
        printf("%s: no device with statistics\n", family);
        return SKIPPED;
    }
    LOAD(&g, vkDestroyPipeline);
    int failures = 0;
    uint32_t compiled = 0;
    printf("\n%s\n%-36s %6s %6s %7s %7s %8s %7s %9s\n", family, "variant", "VGPRs", "SGPRs", "spills",
           "scratch", "LDS", "code", "waves");
    for (uint32_t i = 0; i < shader_variant_count; i++) {
        const shader_variant *v = &shader_variants[i];
        VkDescriptorSetLayout set;
        VkPipelineLayout layout;
        statistics s;
        if (!can_run(&g, v)) continue;
        if (!make_layout(&g, op_get((op)v->op)->binding_count, &set, &layout)) return 1;
        VkPipeline pipeline = compile(&g, v, layout);
        if (!pipeline || !ask(&g, pipeline, &s)) {
            printf("%-36s FAILED\n", v->name);
            failures++;
            continue;
        }
        bool bad = s.spilled || s.scratch;
        printf("%-36s %6llu %6llu %7llu %7llu %8llu %7llu %9llu%s\n", v->name, (unsigned long long)s.vgprs,
               (unsigned long long)s.sgprs, (unsigned long long)s.spilled, (unsigned long long)s.scratch,
               (unsigned long long)s.lds, (unsigned long long)s.code, (unsigned long long)s.occupancy,
               bad ? "  FAILED" : "");
        failures += bad;
        compiled++;
        vkDestroyPipeline(g.device, pipeline, NULL);
    }
    printf("%s: %u variants, %d failures\n", family, compiled, failures);
    fflush(stdout);
    return failures || compiled == 0;
}

static int start_child(const char *program, const char *family, const char *driver) {
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
        setenv("RADV_FORCE_FAMILY", family, 1);
        setenv("VK_DRIVER_FILES", driver, 1);
        setenv("VK_ICD_FILENAMES", driver, 1);
        execl(program, program, family, (char *)NULL);
        _exit(1);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 1;
    return WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    static const char *const families[] = {"polaris10", "vega10", "navi21", "gfx1100"};
    const char *driver = "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json";
    if (argc == 2) return run_child(argv[1]);
    if (access(driver, R_OK) != 0) {
        printf("skipped: no RADV here (%s)\n", driver);
        return SKIPPED;
    }
    int result = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        int status = start_child(argv[0], families[i], driver);
        if (status == SKIPPED) printf("skipped: RADV's null hardware does not offer %s\n", families[i]);
        if (result != 1) result = status == 0 ? result : status == SKIPPED ? SKIPPED : 1;
    }
    return result;
}
