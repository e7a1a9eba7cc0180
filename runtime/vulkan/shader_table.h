/* The table of compiled shaders: generated at build time from shaders/variants.txt, one row per variant. */
#ifndef VULKAN_SHADER_TABLE_H
#define VULKAN_SHADER_TABLE_H

#include "plan/plan.h"

/* What a variant needs of a device (bits of `needs`). */
#define SHADER_NEEDS_STORAGE16 1u /* storageBuffer16BitAccess: tier 1 */
#define SHADER_NEEDS_F16       2u /* shaderFloat16: tier 2 */
#define SHADER_NEEDS_SUBGROUP  4u /* subgroup arithmetic in compute: tier 2 */
#define SHADER_NEEDS_SHARED32K 8u /* 32 KiB of shared memory; without this bit 16 KiB suffice */

/* What a variant needs of a dispatch (bits of `shape`). */
#define SHADER_SHAPE_VEC4 1u /* every channel count, stride, offset and base is a multiple of 4 */

/* The kind of device a variant was written for; any device that meets `needs` can run it. */
typedef enum shader_class { SHADER_CLASS_ANY = 0, SHADER_CLASS_GPU = 1, SHADER_CLASS_CPU = 2 } shader_class;

typedef struct shader_variant {
    const char *name; /* "conv2d_f16_wf16_t64" */
    uint32_t op;
    int32_t activation; /* dtype it is built for; -1 when it does not matter. For `unary`: the input type */
    int32_t weight;     /* dtype; -1 when it does not matter. For `unary`: the output type. Rows that differ in it alone
                         * share their code: it goes in as specialization constant 0 */
    uint32_t needs, shape;
    shader_class class_;
    uint32_t local_size;      /* invocations of a workgroup, all in x */
    uint32_t tile_m, tile_n;  /* what one workgroup computes, in the op's own terms */
    const uint8_t *packed;   /* SPIR-V, each word as LEB128: half the size; see shader_unpack */
    uint32_t packed_bytes;
    uint32_t code_bytes; /* of the SPIR-V itself */
} shader_variant;

extern const shader_variant shader_variants[];
extern const uint32_t shader_variant_count;

/* Writes a variant's SPIR-V to `code`, which holds code_bytes. False when the packed bytes do not give exactly that many. */
bool shader_unpack(const shader_variant *variant, uint32_t *code);

/* What is known of a device when choosing. */
typedef struct shader_device {
    bool storage16, f16, subgroup_arithmetic;
    uint32_t subgroup_size, shared_bytes, max_invocations, max_groups_x;
    bool is_cpu; /* VK_PHYSICAL_DEVICE_TYPE_CPU */
    uint32_t vendor;
} shader_device;

/* The best variant for a dispatch and the number of workgroups it takes (all in x; a shader finds its tile from
 * gl_WorkGroupID.x + p.first). UNSUPPORTED names op, types and device limit. */
mzt_status shader_select(const shader_device *device, const plan *p, const plan_dispatch *dispatch,
                         const shader_variant **variant, uint32_t *groups, mzt_error *error);

#endif
