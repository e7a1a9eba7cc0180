/* Weights in blocks; see block.h. */
#include "base/block.h"

#include <math.h>
#include <stdbool.h>

static float half_at(const uint8_t *bytes) {
    return f32_from_f16((uint16_t)(bytes[0] | bytes[1] << 8));
}

static void put_half(uint8_t *bytes, uint16_t half) {
    bytes[0] = (uint8_t)half;
    bytes[1] = (uint8_t)(half >> 8);
}

static void load_block(dtype type, const uint8_t *block, float out[BLOCK_ELEMENTS]) {
    const float scale = half_at(block), shift = half_at(block + 2);
    const uint8_t *q = block + BLOCK_HEAD_BYTES;
    for (uint32_t i = 0; i < BLOCK_ELEMENTS; i++) {
        float value = type == DTYPE_Q8 ? (float)(int8_t)q[i] : (float)(q[i % 16] >> (i / 16 * 4) & 15);
        out[i] = scale * value + shift;
    }
}

void block_load(dtype type, const void *blocks, size_t first, size_t count, float *out) {
    const size_t size = dtype_size(type);
    float values[BLOCK_ELEMENTS];
    while (count > 0) {
        const uint8_t *block = (const uint8_t *)blocks + first / BLOCK_ELEMENTS * size;
        size_t skip = first % BLOCK_ELEMENTS, taken = BLOCK_ELEMENTS - skip;
        if (taken > count) taken = count;
        load_block(type, block, values);
        memcpy(out, values + skip, taken * sizeof *out);
        out += taken;
        first += taken;
        count -= taken;
    }
}

/* The nearest of low ... high; 0 for what is not a number. */
static int nearest(float x, int low, int high) {
    if (!(x > (float)low)) return x <= (float)low ? low : 0;
    return x >= (float)high ? high : (int)lrintf(x);
}

static void store_q8(uint8_t *block, const float *values) {
    float largest = 0;
    bool finite = true;
    for (uint32_t i = 0; i < BLOCK_ELEMENTS; i++) {
        float magnitude = fabsf(values[i]);
        finite &= isfinite(values[i]) != 0;
        if (magnitude > largest) largest = magnitude;
    }
    uint16_t half = f16_from_f32(finite ? largest / 127 : INFINITY);
    float scale = f32_from_f16(half);
    put_half(block, half);
    put_half(block + 2, BLOCK_NO_SHIFT);
    for (uint32_t i = 0; i < BLOCK_ELEMENTS; i++)
        block[BLOCK_HEAD_BYTES + i] =
            (uint8_t)(scale > 0 && finite ? nearest(values[i] / scale, -127, 127) : 0);
}

static void store_q4(uint8_t *block, const float *values) {
    float low = values[0], high = values[0];
    bool finite = true;
    for (uint32_t i = 0; i < BLOCK_ELEMENTS; i++) {
        finite &= isfinite(values[i]) != 0;
        if (values[i] < low) low = values[i];
        if (values[i] > high) high = values[i];
    }
    uint16_t shift_half = f16_from_f32(finite ? low : 0);
    float shift = f32_from_f16(shift_half);
    uint16_t half = f16_from_f32(finite ? (high - low) / 15 : INFINITY);
    float scale = f32_from_f16(half);
    uint8_t q[BLOCK_ELEMENTS];
    put_half(block, half);
    put_half(block + 2, shift_half);
    for (uint32_t i = 0; i < BLOCK_ELEMENTS; i++)
        q[i] = (uint8_t)(scale > 0 && finite ? nearest((values[i] - shift) / scale, 0, 15) : 0);
    for (uint32_t i = 0; i < BLOCK_ELEMENTS / 2; i++)
        block[BLOCK_HEAD_BYTES + i] = (uint8_t)(q[i] | q[i + BLOCK_ELEMENTS / 2] << 4);
}

void block_store(dtype type, void *blocks, const float *values, size_t count) {
    uint8_t *block = blocks;
    for (size_t i = 0; i + BLOCK_ELEMENTS <= count; i += BLOCK_ELEMENTS, block += dtype_size(type)) {
        if (type == DTYPE_Q8)
            store_q8(block, values + i);
        else
            store_q4(block, values + i);
    }
}
