/* Parameters of pictures: what is written is read back, the web UI's own texts are understood, strangers'
 * texts do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/sha256.h"
#include "pipeline/generate_parameters.h"
#include "sample/samplers.h"

static base_host host;
static mzt_error error;

static void must(mzt_status status) {
    if (status < 0) fail_msg("%s", error.message);
}

static void check_value(const parameters *p, const char *key, const char *value) {
    const char *found = parameters_find(p, key);
    if (!found) fail_msg("%s is missing", key);
    assert_string_equal(found, value);
}

/* A text as the web UI writes it. */
static void test_foreign(void **state) {
    (void)state;
    parameters p;
    must(parameters_parse(
        &host,
        "masterpiece, (red apple:1.2),\nsecond line\nNegative prompt: blurry, text\nmore of it\nSteps: 28, "
        "Sampler: "
        "DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 3141592653, Size: 512x768, Model hash: "
        "6ce0161689, Model: v1-5-pruned, Denoising strength: 0.4, Clip skip: 2, Lora hashes: \"a: 1, b: "
        "\\\"2\\\"\", "
        "Hashes: {\"vae\": \"1\", \"model\": \"2\"}, Version: v1.9.4",
        &p, &error));
    assert_string_equal(p.prompt, "masterpiece, (red apple:1.2),\nsecond line");
    assert_string_equal(p.negative, "blurry, text\nmore of it");
    check_value(&p, "Steps", "28");
    check_value(&p, "Sampler", "DPM++ 2M");
    check_value(&p, "Lora hashes", "a: 1, b: \"2\"");
    check_value(&p, "Version", "v1.9.4");
    generate_request r = generate_request_default();
    double *sigmas;
    must(generate_parameters_apply(&p, &r, &sigmas, &error));
    assert_null(sigmas);
    assert_string_equal(r.sampler, "DPM++ 2M");
    assert_string_equal(r.schedule, "karras");
    assert_int_equal(r.steps, 28);
    assert_true(r.seed == 3141592653u);
    assert_int_equal(r.width, 512);
    assert_int_equal(r.height, 768);
    assert_true(r.guidance == 6.5 && r.strength == 0.4);
    assert_int_equal(r.clip_skip, 2);
    assert_int_equal(r.rng, RANDOM_TORCH_CUDA); /* the web UI's own default, which it does not write */
    parameters_destroy(&p);
}

/* Format, parse, format: the same prompts, pairs and text. */
static void round_trip(const char *prompt, const char *negative, const char *const *pairs) {
    parameters p, q;
    char *text, *again;
    must(parameters_create(&host, prompt, negative, &p, &error));
    for (; *pairs; pairs += 2)
        must(parameters_add(&p, pairs[0], pairs[1], &error));
    must(parameters_format(&p, &text, &error));
    must(parameters_parse(&host, text, &q, &error));
    assert_string_equal(q.prompt, prompt);
    assert_string_equal(q.negative, negative);
    assert_int_equal(q.count, p.count);
    for (uint32_t i = 0; i < p.count; i++) {
        assert_string_equal(q.pairs[i].key, p.pairs[i].key);
        assert_string_equal(q.pairs[i].value, p.pairs[i].value);
    }
    must(parameters_format(&q, &again, &error));
    assert_string_equal(again, text);
    host_free(&host, text);
    host_free(&host, again);
    parameters_destroy(&p);
    parameters_destroy(&q);
}

static void test_round_trips(void **state) {
    (void)state;
    static const char *const prompts[] = {"",
                                          "a red apple",
                                          "two\nlines",
                                          "ends in a line feed\n",
                                          "\nbegins with one",
                                          "\n",
                                          "  spaces  ",
                                          "Steps: 1, Sampler: x, Seed: 2",
                                          "Negative prompt: not really",
                                          "a\nNegative prompt: inside",
                                          "Negative prompt:",
                                          "\xc3\xa9t\xc3\xa9 \xf0\x9f\x8d\x8e",
                                          "tab\there \"quotes\" \\ back",
                                          "a: b, c: d"};
    static const char *const pairs[] = {
        "Steps", "20", "Sampler", "DPM++ 2M", "Model", "odd, \"name\": \\ \n\xc3\xa9", "Size", "8x8",
        "Empty", "",   "Spaces",  " a ",      NULL};
    enum { COUNT = sizeof prompts / sizeof *prompts };
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COUNT; k++)
            round_trip(prompts[i], prompts[k], pairs);
}

