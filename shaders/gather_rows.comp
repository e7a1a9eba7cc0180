// gather_rows: blocks of rows picked by index.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_GATHER_ROWS)
layout(binding = 0) readonly buffer X { A x[]; };
layout(binding = 1) readonly buffer Index { uint index[]; };
layout(binding = 2) writeonly buffer Out { A result[]; };

void main() {
    uint i = ITEM;
    if (i >= p.rows * p.c) return;
    uint row = i / p.c, block = min(index[row / p.block], p.x_rows / p.block - 1u);
    result[i] = x[(block * p.block + row % p.block) * p.c + i % p.c];
}
