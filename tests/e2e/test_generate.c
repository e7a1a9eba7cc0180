/* Pictures from end to end, on a small model with random weights: the command repeats itself byte for byte,
 * refuses wrong input and can be interrupted; devices agree; prompts, guidance and seeds keep their promises.
 */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/generate-test"
#include "tiny_model.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/png.h"
#include "pipeline/conditioning.h"
#include "vulkan_env.h"

static int run(const char *arguments) {
    char line[2000];
    snprintf(line, sizeof line, "\"%s/mezzotint\" %s 2>\"%s/error.txt\"", MZT_BINARY_DIR, arguments, FOLDER);
    int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_same_files(const char *a, const char *b, bool same) {
    char *data[2];
    uint64_t size[2];
    must(file_read(&host, a, 1u << 28, &data[0], &size[0], &error));
    must(file_read(&host, b, 1u << 28, &data[1], &size[1], &error));
    bool equal = size[0] == size[1] && memcmp(data[0], data[1], (size_t)size[0]) == 0;
    if (equal != same) fail_msg("%s and %s %s", a, b, same ? "differ" : "are equal");
    host_free(&host, data[0]);
    host_free(&host, data[1]);
}

#define COMMAND "generate -q --device cpu --model " TINY " "

static void test_repeats(void **state) {
    (void)state;
    static const char arguments[] =
        COMMAND "\"a red (apple:1.3), shiny\" --negative \"blurry: 'x'\" --sampler \"Euler a Karras\" "
                "--steps 6 --seed 5 --guidance-rescale 0.4 --clip-skip 2 --tile x -n 2 -o " FOLDER;
    char line[1200];
    snprintf(line, sizeof line, "%s/a.png", arguments);
    assert_int_equal(run(line), 0);
    snprintf(line, sizeof line, "%s/b.png", arguments);
    assert_int_equal(run(line), 0);
    expect_same_files(FOLDER "/a.png", FOLDER "/b.png", true);
    expect_same_files(FOLDER "/a-2.png", FOLDER "/b-2.png", true);
    expect_same_files(FOLDER "/a.png", FOLDER "/a-2.png", false);
    assert_int_equal(run(COMMAND "--from " FOLDER "/a.png -o " FOLDER "/c.png"), 0);
    expect_same_files(FOLDER "/a.png", FOLDER "/c.png", true);
    assert_int_equal(run(COMMAND "--from " FOLDER "/a.png --seed 6 -o " FOLDER "/c.png"), 0);
    expect_same_files(FOLDER "/a-2.png", FOLDER "/c.png", true);
    assert_int_equal(run(COMMAND "--from " FOLDER "/a.png --steps 7 -o " FOLDER "/c.png"), 0);
    expect_same_files(FOLDER "/a.png", FOLDER "/c.png", false);
    /* image to image needs its picture again */
    assert_int_equal(run(COMMAND
                         "x -i " FOLDER
                         "/a.png --strength 0.5 --variation-strength 0.2 --variation-seed 4 -s 1 -o " FOLDER
                         "/d.png"),
                     0);
    assert_int_equal(run(COMMAND "--from " FOLDER "/d.png -o " FOLDER "/e.png"), 2);
    assert_int_equal(run(COMMAND "--from " FOLDER "/d.png -i " FOLDER "/a.png -o " FOLDER "/e.png"), 0);
    expect_same_files(FOLDER "/d.png", FOLDER "/e.png", true);
}

/* Wrong input: exit status 2, one line that names the value, and no file. */
static void test_wrong_input(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"x --sampler nope", "euler_a"},
        {"x --schedule nope", "sgm_uniform"},
        {"x --steps 0", "--steps 0"},
        {"x --steps 1000000", "--steps 1000000"},
        {"x --strength 1.01", "--strength 1.01"},
        {"\"$(printf 'a\\377')\"", "not valid UTF-8"},
        {"x -W 60", "width 60"},
        {"x -i " FOLDER "/a.png --mask " FOLDER "/wide.png", "80 x 64"},
        {"x --sigmas 1,2", "sigma 1"},
        {"x --guidance-interval 0.9-0.1", "0.1"},
    };
    image wide = {0};
    make_picture(80, 64, &wide);
    must(image_png_write(&host, FOLDER "/wide.png", &wide, NULL, &error));
    image_free(&host, &wide);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[600], *message;
        uint64_t size;
        snprintf(line, sizeof line, COMMAND "%s -o " FOLDER "/wrong.png", cases[i][0]);
        assert_int_equal(run(line), 2);
        must(file_read(&host, FOLDER "/error.txt", 10000, &message, &size, &error));
        if (!strstr(message, cases[i][1]) || strchr(message, '\n') != message + size - 1)
            fail_msg("%s: %s", cases[i][0], message);
        host_free(&host, message);
        assert_false(file_exists(FOLDER "/wrong.png"));
    }
    assert_int_equal(run(COMMAND "x -i " TINY "/model_index.json -o " FOLDER "/wrong.png"), 1);
    assert_int_equal(run(COMMAND "\"((a [b) :1.3\" --steps 1 -o " FOLDER "/brackets.png"), 0);
}

