/* Decoders of the block types of GGUF files; see tensor.h. Numbers in blocks are little endian. */
#include "weights/blocks.h"

static float load_half(const uint8_t *from) {
    return f32_from_f16((uint16_t)(from[0] | from[1] << 8));
}

/* ---------------------------------------------------------------------------------------- blocks of 32 -- */

/* d, then 16 bytes: element i in the low half of byte i, element 16 + i in the high half; d (n - 8). */
static void decode_q4_0(const uint8_t *from, float *out) {
    const float d = load_half(from);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((from[2 + i] & 15) - 8);
        out[16 + i] = d * (float)((from[2 + i] >> 4) - 8);
    }
}

/* d, m, then the same bytes; d n + m. */
static void decode_q4_1(const uint8_t *from, float *out) {
    const float d = load_half(from), m = load_half(from + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(from[4 + i] & 15) + m;
        out[16 + i] = d * (float)(from[4 + i] >> 4) + m;
    }
}

uint32_t blocks_five(const uint8_t *high, const uint8_t *low, uint32_t i) {
    uint32_t fifth = high[i / 8] >> i % 8 & 1;
    return (low[i % 16] >> i / 16 * 4 & 15u) | fifth << 4;
}

/* d, 4 bytes with the fifth bits in the order of elements, then 16 bytes as in Q4_0; d (n - 16). */
static void decode_q5_0(const uint8_t *from, float *out) {
    const float d = load_half(from);
    for (uint32_t i = 0; i < 32; i++)
        out[i] = d * (float)((int)blocks_five(from + 2, from + 6, i) - 16);
}

/* d, m, then the same; d n + m. */
static void decode_q5_1(const uint8_t *from, float *out) {
    const float d = load_half(from), m = load_half(from + 2);
    for (uint32_t i = 0; i < 32; i++)
        out[i] = d * (float)blocks_five(from + 4, from + 8, i) + m;
}

/* d, then 32 signed bytes; d n. */
static void decode_q8_0(const uint8_t *from, float *out) {
    const float d = load_half(from);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)((from[2 + i] ^ 128) - 128);
}

/* --------------------------------------------------------------------------------------- blocks of 256 -- */

/* Eight scales and eight minima of 6 bits in 12 bytes: of the first four each the lower 6 bits of bytes 0-3
 * and 4-7; of the others the lower 4 bits side by side in bytes 8-11, and the upper 2 on top of those bytes.
 */
void blocks_six(const uint8_t packed[12], uint32_t i, uint32_t *scale, uint32_t *minimum) {
    if (i < 4) {
        *scale = packed[i] & 63u;
        *minimum = packed[4 + i] & 63u;
    } else {
        *scale = (packed[4 + i] & 15u) | (uint32_t)(packed[i - 4] >> 6) << 4;
        *minimum = (packed[4 + i] >> 4) | (uint32_t)(packed[i] >> 6) << 4;
    }
}

void blocks_part(weights_dtype type, const uint8_t *from, uint32_t part, float *scale, float *minimum,
                 uint8_t q[32]) {
    const uint8_t *high = from + 16, *low = type == WEIGHTS_Q5_K ? from + 48 : from + 16;
    uint32_t s, m;
    blocks_six(from + 4, part, &s, &m);
    *scale = load_half(from) * (float)s;
    *minimum = load_half(from + 2) * (float)m;
    for (uint32_t i = 0; i < 32; i++) {
        q[i] = low[part / 2 * 32 + i] >> part % 2 * 4 & 15;
        if (type == WEIGHTS_Q5_K) q[i] |= (uint8_t)((high[i] >> part & 1) << 4);
    }
}

static void decode_parts(weights_dtype type, const uint8_t *from, float *out) {
    float scale, minimum;
    uint8_t q[32];
    for (uint32_t part = 0; part < 8; part++) {
        blocks_part(type, from, part, &scale, &minimum, q);
        for (int i = 0; i < 32; i++)
            *out++ = scale * (float)q[i] - minimum;
    }
}

static void decode_q4_k(const uint8_t *from, float *out) {
    decode_parts(WEIGHTS_Q4_K, from, out);
}

static void decode_q5_k(const uint8_t *from, float *out) {
    decode_parts(WEIGHTS_Q5_K, from, out);
}

/* 128 bytes of lower 4 bits, 64 of upper 2 bits, 16 signed scales of 16 elements each, d; (d s) (n - 32). In
 * each half of 128 elements, element i has its lower bits in byte i % 64, the lower half of the byte for i <
 * 64, and its upper bits in byte i % 32, from bit i / 32 * 2 on. */
static void decode_q6_k(const uint8_t *from, float *out) {
    const float d = load_half(from + 208);
    for (uint32_t i = 0; i < 256; i++) {
        const uint32_t half = i / 128, k = i % 128;
        const uint32_t low = from[half * 64 + k % 64] >> k / 64 * 4 & 15u;
        const uint32_t high = from[128 + half * 32 + k % 32] >> k / 32 * 2 & 3u;
        const float scale = (float)((from[192 + i / 16] ^ 128) - 128);
        out[i] = d * scale * (float)((int)(low | high << 4) - 32);
    }
}

/* By type - WEIGHTS_BLOCKS. */
static void (*const decoders[WEIGHTS_DTYPE_COUNT - WEIGHTS_BLOCKS])(const uint8_t *from, float *out) = {
    decode_q4_0, decode_q8_0, decode_q4_1, decode_q5_0, decode_q5_1, decode_q4_k, decode_q5_k, decode_q6_k,
};

void weights_decode_blocks(weights_dtype type, const uint8_t *from, uint64_t blocks, float *out) {
    const size_t size = weights_dtype_size(type), block = weights_dtype_block(type);
    for (uint64_t i = 0; i < blocks; i++)
        decoders[type - WEIGHTS_BLOCKS](from + i * size, out + i * block);
}
