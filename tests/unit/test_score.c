/* Scores: features that do not care for place, size and hue; metrics; the nearest pictures; suites; totals.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "image/png.h"
#include "score/check.h"
#include "train/augment.h"
#include "train_data.h"

static base_host host;
static mzt_error error;
static char folder[256], logged[1000];
static score_reference *reference;

static void must(mzt_status status) {
    if (status < 0) fail_msg("%s", error.message);
}

static void keep_log(void *user, mzt_log_level level, const char *line) {
    (void)user;
    (void)level;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", line);
}

static int begin(void **state) {
    (void)state;
    const score_reference_options options = {.held_out = 0.4};
    train_data_temporary(folder);
    train_data_write(&host, folder, TRAIN_DATA_SHAPES, 64);
    train_data_append(folder, "{\"file_name\": \"gone.png\", \"text\": \"star\"}");
    return score_reference_open(&host, folder, &options, &reference, &error) < 0;
}

static int end(void **state) {
    (void)state;
    score_reference_close(reference);
    train_data_remove(folder);
    return 0;
}

static void read_shape(uint32_t index, image *picture) {
    char path[400];
    snprintf(path, sizeof path, "%s/shape-%u.png", folder, (unsigned)index);
    must(image_png_read(&host, path, NULL, picture, NULL, &error));
}

/* A shape, smaller, off its place, mirrored, in another hue and on a square of another size. */
static void read_changed(uint32_t index, image *picture) {
    static float floats[96 * 96 * 4];
    const augment_options options = {.resolution = 96, .channels = 4};
    const augmentation a = {.mirrored = true, .scale = 0.8, .shift_x = 0.06, .shift_y = -0.04};
    image original = {0};
    read_shape(index, &original);
    augment_turn_hue(&original, 130);
    augment_place(&original, &options, &a, floats);
    must(image_from_floats(&host, floats, 96, 96, 4, picture, &error));
    image_free(&host, &original);
}

static void test_concepts(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"Red apple", "apple"},
                                           {"green apple", "apple"},
                                           {"orange", "orange"},
                                           {"keycap: #", "keycap"},
                                           {"flag: Isle of Man", "flag isle of man"},
                                           {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char concept[SCORE_NAME];
        score_concept(cases[i][0], concept);
        assert_string_equal(concept, cases[i][1]);
    }
    char endless[500], concept[SCORE_NAME];
    for (size_t i = 0; i < sizeof endless; i++)
        endless[i] = i % 7 == 6 ? ' ' : 'x';
    endless[sizeof endless - 1] = 0;
    score_concept(endless, concept);
    assert_true(strlen(concept) < SCORE_NAME && strlen(concept) > 80);
    assert_int_equal(reference->concept_count, 5); /* circle, square, triangle, ring, and the missing star */
    assert_int_equal(reference->count, 8);
    assert_non_null(strstr(logged, "1 pictures are missing"));
}

/* Within classes the examples spread by (3, 1) along turned axes; mapped, their covariance is the identity.
 */
static void test_metric(void **state) {
    (void)state;
    enum { COUNT = 400 };
    static float examples[COUNT][2];
    uint32_t classes[COUNT];
    double sums[3] = {0, 0, 0};
    for (int i = 0; i < COUNT; i++) {
        const double a = 3 * sin(i * 2.399963), b = cos(i * 5.1);
        classes[i] = (uint32_t)i % 4;
        examples[i][0] = (float)(a * 0.8 - b * 0.6 + 10 * (i % 4));
        examples[i][1] = (float)(a * 0.6 + b * 0.8 - 7 * (i % 4));
    }
    score_metric metric;
    must(score_metric_make(&host, examples[0], 2, 2, classes, COUNT, 4, 0, NULL, &metric, &error));
    float centres[4][2] = {{0}}, mapped[COUNT][2];
    for (int i = 0; i < COUNT; i++) {
        score_metric_map(&metric, examples[i], mapped[i]);
        for (int k = 0; k < 2; k++)
            centres[i % 4][k] += mapped[i][k] / (COUNT / 4);
    }
    for (int i = 0; i < COUNT; i++) {
        const double x = mapped[i][0] - centres[i % 4][0], y = mapped[i][1] - centres[i % 4][1];
        sums[0] += x * x / (COUNT - 4);
        sums[1] += x * y / (COUNT - 4);
        sums[2] += y * y / (COUNT - 4);
    }
    score_metric_free(&metric);
    assert_true(fabs(sums[0] - 1) < 1e-3 && fabs(sums[1]) < 1e-3 && fabs(sums[2] - 1) < 1e-3);
    for (int i = 0; i < COUNT; i++)
        classes[i] = (uint32_t)i;
    assert_int_equal(
        score_metric_make(&host, examples[0], 2, 2, classes, COUNT, COUNT, 0, NULL, &metric, &error),
        MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "nothing to compare by"));
}

static bool skip_one(const void *user, uint32_t item) {
    return item == *(const uint32_t *)user;
}