/* Ctrl-C, once the first step is seen to be over: exit status 130, and nothing is left behind. */
static void test_interrupt(void **state) {
    (void)state;
    int ends[2], status;
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        execl(MZT_BINARY_DIR "/mezzotint", "mezzotint", "generate", "x", "-q", "--device", "cpu", "--model",
              TINY, "--steps", "1000", "-W", "256", "-H", "256", "--preview-as", "blocks", "-o",
              FOLDER "/interrupted.png", (char *)NULL);
        _exit(99);
    }
    close(ends[1]);
    assert_true(read(ends[0], &byte, 1) == 1);
    assert_int_equal(kill(child, SIGINT), 0);
    while (read(ends[0], &byte, 1) > 0) {
    } /* else its writes would stop it */
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    assert_false(file_exists(FOLDER "/interrupted.png"));
}

static bool cancel_denoising(void *user, generate_phase phase, double share, uint32_t step, uint32_t steps) {
    (void)share;
    (void)steps;
    (void)step;
    *(uint32_t *)user += 1;
    return phase != GENERATE_DENOISE || share < 0.5;
}

static void test_cancel(void **state) {
    (void)state;
    generate_request r = small_request("x");
    generate_result result;
    uint32_t calls = 0;
    r.progress = cancel_denoising;
    r.user = &calls;
    assert_int_equal(pipeline_generate(tiny, cpu, &r, &result, &error), MZT_CANCELLED);
    assert_null(result.images);
    assert_true(calls > 3);
}

/* -----------------------------------------------------------------------------------------------------
 * devices -- */

static void test_devices(void **state) {
    (void)state;
    static const char *const specs[] = {"cpu", "cpu-reference", "vulkan:llvmpipe", "vulkan:SwiftShader"};
    generate_result results[4] = {{0}};
    bool there[4];
    image picture = {0}, mask = {0};
    make_picture(64, 64, &picture);
    must(image_create(&host, 64, 64, 3, &mask, &error));
    image_rectangle(&mask, 16, 16, 32, 40, (const uint8_t[4]){255, 255, 255, 255});
    generate_request r = small_request("a (red:1.4) apple");
    r.steps = 4;
    r.guidance_rescale = 0.5;
    r.init_image = &picture;
    r.mask = &mask;
    r.strength = 1;
    for (int i = 0; i < 4; i++) {
        executor *e;
        mzt_status status = device_open(&host, specs[i], &e, &error);
        there[i] = status >= 0;
        if (!there[i]) {
            assert_int_equal(status, MZT_ERROR_NOT_FOUND);
            print_message("%s is not here: left out\n", specs[i]);
            assert_false(i < 2 || vulkan_env_required());
            continue;
        }
        must(pipeline_generate(tiny, e, &r, &results[i], &error));
        executor_destroy(e);
        for (int k = 0; k < i; k++) {
            double db = there[k] ? psnr(&results[i].images[0], &results[k].images[0]) : INFINITY;
            print_message("%s and %s: %.1f dB\n", specs[k], specs[i], db);
            assert_true(db >= 50);
        }
    }
    for (int i = 0; i < 4; i++)
        generate_result_destroy(&results[i]);
    image_free(&host, &picture);
    image_free(&host, &mask);
}

