/* What may go wrong in a run, and what is said then: pictures, captions, folders, configurations, a full
 * disk, losses that are no numbers. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/file.h"
#include "image/png.h"
#include "train_data.h"
#include "train_runs.h"

static base_host host;
static mzt_error error;

static const char plain_json[] =
    "{\"resolution\": 16, \"batch\": 4, \"data\": {\"held_out\": 0}, \"log\": {\"sample_minutes\": 0, "
    "\"checkpoint_steps\": 2}, \"optimizer\": {\"steps\": 4}, " TRAIN_RUNS_VAE "}";

static train_request request_of(const train_folders *f) {
    return (train_request){
        .kind = TRAIN_AUTOENCODER, .data = f->data, .config = f->config, .output = f->output};
}

static void expect(const train_request *request, mzt_status status, const char *part) {
    train_result result;
    const mzt_status found = train_here(&host, request, &result, &error);
    print_message("%s\n", found < 0 ? error.message : "trained");
    assert_int_equal(found, status);
    if (part && !strstr(error.message, part)) fail_msg("expected: %s", part);
}

static bool there(const char *output, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", output, name);
    return file_exists(path);
}

/* -------------------------------------------------------------------------------------------------------
 * data --
 */

/* Lines that a run says, one after the other. */
static void keep_line(void *user, const char *text) {
    char *all = user;
    const size_t used = strlen(all);
    snprintf(all + used, 8000 - used, "%s\n", text);
}

/* A picture that does not decode, one that is not there, one without a caption: left out and counted;
 * pictures of other sizes are brought to the resolution. */
static void test_pictures(void **state) {
    (void)state;
    train_folders f;
    char path[400], lines[8000] = "";
    train_folders_make(&host, &f, plain_json);
    static const char broken[] = "\x89PNG\r\n\x1a\n and then nothing of the kind";
    snprintf(path, sizeof path, "%s/broken.png", f.data);
    assert_int_equal(file_write(&host, path, broken, sizeof broken, &error), MZT_OK);
    snprintf(path, sizeof path, "%s/wide.png", f.data);
    image wide = {0};
    assert_int_equal(image_create(&host, 61, 9, 4, &wide, &error), MZT_OK);
    memset(image_pixel(&wide, 0, 0), 255, 61 * 9 * 4);
    assert_int_equal(image_png_write(&host, path, &wide, NULL, &error), MZT_OK);
    image_free(&host, &wide);
    train_data_append(f.data, "{\"file_name\": \"broken.png\", \"text\": \"red thing\"}");
    train_data_append(f.data, "{\"file_name\": \"gone.png\", \"text\": \"red thing\"}");
    train_data_append(f.data, "{\"file_name\": \"shape-0.png\"}");
    train_data_append(f.data, "{\"file_name\": \"shape-1.png\", \"text\": \"\"}");
    train_data_append(f.data, "{\"file_name\": \"wide.png\", \"text\": \"white bar\"}");
    train_request request = request_of(&f);
    request.line = keep_line;
    request.user = lines;
    expect(&request, MZT_OK, NULL);
    print_message("%s", lines);
    assert_non_null(strstr(lines,
                           "9 pictures to train on, 0 held out; left out: 2 without text, 1 missing, 1 "
                           "undecodable, 0 excluded"));
    train_data_remove(f.root);
}

static void test_folders(void **state) {
    (void)state;
    train_folders f;
    char path[400];
    train_folders_make(&host, &f, plain_json);
    train_request request = request_of(&f);
    request.data = f.root; /* no metadata.jsonl */
    expect(&request, MZT_ERROR_NOT_FOUND, "metadata.jsonl");
    snprintf(path, sizeof path, "%s/empty", f.root);
    assert_int_equal(folder_create(&host, path, &error), MZT_OK);
    request.data = path;
    train_data_append(path, "{\"file_name\": \"gone.png\", \"text\": \"nothing\"}");
    expect(&request, MZT_ERROR_INVALID, "1 missing");
    request.data = "/no/such/folder";
    expect(&request, MZT_ERROR_NOT_FOUND, "/no/such/folder");
    assert_false(there(f.output, "latest"));
    train_data_remove(f.root);
}

/* A picture that goes away while training: the run ends and names it; the checkpoint stays. */
static bool remove_picture(void *user, uint64_t step) {
    if (step == 3) remove(user);
    return true;
}

static void test_vanished(void **state) {
    (void)state;
    train_folders f;
    char path[400];
    train_folders_make(&host, &f, plain_json);
    snprintf(path, sizeof path, "%s/shape-2.png", f.data);
    train_request request = request_of(&f);
    request.steps = 40;
    request.keep_going = remove_picture;
    request.user = path;
    expect(&request, MZT_ERROR_NOT_FOUND, "shape-2.png");
    assert_true(there(f.output, "latest/vae/config.json"));
    train_data_remove(f.root);
}

