/* Training data: colours and their names, captions, forbidden combinations, folders of pictures, batches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "train/loader.h"
#include "train_data.h"

static base_host host;
static mzt_error error;
static char logged[4096];

static void keep_log(void *user, mzt_log_level level, const char *line) {
    (void)user;
    (void)level;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", line);
}

/* --------------------------------------------------------------------------------------------------- colours
 * -- */

static colour name_of(int r, int g, int b) {
    const double rgb[3] = {r / 255.0, g / 255.0, b / 255.0};
    return colour_classify(colour_from_rgb(rgb));
}

static void test_colour_names(void **state) {
    (void)state;
    static const struct {
        int r, g, b;
        colour expected;
    } cases[] = {{255, 0, 0, COLOUR_RED},       {139, 0, 0, COLOUR_RED},       {255, 140, 0, COLOUR_ORANGE},
                 {255, 220, 50, COLOUR_YELLOW}, {255, 204, 51, COLOUR_YELLOW}, {0, 128, 0, COLOUR_GREEN},
                 {120, 180, 60, COLOUR_GREEN},  {0, 0, 255, COLOUR_BLUE},      {135, 206, 235, COLOUR_BLUE},
                 {128, 0, 128, COLOUR_PURPLE},  {75, 0, 130, COLOUR_PURPLE},   {255, 192, 203, COLOUR_PINK},
                 {255, 105, 180, COLOUR_PINK},  {139, 69, 19, COLOUR_BROWN},   {0, 0, 0, COLOUR_BLACK},
                 {20, 20, 25, COLOUR_BLACK},    {128, 128, 128, COLOUR_GREY},  {255, 255, 255, COLOUR_WHITE},
                 {250, 248, 245, COLOUR_WHITE}, {255, 103, 35, COLOUR_ORANGE}, {193, 105, 79, COLOUR_BROWN},
                 {248, 49, 47, COLOUR_RED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const colour found = name_of(cases[i].r, cases[i].g, cases[i].b);
        if (found != cases[i].expected)
            fail_msg("%d %d %d is called %s, expected %s", cases[i].r, cases[i].g, cases[i].b,
                     colour_name(found), colour_name(cases[i].expected));
    }
    assert_int_equal(colour_find("gray", 4), COLOUR_GREY);
    assert_int_equal(colour_find("redder", 6), COLOUR_NONE);
}

/* There and back gives the same colour, and colours beyond sRGB keep lightness and hue. */
static void test_colour_space(void **state) {
    (void)state;
    for (int i = 0; i < 512; i++) {
        const double rgb[3] = {(i & 7) / 7.0, (i >> 3 & 7) / 7.0, (i >> 6) / 7.0};
        double back[3];
        colour_to_rgb(colour_from_rgb(rgb), back);
        for (int c = 0; c < 3; c++)
            assert_true(fabs(back[c] - rgb[c]) < 2e-3);
    }
    double rgb[3];
    colour_to_rgb((colour_lch){0.7, 0.5, 140}, rgb);
    const colour_lch shown = colour_from_rgb(rgb);
    assert_true(fabs(shown.lightness - 0.7) < 0.01 && fabs(shown.hue - 140) < 2 && shown.chroma < 0.3);
}

static void test_dominant(void **state) {
    (void)state;
    uint8_t pixels[100][4];
    for (int i = 0; i < 100; i++)
        memcpy(pixels[i], (uint8_t[4]){10, 10, 10, 255}, 4); /* outlines */
    for (int i = 0; i < 45; i++)
        memcpy(pixels[i], (uint8_t[4]){220, 20, 30, 255}, 4);
    colour_measure m = colour_measure_pixels(pixels[0], 100, 4);
    assert_int_equal(m.dominant, COLOUR_RED);
    assert_true(fabs(m.share[COLOUR_RED] - 0.45) < 1e-9);
    for (int i = 45; i < 90; i++)
        memcpy(pixels[i], (uint8_t[4]){20, 30, 220, 255}, 4);
    assert_int_equal(colour_measure_pixels(pixels[0], 100, 4).dominant,
                     COLOUR_NONE); /* as much blue as red */
    for (int i = 45; i < 90; i++)
        memcpy(pixels[i], (uint8_t[4]){255, 103, 35, 255}, 4);
    assert_int_equal(colour_measure_pixels(pixels[0], 90, 4).dominant,
                     COLOUR_RED); /* as much orange: one object may be of both */
    for (int i = 0; i < 100; i++)
        pixels[i][3] = 0;
    m = colour_measure_pixels(pixels[0], 100, 4);
    assert_int_equal(m.dominant, COLOUR_NONE);
    assert_true(m.share[COLOUR_RED] == 0);
}

/* -------------------------------------------------------------------------------------------------- captions
 * -- */

static void test_captions(void **state) {
    (void)state;
    static const char *const keywords[] = {"apple", "fruit", "red"};
    caption_source s = {
        .name = "Red Apple", .keywords = keywords, .keyword_count = 3, .style = "3d", .colour = COLOUR_RED};
    char caption[CAPTION_SIZE];
    uint32_t plain = 0, styled = 0, reordered = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        train_draws draws = draws_begin(1, DRAW_CAPTION, 0, i);
        caption_build(&s, &draws, caption);
        assert_true(caption[0] != '\0' && strlen(caption) < CAPTION_SIZE);
        for (const char *p = caption; *p; p++)
            assert_false(*p >= 'A' && *p <= 'Z');
        plain += strcmp(caption, "red apple") == 0;
        styled += strstr(caption, "3d") != NULL;
        reordered += strncmp(caption, "a red apple", 11) == 0;
        assert_null(strstr(caption, "a apple"));
        assert_null(strstr(caption, "red red"));
    }
    assert_true(plain > 50 && styled > 300 && reordered > 50);
    /* A changed colour is always said, and the old one never. */
    s.colour = COLOUR_BLUE;
    s.recoloured = true;
    for (uint64_t i = 0; i < 500; i++) {
        train_draws draws = draws_begin(2, DRAW_CAPTION, 0, i);
        caption_build(&s, &draws, caption);
        assert_non_null(strstr(caption, "blue"));
        assert_null(strstr(caption, "red"));
    }
    caption_plain(&s, caption);
    assert_string_equal(caption, "3d blue apple");
}

