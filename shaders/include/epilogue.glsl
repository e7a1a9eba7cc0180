// What linear and conv2d do with a finished sum: v += bias + vec; v = activation(v); v += residual; store.
// Wanted of the includer: p.flags, vec_stride and vec_offset in p, and
//   COLUMNS            columns of the output
//   SAMPLE(row)        the sample that a row belongs to
//   OUT_INDEX(row, column)
#ifndef EPILOGUE_GLSL
#define EPILOGUE_GLSL
#include "types.glsl"
#include "math.glsl"

layout(binding = 3) readonly buffer Bias { V bias[]; };
layout(binding = 4) readonly buffer Vec { AV vec_rows[]; };
layout(binding = 5) readonly buffer Residual { AV residual[]; };
layout(binding = 6) writeonly buffer Out { AV result[]; };

// `column` is a multiple of WIDTH. `gate` is the sum of the gate's row under EPILOGUE_GEGLU.
void store_result(V value, V gate, uint row, uint column) {
    if ((p.flags & EPILOGUE_BIAS) != 0u) value += bias[column / WIDTH];
    if ((p.flags & EPILOGUE_VEC) != 0u)
        value += V(vec_rows[(SAMPLE(row) * p.vec_stride + p.vec_offset + column) / WIDTH]);
    if ((p.flags & EPILOGUE_SILU) != 0u) value = silu(value);
    if ((p.flags & EPILOGUE_QUICK_GELU) != 0u) value = quick_gelu(value);
    if ((p.flags & (EPILOGUE_GELU | EPILOGUE_GEGLU)) != 0u) {
        bool geglu = (p.flags & EPILOGUE_GEGLU) != 0u;
        if (geglu && (p.flags & EPILOGUE_BIAS) != 0u) gate += bias[(COLUMNS + column) / WIDTH];
        V g = gelu(geglu ? gate : value);
        value = geglu ? value * g : g;
    }
    uint index = OUT_INDEX(row, column) / WIDTH;
    if ((p.flags & EPILOGUE_RESIDUAL) != 0u) value += V(residual[index]);
    result[index] = AV(value);
}
#endif
