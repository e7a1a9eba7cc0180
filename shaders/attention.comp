// attention: softmax(scale * q k^T) v, one pass over the keys with a running maximum and sum (Milakov and Gimelshein, 2018;
// Dao et al., 2022), so that no score ever reaches memory.
// LANES invocations share a query row: each keeps every LANES-th quad of q and of the result in registers; their partial scores
// meet in shared memory. Keys and values pass by in blocks of KEYS, staged in shared memory, or straight from global memory
// with DIRECT (devices that are CPUs inside; LANES is 1 then, and nothing needs a barrier).
// Sizes are build-time: TILE_N (largest head size, a multiple of 4 * LANES), LANES, KEYS, LOCAL; smaller heads see zeros beyond p.d.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_ATTENTION)
layout(binding = 0) readonly buffer Q { AV q[]; };
layout(binding = 1) readonly buffer K { AV k[]; };
layout(binding = 2) readonly buffer Values { AV v[]; };
layout(binding = 3) writeonly buffer Out { AV result[]; };

#define QUADS (TILE_N / 4u)
#define OWN (QUADS / LANES) // quads of each invocation
#define QUERIES (LOCAL / LANES)
// Keys between two updates of the running maximum.
#ifndef BATCH
#if LANES > 1
#define BATCH KEYS
#else
#define BATCH 8u
#endif
#endif
#define LOWEST -1e30

#ifndef DIRECT
shared vec4 tile_k[KEYS * QUADS];
shared vec4 tile_v[KEYS * QUADS];
#endif
#if LANES > 1
shared float partial[KEYS * LOCAL];
#endif

// Quad `quad` of the head whose first element is `base`.
#ifdef VEC4
#define LOAD_QUAD(name, buffer_name)                                                                                       \
    vec4 name(uint base, uint quad) {                                                                                      \
        return 4u * quad < p.d ? vec4(buffer_name[(base >> 2) + quad]) : vec4(0.0);                                        \
    }
#else
#define LOAD_QUAD(name, buffer_name)                                                                                       \
    vec4 name(uint base, uint quad) {                                                                                      \
        vec4 r = vec4(0.0);                                                                                                \
        [[unroll]] for (uint j = 0u; j < 4u; j++) {                                                                        \
            if (4u * quad + j < p.d) r[j] = float(buffer_name[base + 4u * quad + j]);                                      \
        }                                                                                                                  \
        return r;                                                                                                          \
    }
#endif
LOAD_QUAD(load_q, q)
#ifndef DIRECT
LOAD_QUAD(load_k, k)
LOAD_QUAD(load_v, v)
#endif

