/* GGUF: every block type against its definition written out again from the format's description, on random
 * blocks and by hand; reading and refusing files; writing and quantising, there and back; and the way into
 * the device's blocks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/block.h"
#include "base/file.h"
#include "weights/gguf.h"

static const weights_dtype block_types[] = {WEIGHTS_Q4_0, WEIGHTS_Q4_1, WEIGHTS_Q5_0, WEIGHTS_Q5_1,
                                            WEIGHTS_Q8_0, WEIGHTS_Q4_K, WEIGHTS_Q5_K, WEIGHTS_Q6_K};
enum { BLOCK_TYPES = sizeof block_types / sizeof *block_types };

static uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* ---------------------------------------------------------------------------------------------- definitions
 * -- */

/* Bit `bit` ... of a little-endian bit string. */
static unsigned bits_at(const uint8_t *bytes, unsigned bit, unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++)
        value |= (unsigned)(bytes[(bit + i) / 8] >> (bit + i) % 8 & 1) << i;
    return value;
}

/* A half by its definition: (-1)^s 2^(e-15) (1 + f/1024), 2^-14 f/1024 for e = 0, infinities and NaN for e
 * = 31. */
static float half_value(const uint8_t *bytes) {
    unsigned bits = bits_at(bytes, 0, 16), e = bits >> 10 & 31, f = bits & 1023;
    double magnitude = e == 0 ? ldexp(f, -24) : e == 31 ? (f ? NAN : INFINITY) : ldexp(1024 + f, (int)e - 25);
    return (float)(bits >> 15 ? -magnitude : magnitude);
}

/* Where a member of a block begins: the sizes of those before it. */
typedef struct members {
    unsigned d, m, scales, high, low;
} members;

static members members_of(weights_dtype type) {
    switch (type) {
    case WEIGHTS_Q4_0:
        return (members){.d = 0, .low = 2};
    case WEIGHTS_Q4_1:
        return (members){.d = 0, .m = 2, .low = 4};
    case WEIGHTS_Q5_0:
        return (members){.d = 0, .high = 2, .low = 6};
    case WEIGHTS_Q5_1:
        return (members){.d = 0, .m = 2, .high = 4, .low = 8};
    case WEIGHTS_Q4_K:
        return (members){.d = 0, .m = 2, .scales = 4, .low = 16};
    case WEIGHTS_Q5_K:
        return (members){.d = 0, .m = 2, .scales = 4, .high = 16, .low = 48};
    case WEIGHTS_Q6_K:
        return (members){.low = 0, .high = 128, .scales = 192, .d = 208};
    default:
        return (members){.d = 0, .low = 2};
    }
}

/* Element i of the block, as the format's description has it: one formula per type, bit by bit. */
static float defined(weights_dtype type, const uint8_t *block, unsigned i) {
    members at = members_of(type);
    float d = half_value(block + at.d);
    int q;
    switch (type) {
    case WEIGHTS_Q8_0: {
        int byte = block[at.low + i];
        return d * (float)(byte > 127 ? byte - 256 : byte);
    }
    case WEIGHTS_Q4_0:
    case WEIGHTS_Q4_1:
    case WEIGHTS_Q5_0:
    case WEIGHTS_Q5_1: {
        q = (int)bits_at(block + at.low, i < 16 ? 8 * i : 8 * (i - 16) + 4, 4);
        if (at.high) q += 16 * (int)bits_at(block + at.high, i, 1);
        if (type == WEIGHTS_Q4_0) return d * (float)(q - 8);
        if (type == WEIGHTS_Q5_0) return d * (float)(q - 16);
        float product = d * (float)q;
        return product + half_value(block + at.m);
    }
    case WEIGHTS_Q6_K: {
        unsigned half = i / 128,
                 r = i % 128; /* ql: 64 bytes a half; r = 0-31, 32-63 low nibbles, 64-127 high ones */
        q = (int)bits_at(block + 64 * half + r % 64, r < 64 ? 0 : 4, 4);
        q += 16 * (int)bits_at(block + at.high + 32 * half + r % 32, 2 * (r / 32), 2);
        int scale = block[at.scales + i / 16];
        float sub = d * (float)(scale > 127 ? scale - 256 : scale);
        return sub * (float)(q - 32);
    }
    default: { /* Q4_K, Q5_K */
        unsigned part = i / 32, r = i % 32, scale, minimum;
        const uint8_t *s = block + at.scales;
        if (part < 4) {
            scale = bits_at(s + part, 0, 6);
            minimum = bits_at(s + part + 4, 0, 6);
        } else {
            scale = bits_at(s + part + 4, 0, 4) + 16 * bits_at(s + part - 4, 6, 2);
            minimum = bits_at(s + part + 4, 4, 4) + 16 * bits_at(s + part, 6, 2);
        }
        q = (int)bits_at(block + at.low + 32 * (part / 2) + r, part % 2 ? 4 : 0, 4);
        if (type == WEIGHTS_Q5_K) q += 16 * (int)bits_at(block + at.high + r, part, 1);
        float sub = d * (float)scale, low = half_value(block + at.m) * (float)minimum,
              product = sub * (float)q;
        return product - low;
    }
    }
}

