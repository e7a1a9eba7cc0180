/* Compiling a model into one file. */
#include "api/api.h"
#include "pipeline/packed.h"

mzt_status mzt_model_compile(mzt_model *opened, const mzt_device *device, const mzt_pipeline_params *pipeline,
                             const char *path, mzt_error *error) {
    mzt_pipeline_params own = {.struct_size = sizeof own};
    const executor_limits any = {.spec = "any", .max_range = 128u << 20, .f16 = true, .bf16 = true};
    const executor_limits *limits = device ? &device->e->limits : &any;
    part_spec parts[PART_KIND_COUNT];
    precision wanted;
    uint32_t count;
    if (!opened || !path) return api_missing(error, opened ? "path" : "model");
    if (pipeline) TRY(api_take("mzt_pipeline_params", pipeline, &own, sizeof own, error));
    TRY(api_precision(own.precision, &wanted, error));
    generator owner = generator_make(opened->m, NULL, wanted);
    TRY(api_list_parts(&owner, &opened->host, own.shape, parts, &count, error));
    return packed_write(opened->m, limits, wanted, parts, count, path, error);
}
