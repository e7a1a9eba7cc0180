// layer_norm: (x - mean) / sqrt(variance + eps) * gamma + beta for each row. A workgroup shares a row; with DIRECT (devices
// that are CPUs inside) each invocation has a row of its own. Sums of distances to the mean, never of squares: no cancellation.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_LAYER_NORM)
layout(binding = 0) readonly buffer X { AV x[]; };
layout(binding = 1) readonly buffer Gamma { V gamma[]; };
layout(binding = 2) readonly buffer Beta { V beta[]; };
layout(binding = 3) writeonly buffer Out { AV result[]; };

#ifdef DIRECT
#define ROW ITEM
#define BEGIN 0u
#define STEP 1u
#define SUM(value) value
#else
#include "reduce.glsl"
#define ROW GROUP
#define BEGIN gl_LocalInvocationID.x
#define STEP LOCAL
#define SUM(value) workgroup_sum(value)
#endif

#ifdef VEC4
#define ACROSS(value) dot(value, vec4(1.0))
#else
#define ACROSS(value) value
#endif

void main() {
    uint row = ROW, c = p.c / WIDTH, base = row * c;
    if (row >= p.rows) return;
    V sum = V(0.0), squares = V(0.0);
    for (uint i = BEGIN; i < c; i += STEP) sum += V(x[base + i]);
    float mean = SUM(ACROSS(sum)) / float(p.c);
    for (uint i = BEGIN; i < c; i += STEP) {
        V distance_ = V(x[base + i]) - mean;
        squares = fma(distance_, distance_, squares);
    }
    float scale = inversesqrt(SUM(ACROSS(squares)) / float(p.c) + p.eps);
    for (uint i = BEGIN; i < c; i += STEP)
        result[base + i] = AV(fma((V(x[base + i]) - mean) * scale, gamma[i], beta[i]));
}
