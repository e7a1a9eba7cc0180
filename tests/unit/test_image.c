/* Pictures: resizing, cropping, composition, conversion to floats and back, comparison, the font, sheets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "image/font.h"
#include "image/sheet.h"

static base_host host;
static mzt_error error;

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

static image resized(const image *in, uint32_t width, uint32_t height, image_filter filter) {
    image out;
    if (image_resize(&host, in, width, height, filter, &out, &error) < 0) fail_msg("%s", error.message);
    assert_true(out.width == width && out.height == height && out.channels == in->channels);
    return out;
}

/* A constant stays constant at any size and by any filter; the same size is a copy. */
static void test_resize_constant(void **state) {
    (void)state;
    static const uint32_t sizes[][2] = {{1, 1}, {7, 5}, {64, 3}, {13, 100}, {31, 17}};
    for (int filter = IMAGE_AREA; filter <= IMAGE_LANCZOS; filter++) {
        image grey;
        assert_int_equal(image_create(&host, 31, 17, 4, &grey, &error), MZT_OK);
        image_rectangle(&grey, 0, 0, 31, 17, (const uint8_t[4]){10, 200, 255, 128});
        for (int i = 0; i < 5; i++) {
            image out = resized(&grey, sizes[i][0], sizes[i][1], (image_filter)filter);
            for (uint32_t p = 0; p < out.width * out.height; p++)
                assert_memory_equal(out.pixels + 4 * p, ((const uint8_t[4]){10, 200, 255, 128}), 4);
            image_free(&host, &out);
        }
        image_free(&host, &grey);
    }
    image picture = make_picture(9, 8, 3), out = resized(&picture, 9, 8, IMAGE_LANCZOS);
    assert_memory_equal(out.pixels, picture.pixels, 9 * 8 * 3);
    image_free(&host, &out);
    image_free(&host, &picture);
}

static void test_resize_values(void **state) {
    (void)state;
    image row;
    assert_int_equal(image_create(&host, 6, 1, 3, &row, &error), MZT_OK);
    static const uint8_t values[6] = {0, 60, 120, 30, 240, 90};
    for (int i = 0; i < 6; i++)
        memset(row.pixels + 3 * i, values[i], 3);
    image out = resized(&row, 3, 1, IMAGE_AREA); /* pairs: 30, 75, 165 */
    assert_true(out.pixels[0] == 30 && out.pixels[3] == 75 && out.pixels[6] == 165);
    image_free(&host, &out);
    out = resized(
        &row, 4, 1,
        IMAGE_AREA); /* 1.5 each: (0 + 60/2)/1.5, (60/2 + 120)/1.5, (30 + 240/2)/1.5, (240/2 + 90)/1.5 */
    assert_true(out.pixels[0] == 20 && out.pixels[3] == 100 && out.pixels[6] == 100 && out.pixels[9] == 140);
    image_free(&host, &out);
    out = resized(&row, 12, 2, IMAGE_AREA); /* enlarged: each twice, in two rows */
    for (int i = 0; i < 24; i++)
        assert_int_equal(out.pixels[3 * i], values[i % 12 / 2]);
    image_free(&host, &out);
    out = resized(&row, 12, 1,
                  IMAGE_BILINEAR); /* a quarter and three quarters of neighbours; the ends repeat */
    assert_true(out.pixels[0] == 0 && out.pixels[3] == 15 && out.pixels[6] == 45 && out.pixels[9] == 75);
    assert_true(out.pixels[33] == 90);
    image_free(&host, &out);
    image_free(&host, &row);

    /* Lanczos: halving and doubling a smooth picture gives it back nearly. */
    image wave, back;
    double psnr;
    assert_int_equal(image_create(&host, 64, 64, 3, &wave, &error), MZT_OK);
    for (uint32_t i = 0; i < 64 * 64; i++)
        memset(wave.pixels + 3 * i, (int)(128 + 100 * sin(i % 64 * 0.15) * cos(i / 64 * 0.1)), 3);
    image half = resized(&wave, 32, 32, IMAGE_LANCZOS);
    back = resized(&half, 64, 64, IMAGE_LANCZOS);
    assert_int_equal(image_psnr(&wave, &back, &psnr, &error), MZT_OK);
    assert_true(psnr > 40);
    image_free(&host, &half);
    image_free(&host, &back);
    image_free(&host, &wave);
}

