/* Element types of checkpoints, and their conversion to the engine's types; see tensor.h. */
#include "weights/tensor.h"

#include <math.h>
#include <stdio.h>

#define BLOCK_LIMIT 256 /* elements of the largest block */

/* In the order of weights_dtype. `size` is that of a block of `block` elements. */
static const struct {
    const char *name;
    uint16_t size, block;
    bool floating;
} types[WEIGHTS_DTYPE_COUNT] = {
    {"F64", 8, 1, true},      {"F32", 4, 1, true},      {"F16", 2, 1, true},      {"BF16", 2, 1, true},
    {"F8_E4M3", 1, 1, true},  {"F8_E5M2", 1, 1, true},  {"I64", 8, 1, false},     {"I32", 4, 1, false},
    {"I16", 2, 1, false},     {"I8", 1, 1, false},      {"U64", 8, 1, false},     {"U32", 4, 1, false},
    {"U16", 2, 1, false},     {"U8", 1, 1, false},      {"BOOL", 1, 1, false},    {"Q4_0", 18, 32, true},
    {"Q8_0", 34, 32, true},   {"Q4_1", 20, 32, true},   {"Q5_0", 22, 32, true},   {"Q5_1", 24, 32, true},
    {"Q4_K", 144, 256, true}, {"Q5_K", 176, 256, true}, {"Q6_K", 210, 256, true},
};

size_t weights_dtype_size(weights_dtype type) {
    return types[type].size;
}

size_t weights_dtype_block(weights_dtype type) {
    return types[type].block;
}

const char *weights_dtype_name(weights_dtype type) {
    return types[type].name;
}

bool weights_dtype_bytes(weights_dtype type, uint64_t count, uint64_t *bytes) {
    return count % types[type].block == 0 && size_mul(count / types[type].block, types[type].size, bytes);
}

weights_dtype weights_dtype_of(dtype type) {
    switch (type) {
    case DTYPE_F16:
        return WEIGHTS_F16;
    case DTYPE_BF16:
        return WEIGHTS_BF16;
    case DTYPE_U32:
        return WEIGHTS_U32;
    default:
        return WEIGHTS_F32;
    }
}

const char *weights_shape_text(char *buffer, size_t size, const uint64_t *shape, uint32_t rank) {
    size_t used = 0;
    for (uint32_t i = 0; i < rank && used < size; i++) {
        int length =
            snprintf(buffer + used, size - used, "%s%llu", i ? "," : "[", (unsigned long long)shape[i]);
        used += length > 0 ? (size_t)length : 0;
    }
    if (used < size) snprintf(buffer + used, size - used, rank ? "]" : "[]");
    return buffer;
}

/* S.EEEE.MMM, bias 7, no infinities; all ones is NaN (Micikevicius et al., FP8 Formats for Deep Learning,
 * 2022). */
static double f8_e4m3_load(uint8_t bits) {
    unsigned exponent = bits >> 3 & 15u, fraction = bits & 7u;
    double magnitude;
    if (exponent == 15 && fraction == 7)
        magnitude = (double)NAN;
    else if (exponent == 0)
        magnitude = fraction * 0x1p-9;
    else
        magnitude = ldexp(8.0 + fraction, (int)exponent - 10);
    return bits & 0x80u ? -magnitude : magnitude;
}

/* Element at `from`, which may be unaligned. 64-bit integers beyond 2^53 are rounded. */
static double load(weights_dtype type, const uint8_t *from) {
    union {
        double f64;
        float f32;
        uint16_t u16;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        int8_t i8;
        uint64_t u64;
        uint32_t u32;
        uint8_t u8;
    } value;
    memcpy(&value, from, types[type].size);
    switch (type) {
    case WEIGHTS_F64:
        return value.f64;
    case WEIGHTS_F32:
        return (double)value.f32;
    case WEIGHTS_F16:
        return (double)f32_from_f16(value.u16);
    case WEIGHTS_BF16:
        return (double)f32_from_bf16(value.u16);
    case WEIGHTS_F8_E4M3:
        return f8_e4m3_load(value.u8);
    case WEIGHTS_F8_E5M2:
        return (double)f32_from_f16((uint16_t)(value.u8 << 8));
    case WEIGHTS_I64:
        return (double)value.i64;
    case WEIGHTS_I32:
        return value.i32;
    case WEIGHTS_I16:
        return value.i16;
    case WEIGHTS_I8:
        return value.i8;
    case WEIGHTS_U64:
        return (double)value.u64;
    case WEIGHTS_U32:
        return value.u32;
    case WEIGHTS_U16:
        return value.u16;
    case WEIGHTS_U8:
        return value.u8;
    case WEIGHTS_BOOL:
        return value.u8 != 0;
    default: /* blocks have no single elements */
        break;
    }
    return 0.0;
}