static void test_mirrored_captions(void **state) {
    (void)state;
    caption_source s = {.name = "right arrow curving left", .colour = COLOUR_NONE, .mirrored = true};
    char caption[CAPTION_SIZE];
    caption_plain(&s, caption);
    assert_string_equal(caption, "left arrow curving right");
    assert_true(caption_fixed_handedness("keycap: 3"));
    assert_true(caption_fixed_handedness("input latin letters"));
    assert_false(caption_fixed_handedness("red apple"));
    char name[2000];
    memset(name, 'x', sizeof name);
    for (size_t i = 9; i < sizeof name; i += 10)
        name[i] = ' ';
    name[sizeof name - 1] = '\0';
    s.name = name;
    caption_plain(&s, caption); /* cut between words */
    assert_true(strlen(caption) < CAPTION_SIZE && (strlen(caption) + 1) % 10 == 0);
}

static void test_exclude(void **state) {
    (void)state;
    exclude_list list = {.host = &host};
    assert_int_equal(exclude_add(&list, "green banana", &error), MZT_OK);
    assert_int_equal(exclude_add(&list, "red", &error), MZT_ERROR_INVALID);
    assert_int_equal(exclude_add(&list, "", &error), MZT_ERROR_INVALID);
    double shares[COLOUR_COUNT] = {0};
    const char *banana[] = {"Bananas", NULL}, *pineapple[] = {"green bananarama", NULL},
               *both[] = {"banana", "green fruit"};
    assert_null(exclude_match(&list, banana, 2, shares, 0.3));
    assert_null(exclude_match(&list, pineapple, 2, shares, 0.3));
    assert_non_null(exclude_match(&list, both, 2, shares, 0.3));
    shares[COLOUR_GREEN] = 0.31;
    assert_non_null(exclude_match(&list, banana, 2, shares, 0.3));
    assert_null(exclude_match(&list, pineapple, 2, shares, 0.3));
    exclude_free(&list);
}

