// layer_norm_grad: dx of each row, which a workgroup shares. With d = x - mean and r = 1 / sqrt(variance + eps), one pass over the
// row makes sum(d^2), sum(g) and sum(g * d).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "reduce.glsl"

PUSH_CONSTANTS(MZT_PARAMS_LAYER_NORM_GRAD)
layout(binding = 0) readonly buffer X { A x[]; };
layout(binding = 1) readonly buffer Gamma { float gamma[]; };
layout(binding = 2) readonly buffer Dy { A dy[]; };
layout(binding = 3) writeonly buffer Dx { A dx[]; };

void main() {
    uint row = GROUP, base = row * p.c, id = gl_LocalInvocationID.x;
    if (row >= p.rows) return;
    float sum = 0.0, squares = 0.0, sum_g = 0.0, product = 0.0, count = float(p.c);
    for (uint i = id; i < p.c; i += LOCAL) sum += float(x[base + i]);
    float mean = workgroup_sum(sum) / count;
    for (uint i = id; i < p.c; i += LOCAL) {
        float d = float(x[base + i]) - mean, g = float(dy[base + i]) * gamma[i];
        squares = fma(d, d, squares);
        sum_g += g;
        product = fma(g, d, product);
    }
    float r = inversesqrt(workgroup_sum(squares) / count + p.eps);
    sum_g = workgroup_sum(sum_g) / count;
    product = workgroup_sum(product) * r * r / count;
    for (uint i = id; i < p.c; i += LOCAL) {
        float d = float(x[base + i]) - mean, g = float(dy[base + i]) * gamma[i];
        dx[base + i] = A(r * (g - sum_g - d * product));
    }
}
