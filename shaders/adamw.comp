// adamw (Loshchilov and Hutter, 2019): one step for each weight, in place.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_ADAMW)
layout(binding = 0) readonly buffer Gradient { float gradient[]; };
layout(binding = 1) readonly buffer Table { float table[]; };
layout(binding = 2) readonly buffer Step { uint step_index[]; };
layout(binding = 3) readonly buffer Norm { uint norm[]; }; // the bits: comparisons of what is not a number are not to be trusted
layout(binding = 4) buffer Weight { float weight[]; };
layout(binding = 5) buffer M { float m[]; };
layout(binding = 6) buffer Vs { float v[]; };
layout(binding = 7) buffer Average { float average[]; };

void main() {
    uint i = ITEM;
    if (i >= p.count) return;
    uint row = min(step_index[0], p.steps - 1u) * OPTIMIZER_ROW_LENGTH;
    float factor = table[row + OPTIMIZER_ROW_GRADIENT_SCALE], most = table[row + OPTIMIZER_ROW_MAX_NORM];
    if ((p.flags & ADAMW_NORM) != 0u) {
        bool scaled = (p.flags & ADAMW_SCALED) != 0u;
        uint squares = norm[scaled ? LOSS_SCALE_SQUARES : 0u];
        if ((squares & 0x7f800000u) == 0x7f800000u) return; // not finite
        if (scaled) factor *= uintBitsToFloat(norm[LOSS_SCALE_INVERSE]);
        if (most > 0.0) factor *= min(1.0, most / (factor * sqrt(uintBitsToFloat(squares)) + 1e-6));
    }
    float g = factor * gradient[i], beta1 = table[row + OPTIMIZER_ROW_BETA1], beta2 = table[row + OPTIMIZER_ROW_BETA2];
    float new_m = beta1 * m[i] + (1.0 - beta1) * g, new_v = beta2 * v[i] + (1.0 - beta2) * g * g;
    float rate = table[row + OPTIMIZER_ROW_LEARNING_RATE] * p.rate;
    float decay = table[row + OPTIMIZER_ROW_WEIGHT_DECAY] * p.decay;
    float update = new_m / table[row + OPTIMIZER_ROW_BIAS1] /
                   (sqrt(new_v / table[row + OPTIMIZER_ROW_BIAS2]) + table[row + OPTIMIZER_ROW_EPSILON]);
    float new_weight = (1.0 - rate * decay) * weight[i] - rate * update;
    m[i] = new_m;
    v[i] = new_v;
    weight[i] = new_weight;
    if ((p.flags & ADAMW_AVERAGE) != 0u) {
        float kept = table[row + OPTIMIZER_ROW_EMA_DECAY];
        average[i] = kept * average[i] + (1.0 - kept) * new_weight;
    }
}
