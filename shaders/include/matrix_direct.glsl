// Matrix kernel for devices that are CPUs inside: no shared memory and no barriers. Each invocation computes ROWS_EACH rows x
// 8 columns in registers straight from global memory; the invocations of a workgroup share the rows, so the source is read
// through one cache line by all. A software Vulkan may stop a shader after 65,535 loop iterations in all, nested ones
// included: one iteration here covers 4 channels.
// Sizes are build-time: ROWS_EACH, LOCAL; a workgroup covers ROWS_EACH x 8 * LOCAL (4 * LOCAL with GEGLU).
#include "matrix.glsl"

void main() {
    uint width = GEGLU ? 4u * LOCAL : 8u * LOCAL, across = (COLUMNS + width - 1u) / width;
    uint row0 = GROUP / across * ROWS_EACH, column0 = GROUP % across * width + 4u * gl_LocalInvocationID.x;
    if (row0 >= ROWS || column0 >= COLUMNS) return;

    RowPlace places[ROWS_EACH];
    [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) places[i] = row_place(min(row0 + i, ROWS - 1u));
    // Columns beyond the last are computed from the last weight row and not stored.
    uint weight_rows[8];
    [[unroll]] for (uint j = 0u; j < 8u; j++) {
        uint column = column0 + (j & 3u) + (j >= 4u && !GEGLU ? 4u * LOCAL : 0u);
        weight_rows[j] = min(column, COLUMNS - 1u) + (j >= 4u && GEGLU ? COLUMNS : 0u);
    }
    vec4 acc[ROWS_EACH][2];
    [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) acc[i][0] = acc[i][1] = vec4(0.0);

    for (uint tap = 0u; tap < TAPS; tap++) {
        uint pixels[ROWS_EACH];
        [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) pixels[i] = tap_pixel(places[i], tap);
        for (uint source = 0u; source < (C1 == 0u ? 1u : 2u); source++) {
            uint channels = source == 0u ? C0 : C1;
            for (uint c = 0u; c < channels; c += 4u) {
                vec4 b[8];
                [[unroll]] for (uint j = 0u; j < 8u; j++) b[j] = load_weights(weight_rows[j], tap, source, c);
                [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) {
                    vec4 a = load_source(source, pixels[i], c);
                    acc[i][0] = multiply_add(acc[i][0], a, b[0], b[1], b[2], b[3]);
                    acc[i][1] = multiply_add(acc[i][1], a, b[4], b[5], b[6], b[7]);
                }
            }
        }
    }
    [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) {
        if (row0 + i < ROWS) store_quads(acc[i][0], acc[i][1], row0 + i, column0, 4u * LOCAL);
    }
}
