/* What training reads and writes: configurations, vocabularies, checkpoints, the log and its plot; and the
 * forward process. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "text/bpe.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/diffusion.h"
#include "train/log.h"
#include "text/known_words.h"
#include "train/words.h"
#include "train_data.h"

static base_host host;
static mzt_error error;

/* -------------------------------------------------------------------------------------------- configurations
 * -- */

#define VAE                                                                                                  \
    "\"vae\": {\"in_channels\": 4, \"out_channels\": 4, \"block_out_channels\": [32, 32], "                  \
    "\"down_block_types\": "                                                                                 \
    "[\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"], \"up_block_types\": [\"UpDecoderBlock2D\", "          \
    "\"UpDecoderBlock2D\"]}"
#define UNET                                                                                                 \
    "\"unet\": {\"block_out_channels\": [32], \"down_block_types\": [\"DownBlock2D\"], \"up_block_types\": " \
    "[\"UpBlock2D\"], \"cross_attention_dim\": 16}"

static mzt_status parse(const char *text, train_kind kind, train_config **config) {
    return train_config_parse(&host, "run.json", text, strlen(text), kind, config, &error);
}

static void collect(void *user, const char *word) {
    char *all = user;
    strcat(strcat(all, word), " ");
}

/* The list that lies beside a learned vocabulary names the words that no caption had, each once. */
static void test_known_words(void **state) {
    (void)state;
    char folder[256];
    snprintf(folder, sizeof folder, "%s/known_words", MZT_BINARY_DIR);
    assert_true(folder_create(&host, folder, &error) >= 0);
    words *w = words_create(&host);
    assert_int_equal(words_add(w, "A red apple, caf\xc3\xa9", 1, &error), MZT_OK);
    assert_int_equal(words_write(w, WORDS_SMALLEST, 16, folder, NULL, &error), MZT_OK);
    words_destroy(w);
    known_words *known = NULL;
    assert_int_equal(known_words_read(&host, folder, &known, &error), MZT_OK);
    assert_non_null(known);
    char all[256] = "";
    assert_int_equal(known_words_check(known, "RED (apples:1.2) and a CAF\xc3\x89; zyzzyva zyzzyva 7!",
                                       collect, all, &error),
                     MZT_OK);
    assert_string_equal(all, "apples and zyzzyva ");
    assert_false(known_words_has(known, "app", 3));
    known_words_destroy(known);
    assert_int_equal(known_words_read(&host, MZT_SOURCE_DIR, &known, &error), MZT_OK);
    assert_null(known);
}

static void test_config(void **state) {
    (void)state;
    train_config *c;
    assert_int_equal(
        parse("{\"resolution\": 32, \"batch\": 3, \"optimizer\": {\"learning_rate\": 0.01, \"warmup\": 10, "
              "\"steps\": 110, "
              "\"schedule\": \"linear\", \"final\": 0.5}, \"data\": {\"exclude\": [\"green banana\"], "
              "\"scale\": [0.9, 1.1], "
              "\"styles\": {\"fluent-3d\": \"3d\"}}, \"log\": {\"prompts\": [\"a\", \"b\"]}, " VAE "}",
              TRAIN_AUTOENCODER, &c),
        MZT_OK);
    assert_int_equal(c->batch, 3);
    assert_int_equal(c->data.augment.channels, 4);
    assert_int_equal(c->exclude.count, 1);
    assert_int_equal(c->log.prompt_count, 2);
    assert_string_equal(train_style_word(&c->data, "fluent-3d"), "3d");
    assert_string_equal(train_style_word(&c->data, "noto"), "noto");
    assert_true(fabs(train_learning_rate(&c->optimizer, 4) - 0.005) < 1e-12);
    assert_true(fabs(train_learning_rate(&c->optimizer, 10) - 0.01) < 1e-12);
    assert_true(fabs(train_learning_rate(&c->optimizer, 60) - 0.0075) < 1e-12);
    assert_true(fabs(train_learning_rate(&c->optimizer, 5000) - 0.005) < 1e-12);
    assert_true(train_ema_decay(&c->optimizer, 0) < 0.2 && train_ema_decay(&c->optimizer, 1000000) == 0.999);
    train_config_free(c);
    assert_int_equal(parse("{\"text_encoder\": {\"hidden_size\": 16, \"num_attention_heads\": 2}, " UNET "}",
                           TRAIN_DENOISER, &c),
                     MZT_OK);
    char *json;
    clip_config clip;
    assert_int_equal(train_text_config(c, 700, &json, &clip, &error), MZT_OK);
    assert_int_equal(clip.vocabulary, 700);
    assert_int_equal(clip.eos, 699);
    assert_int_equal(clip.positions, 32);
    host_free(&host, json);
    train_config_free(c);
}

