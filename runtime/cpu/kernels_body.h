/* The inner loops themselves. Included by one file per instruction set, which defines KERNEL(name); see
 * kernels.h. Written so that compilers vectorise them: no branches in loops, no order of summation but the
 * one written. */
#include <math.h>
#include <string.h>

#include "base/vector.h"
#include "cpu/kernels.h"
#include "params.h"

/* 6 x 2 sums, 2 columns and a row's value fill 15 of 16 registers. Two vectors a row rather than three, since
 * matrices of 32, 64 or 128 columns are then cut without a rest. */
enum {
    TILE_VECTORS = 2,
    TILE_COLUMNS = TILE_VECTORS * VECTOR_FLOATS,
    LANES = 64 /* so many that no lane waits for its last sum */
};

/* The sums of a tile one by one, as variables sum<row><vector>: of arrays GCC keeps copies in memory. */
#define EACH_VECTOR(DO, i) DO(i, 0) DO(i, 1)
#define EACH_SUM(DO)                                                                                         \
    EACH_VECTOR(DO, 0)                                                                                       \
    EACH_VECTOR(DO, 1) EACH_VECTOR(DO, 2) EACH_VECTOR(DO, 3) EACH_VECTOR(DO, 4) EACH_VECTOR(DO, 5)
#define DECLARE(i, j)      vector sum##i##j = zero;
#define LOAD(i, j)         sum##i##j = vector_load(c + i * c_stride + j * VECTOR_FLOATS);
#define COLUMN(b, j)       const vector column##j = vector_load(b + j * VECTOR_FLOATS);
#define MULTIPLY_ADD(i, j) sum##i##j = vector_multiply_add(a##i[k], column##j, sum##i##j);
#define STORE(i, j)        vector_store(c + i * c_stride + j * VECTOR_FLOATS, sum##i##j);

static void KERNEL(multiply)(uint32_t runs, const float *const *rows, const uint32_t *lengths, const float *b,
                             float *c, size_t c_stride, bool accumulate) {
    const vector zero = {0};
    EACH_SUM(DECLARE)
    if (accumulate) {
        EACH_SUM(LOAD)
    }
    for (uint32_t run = 0; run < runs; run++, rows += KERNEL_ROWS) {
        const float *a0 = rows[0], *a1 = rows[1], *a2 = rows[2], *a3 = rows[3], *a4 = rows[4], *a5 = rows[5];
        for (uint32_t k = 0; k < lengths[run]; k++, b += TILE_COLUMNS) {
            EACH_VECTOR(COLUMN, b)
            EACH_SUM(MULTIPLY_ADD)
        }
    }
    EACH_SUM(STORE)
}

#define MULTIPLY_ADD_PACKED(i, j) sum##i##j = vector_multiply_add(a[i], column##j, sum##i##j);

static void KERNEL(multiply_packed)(uint32_t count, const float *a, const float *b, float *c, size_t c_stride,
                                    bool accumulate) {
    const vector zero = {0};
    EACH_SUM(DECLARE)
    if (accumulate) {
        EACH_SUM(LOAD)
    }
    for (uint32_t k = 0; k < count; k++, a += KERNEL_ROWS, b += TILE_COLUMNS) {
        EACH_VECTOR(COLUMN, b)
        EACH_SUM(MULTIPLY_ADD_PACKED)
    }
    EACH_SUM(STORE)
}

#undef EACH_VECTOR
#undef EACH_SUM
#undef DECLARE
#undef LOAD
#undef COLUMN
#undef MULTIPLY_ADD
#undef MULTIPLY_ADD_PACKED
#undef STORE

static void KERNEL(deal)(const float *restrict row, size_t count, float *restrict a, size_t group_stride) {
    for (; count >= KERNEL_ROWS; count -= KERNEL_ROWS, row += KERNEL_ROWS, a += group_stride)
        memcpy(a, row, KERNEL_ROWS * sizeof *a);
    for (size_t i = 0; count > 0 && i < KERNEL_ROWS; i++)
        a[i] = i < count ? row[i] : 0;
}

static void KERNEL(gather)(const float *const *rows, size_t offset, uint32_t count, uint32_t length,
                           float *restrict to) {
    for (uint32_t i = 0; i < count; i++, to += TILE_COLUMNS) {
        const float *from = rows[i] + offset;
        if (length == TILE_COLUMNS) {
            for (int j = 0; j < TILE_VECTORS; j++)
                vector_store(to + j * VECTOR_FLOATS, vector_load(from + j * VECTOR_FLOATS));
        } else {
            for (uint32_t j = 0; j < length; j++)
                to[j] = from[j];
        }
    }
}

