/* mezzotint devices: what can run a plan here. */
#include <stdio.h>

#include "command.h"
#include "json/json_write.h"

enum { MAX_DEVICES = 64 };

static void print_table(const mzt_device_info *list, uint32_t count) {
    printf("%-15s %-4s %-12s %-11s %s\n", "device", "tier", "storage", "memory", "name");
    for (uint32_t i = 0; i < count; i++) {
        const mzt_device_info *l = &list[i];
        char memory[32] = "-", tier[8] = "-";
        if (l->memory) snprintf(memory, sizeof memory, "%.1f GiB", (double)l->memory / (1 << 30));
        if (l->driver[0]) snprintf(tier, sizeof tier, "%u", l->tier);
        printf("%-15s %-4s %-12s %-11s %s%s%s%s\n", l->spec, tier, l->f16 ? l->bf16 ? "f32 f16 bf16" : "f32 f16" : "f32", memory,
               l->name, l->driver[0] ? " (" : "", l->driver, l->driver[0] ? ")" : "");
    }
}

static mzt_status print_json(const base_host *host, const mzt_device_info *list, uint32_t count, mzt_error *error) {
    json_writer w = json_writer_make(host);
    json_write_array(&w, NULL);
    for (uint32_t i = 0; i < count; i++) {
        const mzt_device_info *l = &list[i];
        json_write_object(&w, NULL);
        json_write_string(&w, "device", l->spec);
        json_write_string(&w, "name", l->name);
        json_write_string(&w, "driver", l->driver);
        json_write_uint(&w, "tier", l->tier);
        json_write_bool(&w, "gpu", l->is_gpu);
        json_write_bool(&w, "f16", l->f16);
        json_write_bool(&w, "bf16", l->bf16);
        json_write_uint(&w, "max_binding_bytes", l->max_binding);
        json_write_uint(&w, "max_allocation_bytes", l->max_allocation);
        json_write_uint(&w, "memory_bytes", l->memory);
        json_write_end_object(&w);
    }
    json_write_end_array(&w);
    char *text;
    TRY(json_writer_finish(&w, &text, NULL, error));
    puts(text);
    host_free(host, text);
    return MZT_OK;
}

mzt_status command_devices(command_context *context, int argc, char **argv, mzt_error *error) {
    bool json = false;
    const option options[] = {
        {0, "json", NULL, "print a JSON array", OPTION_FLAG, &json, 0, 0, NULL},
    };
    const option_set set = {"devices", "", "Lists every device that can run a model here, by the name that --device takes.",
                            NULL, options, 1, 0, 0};
    uint32_t operand_count;
    mzt_status status = options_parse(&set, argc, argv, NULL, &operand_count, error);
    if (status != MZT_OK) return status;
    mzt_device_info list[MAX_DEVICES] = {{.struct_size = sizeof *list}};
    mzt_hooks hooks = context->host.hooks;
    mzt_context *opened;
    uint32_t count;
    hooks.struct_size = sizeof hooks;
    TRY(mzt_context_create(&hooks, &opened, error));
    status = mzt_device_list(opened, list, MAX_DEVICES, &count, error);
    mzt_context_destroy(opened);
    if (count > MAX_DEVICES) count = MAX_DEVICES;
    if (status >= 0 && json) return print_json(&context->host, list, count, error);
    if (status >= 0) print_table(list, count);
    return status;
}