/* --------------------------------------------------------------------------------------------------- folders
 * -- */

static void test_folder(void **state) {
    (void)state;
    char folder[256], path[512];
    train_data_temporary(folder);
    const dataset_options options = {.held_out = 0};
    dataset *d;
    assert_int_equal(dataset_open(&host, folder, &options, &d, &error), MZT_ERROR_NOT_FOUND);
    train_data_write(&host, folder, 4, 24);
    train_data_append(folder, "{\"file_name\": \"shape-0.png\", \"text\": \" \"}");
    train_data_append(folder, "{\"file_name\": \"nowhere.png\", \"text\": \"nothing\"}");
    train_data_append(folder, "{\"file_name\": \"damaged.png\", \"text\": \"noise\"}");
    snprintf(path, sizeof path, "%s/damaged.png", folder);
    assert_int_equal(file_write(&host, path, "\x89PNG\r\n\x1a\nrubbish", 15, &error), MZT_OK);
    logged[0] = '\0';
    assert_int_equal(dataset_open(&host, folder, &options, &d, &error), MZT_OK);
    assert_int_equal(d->count, 4);
    assert_int_equal(d->train_count, 4);
    assert_int_equal(d->lost[DATASET_NO_TEXT], 1);
    assert_int_equal(d->lost[DATASET_NO_FILE], 1);
    assert_int_equal(d->lost[DATASET_UNDECODABLE], 1);
    assert_non_null(strstr(logged, "nowhere.png (line 6)"));
    assert_non_null(strstr(logged, "damaged.png (line 7)"));
    assert_int_equal(d->items[0].colours.dominant, COLOUR_RED);
    assert_int_equal(d->items[1].colours.dominant, COLOUR_BLUE);
    dataset_close(d);
    train_data_remove(folder);
}

