/* Image to image from end to end, on a small model with random weights: strength, masks with ordinary and
 * with inpainting networks, and pictures that tile. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/inpainting-test"
#include "tiny_model.h"

#include "pipeline/autoencoder.h"
#include "pipeline/denoise.h"
#include "sample/compile.h"
#include "sample/random.h"

/* The picture through encoder and decoder, as bytes. */
static void through_autoencoder(const image *picture, image *out) {
    const shape4 shape = {1, picture->height, picture->width, 3},
                 small = {1, picture->height / 8, picture->width / 8, 4};
    const size_t pixels = (size_t)picture->width * picture->height * 3, count = pixels / 3 / 64 * 4;
    float *values = calloc(pixels, sizeof *values), *mean = calloc(2 * count, sizeof *mean);
    assert_non_null(values);
    assert_non_null(mean);
    image_to_floats(picture, 3, values);
    must(autoencoder_encode(tiny, cpu, PRECISION_F32, shape, (model_wrap){0}, values, mean, mean + count,
                            NULL, &error));
    must(autoencoder_decode(tiny, cpu, PRECISION_F32, small, (model_wrap){0}, mean, values, NULL, &error));
    must(image_from_floats(&host, values, picture->width, picture->height, 3, out, &error));
    free(values);
    free(mean);
}

static void test_strength(void **state) {
    (void)state;
    static const double strengths[] = {0, 0.1, 0.5, 1};
    image picture = {0}, expected = {0};
    double last = INFINITY;
    make_picture(72, 64, &picture); /* 72 becomes 64, the next size that the UNet can halve */
    generate_request r = small_request("x");
    r.steps = 20;
    r.init_image = &picture;
    for (int i = 0; i < 4; i++) {
        generate_result result;
        r.strength = strengths[i];
        generate(&r, &result);
        assert_int_equal(result.width, 64);
        assert_int_equal(result.steps, (uint32_t)(20 * strengths[i]));
        if (i == 0) {
            image fitted = {0};
            must(image_fill(&host, &picture, 64, 64, IMAGE_LANCZOS, &fitted, &error));
            through_autoencoder(&fitted, &expected);
            image_free(&host, &fitted);
        }
        double db = psnr(&result.images[0], &expected);
        print_message("strength %g: %.1f dB of the picture\n", strengths[i], db);
        assert_true(i == 0 ? db >= 60 : db < last);
        last = db;
        generate_result_destroy(&result);
    }
    image_free(&host, &picture);
    image_free(&host, &expected);
}

/* Pixels outside of the mask are the original's, byte for byte; inside they are not. */
static void test_mask(void **state) {
    (void)state;
    image picture = {0}, mask = {0};
    generate_result result;
    make_picture(64, 64, &picture);
    must(image_create(&host, 64, 64, 3, &mask, &error));
    image_rectangle(&mask, 20, 12, 30, 30, (const uint8_t[4]){255, 255, 255, 255});
    generate_request r = small_request("x");
    r.init_image = &picture;
    r.mask = &mask;
    generate(&r, &result);
    uint32_t changed = 0;
    for (uint32_t y = 0; y < 64; y++)
        for (uint32_t x = 0; x < 64; x++) {
            bool differs = memcmp(image_pixel(&result.images[0], x, y), image_pixel(&picture, x, y), 3) != 0;
            if (image_pixel(&mask, x, y)[0])
                changed += differs;
            else
                assert_false(differs);
        }
    assert_true(changed > 30 * 30 * 9 / 10);
    generate_result_destroy(&result);
    image_free(&host, &picture);
    image_free(&host, &mask);
}

/* Where nothing is repainted, every sampler ends at the known latent, whatever the network says. */
static void test_known_region(void **state) {
    (void)state;
    enum { COUNT = 8 * 8 * 4 };
    static const char *const names[] = {"euler", "euler_a", "heun",       "dpm2",        "lms",
                                        "ddim",  "pndm",    "dpmpp_2m",   "dpmpp_sde",   "unipc",
                                        "deis",  "lcm",     "dpmpp_2s_a", "dpmpp_3m_sde"};
    float known[COUNT], mask[COUNT] = {0}, start[COUNT], *noises, context[2 * 77 * 32] = {0};
    random_normals(5, 0, 0, COUNT, known);
    random_normals(5, 1, 0, 2 * 77 * 32, context);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sampler_config config = tiny->sampler;
        sampler_request steps = sampler_request_default(6);
        sampler_program *sampler;
        denoiser d;
        must(sampler_config_select(&config, names[i], NULL, &error));
        must(sampler_compile(&host, &config, &steps, &sampler, &error));
        const conditioning text = {.rows = 2, .length = 77, .channels = 32, .context = context};
        const denoise_request r = {.images = 1,
                                   .height = 8,
                                   .width = 8,
                                   .guided = true,
                                   .guidance = 3,
                                   .sampler = sampler,
                                   .text = &text,
                                   .known = known,
                                   .mask = mask};
        must(denoiser_create(tiny, cpu, PRECISION_F32, &r, &d, &error));
        noises = calloc((size_t)COUNT * (sampler->noises + 1), sizeof *noises);
        assert_non_null(noises);
        random_normals(6, 0, 0, (uint64_t)COUNT * (sampler->noises + 1), noises);
        for (int k = 0; k < COUNT; k++)
            start[k] = (float)(sampler->image_scale * known[k] +
                               sampler->noise_scale * noises[COUNT * sampler->noises + k]);
        must(denoiser_start(&d, start, noises, &error));
        must(denoiser_run(&d, sampler->calls, NULL, &error));
        must(denoiser_latent(&d, start, &error));
        double worst = 0;
        for (int k = 0; k < COUNT; k++)
            worst = fmax(worst, fabs(start[k] * sampler->final_scale - known[k]));
        print_message("%s: off by %.2g, noise left %.2g\n", names[i], worst, sampler->final_sigma);
        assert_true(worst <= 1e-3 + 5 * sampler->final_sigma);
        free(noises);
        denoiser_destroy(&d);
        sampler_program_destroy(&host, sampler);
    }
}

