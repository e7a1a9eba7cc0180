// Matrix products between the vectors of one head, as the gradients of attention need them: ROWS vectors of the result's side
// against OTHERS of the other side, any head size, d advancing by 8. LOCAL is 128: invocation (ty, tx) of 16 x 8 has rows
// ty + 16i and columns 4tx + j, i and j 0 ... 3.
// Wanted of the includer: p.heads, d; float element(uint source, uint i), element i of one of its inputs.
#ifndef ATTENTION_TILE_GLSL
#define ATTENTION_TILE_GLSL

#define ROWS 64u
#define OTHERS 32u
#define PITCH 3u // quads from row to row: odd, for the banks of shared memory
#define TX (gl_LocalInvocationID.x % 8u)
#define TY (gl_LocalInvocationID.x / 8u)

float element(uint source, uint i);

shared vec4 pool[(ROWS + OTHERS) * PITCH];
vec4 product[4]; // the last product's rows; component j is column 4tx + j

// The two sides, [batch][length][heads*d]: the sample's first position, its last one, and the first one of this product. Positions
// beyond the last show the last again.
struct Side {
    uint begin, last, first;
};
Side rows, others;
uint head;

// Quad `quad` of the head's vector at a position.
vec4 load_quad(uint source, uint position, uint quad) {
    uint base = (position * p.heads + head) * p.d + 4u * quad;
    vec4 r = vec4(0.0);
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        if (4u * quad + j < p.d) r[j] = element(source, base + j);
    }
    return r;
}

// product = (rows of `left`) (rows of `right`)^T. All invocations must call it.
void multiply(uint left, uint right) {
    uint id = gl_LocalInvocationID.x, tx = TX, ty = TY;
    [[unroll]] for (uint i = 0u; i < 4u; i++) product[i] = vec4(0.0);
    for (uint quad = 0u; 4u * quad < p.d; quad += 2u) {
        barrier();
        for (uint i = id; i < 2u * (ROWS + OTHERS); i += LOCAL) {
            uint at = i >> 1, half_ = i & 1u, other = at - ROWS;
            bool is_row = at < ROWS;
            uint position = is_row ? min(rows.begin + rows.first + at, rows.last)
                                   : min(others.begin + others.first + other, others.last);
            // Column 4q + j is kept in row j * 8 + q, so that neighbouring invocations read neighbouring rows.
            uint slot = is_row ? at : ROWS + (other & 3u) * 8u + (other >> 2);
            pool[slot * PITCH + half_] = load_quad(is_row ? left : right, position, quad + half_);
        }
        barrier();
        for (uint k = 0u; k < 2u; k++) {
            vec4 b[4];
            [[unroll]] for (uint j = 0u; j < 4u; j++) b[j] = pool[(ROWS + 8u * j + tx) * PITCH + k];
            [[unroll]] for (uint i = 0u; i < 4u; i++) {
                vec4 a = pool[(ty + 16u * i) * PITCH + k];
                product[i] += vec4(dot(a, b[0]), dot(a, b[1]), dot(a, b[2]), dot(a, b[3]));
            }
        }
    }
}
#endif
