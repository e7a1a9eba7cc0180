// binary: a_scale*a + b_scale*b, or a*b, with b repeating.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_BINARY)
layout(binding = 0) readonly buffer First { AV a[]; };
layout(binding = 1) readonly buffer Second { AV b[]; };
layout(binding = 2) writeonly buffer Out { AV result[]; };

void main() {
    uint i = ITEM;
    if (i >= p.count / WIDTH) return;
    V left = V(a[i]), right = V(b[i % (p.b_count / WIDTH)]);
    result[i] = AV(p.kind == BINARY_MUL ? left * right : p.a_scale * left + p.b_scale * right);
}
