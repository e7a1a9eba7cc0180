/* Tiny autoencoders: diffusers' files and TAESD's halves are the same networks, and the same on every
 * executor. */
#define _XOPEN_SOURCE 700
#define FOLDER        MZT_BINARY_DIR "/tiny-autoencoder-test"
#include "single_files.h"

#include "pipeline/autoencoder.h"
#include "pipeline/convert.h"
#include "sample/random.h"

static int begin_single(void **state) {
    const synthetic_options options = {.type = DTYPE_F16, .seed = 5};
    model *m;
    if (begin(state) != 0) return 1;
    must(synthetic_model_write(&host, "tiny-sd15", path_of("tiny-sd15", ""), &options, &error));
    must(model_open(&host, path_of("tiny-sd15", ""), &m, &error));
    must(convert_to_file(m, path_of("tiny-sd15", ".safetensors"), CONVERT_KEEP, NULL, NULL, &error));
    model_close(m);
    return 0;
}

typedef struct tiny_file {
    weights_tensor list[200];
    char names[200][60];
    uint32_t count;
} tiny_file;

/* Layer `number` under diffusers' names (`half` "decoder") or the original ones (NULL), the same values. */
static void add_layer(tiny_file *f, const char *half, const char *which, uint32_t number, const char *leaf,
                      uint32_t cout, uint32_t cin, bool bias) {
    for (int k = 0; k < 1 + bias; k++) {
        const uint64_t count = k ? cout : 9ull * cin * cout;
        const uint32_t shown = half ? number : number + (which[0] == 'd');
        char *name = f->names[f->count];
        snprintf(name, sizeof f->names[0], "%s%s%u%s.%s", half ? half : "", half ? ".layers." : "",
                 (unsigned)shown, leaf, k ? "bias" : "weight");
        float *values = malloc(count * sizeof *values);
        assert_non_null(values);
        random_normals(
            9, number * 10u + (uint32_t)leaf[0] + (leaf[0] ? (uint32_t)leaf[6] : 0u) + (uint32_t)which[0], 0,
            count, values);
        for (uint64_t i = 0; i < count; i++)
            values[i] *= k ? 0.05f : 1.2f / sqrtf(9.0f * (float)cin);
        f->list[f->count++] = (weights_tensor){.name = name,
                                               .dtype = WEIGHTS_F32,
                                               .rank = k ? 1 : 4,
                                               .shape = {cout, k ? 0 : cin, k ? 0 : 3, k ? 0 : 3},
                                               .count = count,
                                               .data = (const uint8_t *)values};
    }
}

static uint32_t add_blocks(tiny_file *f, const char *half, const char *which, uint32_t number, uint32_t count,
                           uint32_t c) {
    static const char *const leaves[] = {".conv.0", ".conv.2", ".conv.4"};
    for (uint32_t i = 0; i < count; i++, number++)
        for (int k = 0; k < 3; k++)
            add_layer(f, half, which, number, leaves[k], c, c, true);
    return number;
}

/* TAESD's shape with 8 channels. */
static void add_tiny(tiny_file *f, const char *half, const char *which) {
    enum { C = 8 };
    if (which[0] == 'e') {
        uint32_t n = 0;
        for (uint32_t level = 0; level < 4; level++) {
            add_layer(f, half, which, n++, "", C, level ? C : 3, level == 0);
            n = add_blocks(f, half, which, n, level ? 3 : 1, C);
        }
        add_layer(f, half, which, n, "", 4, C, true);
        return;
    }
    add_layer(f, half, which, 0, "", C, 4, true);
    uint32_t n = 2;
    for (uint32_t level = 0; level < 4; level++) {
        n = add_blocks(f, half, which, n, level < 3 ? 3 : 1, C) + (level < 3);
        add_layer(f, half, which, n++, "", level < 3 ? C : 3, C, level == 3);
    }
}

