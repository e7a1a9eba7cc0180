/* Element types and conversions between them. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum dtype {
    DTYPE_F32 = 0,
    DTYPE_F16 = 1,
    DTYPE_BF16 = 2,
    DTYPE_U32 = 3, /* token ids, row indices, the step counter */
    DTYPE_Q8 = 4,  /* matrices in blocks of 32 elements; see block.h */
    DTYPE_Q4 = 5,
    DTYPE_COUNT
} dtype;

/* Bytes of one element; of one block for the types that come in blocks. */
size_t dtype_size(dtype type);

/* Elements that belong together: 32 for blocks, else 1. Arrays hold a multiple of it. */
static inline uint32_t dtype_block(dtype type) {
    return type == DTYPE_Q8 || type == DTYPE_Q4 ? 32 : 1;
}

/* Bytes of `count` elements, rounded up to whole blocks; UINT64_MAX where that overflows. And how many
 * elements so many bytes hold. */
uint64_t dtype_bytes(dtype type, uint64_t count);
static inline uint64_t dtype_elements(dtype type, uint64_t bytes) {
    return bytes / dtype_size(type) * dtype_block(type);
}

/* "f32", "f16", "bf16", "u32", "q8", "q4". */
const char *dtype_name(dtype type);

/* IEEE 754 binary16, round to nearest even; overflow gives infinity, as the hardware does. */
uint16_t f16_from_f32(float value);
float f32_from_f16(uint16_t bits);

/* bfloat16, round to nearest even; NaN stays NaN. */
uint16_t bf16_from_f32(float value);

static inline float f32_from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Element `index` of an array, as double; and the rounded store, not for blocks. */
double dtype_load(dtype type, const void *array, size_t index);
void dtype_store(dtype type, void *array, size_t index, double value);

/* Converts `count` elements between floating types (same type: a copy), also from and to blocks (block.h),
 * whole ones then. The arrays must not overlap. */
void dtype_convert(dtype to, void *out, dtype from, const void *in, size_t count);

#endif
