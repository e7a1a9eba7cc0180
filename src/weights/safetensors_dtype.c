/* Element types of safetensors files, and their conversion to the engine's types. */
#include "weights/safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

/* In the order of safetensors_dtype. */
static const struct {
    const char *name;
    uint8_t size;
    bool floating;
} types[SAFETENSORS_DTYPE_COUNT] = {
    {"F64", 8, true},     {"F32", 4, true},  {"F16", 2, true},  {"BF16", 2, true}, {"F8_E4M3", 1, true},
    {"F8_E5M2", 1, true}, {"I64", 8, false}, {"I32", 4, false}, {"I16", 2, false}, {"I8", 1, false},
    {"U64", 8, false},    {"U32", 4, false}, {"U16", 2, false}, {"U8", 1, false},  {"BOOL", 1, false},
};

size_t safetensors_dtype_size(safetensors_dtype type) {
    return types[type].size;
}

const char *safetensors_dtype_name(safetensors_dtype type) {
    return types[type].name;
}

safetensors_dtype safetensors_dtype_of(dtype type) {
    switch (type) {
    case DTYPE_F16:
        return SAFETENSORS_F16;
    case DTYPE_BF16:
        return SAFETENSORS_BF16;
    case DTYPE_U32:
        return SAFETENSORS_U32;
    default:
        return SAFETENSORS_F32;
    }
}

const char *safetensors_shape_text(char *buffer, size_t size, const uint64_t *shape, uint32_t rank) {
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
static double load(safetensors_dtype type, const uint8_t *from) {
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
    case SAFETENSORS_F64:
        return value.f64;
    case SAFETENSORS_F32:
        return (double)value.f32;
    case SAFETENSORS_F16:
        return (double)f32_from_f16(value.u16);
    case SAFETENSORS_BF16:
        return (double)f32_from_bf16(value.u16);
    case SAFETENSORS_F8_E4M3:
        return f8_e4m3_load(value.u8);
    case SAFETENSORS_F8_E5M2:
        return (double)f32_from_f16((uint16_t)(value.u8 << 8));
    case SAFETENSORS_I64:
        return (double)value.i64;
    case SAFETENSORS_I32:
        return value.i32;
    case SAFETENSORS_I16:
        return value.i16;
    case SAFETENSORS_I8:
        return value.i8;
    case SAFETENSORS_U64:
        return (double)value.u64;
    case SAFETENSORS_U32:
        return value.u32;
    case SAFETENSORS_U16:
        return value.u16;
    case SAFETENSORS_U8:
        return value.u8;
    case SAFETENSORS_BOOL:
        return value.u8 != 0;
    case SAFETENSORS_DTYPE_COUNT:
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

static mzt_status convert_to_u32(const safetensors_tensor *tensor, const uint8_t *from, uint64_t count,
                                 uint32_t *out, mzt_error *error) {
    char name[100];
    error_text(name, sizeof name, tensor->name);
    if (types[tensor->dtype].floating)
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

mzt_status safetensors_convert(const safetensors_tensor *tensor, uint64_t first, uint64_t count, dtype to,
                               void *out, mzt_error *error) {
    if (first > tensor->count || count > tensor->count - first) {
        char name[100];
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\": elements %llu+%llu wanted of %llu",
                         tensor->file, error_text(name, sizeof name, tensor->name), (unsigned long long)first,
                         (unsigned long long)count, (unsigned long long)tensor->count);
    }
    if (count == 0) return MZT_OK;
    size_t size = types[tensor->dtype].size;
    const uint8_t *from = tensor->data + first * size;
    if (to == DTYPE_U32) return convert_to_u32(tensor, from, count, out, error);
    if (tensor->dtype == safetensors_dtype_of(to)) {
        memcpy(out, from, (size_t)(count * size));
    } else if (tensor->dtype == SAFETENSORS_F32) {
        convert_floats(DTYPE_F32, from, count, to, out);
    } else if (tensor->dtype == SAFETENSORS_F16) {
        convert_floats(DTYPE_F16, from, count, to, out);
    } else if (tensor->dtype == SAFETENSORS_BF16) {
        convert_floats(DTYPE_BF16, from, count, to, out);
    } else {
        for (uint64_t i = 0; i < count; i++)
            dtype_store(to, out, (size_t)i, load(tensor->dtype, from + i * size));
    }
    return MZT_OK;
}
