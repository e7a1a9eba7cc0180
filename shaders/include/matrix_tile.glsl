// Matrix kernel for GPUs: a workgroup computes TILE_M x TILE_N (64 columns: 32 with GEGLU) from shared memory, each invocation
// ROWS_EACH rows x 8 columns in registers. K advances K_QUADS quads at a time; the next step's are on their way into registers
// while the current ones are multiplied. Shared memory holds pairs along K, not quads: half the registers for operands, for the
// same bytes. Rows are an odd number of pairs apart, so that neighbouring rows lie in different banks.
// Sizes are build-time: TILE_M, TILE_N, ROWS_EACH, K_QUADS; LOCAL = TILE_M / ROWS_EACH * TILE_N / 8.
#include "matrix.glsl"

#define PITCH (2u * K_QUADS + 1u)
#define K_STEP (4u * K_QUADS)
#define QUADS_N (TILE_N / 8u)             // invocations along the columns
#define LOADS_A (TILE_M * K_QUADS / LOCAL) // quads that each invocation fetches for one step
#define LOADS_B (TILE_N * K_QUADS / LOCAL)
#define FETCH_ROWS (LOCAL / K_QUADS)

// The source pixel of this invocation's i-th row at a tap. Found anew for every tap: cheaper than registers that hold the place.
#define FETCH_PIXEL(i, tap) tap_pixel(row_place(min(row0 + fetch_row + (i)*FETCH_ROWS, ROWS - 1u)), tap)

shared vec2 tile_a[TILE_M * PITCH];
shared vec2 tile_b[TILE_N * PITCH];

// Where a column of the tile is kept: columns 4q + j at row j * TILE_N / 4 + q, so that invocations side by side, which own
// neighbouring quads of columns, read neighbouring rows.
uint column_slot(uint column) {
    return (column & 3u) * (TILE_N / 4u) + (column >> 2);
}

void main() {
    uint id = gl_LocalInvocationID.x;
    uint width = GEGLU ? TILE_N / 2u : TILE_N, across = (COLUMNS + width - 1u) / width;
    uint row0 = GROUP / across * TILE_M, column0 = GROUP % across * width;
    if (row0 >= ROWS) return; // the whole workgroup

    uint fetch_row = id / K_QUADS, fetch_quad = id % K_QUADS, fetch_c = fetch_quad * 4u;
    uint pixels[LOADS_A], weight_rows[LOADS_B];
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        pixels[i] = FETCH_PIXEL(i, 0u);
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        uint column = fetch_row + i * FETCH_ROWS;
        bool gate = column >= width;
        column = min(column0 + column - (gate ? width : 0u), COLUMNS - 1u);
        weight_rows[i] = gate ? COLUMNS + column : column; // gate is only ever true with GEGLU
    }

    uint tx = id % QUADS_N, ty = id / QUADS_N;
    vec4 acc[ROWS_EACH][2];
    [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) acc[i][0] = acc[i][1] = vec4(0.0);

    uint tap = 0u, source = 0u, c = 0u;
    vec4 next_a[LOADS_A], next_b[LOADS_B];
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) next_a[i] = load_source(source, pixels[i], fetch_c);
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) next_b[i] = load_weights(weight_rows[i], tap, source, fetch_c);

    uint steps = TAPS * ((C0 + K_STEP - 1u) / K_STEP + (C1 + K_STEP - 1u) / K_STEP);
    for (uint s = 0u; s < steps; s++) {
        barrier();
        [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
            uint at = (fetch_row + i * FETCH_ROWS) * PITCH + 2u * fetch_quad;
            tile_a[at] = next_a[i].xy;
            tile_a[at + 1u] = next_a[i].zw;
        }
        [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
            uint at = column_slot(fetch_row + i * FETCH_ROWS) * PITCH + 2u * fetch_quad;
            tile_b[at] = next_b[i].xy;
            tile_b[at + 1u] = next_b[i].zw;
        }
        barrier();

        // Onward: channels, then the other source, then the next tap.
        c += K_STEP;
        if (c >= (source == 0u ? C0 : C1)) {
            c = 0u;
            if (source == 0u && C1 != 0u) {
                source = 1u;
            } else {
                source = 0u;
                tap++;
                [[unroll]] for (uint i = 0u; i < LOADS_A; i++) pixels[i] = FETCH_PIXEL(i, tap);
            }
        }
        if (s + 1u < steps) {
            [[unroll]] for (uint i = 0u; i < LOADS_A; i++) next_a[i] = load_source(source, pixels[i], c + fetch_c);
            [[unroll]] for (uint i = 0u; i < LOADS_B; i++)
                next_b[i] = load_weights(weight_rows[i], tap, source, c + fetch_c);
        }

        // Unrolled, this would need more registers than some GPUs have.
        [[dont_unroll]] for (uint k = 0u; k < 2u * K_QUADS; k++) {
            vec2 a[ROWS_EACH];
            [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++)
                a[i] = tile_a[(ty + i * (TILE_M / ROWS_EACH)) * PITCH + k];
            [[unroll]] for (uint h = 0u; h < 2u; h++) {
                uint slot = (tx + h * QUADS_N) * PITCH + k;
                vec2 b0 = tile_b[slot], b1 = tile_b[slot + (TILE_N / 4u) * PITCH];
                vec2 b2 = tile_b[slot + (TILE_N / 2u) * PITCH], b3 = tile_b[slot + (3u * TILE_N / 4u) * PITCH];
                vec4 low = vec4(b0.x, b1.x, b2.x, b3.x), high = vec4(b0.y, b1.y, b2.y, b3.y);
                [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++)
                    acc[i][h] = fma(high, a[i].yyyy, fma(low, a[i].xxxx, acc[i][h]));
            }
        }
    }

#define ROW_OF(i) (row0 + ty + (i) * (TILE_M / ROWS_EACH))
    STORE_ROWS(ROW_OF, column0 + 4u * tx, TILE_N / 2u)
}