static void assert_same_bits(float found, float expected, weights_dtype type, unsigned i) {
    if (isnan(expected) && isnan(found)) return;
    if (memcmp(&found, &expected, sizeof found) != 0)
        fail_msg("%s, element %u: %.9g, expected %.9g", weights_dtype_name(type), i, (double)found,
                 (double)expected);
}

/* Random bytes; every few blocks the scales are zero, subnormal, huge, infinite, or no number. */
static void test_definitions(void **state) {
    (void)state;
    static const uint16_t special[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400,
                                       0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e01};
    uint64_t random = 1;
    for (unsigned t = 0; t < BLOCK_TYPES; t++) {
        weights_dtype type = block_types[t];
        size_t size = weights_dtype_size(type), count = weights_dtype_block(type);
        for (unsigned round = 0; round < 2000; round++) {
            uint8_t block[256];
            float out[256];
            for (size_t i = 0; i < size; i++)
                block[i] = (uint8_t)next_random(&random);
            members at = members_of(type);
            if (round < 100) {
                uint16_t d = special[round % 10], m = special[round / 10];
                memcpy(block + at.d, (uint8_t[]){(uint8_t)d, (uint8_t)(d >> 8)}, 2);
                if (at.m) memcpy(block + at.m, (uint8_t[]){(uint8_t)m, (uint8_t)(m >> 8)}, 2);
            }
            weights_decode_blocks(type, block, 1, out);
            for (unsigned i = 0; i < count; i++)
                assert_same_bits(out[i], defined(type, block, i), type, i);
        }
    }
}

/* A few elements worked out on paper. */
static void test_by_hand(void **state) {
    (void)state;
    uint8_t block[256] = {0x00, 0x3c}; /* d = 1 */
    float out[256];
    block[2] = 0x1f; /* element 0: 15 - 8, element 16: 1 - 8 */
    weights_decode_blocks(WEIGHTS_Q4_0, block, 1, out);
    assert_true(out[0] == 7 && out[16] == -7 && out[1] == -8);
    memset(block, 0, sizeof block);
    block[1] = 0x38; /* d = 0.5 */
    block[2] = 0x80;
    weights_decode_blocks(WEIGHTS_Q8_0, block, 1, out);
    assert_true(out[0] == -64 && out[1] == 0);
    memset(block, 0, sizeof block);
    block[1] = 0x3c, block[3] = 0x3c;   /* d = dmin = 1 */
    block[4] = 0x3f, block[8] = 0x02;   /* scale 63 and minimum 2 of part 0 */
    block[12] = 0x31, block[4] |= 0x80; /* part 4: scale 1 + 16 * 2, minimum 3 */
    block[16] = 0x05, block[16 + 64] = 0x0a;
    weights_decode_blocks(WEIGHTS_Q4_K, block, 1, out);
    assert_true(out[0] == 63 * 5 - 2 && out[1] == -2 && out[128] == 33 * 10 - 3);
    memset(block, 0, sizeof block);
    block[209] = 0x3c;                  /* d = 1 */
    block[192] = 0xff, block[198] = 3;  /* scales -1 of elements 0-15, 3 of 96-111 */
    block[0] = 0x09, block[128] = 0x02; /* element 0: 9 + 32 */
    block[32] = 0x70;                   /* element 96: 7 */
    weights_decode_blocks(WEIGHTS_Q6_K, block, 1, out);
    assert_true(out[0] == -(41 - 32) && out[96] == 3 * (7 - 32));
}

/* --------------------------------------------------------------------------------------------- quantising --
 */

static double normal(uint64_t *random) {
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += next_random(random) * 0x1p-32;
    return sum;
}

