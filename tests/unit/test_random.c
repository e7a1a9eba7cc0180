/* Random numbers: published vectors of the generators, values that PyTorch gives, order independence, and
 * moments. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sample/random.h"

/* Known answers of the Random123 distribution for philox4x32-10. */
static void test_philox_block(void **state) {
    (void)state;
    static const uint32_t vectors[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
         0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
         0x5001e420, 0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox4x32(vectors[i], vectors[i] + 4, out);
        assert_memory_equal(out, vectors[i] + 6, sizeof out);
    }
}

/* The default stream, bit for bit, as an independent evaluation of the formula in the header gives it. */
static void test_default_stream_bits(void **state) {
    (void)state;
    static const float start[8] = {-0x1.f0bcb8p-1f, 0x1.8d59dp-3f,  -0x1.3c51a4p+0f, 0x1.ec8676p+0f,
                                   -0x1.2bc06p-4f,  0x1.1cf41ep-3f, -0x1.1b4e66p+0f, 0x1.4e85fap-2f};
    static const float far[4] = {-0x1.22fd84p+0f, -0x1.30db76p+0f, -0x1.01e19p-2f, -0x1.116e16p-2f};
    float out[8];
    random_normals(42, 0, 0, 8, out);
    assert_memory_equal(out, start, sizeof start);
    random_normals(0xfedcba9876543210u, 3, 5000000000u, 4, out);
    assert_memory_equal(out, far, sizeof far);
}

/* Any part of a draw, taken alone, equals the same part of the whole; draws and seeds differ from each other.
 */
static void test_order_independence(void **state) {
    (void)state;
    float whole[101], part[101], other[101];
    uint32_t words[101], word;
    random_normals(7, 2, 0, 101, whole);
    random_words(7, 2, 0, 101, words);
    for (uint64_t first = 0; first < 101; first++) {
        for (uint64_t count = 0; first + count <= 101; count += 1 + count / 3) {
            random_normals(7, 2, first, count, part);
            assert_memory_equal(part, whole + first, count * sizeof *part);
        }
        random_words(7, 2, first, 1, &word);
        assert_int_equal(word, words[first]);
    }
    random_normals(7, 3, 0, 101, other);
    assert_true(memcmp(whole, other, sizeof whole) != 0);
    random_normals(7 + (1ull << 32), 2, 0, 101, other);
    assert_true(memcmp(whole, other, sizeof whole) != 0);

    random_stream stream;
    random_start(&stream, RANDOM_PHILOX, 7);
    for (int draw = 0; draw < 3; draw++)
        random_next(&stream, 101, part);
    assert_memory_equal(part, whole, sizeof whole);
}

/* Mean, variance, skewness, kurtosis and neighbour correlation of n = 2^20 normals. Limits: 5 standard
 * errors, which are sqrt(1/n), sqrt(2/n), sqrt(6/n), sqrt(24/n) and sqrt(1/n). */
static void test_moments(void **state) {
    (void)state;
    const uint64_t n = 1 << 20;
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (int kind = 0; kind < RANDOM_KIND_COUNT; kind++) {
        random_stream stream;
        random_start(&stream, (random_kind)kind, 20240607);
        random_next(&stream, n, x);
        double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0;
        for (uint64_t i = 0; i < n; i++) {
            double v = x[i];
            m1 += v, m2 += v * v, m3 += v * v * v, m4 += v * v * v * v;
            if (i) lag += v * x[i - 1];
        }
        double error = 5 / sqrt((double)n);
        assert_true(fabs(m1 / n) < error);
        assert_true(fabs(m2 / n - 1) < error * sqrt(2));
        assert_true(fabs(m3 / n) < error * sqrt(15)); /* raw third moment: variance 15 */
        assert_true(fabs(m4 / n - 3) < error * sqrt(96));
        assert_true(fabs(lag / n) < error);
    }
    free(x);
}

typedef struct known_value {
    uint64_t seed;
    uint32_t draw_sizes[2]; /* the value belongs to the last non-zero draw */
    uint32_t index;
    double value, limit;
} known_value;

/* torch.Generator("cpu"). Values with limit 2e-6 come from PyTorch 1.13 at full precision, the others from
 * its documentation's four decimals. 2e-6 is a few units in the last place of its single-precision log and
 * sincos. */
static const known_value cpu_values[] = {
    {0, {4, 0}, 0, 1.5410, 5.1e-5},
    {0, {4, 0}, 1, -0.2934, 5.1e-5},
    {0, {4, 0}, 2, -2.1788, 5.1e-5},
    {0, {4, 0}, 3, 0.5684, 5.1e-5},
    {42, {4, 0}, 0, 0.3367, 5.1e-5},
    {42, {4, 0}, 1, 0.1288, 5.1e-5},
    {42, {4, 0}, 2, 0.2345, 5.1e-5},
    {42, {4, 0}, 3, 0.2303, 5.1e-5},
    {0, {64, 0}, 0, -1.1258, 5.1e-5},
    {0, {64, 0}, 1, -1.1524, 5.1e-5},
    {0, {64, 0}, 7, -2.1152, 5.1e-5},
    {0, {64, 0}, 8, 0.3223, 5.1e-5},
    {42, {64, 0}, 0, 1.9269, 5.1e-5},
    {42, {64, 0}, 15, 0.7624, 5.1e-5},
    {3, {1536, 0}, 0, -0.076644294, 2e-6},
    {3, {1536, 0}, 1, 0.35988152, 2e-6},
    {3, {1536, 0}, 6, 1.62055075, 2e-6},
    {3, {1536, 0}, 8, -0.0516809635, 2e-6},
    {3, {1536, 0}, 15, 0.416331291, 2e-6},
    {3, {1536, 0}, 16, 0.261501163, 2e-6},
    {3, {1536, 0}, 100, 0.393155128, 2e-6},
    {3, {1536, 0}, 1000, 0.473182052, 2e-6},
    {3, {1536, 0}, 1528, 2.03864932, 2e-6},
    {3, {1536, 0}, 1535, 1.94768727, 2e-6},
    {7, {3072, 0}, 0, -0.820134521, 2e-6},
    {7, {3072, 0}, 3071, -0.900783479, 2e-6},
    {7, {3072, 768}, 0, 0.720805645, 2e-6},
    {7, {3072, 768}, 1, 1.35984409, 2e-6},
    {7, {3072, 768}, 8, -2.29861236, 2e-6},
    {7 + (1ull << 32), {3072, 0}, 0, -0.820134521, 2e-6}, /* only 32 bits of the seed count */
};

