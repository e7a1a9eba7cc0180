/* Tensors seen in another way than they are stored: rows, turned, scaled, with something added, in blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "weights/weights.h"

enum { ROWS = 6, COLUMNS = 40, COUNT = ROWS * COLUMNS };

static weights_tensor matrix(const float *values) {
    return (weights_tensor){.name = "m",
                            .file = "memory",
                            .dtype = WEIGHTS_F32,
                            .rank = 2,
                            .shape = {ROWS, COLUMNS},
                            .count = COUNT,
                            .data = (const uint8_t *)values};
}

static void fill(float *values) {
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)i - 17.5f;
}

static void test_rows(void **state) {
    (void)state;
    float values[COUNT], found[COUNT];
    mzt_error error;
    fill(values);
    weights_tensor whole = matrix(values), part, again;
    assert_int_equal(weights_rows(&whole, 2, 3, &part, &error), MZT_OK);
    assert_int_equal(part.count, 3 * COLUMNS);
    assert_int_equal(part.origin, 2 * COLUMNS);
    assert_int_equal(weights_convert(&part, 1, 5, DTYPE_F32, found, &error), MZT_OK);
    assert_memory_equal(found, values + 2 * COLUMNS + 1, 5 * sizeof *found);
    assert_int_equal(weights_rows(&part, 1, 2, &again, &error), MZT_OK);
    assert_int_equal(again.origin, 3 * COLUMNS);
    assert_ptr_equal(again.data, (const uint8_t *)(values + 3 * COLUMNS));
    assert_int_equal(weights_rows(&whole, 4, 3, &part, &error), MZT_ERROR_INVALID);
    assert_string_equal(error.message, "memory: tensor \"m\": rows 4+3 wanted of 6");
    whole.rank = 0;
    assert_int_equal(weights_rows(&whole, 0, 1, &part, &error), MZT_ERROR_INVALID);
}

static void test_transposed(void **state) {
    (void)state;
    float values[COUNT], found[COUNT];
    mzt_error error;
    fill(values);
    weights_tensor t = matrix(values), part;
    t.shape[0] = COLUMNS;
    t.shape[1] = ROWS;
    t.transposed = true;
    assert_int_equal(weights_convert(&t, 3, COUNT - 3, DTYPE_F32, found, &error), MZT_OK);
    for (int i = 3; i < COUNT; i++)
        assert_true(found[i - 3] == values[i % ROWS * COLUMNS + i / ROWS]);
    assert_int_equal(weights_rows(&t, 0, 1, &part, &error), MZT_ERROR_INVALID);
    assert_int_equal(weights_convert(&t, 0, 1, DTYPE_U32, found, &error), MZT_ERROR_UNSUPPORTED);
}

static void test_scale(void **state) {
    (void)state;
    static uint8_t stored[600];
    static uint16_t halves[600];
    weights_tensor t = {.name = "s",
                        .file = "memory",
                        .dtype = WEIGHTS_F8_E4M3,
                        .rank = 1,
                        .shape = {600},
                        .count = 600,
                        .data = stored,
                        .scale = 0.25f};
    for (int i = 0; i < 600; i++)
        stored[i] = (uint8_t)(0x38 + i % 8); /* 1, 1.125, ... 1.875 */
    assert_int_equal(weights_convert(&t, 0, 600, DTYPE_F16, halves, NULL), MZT_OK);
    for (int i = 0; i < 600; i++)
        assert_true(f32_from_f16(halves[i]) == 0.25f * (1.0f + (float)(i % 8) / 8.0f));
}

/* Adds the element's place in the whole tensor; refuses when told to. */
static mzt_status add_place(const weights_overlay *overlay, const weights_tensor *tensor, uint64_t first,
                            uint64_t count, float *values, mzt_error *error) {
    if (overlay->user) return error_set(error, MZT_ERROR_FORMAT, "refused \"%s\"", tensor->name);
    for (uint64_t i = 0; i < count; i++)
        values[i] += (float)(first + i);
    return MZT_OK;
}

