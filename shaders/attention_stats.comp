// attention_stats: of each query the logarithm of the sum over its keys, and dout . out. A workgroup has 64 queries of one head and
// goes through the keys 32 at a time; every invocation keeps the maximum and the sum of its own scores, and those of a query
// are joined at the end.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "params.glsl"
#include "words.glsl"

PUSH_CONSTANTS(MZT_PARAMS_ATTENTION_STATS)
READ_WORDS(0, Q, q_words, load_q)
READ_WORDS(1, K, k_words, load_k)
READ_WORDS(2, Values, out_words, load_out)
READ_WORDS(3, Gradient, dout_words, load_dout)
layout(binding = 4) writeonly buffer Stats { float result[]; };

#define FROM_Q 0u
#define FROM_K 1u
#include "attention_tile.glsl"
#define LOWEST -1e30

float element(uint source, uint i) {
    if (source == FROM_Q) return load_q(i);
    return load_k(i);
}

shared vec2 joined[ROWS * 8u];

// The invocation's scores in `product` into its maxima and sums.
void take_scores(inout float highest[4], inout float sums[4]) {
    bool causal = (p.flags & ATTENTION_CAUSAL) != 0u;
    uint first = others.first + 4u * TX;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        uint query = rows.first + TY + 16u * i, visible = causal ? min(query + 1u, p.lk) : p.lk;
        vec4 score = p.scale * product[i];
        float top = highest[i];
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            if (first + j >= visible) score[j] = LOWEST;
            top = max(top, score[j]);
        }
        float sum = sums[i] * exp(highest[i] - top);
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            if (first + j < visible) sum += exp(score[j] - top);
        }
        highest[i] = top;
        sums[i] = sum;
    }
}

void main() {
    uint blocks = (p.lq + ROWS - 1u) / ROWS, pair = GROUP / blocks, sample_ = pair / p.heads;
    if (sample_ >= p.batch) return; // the whole workgroup
    head = pair - sample_ * p.heads;
    rows = Side(sample_ * p.lq, (sample_ + 1u) * p.lq - 1u, (GROUP - pair * blocks) * ROWS);
    others = Side(sample_ * p.lk, (sample_ + 1u) * p.lk - 1u, 0u);
    uint end = (p.flags & ATTENTION_CAUSAL) != 0u ? min(rows.first + ROWS, p.lk) : p.lk;
    float highest[4], sums[4];
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        highest[i] = LOWEST;
        sums[i] = 0.0;
    }
    for (; others.first < end; others.first += OTHERS) {
        multiply(FROM_Q, FROM_K);
        take_scores(highest, sums);
    }
    [[unroll]] for (uint i = 0u; i < 4u; i++) joined[(TY + 16u * i) * 8u + TX] = vec2(highest[i], sums[i]);
    barrier();
    uint id = gl_LocalInvocationID.x, query = rows.first + id;
    if (id >= ROWS || query >= p.lq) return;
    float top = LOWEST, sum = 0.0, gradient = 0.0;
    for (uint i = 0u; i < 8u; i++) top = max(top, joined[id * 8u + i].x);
    for (uint i = 0u; i < 8u; i++) sum = fma(joined[id * 8u + i].y, exp(joined[id * 8u + i].x - top), sum);
    uint base = ((rows.begin + query) * p.heads + head) * p.d;
    for (uint i = 0u; i < p.d; i++) gradient = fma(load_out(base + i), load_dout(base + i), gradient);
    uint at = (pair * p.lq + query) * 2u;
    result[at] = top + log(sum);
    result[at + 1u] = gradient;
}
