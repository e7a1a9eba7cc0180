// unary: out = f(scale * x + shift); also the cast between element types (A_F16, OUT_F16 choose the two storages).
#version 460
#extension GL_GOOGLE_include_directive : require
#if defined(A_F16) || defined(OUT_F16)
#extension GL_EXT_shader_16bit_storage : require
#endif
#include "types.glsl"
#include "params.glsl"
#include "math.glsl"

#ifdef VEC4
#define HALF f16vec4
#else
#define HALF float16_t
#endif
#ifdef A_F16
#define X_TYPE HALF
#else
#define X_TYPE V
#endif
#ifdef OUT_F16
#define OUT_TYPE HALF
#else
#define OUT_TYPE V
#endif

PUSH_CONSTANTS(MZT_PARAMS_UNARY)
layout(binding = 0) readonly buffer X { X_TYPE x[]; };
layout(binding = 1) writeonly buffer Out { OUT_TYPE result[]; };

void main() {
    uint i = ITEM;
    if (i >= p.count / WIDTH) return;
    V v = fma(V(p.scale), V(x[i]), V(p.shift));
    if (p.kind == UNARY_SILU) v = silu(v);
    if (p.kind == UNARY_GELU) v = gelu(v);
    if (p.kind == UNARY_QUICK_GELU) v = quick_gelu(v);
    if (p.kind == UNARY_EXP) v = exp(v);
    if (p.kind == UNARY_TANH) v = V(1.0) - V(2.0) / (exp(V(2.0) * v) + V(1.0)); // tanh() overflows on some drivers
    if (p.kind == UNARY_RELU) v = max(v, V(0.0));
    result[i] = OUT_TYPE(v);
}