/* A red dot among clear green: the green must not show. */
static void test_resize_alpha(void **state) {
    (void)state;
    for (int filter = IMAGE_AREA; filter <= IMAGE_LANCZOS; filter++) {
        image picture;
        assert_int_equal(image_create(&host, 8, 8, 4, &picture, &error), MZT_OK);
        image_rectangle(&picture, 0, 0, 8, 8, (const uint8_t[4]){0, 255, 0, 0});
        image_rectangle(&picture, 3, 3, 2, 2, (const uint8_t[4]){255, 0, 0, 255});
        image out = resized(&picture, 4, 4, (image_filter)filter);
        for (uint32_t i = 0; i < 16; i++)
            assert_int_equal(out.pixels[4 * i + 1], 0);
        assert_int_equal(image_pixel(&out, 1, 1)[0], 255);
        if (filter == IMAGE_AREA) assert_int_equal(image_pixel(&out, 1, 1)[3], 64);
        image_free(&host, &out);
        image_free(&host, &picture);
    }
}

static void test_crop_fill_letterbox(void **state) {
    (void)state;
    image picture = make_picture(40, 20, 3), out;
    assert_int_equal(image_crop(&host, &picture, 5, 6, 7, 8, &out, &error), MZT_OK);
    for (uint32_t y = 0; y < 8; y++)
        assert_memory_equal(image_pixel(&out, 0, y), image_pixel(&picture, 5, 6 + y), 21);
    image_free(&host, &out);
    assert_int_equal(image_crop(&host, &picture, 34, 0, 7, 8, &out, &error), MZT_ERROR_INVALID);
    assert_int_equal(image_crop(&host, &picture, UINT32_MAX, 0, 2, 2, &out, &error), MZT_ERROR_INVALID);
    assert_int_equal(image_crop(&host, &picture, 0, 0, 0, 2, &out, &error), MZT_ERROR_INVALID);

    assert_int_equal(image_fill(&host, &picture, 20, 20, IMAGE_AREA, &out, &error), MZT_OK);
    assert_memory_equal(image_pixel(&out, 0, 3), image_pixel(&picture, 10, 3), 60); /* the middle, unscaled */
    image_free(&host, &out);
    const uint8_t blue[4] = {0, 0, 255, 255};
    assert_int_equal(image_letterbox(&host, &picture, 20, 20, IMAGE_AREA, blue, &out, &error), MZT_OK);
    image half = resized(&picture, 20, 10, IMAGE_AREA);
    for (uint32_t y = 0; y < 20; y++) {
        if (y < 5 || y >= 15)
            assert_memory_equal(image_pixel(&out, 7, y), blue, 3);
        else
            assert_memory_equal(image_pixel(&out, 0, y), image_pixel(&half, 0, y - 5), 60);
    }
    image_free(&host, &half);
    image_free(&host, &out);
    assert_int_equal(image_letterbox(&host, &picture, 3, 1, IMAGE_LANCZOS, blue, &out, &error), MZT_OK);
    image_free(&host, &out);
    image_free(&host, &picture);
    assert_int_equal(image_create(&host, 0, 5, 3, &out, &error), MZT_ERROR_INVALID);
    assert_int_equal(image_create(&host, 5, 5, 2, &out, &error), MZT_ERROR_INVALID);
    assert_int_equal(image_create(&host, 65536, 65536, 3, &out, &error), MZT_ERROR_INVALID);
}