/* ----------------------------------------------------------------------------------------------------
 * prompts -- */

static void test_prompts(void **state) {
    (void)state;
    char longer[2000] = "", other[2000];
    for (int i = 0; i < 120; i++)
        strcat(longer, "word ");
    snprintf(other, sizeof other, "%sred", longer);
    generate_request r = small_request("a red (apple:1.5)");
    generate_result first, second;
    generate(&r, &first);
    r.plain_prompt = true;
    generate(&r, &second);
    assert_true(psnr(&first.images[0], &second.images[0]) < 60);
    generate_result_destroy(&second);
    r = small_request("a red (apple:1.0)"); /* a weight of 1 is the plain word */
    generate(&r, &second);
    generate_result_destroy(&first);
    r.prompt = "a red apple";
    generate(&r, &first);
    assert_true(psnr(&first.images[0], &second.images[0]) > 90);
    generate_result_destroy(&first);
    generate_result_destroy(&second);
    r.prompt = longer; /* a word behind the 77th token counts */
    generate(&r, &first);
    r.prompt = other;
    generate(&r, &second);
    assert_true(psnr(&first.images[0], &second.images[0]) < 90);
    generate_result_destroy(&first);
    generate_result_destroy(&second);
}

static void encode(const model *m, const char *prompt, const char *negative, uint32_t clip_skip,
                   conditioning *out) {
    const prompt_request r = {.prompt = prompt,
                              .negative = negative,
                              .guided = negative != NULL,
                              .clip_skip = clip_skip,
                              .images = 1};
    must(conditioning_from_prompts(m, cpu, PRECISION_F32, &r, out, &error));
}

/* One text encoder: the last layer is what plain ids give, and clip skip goes back from there. */
static void test_conditioning(void **state) {
    (void)state;
    uint32_t ids[77];
    conditioning plain, first, second;
    must(bpe_encode_padded(tiny->tokenizer[0], "a red apple", 77, ids, NULL, &error));
    must(conditioning_from_ids(tiny, cpu, PRECISION_F32, ids, NULL, 1, 77, &plain, &error));
    encode(tiny, "a red apple", NULL, 1, &first);
    encode(tiny, "a red apple", NULL, 2, &second);
    const size_t bytes = 77 * first.channels * sizeof(float);
    assert_int_equal(first.length, 77);
    assert_memory_equal(first.context, plain.context, bytes);
    assert_memory_not_equal(second.context, plain.context, bytes);
    conditioning_destroy(&plain);
    conditioning_destroy(&first);
    conditioning_destroy(&second);
}

/* Two text encoders: an empty negative prompt is zeros, both prompts have as many chunks, the pooled text is
 * the first chunk's. */
static void test_two_encoders(void **state) {
    (void)state;
    static const char *const encoders[] = {FOLDER "/xl/text_encoder", FOLDER "/xl/text_encoder_2"};
    static const char *const tokenizers[] = {FOLDER "/xl/tokenizer", FOLDER "/xl/tokenizer_2"};
    const synthetic_options options = {.type = DTYPE_F32, .seed = 6};
    must(synthetic_model_write(&host, MZT_SOURCE_DIR "/tests/golden/sdxl", FOLDER "/xl", &options, &error));
    for (int i = 0; i < 2; i++) { /* room for the tokenizer's words */
        char config[300];
        snprintf(config, sizeof config, "%s/config.json", encoders[i]);
        edit_file(config, "\"vocab_size\": 64", "\"vocab_size\": 538");
        edit_file(config, "\"eos_token_id\": 63", "\"eos_token_id\": 537");
        must(synthetic_weights_write(&host, i ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER, encoders[i],
                                     &options, &error));
        must(folder_create(&host, tokenizers[i], &error));
        must(synthetic_tokenizer_write(&host, tokenizers[i], &error));
    }
    edit_file(FOLDER "/xl/model_index.json", "\"unet\"",
              "\"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],\n \"tokenizer_2\": [\"transformers\", "
              "\"CLIPTokenizer\"],\n \"unet\"");
    model *m;
    conditioning one, two;
    generate_result result;
    must(model_open(&host, FOLDER "/xl", &m, &error));
    encode(m, "a red", "", 0, &one);
    encode(m, "a red BREAK blue", "", 0, &two);
    const uint32_t length = one.length, row = length * one.channels;
    assert_int_equal(one.rows, 2);
    assert_int_equal(two.length, 2 * length);
    for (uint32_t i = 0; i < 2 * row; i++)
        assert_true(two.context[i] == 0);
    for (uint32_t i = 0; i < one.pooled_channels; i++)
        assert_true(one.pooled[i] == 0);
    assert_memory_equal(two.context + 2 * row, one.context + row, row * sizeof(float));
    assert_memory_not_equal(two.context + 3 * row, one.context + row, row * sizeof(float));
    assert_memory_equal(two.pooled, one.pooled, 2 * one.pooled_channels * sizeof(float));
    assert_true(one.pooled[one.pooled_channels] != 0);
    conditioning_destroy(&one);
    conditioning_destroy(&two);
    generate_request r = small_request("a (red:1.2) BREAK blue");
    r.width = r.height = 64;
    must(pipeline_generate(m, cpu, &r, &result, &error));
    generate_result_destroy(&result);
    model_close(m);
}

