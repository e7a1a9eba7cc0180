/* Training end to end, on the CPU: 8 pictures are learned by heart and come back for their captions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_heart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