static void test_composition(void **state) {
    (void)state;
    image picture, out;
    assert_int_equal(image_create(&host, 4, 1, 4, &picture, &error), MZT_OK);
    for (int i = 0; i < 4; i++)
        image_rectangle(&picture, i, 0, 1, 1, (const uint8_t[4]){200, 100, 0, (uint8_t)(85 * i)});
    const uint8_t white[4] = {255, 255, 255, 255};
    assert_int_equal(image_over_colour(&host, &picture, white, &out, &error), MZT_OK);
    assert_memory_equal(out.pixels,
                        ((const uint8_t[12]){255, 255, 255, 237, 203, 170, 218, 152, 85, 200, 100, 0}), 12);
    image_free(&host, &out);
    assert_int_equal(image_over_checkerboard(&host, &picture, 1, &out, &error), MZT_OK);
    assert_true(out.channels == 3 && out.pixels[0] == out.pixels[2] && out.pixels[9] == 200);
    image_free(&host, &out);

    image_rectangle(&picture, -5, -5, 100, 100, (const uint8_t[4]){1, 2, 3, 4});
    image_rectangle(&picture, 4, 0, 1, 1, white);
    image_rectangle(&picture, INT64_MIN / 2, 0, 1, 1, white);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(picture.pixels + 4 * i, ((const uint8_t[4]){1, 2, 3, 4}), 4);
    image stamp = make_picture(3, 3, 4);
    image_paste(&picture, &stamp, -1, -2); /* its last row, from the second column on */
    assert_memory_equal(picture.pixels, image_pixel(&stamp, 1, 2), 8);
    image_paste(&picture, &stamp, 3, -2);
    assert_memory_equal(image_pixel(&picture, 3, 0), image_pixel(&stamp, 0, 2), 4);
    image_paste(&picture, &stamp, 4, 0);
    image_free(&host, &stamp);
    image_free(&host, &picture);
}

static void test_floats(void **state) {
    (void)state;
    image ramp, back;
    assert_int_equal(image_create(&host, 64, 1, 4, &ramp, &error), MZT_OK);
    for (int i = 0; i < 256; i++)
        ramp.pixels[i] = (uint8_t)i;
    float values[256];
    image_to_floats(&ramp, 4, values);
    assert_true(values[0] == -1 && values[255] == 1 && fabs(values[51] + 0.6) < 1e-6);
    assert_int_equal(image_from_floats(&host, values, 64, 1, 4, &back, &error), MZT_OK);
    assert_memory_equal(back.pixels, ramp.pixels, 256);
    image_free(&host, &back);
    image_to_floats(&ramp, 3, values);
    assert_true(values[3] == 4 / 127.5f - 1);
    static const float odd[6] = {-3, 7, NAN, INFINITY, -INFINITY, 0};
    assert_int_equal(image_from_floats(&host, odd, 2, 1, 3, &back, &error), MZT_OK);
    assert_memory_equal(back.pixels, ((const uint8_t[6]){0, 255, 0, 255, 0, 128}), 6);
    image_to_floats(&back, 4, values); /* alpha of a picture without one */
    assert_true(values[3] == 1 && values[7] == 1);
    image_free(&host, &back);
    image_free(&host, &ramp);
}

static void test_psnr(void **state) {
    (void)state;
    image a = make_picture(10, 10, 3), b, other = make_picture(10, 11, 3);
    double psnr;
    assert_int_equal(image_copy(&host, &a, &b, &error), MZT_OK);
    assert_int_equal(image_psnr(&a, &b, &psnr, &error), MZT_OK);
    assert_true(isinf(psnr));
    for (int i = 0; i < 300; i++)
        b.pixels[i] = (uint8_t)(b.pixels[i] + (b.pixels[i] < 128 ? 5 : -5));
    assert_int_equal(image_psnr(&a, &b, &psnr, &error), MZT_OK);
    assert_true(fabs(psnr - 20 * log10(255 / 5.0)) < 1e-9);
    assert_int_equal(image_psnr(&a, &other, &psnr, &error), MZT_ERROR_INVALID);
    image_free(&host, &a);
    image_free(&host, &b);
    image_free(&host, &other);
}

/* -------------------------------------------------------------------------------------------------------
 * sheets -- */

