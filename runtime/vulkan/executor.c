/* The executor's function table, and opening and listing devices; see vulkan_executor.h. */
#include "vulkan/vulkan_executor.h"

#include <math.h>
#include <string.h>

#include "vulkan/picture.h"
#include "vulkan/run.h"

static vulkan_executor *from_executor(executor *e) {
    return (vulkan_executor *)(void *)e;
}

static vulkan_program *from_program(program *g) {
    return (vulkan_program *)(void *)g;
}

/* -- the function table -- */

static void do_destroy(executor *e) {
    vulkan_executor *owner = from_executor(e);
    const base_host *host = e->host;
    vulkan_device *device = owner->device;
    if (device) {
        vulkan_pictures_destroy(owner);
        vulkan_transfer_destroy(&owner->transfer);
        if (owner->pipelines.device) vulkan_cache_save(device, &owner->pipelines.cache);
        vulkan_pipelines_destroy(&owner->pipelines);
        if (owner->timestamps) device->vk.DestroyQueryPool(device->handle, owner->timestamps, NULL);
        vulkan_buffer_destroy(device, &owner->dummy);
        vulkan_device_destroy(device);
    }
    host_free(host, owner);
}

static mzt_status do_prepare(executor *e, const plan *p, program **out, mzt_error *error) {
    vulkan_program *g;
    TRY(vulkan_program_create(from_executor(e), p, &g, error));
    *out = &g->base;
    return MZT_OK;
}

static mzt_status do_build(program *base, double deadline, uint32_t *dispatches, mzt_error *error) {
    vulkan_program *g = from_program(base);
    mzt_status status = vulkan_program_build(g, deadline, error);
    *dispatches = g->built;
    return status;
}

static void do_release(program *g) {
    vulkan_program_destroy(from_program(g));
}

static mzt_status do_write_some(program *base, uint32_t buffer, uint64_t offset, const void *data,
                                uint64_t size, double deadline, uint64_t *written, mzt_error *error) {
    vulkan_program *g = from_program(base);
    if (g->sealed && base->plan->buffers[buffer].kind == PLAN_WEIGHT) {
        char name[96];
        return error_set(
            error, MZT_ERROR_INVALID, "weight %s: written after the program was sealed",
            error_text(name, sizeof name, plan_string(base->plan, base->plan->buffers[buffer].name)));
    }
    return vulkan_program_write(g, buffer, offset, data, size, deadline, written, error);
}

static mzt_status do_write(program *base, uint32_t buffer, uint64_t offset, const void *data, uint64_t size,
                           mzt_error *error) {
    uint64_t written;
    return do_write_some(base, buffer, offset, data, size, INFINITY, &written, error);
}

static mzt_status do_read(program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size,
                          mzt_error *error) {
    return vulkan_program_read(from_program(g), buffer, offset, data, size, error);
}

static mzt_status do_seal(program *base, double deadline, mzt_error *error) {
    vulkan_program *g = from_program(base);
    TRY(vulkan_device_alive(vulkan_executor_of(g)->device, error));
    mzt_status status = vulkan_transfer_wait(&vulkan_executor_of(g)->transfer,
                                             deadline < INFINITY ? -INFINITY : INFINITY, error);
    if (status == MZT_OK) g->sealed = true;
    return status;
}

static mzt_status check_sealed(const vulkan_program *g, mzt_error *error) {
    TRY(vulkan_device_alive(vulkan_executor_of(g)->device, error));
    if (g->sealed) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "program run before it was sealed");
}

static mzt_status do_run(program *base, uint32_t first, uint32_t count, const run_control *control,
                         mzt_error *error) {
    static const run_control once = {.repeat = 1};
    vulkan_program *g = from_program(base);
    TRY(check_sealed(g, error));
    return vulkan_run_whole(g, first, count, control ? control : &once, error);
}