/* ----------------------------------------------------------------------------------------------- conversions
 * -- */

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* As f32_from_f16: the exponent's offset is corrected by a multiplication, which also makes subnormal halves
 * right. */
static inline float widen_f16(uint16_t half) {
    uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13, sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f), special = magnitude | 0x7f800000u;
    return float_of(sign | (magnitude >= 0x0f800000u ? special : finite));
}

/* As f16_from_f32, all three cases computed and one taken. */
static inline uint16_t narrow_f16(float value) {
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
    uint32_t subnormal = bits_of(float_of(magnitude < 0x38800000u ? magnitude : 0) + 0.5f) - 0x3f000000u;
    uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;
    half = magnitude > 0x7f800000u ? 0x7e00u : half;
    return (uint16_t)(sign | half);
}

static inline uint16_t narrow_bf16(float value) {
    uint32_t bits = bits_of(value), rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16,
             nan = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static void KERNEL(load)(dtype type, const void *from, size_t count, float *restrict to) {
    if (type == DTYPE_F16) {
        const uint16_t *halves = from;
        for (size_t i = 0; i < count; i++)
            to[i] = widen_f16(halves[i]);
    } else if (type == DTYPE_BF16) {
        const uint16_t *halves = from;
        for (size_t i = 0; i < count; i++)
            to[i] = float_of((uint32_t)halves[i] << 16);
    } else {
        memcpy(to, from, count * sizeof *to);
    }
}

static void KERNEL(unpack)(dtype type, const void *panel, size_t first, size_t count, float *restrict to) {
    enum { BLOCK = 32, HEAD = 4 * TILE_COLUMNS };
    const size_t rows = type == DTYPE_Q8 ? BLOCK : BLOCK / 2;
    float scale[TILE_COLUMNS] = {0}, shift[TILE_COLUMNS] = {0};
    for (size_t k = first; k < first + count; k++, to += TILE_COLUMNS) {
        const uint8_t *block = (const uint8_t *)panel + k / BLOCK * (HEAD + rows * TILE_COLUMNS);
        if (k == first || k % BLOCK == 0) {
            KERNEL(load)(DTYPE_F16, block, TILE_COLUMNS, scale);
            KERNEL(load)(DTYPE_F16, block + HEAD / 2, TILE_COLUMNS, shift);
        }
        const uint8_t *q = block + HEAD + k % rows * TILE_COLUMNS;
        if (type == DTYPE_Q8) {
            for (int j = 0; j < TILE_COLUMNS; j++)
                to[j] = (float)(int8_t)q[j] * scale[j] + shift[j];
        } else {
            const unsigned up = k % BLOCK / rows * 4;
            for (int j = 0; j < TILE_COLUMNS; j++)
                to[j] = (float)(q[j] >> up & 15) * scale[j] + shift[j];
        }
    }
}

static void KERNEL(store)(dtype type, void *restrict to, const float *from, size_t count) {
    if (type == DTYPE_F16) {
        uint16_t *halves = to;
        for (size_t i = 0; i < count; i++)
            halves[i] = narrow_f16(from[i]);
    } else if (type == DTYPE_BF16) {
        uint16_t *halves = to;
        for (size_t i = 0; i < count; i++)
            halves[i] = narrow_bf16(from[i]);
    } else {
        memcpy(to, from, count * sizeof *from);
    }
}

/* ------------------------------------------------------------------------------------------------- functions
 * -- */

/* exp by 2^n * e^r, |r| <= ln 2 / 2, and Taylor's polynomial of degree 7: relative error below 2e-7 for -87
 * <= x <= 88, clamped beyond. NaN stays NaN. */
static inline float exponential(float x) {
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the lowest bits */
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504f + round, n = shifted - round;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * float_of((bits_of(shifted) + 127u) << 23);
}

static inline float sigmoid(float x) {
    return 1.0f / (1.0f + exponential(-x));
}

static inline float hyperbolic_tangent(float x) {
    return 1.0f - 2.0f / (1.0f + exponential(2.0f * x));
}

/* x * (1 + erf(x / sqrt 2)) / 2 through erfc(z) = t exp(-z^2 + P(t)), t = 2 / (2 + z), z >= 0, with the
 * Chebyshev fit of Press et al., "Numerical Recipes", 6.2: relative error below 1.2e-7, so that the small
 * values at large negative x are right too. */
static inline float half_erfc(float x) { /* erfc(|x| / sqrt 2) / 2 */
    float z = x * 0.70710678f;
    z = z < 0 ? -z : z;
    float t = 1.0f / (1.0f + 0.5f * z);
    float p = 0.17087277f;
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    return 0.5f * t * exponential(p - z * z);
}

static inline float gelu(float x) {
    float beyond = half_erfc(x);
    return x < 0 ? x * beyond : x - x * beyond;
}

/* (1 + erf(x / sqrt 2)) / 2 + x exp(-x^2 / 2) / sqrt(2 pi) */
static inline float gelu_slope(float x) {
    float beyond = half_erfc(x);
    return (x < 0 ? beyond : 1.0f - beyond) + x * 0.39894228f * exponential(-0.5f * x * x);
}

/* Of x s(k x), s the logistic function: s + k x s (1 - s). */
static inline float swish_slope(float k, float x) {
    float s = sigmoid(k * x);
    return s + k * x * s * (1.0f - s);
}

static void KERNEL(fill)(float *x, float value, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = value;
}

static void KERNEL(activate)(uint32_t kind, float *x, size_t count) {
    if (kind == UNARY_SILU) {
        for (size_t i = 0; i < count; i++)
            x[i] = x[i] * sigmoid(x[i]);
    } else if (kind == UNARY_GELU) {
        for (size_t i = 0; i < count; i++)
            x[i] = gelu(x[i]);
    } else if (kind == UNARY_QUICK_GELU) {
        for (size_t i = 0; i < count; i++)
            x[i] = x[i] * sigmoid(1.702f * x[i]);
    } else if (kind == UNARY_EXP) {
        for (size_t i = 0; i < count; i++)
            x[i] = exponential(x[i]);
    } else if (kind == UNARY_TANH) {
        for (size_t i = 0; i < count; i++)
            x[i] = hyperbolic_tangent(x[i]);
    } else if (kind == UNARY_RELU) {
        for (size_t i = 0; i < count; i++)
            x[i] = x[i] <= 0 ? 0 : x[i]; /* NaN stays NaN */
    }
}

static void KERNEL(slope)(uint32_t kind, float *x, size_t count) {
    if (kind == UNARY_SILU) {
        for (size_t i = 0; i < count; i++)
            x[i] = swish_slope(1.0f, x[i]);
    } else if (kind == UNARY_GELU) {
        for (size_t i = 0; i < count; i++)
            x[i] = gelu_slope(x[i]);
    } else if (kind == UNARY_QUICK_GELU) {
        for (size_t i = 0; i < count; i++)
            x[i] = swish_slope(1.702f, x[i]);
    } else if (kind == UNARY_EXP) {
        for (size_t i = 0; i < count; i++)
            x[i] = exponential(x[i]);
    } else if (kind == UNARY_TANH) {
        for (size_t i = 0; i < count; i++)
            x[i] = 1.0f - hyperbolic_tangent(x[i]) * hyperbolic_tangent(x[i]);
    } else if (kind == UNARY_RELU) {
        for (size_t i = 0; i < count; i++)
            x[i] = x[i] <= 0 ? 0.0f : 1.0f;
    } else {
        for (size_t i = 0; i < count; i++)
            x[i] = 1.0f;
    }
}

static void KERNEL(gate)(float *restrict value, const float *restrict gate, size_t count) {
    for (size_t i = 0; i < count; i++)
        value[i] *= gelu(gate[i]);
}

static void KERNEL(add)(float *restrict x, const float *restrict y, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] += y[i];
}

