/* Inner loops for x86 processors with AVX-512 (F, BW, DQ, VL); the build gives this file alone the options
 * for them. */
#include "cpu/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#define KERNEL(name) name##_avx512
#define KERNEL_NAME  "AVX-512"
#include "cpu/kernels_body.h"

const cpu_kernels *kernels_avx512(void) {
    return &table_avx512;
}
#else
const cpu_kernels *kernels_avx512(void) {
    return NULL;
}
#endif