/* ----------------------------------------------------------------------------------------------
 * configurations
 * -- */

static void test_configurations(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"optimizer\": {\"learning_rat\": 1}, " TRAIN_RUNS_VAE "}",
         "unknown key \"learning_rat\"; the nearest is \"learning_rate\""},
        {"{\"optimizer\": {\"acumulate\": 2}, " TRAIN_RUNS_VAE "}", "the nearest is \"accumulate\""},
        {"{\"optimizer\": {\"accumulate\": 0}, " TRAIN_RUNS_VAE "}", "accumulate"},
        {"{\"recomputed\": true, " TRAIN_RUNS_VAE "}", "the nearest is \"recompute\""},
        {"{\"recompute\": 1, " TRAIN_RUNS_VAE "}", "recompute"},
        {"{\"optimizer\": {\"loss_scale\": 0.5}, " TRAIN_RUNS_VAE "}", "loss_scale"},
        {"{\"log\": {\"checkpoint_stes\": 4}, " TRAIN_RUNS_VAE "}", "the nearest is \"checkpoint_steps\""},
        {"{\"batch\": 65536, \"optimizer\": {\"accumulate\": 65536}, " TRAIN_RUNS_VAE "}",
         "at most 16777216"},
    };
    train_folders f;
    train_folders_make(&host, &f, plain_json);
    const train_request request = request_of(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        train_folders_configure(&host, &f, cases[i].text);
        train_result result;
        assert_true(train_here(&host, &request, &result, &error) < 0);
        if (!strstr(error.message, cases[i].message))
            fail_msg("\"%s\", expected \"%s\"", error.message, cases[i].message);
    }
    assert_false(there(f.output, "latest"));
    train_data_remove(f.root);
}

/* ------------------------------------------------------------------------------------------------------ disk
 * --
 */

/* From the fourth step on files cannot grow beyond some KiB, which stands in for a disk that is full. */
static bool fill_disk(void *user, uint64_t step) {
    const struct rlimit *small = user;
    if (step == 3) setrlimit(RLIMIT_FSIZE, small);
    return true;
}

static void test_full_disk(void **state) {
    (void)state;
    train_folders f;
    struct rlimit before, small;
    train_folders_make(&host, &f, plain_json);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 64 * 1024;
    signal(SIGXFSZ, SIG_IGN);
    train_request request = request_of(&f);
    request.keep_going = fill_disk;
    request.user = &small;
    train_result result;
    const mzt_status status = train_here(&host, &request, &result, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    print_message("%s\n", error.message);
    assert_int_equal(status, MZT_ERROR_IO);
    assert_non_null(
        strstr(error.message, "the checkpoint of step 4 was not written, the one before stays: "));
    assert_true(there(f.output, "checkpoint-000000002/training_state.safetensors"));
    assert_false(there(f.output, "checkpoint-000000004") || there(f.output, "checkpoint-000000004.tmp"));
    /* With room again the run goes on from there, and ends as if nothing had been. */
    char other[400];
    request = request_of(&f);
    request.resume = true;
    expect(&request, MZT_OK, NULL);
    request.resume = false;
    snprintf(other, sizeof other, "%s-whole", f.output);
    request.output = other;
    expect(&request, MZT_OK, NULL);
    assert_true(train_states_compare(&host, f.output, other, 4).same);
    train_data_remove(f.root);
}

/* ------------------------------------------------------------------------------------------------- not a
 * number
 * -- */

static void test_not_a_number(void **state) {
    (void)state;
    train_folders f;
    train_folders_make(&host, &f, plain_json);
    train_request request = request_of(&f);
    request.steps = 2;
    expect(&request, MZT_OK, NULL);
    expect(&request, MZT_ERROR_INVALID, "--resume"); /* the folder holds a run */
    /* So large a rate drives exp(log-variance) to infinity. */
    train_folders_configure(
        &host, &f,
        "{\"resolution\": 16, \"batch\": 4, \"data\": {\"held_out\": 0}, \"loss\": {\"kl\": 1}, "
        "\"log\": {\"sample_minutes\": 0}, "
        "\"optimizer\": {\"learning_rate\": 10, \"warmup\": 0, \"schedule\": \"constant\", "
        "\"max_norm\": 0}, " TRAIN_RUNS_VAE "}");
    request.resume = true;
    request.steps = 50;
    expect(&request, MZT_ERROR_INVALID,
           "the loss is not a number; the last good checkpoint is that of step 2");
    assert_true(there(f.output, "checkpoint-000000002/vae/config.json"));
    train_data_remove(f.root);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures),  cmocka_unit_test(test_folders),
        cmocka_unit_test(test_vanished),  cmocka_unit_test(test_configurations),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
