/* Element types and conversions; see dtype.h. */
#include "base/block.h"

size_t dtype_size(dtype type) {
    switch (type) {
    case DTYPE_F16:
    case DTYPE_BF16:
        return 2;
    case DTYPE_Q8:
        return BLOCK_HEAD_BYTES + BLOCK_ELEMENTS;
    case DTYPE_Q4:
        return BLOCK_HEAD_BYTES + BLOCK_ELEMENTS / 2;
    default:
        return 4;
    }
}

uint64_t dtype_bytes(dtype type, uint64_t count) {
    uint64_t block = dtype_block(type), blocks = count / block + (count % block != 0),
             size = dtype_size(type);
    return blocks > UINT64_MAX / size ? UINT64_MAX : blocks * size;
}

const char *dtype_name(dtype type) {
    switch (type) {
    case DTYPE_F32:
        return "f32";
    case DTYPE_F16:
        return "f16";
    case DTYPE_BF16:
        return "bf16";
    case DTYPE_U32:
        return "u32";
    case DTYPE_Q8:
        return "q8";
    case DTYPE_Q4:
        return "q4";
    case DTYPE_COUNT:
        break;
    }
    return "?";
}

uint16_t f16_from_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);  /* NaN */
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and above round to infinity */
    if (magnitude < 0x38800000u) {                                   /* subnormal half: a multiple of 2^-24 */
        float absolute;
        memcpy(&absolute, &magnitude, sizeof absolute);
        float shifted =
            absolute + 0.5f; /* the last bit of 0.5f is 2^-24: the addition rounds to nearest even */
        uint32_t rounded;
        memcpy(&rounded, &shifted, sizeof rounded);
        return (uint16_t)(sign | (rounded - 0x3f000000u));
    }
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}

float f32_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 0x3ffu,
             bits;
    if (exponent == 0) {
        float value = (float)fraction * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
        bits |= sign;
    } else {
        bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t bf16_from_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

double dtype_load(dtype type, const void *array, size_t index) {
    switch (type) {
    case DTYPE_F16:
        return (double)f32_from_f16(((const uint16_t *)array)[index]);
    case DTYPE_BF16:
        return (double)f32_from_bf16(((const uint16_t *)array)[index]);
    case DTYPE_U32:
        return (double)((const uint32_t *)array)[index];
    case DTYPE_Q8:
    case DTYPE_Q4:
        return block_element(type, array, index);
    default:
        return (double)((const float *)array)[index];
    }
}

void dtype_store(dtype type, void *array, size_t index, double value) {
    switch (type) {
    case DTYPE_F16:
        ((uint16_t *)array)[index] = f16_from_f32((float)value);
        break;
    case DTYPE_BF16:
        ((uint16_t *)array)[index] = bf16_from_f32((float)value);
        break;
    case DTYPE_U32:
        ((uint32_t *)array)[index] = (uint32_t)value;
        break;
    default:
        ((float *)array)[index] = (float)value;
        break;
    }
}

/* By way of f32, some blocks at a time: one side, or both, has blocks. */
static void convert_blocks(dtype to, void *out, dtype from, const void *in, size_t count) {
    float values[16 * BLOCK_ELEMENTS];
    for (size_t first = 0; first < count;) {
        size_t some =
            count - first < sizeof values / sizeof *values ? count - first : sizeof values / sizeof *values;
        if (dtype_block(from) > 1)
            block_load(from, in, first, some, values);
        else
            dtype_convert(DTYPE_F32, values, from, (const uint8_t *)in + first * dtype_size(from), some);
        uint8_t *place = (uint8_t *)out + dtype_bytes(to, first);
        if (dtype_block(to) > 1)
            block_store(to, place, values, some);
        else
            dtype_convert(to, place, DTYPE_F32, values, some);
        first += some;
    }
}

void dtype_convert(dtype to, void *out, dtype from, const void *in, size_t count) {
    if (to == from) {
        memcpy(out, in, (size_t)dtype_bytes(to, count));
    } else if (dtype_block(to) > 1 || dtype_block(from) > 1) {
        convert_blocks(to, out, from, in, count);
    } else if (from == DTYPE_F16 && to == DTYPE_F32) {
        for (size_t i = 0; i < count; i++)
            ((float *)out)[i] = f32_from_f16(((const uint16_t *)in)[i]);
    } else if (from == DTYPE_BF16 && to == DTYPE_F32) {
        for (size_t i = 0; i < count; i++)
            ((float *)out)[i] = f32_from_bf16(((const uint16_t *)in)[i]);
    } else if (from == DTYPE_F32 && to == DTYPE_F16) {
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)out)[i] = f16_from_f32(((const float *)in)[i]);
    } else if (from == DTYPE_F32 && to == DTYPE_BF16) {
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)out)[i] = bf16_from_f32(((const float *)in)[i]);
    } else {
        for (size_t i = 0; i < count; i++)
            dtype_store(to, out, i, dtype_load(from, in, i));
    }
}
