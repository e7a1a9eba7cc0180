// embedding: rows of a table picked by id, plus position rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#define length position_rows // "length" is taken: a method of GLSL arrays
#include "params.glsl"
#define WEIGHT_BINDING 1
#include "weights.glsl"

PUSH_CONSTANTS(MZT_PARAMS_EMBEDDING)
layout(binding = 0) readonly buffer Ids { uint ids[]; };
layout(binding = 2) readonly buffer Positions { uint positions[]; };
layout(binding = 3) writeonly buffer Out { A result[]; };

float load_position(uint i) {
    if (WEIGHT_TYPE == DTYPE_F32) return uintBitsToFloat(positions[i]);
    vec2 pair = weight_pair(positions[i >> 1]);
    return (i & 1u) == 0u ? pair.x : pair.y;
}

void main() {
    uint i = ITEM;
    if (i >= p.rows * p.c) return;
    uint row = i / p.c, column = i - row * p.c, id = ids[row];
    if (id >= p.vocabulary) id = 0u;
    if (id < p.table_first || id - p.table_first >= p.table_rows) return; // another dispatch's part of the table
    float value = load_weight((id - p.table_first) * p.c + column);
    if (p.position_rows != 0u) value += load_position(row % p.position_rows * p.c + column);
    result[i] = A(value);
}