static void KERNEL(multiply_by)(float *restrict x, const float *restrict y, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] *= y[i];
}

static void KERNEL(combine)(float *restrict x, float scale, const float *restrict y, float y_scale,
                            size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = scale * x[i] + y_scale * y[i];
}

static void KERNEL(affine)(float *x, float scale, float shift, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = scale * x[i] + shift;
}

static void KERNEL(normalize)(float *restrict x, const float *restrict mean, const float *restrict scale,
                              const float *restrict shift, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = (x[i] - mean[i]) * scale[i] + shift[i];
}

static void KERNEL(add_squares)(float *restrict sums, const float *restrict x, const float *restrict mean,
                                size_t count) {
    for (size_t i = 0; i < count; i++) {
        float distance = x[i] - mean[i];
        sums[i] += distance * distance;
    }
}

static void KERNEL(add_products)(float *restrict sums, const float *restrict y, const float *restrict x,
                                 const float *restrict mean, size_t count) {
    for (size_t i = 0; i < count; i++)
        sums[i] += y[i] * (x[i] - mean[i]);
}

static void KERNEL(normalize_slope)(float *restrict y, const float *restrict x, const float *restrict mean,
                                    const float *restrict scale, const float *restrict slope,
                                    const float *restrict shift, size_t count) {
    for (size_t i = 0; i < count; i++)
        y[i] = scale[i] * y[i] + slope[i] * (x[i] - mean[i]) + shift[i];
}

