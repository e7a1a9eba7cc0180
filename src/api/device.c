/* Devices. */
#include <stdio.h>

#include "api/api.h"

static mzt_device_info describe(const executor_limits *l) {
    mzt_device_info info = {.struct_size = sizeof info,
                            .tier = l->tier,
                            .is_gpu = l->is_gpu,
                            .is_discrete = l->is_discrete,
                            .f16 = l->f16,
                            .bf16 = l->bf16,
                            .max_binding = l->max_range,
                            .max_allocation = l->max_allocation,
                            .memory = l->memory};
    snprintf(info.name, sizeof info.name, "%s", l->name);
    snprintf(info.spec, sizeof info.spec, "%s", l->spec);
    snprintf(info.driver, sizeof info.driver, "%s", l->driver);
    static const char *const reasons[] = {
        "storageBuffer16BitAccess is missing, or was not enabled",
        "shaderFloat16 and subgroup arithmetic are missing, or were not enabled"};
    if (l->driver[0] && l->tier < sizeof reasons / sizeof *reasons)
        snprintf(info.tier_reason, sizeof info.tier_reason, "%s", reasons[l->tier]);
    return info;
}

mzt_status mzt_device_list(mzt_context *context, mzt_device_info *list, uint32_t capacity, uint32_t *count,
                           mzt_error *error) {
    if (!context || !count || (capacity && !list))
        return api_missing(error, !context ? "context" : !count ? "count" : "list");
    *count = 0;
    executor_limits *found = host_calloc(&context->host, capacity, sizeof *found);
    if (!found) return error_memory(error, "device list", (uint64_t)capacity * sizeof *found);
    uint32_t all = 0;
    mzt_status status = device_list(&context->host, found, capacity, &all, error);
    for (uint32_t i = 0; status >= 0 && i < all && i < capacity; i++) {
        const mzt_device_info info = describe(&found[i]);
        mzt_device_info *to = (mzt_device_info *)api_element(list, i);
        if (i) to->struct_size = list->struct_size;
        status = api_give("mzt_device_info", &info, sizeof info, to, error);
    }
    host_free(&context->host, found);
    if (status >= 0) *count = all;
    return status;
}

mzt_status api_device_make(mzt_context *context, executor *e, bool imported, mzt_device **out,
                           mzt_error *error) {
    mzt_device *d = host_calloc(&context->host, 1, sizeof *d);
    lock *l = lock_create(&context->host);
    if (!d || !l) {
        host_free(&context->host, d);
        lock_destroy(&context->host, l);
        executor_destroy(e);
        return error_memory(error, "device", sizeof *d);
    }
    *d = (mzt_device){.host = &context->host, .e = e, .lock = l, .imported = imported};
    *out = d;
    return MZT_OK;
}

mzt_status mzt_device_open(mzt_context *context, const char *spec, mzt_device **device, mzt_error *error) {
    executor *e;
    if (device) *device = NULL;
    if (!context || !device) return api_missing(error, context ? "device" : "context");
    TRY(device_open(&context->host, spec ? spec : "auto", &e, error));
    return api_device_make(context, e, false, device, error);
}

mzt_status mzt_device_open_cpu(mzt_context *context, uint32_t threads, mzt_device **device,
                               mzt_error *error) {
    executor *e;
    if (device) *device = NULL;
    if (!context || !device) return api_missing(error, context ? "device" : "context");
    if (threads > 1024) return error_set(error, MZT_ERROR_INVALID, "%u threads: at most 1024", threads);
    TRY(cpu_create(&context->host, threads, &e, error));
    return api_device_make(context, e, false, device, error);
}

void mzt_device_destroy(mzt_device *device) {
    if (!device) return;
    executor_destroy(device->e);
    lock_destroy(device->host, device->lock);
    host_free(device->host, device);
}

mzt_status mzt_device_get_info(const mzt_device *device, mzt_device_info *info, mzt_error *error) {
    if (!device) return api_missing(error, "device");
    const mzt_device_info own = describe(&device->e->limits);
    return api_give("mzt_device_info", &own, sizeof own, info, error);
}

void api_account(mzt_pipeline *pipeline) {
    mzt_device *d = pipeline->device;
    const uint64_t held = generator_memory(&pipeline->generator);
    d->used += held - pipeline->held; /* wraps and comes back */
    pipeline->held = held;
    if (d->used > d->peak) d->peak = d->used;
}

mzt_status mzt_device_memory(const mzt_device *device, mzt_memory_info *info, mzt_error *error) {
    if (!device) return api_missing(error, "device");
    lock_take(device->lock);
    const mzt_memory_info own = {.struct_size = sizeof own,
                                 .used = device->used,
                                 .peak = device->peak,
                                 .budget = device->e->limits.memory};
    lock_give(device->lock);
    return api_give("mzt_memory_info", &own, sizeof own, info, error);
}