static void test_config_mistakes(void **state) {
    (void)state;
    static const struct {
        const char *text, *told;
        train_kind kind;
    } cases[] = {
        {"{\"resolutoin\": 32, " VAE "}", "unknown key \"resolutoin\"; the nearest is \"resolution\"",
         TRAIN_AUTOENCODER},
        {"{\"optimizer\": {\"lr\": 1}, " VAE "}", "optimizer", TRAIN_AUTOENCODER},
        {"{\"data\": {\"flipp\": 1}, " VAE "}", "\"flip\"", TRAIN_AUTOENCODER},
        {"{\"optimizer\": {\"schedule\": \"cosin\"}, " VAE "}", "constant, linear, cosine",
         TRAIN_AUTOENCODER},
        {"{\"resolution\": 33, " VAE "}", "multiple of 2", TRAIN_AUTOENCODER},
        {"{\"batch\": 0, " VAE "}", "batch", TRAIN_AUTOENCODER},
        {"{\"data\": {\"scale\": [2, 1]}, " VAE "}", "scale", TRAIN_AUTOENCODER},
        {"{\"data\": {\"exclude\": [\"green\"]}, " VAE "}", "green", TRAIN_AUTOENCODER},
        {"{\"data\": {\"captions\": \"plain\", \"hue\": 0.5}, " VAE "}", "plain", TRAIN_AUTOENCODER},
        {"{}", "vae", TRAIN_AUTOENCODER},
        {"{\"text_encoder\": {\"hidden_size\": 24}, " UNET "}", "cross_attention_dim = 16", TRAIN_DENOISER},
        {"{\"text_encoder\": {\"hidden_size\": 16}, \"denoiser\": {\"objective\": \"epsilon\", \"zero_snr\": "
         "true}, " UNET "}",
         "zero_snr", TRAIN_DENOISER},
        {"{\"text_encoder\": {\"hidden_size\": 16}, \"denoiser\": {\"vocabulary\": 100}, " UNET "}",
         "vocabulary", TRAIN_DENOISER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        train_config *c;
        assert_true(parse(cases[i].text, cases[i].kind, &c) < 0);
        assert_null(c);
        if (!strstr(error.message, cases[i].told))
            fail_msg("case %zu: \"%s\" does not tell of \"%s\"", i, error.message, cases[i].told);
    }
}

/* ----------------------------------------------------------------------------------------------- vocabulary
 * -- */

static void write_words(const char *folder, uint32_t size, uint32_t *count) {
    static const char *const texts[] = {"red apple",        "an apple that is red", "pineapple",
                                        "Green APPLE 100!", "caf\xc3\xa9",          "apple's"};
    words *w = words_create(&host);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(words_add(w, texts[i], 3, &error), MZT_OK);
    assert_int_equal(words_write(w, size, 16, folder, count, &error), MZT_OK);
    words_destroy(w);
}

static void test_words(void **state) {
    (void)state;
    char folder[256], again[256], path[512];
    uint32_t count, same, *ids, used;
    train_data_temporary(folder);
    train_data_temporary(again);
    write_words(folder, 600, &count);
    write_words(again, 600, &same);
    assert_int_equal(count, same);
    assert_in_range(count, 520, 600);
    static const char *const files[] = {"vocab.json", "merges.txt"};
    for (int i = 0; i < 2; i++) { /* the same captions give the same bytes */
        char *a, *b;
        uint64_t a_size, b_size;
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        assert_int_equal(file_read(&host, path, 1 << 20, &a, &a_size, &error), MZT_OK);
        snprintf(path, sizeof path, "%s/%s", again, files[i]);
        assert_int_equal(file_read(&host, path, 1 << 20, &b, &b_size, &error), MZT_OK);
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
        host_free(&host, a);
        host_free(&host, b);
    }
    bpe *t;
    assert_int_equal(bpe_load(&host, folder, NULL, &t, &error), MZT_OK);
    assert_int_equal(bpe_id_count(t), count);
    assert_int_equal(bpe_max_length(t), 16);
    assert_int_equal(bpe_encode(t, "apple", 5, &ids, &used, &error), MZT_OK);
    assert_int_equal(used, 1); /* the most frequent word is one token */
    host_free(&host, ids);
    static const char unheard[] = "zebra \xf0\x9f\x8d\x8e \xe6\xbc\xa2 42";
    char *text;
    assert_int_equal(bpe_encode(t, unheard, sizeof unheard - 1, &ids, &used, &error), MZT_OK);
    assert_int_equal(bpe_decode(t, ids, used, &text, &error), MZT_OK);
    assert_string_equal(text, "zebra \xf0\x9f\x8d\x8e \xe6\xbc\xa2 4 2"); /* anything can be spelled */
    host_free(&host, text);
    host_free(&host, ids);
    bpe_destroy(t);
    words *w = words_create(&host);
    assert_int_equal(words_write(w, 100, 16, folder, NULL, &error), MZT_ERROR_INVALID);
    words_destroy(w);
    train_data_remove(folder);
    train_data_remove(again);
}

/* ---------------------------------------------------------------------------------------------- checkpoints
 * -- */

static mzt_status write_checkpoint(const char *output, uint64_t step, uint64_t size) {
    checkpoint_writer *c;
    char *block = calloc(1, size);
    memset(block, (int)step, size);
    mzt_status status = checkpoint_begin(&host, output, step, &c, &error);
    if (status >= 0) {
        status = checkpoint_file(c, "part/data.bin", block, size, &error);
        if (status >= 0)
            status = checkpoint_commit(c, &error);
        else
            checkpoint_abandon(c);
    }
    free(block);
    return status;
}

static int latest_byte(const char *output) {
    char path[512];
    snprintf(path, sizeof path, "%s/latest/part/data.bin", output);
    FILE *f = fopen(path, "rb");
    if (!f) return -1;
    const int byte = fgetc(f);
    fclose(f);
    return byte;
}

static bool there(const char *output, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", output, name);
    return file_exists(path);
}

static void test_checkpoints(void **state) {
    (void)state;
    char output[256], path[512], *latest;
    train_data_temporary(output);
    assert_int_equal(checkpoint_latest(&host, output, &latest, &error), MZT_ERROR_NOT_FOUND);
    for (uint64_t step = 1; step <= 4; step++) {
        assert_int_equal(write_checkpoint(output, step, 100), MZT_OK);
        assert_int_equal(latest_byte(output), step);
    }
    assert_true(there(output, "checkpoint-000000004") && there(output, "checkpoint-000000003"));
    assert_false(there(output, "checkpoint-000000002") || there(output, "checkpoint-000000001"));
    /* What a killed run leaves: an unfinished folder, and a finished one that `latest` does not name. */
    snprintf(path, sizeof path, "%s/checkpoint-000000005.tmp/part", output);
    assert_int_equal(folder_create(&host, path, &error), MZT_OK);
    snprintf(path, sizeof path, "%s/checkpoint-000000006/part", output);
    assert_int_equal(folder_create(&host, path, &error), MZT_OK);
    snprintf(path, sizeof path, "%s/not-ours", output);
    assert_int_equal(folder_create(&host, path, &error), MZT_OK);
    assert_int_equal(latest_byte(output), 4);
    assert_int_equal(write_checkpoint(output, 6, 100), MZT_OK);
    assert_int_equal(latest_byte(output), 6);
    assert_false(there(output, "checkpoint-000000005.tmp"));
    assert_true(there(output, "not-ours"));
    train_data_remove(output);
}

/* A disk that is full keeps the old checkpoint and nothing of the new one. A limit on the size of files
 * stands in for it. */
static void test_full_disk(void **state) {
    (void)state;
    char output[256];
    struct rlimit before, small;
    train_data_temporary(output);
    assert_int_equal(write_checkpoint(output, 1, 1000), MZT_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    small = before;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const mzt_status status = write_checkpoint(output, 2, 100000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, MZT_ERROR_IO);
    assert_non_null(strstr(error.message, "data.bin"));
    assert_int_equal(latest_byte(output), 1);
    assert_false(there(output, "checkpoint-000000002") || there(output, "checkpoint-000000002.tmp"));
    assert_int_equal(write_checkpoint(output, 2, 100000), MZT_OK);
    assert_int_equal(latest_byte(output), 2);
    train_data_remove(output);
}

/* ------------------------------------------------------------------------------------------------------ log
 * -- */

static void test_log(void **state) {
    (void)state;
    char folder[256], path[512], *svg;
    uint64_t size;
    train_log log;
    train_data_temporary(folder);
    assert_int_equal(train_log_open(&host, folder, 0, &log, &error), MZT_OK);
    for (uint64_t step = 10; step <= 50; step += 10) {
        train_row row = {.step = step, .loss = 1.0 / (double)step, .norm = INFINITY, .seconds = (double)step};
        for (uint32_t i = 0; i < TRAIN_BANDS; i++)
            row.validation[i] = step == 30 ? 0.5 + i : NAN;
        assert_int_equal(train_log_add(&log, &row, &error), MZT_OK);
    }
    assert_int_equal(train_log_plot(&log, &error), MZT_OK);
    train_log_close(&log);
    /* Going on from step 30: later rows are dropped, and so is a row cut short. */
    snprintf(path, sizeof path, "%s/log.csv", folder);
    FILE *f = fopen(path, "ab");
    fputs("20,1,2", f);
    fclose(f);
    assert_int_equal(train_log_open(&host, folder, 30, &log, &error), MZT_OK);
    assert_int_equal(log.count, 3);
    assert_true(fabs(log.rows[2].loss - 1.0 / 30) < 1e-9 && fabs(log.rows[2].validation[4] - 4.5) < 1e-9);
    assert_true(isnan(log.rows[1].validation[0]) && isinf(log.rows[1].norm));
    train_log_close(&log);
    snprintf(path, sizeof path, "%s/loss.svg", folder);
    assert_int_equal(file_read(&host, path, 1 << 20, &svg, &size, &error), MZT_OK);
    assert_true(strncmp(svg, "<svg", 4) == 0 && strstr(svg, "</svg>"));
    assert_null(strstr(svg, "nan"));
    host_free(&host, svg);
    char line[200];
    const train_row row = {.step = 1200, .loss = 0.125, .pictures_per_second = 10, .flops_per_second = 2e9};
    train_log_line(&row, 3725, line, sizeof line);
    assert_non_null(strstr(line, "step 1200  loss 0.12500"));
    assert_non_null(strstr(line, "1:02:05 left"));
    train_data_remove(folder);
}

/* -------------------------------------------------------------------------------------------- forward
 * process -- */

static denoiser_config denoiser(train_objective objective) {
    return (denoiser_config){.objective = objective,
                             .gamma = 5,
                             .logit_std = 1,
                             .train_steps = 1000,
                             .betas = "scaled_linear",
                             .beta_start = 0.00085,
                             .beta_end = 0.012,
                             .shift = 1};
}

static void test_diffusion(void **state) {
    (void)state;
    for (int objective = OBJECTIVE_EPSILON; objective <= OBJECTIVE_FLOW; objective++) {
        const denoiser_config config = denoiser((train_objective)objective);
        diffusion d;
        assert_int_equal(diffusion_create(&host, &config, &d, &error), MZT_OK);
        double last = -1;
        for (int i = 0; i <= 10; i++) {
            const diffusion_point p = diffusion_at(&d, i / 10.0);
            assert_true(p.timestep > last && p.timestep <= 1000 && p.alpha >= 0 && p.sigma > 0 &&
                        p.weight >= 0);
            last = p.timestep;
            const bool flow = objective == OBJECTIVE_FLOW;
            assert_true(fabs((flow ? p.alpha + p.sigma : p.alpha * p.alpha + p.sigma * p.sigma) - 1) < 1e-9);
            /* From the input and the right answer the clean value follows. */
            const float clean = 0.7f, noise = -1.3f;
            float x, y;
            diffusion_mix(&d, &p, &clean, &noise, 1, &x, &y);
            const double found = objective == OBJECTIVE_EPSILON  ? (x - p.sigma * y) / p.alpha
                                 : objective == OBJECTIVE_V      ? p.alpha * x - p.sigma * y
                                 : objective == OBJECTIVE_SAMPLE ? y
                                                                 : x - p.sigma * y;
            assert_true(fabs(found - 0.7) < 1e-4);
        }
        diffusion_destroy(&d);
    }
}

/* Drawn timesteps cover the range evenly, and min-SNR weights are what the paper says. */
static void test_timesteps(void **state) {
    (void)state;
    denoiser_config config = denoiser(OBJECTIVE_EPSILON);
    diffusion d;
    assert_int_equal(diffusion_create(&host, &config, &d, &error), MZT_OK);
    for (uint64_t step = 0; step < 20; step++) {
        for (uint32_t place = 0; place < 10; place++) {
            const diffusion_point p = diffusion_draw(&d, 3, step, place, 10);
            assert_true(p.timestep >= place * 100.0 && p.timestep < (place + 1) * 100.0);
            const double snr = p.alpha * p.alpha / (p.sigma * p.sigma);
            assert_true(fabs(p.weight - (snr < 5 ? 1 : 5 / snr)) < 1e-9);
        }
    }
    diffusion_destroy(&d);
    config = denoiser(OBJECTIVE_FLOW);
    assert_int_equal(diffusion_create(&host, &config, &d, &error), MZT_OK);
    uint32_t middle = 0;
    for (uint64_t step = 0; step < 2000; step++) {
        const diffusion_point p = diffusion_draw(&d, 3, step, 0, 1);
        middle += p.timestep > 250 && p.timestep < 750;
    }
    assert_in_range(middle, 1360, 1550); /* a logit-normal has 72.8 % there */
    diffusion_destroy(&d);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_words),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_mistakes),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_diffusion),
        cmocka_unit_test(test_timesteps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
