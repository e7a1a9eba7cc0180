// Matrix kernel for devices that are CPUs inside: no shared memory and no barriers. Each invocation computes ROWS_EACH rows x
// 8 columns in registers straight from global memory; the invocations of a workgroup share the rows, so the source is read
// through one cache line by all. A software Vulkan may stop a shader after 65,535 loop iterations in all, nested ones
// included: one iteration here covers 4 channels.
// Sizes are build-time: ROWS_EACH, LOCAL; a workgroup covers ROWS_EACH x 8 * LOCAL (4 * LOCAL with GEGLU).
#include "matrix.glsl"

#ifdef VEC4
#define LOAD_X(buffer_name, i, left) vec4(buffer_name[(i) >> 2])
#define LOAD_W(i, left) load_weight4(i)
#else
// The last quad of a run of channels has `left` < 4 elements; the others are zero.
#define LOAD_X(buffer_name, i, left)                                                                                       \
    vec4(float(buffer_name[i]), left > 1u ? float(buffer_name[(i) + 1u]) : 0.0, left > 2u ? float(buffer_name[(i) + 2u]) : 0.0, \
         left > 3u ? float(buffer_name[(i) + 3u]) : 0.0)
#define LOAD_W(i, left)                                                                                                    \
    vec4(load_weight(i), left > 1u ? load_weight((i) + 1u) : 0.0, left > 2u ? load_weight((i) + 2u) : 0.0,                 \
         left > 3u ? load_weight((i) + 3u) : 0.0)
#endif

// One run of channels at one tap: x[] and w[] are the first elements, padding[] says which rows count nothing.
#define CHANNEL_LOOP(buffer_name)                                                                                          \
    for (uint c = 0u; c < channels; c += 4u) {                                                                             \
        uint left = channels - c;                                                                                          \
        vec4 b[8];                                                                                                         \
        [[unroll]] for (uint j = 0u; j < 8u; j++) b[j] = LOAD_W(w[j] + c, left);                                           \
        [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) {                                                                 \
            vec4 a = LOAD_X(buffer_name, x[i] + c, left);                                                                  \
            a = mix(a, vec4(0.0), bvec4(padding[i]));                                                                               \
            acc[i][0] = multiply_add(acc[i][0], a, b[0], b[1], b[2], b[3]);                                                \
            acc[i][1] = multiply_add(acc[i][1], a, b[4], b[5], b[6], b[7]);                                                \
        }                                                                                                                  \
    }

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
            uint channels = source == 0u ? C0 : C1, base = source == 0u ? X0_BASE : X1_BASE, x[ROWS_EACH], w[8];
            bool padding[ROWS_EACH];
            [[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) {
                // Padding reads the first pixel and then forgets it: a branch would cost more.
                padding[i] = pixels[i] == PADDING;
                x[i] = mix(pixels[i] * channels - base, 0u, padding[i]);
            }
            [[unroll]] for (uint j = 0u; j < 8u; j++)
                w[j] = (weight_rows[j] * TAPS + tap) * (C0 + C1) + (source == 0u ? 0u : C0);
            if (source == 0u)
                CHANNEL_LOOP(x0)
            else
                CHANNEL_LOOP(x1)
        }
    }
#define ROW_OF(i) (row0 + (i))
    STORE_ROWS(ROW_OF, column0, 4u * LOCAL)
}
