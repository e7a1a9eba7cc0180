/* mezzotint score as a command, on a small model with random weights and made-up training pictures: what it
 * prints and writes, a second judgement of saved pictures, the check, and what it refuses. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/score-test"
#include "tiny_model.h"

#include <sys/wait.h>

#include "image/png.h"
#include "train_data.h"

#define DATA   FOLDER "/data"
#define SUITES FOLDER "/suites.json"
#define SCORE  "score -q --device cpu --data " DATA " --suites " SUITES " "

static int run(const char *arguments) {
    char line[2000];
    snprintf(line, sizeof line, "\"%s/mezzotint\" %s >\"%s/out.txt\" 2>\"%s/error.txt\"", MZT_BINARY_DIR,
             arguments, FOLDER, FOLDER);
    int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* To be released with host_free. */
static void read_text(const char *file, char **text) {
    uint64_t size;
    must(file_read(&host, file, 1u << 20, text, &size, &error));
}

static void expect_text(const char *file, const char *words) {
    char *text = NULL;
    read_text(file, &text);
    if (!strstr(text, words)) fail_msg("\"%s\" does not say \"%s\"", text, words);
    host_free(&host, text);
}

static void expect_failure(const char *arguments, int code, const char *words) {
    assert_int_equal(run(arguments), code);
    expect_text(FOLDER "/error.txt", words);
}

static int begin_data(void **state) {
    static const char suites[] =
        "{\"styles\": {\"plain\": \"flat\"}, \"suites\": {"
        "\"shapes\": {\"seeds\": 2, \"prompts\": [{\"prompt\": \"plain red circle\", \"concept\": \"circle\","
        " \"colour\": \"red\", \"style\": \"plain\"}, {\"prompt\": \"a figure\", \"words\": \"figure\"}]},"
        "\"rings\": {\"seeds\": 1, \"prompts\": [{\"prompt\": \"ring\", \"concept\": \"ring\"}]}}}";
    if (begin(state)) return 1;
    must(folder_create(&host, DATA, &error));
    train_data_write(&host, DATA, TRAIN_DATA_SHAPES, 32);
    must(file_write(&host, SUITES, suites, strlen(suites), &error));
    return 0;
}

/* Real pictures, in the form of generated ones, are judged right; a wrong claim is not. */
static void test_folder(void **state) {
    (void)state;
    static const char lines[] =
        "{\"file_name\": \"shape-0.png\", \"prompt\": \"p\", \"concept\": \"circle\", \"colour\": \"red\","
        " \"style\": \"plain\"}\n"
        "{\"file_name\": \"shape-4.png\", \"prompt\": \"p\", \"concept\": \"circle\", \"colour\": \"red\"}\n"
        "{\"file_name\": \"shape-1.png\", \"prompt\": \"q\", \"words\": \"figure square\"}\n"
        "{\"file_name\": \"shape-5.png\", \"prompt\": \"q\", \"words\": \"figure square\"}\n";
    must(folder_create(&host, FOLDER "/judged", &error));
    must(file_write(&host, FOLDER "/judged/metadata.jsonl", lines, strlen(lines), &error));
    for (int i = 0; i < 6; i++) {
        char from[400], to[400];
        image picture = {0};
        snprintf(from, sizeof from, DATA "/shape-%d.png", i);
        snprintf(to, sizeof to, FOLDER "/judged/shape-%d.png", i);
        must(image_png_read(&host, from, NULL, &picture, NULL, &error));
        must(image_png_write(&host, to, &picture, NULL, &error));
        image_free(&host, &picture);
    }
    assert_int_equal(run(SCORE "--pictures " FOLDER "/judged --json"), 0);
    expect_text(FOLDER "/out.txt", "\"concept\":{\"right\":4,\"asked\":4");
    expect_text(FOLDER "/out.txt", "\"colour\":{\"right\":1,\"asked\":2"); /* shape 4 is purple */
    expect_text(FOLDER "/out.txt", "\"style\":{\"right\":1,\"asked\":1");
    expect_text(FOLDER "/out.txt", "\"all\":{\"right\":3,\"asked\":4");
    expect_text(FOLDER "/out.txt", "\"copies\":4");
    expect_text(FOLDER "/out.txt", "\"spread\":");
}

