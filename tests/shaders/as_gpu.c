/* Linked over shader_select (the linker's --wrap) in test-shaders-ops: tells it that the device is a GPU, so that the variants
 * written for GPUs run on the software devices that every machine has. */
#include "vulkan/shader_table.h"

mzt_status __real_shader_select(const shader_device *device, const plan *p, const plan_dispatch *dispatch,
                                const shader_variant **variant, uint32_t *groups, mzt_error *error);
mzt_status __wrap_shader_select(const shader_device *device, const plan *p, const plan_dispatch *dispatch,
                                const shader_variant **variant, uint32_t *groups, mzt_error *error);

mzt_status __wrap_shader_select(const shader_device *device, const plan *p, const plan_dispatch *dispatch,
                                const shader_variant **variant, uint32_t *groups, mzt_error *error) {
    shader_device gpu = *device;
    gpu.is_cpu = false;
    return __real_shader_select(&gpu, p, dispatch, variant, groups, error);
}
