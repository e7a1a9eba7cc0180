/* Readers of unet, vae and text encoder configurations and of model_index.json: what they make of good files,
 * and that each bad value is refused with file, key and value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "model/clip_config.h"
#include "model/model_index.h"
#include "model/unet_config.h"
#include "model/vae_config.h"

typedef enum reader { UNET, VAE, CLIP } reader;

typedef union any_config {
    unet_config unet;
    vae_config vae;
    clip_config clip;
} any_config;

static mzt_status read_text(reader kind, const char *name, const char *text, any_config *config,
                            mzt_error *error) {
    base_host host = host_make(NULL);
    json_doc *doc = NULL;
    mzt_status status = json_parse(&host, name, text, strlen(text), &doc, error);
    assert_int_equal(status, MZT_OK);
    if (kind == UNET) status = unet_config_read(json_root(doc), &config->unet, error);
    if (kind == VAE) status = vae_config_read(json_root(doc), &config->vae, error);
    if (kind == CLIP) status = clip_config_read(json_root(doc), &config->clip, error);
    json_destroy(doc);
    return status;
}

#define UNET_BASE                                                                                            \
    "\"block_out_channels\": [32, 64], \"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"], "  \
    "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"]"
#define VAE_BASE                                                                                             \
    "\"block_out_channels\": [32, 64], \"down_block_types\": [\"DownEncoderBlock2D\", "                      \
    "\"DownEncoderBlock2D\"], "                                                                              \
    "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]"

typedef struct bad_case {
    reader kind;
    const char *members; /* appended to the base; an object's members */
    mzt_status status;
    const char *expected; /* part of the message */
} bad_case;