/* Guidance of 1, and an interval that holds no step, give the same; an empty prompt is not guided. */
static void test_guidance(void **state) {
    (void)state;
    generate_request r = small_request("a red apple");
    generate_result one, none, all;
    generate(&r, &all);
    r.guidance_interval[1] = 0;
    generate(&r, &none);
    r.guidance = 1;
    generate(&r, &one);
    assert_true(none.guided && !one.guided);
    assert_true(psnr(&none.images[0], &one.images[0]) >= 60);
    assert_true(psnr(&all.images[0], &one.images[0]) < 60);
    generate_result_destroy(&none);
    generate_result_destroy(&one);
    generate_result_destroy(&all);
    r = small_request("");
    generate(&r, &one);
    assert_false(one.guided);
    generate_result_destroy(&one);
}

/* ------------------------------------------------------------------------------------------------- seeds,
 * steps -- */

static void test_steps(void **state) {
    (void)state;
    static const uint32_t steps[] = {4, 100};
    for (int i = 0; i < 2; i++) {
        generate_request r = small_request("x");
        generate_result result;
        r.steps = steps[i];
        r.sampler = "dpmpp_2m";
        r.trajectory = i == 0;
        generate(&r, &result);
        assert_int_equal(result.steps, steps[i]);
        assert_int_equal(result.trajectory_count, i == 0 ? 4 : 0);
        /* the last step goes to noise 0, so its estimate is the picture */
        if (i == 0) assert_true(psnr(&result.trajectory[3], &result.images[0]) >= 50);
        generate_result_destroy(&result);
    }
}

static void test_seeds(void **state) {
    (void)state;
    generate_request r = small_request("x");
    generate_result batch, alone;
    r.sampler = "euler_a";
    r.count = 3;
    generate(&r, &batch);
    r.count = 1;
    r.seed += 2; /* the third of the batch */
    generate(&r, &alone);
    assert_true(psnr(&batch.images[2], &alone.images[0]) >= 60);
    generate_result_destroy(&batch);
    r.sampler = "euler"; /* draws no noise but the first, so a whole variation is the other seed's picture */
    r.variation_seed = 77;
    r.variation_strength = 1;
    generate(&r, &batch);
    generate_result_destroy(&alone);
    r.variation_strength = 0;
    r.seed = 77;
    generate(&r, &alone);
    assert_true(psnr(&batch.images[0], &alone.images[0]) >= 60);
    generate_result_destroy(&batch);
    generate_result_destroy(&alone);
}

/* --------------------------------------------------------------------------------------------- image to
 * image -- */

int main(void) {
    vulkan_env_set();
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),      cmocka_unit_test(test_wrong_input),
        cmocka_unit_test(test_interrupt),    cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_devices),      cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_conditioning), cmocka_unit_test(test_two_encoders),
        cmocka_unit_test(test_guidance),     cmocka_unit_test(test_steps),
        cmocka_unit_test(test_seeds),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
