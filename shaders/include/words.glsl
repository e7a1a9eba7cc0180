// Arrays bound as words, so that f32, f16 and bf16 are read on every device without extensions: element i of a 16-bit array
// is half (i & 1) of word i / 2. The type is specialization constant 0 (a dtype of runtime/base/dtype.h), so one module serves
// all three.
#ifndef WORDS_GLSL
#define WORDS_GLSL

#define DTYPE_F32 0u
#define DTYPE_F16 1u
layout(constant_id = 0) const uint WORD_TYPE = DTYPE_F32;

// Element i, given the word that holds it.
float word_element(uint word, uint i) {
    if (WORD_TYPE == DTYPE_F32) return uintBitsToFloat(word);
    word >>= (i & 1u) << 4;
    return WORD_TYPE == DTYPE_F16 ? unpackHalf2x16(word).x : uintBitsToFloat(word << 16);
}

// Declares buffer `block` with its array `array` at binding `slot`, and `float name(uint i)`, which reads element i.
#define READ_WORDS(slot, block, array, name)                                                                               \
    layout(binding = slot) readonly buffer block { uint array[]; };                                                        \
    float name(uint i) {                                                                                                   \
        return word_element(array[WORD_TYPE == DTYPE_F32 ? i : i >> 1], i);                                                \
    }
#endif