static const bad_case bad_cases[] = {
    {UNET, "\"class_embed_type\": \"timestep\"", MZT_ERROR_UNSUPPORTED,
     "config.json: class_embed_type = \"timestep\" is not supported"},
    {UNET, "\"num_class_embeds\": 10", MZT_ERROR_UNSUPPORTED, "num_class_embeds = 10 is not supported"},
    {UNET, "\"only_cross_attention\": [true, false]", MZT_ERROR_UNSUPPORTED,
     "only_cross_attention = [true, false]"},
    {UNET, "\"resnet_time_scale_shift\": \"scale_shift\"", MZT_ERROR_UNSUPPORTED,
     "resnet_time_scale_shift = \"scale_shift\""},
    {UNET, "\"mid_block_scale_factor\": 2", MZT_ERROR_UNSUPPORTED, "mid_block_scale_factor = 2"},
    {UNET, "\"encoder_hid_dim\": 768", MZT_ERROR_UNSUPPORTED, "encoder_hid_dim = 768"},
    {UNET, "\"num_attention_heads\": 8", MZT_ERROR_UNSUPPORTED, "num_attention_heads = 8"},
    {UNET, "\"addition_embed_type\": \"text\"", MZT_ERROR_UNSUPPORTED, "addition_embed_type = \"text\""},
    {UNET, "\"mid_block_type\": \"UNetMidBlock2DSimpleCrossAttn\"", MZT_ERROR_UNSUPPORTED,
     "mid_block_type = \"UNetMidBlock2DSimpleCrossAttn\""},
    {UNET, "\"act_fn\": \"gelu\"", MZT_ERROR_UNSUPPORTED, "act_fn = \"gelu\""},
    {UNET, "\"conv_in_kernel\": 4", MZT_ERROR_UNSUPPORTED, "conv_in_kernel = 4"},
    {UNET, "\"brand_new_option\": {\"a\": 1}", MZT_ERROR_UNSUPPORTED,
     "brand_new_option = {...} is an unknown option"},
    {UNET, "\"brand_new_option\": 0", MZT_ERROR_UNSUPPORTED, "brand_new_option = 0 is an unknown option"},
    {UNET, "\"norm_num_groups\": null", MZT_ERROR_UNSUPPORTED, "norm_num_groups = null"},
    {UNET, "\"norm_num_groups\": 24", MZT_ERROR_INVALID, "32 is no multiple of norm_num_groups = 24"},
    {UNET, "\"norm_eps\": 0", MZT_ERROR_INVALID, "norm_eps = 0"},
    {UNET, "\"norm_eps\": NaN", MZT_ERROR_INVALID, "norm_eps = nan"},
    {UNET, "\"in_channels\": 4000000000", MZT_ERROR_INVALID, "in_channels"},
    {UNET, "\"in_channels\": 0", MZT_ERROR_INVALID, "in_channels"},
    {UNET, "\"layers_per_block\": 1000", MZT_ERROR_INVALID, "layers_per_block"},
    {UNET, "\"layers_per_block\": [2, 2, 2]", MZT_ERROR_INVALID, "layers_per_block = [2, 2, 2]"},
    {UNET, "\"attention_head_dim\": 5", MZT_ERROR_INVALID,
     "5 heads do not divide the 32 channels of level 0"},
    {UNET, "\"cross_attention_dim\": [768, 1024]", MZT_ERROR_UNSUPPORTED, "1024 beside 768"},
    {UNET, "\"transformer_layers_per_block\": [[1, 2], 1]", MZT_ERROR_INVALID,
     "reverse_transformer_layers_per_block"},
    {UNET, "\"transformer_layers_per_block\": [1]", MZT_ERROR_INVALID, "transformer_layers_per_block"},
    {UNET, "\"transformer_layers_per_block\": -1", MZT_ERROR_INVALID, "transformer_layers_per_block"},
    {UNET, "\"addition_embed_type\": \"text_time\"", MZT_ERROR_INVALID, "addition_time_embed_dim"},
    {UNET, "\"freq_shift\": 16", MZT_ERROR_INVALID, "freq_shift = 16"},
    {UNET, "\"downsample_padding\": 2", MZT_ERROR_INVALID, "downsample_padding"},
    {UNET, "\"use_linear_projection\": \"yes\"", MZT_ERROR_INVALID, "use_linear_projection"},
    {VAE, "\"latents_mean\": [0, 0, 0, 0]", MZT_ERROR_UNSUPPORTED, "latents_mean = [0, 0, 0, 0]"},
    {VAE, "\"act_fn\": \"relu\"", MZT_ERROR_UNSUPPORTED, "act_fn = \"relu\""},
    {VAE, "\"scaling_factor\": 0", MZT_ERROR_INVALID, "scaling_factor = 0"},
    {VAE, "\"shift_factor\": Infinity", MZT_ERROR_INVALID, "shift_factor"},
    {VAE, "\"latent_channels\": 100000", MZT_ERROR_INVALID, "latent_channels"},
    {VAE, "\"some_option\": \"x\"", MZT_ERROR_UNSUPPORTED, "some_option = \"x\""},
    {CLIP, "\"hidden_act\": \"relu\"", MZT_ERROR_UNSUPPORTED, "hidden_act = \"relu\""},
    {CLIP, "\"model_type\": \"t5\"", MZT_ERROR_UNSUPPORTED, "model_type = \"t5\""},
    {CLIP, "\"architectures\": [\"BertModel\"]", MZT_ERROR_UNSUPPORTED, "BertModel"},
    {CLIP, "\"hidden_size\": 100", MZT_ERROR_INVALID,
     "num_attention_heads = 8 does not divide hidden_size = 100"},
    {CLIP, "\"vocab_size\": 1e12", MZT_ERROR_INVALID, "vocab_size"},
};

static void test_bad_values(void **state) {
    (void)state;
    static const char *const bases[] = {UNET_BASE ", ", VAE_BASE ", ", ""};
    for (size_t i = 0; i < sizeof bad_cases / sizeof bad_cases[0]; i++) {
        const bad_case *c = &bad_cases[i];
        char text[1024];
        any_config config;
        mzt_error error = {MZT_OK, ""};
        snprintf(text, sizeof text, "{%s%s}", bases[c->kind], c->members);
        mzt_status status = read_text(c->kind, "x/config.json", text, &config, &error);
        if (status != c->status || !strstr(error.message, c->expected) ||
            strncmp(error.message, "x/config.json: ", 15))
            fail_msg("%s gives %d \"%s\", expected %d \"%s\"", c->members, status, error.message, c->status,
                     c->expected);
    }
}