static void test_text_without_settings(void **state) {
    (void)state;
    static const char *const texts[] = {"",       "a red apple", "Steps: 20", "Steps: 20, Seed: 1",
                                        "a\nb\n", ",,,,",        ":::",       "a:b:c,d:e:f"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        parameters p;
        must(parameters_parse(&host, texts[i], &p, &error));
        assert_int_equal(p.count, 0);
        assert_string_equal(p.prompt, texts[i]);
        parameters_destroy(&p);
    }
}

/* Every field that parameters carry comes back into a request. */
static void test_request(void **state) {
    (void)state;
    const double sigmas[] = {14.614642, 7.25, 1.0 / 3, 0};
    const generate_request r = {.prompt = "a (b:1.1), c",
                                .negative = "d: e",
                                .clip_skip = 2,
                                .plain_prompt = true,
                                .steps = 3,
                                .sigmas = sigmas,
                                .sigma_count = 4,
                                .eta = 0.1,
                                .s_noise = 1.003,
                                .guidance = 7.1,
                                .guidance_rescale = 0.7,
                                .guidance_interval = {0.1, 0.9},
                                .seed = UINT64_MAX,
                                .rng = RANDOM_TORCH_CPU,
                                .variation_seed = 12345678901234567890u,
                                .variation_strength = 1e-3,
                                .count = 1,
                                .strength = 0.55,
                                .tile = {true, false},
                                .precision = PRECISION_F16};
    const generate_result result = {
        .width = 64, .height = 128, .sampler = "Euler a", .schedule = "sgm_uniform"};
    const generate_origin origin = {.model = "m, x", .model_hash = "0123456789"};
    parameters p, q;
    char *text;
    double *list;
    must(generate_parameters_make(&host, &r, &result, &origin, 0, &p, &error));
    must(parameters_format(&p, &text, &error));
    must(parameters_parse(&host, text, &q, &error));
    generate_request s = generate_request_default();
    must(generate_parameters_apply(&q, &s, &list, &error));
    assert_string_equal(s.prompt, r.prompt);
    assert_string_equal(s.negative, r.negative);
    assert_true(s.clip_skip == 2 && s.plain_prompt && s.steps == 3 && s.sigma_count == 4 && s.width == 64 &&
                s.height == 128);
    assert_memory_equal(s.sigmas, sigmas, sizeof sigmas);
    assert_true(s.eta == r.eta && s.s_noise == r.s_noise && s.guidance == r.guidance &&
                s.guidance_rescale == r.guidance_rescale);
    assert_true(s.guidance_interval[0] == 0.1 && s.guidance_interval[1] == 0.9);
    assert_true(s.seed == r.seed && s.variation_seed == r.variation_seed &&
                s.variation_strength == r.variation_strength);
    assert_true(s.rng == RANDOM_TORCH_CPU && s.tile.x && !s.tile.y && s.precision == PRECISION_F16);
    assert_string_equal(s.sampler, "Euler a");
    assert_string_equal(s.schedule, "sgm_uniform");
    host_free(&host, list);
    host_free(&host, text);
    parameters_destroy(&p);
    parameters_destroy(&q);
}

/* Every sampler and schedule is found again by the name that pictures carry. */
static void test_names(void **state) {
    (void)state;
    for (int i = 0; i < SAMPLER_KIND_COUNT; i++) {
        sampler_kind kind;
        sigma_schedule schedule;
        must(sampler_find(sampler_info_get((sampler_kind)i)->label, &kind, &schedule, &error));
        assert_int_equal(kind, i);
        assert_int_equal(schedule, SCHEDULE_COUNT);
    }
    for (int i = 0; i < SCHEDULE_COUNT; i++) {
        const generate_request r = generate_request_default();
        const generate_result result = {.width = 8,
                                        .height = 8,
                                        .sampler = "Euler",
                                        .schedule = sampler_schedule_name((sigma_schedule)i)};
        generate_request back = generate_request_default();
        parameters p;
        double *list;
        sigma_schedule found;
        must(generate_parameters_make(&host, &r, &result, &(generate_origin){0}, 0, &p, &error));
        must(generate_parameters_apply(&p, &back, &list, &error));
        must(sampler_schedule_find(back.schedule, &found, &error));
        assert_int_equal(found, i);
        parameters_destroy(&p);
    }
}