/* Relative error of normal values, there and back; and the second time nothing is lost. */
static void test_encoders(void **state) {
    (void)state;
    static const double limits[BLOCK_TYPES] = {0.11, 0.09, 0.055, 0.045, 0.007, 0.1, 0.05, 0.03};
    enum { COUNT = 64 * 256 };
    static float values[COUNT], decoded[COUNT], again[COUNT];
    static uint8_t blocks[COUNT * 2];
    uint64_t random = 5;
    for (unsigned i = 0; i < COUNT; i++)
        values[i] = (float)(0.05 * normal(&random));
    for (unsigned t = 0; t < BLOCK_TYPES; t++) {
        weights_dtype type = block_types[t];
        uint64_t count = COUNT / weights_dtype_block(type);
        weights_encode_blocks(type, values, count, blocks);
        weights_decode_blocks(type, blocks, count, decoded);
        double error = 0, norm = 0, change = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            error += pow((double)decoded[i] - (double)values[i], 2);
            norm += pow((double)values[i], 2);
        }
        weights_encode_blocks(type, decoded, count, blocks);
        weights_decode_blocks(type, blocks, count, again);
        for (unsigned i = 0; i < COUNT; i++)
            change += pow((double)again[i] - (double)decoded[i], 2);
        print_message("%-5s relative error %.4f, again %.1e\n", weights_dtype_name(type), sqrt(error / norm),
                      sqrt(change / norm));
        assert_true(sqrt(error / norm) < limits[t]);
        assert_true(sqrt(change / norm) < limits[t] / 10);
    }
    float zeros[256] = {0};
    for (unsigned t = 0; t < BLOCK_TYPES; t++) {
        weights_encode_blocks(block_types[t], zeros, 1, blocks);
        weights_decode_blocks(block_types[t], blocks, 1, decoded);
        for (unsigned i = 0; i < weights_dtype_block(block_types[t]); i++)
            assert_true(decoded[i] == 0);
    }
}

/* ------------------------------------------------------------------------------------ the device's blocks --
 */

/* Types whose elements the device's blocks can say exactly, and to which; others within their scales'
 * rounding. */
static void test_translation(void **state) {
    (void)state;
    static const struct {
        weights_dtype from;
        dtype to;
        double limit;
    } ways[] = {
        {WEIGHTS_Q8_0, DTYPE_Q8, 0},    {WEIGHTS_Q5_0, DTYPE_Q8, 0},    {WEIGHTS_Q5_1, DTYPE_Q8, 0},
        {WEIGHTS_Q4_0, DTYPE_Q8, 0},    {WEIGHTS_Q4_1, DTYPE_Q8, 0},    {WEIGHTS_Q4_0, DTYPE_Q4, 0},
        {WEIGHTS_Q4_1, DTYPE_Q4, 0},    {WEIGHTS_Q4_K, DTYPE_Q4, 1e-3}, {WEIGHTS_Q4_K, DTYPE_Q8, 1e-3},
        {WEIGHTS_Q5_K, DTYPE_Q8, 1e-3}, {WEIGHTS_Q6_K, DTYPE_Q8, 7e-3}, {WEIGHTS_Q8_0, DTYPE_Q4, 0.09}};
    enum { COUNT = 16 * 256 };
    static float values[COUNT], decoded[COUNT], device[COUNT];
    static uint8_t blocks[COUNT * 2], packed[COUNT * 2], part[COUNT];
    uint64_t random = 9;
    for (unsigned i = 0; i < COUNT; i++)
        values[i] = (float)(0.02 * normal(&random));
    for (unsigned w = 0; w < sizeof ways / sizeof *ways; w++) {
        uint64_t count = COUNT / weights_dtype_block(ways[w].from);
        weights_encode_blocks(ways[w].from, values, count, blocks);
        weights_decode_blocks(ways[w].from, blocks, count, decoded);
        weights_tensor tensor = {.name = "t",
                                 .file = "f",
                                 .dtype = ways[w].from,
                                 .rank = 2,
                                 .shape = {16, 256},
                                 .count = COUNT,
                                 .data = blocks};
        mzt_error error;
        assert_int_equal(weights_convert(&tensor, 0, COUNT, ways[w].to, packed, &error), MZT_OK);
        dtype_convert(DTYPE_F32, device, ways[w].to, packed, COUNT);
        double distance = 0, norm = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            distance += pow((double)device[i] - (double)decoded[i], 2);
            norm += pow((double)decoded[i], 2);
        }
        print_message("%s to %s: %.2e\n", weights_dtype_name(ways[w].from), dtype_name(ways[w].to),
                      sqrt(distance / norm));
        if (sqrt(distance / norm) > ways[w].limit) fail_msg("more than the limit of %g", ways[w].limit);
        /* a part of it is the same part */
        assert_int_equal(weights_convert(&tensor, 256, 512, ways[w].to, part, &error), MZT_OK);
        assert_memory_equal(part, packed + dtype_bytes(ways[w].to, 256), dtype_bytes(ways[w].to, 512));
    }
}

