/* Files that people already have: a model as a single file in the original layout is the model that its
 * folder is, tensor by tensor and picture by picture; parts from files of their own;
 * textual inversions; tokenizers found where they are looked for. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/checkpoints-test"
#include "single_files.h"

#include <sys/wait.h>

#include "alloc_count.h"
#include "pipeline/convert.h"
#include "pipeline/validate.h"

static const char *const kinds[] = {"tiny-sd15", "tiny-sd21", "tiny-sdxl", "tiny-inpainting",
                                    "tiny-distilled"};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* OpenCLIP's padding, which single files of Stable Diffusion 2 and XL mean. */
static void put_padding(const char *kind, const char *tokenizer) {
    static const char text[] = "{\"pad_token\": \"!\", \"model_max_length\": 77}";
    char more[80];
    snprintf(more, sizeof more, "/%s/tokenizer_config.json", tokenizer);
    must(file_write(&host, path_of(kind, more), text, sizeof text - 1, &error));
}

static int begin_kinds(void **state) {
    const synthetic_options options = {.type = DTYPE_F16, .seed = 5};
    if (begin(state) != 0) return 1;
    for (int i = 0; i < KINDS; i++) {
        model *m;
        const bool xl = strstr(kinds[i], "xl") || strstr(kinds[i], "distilled");
        must(synthetic_model_write(&host, kinds[i], path_of(kinds[i], ""), &options, &error));
        if (xl) put_padding(kinds[i], "tokenizer_2");
        if (strstr(kinds[i], "sd21")) put_padding(kinds[i], "tokenizer");
        must(model_open(&host, path_of(kinds[i], ""), &m, &error));
        must(convert_to_file(m, path_of(kinds[i], ".safetensors"), CONVERT_KEEP, NULL, NULL, &error));
        model_close(m);
    }
    return 0;
}

static model *open_folder(const char *kind) {
    model *m;
    must(model_open(&host, path_of(kind, ""), &m, &error));
    return m;
}

/* ------------------------------------------------------------------------------------------------ same -- */

static void expect_same_tensors(const weights_set *a, const weights_set *b) {
    assert_int_equal(weights_count(a), weights_count(b));
    for (uint32_t i = 0; i < weights_count(a); i++) {
        const weights_tensor *x = weights_at(a, i), *y = weights_find(b, x->name);
        if (!y) fail_msg("%s is missing", x->name);
        assert_int_equal(x->count, y->count);
        assert_int_equal(x->rank, y->rank);
        float *values[2];
        for (int k = 0; k < 2; k++) {
            values[k] = malloc(x->count * sizeof(float));
            assert_non_null(values[k]);
            must(weights_convert(k ? y : x, 0, x->count, DTYPE_F32, values[k], &error));
        }
        if (memcmp(values[0], values[1], x->count * sizeof(float)) != 0) fail_msg("%s differs", x->name);
        free(values[0]);
        free(values[1]);
    }
}

static void expect_same_configurations(const model *a, const model *b) {
    unet_config u = b->unet;
    for (uint32_t level = 0; level < u.levels; level++) { /* depth of what is not there */
        if (!u.down_attention[level])
            memcpy(u.down_depth[level], a->unet.down_depth[level], sizeof u.down_depth[0]);
        if (!u.up_attention[level]) memcpy(u.up_depth[level], a->unet.up_depth[level], sizeof u.up_depth[0]);
    }
    if (u.mid != UNET_MID_CROSS) u.mid_depth = a->unet.mid_depth;
    memcpy(u.sample_size, a->unet.sample_size, sizeof u.sample_size);
    assert_memory_equal(&u, &a->unet, sizeof u);
    vae_config v = b->vae;
    memcpy(v.sample_size, a->vae.sample_size, sizeof v.sample_size);
    assert_memory_equal(&v, &a->vae, sizeof v);
    for (int i = 0; i < 2; i++) {
        clip_config t = b->text[i];
        t.projection_channels = a->text[i].projection_channels; /* said, but not used, without a projection */
        assert_memory_equal(&t, &a->text[i], sizeof t);
    }
    assert_int_equal(a->sampler.kind, b->sampler.kind);
    assert_int_equal(a->sampler.prediction, b->sampler.prediction);
    assert_int_equal(a->index.xl, b->index.xl);
}

