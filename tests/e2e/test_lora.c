/* LoRA from end to end, on a small model with random weights: files change pictures as they say, and the
 * command remembers them. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/lora-test"
#include "tiny_model.h"

#include <sys/wait.h>

#include "image/png.h"
#include "pipeline/model_lora.h"
#include "sample/random.h"
#include "weights/safetensors.h"

#define STYLE FOLDER "/loras/style.safetensors"

static int run(const char *arguments) {
    char line[2000];
    snprintf(line, sizeof line, "\"%s/mezzotint\" %s >\"%s/out.txt\" 2>\"%s/error.txt\"", MZT_BINARY_DIR,
             arguments, FOLDER, FOLDER);
    int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_text(const char *file, const char *words) {
    char *text;
    uint64_t size;
    must(file_read(&host, file, 1u << 20, &text, &size, &error));
    if (!strstr(text, words)) fail_msg("\"%s\" does not say \"%s\"", text, words);
    host_free(&host, text);
}

static void expect_failure(const char *arguments, int code, const char *words) {
    const int found = run(arguments);
    if (found != code) fail_msg("%s: exit code %d, expected %d", arguments, found, code);
    expect_text(FOLDER "/error.txt", words);
}

/* A LoRA of rank 2 for two layers of the UNet and one of the text encoder. */
static int begin_with_style(void **state) {
    static const char *const modules[] = {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v",
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj"};
    enum { MODULES = sizeof modules / sizeof *modules, WIDTH = 32, RANK = 2 };
    static float values[2 * MODULES][WIDTH * RANK];
    static char names[2 * MODULES][120];
    weights_tensor tensors[2 * MODULES];
    if (begin(state) != 0) return 1;
    for (uint32_t i = 0; i < 2 * MODULES; i++) {
        const bool up = i % 2;
        snprintf(names[i], sizeof names[i], "%s.lora_%s.weight", modules[i / 2], up ? "up" : "down");
        random_normals(21, i, 0, WIDTH * RANK, values[i]);
        for (int k = 0; k < WIDTH * RANK; k++)
            values[i][k] *= 0.5f;
        tensors[i] = (weights_tensor){.name = names[i],
                                      .file = "test",
                                      .dtype = WEIGHTS_F32,
                                      .rank = 2,
                                      .count = WIDTH * RANK,
                                      .shape = {up ? WIDTH : RANK, up ? RANK : WIDTH},
                                      .data = (const uint8_t *)values[i]};
    }
    return folder_create(&host, FOLDER "/loras", &error) < 0 ||
           safetensors_save(&host, STYLE, tensors, 2 * MODULES, NULL, 0, &error) < 0;
}

/* ---------------------------------------------------------------------------------------------------------
 * applying -- */

/* The picture with these scales of the same file. */
static image picture_with(const double *scales, uint32_t count) {
    model_lora loras[4];
    model *m;
    generate_result result;
    const generate_request request = small_request("a red apple");
    for (uint32_t i = 0; i < count; i++)
        loras[i] = (model_lora){STYLE, scales[i]};
    must(model_open(&host, TINY, &m, &error));
    must(model_apply_loras(m, loras, count, &error));
    must(pipeline_generate(m, cpu, &request, &result, &error));
    image picture = result.images[0];
    result.images[0] = (image){0};
    generate_result_destroy(&result);
    model_close(m);
    return picture;
}

static void test_scales(void **state) {
    (void)state;
    image plain = picture_with(NULL, 0), none = picture_with((double[]){0}, 1),
          whole = picture_with((double[]){1}, 1), halves = picture_with((double[]){0.5, 0.5}, 2),
          cancelled = picture_with((double[]){1, -1}, 2);
    const size_t bytes = (size_t)plain.width * plain.height * plain.channels;
    assert_memory_equal(plain.pixels, none.pixels, bytes);
    const double changed = psnr(&plain, &whole), together = psnr(&whole, &halves),
                 back = psnr(&plain, &cancelled);
    print_message("plain against scale 1: %.1f dB; 0.5 twice: %.1f dB; 1 and -1: %.1f dB\n", changed,
                  together, back);
    assert_true(changed < 35);
    assert_true(together > 55);
    assert_true(back > 55);
    image *const all[] = {&plain, &none, &whole, &halves, &cancelled};
    for (int i = 0; i < 5; i++)
        image_free(&host, all[i]);
}

static void expect_same_pixels(const char *a, const char *b, bool same) {
    image x, y;
    must(image_png_read(&host, a, NULL, &x, NULL, &error));
    must(image_png_read(&host, b, NULL, &y, NULL, &error));
    const bool equal = x.width == y.width && x.height == y.height &&
                       memcmp(x.pixels, y.pixels, (size_t)x.width * x.height * x.channels) == 0;
    if (equal != same) fail_msg("%s and %s %s", a, b, same ? "differ" : "are equal");
    image_free(&host, &x);
    image_free(&host, &y);
}

#define GENERATE "generate \"a cat\" --device cpu --steps 2 --seed 3 -q -m \"" TINY "\" "

static void test_command(void **state) {
    (void)state;
    assert_int_equal(run(GENERATE "-o \"" FOLDER "/plain.png\""), 0);
    assert_int_equal(run(GENERATE "--lora \"" STYLE ":0.8\" -o \"" FOLDER "/a.png\""), 0);
    assert_int_equal(run(GENERATE "--lora \"" STYLE ":0\" -o \"" FOLDER "/zero.png\""), 0);
    expect_same_pixels(FOLDER "/plain.png", FOLDER "/a.png", false);
    expect_same_pixels(FOLDER "/plain.png", FOLDER "/zero.png", true);
    /* a tag finds the file in the folder loras beside the model, and so does --from */
    assert_int_equal(run("generate \"a cat <lora:style:0.8>\" --device cpu --steps 2 --seed 3 -q -m \"" TINY
                         "\" -o \"" FOLDER "/tag.png\""),
                     0);
    expect_same_pixels(FOLDER "/a.png", FOLDER "/tag.png", true);
    assert_int_equal(run("generate --from \"" FOLDER "/a.png\" -q --device cpu -m \"" TINY "\" -o \"" FOLDER
                         "/again.png\""),
                     0);
    expect_same_pixels(FOLDER "/a.png", FOLDER "/again.png", true);
    /* an option's scale replaces the tag's */
    assert_int_equal(run("generate --from \"" FOLDER "/a.png\" -q --device cpu -m \"" TINY
                         "\" --lora \"" STYLE ":0\" -o \"" FOLDER "/none.png\""),
                     0);
    expect_same_pixels(FOLDER "/plain.png", FOLDER "/none.png", true);
    assert_int_equal(run("info \"" FOLDER "/a.png\""), 0);
    expect_text(FOLDER "/out.txt", "a cat <lora:style:0.8");
    expect_text(FOLDER "/out.txt", "style: ");
    expect_failure(GENERATE "--lora \"" FOLDER "/absent.safetensors\"", 1, "absent.safetensors");
    expect_failure(GENERATE "--lora \"" STYLE ":1e9\"", 2, "scale 1e+09");
    expect_failure(GENERATE "--lora \"" TINY "/unet/diffusion_pytorch_model.safetensors\"", 1, "is a LoRA's");
    expect_failure(GENERATE "--negative \"<lora:style:1>\"", 2, "in the negative prompt");
    expect_failure("generate \"<lora:other>\" -m \"" TINY "\"", 1, "other.safetensors in");
    expect_failure("generate \"<lora:../style:1>\" -m \"" TINY "\"", 2, "without folders");
    expect_failure("generate \"<lora:style:x>\" -m \"" TINY "\"", 2, "expected <lora:NAME:SCALE>");
    expect_failure("generate \"<lora:other>\" -m \"" TINY "\" --lora-dir \"" FOLDER "\"", 1,
                   "other.safetensors in " FOLDER);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scales), cmocka_unit_test(test_command)};
    return cmocka_run_group_tests(tests, begin_with_style, end);
}
