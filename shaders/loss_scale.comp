// loss_scale (Micikevicius et al. 2018): one invocation; see params.h.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_LOSS_SCALE)
layout(binding = 0) readonly buffer Squares { uint squares[]; }; // the bits, as in adamw
layout(binding = 1) buffer State { float state[]; };

void main() {
    if (GROUP != 0u) return;
    float now = state[LOSS_SCALE_NOW];
    state[LOSS_SCALE_SQUARES] = uintBitsToFloat(squares[0]);
    state[LOSS_SCALE_INVERSE] = 1.0 / now;
    if ((squares[0] & 0x7f800000u) == 0x7f800000u) { // not finite
        state[LOSS_SCALE_NOW] = max(now / 2.0, p.least);
        state[LOSS_SCALE_GOOD] = 0.0;
        state[LOSS_SCALE_SKIPPED] += 1.0;
        return;
    }
    float good = state[LOSS_SCALE_GOOD] + 1.0;
    bool grows = good >= float(p.grow_after);
    if (grows) state[LOSS_SCALE_NOW] = min(now * 2.0, p.most);
    state[LOSS_SCALE_GOOD] = grows ? 0.0 : good;
}
