/* PNG files: every kind against its definition, text, limits, damaged files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <png.h>

#include "alloc_count.h"
#include "base/file.h"
#include "image/png.h"
#include "image/sheet.h"

static base_host host;
static mzt_error error;

/* -------------------------------------------------------------------------------------- pictures of every
 * kind -- */

enum { KIND_WIDTH = 13, KIND_HEIGHT = 9 };

typedef struct png_kind {
    int colour_type, depth, interlace;
    bool transparency; /* a tRNS chunk */
} png_kind;

typedef struct byte_buffer {
    uint8_t bytes[65536];
    size_t size;
} byte_buffer;

static void append_bytes(png_structp png, png_bytep bytes, size_t count) {
    byte_buffer *buffer = png_get_io_ptr(png);
    assert_true(count <= sizeof buffer->bytes - buffer->size);
    memcpy(buffer->bytes + buffer->size, bytes, count);
    buffer->size += count;
}

static void no_flush(png_structp png) {
    (void)png;
}

/* The sample of a channel: covers the whole range of the depth. */
static uint32_t sample(uint32_t x, uint32_t y, uint32_t channel, int depth) {
    return (x * 7919u + y * 104729u + channel * 31337u) % (1u << depth);
}

static int channels_of(int colour_type) {
    return (colour_type & PNG_COLOR_MASK_PALETTE)
               ? 1
               : 1 + (colour_type & PNG_COLOR_MASK_COLOR) + ((colour_type & 4) >> 2);
}

static void pack_row(const png_kind *kind, uint32_t y, uint8_t *row) {
    int channels = channels_of(kind->colour_type);
    memset(row, 0, KIND_WIDTH * 8);
    for (uint32_t x = 0; x < KIND_WIDTH; x++) {
        for (int c = 0; c < channels; c++) {
            uint32_t value = sample(x, y, (uint32_t)c, kind->depth),
                     bit = (x * (uint32_t)channels + (uint32_t)c) * (uint32_t)kind->depth;
            if (kind->depth == 16) {
                row[bit / 8] = (uint8_t)(value >> 8);
                row[bit / 8 + 1] = (uint8_t)value;
            } else {
                row[bit / 8] |= (uint8_t)(value << (8 - kind->depth - (int)(bit % 8)));
            }
        }
    }
}

/* The value that tRNS names as clear: that of pixel (2, 1). Palette entry i has alpha 255 - 3 i in its place.
 */
static void write_kind(const png_kind *kind, byte_buffer *buffer) {
    static uint8_t rows[KIND_HEIGHT][KIND_WIDTH * 8];
    uint8_t *pointers[KIND_HEIGHT];
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert_non_null(info);
    buffer->size = 0;
    png_set_write_fn(png, buffer, append_bytes, no_flush);
    png_set_IHDR(png, info, KIND_WIDTH, KIND_HEIGHT, kind->depth, kind->colour_type, kind->interlace, 0, 0);
    if (kind->colour_type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        uint8_t alpha[256];
        for (int i = 0; i < 256; i++) {
            palette[i] = (png_color){(uint8_t)(i * 5), (uint8_t)(255 - i), (uint8_t)(i * 77)};
            alpha[i] = (uint8_t)(255 - 3 * i);
        }
        png_set_PLTE(png, info, palette, 1 << kind->depth);
        if (kind->transparency) png_set_tRNS(png, info, alpha, 1 << kind->depth, NULL);
    } else if (kind->transparency) {
        png_color_16 clear = {.gray = (uint16_t)sample(2, 1, 0, kind->depth),
                              .red = (uint16_t)sample(2, 1, 0, kind->depth)};
        clear.green = (uint16_t)sample(2, 1, 1, kind->depth);
        clear.blue = (uint16_t)sample(2, 1, 2, kind->depth);
        png_set_tRNS(png, info, NULL, 0, &clear);
    }
    for (uint32_t y = 0; y < KIND_HEIGHT; y++) {
        pack_row(kind, y, rows[y]);
        pointers[y] = rows[y];
    }
    png_write_info(png, info);
    png_write_image(png, pointers);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
}