static void test_single_is_folder(void **state) {
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        model *file = open_single(kinds[i]), *folder = open_folder(kinds[i]);
        expect_same_configurations(file, folder);
        for (int k = 0; k < MODEL_COMPONENT_COUNT; k++)
            if (folder->weights[k]) expect_same_tensors(folder->weights[k], file->weights[k]);
        expect_same_pictures(file, folder, "a red apple", "a red apple", true);
        model_close(file);
        model_close(folder);
    }
}

/* Back into a folder, and once more into a file: nothing is lost on the way. */
static void test_there_and_back(void **state) {
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        model *file = open_single(kinds[i]), *again;
        must(convert_to_folder(file, path_of(kinds[i], "-back"), CONVERT_KEEP, NULL, NULL, &error));
        must(model_open(&host, path_of(kinds[i], "-back"), &again, &error));
        expect_same_configurations(file, again);
        for (int k = 0; k < MODEL_COMPONENT_COUNT; k++)
            if (file->weights[k]) expect_same_tensors(file->weights[k], again->weights[k]);
        expect_same_pictures(file, again, "a big (red:1.3) apple", "a big (red:1.3) apple", true);
        model_close(again);
        model_close(file);
    }
}

/* Rounding to bf16 is what convert does, and nothing else. */
static void test_types(void **state) {
    (void)state;
    model *file = open_single("tiny-sd15"), *rounded;
    const model_options options = {.tokenizer = path_of("tiny-sd15", "/tokenizer")};
    must(convert_to_file(file, path_of("bf16", ".safetensors"), CONVERT_BF16, NULL, NULL, &error));
    must(model_open_with(&host, path_of("bf16", ".safetensors"), &options, &rounded, &error));
    for (uint32_t i = 0; i < weights_count(file->weights[MODEL_UNET]); i++) {
        const weights_tensor *x = weights_at(file->weights[MODEL_UNET], i),
                             *y = weights_find(rounded->weights[MODEL_UNET], x->name);
        uint16_t expected[64], found[64];
        const uint64_t count = x->count < 64 ? x->count : 64;
        assert_non_null(y);
        assert_int_equal(y->dtype, WEIGHTS_BF16);
        must(weights_convert(x, 0, count, DTYPE_BF16, expected, &error));
        must(weights_convert(y, 0, count, DTYPE_BF16, found, &error));
        assert_memory_equal(expected, found, count * sizeof *found);
    }
    model_close(rounded);
    model_close(file);
}

/* ------------------------------------------------------------------------------------------------ devices --
 */

typedef struct worst {
    double error;
    uint32_t wholes;
} worst;

static bool keep_worst(void *user, const validate_row *row, double share) {
    worst *w = user;
    (void)share;
    if (strcmp(row->node, "(whole)") != 0) return true;
    w->wholes++;
    if (row->error > w->error) w->error = row->error;
    return true;
}

static void test_against_reference(void **state) {
    (void)state;
    static const char *const some[] = {"tiny-sd15", "tiny-sdxl"};
    for (int i = 0; i < 2; i++) {
        worst w = {0};
        const validate_request request = {.latent_size = 8, .report = keep_worst, .user = &w};
        validate_summary summary;
        model *m = open_single(some[i]);
        must(validate_model(m, cpu, PRECISION_F32, &request, &summary, &error));
        assert_int_equal(summary.failed, 0);
        assert_true(w.wholes >= 4);
        if (!(w.error <= 1e-3)) fail_msg("%s: %g", some[i], w.error);
        model_close(m);
    }
}

/* ------------------------------------------------------------------------------------------------ parts --
 */

/* One network of a file, as a file of its own without prefix. */
static void cut_out(const char *kind, const char *prefix, const char *to) {
    static weights_tensor list[2000];
    weights_set *file;
    uint32_t count = 0;
    const size_t length = strlen(prefix);
    must(weights_open(&host, path_of(kind, ".safetensors"), &file, &error));
    for (uint32_t i = 0; i < weights_count(file); i++) {
        const weights_tensor *t = weights_at(file, i);
        if (strncmp(t->name, prefix, length) != 0) continue;
        assert_true(count < 2000);
        list[count] = *t;
        list[count++].name += length;
    }
    assert_true(count > 0);
    must(safetensors_save(&host, to, list, count, NULL, 0, &error));
    weights_close(file);
}