/* torch.Generator("cuda"): published values. */
static const known_value cuda_values[] = {
    {0, {4, 0}, 0, -0.9247, 5.1e-5},     {0, {4, 0}, 1, -0.4253, 5.1e-5},
    {0, {4, 0}, 2, -2.6438, 5.1e-5},     {0, {4, 0}, 3, 0.1452, 5.1e-5},
    {42, {4, 0}, 0, 0.1940, 5.1e-5},     {42, {4, 0}, 1, 2.1614, 5.1e-5},
    {42, {4, 0}, 2, -0.1721, 5.1e-5},    {42, {4, 0}, 3, 0.8491, 5.1e-5},
    {0, {12, 0}, 4, -0.12086647, 1e-6},  {0, {12, 0}, 7, -0.32838709, 1e-6},
    {0, {12, 0}, 10, -1.67105067, 1e-6}, {0, {12, 0}, 11, 2.26550497, 1e-6},
};

static void check_known(random_kind kind, const known_value *known, size_t count) {
    static float out[3072];
    for (size_t i = 0; i < count; i++, known++) {
        random_stream stream;
        random_start(&stream, kind, known->seed);
        for (int draw = 0; draw < 2 && known->draw_sizes[draw]; draw++)
            random_next(&stream, known->draw_sizes[draw], out);
        if (!(fabs(out[known->index] - known->value) < known->limit))
            fail_msg("%s seed %llu element %u: %.9g, expected %.9g", random_kind_name(kind),
                     (unsigned long long)known->seed, known->index, out[known->index], known->value);
    }
}

static void test_torch_known_values(void **state) {
    (void)state;
    check_known(RANDOM_TORCH_CPU, cpu_values, sizeof cpu_values / sizeof *cpu_values);
    check_known(RANDOM_TORCH_CUDA, cuda_values, sizeof cuda_values / sizeof *cuda_values);
}

/* The structure of PyTorch's CPU stream that the known values do not show. */
static void test_torch_cpu_structure(void **state) {
    (void)state;
    random_stream stream;
    float a[64], b[64];

    /* Short draws share one sequence: the second normal of a pair is kept for the next one. */
    random_start(&stream, RANDOM_TORCH_CPU, 5);
    random_next(&stream, 8, a);
    random_start(&stream, RANDOM_TORCH_CPU, 5);
    random_next(&stream, 3, b);
    random_next(&stream, 5, b + 3);
    assert_memory_equal(a, b, 8 * sizeof *a);

    /* 17 numbers: the first group's first value stays; the last 16 are a fresh group, drawn after 17
     * uniforms. */
    random_start(&stream, RANDOM_TORCH_CPU, 5);
    random_next(&stream, 48, a);
    random_start(&stream, RANDOM_TORCH_CPU, 5);
    random_next(&stream, 17, b);
    assert_true(a[0] == b[0]);
    for (int i = 0; i < 7; i++)
        assert_true(a[17 + i] == b[1 + i]); /* same uniforms, same pairing, shifted by one */
    assert_true(a[24] != b[8]);

    /* The kept normal survives a long draw in between. */
    random_start(&stream, RANDOM_TORCH_CPU, 5);
    random_next(&stream, 1, a);
    random_next(&stream, 16, b);
    random_next(&stream, 1, a + 1);
    random_start(&stream, RANDOM_TORCH_CPU, 5);
    random_next(&stream, 2, b);
    assert_memory_equal(a, b, 2 * sizeof *a);
}

/* In the GPU's stream element i of a draw does not depend on the draw's size, and each draw raises the
 * offset. */
static void test_torch_cuda_structure(void **state) {
    (void)state;
    random_stream stream;
    float a[64], b[64];
    random_start(&stream, RANDOM_TORCH_CUDA, 9);
    random_next(&stream, 64, a);
    random_start(&stream, RANDOM_TORCH_CUDA, 9);
    random_next(&stream, 5, b);
    assert_memory_equal(a, b, 5 * sizeof *a);
    random_next(&stream, 64, b);
    assert_true(memcmp(a, b, sizeof a) != 0);
}

static void test_names(void **state) {
    (void)state;
    random_kind kind = RANDOM_TORCH_CUDA;
    for (int i = 0; i < RANDOM_KIND_COUNT; i++) {
        assert_true(random_kind_find(random_kind_name((random_kind)i), &kind));
        assert_int_equal(kind, i);
    }
    assert_false(random_kind_find("torch", &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_block),         cmocka_unit_test(test_default_stream_bits),
        cmocka_unit_test(test_order_independence),   cmocka_unit_test(test_moments),
        cmocka_unit_test(test_torch_known_values),   cmocka_unit_test(test_torch_cpu_structure),
        cmocka_unit_test(test_torch_cuda_structure), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
