/* Decoders of the block types of GGUF files; see tensor.h. Numbers in blocks are little endian. */
#include "weights/tensor.h"

static float load_half(const uint8_t *from) {
    return f32_from_f16((uint16_t)(from[0] | from[1] << 8));
}

/* d, then 16 bytes: element i in the low half of byte i, element 16 + i in the high half; d (n - 8). */
static void decode_q4_0(const uint8_t *from, float *out) {
    const float d = load_half(from);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((from[2 + i] & 15) - 8);
        out[16 + i] = d * (float)((from[2 + i] >> 4) - 8);
    }
}

/* d, then 32 signed bytes; d n. */
static void decode_q8_0(const uint8_t *from, float *out) {
    const float d = load_half(from);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)((from[2 + i] ^ 128) - 128);
}

/* By type - WEIGHTS_BLOCKS. */
static void (*const decoders[WEIGHTS_DTYPE_COUNT - WEIGHTS_BLOCKS])(const uint8_t *from, float *out) = {
    decode_q4_0,
    decode_q8_0,
};

void weights_decode_blocks(weights_dtype type, const uint8_t *from, uint64_t blocks, float *out) {
    const size_t size = weights_dtype_size(type), block = weights_dtype_block(type);
    for (uint64_t i = 0; i < blocks; i++)
        decoders[type - WEIGHTS_BLOCKS](from + i * size, out + i * block);
}