static void KERNEL(score_slope)(float *restrict x, const float *restrict y, float scale,
                                const float *restrict shift, const float *restrict y_shift, size_t count) {
    if (y) {
        for (size_t i = 0; i < count; i++)
            x[i] = exponential(scale * x[i] - shift[i]) * (scale * (y[i] - y_shift[i]));
    } else {
        for (size_t i = 0; i < count; i++)
            x[i] = exponential(scale * x[i] - shift[i]);
    }
}

static void KERNEL(adamw)(const adamw_factors *by, const float *restrict gradient, float *restrict weight,
                          float *restrict m, float *restrict v, float *restrict average, size_t count) {
    const adamw_factors a = *by;
    for (size_t i = 0; i < count; i++) {
        float g = a.gradient_scale * gradient[i];
        m[i] = a.m_kept * m[i] + a.m_new * g;
        v[i] = a.v_kept * v[i] + a.v_new * (g * g);
        weight[i] -= a.decay * weight[i] + a.rate * m[i] / (sqrtf(v[i] * a.v_scale) + a.epsilon);
    }
    for (size_t i = 0; average && i < count; i++)
        average[i] += a.average_new * (weight[i] - average[i]);
}

/* -------------------------------------------------------------------------------------- Winograd's
 * transforms
 * -- */

/* Of F(4, 3) at the points 0, +-A, +-B and infinity (Lavin and Gray, arXiv 1509.09308, 2016). With 3/4 and
 * 3/2 the results are twice as precise as with the usual 1 and 2; both and their products are exact. */
#define POINT_A  0.75f
#define POINT_B  1.5f
#define SQUARE_A (POINT_A * POINT_A)
#define SQUARE_B (POINT_B * POINT_B)

/* What the products at 0, +-A and +-B are divided by: the product of the point's distances to the others. */
#define SCALE_0 (1 / (SQUARE_A * SQUARE_B))
#define SCALE_A (1 / (2 * SQUARE_A * (SQUARE_A - SQUARE_B)))
#define SCALE_B (1 / (2 * SQUARE_B * (SQUARE_B - SQUARE_A)))

/* a + b, a - b, and factor * a: by the one operation that vector.h has. */
#define ADD(a, b)          vector_multiply_add(1.0f, a, b)
#define SUBTRACT(a, b)     vector_multiply_add(-1.0f, b, a)
#define SCALE(factor, a)   vector_multiply_add(factor, a, zero)
#define SCALE_ADD(f, a, b) vector_multiply_add(f, a, b) /* f * a + b */

static inline void KERNEL(source_step)(const vector x[6], vector y[6]) {
    const vector zero = {0};
    const vector even_a = SCALE_ADD(-SQUARE_B, x[2], x[4]), odd_a = SCALE_ADD(-SQUARE_B, x[1], x[3]);
    const vector even_b = SCALE_ADD(-SQUARE_A, x[2], x[4]), odd_b = SCALE_ADD(-SQUARE_A, x[1], x[3]);
    const vector low = SCALE(SQUARE_A * SQUARE_B, x[0]), high = SCALE(SQUARE_A * SQUARE_B, x[1]);
    y[0] = ADD(SCALE_ADD(-(SQUARE_A + SQUARE_B), x[2], x[4]), low);
    y[1] = SCALE_ADD(POINT_A, odd_a, even_a);
    y[2] = SCALE_ADD(-POINT_A, odd_a, even_a);
    y[3] = SCALE_ADD(POINT_B, odd_b, even_b);
    y[4] = SCALE_ADD(-POINT_B, odd_b, even_b);
    y[5] = ADD(SCALE_ADD(-(SQUARE_A + SQUARE_B), x[3], x[5]), high);
}