/* Settings without meaning are named. */
static void test_refused(void **state) {
    (void)state;
    static const char *const lines[][2] = {
        {"Steps: many, Seed: 1, Size: 8x8", "Steps"},
        {"Steps: 1e9, Seed: 1, Size: 8x8", "Steps"},
        {"Steps: 5, Seed: -1, Size: 8x8", "Seed"},
        {"Steps: 5, Seed: 18446744073709551616, Size: 8x8", "Seed"},
        {"Steps: 5, Seed: 1, Size: 8", "Size"},
        {"Steps: 5, Seed: 1, Size: 0x8", "Size"},
        {"Steps: 5, Seed: 1, CFG scale: nan", "CFG scale"},
        {"Steps: 5, Seed: 1, RNG: dice", "RNG"},
        {"Steps: 5, Seed: 1, Sigmas: \"3,,1\"", "sigma 1"},
        {"Steps: 5, Seed: 1, Tiling: z", "Tiling"},
        {"Steps: 5, Seed: 1, CFG scale: Infinity", "CFG scale"},
        {"Steps: 5.5, Seed: 1, Size: 8x8", "Steps"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        parameters p;
        double *list;
        generate_request r = generate_request_default();
        must(parameters_parse(&host, lines[i][0], &p, &error));
        assert_int_equal(generate_parameters_apply(&p, &r, &list, &error), MZT_ERROR_INVALID);
        if (!strstr(error.message, lines[i][1]))
            fail_msg("\"%s\" does not name %s", error.message, lines[i][1]);
        assert_null(strchr(error.message, '\n'));
        host_free(&host, list);
        parameters_destroy(&p);
    }
    parameters p;
    assert_int_equal(parameters_parse(&host, "a\xff", &p, &error), MZT_ERROR_INVALID);
    must(parameters_create(&host, "", "", &p, &error));
    assert_int_equal(parameters_add(&p, "a:b", "c", &error), MZT_ERROR_INVALID);
    assert_int_equal(parameters_add(&p, "x", "c", &error), MZT_ERROR_INVALID);
    parameters_destroy(&p);
}

/* Texts of pieces that mean something, at random: nothing is read out of bounds (the sanitizers watch), and
 * what is parsed can be written and read again. */
static void test_hostile(void **state) {
    (void)state;
    static const char *const pieces[] = {"Negative prompt:",
                                         "\n",
                                         "Steps",
                                         ": ",
                                         ", ",
                                         "\"",
                                         "\\",
                                         "20",
                                         "Seed: 1",
                                         "\\u",
                                         "d800",
                                         " ",
                                         "Prompt length: 3",
                                         "Prompt length: 99999999999",
                                         "\xc3\xa9",
                                         "{",
                                         "Size: 8x",
                                         "x",
                                         "\r",
                                         "\t"};
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char text[400] = "", *again;
        parameters p, q;
        uint32_t count = (random >> 8) % 24;
        for (uint32_t i = 0; i < count; i++) {
            random = random * 1664525u + 1013904223u;
            strcat(text, pieces[(random >> 8) % (sizeof pieces / sizeof *pieces)]);
        }
        random = random * 1664525u + 1013904223u;
        must(parameters_parse(&host, text, &p, &error));
        must(parameters_format(&p, &again, &error));
        if (p.count == 0 || p.count >= 3) {
            must(parameters_parse(&host, again, &q, &error));
            if (p.count) assert_string_equal(q.prompt, p.prompt);
            parameters_destroy(&q);
        }
        host_free(&host, again);
        parameters_destroy(&p);
    }
    /* more settings than are kept */
    char *many = malloc(20 * 1000);
    assert_non_null(many);
    many[0] = '\0';
    for (int i = 0, used = 0; i < 1000; i++)
        used += sprintf(many + used, "Key %d: %d, ", i, i);
    parameters p;
    must(parameters_parse(&host, many, &p, &error));
    assert_int_equal(p.count, PARAMETERS_PAIR_LIMIT);
    parameters_destroy(&p);
    free(many);
}

/* FIPS 180-4's examples, and pieces of every length. */
static void test_sha256(void **state) {
    (void)state;
    static const struct {
        const char *text, *digest;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t digest[32], data[300], whole[32];
    char text[65];
    sha256 s;
    for (int i = 0; i < 3; i++) {
        sha256_begin(&s);
        sha256_add(&s, known[i].text, strlen(known[i].text));
        sha256_end(&s, digest);
        sha256_hex(digest, 64, text);
        assert_string_equal(text, known[i].digest);
    }
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t length = 0; length <= sizeof data; length += 7) {
        sha256_begin(&s);
        sha256_add(&s, data, length);
        sha256_end(&s, whole);
        sha256_begin(&s);
        for (size_t at = 0, step = 1; at < length; at += step, step = step % 70 + 1)
            sha256_add(&s, data + at, length - at < step ? length - at : step);
        sha256_end(&s, digest);
        assert_memory_equal(digest, whole, 32);
    }
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_text_without_settings),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
