/* Quantising to the block types of GGUF files; see tensor.h. Scales are chosen from the extremes of a block,
 * then every element takes the nearest value that the scale as stored can give. */
#include <math.h>
#include <string.h>

#include "weights/blocks.h"

/* Rounds a scale to f16, puts it down, and returns what was stored. */
static float put_half(uint8_t *to, float value) {
    uint16_t half = f16_from_f32(value);
    to[0] = (uint8_t)half;
    to[1] = (uint8_t)(half >> 8);
    return f32_from_f16(half);
}

/* The nearest of 0 ... most; 0 for what is no number. */
static uint32_t nearest(float x, uint32_t most) {
    if (!(x > 0)) return 0;
    return x >= (float)most ? most : (uint32_t)lrintf(x);
}

static float divide(float x, float by) {
    return by != 0 ? x / by : 0;
}

static void extremes(const float *x, uint32_t count, float *low, float *high) {
    *low = *high = x[0];
    for (uint32_t i = 1; i < count; i++) {
        if (x[i] < *low) *low = x[i];
        if (x[i] > *high) *high = x[i];
    }
}

/* The element of the largest magnitude, with its sign. */
static float largest(const float *x, uint32_t count) {
    float low, high;
    extremes(x, count, &low, &high);
    return -low > high ? low : high;
}

static void put_four(uint8_t *to, uint32_t i, uint32_t q) {
    to[i % 16] |= (uint8_t)(q << i / 16 * 4);
}

static void put_five(uint8_t *high, uint8_t *low, uint32_t i, uint32_t q) {
    put_four(low, i, q & 15);
    high[i / 8] |= (uint8_t)((q >> 4) << i % 8);
}

/* Symmetric types reach one step further below zero: the largest element is put there. */
static void encode_q4_0(const float *x, uint8_t *to) {
    const float d = put_half(to, largest(x, 32) / -8);
    for (uint32_t i = 0; i < 32; i++)
        put_four(to + 2, i, nearest(divide(x[i], d) + 8, 15));
}

static void encode_q5_0(const float *x, uint8_t *to) {
    const float d = put_half(to, largest(x, 32) / -16);
    for (uint32_t i = 0; i < 32; i++)
        put_five(to + 2, to + 6, i, nearest(divide(x[i], d) + 16, 31));
}

static void encode_q8_0(const float *x, uint8_t *to) {
    const float d = put_half(to, fabsf(largest(x, 32)) / 127);
    for (uint32_t i = 0; i < 32; i++) {
        const uint32_t q = nearest(fabsf(divide(x[i], d)), 127);
        to[2 + i] = (uint8_t)(x[i] < 0 ? 0u - q : q);
    }
}

static void encode_q4_1(const float *x, uint8_t *to) {
    float low, high;
    extremes(x, 32, &low, &high);
    const float m = put_half(to + 2, low), d = put_half(to, (high - low) / 15);
    for (uint32_t i = 0; i < 32; i++)
        put_four(to + 4, i, nearest(divide(x[i] - m, d), 15));
}

static void encode_q5_1(const float *x, uint8_t *to) {
    float low, high;
    extremes(x, 32, &low, &high);
    const float m = put_half(to + 2, low), d = put_half(to, (high - low) / 31);
    for (uint32_t i = 0; i < 32; i++)
        put_five(to + 4, to + 8, i, nearest(divide(x[i] - m, d), 31));
}

/* The inverse of blocks_six. */
static void put_six(uint8_t packed[12], uint32_t i, uint32_t scale, uint32_t minimum) {
    if (i < 4) {
        packed[i] |= (uint8_t)scale;
        packed[4 + i] |= (uint8_t)minimum;
    } else {
        packed[4 + i] |= (uint8_t)((scale & 15) | (minimum & 15) << 4);
        packed[i - 4] |= (uint8_t)((scale >> 4) << 6);
        packed[i] |= (uint8_t)((minimum >> 4) << 6);
    }
}

/* Q4_K and Q5_K: minima are never negative, so parts without negative elements begin at 0. */
static void encode_parts(const float *x, uint32_t most, uint8_t *to) {
    float scales[8], minima[8], low, high, scale = 0, minimum = 0;
    uint8_t q[32];
    for (uint32_t part = 0; part < 8; part++) {
        extremes(x + 32 * part, 32, &low, &high);
        minima[part] = low < 0 ? -low : 0;
        scales[part] = (high + minima[part]) / (float)most;
        if (!(scales[part] > 0)) scales[part] = 0;
        scale = scales[part] > scale ? scales[part] : scale;
        minimum = minima[part] > minimum ? minima[part] : minimum;
    }
    const float d = put_half(to, scale / 63), m = put_half(to + 2, minimum / 63);
    for (uint32_t part = 0; part < 8; part++) {
        put_six(to + 4, part, nearest(divide(scales[part], d), 63), nearest(divide(minima[part], m), 63));
        const weights_dtype type = most == 31 ? WEIGHTS_Q5_K : WEIGHTS_Q4_K;
        blocks_part(type, to, part, &scale, &minimum, q); /* as they will be read */
        for (uint32_t i = 0; i < 32; i++) {
            uint32_t n = nearest(divide(x[32 * part + i] + minimum, scale), most);
            uint8_t *bits = (most == 31 ? to + 48 : to + 16) + part / 2 * 32 + i;
            *bits |= (uint8_t)((n & 15) << part % 2 * 4);
            if (most == 31) to[16 + i] |= (uint8_t)((n >> 4) << part);
        }
    }
}

static void encode_q4_k(const float *x, uint8_t *to) {
    encode_parts(x, 15, to);
}

static void encode_q5_k(const float *x, uint8_t *to) {
    encode_parts(x, 31, to);
}

static void encode_q6_k(const float *x, uint8_t *to) {
    float scales[16];
    for (uint32_t part = 0; part < 16; part++)
        scales[part] = largest(x + 16 * part, 16) / -32;
    const float d = put_half(to + 208, largest(scales, 16) / -128);
    for (uint32_t part = 0; part < 16; part++)
        to[192 + part] = (uint8_t)(nearest(divide(scales[part], d) + 128, 255) - 128);
    for (uint32_t i = 0; i < 256; i++) {
        const uint32_t half = i / 128, k = i % 128;
        const float scale = d * (float)((to[192 + i / 16] ^ 128) - 128);
        const uint32_t n = nearest(divide(x[i], scale) + 32, 63);
        to[half * 64 + k % 64] |= (uint8_t)((n & 15) << k / 64 * 4);
        to[128 + half * 32 + k % 32] |= (uint8_t)((n >> 4) << k / 32 * 2);
    }
}

/* By type - WEIGHTS_BLOCKS. */
static void (*const encoders[WEIGHTS_DTYPE_COUNT - WEIGHTS_BLOCKS])(const float *from, uint8_t *to) = {
    encode_q4_0, encode_q8_0, encode_q4_1, encode_q5_0, encode_q5_1, encode_q4_k, encode_q5_k, encode_q6_k,
};

void weights_encode_blocks(weights_dtype type, const float *values, uint64_t blocks, uint8_t *to) {
    const size_t size = weights_dtype_size(type), block = weights_dtype_block(type);
    memset(to, 0, (size_t)blocks * size);
    for (uint64_t i = 0; i < blocks; i++)
        encoders[type - WEIGHTS_BLOCKS](values + i * block, to + i * size);
}
