/* One named tensor of a checkpoint, whatever file it lies in, and its conversion into the engine's element
 * types. The record describes elements where they lie (in a mapped file, mostly) and says how they become
 * numbers; weights_convert is the one place that turns them into f32, f16 or bf16.
 *
 * A record is plain data that may be copied and changed: a new name renames it, weights_rows cuts it,
 * `transposed` exchanges its two axes, `scale` multiplies it, `overlay` adds to it. That is how the tensors
 * of files in another layout are seen under the engine's names, without copying a byte (see weights_create in
 * weights.h).
 *
 * Thread-safety: any thread, as long as the bytes and the overlay stay as they are. */
#ifndef WEIGHTS_TENSOR_H
#define WEIGHTS_TENSOR_H

#include <stdbool.h>

#include "base/dtype.h"
#include "base/host.h"

#define WEIGHTS_RANK_LIMIT 8

/* How elements are stored. From WEIGHTS_BLOCKS on: types of several elements that share scales, as GGUF files
 * hold them; a row (the last axis) is then a whole number of blocks. */
typedef enum weights_dtype {
    WEIGHTS_F64,
    WEIGHTS_F32,
    WEIGHTS_F16,
    WEIGHTS_BF16,
    WEIGHTS_F8_E4M3, /* no infinities, largest 448 */
    WEIGHTS_F8_E5M2, /* the upper byte of a half */
    WEIGHTS_I64,
    WEIGHTS_I32,
    WEIGHTS_I16,
    WEIGHTS_I8,
    WEIGHTS_U64,
    WEIGHTS_U32,
    WEIGHTS_U16,
    WEIGHTS_U8,
    WEIGHTS_BOOL, /* one byte, 0 or not */
    WEIGHTS_BLOCKS,
    WEIGHTS_Q4_0 = WEIGHTS_BLOCKS, /* 32 elements in 18 bytes */
    WEIGHTS_Q8_0,                  /* 32 in 34 */
    WEIGHTS_Q4_1,                  /* 32 in 20 */
    WEIGHTS_Q5_0,                  /* 32 in 22 */
    WEIGHTS_Q5_1,                  /* 32 in 24 */
    WEIGHTS_Q4_K,                  /* 256 in 144 */
    WEIGHTS_Q5_K,                  /* 256 in 176 */
    WEIGHTS_Q6_K,                  /* 256 in 210 */
    WEIGHTS_DTYPE_COUNT
} weights_dtype;

size_t weights_dtype_size(weights_dtype type);  /* bytes of one block; of one element where that is a block */
size_t weights_dtype_block(weights_dtype type); /* elements of one block: 1, 32 or 256 */
const char *weights_dtype_name(weights_dtype type); /* "F16", "Q4_0" */
weights_dtype weights_dtype_of(dtype type);         /* the file type that stores an engine type */

/* Bytes of `count` elements, a whole number of blocks; false when they do not fit 64 bits. */
bool weights_dtype_bytes(weights_dtype type, uint64_t count, uint64_t *bytes);

struct weights_tensor;

/* Something to be added to a tensor while it is read, such as a low-rank change of a matrix. Never NULL where
 * a tensor has an overlay. */
typedef struct weights_overlay {
    /* values[i] += what is added to element first + i of the tensor, in row-major order of its shape as the
     * checkpoint has it; `first` counts from the start of the whole tensor also when only some of its rows
     * are read. Called with anything from a few elements to many rows; from several threads at once. */
    mzt_status (*add)(const struct weights_overlay *overlay, const struct weights_tensor *tensor,
                      uint64_t first, uint64_t count, float *values, mzt_error *error);
    const void *user;
} weights_overlay;

/* The owner of the file owns name, file and data; `data` need not be aligned. A caller may also fill one in
 * for an array of its own: what is not set is zero. */
typedef struct weights_tensor {
    const char *name, *file; /* `file` is for messages */
    weights_dtype dtype;
    uint32_t rank; /* 0 for a scalar */
    uint64_t shape[WEIGHTS_RANK_LIMIT];
    uint64_t count; /* elements: the product of the shape */
    const uint8_t *data;
    bool transposed;                /* rank 2: `shape` is [R,C], but the bytes are those of [C,R] */
    float scale;                    /* every stored element times this; 0: no scale */
    const weights_overlay *overlay; /* NULL: none */
    uint64_t origin;                /* where element 0 stands in the tensor that the overlay knows */
    /* Rows that follow its own, in a record of their own (whose overlay counts from its first row); `shape`
     * and `count` are those of both together. NULL: none. */
    const struct weights_tensor *tail;
} weights_tensor;

/* Elements [first, first + count) of a tensor in row-major order, converted into `out`, an aligned array of
 * `to`: decoded, scaled, the overlay added in f32, and rounded once. Anything numeric goes to the floating
 * types (rounded to nearest; too large for f16 gives infinity). To U32 only integers in 0..2^32-1 go:
 * UNSUPPORTED for a floating tensor, INVALID naming the element out of range, INVALID for a range beyond the
 * tensor. Block types need no particular `first` and `count`; whole rows are fastest. Into the device's
 * blocks (base/block.h), `first` and `count` are multiples of 32: see weights_translate, else quantised from
 * f32. */
mzt_status weights_convert(const weights_tensor *tensor, uint64_t first, uint64_t count, dtype to, void *out,
                           mzt_error *error);

/* The tensor made of rows [first, first + rows) along axis 0, with the same bytes. INVALID beyond the shape,
 * for a scalar, for a tensor with a tail, and for block types whose cut would not lie between blocks. */
mzt_status weights_rows(const weights_tensor *tensor, uint64_t first, uint64_t rows, weights_tensor *part,
                        mzt_error *error);

/* Decodes `blocks` whole blocks of a block type at `from` (any alignment) into f32: the format's own
 * definition, value by value. */
void weights_decode_blocks(weights_dtype type, const uint8_t *from, uint64_t blocks, float *out);

/* Quantises `blocks` whole blocks: scales from each block's extremes, then the nearest value to each element.
 */
void weights_encode_blocks(weights_dtype type, const float *values, uint64_t blocks, uint8_t *to);

/* The type of the device's that is nearest to a stored one: q4 for Q4_0, Q4_1 and Q4_K, q8 for Q5_0, Q5_1,
 * Q5_K, Q6_K and Q8_0, f16 and bf16 for themselves, f32 for all others. */
dtype weights_natural_type(weights_dtype type);

/* A part of weights_convert: from blocks into the device's blocks without a detour. Nothing is lost from
 * Q8_0, Q5_0, Q5_1, Q4_0 and Q4_1 to q8, nor from the last two to q4; Q4_K and Q5_K keep the bits of their
 * elements and have scales rounded to f16; what does not fit is decoded and quantised anew (Q6_K, whose
 * scales belong to 16 elements). False, with nothing done, where either side has no blocks, the range cuts
 * one, or the tensor is more than its stored elements. */
bool weights_translate(const weights_tensor *tensor, uint64_t first, uint64_t count, dtype to, void *out);

/* "[320,4,3,3]", for messages; cut when it does not fit. Returns buffer. */
const char *weights_shape_text(char *buffer, size_t size, const uint64_t *shape, uint32_t rank);

#endif
