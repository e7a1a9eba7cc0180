// loss_grad: dx = scale * weight * f'(x - target).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "losses.glsl"

PUSH_CONSTANTS(MZT_PARAMS_LOSS_GRAD)
layout(binding = 0) readonly buffer X { A x[]; };
layout(binding = 1) readonly buffer Target { float target[]; };
layout(binding = 2) readonly buffer Weight { float weight[]; };
layout(binding = 3) readonly buffer Factor { float factor[]; };
layout(binding = 4) writeonly buffer Dx { A dx[]; };

void main() {
    uint i = ITEM;
    if (i >= p.count) return;
    float d = float(x[i]);
    if ((p.flags & LOSS_TARGET) != 0u) d -= target[i];
    float slope = p.scale * loss_slope(p.kind, p.beta, d);
    if (p.weight_each != 0u) slope *= weight[(p.weight_first + i) / p.weight_each];
    if ((p.flags & LOSS_SCALED) != 0u) slope *= factor[LOSS_SCALE_NOW];
    dx[i] = A(slope);
}
