// Matrix kernel for GPUs: a workgroup computes TILE_M x TILE_N (64 columns: 32 with GEGLU) from shared memory, each invocation
// ROWS_EACH rows x 8 columns in registers. K advances 16 at a time; the next 16 are on their way into registers while the
// current ones are multiplied. Shared rows are 5 quads apart, so that neighbouring rows lie in different banks.
// Sizes are build-time: TILE_M, TILE_N, ROWS_EACH; LOCAL = TILE_M / ROWS_EACH * TILE_N / 8.
#include "matrix.glsl"

#define PITCH 5u
#define QUADS_N (TILE_N / 8u)             // invocations along the columns
#define LOADS_A (TILE_M * 4u / LOCAL)     // quads that each invocation fetches for one step
#define LOADS_B (TILE_N * 4u / LOCAL)
#define FETCH_ROWS (LOCAL / 4u)

shared vec4 tile_a[TILE_M * PITCH];
shared vec4 tile_b[TILE_N * PITCH];

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

    uint fetch_row = id >> 2, fetch_c = (id & 3u) * 4u;
    RowPlace places[LOADS_A];
    uint pixels[LOADS_A], weight_rows[LOADS_B];
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        places[i] = row_place(min(row0 + fetch_row + i * FETCH_ROWS, ROWS - 1u));
        pixels[i] = tap_pixel(places[i], 0u);
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

    uint steps = TAPS * ((C0 + 15u) / 16u + (C1 + 15u) / 16u);
    for (uint s = 0u; s < steps; s++) {
        barrier();
        [[unroll]] for (uint i = 0u; i < LOADS_A; i++)
            tile_a[(fetch_row + i * FETCH_ROWS) * PITCH + (id & 3u)] = next_a[i];
        [[unroll]] for (uint i = 0u; i < LOADS_B; i++)
            tile_b[column_slot(fetch_row + i * FETCH_ROWS) * PITCH + (id & 3u)] = next_b[i];
        barrier();

        // Onward: channels, then the other source, then the next tap.
        c += 16u;
        if (c >= (source == 0u ? C0 : C1)) {
            c = 0u;
            if (source == 0u && C1 != 0u) {
                source = 1u;
            } else {
                source = 0u;
                tap++;
                [[unroll]] for (uint i = 0u; i < LOADS_A; i++) pixels[i] = tap_pixel(places[i], tap);
            }
        }
        if (s + 1u < steps) {
            [[unroll]] for (uint i = 0u; i < LOADS_A; i++) next_a[i] = load_source(source, pixels[i], c + fetch_c);
            [[unroll]] for (uint i = 0u; i < LOADS_B; i++)
                next_b[i] = load_weights(weight_rows[i], tap, source, c + fetch_c);
        }

        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            vec4 a[ROWS_EACH];
            [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++)
                a[i] = tile_a[(ty + i * (TILE_M / ROWS_EACH)) * PITCH + k];
            [[unroll]] for (uint h = 0u; h < 2u; h++) {
                uint slot = (tx + h * QUADS_N) * PITCH + k;
                vec4 b0 = tile_b[slot], b1 = tile_b[slot + (TILE_N / 4u) * PITCH];
                vec4 b2 = tile_b[slot + (TILE_N / 2u) * PITCH], b3 = tile_b[slot + (3u * TILE_N / 4u) * PITCH];
                [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) acc[i][h] = multiply_add(acc[i][h], a[i], b0, b1, b2, b3);
            }
        }
    }

    [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) {
        uint row = row0 + ty + i * (TILE_M / ROWS_EACH);
        if (row < ROWS) store_quads(acc[i][0], acc[i][1], row, column0 + 4u * tx, TILE_N / 2u);
    }
}