/* The usual case, between the engine's floating types: in pieces through an aligned buffer, as `from` may be
 * unaligned. */
static void convert_floats(dtype source, const uint8_t *from, uint64_t count, dtype to, void *out) {
    enum { PIECE = 2048 };
    union {
        float words[PIECE];
        uint16_t halves[PIECE];
    } aligned;
    uint8_t *target = out;
    size_t in_size = dtype_size(source), out_size = dtype_size(to);
    for (uint64_t done = 0; done < count;) {
        size_t piece = count - done < PIECE ? (size_t)(count - done) : PIECE;
        memcpy(&aligned, from + done * in_size, piece * in_size);
        dtype_convert(to, target + done * out_size, source, &aligned, piece);
        done += piece;
    }
}

static mzt_status convert_to_u32(const weights_tensor *tensor, uint64_t first, uint64_t count, uint32_t *out,
                                 mzt_error *error) {
    const uint8_t *from = tensor->data + first * types[tensor->dtype].size;
    char name[100];
    error_text(name, sizeof name, tensor->name);
    if (types[tensor->dtype].floating || tensor->transposed || tensor->scale != 0.0f || tensor->overlay)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: tensor \"%s\": expected integers, found %s",
                         tensor->file, name, types[tensor->dtype].name);
    for (uint64_t i = 0; i < count; i++) {
        double value = load(tensor->dtype, from + i * types[tensor->dtype].size);
        if (value < 0 || value > 4294967295.0)
            return error_set(error, MZT_ERROR_INVALID,
                             "%s: tensor \"%s\": expected values in 0..4294967295, found %.0f", tensor->file,
                             name, value);
        out[i] = (uint32_t)value;
    }
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------ in f32 --
 */

/* One-byte types through a table of all their values: files of this type have thousands of millions. */
static void read_bytes(weights_dtype type, const uint8_t *from, uint64_t count, float *out) {
    float table[256];
    for (unsigned i = 0; i < 256; i++)
        table[i] = (float)load(type, &(uint8_t){(uint8_t)i});
    for (uint64_t i = 0; i < count; i++)
        out[i] = table[from[i]];
}

/* Elements [first, first + count) of blocks. */
static void read_blocks(weights_dtype type, const uint8_t *data, uint64_t first, uint64_t count, float *out) {
    const uint64_t block = types[type].block, size = types[type].size;
    float one[BLOCK_LIMIT];
    while (count > 0) {
        const uint64_t skip = first % block;
        const uint8_t *from = data + first / block * size;
        uint64_t taken = count - count % block;
        if (skip > 0 || taken == 0) {
            taken = block - skip < count ? block - skip : count;
            weights_decode_blocks(type, from, 1, one);
            memcpy(out, one + skip, (size_t)taken * sizeof *out);
        } else {
            weights_decode_blocks(type, from, taken / block, out);
        }
        out += taken;
        first += taken;
        count -= taken;
    }
}

/* Stored elements, in the order in which they lie. */
static void read_stored(const weights_tensor *tensor, uint64_t first, uint64_t count, float *out) {
    const size_t size = types[tensor->dtype].size;
    if (types[tensor->dtype].block > 1) {
        read_blocks(tensor->dtype, tensor->data, first, count, out);
        return;
    }
    const uint8_t *from = tensor->data + first * size;
    if (tensor->dtype == WEIGHTS_F32)
        memcpy(out, from, (size_t)count * sizeof *out);
    else if (tensor->dtype == WEIGHTS_F16 || tensor->dtype == WEIGHTS_BF16)
        convert_floats(tensor->dtype == WEIGHTS_F16 ? DTYPE_F16 : DTYPE_BF16, from, count, DTYPE_F32, out);
    else if (size == 1 && count >= 256)
        read_bytes(tensor->dtype, from, count, out);
    else
        for (uint64_t i = 0; i < count; i++)
            out[i] = (float)load(tensor->dtype, from + i * size);
}

/* The tensor's own values: turned, scaled, with the overlay. */
static mzt_status read_values(const weights_tensor *tensor, uint64_t first, uint64_t count, float *out,
                              mzt_error *error) {
    const uint64_t rows = tensor->shape[0], columns = tensor->shape[1];
    if (!tensor->transposed)
        read_stored(tensor, first, count, out);
    else
        for (uint64_t i = 0; i < count; i++)
            read_stored(tensor, (first + i) % columns * rows + (first + i) / columns, 1, &out[i]);
    if (tensor->scale != 0.0f)
        for (uint64_t i = 0; i < count; i++)
            out[i] *= tensor->scale;
    const weights_overlay *overlay = tensor->overlay;
    return overlay ? overlay->add(overlay, tensor, tensor->origin + first, count, out, error) : MZT_OK;
}