static mzt_status do_begin(program *base, uint32_t first, uint32_t count, uint32_t repeat, mzt_error *error) {
    vulkan_program *g = from_program(base);
    TRY(check_sealed(g, error));
    return vulkan_run_begin(g, first, count, repeat, error);
}

static mzt_status do_advance(program *g, uint64_t budget_us, run_progress *progress, mzt_error *error) {
    return vulkan_run_advance(from_program(g), budget_us, progress, error);
}

static mzt_status do_wait(program *g, double deadline, mzt_error *error) {
    return vulkan_run_wait(from_program(g), deadline, error);
}

static void do_cancel(program *g) {
    vulkan_run_cancel(from_program(g));
}

static uint64_t do_memory(const program *g) {
    return ((const vulkan_program *)(const void *)g)->bytes;
}

static const executor_functions functions = {
    .destroy = do_destroy,
    .prepare = do_prepare,
    .build = do_build,
    .release = do_release,
    .write = do_write,
    .write_some = do_write_some,
    .read = do_read,
    .seal = do_seal,
    .run = do_run,
    .begin = do_begin,
    .advance = do_advance,
    .wait = do_wait,
    .cancel = do_cancel,
    .memory = do_memory,
};

/* -- opening and listing -- */

vulkan_options vulkan_options_default(void) {
    return (vulkan_options){
        .max_tier = VULKAN_TIER_MAX,
        .segment_seconds = 0.05,

        .staging_bytes = (uint64_t)32 << 20,
    };
}

/* What every executor has besides its device. */
static mzt_status create_objects(vulkan_executor *owner, const vulkan_options *options, mzt_error *error) {
    vulkan_device *device = owner->device;
    vulkan_transfer_init(&owner->transfer, device);
    TRY(vulkan_pipelines_create(device, options->cache_directory, &owner->pipelines, error));
    TRY(vulkan_buffer_create(device, VULKAN_MEMORY_DEVICE, PLAN_ALIGNMENT, "dummy binding", &owner->dummy,
                             error));
    if (device->physical.timestamp_bits == 0 || options->no_timestamps) return MZT_OK;
    VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = RECORDING_QUERIES,
    };
    VkResult result = device->vk.CreateQueryPool(device->handle, &info, NULL, &owner->timestamps);
    return vulkan_device_check(device, result, "vkCreateQueryPool", error);
}

mzt_status vulkan_list(const base_host *host, executor_limits *list, uint32_t capacity, uint32_t *count,
                       mzt_error *error) {
    vulkan_options options = vulkan_options_default();
    vulkan_instance *instance;
    vulkan_physical *physical;
    mzt_error reason;
    *count = 0;
    mzt_status status = vulkan_instance_create(host, false, &instance, &reason);
    if (status == MZT_ERROR_OUT_OF_MEMORY) return error_set(error, status, "%s", reason.message);
    if (status < 0) { /* a machine without Vulkan is a machine like any other */
        host_log(host, MZT_LOG_INFO, "no Vulkan devices: %s", reason.message);
        return MZT_OK;
    }
    status = vulkan_physical_list(instance, &options, &physical, count, error);
    for (uint32_t i = 0; status == MZT_OK && i < *count && i < capacity; i++)
        list[i] = physical[i].limits;
    if (status == MZT_OK) host_free(host, physical);
    vulkan_instance_destroy(instance);
    return status;
}

/* Makes instance and device of the executor. */
static mzt_status open_device(vulkan_executor *owner, const vulkan_options *options, uint32_t index,
                              mzt_error *error) {
    const base_host *host = owner->base.host;
    vulkan_instance *instance;
    vulkan_physical *physical;
    uint32_t count;
    TRY(vulkan_instance_create(host, options->validation, &instance, error));
    mzt_status status = vulkan_physical_list(instance, options, &physical, &count, error);
    if (status < 0) {
        vulkan_instance_destroy(instance);
        return status;
    }
    if (index < count) {
        status = vulkan_device_create(instance, options, &physical[index], &owner->device, error);
    } else {
        status =
            error_set(error, MZT_ERROR_NOT_FOUND, "vulkan:%u: there are %u Vulkan devices", index, count);
        vulkan_instance_destroy(instance);
    }
    host_free(host, physical);
    return status;
}