/* The same network with 9 input channels: latent, mask, masked picture. */
static void test_inpainting_model(void **state) {
    (void)state;
    const synthetic_options options = {.type = DTYPE_F32, .seed = 4};
    image picture = {0}, mask = {0};
    model *m;
    generate_result result, other;
    must(synthetic_model_write(&host, "tiny", FOLDER "/nine", &options, &error));
    edit_file(FOLDER "/nine/unet/config.json", "\"in_channels\": 4", "\"in_channels\": 9");
    must(synthetic_weights_write(&host, MODEL_UNET, FOLDER "/nine/unet", &options, &error));
    must(model_open(&host, FOLDER "/nine", &m, &error));
    generate_request r = small_request("x");
    must(pipeline_generate(m, cpu, &r, &result, &error)); /* without a picture: all is painted */
    generate_result_destroy(&result);
    make_picture(64, 64, &picture);
    must(image_create(&host, 64, 64, 3, &mask, &error));
    image_rectangle(&mask, 0, 0, 32, 64, (const uint8_t[4]){255, 255, 255, 255});
    r.init_image = &picture;
    r.mask = &mask;
    r.strength = 1;
    must(pipeline_generate(m, cpu, &r, &result, &error));
    for (uint32_t y = 0; y < 64; y++)
        assert_memory_equal(image_pixel(&result.images[0], 63, y), image_pixel(&picture, 63, y), 3);
    image_rectangle(&picture, 48, 0, 16, 64,
                    (const uint8_t[4]){0, 0, 0, 255}); /* what is kept is seen by the network */
    must(pipeline_generate(m, cpu, &r, &other, &error));
    image left[2] = {{0}, {0}};
    must(image_crop(&host, &result.images[0], 0, 0, 32, 64, &left[0], &error));
    must(image_crop(&host, &other.images[0], 0, 0, 32, 64, &left[1], &error));
    assert_true(psnr(&left[0], &left[1]) < 90);
    for (int i = 0; i < 2; i++)
        image_free(&host, &left[i]);
    generate_result_destroy(&result);
    generate_result_destroy(&other);
    image_free(&host, &picture);
    image_free(&host, &mask);
    model_close(m);
}

/* ------------------------------------------------------------------------------------------------------
 * tiling -- */

enum { TILE_H = 8, TILE_W = 12, TILE_C = 4, SHIFT = 5 };

/* Relative distance between the picture of a latent that was shifted round by SHIFT pixels and the shifted
 * picture. */
static double shift_error(model_wrap wrap) {
    enum { PIXELS = TILE_H * TILE_W * 64 };
    static float latent[TILE_H * TILE_W * TILE_C], shifted[TILE_H * TILE_W * TILE_C], picture[PIXELS * 3],
        other[PIXELS * 3];
    const shape4 shape = {1, TILE_H, TILE_W, TILE_C};
    random_normals(8, 0, 0, TILE_H * TILE_W * TILE_C, latent);
    for (int y = 0; y < TILE_H; y++)
        for (int x = 0; x < TILE_W; x++)
            memcpy(shifted + (y * TILE_W + (x + SHIFT) % TILE_W) * TILE_C, latent + (y * TILE_W + x) * TILE_C,
                   TILE_C * sizeof *latent);
    must(autoencoder_decode(tiny, cpu, PRECISION_F32, shape, wrap, latent, picture, NULL, &error));
    must(autoencoder_decode(tiny, cpu, PRECISION_F32, shape, wrap, shifted, other, NULL, &error));
    double difference = 0, norm = 0;
    for (int y = 0; y < TILE_H * 8; y++)
        for (int x = 0; x < TILE_W * 8; x++)
            for (int c = 0; c < 3; c++) {
                double a = picture[(y * TILE_W * 8 + x) * 3 + c];
                double b = other[(y * TILE_W * 8 + (x + SHIFT * 8) % (TILE_W * 8)) * 3 + c];
                difference += (a - b) * (a - b);
                norm += a * a;
            }
    return sqrt(difference / norm);
}

static void test_tiles(void **state) {
    (void)state;
    double wrapped = shift_error((model_wrap){.x = true}), padded = shift_error((model_wrap){0});
    print_message("shift error %.2g wrapped, %.2g padded\n", wrapped, padded);
    assert_true(wrapped < 1e-4);
    assert_true(padded > 1e-2);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strength),     cmocka_unit_test(test_mask),
        cmocka_unit_test(test_known_region), cmocka_unit_test(test_inpainting_model),
        cmocka_unit_test(test_tiles),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