static void test_parts(void **state) {
    (void)state;
    char unet[1000], vae[1000], text[1000], text2[1000];
    snprintf(unet, sizeof unet, "%s", path_of("unet", ".safetensors"));
    snprintf(vae, sizeof vae, "%s", path_of("vae", ".safetensors"));
    snprintf(text, sizeof text, "%s", path_of("text", ".safetensors"));
    snprintf(text2, sizeof text2, "%s", path_of("text2", ".safetensors"));
    cut_out("tiny-sd15", "model.diffusion_model.", unet);
    cut_out("tiny-sd15", "first_stage_model.", vae);
    cut_out("tiny-sd15", "cond_stage_model.transformer.", text);
    model *m, *whole = open_single("tiny-sd15");
    model_options options = {.complete = true};
    assert_int_equal(model_open_with(&host, unet, &options, &m, &error), MZT_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "holds no autoencoder: give one with --vae FILE"));
    options.vae = vae;
    assert_int_equal(model_open_with(&host, unet, &options, &m, &error), MZT_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "holds no text encoder: give one with --text-encoder FILE"));
    options.text_encoders[0] = text;
    options.tokenizer = path_of("tiny-sd15", "/tokenizer");
    must(model_open_with(&host, unet, &options, &m, &error));
    expect_same_pictures(m, whole, "an apple", "an apple", true);
    model_close(m);
    /* Component folders do as well. */
    options.vae = path_of("tiny-sd15", "/vae");
    options.text_encoders[0] = path_of("tiny-sd15", "/text_encoder");
    options.tokenizer = path_of("tiny-sd15", "/tokenizer");
    must(model_open_with(&host, unet, &options, &m, &error));
    expect_same_pictures(m, whole, "an apple", "an apple", true);
    model_close(m);
    model_close(whole);
    assert_int_equal(model_open(&host, vae, &m, &error), MZT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "holds no UNet, only an autoencoder: give it with --vae"));
    options = (model_options){.vae = text};
    assert_int_equal(model_open_with(&host, unet, &options, &m, &error), MZT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "holds no autoencoder"));
    options = (model_options){.prediction = "w"};
    assert_int_equal(model_open_with(&host, unet, &options, &m, &error), MZT_ERROR_INVALID);
    assert_string_equal(error.message, "unknown prediction 'w': expected epsilon or v");
    options.prediction = "v";
    must(model_open_with(&host, unet, &options, &m, &error));
    assert_int_equal(m->sampler.prediction, PREDICTION_V);
    model_close(m);
}

/* --------------------------------------------------------------------------------------- textual inversion
 * --
 */

/* Vectors that are rows of the encoder's own table. */
static void take_rows(const model *m, uint32_t index, const char *words, float *rows, uint32_t *count) {
    uint32_t *ids;
    const uint32_t c = m->text[index].channels;
    const weights_tensor *table = weights_find(m->weights[index ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER],
                                               "text_model.embeddings.token_embedding.weight");
    must(bpe_encode(m->tokenizer[index], words, strlen(words), &ids, count, &error));
    for (uint32_t i = 0; i < *count; i++)
        must(weights_convert(table, (uint64_t)ids[i] * c, c, DTYPE_F32, rows + (size_t)i * c, &error));
    host_free(&host, ids);
}

/* A word with the rows of other words gives their picture. */
static void expect_word(const char *kind, const char *name, const weights_tensor *tensors, uint32_t count,
                        const char *word, const char *words) {
    char path[1000];
    snprintf(path, sizeof path, FOLDER "/%s.safetensors", name);
    must(safetensors_save(&host, path, tensors, count, NULL, 0, &error));
    const char *const paths[] = {path};
    const model_options options = {
        .tokenizer = path_of(kind, "/tokenizer"), .embeddings = paths, .embedding_count = 1};
    model *m, *plain = open_single(kind);
    must(model_open_with(&host, path_of(kind, ".safetensors"), &options, &m, &error));
    char a[200], b[200];
    snprintf(a, sizeof a, "one %s, and more", word);
    snprintf(b, sizeof b, "one %s, and more", words);
    expect_same_pictures(m, plain, a, b, true);
    expect_same_pictures(m, plain, "one", b, false);
    model_close(m);
    model_close(plain);
}