static mzt_status check_import(const vulkan_import *import, mzt_error *error) {
    const char *missing = !import->get_instance_proc_addr    ? "get_instance_proc_addr"
                          : !import->instance                ? "instance"
                          : !import->physical_device         ? "physical_device"
                          : !import->device                  ? "device"
                          : !import->queue                   ? "queue"
                          : !import->lock != !import->unlock ? "one of lock and unlock"
                                                             : NULL;
    if (missing) return error_set(error, MZT_ERROR_INVALID, "imported Vulkan device: %s is missing", missing);
    if (import->api_version >= VULKAN_NEEDED_VERSION) return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "imported Vulkan device: its instance was made for Vulkan %u.%u, 1.2 is needed",
                     VK_API_VERSION_MAJOR(import->api_version), VK_API_VERSION_MINOR(import->api_version));
}

/* The device of the host. */
static mzt_status import_device(vulkan_executor *owner, const vulkan_options *options,
                                const vulkan_import *import, mzt_error *error) {
    vulkan_instance *instance;
    vulkan_physical physical;
    TRY(check_import(import, error));
    TRY(vulkan_instance_attach(owner->base.host, import->get_instance_proc_addr, import->instance, &instance,
                               error));
    mzt_status status = vulkan_physical_import(instance, options, import, &physical, error);
    if (status == MZT_OK)
        return vulkan_device_import(instance, options, &physical, import, &owner->device, error);
    vulkan_instance_destroy(instance);
    return status;
}

/* An executor on device `index`, or, if not NULL, on the host's. */
static mzt_status create(const base_host *host, const vulkan_options *options, uint32_t index,
                         const vulkan_import *import, executor **out, mzt_error *error) {
    vulkan_options defaults = vulkan_options_default();
    *out = NULL;
    if (!options) options = &defaults;
    if (options->staging_bytes < 2048 || !(options->segment_seconds > 0)) {
        return error_set(error, MZT_ERROR_INVALID,
                         "Vulkan options: staging_bytes %llu (at least 2048), segment_seconds %g (above 0)",
                         (unsigned long long)options->staging_bytes, options->segment_seconds);
    }
    vulkan_executor *owner = host_calloc(host, 1, sizeof *owner);
    if (!owner) return error_memory(error, "Vulkan executor", sizeof *owner);
    owner->base.functions = &functions;
    owner->base.host = host;
    owner->slowness = 1;
    mzt_status status =
        import ? import_device(owner, options, import, error) : open_device(owner, options, index, error);
    if (status == MZT_OK) status = create_objects(owner, options, error);
    if (status < 0) {
        do_destroy(&owner->base);
        return status;
    }
    owner->base.limits = owner->device->physical.limits;
    *out = &owner->base;
    return MZT_OK;
}

mzt_status vulkan_open(const base_host *host, const vulkan_options *options, uint32_t index, executor **out,
                       mzt_error *error) {
    return create(host, options, index, NULL, out, error);
}

mzt_status vulkan_executor_import(const base_host *host, const vulkan_options *options,
                                  const vulkan_import *import, executor **out, mzt_error *error) {
    return create(host, options, 0, import, out, error);
}

static const vulkan_device *device_of(const executor *e) {
    return ((const vulkan_executor *)(const void *)e)->device;
}

uint32_t vulkan_validation_count(const executor *e) {
    return atomic_load(&device_of(e)->instance->validation_count);
}

uint64_t vulkan_submission_count(const executor *e) {
    return device_of(e)->submissions;
}

void vulkan_memory_totals(const executor *e, uint64_t *used, uint64_t *peak) {
    if (used) *used = device_of(e)->used;
    if (peak) *peak = device_of(e)->peak;
}