/* A model's pictures: as many as the suites say, saved, shown, and judged the same from the folder. */
static void test_model(void **state) {
    (void)state;
    assert_int_equal(run(SCORE "--steps 2 -m " TINY " shapes --no-autoencoder --json --sheet " FOLDER
                               "/sheet.png --columns 2 --save " FOLDER
                               "/saved --guidance 2 --seed 3 --sampler euler"),
                     0);
    char *first = NULL, *again = NULL;
    image sheet = {0};
    read_text(FOLDER "/out.txt", &first);
    const char *suite = strstr(first, "{\"pictures\":4,");
    assert_non_null(suite);
    assert_null(strstr(first, "rings"));
    must(image_png_read(&host, FOLDER "/sheet.png", NULL, &sheet, NULL, &error));
    image_free(&host, &sheet);
    expect_text(FOLDER "/saved/metadata.jsonl", "\"file_name\":\"00004.png\",\"prompt\":\"a figure\"");
    expect_text(FOLDER "/saved/metadata.jsonl", "\"seed\":4}");
    assert_int_equal(run(SCORE "--json --pictures " FOLDER "/saved"), 0);
    read_text(FOLDER "/out.txt", &again);
    const char *same = strstr(again, "{\"pictures\":4,");
    assert_non_null(same);
    assert_int_equal(strncmp(suite, same, (size_t)(strchr(strstr(suite, "spread"), '}') - suite)), 0);
    host_free(&host, first);
    host_free(&host, again);

    assert_int_equal(run(SCORE "--steps 1 --seeds 1 --precision f32 -m " TINY " --no-autoencoder"), 0);
    expect_text(FOLDER "/out.txt", "shapes");
    expect_text(FOLDER "/out.txt", "rings");
}

static void test_check(void **state) {
    (void)state;
    assert_int_equal(run(SCORE "--check --every 1"), 0);
    expect_text(FOLDER "/out.txt", "left out");
    assert_int_equal(run(SCORE "--check --every 1 --json"), 0);
    expect_text(FOLDER "/out.txt", "\"known\":true,\"pictures\":4,\"concept\":100,\"first\":100");
}

/* A freshly trained RGBA autoencoder, without the rest of a model. */
static void test_autoencoder(void **state) {
    (void)state;
    static const char config[] =
        "{\"resolution\": 32, \"batch\": 4, \"data\": {\"held_out\": 0.4}, \"optimizer\": {\"steps\": 2},"
        "\"log\": {\"sample_minutes\": 0}, \"vae\": {\"in_channels\": 4, \"out_channels\": 4, "
        "\"latent_channels\": 4,"
        "\"block_out_channels\": [8, 8], \"layers_per_block\": 1, \"norm_num_groups\": 4,"
        "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],"
        "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}}";
    must(file_write(&host, FOLDER "/vae.json", config, strlen(config), &error));
    assert_int_equal(
        run("train autoencoder --device cpu --data " DATA " --config " FOLDER "/vae.json -o " FOLDER "/vae"),
        0);
    assert_int_equal(run(SCORE "--only-autoencoder --held-out 0.4 --side 64 -m " FOLDER "/vae/latest"), 0);
    expect_text(FOLDER "/out.txt", "dB, mean of");
    expect_text(FOLDER "/out.txt", "of 64 x 64");
    assert_int_equal(run(SCORE "--only-autoencoder --held-out 0.4 --json -m " FOLDER "/vae/latest"), 0);
    expect_text(FOLDER "/out.txt", "\"psnr\":");
    expect_text(FOLDER "/out.txt", "\"side\":32");
    expect_failure(SCORE "--only-autoencoder --held-out 0 -m " FOLDER "/vae/latest", 2,
                   "no picture is held out");
}

static void test_refusals(void **state) {
    (void)state;
    expect_failure("score", 2, "--data");
    expect_failure(SCORE "circles", 2, "no suite \"circles\": there are shapes, rings");
    expect_failure(SCORE "--seeds 65", 2, "--seeds 65");
    expect_failure(SCORE "--held-out 1.5", 2, "--held-out 1.5");
    expect_failure("score --data /nowhere --suites " SUITES " --check", 1, "/nowhere");
    expect_failure("score --data " DATA " --suites /nowhere.json", 1, "/nowhere.json");
    expect_failure(SCORE "--pictures " DATA, 2, "prompt"); /* its lines have no prompts */
    expect_failure(SCORE "--pictures " FOLDER "/nothing", 1, "nothing");
    expect_failure(SCORE "--steps 1 --seeds 1 --held-out 0.5 rings -m " TINY, 2, "expected RGBA");
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folder), cmocka_unit_test(test_model),
                                       cmocka_unit_test(test_check), cmocka_unit_test(test_autoencoder),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, begin_data, end);
}