static void save_tiny(tiny_file *f, const char *path) {
    must(safetensors_save(&host, path, f->list, f->count, NULL, 0, &error));
    for (uint32_t i = 0; i < f->count; i++)
        free((void *)(uintptr_t)f->list[i].data);
    f->count = 0;
}

/* A picture there and back through the model's autoencoder, and the same on cpu-reference. */
static void through(const model *m, float *picture_out) {
    enum { SIDE = 16, LATENT = 2 };
    static float picture[SIDE * SIDE * 3], latent[LATENT * LATENT * 4], logvar[LATENT * LATENT * 4],
        back[2][SIDE * SIDE * 3], latents[2][LATENT * LATENT * 4];
    executor *reference;
    const model_wrap none = {false, false};
    must(cpu_reference_create(&host, &reference, &error));
    random_normals(4, 1, 0, SIDE * SIDE * 3, picture);
    for (int i = 0; i < 2; i++) {
        executor *e = i ? reference : cpu;
        must(autoencoder_encode(m, e, PRECISION_F32, (shape4){1, SIDE, SIDE, 3}, none, picture, latent,
                                logvar, NULL, &error));
        memcpy(latents[i], latent, sizeof latent);
        must(autoencoder_decode(m, e, PRECISION_F32, (shape4){1, LATENT, LATENT, 4}, none, latents[0],
                                back[i], NULL, &error));
    }
    assert_true(logvar[0] == -30.0f);
    double difference = 0, norm = 0;
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        difference += (double)(back[0][i] - back[1][i]) * (double)(back[0][i] - back[1][i]);
        norm += (double)back[1][i] * (double)back[1][i];
    }
    assert_true(norm > 0 && sqrt(difference / norm) < 1e-3);
    memcpy(picture_out, back[0], sizeof back[0]);
    executor_destroy(reference);
}

static void test_tiny_autoencoders(void **state) {
    (void)state;
    static tiny_file f;
    static float first[16 * 16 * 3], second[16 * 16 * 3];
    char diffusers[1000], original[1000];
    snprintf(diffusers, sizeof diffusers, "%s", path_of("taesd", ".safetensors"));
    snprintf(original, sizeof original, "%s", path_of("taesd_decoder", ".safetensors"));
    add_tiny(&f, "encoder", "encoder");
    add_tiny(&f, "decoder", "decoder");
    save_tiny(&f, diffusers);
    add_tiny(&f, NULL, "encoder");
    save_tiny(&f, path_of("taesd_encoder", ".safetensors"));
    add_tiny(&f, NULL, "decoder");
    save_tiny(&f, original);
    model_options options = {.vae = diffusers, .tokenizer = path_of("tiny-sd15", "/tokenizer")};
    model *a, *b;
    must(model_open_with(&host, path_of("tiny-sd15", ".safetensors"), &options, &a, &error));
    assert_true(a->vae.tiny);
    assert_int_equal(vae_factor(&a->vae), 8);
    options.vae = original;
    must(model_open_with(&host, path_of("tiny-sd15", ".safetensors"), &options, &b, &error));
    through(a, first);
    through(b, second);
    assert_memory_equal(first, second, sizeof first);
    expect_same_pictures(a, b, "an apple", "an apple", true);
    model_close(b);
    /* As a folder with its own configuration. */
    must(convert_to_folder(a, path_of("tiny-vae", ""), CONVERT_KEEP, NULL, NULL, &error));
    must(model_open(&host, path_of("tiny-vae", ""), &b, &error));
    expect_same_pictures(a, b, "an apple", "an apple", true);
    assert_int_equal(convert_to_file(a, path_of("no", ".safetensors"), CONVERT_KEEP, NULL, NULL, &error),
                     MZT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "a tiny autoencoder could not be told from a single file"));
    model_close(b);
    model_close(a);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny_autoencoders)};
    return cmocka_run_group_tests_name("tiny_autoencoder", tests, begin_single, end);
}
