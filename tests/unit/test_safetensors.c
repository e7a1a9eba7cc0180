/* safetensors: damaged files and what is said about them, element types, round trips, the reference files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/file.h"
#include "weights/safetensors.h"

/* Writes a file image with this header and `data_size` bytes 0, 1, 2, … behind it; returns its size. */
static size_t build(uint8_t *image, size_t capacity, const char *header, size_t data_size) {
    size_t length = strlen(header);
    assert_true(8 + length + data_size <= capacity);
    memset(image, 0, 8);
    image[0] = (uint8_t)length;
    image[1] = (uint8_t)(length >> 8);
    memcpy(image + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        image[8 + length + i] = (uint8_t)i;
    return 8 + length + data_size;
}

#define ENTRY(name, dtype, shape, offsets)                                                                   \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* Headers with `data_size` bytes behind them, and what is said; NULL where the order of two names is open. */
static const struct {
    const char *header;
    size_t data_size;
    mzt_status status;
    const char *message;
} corrupt[] = {
    {"", 9, MZT_ERROR_FORMAT, "t: header does not begin with '{': not a safetensors file"},
    {"[1]", 0, MZT_ERROR_FORMAT, "t: header does not begin with '{': not a safetensors file"},
    {" {}", 0, MZT_ERROR_FORMAT, "t: header does not begin with '{': not a safetensors file"},
    {"{nonsense", 0, MZT_ERROR_FORMAT, "t header:1:2: expected a key in quotes, found 'n'"},
    {"{}}", 0, MZT_ERROR_FORMAT, "t header:1:3: text behind the document, found '}'"},
    {"{}", 1, MZT_ERROR_FORMAT, "t: 1 bytes at the end belong to no tensor"},
    {"{\"a\":1}", 0, MZT_ERROR_FORMAT, "t header: a: expected an object, found 1"},
    {"{\"a\":{}}", 0, MZT_ERROR_FORMAT, "t header: a.dtype: expected a string, found nothing"},
    {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("a", "F32", "[1]", "[4,8]") "}", 8, MZT_ERROR_FORMAT,
     "t header: a: the key occurs twice"},
    {"{" ENTRY("a\\u0000b", "F32", "[1]", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header:1:4: \\u0000 in a string, found '\\'"},
    {"{" ENTRY("a", "F31", "[1]", "[0,4]") "}", 4, MZT_ERROR_UNSUPPORTED,
     "t header: a.dtype: unknown dtype \"F31\""},
    {"{\"a\":{\"dtype\":32}}", 0, MZT_ERROR_FORMAT, "t header: a.dtype: expected a string, found 32"},
    {"{" ENTRY("a", "F32", "[-1]", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.shape[0]: expected an integer in 0..9007199254740992, found -1"},
    {"{" ENTRY("a", "F32", "[1.5]", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.shape[0]: expected an integer in 0..9007199254740992, found 1.5"},
    {"{" ENTRY("a", "F32", "[1000000000000000000]", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.shape[0]: expected an integer in 0..9007199254740992, found 1e+18"},
    {"{" ENTRY("a", "F32", "[NaN]", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.shape[0]: expected an integer in 0..9007199254740992, found NaN"},
    {"{" ENTRY("a", "F32", "1", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.shape: expected an array, found 1"},
    {"{" ENTRY("a", "F32", "[4294967296,4294967296]", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.shape: shape [4294967296,4294967296] is too large"},
    {"{" ENTRY("a", "F32", "[0,4294967296,4294967296]", "[0,0]") "}", 0, MZT_ERROR_FORMAT,
     "t header: a.shape: shape [0,4294967296,4294967296] is too large"},
    {"{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.shape: expected at most 8 integers, found 9"},
    {"{" ENTRY("a", "F32", "[1]", "[0]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.data_offsets: expected two offsets, found 1"},
    {"{" ENTRY("a", "F32", "[1]", "[0,4,8]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.data_offsets: expected at most 2 integers, found 3"},
    {"{" ENTRY("a", "F32", "[1]", "[-4,0]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.data_offsets[0]: expected an integer in 0..9007199254740992, found -4"},
    {"{" ENTRY("a", "F32", "[1]", "[4,0]") "}", 4, MZT_ERROR_FORMAT,
     "t header: a.data_offsets: begins at 4, behind its end at 0"},
    {"{" ENTRY("a", "F32", "[2]", "[0,8]") "}", 7, MZT_ERROR_FORMAT,
     "t header: a.data_offsets: ends at 8, but the file holds 7 bytes of data (truncated?)"},
    {"{" ENTRY("a", "F16", "[2,3]", "[0,24]") "}", 24, MZT_ERROR_FORMAT,
     "t header: a: expected 12 bytes for F16 [2,3], found 24"},
    {"{" ENTRY("a", "F32", "[]", "[0,8]") "}", 8, MZT_ERROR_FORMAT,
     "t header: a: expected 4 bytes for F32 [], found 8"},
    {"{" ENTRY("a", "U8", "[6]", "[0,6]") "," ENTRY("b", "U8", "[6]", "[2,8]") "}", 8, MZT_ERROR_FORMAT,
     "t: tensors \"a\" and \"b\" overlap"},
    {"{" ENTRY("a", "U8", "[8]", "[0,8]") "," ENTRY("b", "U8", "[8]", "[0,8]") "}", 8, MZT_ERROR_FORMAT,
     NULL},
    {"{" ENTRY("a", "U8", "[8]", "[0,8]") "," ENTRY("b", "U8", "[0]", "[4,4]") "}", 8, MZT_ERROR_FORMAT,
     "t: tensors \"a\" and \"b\" overlap"},
    {"{" ENTRY("a", "U8", "[2]", "[0,2]") "," ENTRY("b", "U8", "[2]", "[6,8]") "}", 8, MZT_ERROR_FORMAT,
     "t: 4 bytes before tensor \"b\" belong to no tensor"},
    {"{" ENTRY("a", "U8", "[2]", "[0,2]") "}", 3, MZT_ERROR_FORMAT,
     "t: 1 bytes at the end belong to no tensor"},
    {"{\"__metadata__\":[]}", 0, MZT_ERROR_FORMAT,
     "t header: __metadata__: expected an object, found an array"},
    {"{\"__metadata__\":{\"k\":1}}", 0, MZT_ERROR_FORMAT,
     "t header: __metadata__.k: expected a string, found 1"},
};

static void test_corrupt(void **state) {
    (void)state;
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; i++) {
        uint8_t image[512];
        size_t size = build(image, sizeof image, corrupt[i].header, corrupt[i].data_size);
        safetensors_file *file;
        mzt_error error = {0};
        mzt_status status = safetensors_open_memory(&host, "t", image, size, &file, &error);
        if (corrupt[i].message) assert_string_equal(error.message, corrupt[i].message);
        assert_int_equal(status, corrupt[i].status);
        assert_int_equal(error.status, corrupt[i].status);
        assert_null(file);
        assert_null(strchr(error.message, '\n'));
        assert_int_equal(safetensors_open_memory(&host, "t", image, size, &file, NULL), corrupt[i].status);
        assert_int_equal(counts.live, 0);
    }
}

/* Files that go wrong before the header's text. */
static void test_corrupt_prefix(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t size;
        mzt_status status;
        const char *message;
    } cases[] = {
        {{0}, 0, MZT_ERROR_FORMAT, "t: 0 bytes, too short for a safetensors file"},
        {{2}, 7, MZT_ERROR_FORMAT, "t: 7 bytes, too short for a safetensors file"},
        {{0}, 8, MZT_ERROR_FORMAT, "t: header does not begin with '{': not a safetensors file"},
        {{5, 0, 0, 0, 0, 0, 0, 0, '{', '}', ' ', ' '},
         12,
         MZT_ERROR_FORMAT,
         "t: header of 5 bytes in a file of 12 (truncated?)"},
        {{1, 0xe1, 0xf5, 5, 0, 0, 0, 0, '{'},
         12,
         MZT_ERROR_FORMAT,
         "t: header of 100000001 bytes, more than the limit of 100000000"},
        {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'},
         12,
         MZT_ERROR_FORMAT,
         "t: header of 18446744073709551615 bytes, more than the limit of 100000000"},
        {{'P', 'K', 3, 4, 0, 0, 8, 8, 0},
         12,
         MZT_ERROR_UNSUPPORTED,
         "t: a pickled PyTorch file, not safetensors; convert it once with safetensors.torch.save_file"},
        {{0x80, 2, 0x8a, 10, 'l', 0xfc, 0x9c, 'F', 0xf9},
         12,
         MZT_ERROR_UNSUPPORTED,
         "t: a pickled PyTorch file, not safetensors; convert it once with safetensors.torch.save_file"},
    };
    base_host host = host_make(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        safetensors_file *file;
        mzt_error error = {0};
        mzt_status status = safetensors_open_memory(&host, "t", cases[i].bytes, cases[i].size, &file, &error);
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(status, cases[i].status);
    }
}

/* Every shorter version of a good file is refused. */
static void test_truncated(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    uint8_t image[512];
    size_t size = build(image, sizeof image,
                        "{" ENTRY("b", "F32", "[2]", "[0,8]") "," ENTRY("a", "F16", "[]", "[8,10]") "}", 10);
    for (size_t cut = 0; cut <= size; cut++) {
        uint8_t *exact =
            malloc(cut ? cut : 1); /* a block of its own, so that sanitizers see one byte too far */
        assert_non_null(exact);
        memcpy(exact, image, cut);
        safetensors_file *file;
        mzt_status status = safetensors_open_memory(&host, "t", exact, cut, &file, NULL);
        assert_int_equal(status, cut == size ? MZT_OK : MZT_ERROR_FORMAT);
        safetensors_close(file);
        free(exact);
    }
}

static void test_good(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    uint8_t image[512];
    size_t size = build(
        image, sizeof image,
        "{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"}," ENTRY("z.b", "U8", "[2,3]", "[2,8]") "," ENTRY(
            "a", "U8", "[2]", "[0,2]") "," ENTRY("none", "F32", "[0,5]", "[8,8]") "," ENTRY("s", "I16", "[]",
                                                                                            "[8,10]") "}   ",
        10);
    safetensors_file *file;
    mzt_error error = {0};
    if (safetensors_open_memory(&host, "t", image, size, &file, &error) != MZT_OK)
        fail_msg("%s", error.message);
    assert_int_equal(safetensors_count(file), 4);
    static const char *const names[] = {"a", "none", "s", "z.b"};
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(safetensors_at(file, i)->name, names[i]);
        assert_ptr_equal(safetensors_find(file, names[i]), safetensors_at(file, i));
    }
    assert_null(safetensors_find(file, "b"));
    assert_null(safetensors_find(file, ""));
    const weights_tensor *b = safetensors_find(file, "z.b");
    assert_int_equal(b->rank, 2);
    assert_true(b->shape[0] == 2 && b->shape[1] == 3 && b->count == 6);
    float values[6];
    assert_int_equal(weights_convert(b, 0, 6, DTYPE_F32, values, &error), MZT_OK);
    for (int i = 0; i < 6; i++)
        assert_true(values[i] == (float)(i + 2));
    assert_int_equal(weights_convert(b, 4, 3, DTYPE_F32, values, &error), MZT_ERROR_INVALID);
    assert_string_equal(error.message, "t: tensor \"z.b\": elements 4+3 wanted of 6");
    assert_int_equal(weights_convert(b, 1, UINT64_MAX, DTYPE_F32, values, &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_find(file, "none")->count, 0);
    assert_int_equal(safetensors_find(file, "s")->count, 1);
    assert_string_equal(safetensors_metadata(file, "format"), "pt");
    assert_string_equal(safetensors_metadata(file, "x"), "");
    assert_null(safetensors_metadata(file, "y"));
    assert_int_equal(safetensors_metadata_count(file), 2);
    safetensors_close(file);
    safetensors_close(NULL);
}

/* A tensor over an array at hand, deliberately unaligned inside `room`. */
static weights_tensor loose(weights_dtype type, uint8_t *room, const void *values, uint64_t count) {
    memcpy(room + 1, values, (size_t)count * weights_dtype_size(type));
    return (weights_tensor){.name = "t",
                            .file = "memory",
                            .dtype = type,
                            .rank = 1,
                            .shape = {count},
                            .count = count,
                            .data = room + 1};
}

static void expect_f32(weights_dtype type, const void *values, const float *wanted, uint64_t count) {
    uint8_t room[128];
    float found[16];
    weights_tensor tensor = loose(type, room, values, count);
    assert_int_equal(weights_convert(&tensor, 0, count, DTYPE_F32, found, NULL), MZT_OK);
    for (uint64_t i = 0; i < count; i++) {
        if (isnan(wanted[i]))
            assert_true(isnan(found[i]));
        else
            assert_true(found[i] == wanted[i]);
    }
}

static void test_dtypes(void **state) {
    (void)state;
    expect_f32(WEIGHTS_F64, (double[]){0.1, -2.0, 1e39}, (float[]){0.1f, -2.0f, INFINITY}, 3);
    expect_f32(WEIGHTS_F32, (float[]){0.1f, -0.0f}, (float[]){0.1f, 0.0f}, 2);
    expect_f32(WEIGHTS_F16, (uint16_t[]){0x3c00, 0xc000, 0x0001}, (float[]){1.0f, -2.0f, 0x1p-24f}, 3);
    expect_f32(WEIGHTS_BF16, (uint16_t[]){0x3f80, 0xc000}, (float[]){1.0f, -2.0f}, 2);
    expect_f32(WEIGHTS_F8_E4M3, (uint8_t[]){0x00, 0x01, 0x08, 0x38, 0xb8, 0x7e, 0x7f, 0xff, 0x3c},
               (float[]){0.0f, 0x1p-9f, 0x1p-6f, 1.0f, -1.0f, 448.0f, NAN, NAN, 1.5f}, 9);
    expect_f32(WEIGHTS_F8_E5M2, (uint8_t[]){0x01, 0x3c, 0xbe, 0x7b, 0x7c, 0x7f},
               (float[]){0x1p-16f, 1.0f, -1.5f, 57344.0f, INFINITY, NAN}, 6);
    expect_f32(WEIGHTS_I64, (int64_t[]){-5, 1ll << 40}, (float[]){-5.0f, 0x1p40f}, 2);
    expect_f32(WEIGHTS_I32, (int32_t[]){-5, 7}, (float[]){-5.0f, 7.0f}, 2);
    expect_f32(WEIGHTS_I16, (int16_t[]){-5, 7}, (float[]){-5.0f, 7.0f}, 2);
    expect_f32(WEIGHTS_I8, (int8_t[]){-128, 127}, (float[]){-128.0f, 127.0f}, 2);
    expect_f32(WEIGHTS_U64, (uint64_t[]){UINT64_MAX}, (float[]){0x1p64f}, 1);
    expect_f32(WEIGHTS_U32, (uint32_t[]){UINT32_MAX}, (float[]){0x1p32f}, 1);
    expect_f32(WEIGHTS_U16, (uint16_t[]){65535}, (float[]){65535.0f}, 1);
    expect_f32(WEIGHTS_U8, (uint8_t[]){255}, (float[]){255.0f}, 1);
    expect_f32(WEIGHTS_BOOL, (uint8_t[]){0, 1, 2}, (float[]){0.0f, 1.0f, 1.0f}, 3);
}

static void test_to_half_and_u32(void **state) {
    (void)state;
    uint8_t room[128];
    uint16_t halves[4];
    uint32_t words[4];
    mzt_error error = {0};
    weights_tensor f32 = loose(WEIGHTS_F32, room, (float[]){1.0f, -0.5f, 1e6f}, 3);
    assert_int_equal(weights_convert(&f32, 0, 3, DTYPE_F16, halves, &error), MZT_OK);
    assert_true(halves[0] == 0x3c00 && halves[1] == 0xb800 && halves[2] == 0x7c00);
    assert_int_equal(weights_convert(&f32, 1, 1, DTYPE_BF16, halves, &error), MZT_OK);
    assert_int_equal(halves[0], 0xbf00);
    assert_int_equal(weights_convert(&f32, 0, 3, DTYPE_U32, words, &error), MZT_ERROR_UNSUPPORTED);
    assert_string_equal(error.message, "memory: tensor \"t\": expected integers, found F32");
    weights_tensor f16 = loose(WEIGHTS_F16, room, (uint16_t[]){0x3c00, 0x7e00}, 2);
    assert_int_equal(weights_convert(&f16, 0, 2, DTYPE_F16, halves, &error), MZT_OK);
    assert_true(halves[0] == 0x3c00 && halves[1] == 0x7e00);
    assert_int_equal(weights_convert(&f16, 0, 1, DTYPE_BF16, halves, &error), MZT_OK);
    assert_int_equal(halves[0], 0x3f80);
    weights_tensor i64 = loose(WEIGHTS_I64, room, (int64_t[]){0, 4294967295, -1, 4294967296}, 4);
    assert_int_equal(weights_convert(&i64, 0, 2, DTYPE_U32, words, &error), MZT_OK);
    assert_true(words[0] == 0 && words[1] == UINT32_MAX);
    assert_int_equal(weights_convert(&i64, 2, 1, DTYPE_U32, words, &error), MZT_ERROR_INVALID);
    assert_string_equal(error.message, "memory: tensor \"t\": expected values in 0..4294967295, found -1");
    assert_int_equal(weights_convert(&i64, 3, 1, DTYPE_U32, words, &error), MZT_ERROR_INVALID);
}

/* Longer than the piece the conversion works in, so that the seams are met. */
static void test_long_conversion(void **state) {
    (void)state;
    enum { COUNT = 5001 };
    static float values[COUNT], back[COUNT];
    static uint8_t room[COUNT * 4 + 1];
    static uint16_t halves[COUNT];
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)(i % 4001 - 2000) * 0.25f; /* 11 bits: exact in f16 */
    weights_tensor tensor = loose(WEIGHTS_F32, room, values, COUNT);
    assert_int_equal(weights_convert(&tensor, 0, COUNT, DTYPE_F16, halves, NULL), MZT_OK);
    weights_tensor half = loose(WEIGHTS_F16, room, halves, COUNT);
    assert_int_equal(weights_convert(&half, 0, COUNT, DTYPE_F32, back, NULL), MZT_OK);
    assert_memory_equal(back, values, sizeof values);
}

static const char written[] = MZT_BINARY_DIR "/test_safetensors.safetensors";

static mzt_status save_sample(const base_host *host, mzt_error *error) {
    static const float f[6] = {1, 2, 3, 4, 5, 6};
    static const uint8_t u[3] = {7, 8, 9};
    static const char *const metadata[] = {"format", "pt", "note", "\xc3\xa9 \"quoted\"\n"};
    const weights_tensor tensors[] = {
        {.name = "w.\xc3\xa9\"\\",
         .dtype = WEIGHTS_F32,
         .rank = 2,
         .shape = {2, 3},
         .count = 6,
         .data = (const uint8_t *)f},
        {.name = "u", .dtype = WEIGHTS_U8, .rank = 1, .shape = {3}, .count = 3, .data = u},
        {.name = "empty", .dtype = WEIGHTS_F16, .rank = 1, .shape = {0}},
        {.name = "scalar", .dtype = WEIGHTS_F32, .count = 1, .data = (const uint8_t *)(f + 4)},
    };
    return safetensors_save(host, written, tensors, 4, metadata, 2, error);
}

static void test_round_trip(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error = {0};
    remove(written);
    if (save_sample(&host, &error) != MZT_OK) fail_msg("%s", error.message);
    safetensors_file *file;
    if (safetensors_open(&host, written, &file, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_string_equal(safetensors_name(file), written);
    assert_int_equal(safetensors_count(file), 4);
    const weights_tensor *w = safetensors_find(file, "w.\xc3\xa9\"\\");
    assert_non_null(w);
    assert_true(w->rank == 2 && w->shape[0] == 2 && w->shape[1] == 3 && (uintptr_t)w->data % 8 == 0);
    float values[6];
    assert_int_equal(weights_convert(w, 0, 6, DTYPE_F32, values, &error), MZT_OK);
    for (int i = 0; i < 6; i++)
        assert_true(values[i] == (float)(i + 1));
    assert_int_equal(weights_convert(safetensors_find(file, "scalar"), 0, 1, DTYPE_F32, values, &error),
                     MZT_OK);
    assert_true(values[0] == 5.0f);
    assert_string_equal(safetensors_metadata(file, "note"), "\xc3\xa9 \"quoted\"\n");
    safetensors_close(file);
    remove(written);
}

static void test_writer_errors(void **state) {
    (void)state;
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    mzt_error error = {0};
    safetensors_writer *w;
    const uint64_t shape[9] = {2, 1, 1, 1, 1, 1, 1, 1, 1}, huge[2] = {1ull << 40, 1ull << 40};
    remove(written);
    assert_int_equal(safetensors_writer_open(&host, written, &w, &error), MZT_OK);
    assert_int_equal(safetensors_writer_declare(w, "__metadata__", WEIGHTS_U8, shape, 1, &error),
                     MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_declare(w, "\xff", WEIGHTS_U8, shape, 1, &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_declare(w, "r", WEIGHTS_U8, shape, 9, &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_declare(w, "h", WEIGHTS_U8, huge, 2, &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_declare(w, "a", WEIGHTS_U8, shape, 1, &error), MZT_OK);
    assert_int_equal(safetensors_writer_metadata(w, "k", "v", &error), MZT_OK);
    assert_int_equal(safetensors_writer_metadata(w, "k", "v", &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_write(w, "x", 1, &error), MZT_OK);
    assert_int_equal(safetensors_writer_declare(w, "b", WEIGHTS_U8, shape, 1, &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_metadata(w, "l", "v", &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_finish(w, &error), MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "2 bytes of data declared, 1 written"));
    assert_false(file_exists(written));

    assert_int_equal(safetensors_writer_open(&host, written, &w, &error), MZT_OK);
    assert_int_equal(safetensors_writer_declare(w, "a", WEIGHTS_U8, shape, 1, &error), MZT_OK);
    assert_int_equal(safetensors_writer_write(w, "xyz", 3, &error), MZT_ERROR_INVALID);
    assert_int_equal(safetensors_writer_write(w, "xy", 2, &error),
                     MZT_ERROR_INVALID); /* the failure is remembered */
    assert_int_equal(safetensors_writer_finish(w, &error), MZT_ERROR_INVALID);
    assert_false(file_exists(written));

    assert_int_equal(safetensors_writer_open(&host, written, &w, &error), MZT_OK);
    assert_int_equal(safetensors_writer_declare(w, "a", WEIGHTS_U8, shape, 1, &error), MZT_OK);
    assert_int_equal(safetensors_writer_declare(w, "a", WEIGHTS_U8, shape, 1, &error), MZT_OK);
    assert_int_equal(safetensors_writer_write(w, "x", 1, &error), MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "tensor \"a\" is declared twice"));
    safetensors_writer_abandon(w);

    assert_int_equal(safetensors_save(&host, "/nonexistent/x", NULL, 0, NULL, 0, &error), MZT_ERROR_IO);
    assert_int_equal(counts.live, 0);
}

/* Each allocation of a save and of an open fails once. */
static void test_out_of_memory(void **state) {
    (void)state;
    base_host plain = host_make(NULL);
    assert_int_equal(save_sample(&plain, NULL), MZT_OK);
    for (int saving = 0; saving <= 1; saving++) {
        for (long fail_at = 1;; fail_at++) {
            alloc_count counts = {.fail_at = fail_at};
            base_host host = alloc_count_host(&counts);
            mzt_error error = {0};
            safetensors_file *file = NULL;
            mzt_status status =
                saving ? save_sample(&host, &error) : safetensors_open(&host, written, &file, &error);
            bool reached = counts.calls >= fail_at;
            assert_int_equal(status, reached ? MZT_ERROR_OUT_OF_MEMORY : MZT_OK);
            safetensors_close(file);
            assert_int_equal(counts.live, 0);
            if (!reached) break;
        }
    }
    remove(written);
}

/* Thousands of tensors: found by name, and no slower than a linear walk over the header allows. */
static void test_many(void **state) {
    (void)state;
    enum { COUNT = 30000 };
    base_host host = host_make(NULL);
    mzt_error error = {0};
    safetensors_writer *w;
    const uint64_t shape[1] = {1};
    char name[64];
    static uint8_t data[COUNT];
    assert_int_equal(safetensors_writer_open(&host, written, &w, &error), MZT_OK);
    for (int i = 0; i < COUNT; i++) {
        data[i] = (uint8_t)(i % 251);
        snprintf(name, sizeof name, "down_blocks.%d.weight", i);
        assert_int_equal(safetensors_writer_declare(w, name, WEIGHTS_U8, shape, 1, &error), MZT_OK);
    }
    assert_int_equal(safetensors_writer_write(w, data, COUNT, &error), MZT_OK);
    assert_int_equal(safetensors_writer_finish(w, &error), MZT_OK);
    safetensors_file *file;
    if (safetensors_open(&host, written, &file, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_int_equal(safetensors_count(file), COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "down_blocks.%d.weight", i);
        const weights_tensor *tensor = safetensors_find(file, name);
        assert_non_null(tensor);
        assert_int_equal(tensor->data[0], i % 251);
    }
    safetensors_close(file);
    remove(written);
}

static void test_reference(void **state) {
    (void)state;
    const char *shared = getenv("MZT_SHARED");
    char path[4096];
    snprintf(path, sizeof path, "%s/reference/sd1-tiny/reference.safetensors",
             shared ? shared : MZT_SOURCE_DIR "/../shared");
    if (!file_exists(path)) {
        print_message("%s is absent: reference files not read\n", path);
        return;
    }
    base_host host = host_make(NULL);
    mzt_error error = {0};
    safetensors_file *file;
    if (safetensors_open(&host, path, &file, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_int_equal(safetensors_count(file), 34);
    const weights_tensor *ids = safetensors_find(file, "input_ids");
    assert_non_null(ids);
    assert_true(ids->rank == 2 && ids->shape[0] == 2 && ids->shape[1] == 77);
    uint32_t words[154];
    assert_int_equal(weights_convert(ids, 0, 154, DTYPE_U32, words, &error), MZT_OK);
    assert_true(words[0] == 998 && words[77] == 998 && words[76] == 999 && words[153] == 999);
    const weights_tensor *noise = safetensors_find(file, "pipeline.noise");
    assert_non_null(noise);
    assert_int_equal(noise->count, 4 * 24 * 16);
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < noise->count; i++) {
        float value;
        assert_int_equal(weights_convert(noise, i, 1, DTYPE_F32, &value, &error), MZT_OK);
        sum += (double)value;
        squares += (double)value * (double)value;
    }
    /* Unit normal, n = 1536: the mean is within 5/sqrt(n), the mean square within 5*sqrt(2/n) of 1. */
    assert_true(fabs(sum / 1536) < 0.128 && fabs(squares / 1536 - 1) < 0.181);
    safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_corrupt_prefix),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_to_half_and_u32),
        cmocka_unit_test(test_long_conversion),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_writer_errors),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
