// picture: a decoder's output ([pixels][channels] of f32, f16 or bf16, -1 ... 1) as pixels of four channels, for
// copying into an image. Not an op: it runs beside plans (runtime/vulkan/picture.c). 16-bit types are read and
// written inside of words, so that no device feature is needed, and results are those of the host to the bit.
#version 460
layout(local_size_x = 64) in;

layout(push_constant) uniform Params {
    uint pixels, channels; // 3 or 4
    uint type;             // of the source: 0 f32, 1 f16, 2 bf16 (base/dtype.h)
    uint format;           // 0 RGBA8, 1 BGRA8, 2 RGBA16F, 3 RGBA32F
} p;
layout(binding = 0) readonly buffer X { uint x[]; };
layout(binding = 1) writeonly buffer Out { uint result[]; };

// Bits of element i as f32. A half's are assembled by hand: conversions may flush what is denormal.
uint load(uint i) {
    if (p.type == 0u) return x[i];
    uint half_bits = (x[i / 2u] >> (16u * (i % 2u))) & 0xffffu;
    if (p.type == 2u) return half_bits << 16u;
    uint sign = (half_bits & 0x8000u) << 16u, exponent = (half_bits >> 10u) & 31u, fraction = half_bits & 0x3ffu;
    if (exponent == 31u) return sign | 0x7f800000u | (fraction << 13u);
    if (exponent > 0u) return sign | ((exponent + 112u) << 23u) | (fraction << 13u);
    if (fraction == 0u) return sign;
    uint top = uint(findMSB(fraction)); // value = fraction * 2^-24
    return sign | ((top + 103u) << 23u) | ((fraction << (23u - top)) & 0x7fffffu);
}

// f32 bits to f16 bits, to nearest, ties to even.
uint to_half(uint bits) {
    uint sign = (bits >> 16u) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u; // 65520 and more
    uint exponent = magnitude >> 23u, fraction = (magnitude & 0x7fffffu) | 0x800000u;
    if (exponent < 102u) return sign; // below half of the smallest denormal
    uint shift = exponent < 113u ? 126u - exponent : 13u;
    uint base = exponent < 113u ? 0u : (exponent - 113u) << 10u; // the fraction's leading one adds to the exponent
    uint rounded = fraction >> shift, rest = fraction & ((1u << shift) - 1u), middle = 1u << (shift - 1u);
    if (rest > middle || (rest == middle && (rounded & 1u) == 1u)) rounded++;
    return sign | (base + rounded);
}

// As image_from_floats: two roundings, hence no fused multiply-add.
uint to_byte(uint bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0u; // not a number
    precise float value = uintBitsToFloat(bits) * 127.5;
    value = value + 127.5;
    if (value >= 255.0) return 255u;
    precise float nearest = value + 0.5;
    return value > 0.0 ? uint(nearest) : 0u;
}

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= p.pixels) return;
    uint c[4];
    for (uint k = 0u; k < 4u; k++) c[k] = k < p.channels ? load(i * p.channels + k) : 0x3f800000u; // 1
    if (p.format <= 1u) {
        uint first = p.format == 1u ? 2u : 0u;
        result[i] = to_byte(c[first]) | (to_byte(c[1]) << 8u) | (to_byte(c[2u - first]) << 16u) | (to_byte(c[3]) << 24u);
    } else if (p.format == 2u) {
        result[2u * i] = to_half(c[0]) | (to_half(c[1]) << 16u);
        result[2u * i + 1u] = to_half(c[2]) | (to_half(c[3]) << 16u);
    } else {
        for (uint k = 0u; k < 4u; k++) result[4u * i + k] = c[k];
    }
}