/* Quantising on the way to the device is what converting the file to Q8_0, or Q4_1, before would have given.
 */
static void test_same_as_files(void **state) {
    (void)state;
    enum { COUNT = 2048 };
    static float values[COUNT];
    static uint8_t blocks[COUNT * 2], through[COUNT * 2], direct[COUNT * 2];
    uint64_t random = 11;
    for (unsigned i = 0; i < COUNT; i++)
        values[i] = (float)(0.1 * normal(&random));
    for (int four = 0; four < 2; four++) {
        weights_dtype type = four ? WEIGHTS_Q4_1 : WEIGHTS_Q8_0;
        dtype to = four ? DTYPE_Q4 : DTYPE_Q8;
        weights_encode_blocks(type, values, COUNT / 32, blocks);
        weights_tensor stored = {.dtype = type, .rank = 1, .shape = {COUNT}, .count = COUNT, .data = blocks};
        assert_true(weights_translate(&stored, 0, COUNT, to, through));
        dtype_convert(to, direct, DTYPE_F32, values, COUNT);
        assert_memory_equal(through, direct, dtype_bytes(to, COUNT));
    }
}

/* --------------------------------------------------------------------------------------------------- files
 * -- */

#define PATH MZT_BINARY_DIR "/test_gguf.gguf"

/* Writes a small file with three tensors; returns its bytes. */
static uint64_t make_file(const base_host *host, char **bytes) {
    float values[256];
    uint8_t blocks[256];
    mzt_error error = {0};
    gguf_writer *writer;
    uint64_t size;
    for (int i = 0; i < 256; i++)
        values[i] = (float)(i - 100) / 64;
    assert_int_equal(gguf_writer_open(host, PATH, &writer, &error), MZT_OK);
    assert_int_equal(gguf_writer_metadata(writer, "general.architecture", "sd1", &error), MZT_OK);
    assert_int_equal(gguf_writer_declare(writer, "b", WEIGHTS_Q8_0, (uint64_t[]){3, 32}, 2, &error), MZT_OK);
    assert_int_equal(gguf_writer_declare(writer, "a", WEIGHTS_F32, (uint64_t[]){2, 3, 1, 1}, 4, &error),
                     MZT_OK);
    assert_int_equal(gguf_writer_declare(writer, "c", WEIGHTS_Q4_K, (uint64_t[]){256}, 1, &error), MZT_OK);
    weights_encode_blocks(WEIGHTS_Q8_0, values, 3, blocks);
    assert_int_equal(gguf_writer_write(writer, blocks, 50, &error), MZT_OK);
    assert_int_equal(gguf_writer_write(writer, blocks + 50, 52, &error), MZT_OK);
    assert_int_equal(gguf_writer_write(writer, values, 24, &error), MZT_OK);
    weights_encode_blocks(WEIGHTS_Q4_K, values, 1, blocks);
    assert_int_equal(gguf_writer_write(writer, blocks, 144, &error), MZT_OK);
    assert_int_equal(gguf_writer_finish(writer, &error), MZT_OK);
    assert_int_equal(file_read(host, PATH, 1 << 20, bytes, &size, &error), MZT_OK);
    return size;
}

static void test_file(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error = {0};
    weights_set *set;
    char *bytes;
    make_file(&host, &bytes);
    assert_int_equal(gguf_open(&host, PATH, &set, &error), MZT_OK);
    assert_int_equal(weights_count(set), 3);
    assert_string_equal(weights_metadata(set, "general.architecture"), "sd1");
    assert_null(weights_metadata(set, "general.name"));
    const weights_tensor *a = weights_find(set, "a"), *b = weights_find(set, "b"),
                         *c = weights_find(set, "c");
    assert_true(a && a->rank == 4 && a->shape[0] == 2 && a->shape[1] == 3 && a->dtype == WEIGHTS_F32);
    assert_true(b && b->rank == 2 && b->shape[0] == 3 && b->shape[1] == 32 && b->dtype == WEIGHTS_Q8_0);
    assert_true(c && c->count == 256);
    float out[256];
    assert_int_equal(weights_convert(a, 0, 6, DTYPE_F32, out, &error), MZT_OK);
    assert_true(out[0] == -100.0f / 64 && out[5] == -95.0f / 64);
    assert_int_equal(weights_convert(b, 30, 4, DTYPE_F32, out, &error), MZT_OK);
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(out[i] - (float)(i + 30 - 100) / 64) < 0.02f);
    weights_close(set);
    host_free(&host, bytes);
    remove(PATH);
}

