// gather_rows_grad: for each row of dx the sum of the rows of dy that were read from it. A workgroup has LOCAL columns of a row;
// it looks through the indices LOCAL at a time and notes hits as bits, which all its invocations then follow in order.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"
#include "words.glsl"
#include "sum.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GATHER_ROWS_GRAD)
layout(binding = 0) readonly buffer Index { uint index[]; };
READ_WORDS(1, Dy, dy_words, load_dy)
layout(binding = 2) writeonly buffer Dx { float dx[]; };

#define WORDS (LOCAL / 32u)
shared uint hits[WORDS];

void main() {
    uint id = gl_LocalInvocationID.x, across = (p.c + LOCAL - 1u) / LOCAL, row = GROUP / across;
    if (row >= p.blocks * p.block) return; // the whole workgroup
    uint column = (GROUP - row * across) * LOCAL + id, inner = row % p.block, block = p.block0 + row / p.block;
    uint blocks = p.x_rows / p.block, reads = p.rows / p.block;
    Sum sum = EMPTY_SUM;
    for (uint first = 0u; first < reads; first += LOCAL) {
        barrier();
        if (id < WORDS) hits[id] = 0u;
        barrier();
        uint from = first + id < reads ? index[first + id] : 0u;
        if (first + id < reads && (from < blocks ? from : p.beyond) == block) atomicOr(hits[id / 32u], 1u << (id & 31u));
        barrier();
        for (uint word = 0u; word < WORDS && column < p.c; word++) {
            for (uint bits = hits[word]; bits != 0u; bits &= bits - 1u) {
                uint read = first + 32u * word + uint(findLSB(bits));
                add(sum, load_dy((read * p.block + inner) * p.c + column));
            }
        }
    }
    if (column < p.c) dx[row * p.c + column] = sum.total;
}