/* Every shape, changed, is nearest to itself; without itself, to the other picture of its shape. */
static void test_nearest(void **state) {
    (void)state;
    for (uint32_t i = 0; i < TRAIN_DATA_SHAPES; i++) {
        image picture = {0};
        score_look look;
        score_points points;
        read_changed(i, &picture);
        score_look_at(&picture, &look);
        image_free(&host, &picture);
        assert_false(look.clear);
        score_map(reference, &look, &points);
        score_verdict v = score_compare(reference, &points, NULL, NULL);
        assert_int_equal(v.count, SCORE_NEAREST);
        assert_int_equal(reference->concepts[v.nearest[0].item], reference->concepts[i]);
        assert_true(v.nearest[0].distance < 0.5 && v.nearest[2].distance > 0.5);
        v = score_compare(reference, &points, skip_one, &i);
        assert_int_not_equal(v.nearest[0].item, i);
        assert_int_equal(reference->concepts[v.nearest[0].item], reference->concepts[i]);
        for (uint32_t k = 1; k < v.count; k++)
            assert_true(v.nearest[k].distance >= v.nearest[k - 1].distance);
    }
}

static score_result judge(const score_prompt *prompt, const image *picture) {
    score_points points;
    return score_picture(reference, prompt, picture, &points);
}

/* What is asked is found, or not; a clear picture has nothing right; the picture itself is a copy. */
static void test_judging(void **state) {
    (void)state;
    image picture = {0}, clear = {0};
    const score_prompt right = {"flat red circle", "red circle", NULL, "flat", COLOUR_RED},
                       wrong = {"3d blue ring", "ring of gold", NULL, "3d", COLOUR_BLUE},
                       words = {"red figures", NULL, "figure circles", NULL, COLOUR_NONE},
                       other = {"red squares", NULL, "squared", NULL, COLOUR_NONE};
    score_total total = {0};
    read_shape(0, &picture);
    score_result r = judge(&right, &picture);
    assert_true(r.concept_right && r.colour_right && r.style_right && r.copy == 0);
    score_add(&total, &r);
    r = judge(&wrong, &picture);
    assert_false(r.concept_right || r.colour_right || r.style_right);
    score_add(&total, &r);
    r = judge(&words, &picture);
    assert_false(r.concept_right); /* "circles" is no plural of "circle" asked the other way round */
    assert_false(r.colour_asked || r.style_asked);
    assert_false(judge(&other, &picture).concept_right);
    assert_true(
        judge(&(score_prompt){"figure", NULL, "figure circle", NULL, COLOUR_NONE}, &picture).concept_right);
    must(image_create(&host, 64, 64, 4, &clear, &error));
    r = judge(&right, &clear);
    assert_true(r.clear && !r.concept_right && !r.colour_right && !r.style_right);
    score_add(&total, &r);
    assert_int_equal(total.pictures, 3);
    assert_int_equal(total.clear, 1);
    assert_int_equal(total.copies, 2);
    assert_true(total.concept.right == 1 && total.concept.asked == 3);
    assert_true(total.all.right == 1 && total.all.asked == 3);
    assert_true(fabs(score_percent(total.colour) - 100.0 / 3) < 1e-9);
    image_free(&host, &picture);
    image_free(&host, &clear);
}

/* Equal pictures spread by 0, different ones by about the typical distance. */
static void test_spread(void **state) {
    (void)state;
    score_points points[3];
    score_total same = {0}, different = {0};
    for (uint32_t i = 0; i < 3; i++) {
        image picture = {0};
        score_look look;
        read_shape(i, &picture);
        score_look_at(&picture, &look);
        score_map(reference, &look, &points[i]);
        image_free(&host, &picture);
    }
    score_spread(&different, reference, points, 3);
    assert_int_equal(different.pairs, 3);
    assert_true(different.spread / 3 > 0.5 && different.spread / 3 < 2);
    points[1] = points[2] = points[0];
    score_spread(&same, reference, points, 3);
    assert_true(same.spread < 1e-6);
}

/* Premultiplied: colours of clear pixels do not count, alpha does. */
static void test_psnr(void **state) {
    (void)state;
    const float a[8] = {1, -1, 0, 1, 0.3f, 0.4f, 0.5f, -1};
    float b[8] = {1, -1, 0, 1, -0.9f, 1, 0, -1};
    assert_true(score_psnr(a, b, 2) == 60);
    b[3] = -1; /* 255, 0, 128, 255 becomes 0 */
    const double square = (65025.0 + 0 + 128 * 128 + 65025.0) / 8;
    assert_true(fabs(score_psnr(a, b, 2) - 10 * log10(65025 / square)) < 1e-9);
}

static void write_text(const char *path, const char *text) {
    must(file_write(&host, path, text, strlen(text), &error));
}