static inline void KERNEL(result_step)(const vector x[6], vector y[4]) {
    const vector zero = {0};
    const vector even_a = ADD(x[1], x[2]), odd_a = SUBTRACT(x[1], x[2]);
    const vector even_b = ADD(x[3], x[4]), odd_b = SUBTRACT(x[3], x[4]);
    y[0] = ADD(ADD(x[0], even_a), even_b);
    y[1] = SCALE_ADD(POINT_A, odd_a, SCALE(POINT_B, odd_b));
    y[2] = SCALE_ADD(SQUARE_A, even_a, SCALE(SQUARE_B, even_b));
    y[3] = SCALE_ADD(POINT_A * SQUARE_A, odd_a, SCALE_ADD(POINT_B * SQUARE_B, odd_b, x[5]));
}

static inline void KERNEL(spread_step)(const vector x[4], vector y[6]) {
    const vector even_a = SCALE_ADD(SQUARE_A, x[2], x[0]), odd_a = SCALE_ADD(SQUARE_A, x[3], x[1]);
    const vector even_b = SCALE_ADD(SQUARE_B, x[2], x[0]), odd_b = SCALE_ADD(SQUARE_B, x[3], x[1]);
    y[0] = x[0];
    y[1] = SCALE_ADD(POINT_A, odd_a, even_a);
    y[2] = SCALE_ADD(-POINT_A, odd_a, even_a);
    y[3] = SCALE_ADD(POINT_B, odd_b, even_b);
    y[4] = SCALE_ADD(-POINT_B, odd_b, even_b);
    y[5] = x[3];
}

static inline void KERNEL(filter_step)(const vector x[3], vector y[6]) {
    const vector zero = {0};
    const vector even_a = SCALE(SCALE_A, SCALE_ADD(SQUARE_A, x[2], x[0])),
                 even_b = SCALE(SCALE_B, SCALE_ADD(SQUARE_B, x[2], x[0]));
    y[0] = SCALE(SCALE_0, x[0]);
    y[1] = SCALE_ADD(SCALE_A * POINT_A, x[1], even_a);
    y[2] = SCALE_ADD(-SCALE_A * POINT_A, x[1], even_a);
    y[3] = SCALE_ADD(SCALE_B * POINT_B, x[1], even_b);
    y[4] = SCALE_ADD(-SCALE_B * POINT_B, x[1], even_b);
    y[5] = x[2];
}

static inline void KERNEL(gather_step)(const vector x[6], vector y[3]) {
    const vector zero = {0};
    const vector even_a = SCALE(SCALE_A, ADD(x[1], x[2])), odd_a = SCALE(SCALE_A, SUBTRACT(x[1], x[2]));
    const vector even_b = SCALE(SCALE_B, ADD(x[3], x[4])), odd_b = SCALE(SCALE_B, SUBTRACT(x[3], x[4]));
    y[0] = SCALE_ADD(SCALE_0, x[0], ADD(even_a, even_b));
    y[1] = SCALE_ADD(POINT_A, odd_a, SCALE(POINT_B, odd_b));
    y[2] = SCALE_ADD(SQUARE_A, even_a, SCALE_ADD(SQUARE_B, even_b, x[5]));
}

#undef ADD
#undef SUBTRACT
#undef SCALE
#undef SCALE_ADD