/* round(value * 255 / largest) */
static uint8_t to_8_bits(uint32_t value, int depth) {
    uint32_t largest = (1u << depth) - 1;
    return (uint8_t)((value * 255u + largest / 2) / largest);
}

static void expected_pixel(const png_kind *kind, uint32_t x, uint32_t y, uint8_t out[4]) {
    uint32_t value[4];
    for (uint32_t c = 0; c < 4; c++)
        value[c] = sample(x, y, c, kind->depth);
    out[3] = 255;
    if (kind->colour_type == PNG_COLOR_TYPE_PALETTE) {
        out[0] = (uint8_t)(value[0] * 5);
        out[1] = (uint8_t)(255 - value[0]);
        out[2] = (uint8_t)(value[0] * 77);
        if (kind->transparency) out[3] = (uint8_t)(255 - 3 * value[0]);
        return;
    }
    bool colour = kind->colour_type & PNG_COLOR_MASK_COLOR, clear = kind->transparency;
    for (uint32_t c = 0; c < 3; c++) {
        out[c] = to_8_bits(value[colour ? c : 0], kind->depth);
        if (value[colour ? c : 0] != sample(2, 1, colour ? c : 0, kind->depth)) clear = false;
    }
    if (clear) out[3] = 0;
    if (kind->colour_type & PNG_COLOR_MASK_ALPHA) out[3] = to_8_bits(value[colour ? 3 : 1], kind->depth);
}

static void test_every_kind(void **state) {
    (void)state;
    static const int types[][6] = {{PNG_COLOR_TYPE_GRAY, 1, 2, 4, 8, 16},
                                   {PNG_COLOR_TYPE_PALETTE, 1, 2, 4, 8, 0},
                                   {PNG_COLOR_TYPE_RGB, 8, 16, 0, 0, 0},
                                   {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 16, 0, 0, 0},
                                   {PNG_COLOR_TYPE_RGB_ALPHA, 8, 16, 0, 0, 0}};
    byte_buffer *buffer = malloc(sizeof *buffer);
    assert_non_null(buffer);
    int kinds = 0;
    for (int t = 0; t < 5; t++) {
        for (int variant = 0; variant < 5 * 4; variant++) {
            png_kind kind = {types[t][0], types[t][1 + variant / 4], variant % 2, (variant / 2) % 2};
            if (kind.depth == 0 || (kind.transparency && (kind.colour_type & PNG_COLOR_MASK_ALPHA))) continue;
            write_kind(&kind, buffer);
            image picture;
            if (image_png_read_memory(&host, "kind", buffer->bytes, buffer->size, NULL, &picture, NULL,
                                      &error) < 0)
                fail_msg("type %d depth %d: %s", kind.colour_type, kind.depth, error.message);
            assert_int_equal(picture.width, KIND_WIDTH);
            assert_int_equal(picture.height, KIND_HEIGHT);
            assert_int_equal(picture.channels, 4);
            for (uint32_t i = 0; i < KIND_WIDTH * KIND_HEIGHT; i++) {
                uint8_t expected[4];
                expected_pixel(&kind, i % KIND_WIDTH, i / KIND_WIDTH, expected);
                const uint8_t *got = picture.pixels + 4 * i;
                if (memcmp(got, expected, 4) != 0)
                    fail_msg(
                        "type %d depth %d interlace %d tRNS %d, pixel %u: %d %d %d %d, expected %d %d %d %d",
                        kind.colour_type, kind.depth, kind.interlace, kind.transparency, i, got[0], got[1],
                        got[2], got[3], expected[0], expected[1], expected[2], expected[3]);
            }
            image_free(&host, &picture);
            kinds++;
        }
    }
    assert_int_equal(kinds, 5 * 4 + 4 * 4 + 2 * 4 + 2 * 2 + 2 * 2);
    free(buffer);
}

/* ------------------------------------------------------------------------------------------- writing, text,
 * harm -- */

