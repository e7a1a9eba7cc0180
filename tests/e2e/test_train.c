/* Training end to end, on the CPU: 8 pictures are learned by heart and come back for their captions; a run
 * that is killed again and again ends with the same weights as one that is not; losses that are no numbers.
 */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/threads.h"
#include "pipeline/generate.h"
#include "train/dataset.h"
#include "train/run.h"
#include "train_data.h"

static base_host host;
static mzt_error error;

#define VAE_NETWORK                                                                                          \
    "\"vae\": {\"in_channels\": 4, \"out_channels\": 4, \"latent_channels\": 4, \"block_out_channels\": "    \
    "[16, 32], "                                                                                             \
    "\"layers_per_block\": 1, \"norm_num_groups\": 8, \"down_block_types\": [\"DownEncoderBlock2D\", "       \
    "\"DownEncoderBlock2D\"], \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}"

static const char autoencoder_json[] = "{\"resolution\": 16, \"batch\": 8, \"data\": {\"held_out\": 0, "
                                       "\"captions\": \"plain\"}, \"loss\": {\"kl\": 1e-5, \"scales\": 2}, "
                                       "\"optimizer\": {\"learning_rate\": 0.003, \"warmup\": 20, \"steps\": "
                                       "500, \"ema\": 0.98, \"weight_decay\": 0}, "
                                       "\"log\": {\"sample_minutes\": 0}, " VAE_NETWORK "}";

static const char denoiser_json[] =
    "{\"resolution\": 16, \"batch\": 8, \"data\": {\"held_out\": 0, \"captions\": \"plain\", "
    "\"latent_variants\": 1, "
    "\"caption_dropout\": 0}, "
    "\"optimizer\": {\"learning_rate\": 0.003, \"warmup\": 20, \"steps\": 800, \"ema\": 0.98, "
    "\"weight_decay\": 0}, "
    "\"log\": {\"sample_minutes\": 0}, \"denoiser\": {\"objective\": \"v\", \"vocabulary\": 640, "
    "\"max_length\": 8}, "
    "\"unet\": {\"in_channels\": 4, \"out_channels\": 4, \"block_out_channels\": [16, 32], "
    "\"layers_per_block\": 1, "
    "\"norm_num_groups\": 8, \"attention_head_dim\": 2, \"cross_attention_dim\": 32, \"down_block_types\": "
    "[\"CrossAttnDownBlock2D\", \"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", "
    "\"CrossAttnUpBlock2D\"]}, "
    "\"text_encoder\": {\"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 2}}";

/* Checkpoints nearly all the time, augmentation and captions of all kinds. */
static const char killed_json[] =
    "{\"resolution\": 16, \"batch\": 3, \"seed\": 5, \"data\": {\"held_out\": 0.2, \"flip\": 0.5, \"hue\": "
    "0.5, \"shift\": 0.1, "
    "\"scale\": [0.8, 1.2]}, \"optimizer\": {\"learning_rate\": 0.002, \"warmup\": 5, \"steps\": 60}, "
    "\"log\": {\"sample_minutes\": 0, \"checkpoint_minutes\": 0.002}, " VAE_NETWORK "}";

typedef struct folders {
    char root[256], data[300], config[300], output[300];
} folders;

static void make_folders(folders *f, const char *config) {
    train_data_temporary(f->root);
    snprintf(f->data, sizeof f->data, "%s/data", f->root);
    snprintf(f->config, sizeof f->config, "%s/config.json", f->root);
    snprintf(f->output, sizeof f->output, "%s/run", f->root);
    assert_int_equal(folder_create(&host, f->data, &error), MZT_OK);
    train_data_write(&host, f->data, TRAIN_DATA_SHAPES, 32);
    assert_int_equal(file_write(&host, f->config, config, strlen(config), &error), MZT_OK);
}

static mzt_status train(const train_request *request, train_result *result) {
    executor *e;
    mzt_status status = cpu_create(&host, 2, &e, &error);
    if (status < 0) return status;
    status = train_run(&host, e, request, result, &error);
    executor_destroy(e);
    return status;
}

/* --------------------------------------------------------------------------------------------- by heart --
 */