/* A transform of `from` lines to `to` lines. */
#define WINOGRAD(name, from, to)                                                                             \
    static void KERNEL(winograd_##name)(const float *const *lines, float *y, size_t y_stride,                \
                                        size_t count) {                                                      \
        const float *x[from];                                                                                \
        vector in[from], out[to];                                                                            \
        size_t i = 0;                                                                                        \
        for (int j = 0; j < from; j++)                                                                       \
            x[j] = lines[j];                                                                                 \
        for (; i + VECTOR_FLOATS <= count; i += VECTOR_FLOATS) {                                             \
            for (int j = 0; j < from; j++)                                                                   \
                in[j] = vector_load(x[j] + i);                                                               \
            KERNEL(name##_step)(in, out);                                                                    \
            for (int j = 0; j < to; j++)                                                                     \
                vector_store(y + (size_t)j * y_stride + i, out[j]);                                          \
        }                                                                                                    \
        if (i == count) return;                                                                              \
        for (int j = 0; j < from; j++)                                                                       \
            in[j] = vector_load_part(x[j] + i, count - i);                                                   \
        KERNEL(name##_step)(in, out);                                                                        \
        for (int j = 0; j < to; j++)                                                                         \
            vector_store_part(y + (size_t)j * y_stride + i, out[j], count - i);                              \
    }
WINOGRAD(source, 6, 6)
WINOGRAD(result, 6, 4)
WINOGRAD(spread, 4, 6)
WINOGRAD(filter, 3, 6)
WINOGRAD(gather, 6, 3)
#undef WINOGRAD

/* ------------------------------------------------------------------------------------------------ reductions
 * -- */

static float KERNEL(largest)(const float *x, size_t count) {
    float lanes[LANES], result = x[0];
    for (int j = 0; j < LANES; j++)
        lanes[j] = x[0];
    for (; count >= LANES; count -= LANES, x += LANES)
        for (int j = 0; j < LANES; j++)
            lanes[j] = x[j] > lanes[j] ? x[j] : lanes[j];
    for (size_t j = 0; j < count; j++)
        lanes[j] = x[j] > lanes[j] ? x[j] : lanes[j];
    for (int j = 0; j < LANES; j++)
        result = lanes[j] > result ? lanes[j] : result;
    return result;
}

static double KERNEL(join)(const float lanes[LANES]) {
    float sums[LANES / 4];
    double result = 0;
    for (int j = 0; j < LANES / 4; j++)
        sums[j] = (lanes[j] + lanes[j + LANES / 4]) + (lanes[j + LANES / 2] + lanes[j + 3 * LANES / 4]);
    for (int j = 0; j < LANES / 4; j++)
        result += (double)sums[j];
    return result;
}

static double KERNEL(sum)(const float *x, size_t count) {
    float lanes[LANES] = {0};
    for (; count >= LANES; count -= LANES, x += LANES)
        for (int j = 0; j < LANES; j++)
            lanes[j] += x[j];
    for (size_t j = 0; j < count; j++)
        lanes[j] += x[j];
    return KERNEL(join)(lanes);
}

static double KERNEL(dot)(const float *x, const float *y, size_t count) {
    float lanes[LANES] = {0};
    for (; count >= LANES; count -= LANES, x += LANES, y += LANES)
        for (int j = 0; j < LANES; j++)
            lanes[j] += x[j] * y[j];
    for (size_t j = 0; j < count; j++)
        lanes[j] += x[j] * y[j];
    return KERNEL(join)(lanes);
}

static double KERNEL(sum_squares)(const float *x, float mean, size_t count) {
    float lanes[LANES] = {0};
    for (; count >= LANES; count -= LANES, x += LANES)
        for (int j = 0; j < LANES; j++)
            lanes[j] += (x[j] - mean) * (x[j] - mean);
    for (size_t j = 0; j < count; j++)
        lanes[j] += (x[j] - mean) * (x[j] - mean);
    return KERNEL(join)(lanes);
}

static float KERNEL(exp_sum)(float *x, float scale, float shift, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = exponential(scale * x[i] - shift);
    return (float)KERNEL(sum)(x, count);
}

static const cpu_kernels KERNEL(table) = {
    .columns = TILE_COLUMNS,
    .name = KERNEL_NAME,
    .multiply = KERNEL(multiply),
    .multiply_packed = KERNEL(multiply_packed),
    .deal = KERNEL(deal),
    .load = KERNEL(load),
    .unpack = KERNEL(unpack),
    .store = KERNEL(store),
    .fill = KERNEL(fill),
    .activate = KERNEL(activate),
    .gate = KERNEL(gate),
    .add = KERNEL(add),
    .multiply_by = KERNEL(multiply_by),
    .combine = KERNEL(combine),
    .affine = KERNEL(affine),
    .normalize = KERNEL(normalize),
    .add_squares = KERNEL(add_squares),
    .gather = KERNEL(gather),
    .winograd_source = KERNEL(winograd_source),
    .winograd_result = KERNEL(winograd_result),
    .winograd_spread = KERNEL(winograd_spread),
    .winograd_filter = KERNEL(winograd_filter),
    .winograd_gather = KERNEL(winograd_gather),
    .slope = KERNEL(slope),
    .add_products = KERNEL(add_products),
    .normalize_slope = KERNEL(normalize_slope),
    .score_slope = KERNEL(score_slope),
    .adamw = KERNEL(adamw),
    .largest = KERNEL(largest),
    .sum = KERNEL(sum),
    .dot = KERNEL(dot),
    .sum_squares = KERNEL(sum_squares),
    .exp_sum = KERNEL(exp_sum),
};
