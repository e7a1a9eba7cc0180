// layer_norm_param_grad: sums of dy and dy * xh over the rows of a part. A workgroup has TILE_N columns, each invocation COLUMNS of
// them. LOCAL rows at a time, each invocation measures a row (all of it), then every one adds up its columns of these rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "params.glsl"
#include "words.glsl"
#include "sum.glsl"

PUSH_CONSTANTS(MZT_PARAMS_LAYER_NORM_PARAM_GRAD)
READ_WORDS(0, X, x_words, load_x)
READ_WORDS(1, Dy, dy_words, load_dy)
layout(binding = 2) writeonly buffer Out { float result[]; };

#define COLUMNS (TILE_N / LOCAL)
shared vec2 measured[LOCAL];

// Mean, and 1 / sqrt(variance + eps). Four sums side by side: shorter, and not one chain of additions.
vec2 measure(uint row) {
    uint base = row * p.c;
    vec4 sum = vec4(0.0), squares = vec4(0.0);
    for (uint i = 0u; i < p.c; i += 4u) {
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            if (i + j < p.c) sum[j] += load_x(base + i + j);
        }
    }
    float mean = dot(sum, vec4(1.0)) / float(p.c);
    for (uint i = 0u; i < p.c; i += 4u) {
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            float d = i + j < p.c ? load_x(base + i + j) - mean : 0.0;
            squares[j] = fma(d, d, squares[j]);
        }
    }
    return vec2(mean, inversesqrt(dot(squares, vec4(1.0)) / float(p.c) + p.eps));
}

void main() {
    uint id = gl_LocalInvocationID.x, across = (p.c + TILE_N - 1u) / TILE_N, split = GROUP / across;
    if (split >= p.splits) return; // the whole workgroup
    uint column0 = (GROUP - split * across) * TILE_N + id;
    uint begin = split * p.rows_per_split, end = begin + min(p.rows_per_split, p.rows - begin);
    Sum beta[COLUMNS], gamma[COLUMNS];
    [[unroll]] for (uint j = 0u; j < COLUMNS; j++) beta[j] = gamma[j] = EMPTY_SUM;
    for (uint first = begin; first < end; first += LOCAL) {
        uint count = min(LOCAL, end - first);
        barrier();
        if (id < count) measured[id] = measure(first + id);
        barrier();
        for (uint i = 0u; i < count; i++) {
            uint base = (first + i) * p.c;
            vec2 mean_scale = measured[i];
            [[unroll]] for (uint j = 0u; j < COLUMNS; j++) {
                uint column = column0 + j * LOCAL;
                if (column < p.c) {
                    float dy = load_dy(base + column);
                    add(beta[j], dy);
                    add(gamma[j], dy * (load_x(base + column) - mean_scale.x) * mean_scale.y);
                }
            }
        }
    }
    [[unroll]] for (uint j = 0u; j < COLUMNS; j++) {
        uint column = column0 + j * LOCAL;
        if (column < p.c) {
            result[2u * split * p.c + column] = beta[j].total;
            result[(2u * split + 1u) * p.c + column] = gamma[j].total;
        }
    }
}
