/* Inner loops for any processor, and the choice between the sets. */
#define KERNEL(name) name##_generic
#define KERNEL_NAME  ""
#include "cpu/kernels_body.h"

const cpu_kernels *kernels_generic(void) {
    return &table_generic;
}

const cpu_kernels *kernels_choose(void) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    if (kernels_avx512() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("fma"))
        return kernels_avx512();
    if (kernels_avx2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return kernels_avx2();
#endif
    return kernels_generic();
}