static void test_hostile_folder(void **state) {
    (void)state;
    static const struct {
        const char *line;
        mzt_status expected;
    } cases[] = {{"{\"file_name\": \"../shape-0.png\", \"text\": \"a\"}", MZT_ERROR_INVALID},
                 {"{\"file_name\": \"a/../../b.png\", \"text\": \"a\"}", MZT_ERROR_INVALID},
                 {"{\"file_name\": \"/etc/passwd\", \"text\": \"a\"}", MZT_ERROR_INVALID},
                 {"{\"file_name\": \"a\\\\b.png\", \"text\": \"a\"}", MZT_ERROR_INVALID},
                 {"{\"file_name\": \"a//b.png\", \"text\": \"a\"}", MZT_ERROR_INVALID},
                 {"{\"text\": \"a\"}", MZT_ERROR_INVALID},
                 {"[1, 2]", MZT_ERROR_INVALID},
                 {"{\"file_name\": ", MZT_ERROR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[256];
        const dataset_options options = {.held_out = 0};
        dataset *d;
        train_data_temporary(folder);
        train_data_write(&host, folder, 1, 8);
        train_data_append(folder, cases[i].line);
        assert_int_equal(dataset_open(&host, folder, &options, &d, &error), cases[i].expected);
        assert_non_null(strstr(error.message, "metadata.jsonl:2")); /* the line is named */
        assert_null(d);
        train_data_remove(folder);
    }
}

static void test_excluded_pictures(void **state) {
    (void)state;
    char folder[256];
    exclude_list list = {.host = &host};
    dataset *d;
    train_data_temporary(folder);
    train_data_write(&host, folder, 4, 24);
    train_data_append(folder, "{\"file_name\": \"shape-2.png\", \"text\": \"banana\"}"); /* a green picture */
    train_data_append(folder, "{\"file_name\": \"shape-3.png\", \"text\": \"banana\"}"); /* a yellow one */
    assert_int_equal(exclude_add(&list, "green banana", &error), MZT_OK);
    const dataset_options options = {.exclude = &list};
    assert_int_equal(dataset_open(&host, folder, &options, &d, &error), MZT_OK);
    assert_int_equal(d->lost[DATASET_EXCLUDED], 1);
    assert_int_equal(d->count, 5);
    /* However often its hue is turned, the yellow banana never becomes a green one. */
    const augment_options augment = {
        .resolution = 16, .channels = 4, .scale_low = 1, .scale_high = 1, .hue = 1};
    float *picture = calloc(16 * 16 * 4, sizeof *picture);
    uint32_t turned = 0, turned_green = 0;
    for (uint64_t variant = 0; variant < 60; variant++) {
        for (uint32_t item = 3; item < 5; item++) { /* "yellow ring", which may, and "banana" */
            dataset_facts facts;
            assert_int_equal(
                dataset_picture(d, &list, &augment, true, 5, variant, item, picture, &facts, &error), MZT_OK);
            if (item == 4) {
                turned += facts.recoloured;
                assert_int_not_equal(facts.colour, COLOUR_GREEN);
                char caption[CAPTION_SIZE];
                dataset_caption(d, 5, variant, item, &facts, 0, caption);
                assert_null(strstr(caption, "green"));
            } else {
                turned_green += facts.recoloured && facts.colour == COLOUR_GREEN;
            }
        }
    }
    assert_true(turned > 20 && turned_green > 3);
    free(picture);
    dataset_close(d);
    exclude_free(&list);
    train_data_remove(folder);
}

static void test_order_and_split(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 16, 17, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint8_t seen[1000] = {0};
        for (uint32_t k = 0; k < counts[i]; k++) {
            const uint32_t at = dataset_order(7, 3, counts[i], k);
            assert_true(at < counts[i]);
            assert_false(seen[at]++);
        }
    }
    uint32_t same = 0;
    for (uint32_t k = 0; k < 1000; k++)
        same += dataset_order(7, 3, 1000, k) == dataset_order(7, 4, 1000, k);
    assert_true(same < 20);
    char folder[256];
    dataset *d;
    train_data_temporary(folder);
    train_data_write(&host, folder, 8, 8);
    dataset_options options = {.held_out = 0.5};
    assert_int_equal(dataset_open(&host, folder, &options, &d, &error), MZT_OK);
    assert_int_equal(d->train_count + d->held_out_count, 8);
    assert_true(d->held_out_count > 0 && d->train_count > 0);
    dataset_close(d);
    train_data_remove(folder);
}

/* -------------------------------------------------------------------------------------------------- pictures
 * -- */

static void test_placing(void **state) {
    (void)state;
    image picture = {0};
    float out[8 * 8 * 4];
    assert_int_equal(image_create(&host, 8, 8, 4, &picture, &error), MZT_OK);
    for (uint32_t i = 0; i < 64; i++)
        memcpy(picture.pixels + 4 * i, (uint8_t[4]){(uint8_t)(i * 4), 100, 50, i % 8 < 6 ? 255 : 0}, 4);
    augment_options o = {.resolution = 8, .channels = 4};
    augmentation a = augment_none();
    augment_place(&picture, &o, &a, out);
    for (uint32_t i = 0; i < 64; i++) {
        const bool clear = i % 8 >= 6;
        assert_true(fabs(out[4 * i] - (clear ? -1 : picture.pixels[4 * i] / 127.5 - 1)) < 1e-5);
        assert_true(fabs(out[4 * i + 3] - (clear ? -1 : 1)) < 1e-5);
    }
    a.mirrored = true;
    augment_place(&picture, &o, &a, out);
    assert_true(fabs(out[4 * 7 + 1] - (100 / 127.5 - 1)) < 1e-5 && out[3] == -1);
    a = augment_none();
    a.shift_x = 0.25; /* two pixels to the right */
    augment_place(&picture, &o, &a, out);
    assert_true(fabs(out[4 * 2 + 1] - (100 / 127.5 - 1)) < 1e-5 && out[3] == -1 && out[4 * 7 + 3] > 0.99f);
    image_free(&host, &picture);
}