float dot_add(vec4 a, vec4 b, float sum) {
    return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

void main() {
    uint id = gl_LocalInvocationID.x, lane = id % LANES, blocks = (p.lq + QUERIES - 1u) / QUERIES;
    uint pair = GROUP / blocks, sample_ = pair / p.heads, head = pair - sample_ * p.heads;
    if (pair >= p.batch * p.heads) return; // the whole workgroup
    uint query0 = (GROUP - pair * blocks) * QUERIES, query = query0 + id / LANES;
    uint k_base = sample_ * p.lk * p.k_stride + p.k_offset + head * p.d;
    uint v_base = sample_ * p.lk * p.v_stride + p.v_offset + head * p.d;
    uint q_base = (sample_ * p.lq + min(query, p.lq - 1u)) * p.q_stride + p.q_offset + head * p.d;

#ifdef DIRECT
    uint last_quad = p.d / 4u - 1u;
#endif
    vec4 own_q[OWN], acc[OWN];
    float scale = p.scale * 1.4426950408889634; // scores in powers of two
    [[unroll]] for (uint i = 0u; i < OWN; i++) {
        own_q[i] = scale * load_q(q_base, i * LANES + lane);
        acc[i] = vec4(0.0);
    }
    float highest = LOWEST, sum = 0.0;
    bool causal = (p.flags & ATTENTION_CAUSAL) != 0u;
    uint visible = causal ? min(query + 1u, p.lk) : p.lk;                   // keys that this row sees
    uint end = causal ? min(query0 + QUERIES, p.lk) : p.lk; // keys that any row of the workgroup sees

    for (uint block = 0u; block < end; block += KEYS) {
#ifndef DIRECT
        barrier();
        for (uint i = id; i < KEYS * QUADS; i += LOCAL) {
            uint key = i / QUADS, quad = i - key * QUADS;
            bool there = block + key < p.lk;
            tile_k[i] = there ? load_k(k_base + (block + key) * p.k_stride, quad) : vec4(0.0);
            tile_v[i] = there ? load_v(v_base + (block + key) * p.v_stride, quad) : vec4(0.0);
        }
        barrier();
#define KEY_QUAD(key, quad) tile_k[(key) * QUADS + (quad)]
#define VALUE_QUAD(key, quad) tile_v[(key) * QUADS + (quad)]
#else
        // Keys beyond the last read the last one again and weigh nothing. Quads beyond the head read its last one: they meet
        // zeros of q, or give results that nobody stores. No branches here: SwiftShader takes minutes to compile them.
#define DIRECT_QUAD(buffer_name, base, stride, key, quad)                                                                  \
    vec4(buffer_name[((base + min(block + (key), p.lk - 1u) * stride) >> 2) + min(quad, last_quad)])
#define KEY_QUAD(key, quad) DIRECT_QUAD(k, k_base, p.k_stride, key, quad)
#define VALUE_QUAD(key, quad) DIRECT_QUAD(v, v_base, p.v_stride, key, quad)
#endif
        for (uint first = 0u; first < KEYS; first += BATCH) {
            float score[BATCH];
            [[unroll]] for (uint j = 0u; j < BATCH; j++) score[j] = 0.0;
            [[unroll]] for (uint i = 0u; i < OWN; i++) {
                [[unroll]] for (uint j = 0u; j < BATCH; j++)
                    score[j] = dot_add(own_q[i], KEY_QUAD(first + j, i * LANES + lane), score[j]);
            }
#if LANES > 1
            [[unroll]] for (uint j = 0u; j < BATCH; j++) partial[j * LOCAL + id] = score[j];
            barrier();
            [[unroll]] for (uint j = 0u; j < BATCH; j++) {
                score[j] = 0.0;
                for (uint i = 0u; i < LANES; i++) score[j] += partial[j * LOCAL + id - lane + i];
            }
#endif
            float top = highest;
            [[unroll]] for (uint j = 0u; j < BATCH; j++) {
                if (block + first + j >= visible) score[j] = LOWEST;
                top = max(top, score[j]);
            }
            float shrink = exp2(highest - top);
            highest = top;
            sum *= shrink;
            [[unroll]] for (uint i = 0u; i < OWN; i++) acc[i] *= shrink;
            [[unroll]] for (uint j = 0u; j < BATCH; j++) {
                float weight = exp2(score[j] - top);
                sum += weight;
                [[unroll]] for (uint i = 0u; i < OWN; i++)
                    acc[i] = fma(VALUE_QUAD(first + j, i * LANES + lane), vec4(weight), acc[i]);
            }
        }
    }

    if (query >= p.lq) return;
    uint out_base = (sample_ * p.lq + query) * p.o_stride + head * p.d;
    float inverse = 1.0 / sum; // at least 1: the largest score weighs 1
    [[unroll]] for (uint i = 0u; i < OWN; i++) {
        uint quad = i * LANES + lane;
        vec4 r = acc[i] * inverse;
#ifdef VEC4
        if (4u * quad < p.d) result[(out_base >> 2) + quad] = AV(r);
#else
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            if (4u * quad + j < p.d) result[out_base + 4u * quad + j] = AV(r[j]);
        }
#endif
    }
}