/* A smooth picture with some noise. */
static image make_picture(uint32_t width, uint32_t height, uint32_t channels) {
    image picture;
    assert_int_equal(image_create(&host, width, height, channels, &picture, &error), MZT_OK);
    uint32_t random = 9;
    for (uint32_t i = 0; i < width * height * channels; i++) {
        random = random * 1664525u + 1013904223u;
        picture.pixels[i] = (uint8_t)(128 + 90 * sin(0.02 * i) + (random >> 28));
    }
    return picture;
}

static void test_round_trip(void **state) {
    (void)state;
    const char *path = MZT_BINARY_DIR "/test_png_file.png";
    static const char *const texts[][2] = {{"parameters", "a (red:1.2) apple\nSteps: 20, Seed: 42"},
                                           {"Title", "caf\303\251"},
                                           {"Comment", "\346\227\245\346\234\254 \360\237\215\216"},
                                           {"cl\303\251", ""}};
    for (uint32_t channels = 3; channels <= 4; channels++) {
        image picture = make_picture(33, 21, channels), back;
        image_text_list text = {0}, got;
        for (int i = 0; i < 4; i++)
            assert_int_equal(image_text_add(&host, &text, texts[i][0], texts[i][1], &error), MZT_OK);
        uint8_t *data, *again;
        uint64_t size, again_size;
        assert_int_equal(image_png_write_memory(&host, &picture, &text, &data, &size, &error), MZT_OK);
        assert_int_equal(image_png_write_memory(&host, &picture, &text, &again, &again_size, &error), MZT_OK);
        assert_int_equal(size, again_size);
        assert_memory_equal(data, again, size);
        if (image_png_write(&host, path, &picture, &text, &error) < 0) fail_msg("%s", error.message);
        if (image_png_read(&host, path, NULL, &back, &got, &error) < 0) fail_msg("%s", error.message);
        for (uint32_t i = 0; i < 33 * 21; i++) {
            assert_memory_equal(back.pixels + 4 * i, picture.pixels + channels * i, channels);
            if (channels == 3) assert_int_equal(back.pixels[4 * i + 3], 255);
        }
        assert_int_equal(got.count, 4);
        for (int i = 0; i < 4; i++)
            assert_string_equal(image_text_find(&got, texts[i][0]), texts[i][1]);
        assert_null(image_text_find(&got, "none"));
        image_text_free(&host, &text);
        image_text_free(&host, &got);
        image_free(&host, &picture);
        image_free(&host, &back);
        host_free(&host, data);
        host_free(&host, again);
    }
    remove(path);
    image none;
    assert_int_equal(image_png_read(&host, path, NULL, &none, NULL, &error), MZT_ERROR_NOT_FOUND);
    image picture = make_picture(2, 2, 3);
    assert_int_equal(image_png_write(&host, "/nonexistent/x.png", &picture, NULL, &error), MZT_ERROR_IO);
    image_free(&host, &picture);
}

/* The chunk type follows the value's characters. */
static void test_text_chunks(void **state) {
    (void)state;
    image picture = make_picture(2, 2, 3);
    static const char *const bad_keys[] = {
        "",
        " a",
        "a ",
        "a  b",
        "a\nb",
        "\346\227\245",
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789"};
    static const struct {
        const char *value, *chunk;
    } cases[] = {{"plain", "tEXt"}, {"caf\303\251", "tEXt"}, {"\342\202\254", "iTXt"}, {"tab\there", "iTXt"}};
    uint8_t *data;
    uint64_t size;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        image_text_list text = {0};
        assert_int_equal(image_text_add(&host, &text, "key", cases[i].value, &error), MZT_OK);
        assert_int_equal(image_png_write_memory(&host, &picture, &text, &data, &size, &error), MZT_OK);
        assert_memory_equal(data + 37, cases[i].chunk,
                            4); /* behind signature (8), IHDR (25) and the length (4) */
        image_text_free(&host, &text);
        host_free(&host, data);
    }
    for (size_t i = 0; i < sizeof bad_keys / sizeof *bad_keys; i++) {
        image_text_list text = {0};
        assert_int_equal(image_text_add(&host, &text, bad_keys[i], "x", &error), MZT_OK);
        assert_int_equal(image_png_write_memory(&host, &picture, &text, &data, &size, &error),
                         MZT_ERROR_INVALID);
        assert_null(data);
        image_text_free(&host, &text);
    }
    image_text_list text = {0};
    assert_int_equal(image_text_add(&host, &text, "key", "\xff", &error), MZT_OK);
    assert_int_equal(image_png_write_memory(&host, &picture, &text, &data, &size, &error), MZT_ERROR_INVALID);
    image_text_free(&host, &text);
    image_free(&host, &picture);
}