static void test_embeddings(void **state) {
    (void)state;
    static float rows[2][77 * 128];
    uint32_t count, count2;
    const char *words = "red apple";
    model *m = open_single("tiny-sd15");
    take_rows(m, 0, words, rows[0], &count);
    assert_true(count > 1);
    weights_tensor t = {.name = "emb_params",
                        .dtype = WEIGHTS_F32,
                        .rank = 2,
                        .shape = {count, 64},
                        .count = count * 64ull,
                        .data = (const uint8_t *)rows[0]};
    expect_word("tiny-sd15", "my-Style", &t, 1, "My-style", words);
    t.name = "<thing>";
    expect_word("tiny-sd15", "learned_embeds", &t, 1, "<thing>", words);
    expect_word("tiny-sd15", "learned_embeds", &t, 1, "learned_embeds", words);
    model_close(m);
    m = open_single("tiny-sdxl");
    take_rows(m, 0, words, rows[0], &count);
    take_rows(m, 1, words, rows[1], &count2);
    weights_tensor both[] = {t, t};
    both[0].name = "clip_l";
    both[1].name = "clip_g";
    both[1].shape[0] = count2;
    both[1].shape[1] = 128;
    both[1].count = count2 * 128ull;
    both[1].data = (const uint8_t *)rows[1];
    expect_word("tiny-sdxl", "both", both, 2, "both", words);
    /* Not for this model. */
    const char *paths[] = {path_of("both", ".safetensors"), path_of("both", ".safetensors")};
    model_options options = {.tokenizer = path_of("tiny-sd15", "/tokenizer"), .embeddings = paths};
    options.embedding_count = 1;
    t.shape[0] = t.count / 32;
    t.shape[1] = 32;
    must(safetensors_save(&host, path_of("narrow", ".safetensors"), &t, 1, NULL, 0, &error));
    paths[0] = path_of("narrow", ".safetensors");
    model *none;
    assert_int_equal(model_open_with(&host, path_of("tiny-sd15", ".safetensors"), &options, &none, &error),
                     MZT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "holds vectors of 32 values, made for another kind of model"));
    both[0].name = "something";
    must(safetensors_save(&host, path_of("other", ".safetensors"), both, 2, NULL, 0, &error));
    paths[0] = path_of("other", ".safetensors");
    assert_int_equal(model_open_with(&host, path_of("tiny-sdxl", ".safetensors"), &options, &none, &error),
                     MZT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "expected a tensor clip_l"));
    model_close(m);
}

/* ------------------------------------------------------------------------------------------------ tokenizers
 * --
 */

static void test_tokenizers(void **state) {
    (void)state;
    const char *shared = getenv("MZT_SHARED");
    char vocabulary[1000];
    snprintf(vocabulary, sizeof vocabulary, "%s/data/clip", shared ? shared : MZT_SOURCE_DIR "/../shared");
    char single[1000];
    snprintf(single, sizeof single, "%s", path_of("tiny-sd21", ".safetensors"));
    model *m;
    must(model_open(&host, single, &m, &error));
    assert_null(m->tokenizer[0]);
    generate_request r = small_request("an apple");
    generate_result result;
    assert_int_equal(pipeline_generate(m, cpu, &r, &result, &error), MZT_ERROR_NOT_FOUND);
    assert_non_null(
        strstr(error.message, "put bpe_simple_vocab_16e6.txt.gz of the public openai/CLIP repository"));
    model_close(m);
    if (!file_exists(vocabulary)) {
        printf("skipped: CLIP's vocabulary is not in %s\n", vocabulary);
        return;
    }
    const model_options options = {.data_folder = vocabulary};
    must(model_open_with(&host, single, &options, &m, &error));
    assert_non_null(m->tokenizer[0]);
    assert_int_equal(bpe_id_count(m->tokenizer[0]), 49408);
    assert_int_equal(bpe_padding_id(m->tokenizer[0]), 0); /* OpenCLIP's */
    expect_same_pictures(m, m, "an apple", "a pear", false);
    /* Written into a folder, it is the same tokenizer. */
    model *folder;
    must(convert_to_folder(m, path_of("with-words", ""), CONVERT_KEEP, NULL, NULL, &error));
    must(model_open(&host, path_of("with-words", ""), &folder, &error));
    expect_same_pictures(m, folder, "An astronaut's caf\xc3\xa9, 42!", "An astronaut's caf\xc3\xa9, 42!",
                         true);
    model_close(folder);
    model_close(m);
}

/* ------------------------------------------------------------------------------------------------ memory --
 */

/* Wherever memory runs out while a model with parts of all kinds is opened and written, nothing stays behind.
 */
