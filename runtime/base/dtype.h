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
    DTYPE_COUNT
} dtype;

/* Bytes of one element. */
size_t dtype_size(dtype type);

/* "f32", "f16", "bf16", "u32". */
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

/* Element `index` of an array of a floating type, as double; and the rounded store. */
double dtype_load(dtype type, const void *array, size_t index);
void dtype_store(dtype type, void *array, size_t index, double value);

/* Converts `count` elements between floating types (same type: a copy). The arrays must not overlap. */
void dtype_convert(dtype to, void *out, dtype from, const void *in, size_t count);

#endif