typedef struct digest {
    uint64_t pictures, ids, noise;
} digest;

static uint64_t hash(const void *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return h;
}

static void run_loader(const dataset *d, const data_config *config, uint32_t threads, uint32_t depth,
                       uint64_t first, uint32_t steps, digest *digests) {
    const loader_options o = {.data = d,
                              .config = config,
                              .seed = 11,
                              .first_step = first,
                              .batch = 3,
                              .pictures = true,
                              .noise = 10,
                              .threads = threads,
                              .depth = depth};
    loader *l;
    assert_int_equal(loader_create(&host, &o, &l, &error), MZT_OK);
    for (uint32_t s = 0; s < steps; s++) {
        const loader_batch *b;
        assert_int_equal(loader_next(l, &b, &error), MZT_OK);
        assert_int_equal(b->step, first + s);
        digests[s] = (digest){hash(b->pictures, 3 * 16 * 16 * 4 * sizeof(float)), hash(b->samples, 12),
                              hash(b->noise, 30 * sizeof(float))};
    }
    loader_destroy(l);
}

/* The same batches from any number of threads, and from the middle on. */
static void test_batches(void **state) {
    (void)state;
    char folder[256];
    dataset *d;
    train_data_temporary(folder);
    train_data_write(&host, folder, 5, 24);
    const dataset_options options = {.held_out = 0};
    assert_int_equal(dataset_open(&host, folder, &options, &d, &error), MZT_OK);
    data_config config = {.augment = {.resolution = 16,
                                      .channels = 4,
                                      .shift = 0.1,
                                      .scale_low = 0.8,
                                      .scale_high = 1.2,
                                      .flip = 0.5,
                                      .hue = 0.5}};
    digest one[12], many[12], late[7];
    run_loader(d, &config, 1, 1, 0, 12, one);
    run_loader(d, &config, 5, 3, 0, 12, many);
    run_loader(d, &config, 2, 2, 5, 7, late);
    assert_memory_equal(one, many, sizeof one);
    assert_memory_equal(one + 5, late, sizeof late);
    assert_int_not_equal(one[0].pictures, one[1].pictures);
    char path[512];
    snprintf(path, sizeof path, "%s/shape-1.png", folder);
    assert_int_equal(remove(path), 0);
    const loader_options o = {.data = d, .config = &config, .batch = 5, .pictures = true};
    loader *l;
    const loader_batch *b;
    assert_int_equal(loader_create(&host, &o, &l, &error), MZT_OK);
    assert_int_equal(loader_next(l, &b, &error), MZT_ERROR_NOT_FOUND); /* a picture that went away */
    assert_non_null(strstr(error.message, "shape-1.png"));
    loader_destroy(l);
    dataset_close(d);
    train_data_remove(folder);
}

int main(void) {
    const mzt_hooks hooks = {.log = keep_log};
    host = host_make(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colour_names),
        cmocka_unit_test(test_colour_space),
        cmocka_unit_test(test_dominant),
        cmocka_unit_test(test_captions),
        cmocka_unit_test(test_mirrored_captions),
        cmocka_unit_test(test_exclude),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_hostile_folder),
        cmocka_unit_test(test_excluded_pictures),
        cmocka_unit_test(test_order_and_split),
        cmocka_unit_test(test_placing),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
