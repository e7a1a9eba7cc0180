// Weight matrices, bound as words so that f32, f16 and bf16 work on every device without extensions: element i of a 16-bit
// array is half (i & 1) of word i / 2. The type is specialization constant 0 (a dtype of runtime/base/dtype.h), so one
// module serves all three. WEIGHT_BINDING says where.
#ifndef WEIGHTS_GLSL
#define WEIGHTS_GLSL

#define DTYPE_F32 0u
#define DTYPE_F16 1u
layout(constant_id = 0) const uint WEIGHT_TYPE = DTYPE_F32;

// Two 16-bit elements of a word, the lower half first.
vec2 weight_pair(uint word) {
    if (WEIGHT_TYPE == DTYPE_F16) return unpackHalf2x16(word);
    return vec2(uintBitsToFloat(word << 16), uintBitsToFloat(word & 0xffff0000u));
}

#ifdef WEIGHT_VEC4
layout(binding = WEIGHT_BINDING) readonly buffer Weights { uvec2 weights[]; };

// Elements i ... i + 3; i is a multiple of 4.
vec4 load_weight4(uint i) {
    if (WEIGHT_TYPE == DTYPE_F32) {
        uvec2 low = weights[i >> 1], high = weights[(i >> 1) + 1u];
        return vec4(uintBitsToFloat(low), uintBitsToFloat(high));
    }
    uvec2 words = weights[i >> 2];
    return vec4(weight_pair(words.x), weight_pair(words.y));
}
#else
layout(binding = WEIGHT_BINDING) readonly buffer Weights { uint weights[]; };

float load_weight(uint i) {
    if (WEIGHT_TYPE == DTYPE_F32) return uintBitsToFloat(weights[i]);
    vec2 pair = weight_pair(weights[i >> 1]);
    return (i & 1u) == 0u ? pair.x : pair.y;
}
#endif
#endif