/* The picture that a caption gives, against the one that was trained on, over white. */
static double psnr_of(const model *m, executor *e, const dataset *d, uint32_t item) {
    const augment_options place = {.resolution = 16, .channels = 4};
    static const uint8_t white[3] = {255, 255, 255};
    char caption[CAPTION_SIZE];
    float values[16 * 16 * 4];
    dataset_facts facts;
    generate_result result;
    image wanted = {0}, wanted_over = {0}, made_over = {0};
    double psnr;
    assert_int_equal(dataset_picture(d, NULL, &place, false, 0, 0, item, values, &facts, &error), MZT_OK);
    dataset_plain_caption(d, item, caption);
    generate_request request = generate_request_default();
    request.prompt = caption;
    request.guidance = 1;
    request.seed = 77;
    request.precision = PRECISION_F32;
    if (pipeline_generate(m, e, &request, &result, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_int_equal(result.width, 16);
    assert_int_equal(image_from_floats(&host, values, 16, 16, 4, &wanted, &error), MZT_OK);
    assert_int_equal(image_over_colour(&host, &wanted, white, &wanted_over, &error), MZT_OK);
    assert_int_equal(image_over_colour(&host, &result.images[0], white, &made_over, &error), MZT_OK);
    assert_int_equal(image_psnr(&wanted_over, &made_over, &psnr, &error), MZT_OK);
    image_free(&host, &wanted);
    image_free(&host, &wanted_over);
    image_free(&host, &made_over);
    generate_result_destroy(&result);
    return psnr;
}

static void test_by_heart(void **state) {
    (void)state;
    folders f;
    train_result result;
    char init[400], output[400], latest[440];
    make_folders(&f, autoencoder_json);
    train_request request = {
        .kind = TRAIN_AUTOENCODER, .data = f.data, .config = f.config, .output = f.output};
    const double start = clock_seconds();
    if (train(&request, &result) != MZT_OK) fail_msg("%s", error.message);
    print_message("autoencoder: loss %.5f after %.1f s\n", result.loss, result.seconds);
    assert_true(result.loss < 0.003);
    assert_int_equal(file_write(&host, f.config, denoiser_json, sizeof denoiser_json - 1, &error), MZT_OK);
    snprintf(init, sizeof init, "%s/latest", f.output);
    snprintf(output, sizeof output, "%s-denoiser", f.output);
    request = (train_request){
        .kind = TRAIN_DENOISER, .data = f.data, .config = f.config, .output = output, .init = init};
    if (train(&request, &result) != MZT_OK) fail_msg("%s", error.message);
    print_message("denoiser: loss %.5f after %.1f s\n", result.loss, result.seconds);
    assert_true(result.loss < 0.04);
    executor *e;
    model *m;
    dataset *d;
    const dataset_options options = {.held_out = 0};
    snprintf(latest, sizeof latest, "%s/latest", output);
    assert_int_equal(cpu_create(&host, 2, &e, &error), MZT_OK);
    if (model_open(&host, latest, &m, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_int_equal(dataset_open(&host, f.data, &options, &d, &error), MZT_OK);
    for (uint32_t i = 0; i < TRAIN_DATA_SHAPES; i++) {
        const double psnr = psnr_of(m, e, d, i);
        print_message("%s: %.1f dB\n", train_data_name(i), psnr);
        assert_true(psnr > 22);
    }
    print_message("%.1f s in all\n", clock_seconds() - start);
    dataset_close(d);
    model_close(m);
    executor_destroy(e);
    train_data_remove(f.root);
}

/* ------------------------------------------------------------------------------------------------ killed --
 */

/* Runs in a process of its own and kills that after `seconds` (negative: lets it finish). True when it
 * finished. */
static bool run_process(const train_request *request, double seconds) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        train_result result;
        _exit(train(request, &result) == MZT_OK ? 0 : 1);
    }
    int status;
    if (seconds >= 0) {
        nanosleep(&(struct timespec){(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)}, NULL);
        kill(child, SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

/* Every state of one run against the other's, bit by bit. */
static void compare_states(const char *a_output, const char *b_output) {
    char path[480];
    safetensors_file *a, *b;
    snprintf(path, sizeof path, "%s/latest/training_state.safetensors", a_output);
    assert_int_equal(safetensors_open(&host, path, &a, &error), MZT_OK);
    snprintf(path, sizeof path, "%s/latest/training_state.safetensors", b_output);
    assert_int_equal(safetensors_open(&host, path, &b, &error), MZT_OK);
    assert_string_equal(safetensors_metadata(a, "step"), "60");
    assert_string_equal(safetensors_metadata(b, "step"), "60");
    assert_int_equal(safetensors_count(a), safetensors_count(b));
    assert_true(safetensors_count(a) > 100);
    for (uint32_t i = 0; i < safetensors_count(a); i++) {
        const weights_tensor *x = safetensors_at(a, i), *y = safetensors_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(x->count, y->count);
        assert_memory_equal(x->data, y->data, x->count * weights_dtype_size(x->dtype));
    }
    safetensors_close(a);
    safetensors_close(b);
}

static void test_killed(void **state) {
    (void)state;
    folders f;
    char output[400], latest[440];
    uint32_t kills = 0, resumed = 0;
    make_folders(&f, killed_json);
    train_request request = {
        .kind = TRAIN_AUTOENCODER, .data = f.data, .config = f.config, .output = f.output};
    const double start = clock_seconds();
    assert_true(run_process(&request, -1));
    const double whole = clock_seconds() - start;
    snprintf(output, sizeof output, "%s-killed", f.output);
    snprintf(latest, sizeof latest, "%s/latest", output);
    request.output = output;
    for (bool finished = false; !finished;) {
        train_draws draws = draws_begin(9, DRAW_ORDER, 0, kills);
        request.resume = file_exists(latest);
        resumed += request.resume;
        /* Instants spread over the run; after a dozen kills it may finish. */
        finished = run_process(&request, kills < 12 ? whole * draws_between(&draws, 0.02, 0.6) : -1);
        kills += !finished;
    }
    print_message("killed %u times, resumed %u times\n", kills, resumed);
    assert_true(kills >= 3 && resumed >= 2);
    compare_states(f.output, output);
    train_data_remove(f.root);
}

/* ------------------------------------------------------------------------------------------------ mistakes
 * -- */

static void test_not_a_number(void **state) {
    (void)state;
    folders f;
    train_result result;
    char config[2000], latest[440];
    make_folders(&f, autoencoder_json);
    train_request request = {
        .kind = TRAIN_AUTOENCODER, .data = f.data, .config = f.config, .output = f.output, .steps = 2};
    assert_int_equal(train(&request, &result), MZT_OK);
    assert_int_equal(train(&request, &result), MZT_ERROR_INVALID); /* the folder holds a run */
    assert_non_null(strstr(error.message, "--resume"));
    /* So large a rate drives exp(log-variance) to infinity. */
    snprintf(config, sizeof config,
             "{\"resolution\": 16, \"batch\": 8, \"data\": {\"held_out\": 0}, \"loss\": {\"kl\": 1}, "
             "\"log\": {\"sample_minutes\": 0}, "
             "\"optimizer\": {\"learning_rate\": 10, \"warmup\": 0, \"schedule\": \"constant\", "
             "\"max_norm\": 0}, %s}",
             VAE_NETWORK);
    assert_int_equal(file_write(&host, f.config, config, strlen(config), &error), MZT_OK);
    request.resume = true;
    request.steps = 50;
    assert_int_equal(train(&request, &result), MZT_ERROR_INVALID);
    print_message("%s\n", error.message);
    assert_non_null(
        strstr(error.message, "the loss is not a number; the last good checkpoint is that of step 2"));
    snprintf(latest, sizeof latest, "%s/checkpoint-000000002/vae/config.json", f.output);
    assert_true(file_exists(latest));
    request = (train_request){
        .kind = TRAIN_AUTOENCODER, .data = f.root, .config = f.config, .output = f.output, .resume = true};
    assert_int_equal(train(&request, &result), MZT_ERROR_NOT_FOUND); /* no metadata.jsonl */
    assert_non_null(strstr(error.message, "metadata.jsonl"));
    train_data_remove(f.root);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_by_heart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
