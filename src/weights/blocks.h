/* What the decoders, the encoders and the conversion to the device's blocks know of GGUF's block types
 * together. */
#ifndef WEIGHTS_BLOCKS_H
#define WEIGHTS_BLOCKS_H

#include "weights/tensor.h"

/* Element i of 32 of Q5_0 and Q5_1: `high` the 4 bytes of fifth bits, `low` the 16 of the others. */
uint32_t blocks_five(const uint8_t *high, const uint8_t *low, uint32_t i);

/* Scale and minimum i of 8, 0 ... 63, of Q4_K and Q5_K. */
void blocks_six(const uint8_t packed[12], uint32_t i, uint32_t *scale, uint32_t *minimum);

/* Elements 32 part ... 32 part + 31 of a block of Q4_K or Q5_K: scale * q - minimum. */
void blocks_part(weights_dtype type, const uint8_t *from, uint32_t part, float *scale, float *minimum,
                 uint8_t q[32]);

#endif