/* A file cut anywhere is an error; one with any byte changed is an error or a picture of the right shape. */
static void test_damaged_files(void **state) {
    (void)state;
    image picture = make_picture(19, 7, 4), got;
    image_text_list text = {0}, got_text;
    uint8_t *data;
    uint64_t size;
    assert_int_equal(image_text_add(&host, &text, "key", "\342\202\254 value", &error), MZT_OK);
    assert_int_equal(image_png_write_memory(&host, &picture, &text, &data, &size, &error), MZT_OK);
    for (uint64_t cut = 0; cut < size; cut++) {
        assert_int_equal(image_png_read_memory(&host, "cut", data, cut, NULL, &got, &got_text, &error),
                         MZT_ERROR_FORMAT);
        assert_null(got.pixels);
        assert_int_equal(got_text.count, 0);
    }
    int failures = 0;
    for (uint64_t at = 0; at < size; at++) {
        data[at] ^= 0x5a;
        if (image_png_read_memory(&host, "changed", data, size, NULL, &got, &got_text, &error) < 0)
            failures++;
        image_free(&host, &got);
        image_text_free(&host, &got_text);
        data[at] ^= 0x5a;
    }
    assert_true(failures > (int)size / 2);
    const image_png_limits limits = {.max_pixels = 19 * 7 - 1}, enough = {.max_pixels = 19 * 7};
    assert_int_equal(image_png_read_memory(&host, "big", data, size, &limits, &got, NULL, &error),
                     MZT_ERROR_UNSUPPORTED);
    assert_string_equal(error.message, "big: 19 x 7 pixels: expected at most 132, and 65536 a side");
    assert_int_equal(image_png_read_memory(&host, "big", data, size, &enough, &got, NULL, &error), MZT_OK);
    image_free(&host, &got);
    host_free(&host, data);
    image_text_free(&host, &text);
    image_free(&host, &picture);
}

static void test_out_of_memory(void **state) {
    (void)state;
    image picture = make_picture(5, 4, 4);
    for (long fail_at = 1;; fail_at++) {
        alloc_count counts = {.fail_at = fail_at};
        base_host counting = alloc_count_host(&counts);
        image_text_list text = {0}, got_text = {0};
        image got = {0}, sheet = {0};
        uint8_t *data = NULL;
        uint64_t size = 0;
        mzt_status status = image_text_add(&counting, &text, "k\303\251y", "\342\202\254", &error);
        if (status >= 0) status = image_png_write_memory(&counting, &picture, &text, &data, &size, &error);
        if (status >= 0)
            status = image_png_read_memory(&counting, "file", data, size, NULL, &got, &got_text, &error);
        bool complete =
            status >= 0 && got_text.count == 1; /* libpng may drop text for want of memory and go on */
        if (status >= 0)
            status = sheet_make(&counting, &got, NULL, 1, &(sheet_options){.tile_width = 3}, &sheet, &error);
        image_free(&counting, &got);
        image_free(&counting, &sheet);
        image_text_free(&counting, &text);
        image_text_free(&counting, &got_text);
        host_free(&counting, data);
        assert_int_equal(counts.live, 0);
        if (counts.calls < fail_at) {
            assert_true(complete);
            assert_true(fail_at > 20);
            break;
        }
        if (status >= 0 && complete) fail_msg("allocation %ld failed unnoticed", fail_at);
        assert_true(status >= 0 || status == MZT_ERROR_OUT_OF_MEMORY);
    }
    image_free(&host, &picture);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_kind), cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_text_chunks),
                                       cmocka_unit_test(test_damaged_files),
                                       cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