static void test_suites(void **state) {
    (void)state;
    static const struct {
        const char *text, *named;
    } bad[] = {
        {"[]", "object"},
        {"{}", "suites"},
        {"{\"suites\": {\"a\": {\"prompts\": []}}}", "0 prompts"},
        {"{\"suites\": {\"a\": {\"prompts\": [{}]}}}", "prompt"},
        {"{\"suites\": {\"a\": {\"seeds\": 65, \"prompts\": [{\"prompt\": \"b\"}]}}}", "seeds"},
        {"{\"suites\": {\"a\": {\"prompts\": [{\"prompt\": \"b\", \"colour\": \"blurple\"}]}}}", "blurple"},
        {"{\"suites\": {\"a\": {\"prompts\": [{\"prompt\": \"b\", \"concept\": \"c\", \"words\": \"d\"}]}}}",
         "a concept and words"},
        {"{\"suites\": {\"a\": {\"prompts\": [{\"prompt\": \"b\"}]}}, \"styles\": {\"3d\": 3}}", "3d"}};
    char path[400];
    score_suites *suites;
    snprintf(path, sizeof path, "%s/suites.json", folder);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(path, bad[i].text);
        assert_true(score_suites_read(&host, path, &suites, &error) < 0);
        assert_null(suites);
        if (!strstr(error.message, bad[i].named)) fail_msg("%s: \"%s\"", bad[i].text, error.message);
    }
}

/* The suites that ship: as many prompts as docs/scoring.md says, and no held-out combination in the others.
 */
static void test_shipped_suites(void **state) {
    (void)state;
    score_suites *suites;
    must(score_suites_read(&host, MZT_SOURCE_DIR "/models/scoring.json", &suites, &error));
    static const uint32_t counts[] = {200, 100, 11};
    assert_int_equal(suites->count, 3);
    exclude_list held = {.host = &host};
    for (json_value v = json_first(json_get(json_root(suites->doc), "exclude")); v.item; v = json_next(v)) {
        const char *text;
        must(json_as_string(v, &text, &error));
        must(exclude_add(&held, text, &error));
        assert_string_equal(suites->suites[2].prompts[held.count - 1].text, text);
    }
    assert_int_equal(held.count, 11);
    for (uint32_t s = 0; s < 3; s++) {
        assert_int_equal(suites->suites[s].count, counts[s]);
        for (uint32_t i = 0; i < counts[s]; i++) {
            const score_prompt *p = &suites->suites[s].prompts[i];
            assert_int_equal(exclude_match(&held, &p->text, 1, NULL, 1) != NULL, s == 2);
            assert_true((s == 0) == (p->style != NULL) && (s == 0) == (p->concept != NULL));
            assert_true((s == 0) == (p->colour == COLOUR_NONE) && (s == 0) == (p->words == NULL));
        }
    }
    assert_string_equal(score_suites_style_word(suites, "fluent-3d"), "3d");
    assert_string_equal(score_suites_style_word(suites, "of my own"), "of my own");
    exclude_free(&held);
    score_suites_free(suites);
}

/* Half of the concepts teach the metric, the other half is looked for. */
static void test_check(void **state) {
    (void)state;
    const score_reference_options options = {.fold = 1};
    score_reference *half;
    score_check_row rows[SCORE_CHECK_ROWS];
    must(score_reference_open(&host, folder, &options, &half, &error));
    must(score_check(half, 1, NULL, NULL, rows, &error));
    for (int i = 0; i < SCORE_CHECK_ROWS; i++) {
        assert_int_equal(rows[i].pictures, 4); /* squares and rings */
        if (rows[i].original) assert_int_equal(rows[i].concept, 4);
    }
    assert_true(rows[0].nearest == 0 && rows[0].copy == 0 && rows[0].first == 4 && rows[1].nearest > 0);
    assert_int_equal(score_check(half, 1000, NULL, NULL, rows, &error), MZT_ERROR_INVALID);
    score_reference_close(half);
}

static bool stop(void *user, uint32_t done, uint32_t count) {
    (void)user;
    return done >= count + 1;
}

static void test_cancel_and_errors(void **state) {
    (void)state;
    score_reference_options options = {.progress = stop};
    score_reference *r;
    assert_int_equal(score_reference_open(&host, folder, &options, &r, &error), MZT_CANCELLED);
    assert_null(r);
    options.progress = NULL;
    assert_int_equal(score_reference_open(&host, "/nowhere", &options, &r, &error), MZT_ERROR_NOT_FOUND);
}

int main(void) {
    const mzt_hooks hooks = {.log = keep_log};
    host = host_make(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_concepts),       cmocka_unit_test(test_metric),
        cmocka_unit_test(test_nearest),        cmocka_unit_test(test_judging),
        cmocka_unit_test(test_spread),         cmocka_unit_test(test_psnr),
        cmocka_unit_test(test_suites),         cmocka_unit_test(test_check),
        cmocka_unit_test(test_shipped_suites), cmocka_unit_test(test_cancel_and_errors)};
    return cmocka_run_group_tests(tests, begin, end);
}
