/* Random numbers; see random.h. Uses nothing but IEEE addition, multiplication, division and square root. */
#include "sample/random.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Wider intermediate results (x87) would round twice and break bit equality between machines. */
_Static_assert(FLT_EVAL_METHOD == 0,
               "random numbers need float and double to be evaluated in their own precision");

/* ---------------------------------------------------------------------------------- logarithm, sine and
 * cosine -- */

/* Natural logarithm of a positive, normal x. x = m 2^e with m in [sqrt(1/2), sqrt(2)), and ln m = 2 atanh(s)
 * with s = (m - 1) / (m + 1), |s| <= 0.1716, as the odd series s + s^3/3 + ... + s^21/21. Error below 2 ulp.
 */
static double portable_log(double x) {
    const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent += 1;
    }
    double s = (m - 1.0) / (m + 1.0), s2 = s * s, sum = 0.0;
    for (int k = 21; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * s2;
    return exponent * ln2_high + (exponent * ln2_low + (2.0 * s + 2.0 * s * sum));
}

/* Sine and cosine of x in [0, 8). x minus the nearest multiple k of pi/2 lies in +-pi/4; pi/2 is split so
 * that k times its high part (33 bits) is exact. Taylor series to x^17 and x^18. Error below 2 ulp. */
static void portable_sincos(double x, double *sine, double *cosine) {
    const double half_pi_high = 0x1.921fb544p+0, half_pi_low = 0x1.0b4611a626331p-34;
    int k = (int)(x * 0.63661977236758134 + 0.5);
    double r = (x - k * half_pi_high) - k * half_pi_low, r2 = r * r;
    double s = 0.0, c = 0.0;
    for (int n = 17; n >= 3; n -= 2)
        s = (1.0 + s) * (-r2 / (n * (n - 1)));
    for (int n = 18; n >= 2; n -= 2)
        c = (1.0 + c) * (-r2 / (n * (n - 1)));
    s = r + r * s;
    c = 1.0 + c;
    switch (k & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
        break;
    }
}

static const double two_pi = 6.283185307179586;

/* ---------------------------------------------------------------------------------------------------- Philox
 * -- */

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

static void seeded_block(uint64_t seed, uint64_t draw, uint64_t block, uint32_t words[4]) {
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)draw,
                                 (uint32_t)(draw >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    philox4x32(counter, key, words);
}

/* Box-Muller on two words, each taken as the middle of its 2^-32 interval, so that u is never 0. */
static void normal_pair(uint32_t a, uint32_t b, float out[2]) {
    double u = (a + 0.5) * 0x1p-32, t = two_pi * ((b + 0.5) * 0x1p-32);
    double radius = sqrt(-2.0 * portable_log(u)), sine, cosine;
    portable_sincos(t, &sine, &cosine);
    out[0] = (float)(radius * cosine);
    out[1] = (float)(radius * sine);
}

void random_normals(uint64_t seed, uint64_t draw, uint64_t first, uint64_t count, float *out) {
    for (uint64_t done = 0; done < count;) {
        uint64_t index = first + done;
        uint32_t words[4];
        float values[4];
        seeded_block(seed, draw, index / 4, words);
        normal_pair(words[0], words[1], values);
        normal_pair(words[2], words[3], values + 2);
        for (uint64_t lane = index % 4; lane < 4 && done < count; lane++)
            out[done++] = values[lane];
    }
}

void random_words(uint64_t seed, uint64_t draw, uint64_t first, uint64_t count, uint32_t *out) {
    for (uint64_t done = 0; done < count;) {
        uint64_t index = first + done;
        uint32_t words[4];
        seeded_block(seed, draw, index / 4, words);
        for (uint64_t lane = index % 4; lane < 4 && done < count; lane++)
            out[done++] = words[lane];
    }
}

/* Subsequence = element, offset = draw. The scales are the single-precision constants of the GPU's generator;
 * the angle goes with the sine, and only the first normal of a block is used. */
static void torch_cuda_next(random_stream *stream, uint64_t count, float *out) {
    const double scale = 0x1p-32, angle_scale = (float)(2.3283064e-10 * 6.2831855);
    const uint32_t key[2] = {(uint32_t)stream->seed, (uint32_t)(stream->seed >> 32)};
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t counter[4] = {(uint32_t)stream->draw, (uint32_t)(stream->draw >> 32), (uint32_t)i,
                                     (uint32_t)(i >> 32)};
        uint32_t words[4];
        philox4x32(counter, key, words);
        double u = words[0] * scale + scale / 2, v = words[1] * angle_scale + angle_scale / 2, sine, cosine;
        portable_sincos(v, &sine, &cosine);
        out[i] = (float)(sqrt(-2.0 * portable_log(u)) * sine);
    }
}

