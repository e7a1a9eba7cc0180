/* Weights in blocks of 32 consecutive elements of a row, each block with its own scale and shift:
 *
 *   element = scale * q + shift
 *
 *   bytes 0, 1   scale, binary16, little endian
 *   bytes 2, 3   shift, likewise
 *   DTYPE_Q8     32 signed bytes q                                                36 bytes: 9 bits an element
 *   DTYPE_Q4     16 bytes: q of element i in the lower half of byte i, of element i + 16 in the upper half of
 * the same byte, 0 ... 15                                              20 bytes: 5 bits an element
 *
 * A block is a whole number of 32-bit words, so shaders read it without any extension, and four neighbouring
 * elements come from one word: q4 has the order of GGUF's Q4_1, whose blocks are these bytes. scale * q is
 * exact in f32 (11 bits times 8), so every device sees the same value, rounded once where there is a shift; a
 * shift of -0 changes nothing, not even the sign of a zero. */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include "base/dtype.h"

#define BLOCK_ELEMENTS   32u
#define BLOCK_HEAD_BYTES 4u
#define BLOCK_NO_SHIFT   0x8000u /* binary16 of -0 */

/* Elements `first` ... `first + count - 1` of an array of blocks; any alignment of elements. */
void block_load(dtype type, const void *blocks, size_t first, size_t count, float *out);

/* Quantises `count` elements, a multiple of 32. q8: scale = largest magnitude / 127, no shift. q4: shift =
 * the smallest, scale = (largest - smallest) / 15. q is the nearest by the scale and shift as stored.
 * Elements that are not finite make their block's scale so too: nothing is hidden. */
void block_store(dtype type, void *blocks, const float *values, size_t count);

/* One element. */
static inline double block_element(dtype type, const void *blocks, size_t index) {
    const uint8_t *block = (const uint8_t *)blocks + index / BLOCK_ELEMENTS * dtype_size(type);
    const uint8_t *q = block + BLOCK_HEAD_BYTES;
    uint32_t i = (uint32_t)(index % BLOCK_ELEMENTS);
    int value = type == DTYPE_Q8 ? (int8_t)q[i] : q[i % 16] >> (i / 16 * 4) & 15;
    return (double)f32_from_f16((uint16_t)(block[0] | block[1] << 8)) * value +
           (double)f32_from_f16((uint16_t)(block[2] | block[3] << 8));
}

#endif