static void expect(const base_host *host, const void *bytes, uint64_t size, mzt_status status,
                   const char *what) {
    mzt_error error = {0};
    weights_set *set = NULL;
    void *copy = malloc(size ? size : 1); /* so that a sanitizer sees what is read beyond */
    memcpy(copy, bytes, size);
    mzt_status found = gguf_open_memory(host, "x.gguf", copy, size, &set, &error);
    if (found != status || (status < 0 && !strstr(error.message, what)))
        fail_msg("status %d, expected %d with \"%s\": %s", found, status, what, error.message);
    if (status < 0) assert_null(strchr(error.message, '\n'));
    weights_close(set);
    free(copy);
}

/* Every truncation and every changed byte of the description: an error, or a file whose tensors can be read.
 */
static void test_damage(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    char *bytes;
    uint64_t size = make_file(&host, &bytes);
    for (uint64_t cut = 0; cut < size - 16; cut++) { /* the last tensor ends 16 bytes before the last gap */
        weights_set *set = NULL;
        mzt_error error = {0};
        char *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        if (gguf_open_memory(&host, "x", copy, cut, &set, &error) >= 0)
            fail_msg("%llu bytes", (unsigned long long)cut);
        free(copy);
    }
    uint64_t refused = 0;
    for (uint64_t at = 0; at < 300 && at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            weights_set *set = NULL;
            mzt_error error = {0};
            char *copy = malloc(size);
            float out[256];
            memcpy(copy, bytes, size);
            copy[at] = (char)(copy[at] ^ 1 << bit);
            if (gguf_open_memory(&host, "x", copy, size, &set, &error) < 0) refused++;
            for (uint32_t i = 0; set && i < weights_count(set); i++) {
                const weights_tensor *t = weights_at(set, i);
                uint64_t some = t->count < 256 ? t->count : 256;
                weights_convert(t, t->count - some, some, DTYPE_F32, out, &error);
            }
            weights_close(set);
            free(copy);
        }
    assert_true(refused > 300);
    host_free(&host, bytes);
    remove(PATH);
}

/* A description by hand: version, counts, then what follows. */
static uint64_t begin(uint8_t *to, uint32_t version, uint64_t tensors, uint64_t pairs) {
    memcpy(to, "GGUF", 4);
    memcpy(to + 4, &version, 4);
    memcpy(to + 8, &tensors, 8);
    memcpy(to + 16, &pairs, 8);
    return 24;
}

static uint64_t add_tensor(uint8_t *to, uint64_t at, const char *name, uint32_t rank, const uint64_t *shape,
                           uint32_t type, uint64_t offset) {
    uint64_t length = strlen(name);
    memcpy(to + at, &length, 8);
    memcpy(to + at + 8, name, length);
    at += 8 + length;
    memcpy(to + at, &rank, 4);
    at += 4;
    for (uint32_t i = 0; i < rank; i++, at += 8)
        memcpy(to + at, &shape[i], 8);
    memcpy(to + at, &type, 4);
    memcpy(to + at + 4, &offset, 8);
    return at + 12;
}

