/* What a file of weights is taken for, and what is said about those that are not supported or damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "base/file.h"
#include "model/detect.h"
#include "pipeline/checkpoint.h"
#include "pipeline/model.h"

#define PATH MZT_BINARY_DIR "/test_checkpoint.safetensors"

static base_host host;
static mzt_error error;

/* A set of tensors of one zero each with these names; shapes as given, for the first. */
static weights_set *set_of(const char *const *names, uint32_t count) {
    static const uint8_t zeros[8];
    static weights_tensor tensors[64];
    weights_set *set;
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++)
        tensors[i] = (weights_tensor){.name = names[i],
                                      .file = "memory",
                                      .dtype = WEIGHTS_F16,
                                      .rank = 2,
                                      .shape = {1, 1},
                                      .count = 1,
                                      .data = zeros};
    const weights_source source = {.tensors = tensors, .count = count};
    if (weights_create(&host, "memory", &source, &set, &error) < 0) fail_msg("%s", error.message);
    return set;
}

/* One telling name each, and a part of the message. */
static void test_foreign(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"},
        {"double_blocks.0.img_attn.qkv.weight", "Flux"},
        {"single_transformer_blocks.0.attn.to_q.weight", "Flux"},
        {"control_model.input_blocks.0.0.weight", "ControlNet"},
        {"controlnet_cond_embedding.conv_in.weight", "ControlNet"},
        {"image_proj.proj.weight", "IP-Adapter"},
        {"adaln_single.linear.weight", "PixArt"},
        {"clf.1.weight", "Stable Cascade"},
        {"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight", "AnimateDiff"},
        {"encoder_hid_proj.weight", "Kandinsky"},
        {"conditioner.embedders.0.model.ln_final.weight", "refiner"},
        {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight", "give it with --lora"},
        {"unet.down_blocks.0.attentions.0.proj_in.lora_A.weight", "give it with --lora"},
        {"emb_params", "give it with --embedding"},
        {"encoder.block.0.layer.0.SelfAttention.k.weight", "T5"},
        {"model.layers.0.self_attn.q_proj.weight", "language model"},
        {"body.0.rdb1.conv1.weight", "upscaler"},
        {"something.else", "no model that is known"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint c;
        assert_int_equal(checkpoint_recognise(&host, set_of(&cases[i][0], 1), &c, &error),
                         MZT_ERROR_UNSUPPORTED);
        if (!strstr(error.message, cases[i][1])) fail_msg("%s: \"%s\"", cases[i][0], error.message);
        assert_null(strchr(error.message, '\n'));
        assert_null(c.file);
    }
    checkpoint c;
    assert_int_equal(checkpoint_recognise(&host, set_of(NULL, 0), &c, &error), MZT_ERROR_UNSUPPORTED);
    assert_string_equal(error.message, "memory holds no tensors");
}

/* A UNet with something more. */
static void test_extended(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"input_blocks.0.0.weight", "input_hint_block.0.weight", "ControlNet"},
        {"model.diffusion_model.input_blocks.0.0.weight",
         "model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight", "Stable Video Diffusion"},
        {"model.diffusion_model.input_blocks.0.0.weight", "edm_mean", "Playground"},
        {"model.diffusion_model.input_blocks.0.0.weight", "depth_model.model.pretrained.cls_token",
         "depth-guided"},
        {"model.diffusion_model.input_blocks.0.0.weight",
         "conditioner.embedders.0.model.token_embedding.weight", "refiner"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint c;
        assert_int_equal(checkpoint_recognise(&host, set_of(cases[i], 2), &c, &error), MZT_ERROR_UNSUPPORTED);
        if (!strstr(error.message, cases[i][2])) fail_msg("%s: \"%s\"", cases[i][1], error.message);
    }
}

/* ------------------------------------------------------------------------------------------------ damaged --
 */

static void expect_file(const void *data, size_t size, mzt_status status, const char *words) {
    model *m;
    assert_int_equal(file_write(&host, PATH, data, size, &error), MZT_OK);
    alloc_count counts = {0};
    base_host counting = alloc_count_host(&counts);
    assert_int_equal(model_open(&counting, PATH, &m, &error), status);
    if (!strstr(error.message, words)) fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    assert_null(strchr(error.message, '\n'));
    assert_null(m);
    assert_int_equal(counts.live, 0);
    remove(PATH);
}

static void test_damaged_files(void **state) {
    (void)state;
    static const char zip[64] = "PK\3\4\0\0\0\0\0\0", pickle[64] = "\x80\2}q",
                      text[64] = "not a model at all";
    static const char empty[] = "\2\0\0\0\0\0\0\0{}";
    expect_file("", 0, MZT_ERROR_FORMAT, "too short");
    expect_file(zip, sizeof zip, MZT_ERROR_UNSUPPORTED, "a pickled PyTorch file");
    expect_file(pickle, sizeof pickle, MZT_ERROR_UNSUPPORTED, "a pickled PyTorch file");
    expect_file(text, sizeof text, MZT_ERROR_FORMAT, "");
    expect_file(empty, sizeof empty - 1, MZT_ERROR_UNSUPPORTED, "holds no tensors");
}

