// attention_grad: dq, dk or dv. A workgroup has 64 rows (queries for dq, keys for dk and dv) x 64 channels of one head, and goes
// through the other side 32 positions at a time: scores, from them probabilities and with `stats` their gradients (Dao et al.,
// 2022), into shared memory, then times the vectors of the other side. No score ever reaches global memory.
// Heads larger than 64 take several workgroups, each of which makes the scores anew.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_ATTENTION_GRAD)
layout(binding = 0) readonly buffer Q { A q[]; };
layout(binding = 1) readonly buffer K { A k[]; };
layout(binding = 2) readonly buffer Values { A v[]; };
layout(binding = 3) readonly buffer Gradient { A dout[]; };
layout(binding = 4) readonly buffer Stats { vec2 stats[]; };
layout(binding = 5) writeonly buffer Dx { A dx[]; };

#define FROM_Q 0u
#define FROM_K 1u
#define FROM_V 2u
#define FROM_DOUT 3u
#include "attention_tile.glsl"

float element(uint source, uint i) {
    if (source == FROM_Q) return float(q[i]);
    if (source == FROM_K) return float(k[i]);
    if (source == FROM_V) return float(v[i]);
    return float(dout[i]);
}

#define FACTOR_PITCH 9u // quads
shared vec4 factors[ROWS * FACTOR_PITCH]; // [64][32]: by what the other side's vectors are multiplied

// The pair's probability, or the gradient of its score; stats0: the head's first query in `stats`.
float factor_of(uint stats0, uint query, uint key, float score, float slope) {
    bool hidden = (p.flags & ATTENTION_CAUSAL) != 0u && key > query;
    if (query >= p.lq || key >= p.lk || hidden) return 0.0;
    vec2 known = stats[stats0 + query];
    float probability = exp(fma(p.scale, score, -known.x));
    return p.kind == ATTENTION_GRAD_V ? probability : p.scale * probability * (slope - known.y);
}

// Factors of all pairs of the rows with OTHERS positions of the other side. Two products: first dout v^T, which dv does
// without, then the scores.
void make_factors(uint stats0) {
    bool queries = p.kind == ATTENTION_GRAD_Q;
    vec4 slopes[4];
    for (uint last = p.kind == ATTENTION_GRAD_V ? 1u : 0u; last < 2u; last++) {
        for (uint i = 0u; i < 4u; i++) slopes[i] = product[i];
        uint of_query = last == 0u ? FROM_DOUT : FROM_Q, of_key = last == 0u ? FROM_V : FROM_K;
        multiply(queries ? of_query : of_key, queries ? of_key : of_query);
    }
    uint other = others.first + 4u * TX;
    for (uint i = 0u; i < 4u; i++) {
        uint row = rows.first + TY + 16u * i;
        vec4 r;
        for (uint j = 0u; j < 4u; j++)
            r[j] = factor_of(stats0, queries ? row : other + j, queries ? other + j : row, product[i][j], slopes[i][j]);
        factors[(TY + 16u * i) * FACTOR_PITCH + TX] = r;
    }
}

// Finds rows, others and head of a workgroup; false: there is none.
bool place(uint block, uint row_length, uint other_length) {
    uint blocks = (row_length + ROWS - 1u) / ROWS, pair = block / blocks, sample_ = pair / p.heads;
    head = pair - sample_ * p.heads;
    rows = Side(sample_ * row_length, (sample_ + 1u) * row_length - 1u, (block - pair * blocks) * ROWS);
    others = Side(sample_ * other_length, (sample_ + 1u) * other_length - 1u, 0u);
    return sample_ < p.batch;
}

void main() {
    bool queries = p.kind == ATTENTION_GRAD_Q, causal = (p.flags & ATTENTION_CAUSAL) != 0u;
    uint row_length = queries ? p.lq : p.lk, end = queries ? p.lk : p.lq, chunks = (p.d + 63u) / 64u, block = GROUP / chunks;
    if (!place(block, row_length, end)) return; // the whole workgroup
    uint stats0 = (rows.begin / row_length * p.heads + head) * p.lq;
    if (causal && queries) end = min(end, rows.first + ROWS);
    if (causal && !queries) others.first = rows.first / OTHERS * OTHERS;
    uint source = queries ? FROM_K : (p.kind == ATTENTION_GRAD_K ? FROM_Q : FROM_DOUT);

    // Here invocation (ty, tx) of 8 x 16 has rows ty + 8i and a quad of channels.
    uint id = gl_LocalInvocationID.x, tx = id % 16u, ty = id / 16u, quad0 = (GROUP - block * chunks) * 16u;
    vec4 sums[8];
    for (uint i = 0u; i < 8u; i++) sums[i] = vec4(0.0);
    for (; others.first < end; others.first += OTHERS) {
        make_factors(stats0);
        for (uint part = 0u; part < OTHERS; part += 16u) { // 16 vectors fit the pool
            barrier();
            for (uint i = ty; i < 16u; i += 8u)
                pool[i * 16u + tx] =
                    load_quad(source, min(others.begin + others.first + part + i, others.last), quad0 + tx);
            barrier();
            for (uint quad = 0u; quad < 4u; quad++) {
                for (uint i = 0u; i < 8u; i++) {
                    vec4 f = factors[(ty + 8u * i) * FACTOR_PITCH + part / 4u + quad];
                    for (uint j = 0u; j < 4u; j++)
                        sums[i] = fma(vec4(f[j]), pool[(4u * quad + j) * 16u + tx], sums[i]);
                }
            }
        }
    }
    for (uint i = 0u; i < 8u; i++) {
        uint row = rows.first + ty + 8u * i, channel = 4u * (quad0 + tx);
        uint base = ((rows.begin + row) * p.heads + head) * p.d;
        for (uint j = 0u; j < 4u; j++) {
            if (row < row_length && channel + j < p.d) dx[base + channel + j] = A(sums[i][j]);
        }
    }
}