static void test_hostile(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    uint8_t file[1024] = {0};
    uint64_t at, shape[8] = {32, 1, 1, 1, 1}, huge[2] = {UINT64_C(1) << 40, UINT64_C(1) << 40};
    expect(&host, "GGML....", 8, MZT_ERROR_FORMAT, "no GGUF");
    at = begin(file, 1, 0, 0);
    expect(&host, file, at, MZT_ERROR_UNSUPPORTED, "version 1");
    at = begin(file, 0x03000000, 0, 0);
    expect(&host, file, at, MZT_ERROR_UNSUPPORTED, "big endian");
    at = begin(file, 3, 0, 0);
    expect(&host, file, at, MZT_OK, "");
    at = begin(file, 3, UINT64_MAX / 2, 0);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "do not fit");
    at = begin(file, 3, 0, UINT64_MAX);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "do not fit");
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 1, shape, 10, 0);
    expect(&host, file, sizeof file, MZT_ERROR_UNSUPPORTED, "Q2_K");
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 1, shape, 999, 0);
    expect(&host, file, sizeof file, MZT_ERROR_UNSUPPORTED, "999");
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 5, shape, 0, 0);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "rank 5");
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 2, huge, 0, 0);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "too large");
    shape[0] = 0;
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 1, shape, 0, 0);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "empty");
    shape[0] = 33;
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 1, shape, 8, 0);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "whole blocks");
    shape[0] = 32;
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 1, shape, 8, 31);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "not a multiple");
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 1, shape, 8, 1024);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "beyond");
    at = add_tensor(file, begin(file, 3, 1, 0), "t", 1, shape, 8, UINT64_MAX - 31);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "beyond");
    at = add_tensor(file, begin(file, 3, 2, 0), "t", 1, shape, 8, 0);
    add_tensor(file, at, "t", 1, shape, 8, 0);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "twice");
    static const uint8_t nested[] = {1, 0, 0, 0, 0, 0, 0, 0, 'k', 9, 0, 0, 0}; /* arrays of arrays of ... */
    at = begin(file, 3, 0, 1);
    memcpy(file + at, nested, sizeof nested);
    at += sizeof nested;
    for (int i = 0; i < 40; i++, at += 12)
        memcpy(file + at, (uint8_t[12]){9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 12);
    expect(&host, file, sizeof file, MZT_ERROR_FORMAT, "deeper");
    remove(PATH);
}

/* A flattened convolution with its original shape noted beside it. */
static void test_original_shape(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const char key[] = "comfy.gguf.orig_shape.t";
    uint8_t file[1024] = {0};
    uint64_t length = sizeof key - 1, four = 4, at = begin(file, 3, 1, 1);
    memcpy(file + at, &length, 8);
    memcpy(file + at + 8, key, length);
    at += 8 + length;
    memcpy(file + at, (uint32_t[]){9, 5}, 8);
    memcpy(file + at + 8, &four, 8);
    memcpy(file + at + 16, (int32_t[]){2, 8, 2, 2}, 16);
    at = add_tensor(file, at + 32, "t", 2, (uint64_t[]){32, 2}, 8, 0);
    mzt_error error = {0};
    weights_set *set;
    assert_int_equal(gguf_open_memory(&host, "x", file, sizeof file, &set, &error), MZT_OK);
    const weights_tensor *t = weights_find(set, "t");
    assert_true(t && t->rank == 4 && t->shape[0] == 2 && t->shape[1] == 8 && t->shape[3] == 2);
    weights_close(set);
}

static void test_writer_refuses(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error = {0};
    gguf_writer *writer;
    assert_int_equal(gguf_writer_open(&host, PATH, &writer, &error), MZT_OK);
    assert_int_equal(gguf_writer_declare(writer, "t", WEIGHTS_F8_E4M3, (uint64_t[]){4}, 1, &error),
                     MZT_ERROR_INVALID);
    assert_int_equal(gguf_writer_declare(writer, "t", WEIGHTS_Q8_0, (uint64_t[]){4}, 1, &error),
                     MZT_ERROR_INVALID);
    assert_int_equal(gguf_writer_declare(writer, "", WEIGHTS_F32, (uint64_t[]){4}, 1, &error),
                     MZT_ERROR_INVALID);
    assert_int_equal(gguf_writer_declare(writer, "t", WEIGHTS_F32, (uint64_t[]){1, 1, 1, 1, 4}, 5, &error),
                     MZT_ERROR_INVALID);
    assert_int_equal(gguf_writer_declare(writer, "t", WEIGHTS_F32, (uint64_t[]){4}, 1, &error), MZT_OK);
    assert_int_equal(gguf_writer_write(writer, (float[]){1, 2, 3, 4}, 12, &error), MZT_OK);
    assert_int_equal(gguf_writer_finish(writer, &error), MZT_ERROR_INVALID);
    assert_false(file_exists(PATH));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definitions),    cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_encoders),       cmocka_unit_test(test_translation),
        cmocka_unit_test(test_same_as_files),  cmocka_unit_test(test_file),
        cmocka_unit_test(test_damage),         cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_original_shape), cmocka_unit_test(test_writer_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
