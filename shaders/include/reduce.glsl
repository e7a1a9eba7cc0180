// Sum over a workgroup through shared memory; every invocation gets the result. LOCAL is a power of two. All invocations must
// call it.
#ifndef REDUCE_GLSL
#define REDUCE_GLSL
shared float reduce_values[LOCAL];

float workgroup_sum(float value) {
    uint id = gl_LocalInvocationID.x;
    barrier();
    reduce_values[id] = value;
    for (uint step = LOCAL / 2u; step > 0u; step >>= 1) {
        barrier();
        if (id < step) reduce_values[id] += reduce_values[id + step];
    }
    barrier();
    return reduce_values[0];
}
#endif
