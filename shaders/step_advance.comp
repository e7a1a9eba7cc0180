// step_advance: one more call of the network is done.
#version 460
#extension GL_GOOGLE_include_directive : require
#define LOCAL 1
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_STEP_ADVANCE)
layout(binding = 0) buffer Step { uint step_index[]; };

void main() {
    if (GROUP == 0u) step_index[0] += 1u;
}
