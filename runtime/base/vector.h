/* A short vector of floats: the one place that uses a compiler's vector types, for the few inner loops that compilers do not
 * turn into good code by themselves. Its width follows from the instruction set the file is compiled for. */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include <string.h>

#if defined(__AVX512F__)
#define VECTOR_FLOATS 16
#elif defined(__AVX2__)
#define VECTOR_FLOATS 8
#else
#define VECTOR_FLOATS 4
#endif

#if defined(__GNUC__)
typedef float vector __attribute__((vector_size(4 * VECTOR_FLOATS)));
#else
typedef struct vector {
    float at[VECTOR_FLOATS];
} vector;
#endif

/* From and to any address. */
static inline vector vector_load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline void vector_store(float *to, vector v) {
    memcpy(to, &v, sizeof v);
}

/* The first `count` < VECTOR_FLOATS values, zeros behind; and back. */
static inline vector vector_load_part(const float *from, size_t count) {
    vector v = {0};
    memcpy(&v, from, count * sizeof *from);
    return v;
}

static inline void vector_store_part(float *to, vector v, size_t count) {
    memcpy(to, &v, count * sizeof *to);
}

/* x * y + sum, where the compiler may round once or twice. */
static inline vector vector_multiply_add(float x, vector y, vector sum) {
#if defined(__GNUC__)
    return x * y + sum;
#else
    for (int i = 0; i < VECTOR_FLOATS; i++) sum.at[i] += x * y.at[i];
    return sum;
#endif
}

#endif
