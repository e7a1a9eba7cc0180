/* Inner loops for x86 processors with AVX2 and FMA; the build gives this file alone the options for them. */
#include "cpu/kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#define KERNEL(name) name##_avx2
#define KERNEL_NAME  "AVX2"
#include "cpu/kernels_body.h"

const cpu_kernels *kernels_avx2(void) {
    return &table_avx2;
}
#else
const cpu_kernels *kernels_avx2(void) {
    return NULL;
}
#endif