/* --------------------------------------------------------------------------------------------------- MT19937
 * -- */

/* Matsumoto and Nishimura's Mersenne Twister. PyTorch keeps the low 32 bits of the seed only. */
static void twister_seed(random_stream *stream, uint32_t seed) {
    stream->state[0] = seed;
    for (uint32_t i = 1; i < 624; i++) {
        uint32_t previous = stream->state[i - 1];
        stream->state[i] = 1812433253u * (previous ^ (previous >> 30)) + i;
    }
    stream->position = 624;
}

static void twister_refill(random_stream *stream) {
    uint32_t *state = stream->state;
    for (uint32_t i = 0; i < 624; i++) {
        uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % 624] & 0x7fffffffu);
        state[i] = state[(i + 397) % 624] ^ (y >> 1) ^ ((y & 1) ? 0x9908b0dfu : 0);
    }
    stream->position = 0;
}

static uint32_t twister_next(random_stream *stream) {
    if (stream->position == 624) twister_refill(stream);
    uint32_t y = stream->state[stream->position++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static double twister_uniform53(random_stream *stream) {
    uint64_t high = twister_next(stream), low = twister_next(stream);
    return (double)(((high << 32) | low) & 0x1fffffffffffffu) * 0x1p-53;
}

/* Fewer than 16 numbers: pairs in double precision; the second of a pair waits for the next short draw. */
static void torch_cpu_short(random_stream *stream, uint64_t count, float *out) {
    for (uint64_t i = 0; i < count; i++) {
        if (stream->has_cached) {
            stream->has_cached = false;
            out[i] = (float)stream->cached;
            continue;
        }
        double u1 = twister_uniform53(stream), u2 = twister_uniform53(stream), sine, cosine;
        double radius = sqrt(-2.0 * portable_log(1.0 - u2));
        portable_sincos(two_pi * u1, &sine, &cosine);
        stream->cached = radius * sine;
        stream->has_cached = true;
        out[i] = (float)(radius * cosine);
    }
}

static void twister_uniforms(random_stream *stream, uint64_t count, float *out) {
    for (uint64_t i = 0; i < count; i++)
        out[i] = (float)(twister_next(stream) & 0xffffffu) * 0x1p-24f;
}

/* 16 uniforms in place: the first eight give radii, the last eight angles, in single precision as there. */
static void box_muller_16(float *values) {
    for (int j = 0; j < 8; j++) {
        float u = 1.0f - values[j], angle = 6.2831853071795864f * values[j + 8];
        float radius = sqrtf(-2.0f * (float)portable_log(u));
        double sine, cosine;
        portable_sincos(angle, &sine, &cosine);
        values[j] = radius * (float)cosine;
        values[j + 8] = radius * (float)sine;
    }
}

/* 16 numbers or more: groups of 16; when the count leaves a rest, the last 16 are drawn anew, over the
 * others' tail. */
static void torch_cpu_long(random_stream *stream, uint64_t count, float *out) {
    twister_uniforms(stream, count, out);
    for (uint64_t i = 0; i + 16 <= count; i += 16)
        box_muller_16(out + i);
    if (count % 16 != 0) {
        twister_uniforms(stream, 16, out + count - 16);
        box_muller_16(out + count - 16);
    }
}

/* --------------------------------------------------------------------------------------------------- streams
 * -- */

static const char *const kind_names[RANDOM_KIND_COUNT] = {"philox", "torch-cpu", "torch-cuda"};

const char *random_kind_name(random_kind kind) {
    return (unsigned)kind < RANDOM_KIND_COUNT ? kind_names[kind] : "unknown";
}

bool random_kind_find(const char *name, random_kind *kind) {
    for (int i = 0; i < RANDOM_KIND_COUNT; i++) {
        if (strcmp(name, kind_names[i]) != 0) continue;
        *kind = (random_kind)i;
        return true;
    }
    return false;
}

void random_start(random_stream *stream, random_kind kind, uint64_t seed) {
    memset(stream, 0, sizeof *stream);
    stream->kind = kind;
    stream->seed = seed;
    if (kind == RANDOM_TORCH_CPU) twister_seed(stream, (uint32_t)seed);
}

void random_next(random_stream *stream, uint64_t count, float *out) {
    if (stream->kind == RANDOM_TORCH_CPU) {
        if (count < 16)
            torch_cpu_short(stream, count, out);
        else
            torch_cpu_long(stream, count, out);
    } else if (stream->kind == RANDOM_TORCH_CUDA) {
        torch_cuda_next(stream, count, out);
    } else {
        random_normals(stream->seed, stream->draw, 0, count, out);
    }
    stream->draw++;
}