static void test_font(void **state) {
    (void)state;
    assert_int_equal(font_width("", 0), 0);
    assert_int_equal(font_width("H", 1), 5);
    assert_int_equal(font_width("HI", 2), 5 + 1 + 3);
    assert_int_equal(font_width("e\314\201", 3), font_width("e", 1)); /* a combining accent */
    assert_int_equal(font_width("\303\251", 2), font_width("e", 1));
    size_t next;
    assert_int_equal(font_fit("red apple", 9, font_width("red app", 7), &next), 3);
    assert_int_equal(next, 4);
    assert_int_equal(font_fit("apple", 5, font_width("app", 3), &next), 3);
    assert_int_equal(next, 3);
    assert_int_equal(font_fit("apple", 5, font_width("apple", 5), &next), 5);
    assert_int_equal(font_fit("a\nb", 3, 100, &next), 1);
    assert_int_equal(next, 2);
    assert_int_equal(font_fit("apple", 5, 0, &next), 1); /* always one character */
    /* No two characters look alike, and all but the space have ink. */
    uint8_t drawn[95][9 * 8];
    for (int i = 0; i < 95; i++) {
        image picture;
        char letter = (char)(32 + i);
        assert_int_equal(image_create(&host, 8, 9, 3, &picture, &error), MZT_OK);
        font_draw(&picture, 0, 0, 1, (const uint8_t[4]){255, 255, 255, 255}, &letter, 1);
        int ink = 0;
        for (int p = 0; p < 72; p++)
            ink += (drawn[i][p] = picture.pixels[3 * p]) != 0;
        assert_int_equal(ink > 0, i > 0);
        for (int k = 0; k < i; k++)
            assert_true(memcmp(drawn[k], drawn[i], 72) != 0);
        image_free(&host, &picture);
    }
}

/* Each picture lies in its place, unscaled where it fits; sizes follow the layout; absurd sizes are refused.
 */
static void test_sheet(void **state) {
    (void)state;
    image pictures[5], sheet;
    for (int i = 0; i < 5; i++)
        pictures[i] = make_picture(40, 30, 3);
    for (int i = 0; i < 5; i++)
        memset(pictures[i].pixels, 50 * i, 40 * 3);
    const sheet_options options = {.columns = 3};
    assert_int_equal(sheet_make(&host, pictures, NULL, 5, &options, &sheet, &error), MZT_OK);
    assert_int_equal(sheet.width, 16 + 40 + 8 + 40 + 8 + 40 + 16);
    assert_int_equal(sheet.height, 16 + 30 + 8 + 30 + 16);
    for (uint32_t i = 0; i < 5; i++) {
        for (uint32_t y = 0; y < 30; y++)
            assert_memory_equal(image_pixel(&sheet, 16 + i % 3 * 48, 16 + i / 3 * 38 + y),
                                image_pixel(&pictures[i], 0, y), 120);
    }
    image_free(&host, &sheet);
    static const char *const captions[5] = {"one", NULL, "a caption of several words that takes many lines",
                                            "", "\xff\xc3"};
    const sheet_options titled = {.title = "Title", .dark = true, .caption_lines = 2};
    assert_int_equal(sheet_make(&host, pictures, captions, 5, &titled, &sheet, &error), MZT_OK);
    assert_int_equal(sheet.width, 16 + 3 * 40 + 2 * 8 + 16); /* three columns, two rows */
    assert_int_equal(sheet.height, 16 + (24 + 8) + 2 * (30 + 2 * 12 + 2) + 8 + 16);
    image_free(&host, &sheet);
    assert_int_equal(
        sheet_make(&host, pictures, captions, 5, &(sheet_options){.tile_width = 10}, &sheet, &error), MZT_OK);
    image_free(&host, &sheet);
    assert_int_equal(sheet_make(&host, pictures, NULL, 0, NULL, &sheet, &error), MZT_ERROR_INVALID);
    assert_int_equal(
        sheet_make(&host, pictures, NULL, 5, &(sheet_options){.tile_width = 60000}, &sheet, &error),
        MZT_ERROR_INVALID);
    assert_int_equal(
        sheet_make(&host, pictures, NULL, 5, &(sheet_options){.scale = 4000000000u}, &sheet, &error),
        MZT_ERROR_INVALID);
    for (int i = 0; i < 5; i++)
        image_free(&host, &pictures[i]);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resize_constant),
                                       cmocka_unit_test(test_resize_values),
                                       cmocka_unit_test(test_resize_alpha),
                                       cmocka_unit_test(test_crop_fill_letterbox),
                                       cmocka_unit_test(test_composition),
                                       cmocka_unit_test(test_floats),
                                       cmocka_unit_test(test_psnr),
                                       cmocka_unit_test(test_font),
                                       cmocka_unit_test(test_sheet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