static void test_overlay(void **state) {
    (void)state;
    static float values[COUNT], found[COUNT];
    static uint16_t halves[COUNT];
    const weights_overlay places = {add_place, NULL}, refusing = {add_place, "x"};
    mzt_error error;
    weights_tensor t = matrix(values), part;
    t.overlay = &places;
    t.scale = 2.0f;
    for (int i = 0; i < COUNT; i++)
        values[i] = 1.0f;
    assert_int_equal(weights_convert(&t, 0, COUNT, DTYPE_F16, halves, &error), MZT_OK);
    for (int i = 0; i < COUNT; i++)
        assert_true(f32_from_f16(halves[i]) == 2.0f + (float)i);
    assert_int_equal(weights_rows(&t, 4, 2, &part, &error), MZT_OK);
    assert_int_equal(weights_convert(&part, 1, 3, DTYPE_F32, found, &error), MZT_OK);
    assert_true(found[0] == 2.0f + 4 * COLUMNS + 1);
    t.overlay = &refusing;
    assert_int_equal(weights_convert(&t, 0, COUNT, DTYPE_BF16, halves, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message, "refused \"m\"");
}

/* One row of 64 elements in each type: the second block of each has another scale than the first. */
static void test_blocks(void **state) {
    (void)state;
    uint8_t q8[2 * 34] = {0x00, 0x3c}, q4[2 * 18] = {0x00, 0x3c}; /* scale 1 */
    float found[64];
    q8[35] = q4[19] = 0x38; /* 0.5 */
    for (int i = 0; i < 32; i++)
        q8[2 + i] = q8[36 + i] = (uint8_t)(i - 16);
    for (int i = 0; i < 16; i++)
        q4[2 + i] = q4[20 + i] = (uint8_t)(i | (15 - i) << 4);
    weights_tensor t = {.name = "q", .file = "memory", .rank = 2, .shape = {2, 32}, .count = 64}, part;
    for (int type = 0; type < 2; type++) {
        t.dtype = type ? WEIGHTS_Q4_0 : WEIGHTS_Q8_0;
        t.data = type ? q4 : q8;
        for (uint64_t first = 0; first < 64; first += 5) {
            assert_int_equal(weights_convert(&t, first, 64 - first, DTYPE_F32, found, NULL), MZT_OK);
            for (int i = (int)first; i < 64; i++) {
                int in = i % 32, stored = type ? (in < 16 ? in - 8 : 15 - (in - 16) - 8) : in - 16;
                assert_true(found[i - (int)first] == (float)stored * (i < 32 ? 1.0f : 0.5f));
            }
        }
        assert_int_equal(weights_rows(&t, 1, 1, &part, NULL), MZT_OK);
        assert_int_equal(weights_convert(&part, 0, 1, DTYPE_F32, found, NULL), MZT_OK);
        assert_true(found[0] == (type ? -4.0f : -8.0f));
    }
    t.shape[0] = 4;
    t.shape[1] = 16;
    assert_int_equal(weights_rows(&t, 1, 1, &part, NULL), MZT_ERROR_INVALID);
}

static const weights_overlay *choose(void *user, const weights_tensor *tensor) {
    return tensor->name[0] == 'b' ? user : NULL;
}

static const char *describe(const void *user, const char *key) {
    return strcmp(key, "kind") == 0 ? user : NULL;
}

static void count_close(void *user) {
    ((char *)user)[0]++;
}

static void test_sets(void **state) {
    (void)state;
    static float values[COUNT];
    static char text[] = "a";
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    const weights_overlay places = {add_place, NULL};
    mzt_error error;
    weights_set *set, *over;
    weights_tensor tensors[2] = {matrix(values), matrix(values)};
    tensors[0].name = "b";
    tensors[1].name = "a";
    weights_source source = {tensors, 2, describe, count_close, text};
    assert_int_equal(weights_create(&host, "made", &source, &set, &error), MZT_OK);
    assert_ptr_equal(weights_at(set, 0), &tensors[1]);
    assert_ptr_equal(weights_find(set, "b"), &tensors[0]);
    assert_string_equal(weights_metadata(set, "kind"), "a");
    assert_int_equal(weights_overlaid(&host, set, choose, (void *)(uintptr_t)&places, &over, &error), MZT_OK);
    assert_ptr_equal(weights_find(over, "b")->overlay, &places);
    assert_null(weights_find(over, "a")->overlay);
    assert_string_equal(weights_metadata(over, "kind"), "a");
    assert_null(weights_metadata(over, "else"));
    weights_close(over);
    weights_close(set);
    assert_string_equal(text, "b");
    tensors[0].name = "a";
    assert_int_equal(weights_create(&host, "made", &source, &set, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message, "made: tensor \"a\" comes twice");
    assert_null(set);
    assert_string_equal(text, "c");
    assert_int_equal(counts.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_transposed), cmocka_unit_test(test_scale),
        cmocka_unit_test(test_overlay), cmocka_unit_test(test_blocks),     cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests_name("tensor_views", tests, NULL, NULL);
}
