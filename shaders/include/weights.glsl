// Weight matrices, bound as words so that f32, f16 and bf16 work on every device without extensions: element i of a 16-bit
// array is half (i & 1) of word i / 2. The type is specialization constant 0 (a dtype of runtime/base/dtype.h), so one
// module serves all three; WEIGHT_BLOCKS makes one for the two types in blocks (runtime/base/block.h). WEIGHT_BINDING says
// where.
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

#ifdef WEIGHT_BLOCKS
#define DTYPE_Q8 4u
layout(binding = WEIGHT_BINDING) readonly buffer Weights { uint weights[]; };

// A block's scale and shift. Scales of small weights are subnormal halves, which unpackHalf2x16 may take for zero.
vec2 block_head(uint word) {
    uvec2 halves = uvec2(word & 0xffffu, word >> 16);
    vec2 tiny = uintBitsToFloat(floatBitsToUint(vec2(halves & 0x3ffu) * 5.9604644775390625e-8) | (halves & 0x8000u) << 16);
    return mix(unpackHalf2x16(word), tiny, equal(halves & 0x7c00u, uvec2(0u)));
}

// Elements i ... i + 3; i is a multiple of 4. One word of q8 holds them; in q4, the lower or upper halves of its bytes.
vec4 load_weight4(uint i) {
    bool bytes = WEIGHT_TYPE == DTYPE_Q8;
    uint quad = i >> 2 & 7u, block = (i >> 5) * (bytes ? 9u : 5u);
    uint word = weights[block + 1u + (bytes ? quad : quad & 3u)];
    vec2 head = block_head(weights[block]);
    vec4 q;
    if (bytes)
        q = vec4(ivec4(int(word << 24), int(word << 16), int(word << 8), int(word)) >> 24);
    else
        q = vec4(uvec4(word, word >> 8, word >> 16, word >> 24) >> (quad & 4u) & 15u);
    return fma(q, vec4(head.x), vec4(head.y));
}
#elif defined(WEIGHT_VEC4)
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