/* Anything that is more than a change of type: in f32, then rounded. */
static mzt_status convert_values(const weights_tensor *tensor, uint64_t first, uint64_t count, dtype to,
                                 void *out, mzt_error *error) {
    enum { PIECE = 4096 };
    float values[PIECE];
    if (to == DTYPE_F32) return read_values(tensor, first, count, out, error);
    for (uint64_t done = 0; done < count;) {
        const uint64_t piece = count - done < PIECE ? count - done : PIECE;
        TRY(read_values(tensor, first + done, piece, values, error));
        dtype_convert(to, (uint8_t *)out + dtype_bytes(to, done), DTYPE_F32, values, (size_t)piece);
        done += piece;
    }
    return MZT_OK;
}

/* Its own rows, then those behind them. */
static mzt_status convert_both(const weights_tensor *tensor, uint64_t first, uint64_t count, dtype to,
                               void *out, mzt_error *error) {
    const uint64_t own = tensor->count - tensor->tail->count;
    const uint64_t taken = first >= own ? 0 : own - first < count ? own - first : count;
    weights_tensor head = *tensor;
    head.tail = NULL;
    head.count = own;
    if (taken > 0) TRY(weights_convert(&head, first, taken, to, out, error));
    if (taken == count) return MZT_OK;
    return weights_convert(tensor->tail, first + taken - own, count - taken, to,
                           (uint8_t *)out + taken * dtype_size(to), error);
}

mzt_status weights_convert(const weights_tensor *tensor, uint64_t first, uint64_t count, dtype to, void *out,
                           mzt_error *error) {
    if (first > tensor->count || count > tensor->count - first) {
        char name[100];
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\": elements %llu+%llu wanted of %llu",
                         tensor->file, error_text(name, sizeof name, tensor->name), (unsigned long long)first,
                         (unsigned long long)count, (unsigned long long)tensor->count);
    }
    if (count == 0) return MZT_OK;
    if (tensor->tail) return convert_both(tensor, first, count, to, out, error);
    const size_t size = types[tensor->dtype].size;
    const bool plain = !tensor->transposed && tensor->scale == 0.0f && !tensor->overlay;
    if (to == DTYPE_U32) return convert_to_u32(tensor, first, count, out, error);
    if (weights_translate(tensor, first, count, to, out)) return MZT_OK;
    if (!plain || size == 1 || types[tensor->dtype].block > 1 || dtype_block(to) > 1)
        return convert_values(tensor, first, count, to, out, error);
    const uint8_t *from = tensor->data + first * size;
    if (tensor->dtype == weights_dtype_of(to)) {
        memcpy(out, from, (size_t)(count * size));
    } else if (tensor->dtype == WEIGHTS_F32) {
        convert_floats(DTYPE_F32, from, count, to, out);
    } else if (tensor->dtype == WEIGHTS_F16) {
        convert_floats(DTYPE_F16, from, count, to, out);
    } else if (tensor->dtype == WEIGHTS_BF16) {
        convert_floats(DTYPE_BF16, from, count, to, out);
    } else {
        for (uint64_t i = 0; i < count; i++)
            dtype_store(to, out, (size_t)i, load(tensor->dtype, from + i * size));
    }
    return MZT_OK;
}

mzt_status weights_rows(const weights_tensor *tensor, uint64_t first, uint64_t rows, weights_tensor *part,
                        mzt_error *error) {
    char name[100];
    error_text(name, sizeof name, tensor->name);
    if (tensor->rank == 0 || first > tensor->shape[0] || rows > tensor->shape[0] - first)
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\": rows %llu+%llu wanted of %llu",
                         tensor->file, name, (unsigned long long)first, (unsigned long long)rows,
                         (unsigned long long)(tensor->rank ? tensor->shape[0] : 1));
    const uint64_t each = tensor->shape[0] ? tensor->count / tensor->shape[0] : 0;
    uint64_t begin, length;
    if (tensor->transposed || tensor->tail || !weights_dtype_bytes(tensor->dtype, first * each, &begin) ||
        !weights_dtype_bytes(tensor->dtype, rows * each, &length))
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" (%s): rows cannot be cut", tensor->file,
                         name, types[tensor->dtype].name);
    *part = *tensor;
    part->shape[0] = rows;
    part->count = rows * each;
    part->data = tensor->data ? tensor->data + begin : NULL;
    part->origin = tensor->origin + first * each;
    return MZT_OK;
}