static void test_unet_defaults(void **state) {
    (void)state;
    any_config any;
    mzt_error error;
    assert_int_equal(read_text(UNET, "u",
                               "{" UNET_BASE ", \"_private\": 3, \"unknown\": null, \"other\": false}", &any,
                               &error),
                     MZT_OK);
    const unet_config *c = &any.unet;
    assert_int_equal(c->levels, 2);
    assert_int_equal(c->channels[1], 64);
    assert_true(c->down_attention[0] && !c->down_attention[1]);
    assert_true(c->up_attention[0] &&
                !c->up_attention[1]); /* the file lists the way up from the coarsest level */
    assert_int_equal(c->layers[0], 2);
    assert_int_equal(c->heads[0], 8);
    assert_int_equal(c->context_channels, 1280);
    assert_int_equal(c->mid, UNET_MID_CROSS);
    assert_int_equal(c->mid_depth, 1);
    assert_int_equal(c->time_channels, 128);
    assert_true(c->flip_sin_to_cos);
    assert_int_equal(c->downsample_padding, 1);
    assert_int_equal(unet_resnet_count(c), 2 * 2 + 2 + 2 * 3);
}

/* The distilled networks: no middle block, other depths on the way up than on the way down. */
static void test_unet_asymmetrical(void **state) {
    (void)state;
    any_config any;
    mzt_error error;
    const char *text = "{" UNET_BASE ", \"mid_block_type\": null, \"layers_per_block\": [1, 2], "
                       "\"transformer_layers_per_block\": [3, [4, 5]], "
                       "\"reverse_transformer_layers_per_block\": [[6, 7, 8], 9]}";
    if (read_text(UNET, "u", text, &any, &error) != MZT_OK) fail_msg("%s", error.message);
    const unet_config *c = &any.unet;
    assert_int_equal(c->mid, UNET_MID_NONE);
    assert_int_equal(c->down_depth[0][0], 3);
    assert_int_equal(c->down_depth[1][0], 4);
    assert_int_equal(c->down_depth[1][1], 5);
    assert_int_equal(c->up_depth[1][0], 6);
    assert_int_equal(c->up_depth[1][2], 8);
    assert_int_equal(c->up_depth[0][1], 9);
    assert_int_equal(unet_resnet_count(c), 3 + 0 + 2 + 3);

    const char *list =
        "{" UNET_BASE ", \"mid_block_type\": \"UNetMidBlock2D\", \"transformer_layers_per_block\": [2, 10], "
        "\"cross_attention_dim\": [77, 77], \"attention_head_dim\": [4, 8]}";
    if (read_text(UNET, "u", list, &any, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_int_equal(c->up_depth[1][2], 10);
    assert_int_equal(c->up_depth[0][2], 2);
    assert_int_equal(c->mid_depth, 10);
    assert_int_equal(c->mid, UNET_MID_RESNET);
    assert_int_equal(c->context_channels, 77);
    assert_int_equal(c->heads[1], 8);
}

static void test_vae_and_clip(void **state) {
    (void)state;
    any_config any;
    mzt_error error;
    const char *vae =
        "{" VAE_BASE
        ", \"in_channels\": 4, \"out_channels\": 4, \"latent_channels\": 8, \"shift_factor\": 0.5, "
        "\"use_quant_conv\": false, \"mid_block_add_attention\": false}";
    assert_int_equal(read_text(VAE, "v", vae, &any, &error), MZT_OK);
    assert_int_equal(any.vae.in_channels, 4);
    assert_int_equal(any.vae.latent_channels, 8);
    assert_int_equal(any.vae.patch_size, 1);
    assert_int_equal(vae_factor(&any.vae), 1u << (any.vae.levels - 1));
    any.vae.patch_size = 4;
    assert_int_equal(vae_factor(&any.vae), 4u << (any.vae.levels - 1));
    any.vae.patch_size = 1;
    assert_true(!any.vae.quant_conv && any.vae.post_quant_conv && !any.vae.mid_attention);
    assert_true(any.vae.shift_factor == 0.5f && any.vae.scaling_factor == 0.18215f);
    assert_int_equal(vae_factor(&any.vae), 2);

    const char *clip = "{\"architectures\": [\"CLIPTextModelWithProjection\"], \"hidden_act\": \"gelu\", "
                       "\"eos_token_id\": 2, "
                       "\"torch_dtype\": \"float16\", \"length_penalty\": 1.0}";
    assert_int_equal(read_text(CLIP, "c", clip, &any, &error), MZT_OK);
    assert_true(any.clip.projection && !any.clip.quick_gelu);
    assert_int_equal(any.clip.eos, 2);
    assert_int_equal(any.clip.vocabulary, 49408);
    assert_int_equal(any.clip.channels, 512);
}

/* ------------------------------------------------------------------------------------------------
 * model_index -- */

static mzt_status read_index_text(const char *text, model_index *index, mzt_error *error) {
    base_host host = host_make(NULL);
    char path[400];
    snprintf(path, sizeof path, "%s/model_index.json", MZT_BINARY_DIR);
    assert_int_equal(file_write(&host, path, text, strlen(text), error), MZT_OK);
    static base_host lasting;
    lasting = host;
    mzt_status status = model_index_read(&lasting, MZT_BINARY_DIR, index, error);
    remove(path);
    return status;
}

#define INDEX_BASE                                                                                           \
    "\"unet\": [\"diffusers\", \"UNet2DConditionModel\"], \"scheduler\": [\"diffusers\", \"DDIMScheduler\"]"
#define INDEX_VAE  "\"vae\": [\"diffusers\", \"AutoencoderKL\"]"
#define INDEX_TEXT "\"text_encoder\": [\"transformers\", \"CLIPTextModel\"]"

static void test_model_index(void **state) {
    (void)state;
    mzt_error error;
    model_index index;
    const char *good =
        "{\"_class_name\": \"StableDiffusionPipeline\", \"_diffusers_version\": \"0.27.2\", " INDEX_BASE
        ", " INDEX_VAE ", " INDEX_TEXT ", \"safety_checker\": [\"stable_diffusion\", \"Checker\"], "
        "\"image_encoder\": [null, null], \"requires_safety_checker\": true}";
    if (read_index_text(good, &index, &error) != MZT_OK) fail_msg("%s", error.message);
    assert_false(index.xl);
    assert_string_equal(index.components[MODEL_UNET].path, MZT_BINARY_DIR "/unet");
    assert_string_equal(index.components[MODEL_SCHEDULER].class_name, "DDIMScheduler");
    assert_null(index.components[MODEL_TEXT_ENCODER_2].path);
    model_index_destroy(&index);

    static const struct {
        const char *text, *expected;
    } bad[] = {
        {"{\"_class_name\": \"FluxPipeline\"}", "pipeline \"FluxPipeline\" is not supported"},
        {"{}", "_class_name"},
        {"{\"_class_name\": \"StableDiffusionPipeline\", " INDEX_BASE ", " INDEX_TEXT "}",
         "component \"vae\" is missing"},
        {"{\"_class_name\": \"StableDiffusionXLPipeline\", " INDEX_BASE ", " INDEX_VAE ", " INDEX_TEXT "}",
         "component \"text_encoder_2\" is missing"},
        {"{\"_class_name\": \"StableDiffusionPipeline\", \"vae\": [\"diffusers\", \"ConsistencyDecoderVAE\"]}",
         "vae: class \"ConsistencyDecoderVAE\" is not supported"},
        {"{\"_class_name\": \"StableDiffusionPipeline\", \"controlnet\": [\"diffusers\", "
         "\"ControlNetModel\"]}",
         "component \"controlnet\" is not supported"},
        {"{\"_class_name\": \"StableDiffusionPipeline\", \"unet\": [\"diffusers\"]}",
         "expected [library, class]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(read_index_text(bad[i].text, &index, &error) < 0);
        if (!strstr(error.message, bad[i].expected))
            fail_msg("\"%s\", expected \"%s\"", error.message, bad[i].expected);
        assert_null(index.folder);
    }
    base_host host = host_make(NULL);
    assert_int_equal(model_index_read(&host, MZT_BINARY_DIR "/no such folder", &index, &error),
                     MZT_ERROR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_values),        cmocka_unit_test(test_unet_defaults),
        cmocka_unit_test(test_unet_asymmetrical), cmocka_unit_test(test_vae_and_clip),
        cmocka_unit_test(test_model_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