static void test_out_of_memory(void **state) {
    (void)state;
    static const float rows[2 * 64];
    const weights_tensor t = {.name = "emb_params",
                              .dtype = WEIGHTS_F32,
                              .rank = 2,
                              .shape = {2, 64},
                              .count = 128,
                              .data = (const uint8_t *)rows};
    must(safetensors_save(&host, path_of("nothing", ".safetensors"), &t, 1, NULL, 0, &error));
    const char *const words[] = {path_of("nothing", ".safetensors")};
    const model_options options = {.tokenizer = path_of("tiny-sd15", "/tokenizer"),
                                   .vae = path_of("vae", ".safetensors"),
                                   .text_encoders = {path_of("tiny-sd15", "/text_encoder")},
                                   .embeddings = words,
                                   .embedding_count = 1};
    const char *single = path_of("tiny-sd15", ".safetensors");
    mzt_status status = MZT_ERROR_OUT_OF_MEMORY;
    long tried = 0;
    while (status < 0) {
        alloc_count counts = {.fail_at = ++tried};
        base_host failing = alloc_count_host(&counts);
        model *m;
        status = model_open_with(&failing, single, &options, &m, &error);
        if (status < 0) assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
        if (status >= 0) {
            convert_list list;
            must(convert_list_component(m, MODEL_UNET, CONVERT_F16, &list, &error));
            convert_list_destroy(&list);
        }
        model_close(m);
        assert_int_equal(counts.live, 0);
    }
    assert_true(tried > 50);
}

/* ------------------------------------------------------------------------------------------------ command --
 */

static void run(int code, const char *words, const char *arguments) {
    char line[3000], *text;
    uint64_t size;
    snprintf(line, sizeof line, "cd \"%s\" && \"%s/mezzotint\" %s >out.txt 2>&1", FOLDER, MZT_BINARY_DIR,
             arguments);
    const int status = system(line);
    must(file_read(&host, FOLDER "/out.txt", 1u << 20, &text, &size, &error));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code || !strstr(text, words))
        fail_msg("%s: exit code %d, expected %d, saying \"%s\": %s", arguments, WEXITSTATUS(status), code,
                 words, text);
    host_free(&host, text);
}

/* Every option that brings a part, as a user gives it. */
static void test_command(void **state) {
    (void)state;
    run(0, "wrote one.safetensors", "convert tiny-sd15 -o one.safetensors --dtype bf16");
    run(0, "UNet, epsilon, bf16", "inspect one.safetensors");
    run(0, "wrote folder.x", "convert one.safetensors -o folder.x --layout folder --vae vae.safetensors");
    run(0, "", "convert one.safetensors -o again --layout single --quiet");
    run(0, "v-prediction", "inspect one.safetensors --prediction v");
    run(0, "2 steps",
        "generate --device cpu \"a my-Style\" -m unet.safetensors --vae tiny-sd15/vae --text-encoder "
        "text.safetensors "
        "--tokenizer "
        "tiny-sd15/tokenizer --embedding my-Style.safetensors -W 64 -H 64 --steps 2 --seed 1 -o p.png");
    run(2, "unknown type 'f8': expected keep, f16, bf16 or f32",
        "convert one.safetensors -o two.x --dtype f8");
    run(2, "unknown layout 'x': expected single or folder", "convert one.safetensors -o two.x --layout x");
    run(2, "expected -o PATH", "convert one.safetensors");
    run(2, "--embedding is for making pictures", "convert one.safetensors -o two.x --embedding a");
    run(2, "unknown prediction 'w': expected epsilon or v", "inspect one.safetensors --prediction w");
    run(2, "no model takes more than two",
        "inspect one.safetensors --text-encoder a --text-encoder b --text-encoder c");
    run(1, "holds no autoencoder", "inspect one.safetensors --vae unet.safetensors");
    run(1, "no such tokenizer", "inspect one.safetensors --tokenizer nowhere");
    run(1, "give it with --vae", "inspect vae.safetensors");
    /* By its name alone. */
    assert_int_equal(rename(FOLDER "/unet.safetensors", FOLDER "/dream-vpred.safetensors"), 0);
    run(0, "v-prediction", "inspect dream-vpred.safetensors");
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_is_folder),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_embeddings),
        cmocka_unit_test(test_tokenizers),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests_name("checkpoints", tests, begin_kinds, end);
}
