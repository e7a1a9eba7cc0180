/* The inner loops of the `cpu` executor, compiled once per instruction set from kernels_body.h and chosen at
 * run time. All work on f32 that is already in cache; types are converted on the way in and out. */
#ifndef CPU_KERNELS_H
#define CPU_KERNELS_H

#include <stdbool.h>

#include "base/dtype.h"

#define KERNEL_ROWS        6  /* rows of one register tile */
#define KERNEL_MAX_COLUMNS 32 /* the widest register tile of any instruction set */

/* By what adamw (see params.h) multiplies: g = gradient_scale * gradient; m = m_kept * m + m_new * g;
 * v = v_kept * v + v_new * g^2; weight -= decay * weight + rate * m / (sqrt(v * v_scale) + epsilon);
 * average += average_new * (weight - average). */
typedef struct adamw_factors {
    float gradient_scale, m_kept, m_new, v_kept, v_new, v_scale, decay, rate, epsilon, average_new;
} adamw_factors;

typedef struct cpu_kernels {
    const char *name;
    uint32_t columns; /* of one register tile, and so of one packed panel */

    /* c[KERNEL_ROWS][columns] (rows c_stride apart) = or += sum over runs r, k < lengths[r]: rows[r][i][k] *
     * b[k of all runs][columns]. rows holds KERNEL_ROWS pointers a run. */
    void (*multiply)(uint32_t runs, const float *const *rows, const uint32_t *lengths, const float *b,
                     float *c, size_t c_stride, bool accumulate);

    /* c[KERNEL_ROWS][columns] = or += sum over k < count: a[k][KERNEL_ROWS] * b[k][columns]. */
    void (*multiply_packed)(uint32_t count, const float *a, const float *b, float *c, size_t c_stride,
                            bool accumulate);
    /* A row of `count` values into the k-th place of such a's, one for KERNEL_ROWS values each and
     * group_stride apart; zeros behind the last. */
    void (*deal)(const float *row, size_t count, float *a, size_t group_stride);

    void (*load)(dtype type, const void *from, size_t count, float *to); /* any floating type to f32 */
    /* rows first ... first + count - 1 of a panel in blocks (fast.h) to f32 [count][columns] */
    void (*unpack)(dtype type, const void *panel, size_t first, size_t count, float *to);
    void (*store)(dtype type, void *to, const float *from,
                  size_t count); /* and back, rounded to nearest even */

    void (*fill)(float *x, float value, size_t count);
    void (*activate)(uint32_t kind, float *x, size_t count);     /* UNARY_*, in place */
    void (*gate)(float *value, const float *gate, size_t count); /* value *= gelu(gate) */
    void (*add)(float *x, const float *y, size_t count);         /* x += y */
    void (*multiply_by)(float *x, const float *y, size_t count); /* x *= y */
    void (*combine)(float *x, float scale, const float *y, float y_scale,
                    size_t count);                                    /* x = scale*x + y_scale*y */
    void (*affine)(float *x, float scale, float shift, size_t count); /* x = scale*x + shift */
    void (*normalize)(float *x, const float *mean, const float *scale, const float *shift, size_t count);
    /* sums[c] += x[c]; sums[c] += (x[c] - mean[c])^2 */
    void (*add_squares)(float *sums, const float *x, const float *mean, size_t count);

    /* to[count][columns], lanes 0 ... length - 1 = rows[i][offset ... offset + length - 1] */
    void (*gather)(const float *const *rows, size_t offset, uint32_t count, uint32_t length, float *to);

    /* Winograd's transforms (see fast_winograd.c) along one axis, of `count` channels at a time: lines x[0
     * ... 5] to lines y, y_stride apart. By the transposed matrices too, for gradients. */
    void (*winograd_source)(const float *const *x, float *y, size_t y_stride, size_t count); /* 6 to 6: B^T */
    void (*winograd_result)(const float *const *x, float *y, size_t y_stride, size_t count); /* 6 to 4: A^T */
    void (*winograd_spread)(const float *const *x, float *y, size_t y_stride, size_t count); /* 4 to 6: A */
    void (*winograd_filter)(const float *const *x, float *y, size_t y_stride, size_t count); /* 3 to 6: G */
    void (*winograd_gather)(const float *const *x, float *y, size_t y_stride, size_t count); /* 6 to 3: G^T */

    void (*slope)(uint32_t kind, float *x, size_t count); /* the derivative of UNARY_* at x, in place */
    /* sums[c] += y[c] * (x[c] - mean[c]) */
    void (*add_products)(float *sums, const float *y, const float *x, const float *mean, size_t count);
    /* y = scale * y + slope * (x - mean) + shift, each of its channel */
    void (*normalize_slope)(float *y, const float *x, const float *mean, const float *scale,
                            const float *slope, const float *shift, size_t count);
    /* x = exp(scale * x - shift); with y also x *= scale * (y - y_shift): see attention_grad in params.h */
    void (*score_slope)(float *x, const float *y, float scale, const float *shift, const float *y_shift,
                        size_t count);
    void (*adamw)(const adamw_factors *by, const float *gradient, float *weight, float *m, float *v,
                  float *average, size_t count); /* average may be NULL */

    float (*largest)(const float *x, size_t count);
    double (*sum)(const float *x, size_t count);
    double (*dot)(const float *x, const float *y, size_t count);
    double (*sum_squares)(const float *x, float mean, size_t count); /* of distances to mean */
    float (*exp_sum)(float *x, float scale, float shift,
                     size_t count); /* x = exp(scale*x - shift); their sum */
} cpu_kernels;

/* NULL where the compiler was not told to make them. */
const cpu_kernels *kernels_generic(void);
const cpu_kernels *kernels_avx2(void);
const cpu_kernels *kernels_avx512(void);

/* The widest that this processor has. */
const cpu_kernels *kernels_choose(void);

#endif
