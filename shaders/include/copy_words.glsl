// Moves single elements of any type without looking at their values; each invocation makes one word of the output.
// Wanted of the includer: COUNT, the elements of the output, and uint source_of(uint i), the element of the input that goes to
// place i, or NOTHING for a zero.
#include "words.glsl"

#define NOTHING 0xffffffffu
uint source_of(uint i);

layout(binding = 0) readonly buffer X { uint x[]; };
layout(binding = 1) buffer Out { uint result[]; };

uint half_of(uint i) {
    uint from = source_of(i);
    return from == NOTHING ? 0u : x[from >> 1] >> ((from & 1u) << 4) & 0xffffu;
}

void main() {
    uint i = ITEM, count = COUNT;
    if (WORD_TYPE == DTYPE_F32) {
        if (i >= count) return;
        uint from = source_of(i);
        result[i] = from == NOTHING ? 0u : x[from];
    } else {
        if (i >= (count >> 1) + (count & 1u)) return;
        // What follows an odd number of elements is not ours.
        uint high = 2u * i + 1u < count ? half_of(2u * i + 1u) : result[i] >> 16;
        result[i] = half_of(2u * i) | high << 16;
    }
}