/* A file of tensors that say `names`, each of shape [1,1]. */
static void expect_named(const char *const *names, uint32_t count, const char *words) {
    weights_set *set = set_of(names, count);
    weights_tensor list[64];
    for (uint32_t i = 0; i < count; i++)
        list[i] = *weights_at(set, i);
    assert_int_equal(safetensors_save(&host, PATH, list, count, NULL, 0, &error), MZT_OK);
    weights_close(set);
    char *data;
    uint64_t size;
    assert_int_equal(file_read(&host, PATH, 1u << 20, &data, &size, &error), MZT_OK);
    expect_file(data, (size_t)size, MZT_ERROR_FORMAT, words);
    host_free(&host, data);
}

static void test_damaged_networks(void **state) {
    (void)state;
    static const char *const bare[] = {"input_blocks.0.0.weight"};
    static const char *const short_of[] = {"input_blocks.0.0.weight", "input_blocks.1.0.in_layers.2.weight"};
    static const char *const wrong[] = {"down_blocks.0.resnets.0.conv1.weight",
                                        "time_embedding.linear_1.weight", "conv_in.weight",
                                        "conv_out.weight"};
    expect_named(bare, 1, "a UNet without input blocks");
    expect_named(short_of, 2, "tensor \"conv_in.weight\": expected 1 to 15 in place 2, found shape [1,1]");
    expect_named(wrong, 4, "tensor \"conv_in.weight\"");
}

/* Configurations are refused rather than guessed. */
static void test_detection(void **state) {
    (void)state;
    static const char *const text[] = {"text_model.embeddings.token_embedding.weight",
                                       "text_model.embeddings.position_embedding.weight"};
    static const char *const picture[] = {"decoder.conv_in.weight", "encoder.conv_in.weight"};
    static const char *const tiny[] = {"decoder.layers.0.weight"};
    clip_config clip;
    vae_config vae;
    unet_config unet;
    weights_set *set = set_of(text, 2);
    assert_int_equal(clip_config_detect(set, false, false, &clip, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message,
                        "memory: there is no tensor \"text_model.encoder.layers.0.mlp.fc1.weight\"");
    assert_int_equal(unet_config_detect(set, &unet, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message, "memory: there is no tensor \"conv_in.weight\"");
    weights_close(set);
    set = set_of(picture, 2);
    assert_int_equal(vae_config_detect(set, false, &vae, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message, "memory: an autoencoder of 0 levels, expected 1 to 8");
    weights_close(set);
    set = set_of(tiny, 1);
    assert_int_equal(vae_config_detect(set, false, &vae, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message, "memory: a tiny autoencoder of 0 levels");
    weights_close(set);
}

/* Scaled fp8: each matrix has a factor beside it. */
static void test_scaled(void **state) {
    (void)state;
    static const uint8_t values[4] = {0x38, 0x40, 0xb8, 0}; /* 1, 2, -1, 0 */
    static const float factor = 0.25f;
    weights_tensor tensors[] = {
        {.name = "text_model.embeddings.token_embedding.weight",
         .file = "memory",
         .dtype = WEIGHTS_F8_E4M3,
         .rank = 2,
         .shape = {2, 2},
         .count = 4,
         .data = values},
        {.name = "text_model.embeddings.token_embedding.scale_weight",
         .file = "memory",
         .dtype = WEIGHTS_F32,
         .count = 1,
         .data = (const uint8_t *)&factor},
    };
    const weights_source source = {.tensors = tensors, .count = 2};
    weights_set *set, *view;
    checkpoint c;
    float found[4];
    assert_int_equal(weights_create(&host, "memory", &source, &set, &error), MZT_OK);
    assert_int_equal(checkpoint_recognise(&host, set, &c, &error), MZT_OK);
    assert_true(c.parts[MODEL_TEXT_ENCODER].found);
    assert_int_equal(checkpoint_view(&c, MODEL_TEXT_ENCODER, &view, &error), MZT_OK);
    const weights_tensor *t = weights_find(view, "text_model.embeddings.token_embedding.weight");
    assert_int_equal(weights_convert(t, 0, 4, DTYPE_F32, found, &error), MZT_OK);
    assert_true(found[0] == 0.25f && found[1] == 0.5f && found[2] == -0.25f && found[3] == 0);
    weights_close(view);
    checkpoint_close(&c);
}

int main(void) {
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign),       cmocka_unit_test(test_extended),
        cmocka_unit_test(test_damaged_files), cmocka_unit_test(test_damaged_networks),
        cmocka_unit_test(test_detection),     cmocka_unit_test(test_scaled),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
