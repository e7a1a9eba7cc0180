// timestep_embedding: sin and cos of scale * t * f_i, f_i = max_period^(-i / (half - shift)).
// The angle reaches 1000 rad, where f32 has already lost what sin needs, and the builtin functions lose more. So the
// frequency is made in 32-bit fixed point (error 2^-31), the angle is reduced in turns with wrapping integer products, and
// sin and cos come from polynomials on an eighth of a turn. Good to 1e-6 while |scale * t| < 2^12.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "params.glsl"

PUSH_CONSTANTS(MZT_PARAMS_TIMESTEP_EMBEDDING)
layout(binding = 0) readonly buffer T { float t[]; };
layout(binding = 1) writeonly buffer Out { A result[]; };

// A number as whole + fraction / 2^32.
struct Fixed {
    uint whole, fraction;
};

uint high(uint a, uint b) {
    uint above, below;
    umulExtended(a, b, above, below);
    return above;
}

// log2(x) of a float >= 1: the exponent, then one bit for each squaring of the mantissa, which is 1.31 fixed point.
Fixed log2_fixed(float x) {
    uint bits = floatBitsToUint(x), mantissa = 0x80000000u | (bits << 8), fraction = 0u;
    for (uint i = 0u; i < 32u; i++) {
        uint above, below;
        umulExtended(mantissa, mantissa, above, below); // 2.62
        bool carry = (above & 0x80000000u) != 0u;
        mantissa = carry ? above : (above << 1) | (below >> 31);
        fraction = (fraction << 1) | (carry ? 1u : 0u);
    }
    return Fixed(((bits >> 23) & 255u) - 127u, fraction);
}

// a / b by long division; a / b < 2^32 and a, b < 2^31.
Fixed divide(uint a, uint b) {
    uint whole = a / b, rest = a - whole * b, fraction = 0u;
    for (uint i = 0u; i < 32u; i++) {
        rest <<= 1;
        fraction <<= 1;
        if (rest >= b) {
            rest -= b;
            fraction |= 1u;
        }
    }
    return Fixed(whole, fraction);
}

Fixed multiply(Fixed a, Fixed b) {
    uint above, below, carry1, carry2;
    umulExtended(a.whole, b.fraction, above, below);
    Fixed r = Fixed(a.whole * b.whole + above, below);
    umulExtended(b.whole, a.fraction, above, below);
    r.fraction = uaddCarry(r.fraction, below, carry1);
    r.fraction = uaddCarry(r.fraction, high(a.fraction, b.fraction), carry2);
    r.whole += above + carry1 + carry2;
    return r;
}

// 2^32 * 2^(-2^-k), k = 1 ... 16
const uint ROOTS[16] = uint[16](3037000500u, 3611622603u, 3938502376u, 4112874773u, 4202935003u, 4248701965u, 4271771996u,
                                4283353945u, 4289156690u, 4292061010u, 4293513907u, 4294240540u, 4294603903u, 4294785595u,
                                4294876445u, 4294921870u);

// 2^-x / (2 pi) as a fraction of 2^32: turns for each radian of a wave 2^-x times slower.
uint turns_per_unit(Fixed x) {
    if (x.whole >= 32u) return 0u;
    uint r = 683565275u, low = 2475754826u; // 2^64 / (2 pi)
    for (uint k = 0u; k < 16u; k++) {
        if ((x.fraction & (0x80000000u >> k)) == 0u) continue;
        uint above, below, carry;
        umulExtended(r, ROOTS[k], above, below);
        low = uaddCarry(below, high(low, ROOTS[k]), carry);
        r = above + carry;
    }
    // What is left is y < 2^-16: 2^-y = 1 - y ln 2 to 2^-33. `part` is r y ln 2, of 2^16.
    uint part = high(r, high(x.fraction << 16, 2977044472u)), borrow;
    low = usubBorrow(low, part << 16, borrow);
    r -= (part >> 16) + borrow;
    // Round to nearest.
    if (x.whole == 0u) return r + (low >> 31);
    return (r >> x.whole) + ((r >> (x.whole - 1u)) & 1u);
}

// sin and cos of turns / 2^32 turns.
vec2 sin_cos(uint turns) {
    uint quadrant = (turns + 0x20000000u) >> 30;
    float a = float(int(turns - (quadrant << 30))) * 1.4629180792671596e-9, y = a * a; // 2 pi / 2^32; |a| <= pi / 4
    float s = a * fma(y, fma(y, fma(y, fma(y, 2.7557319e-6, -1.9841270e-4), 8.3333333e-3), -1.6666667e-1), 1.0);
    float c = fma(y, fma(y, fma(y, fma(y, fma(y, -2.7557319e-7, 2.4801587e-5), -1.3888889e-3), 4.1666667e-2), -0.5), 1.0);
    vec2 r = (quadrant & 1u) == 0u ? vec2(s, c) : vec2(c, -s);
    return (quadrant & 2u) == 0u ? r : -r;
}

void main() {
    uint i = ITEM, dim = p.dim, half_dim = dim / 2u;
    if (i >= p.rows * dim) return;
    uint row = i / dim, column = i - row * dim;
    if (column == 2u * half_dim) { // the last of an odd dim
        result[i] = A(0.0);
        return;
    }
    bool second = column >= half_dim;
    uint k = second ? column - half_dim : column;
    float period = max(p.max_period, 1.0);
    // 2^8 keeps a fractional shift; half < 2^22.
    Fixed exponent = multiply(log2_fixed(period), divide(k << 8, uint((float(half_dim) - p.shift) * 256.0 + 0.5)));
    uint unit = turns_per_unit(exponent);
    // scale * t as an exact pair of floats would cost more than it gives: scale is 1 wherever t is large.
    float x = p.scale * t[row], size = abs(x);
    uint whole = uint(min(size, 4294967040.0));
    uint turns = whole * unit + high(uint((size - floor(size)) * 4294967040.0), unit);
    if (x < 0.0) turns = 0u - turns;
    vec2 r = sin_cos(turns);
    bool cosine = second != ((p.flags & TIMESTEP_FLIP) != 0u);
    result[i] = A(cosine ? r.y : r.x);
}
