/* Tensors into the blocks that devices compute from (base/block.h); see tensor.h. */
#include <string.h>

#include "base/block.h"
#include "weights/blocks.h"

/* A block whose element i is scale * q[i] + shift, as the device has it. */
static void put_block(dtype to, uint16_t scale, uint16_t shift, const int8_t q[32], uint8_t *out) {
    const uint16_t head[2] = {scale, shift};
    for (uint32_t i = 0; i < 4; i++)
        out[i] = (uint8_t)(head[i / 2] >> i % 2 * 8);
    if (to == DTYPE_Q8)
        memcpy(out + BLOCK_HEAD_BYTES, q, 32);
    else
        for (uint32_t i = 0; i < 16; i++)
            out[BLOCK_HEAD_BYTES + i] = (uint8_t)(q[i] | q[i + 16] << 4);
}

static uint16_t half_at(const uint8_t *from) {
    return (uint16_t)(from[0] | from[1] << 8);
}

static bool is_finite(uint16_t half) {
    return (half & 0x7c00u) != 0x7c00u;
}

/* One block of 32 of a type whose elements are scale * q + shift with halves for both. False where `to`
 * cannot say the same: too many bits, or a shift beyond f16. */
static bool translate_block(weights_dtype from_type, const uint8_t *from, dtype to, uint8_t *out) {
    uint16_t scale = half_at(from), shift = BLOCK_NO_SHIFT;
    int8_t q[32];
    int below = 0; /* what q lacks to be the element: it goes into q, or into the shift */
    for (uint32_t i = 0; i < 32; i++) {
        switch (from_type) {
        case WEIGHTS_Q4_0:
        case WEIGHTS_Q4_1:
            q[i] = (int8_t)(from[(from_type == WEIGHTS_Q4_1 ? 4 : 2) + i % 16] >> i / 16 * 4 & 15);
            break;
        case WEIGHTS_Q5_0:
        case WEIGHTS_Q5_1:
            q[i] = (int8_t)(from_type == WEIGHTS_Q5_1 ? blocks_five(from + 4, from + 8, i)
                                                      : blocks_five(from + 2, from + 6, i));
            break;
        default: /* Q8_0 */
            q[i] = (int8_t)from[2 + i];
            break;
        }
    }
    if (from_type == WEIGHTS_Q4_1 || from_type == WEIGHTS_Q5_1) shift = half_at(from + 2);
    if (from_type == WEIGHTS_Q4_0) below = 8;
    if (from_type == WEIGHTS_Q5_0) below = 16;
    if (to == DTYPE_Q4 && from_type != WEIGHTS_Q4_0 && from_type != WEIGHTS_Q4_1) return false;
    if (to == DTYPE_Q4 && below) {
        shift = f16_from_f32(-8 * f32_from_f16(scale));
        if (is_finite(scale) && !is_finite(shift)) return false;
    } else {
        for (uint32_t i = 0; i < 32; i++)
            q[i] = (int8_t)(q[i] - below);
    }
    put_block(to, scale, shift, q, out);
    return true;
}

/* Q4_K, Q5_K: eight blocks, scales and minima rounded to f16, the bits of the elements as they are. */
static bool translate_parts(weights_dtype type, const uint8_t *from, dtype to, uint8_t *out) {
    if (to == DTYPE_Q4 && type == WEIGHTS_Q5_K) return false;
    for (uint32_t part = 0; part < 8; part++, out += dtype_size(to)) {
        float scale, minimum;
        uint8_t q[32];
        int8_t narrow[32];
        blocks_part(type, from, part, &scale, &minimum, q);
        memcpy(narrow, q, sizeof narrow);
        put_block(to, f16_from_f32(scale), f16_from_f32(-minimum), narrow, out);
    }
    return true;
}

/* One block of the file's, 32 or 256 elements. */
static void convert_block(weights_dtype type, const uint8_t *from, dtype to, uint8_t *out) {
    float values[256];
    bool done = false;
    if (type == WEIGHTS_Q4_K || type == WEIGHTS_Q5_K)
        done = translate_parts(type, from, to, out);
    else if (type != WEIGHTS_Q6_K)
        done = translate_block(type, from, to, out);
    if (done) return;
    weights_decode_blocks(type, from, 1, values);
    block_store(to, out, values, weights_dtype_block(type));
}

dtype weights_natural_type(weights_dtype type) {
    switch (type) {
    case WEIGHTS_Q4_0:
    case WEIGHTS_Q4_1:
    case WEIGHTS_Q4_K:
        return DTYPE_Q4;
    case WEIGHTS_Q5_0:
    case WEIGHTS_Q5_1:
    case WEIGHTS_Q5_K:
    case WEIGHTS_Q6_K:
    case WEIGHTS_Q8_0:
        return DTYPE_Q8;
    case WEIGHTS_F16:
        return DTYPE_F16;
    case WEIGHTS_BF16:
        return DTYPE_BF16;
    default:
        return DTYPE_F32;
    }
}

bool weights_translate(const weights_tensor *tensor, uint64_t first, uint64_t count, dtype to, void *out) {
    const uint64_t block = weights_dtype_block(tensor->dtype), size = weights_dtype_size(tensor->dtype);
    const bool plain = !tensor->transposed && tensor->scale == 0.0f && !tensor->overlay;
    if (!plain || block == 1 || dtype_block(to) == 1 || first % block || count % block) return false;
    const uint8_t *from = tensor->data + first / block * size;
    uint8_t *target = out;
    for (uint64_t i = 0; i < count; i += block, from += size, target += dtype_bytes(to, block))
        convert_block(tensor->dtype, from, to, target);
    return true;
}
