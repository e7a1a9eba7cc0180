/* The networks' descriptions, without running them: parameters of the published networks, number by number;
 * names and shapes against the reference checkpoints, tensor by tensor; sizes that do not halve evenly;
 * inputs that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "weights/weights.h"

typedef union any_config {
    unet_config unet;
    vae_config vae;
    clip_config clip;
} any_config;

typedef enum network { UNET, VAE, CLIP } network;

static void read_config(const base_host *host, network kind, json_doc *doc, any_config *config) {
    (void)host;
    mzt_error error = {MZT_OK, ""};
    mzt_status status = MZT_OK;
    if (kind == UNET) status = unet_config_read(json_root(doc), &config->unet, &error);
    if (kind == VAE) status = vae_config_read(json_root(doc), &config->vae, &error);
    if (kind == CLIP) status = clip_config_read(json_root(doc), &config->clip, &error);
    json_destroy(doc);
    if (status != MZT_OK) fail_msg("%s", error.message);
}

/* A UNet over `batch` samples of h x w latent pixels with inputs as wide as it wants them. */
static tensor describe_unet(graph *g, const unet_config *c, uint32_t batch, uint32_t h, uint32_t w,
                            uint32_t calls) {
    const dtype type = g->activation;
    unet_inputs inputs = {
        .timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){batch * (calls ? calls : 1), 1, 1, 1})};
    inputs.sample = graph_varying_input(g, "sample", type, (shape4){batch, h, w, c->in_channels});
    inputs.context = graph_input(g, "context", type, (shape4){batch, 77, 1, c->context_channels});
    if (calls) inputs.step = graph_state(g, "step", DTYPE_U32, (shape4){1, 1, 1, 1});
    if (c->guidance_channels) inputs.guidance = graph_input(g, "guidance", DTYPE_F32, (shape4){1, 1, 1, 1});
    if (c->text_time) {
        uint32_t pooled = c->addition_input_channels - 6 * c->addition_time_channels;
        inputs.text_embeds = graph_input(g, "text_embeds", type, (shape4){batch, 1, 1, pooled});
        inputs.time_ids = graph_input(g, "time_ids", DTYPE_F32, (shape4){batch * 6, 1, 1, 1});
    }
    return unet_describe(g, c, &inputs, NULL);
}

static graph *describe(const base_host *host, network kind, const any_config *config) {
    graph *g = graph_create(host, DTYPE_F32, DTYPE_F32);
    assert_non_null(g);
    if (kind == UNET) graph_output(g, describe_unet(g, &config->unet, 2, 8, 8, 0), "output");
    if (kind == VAE) {
        const vae_config *c = &config->vae;
        uint32_t f = vae_factor(c);
        tensor picture = graph_input(g, "picture", DTYPE_F32, (shape4){1, f, 2 * f, c->in_channels});
        tensor latent = graph_input(g, "latent", DTYPE_F32, (shape4){1, 3, 5, c->latent_channels});
        tensor moments = vae_describe_encoder(g, c, picture, NULL),
               decoded = vae_describe_decoder(g, c, latent, NULL);
        assert_int_equal(graph_shape(g, moments).h, 1);
        assert_int_equal(graph_shape(g, moments).w, 2);
        assert_int_equal(graph_shape(g, moments).c, 2 * c->latent_channels);
        assert_int_equal(graph_shape(g, decoded).h, 3 * f);
        assert_int_equal(graph_shape(g, decoded).w, 5 * f);
        assert_int_equal(graph_shape(g, decoded).c, c->out_channels);
    }
    if (kind == CLIP) {
        clip_inputs inputs = {.ids = graph_input(g, "ids", DTYPE_U32, (shape4){2, 77, 1, 1})};
        inputs.eos_rows = graph_input(g, "eos_rows", DTYPE_U32, (shape4){2, 1, 1, 1});
        clip_outputs outputs = clip_describe(g, &config->clip, &inputs, 1);
        assert_int_equal(outputs.text_embeds != TENSOR_NONE, config->clip.projection);
    }
    mzt_error error;
    if (graph_check(g, &error) != MZT_OK) fail_msg("%s", error.message);
    return g;
}

/* --------------------------------------------------------------------------------------------- published
 * networks -- */

static const struct published {
    const char *name;
    network kind;
    uint64_t parameters; /* as PyTorch counts them in the published checkpoint's network */
    const char *config;
} published[] = {
    {"Stable Diffusion 1.5 UNet", UNET, 859520964,
     "{\"cross_attention_dim\": 768, \"attention_head_dim\": 8, \"block_out_channels\": [320, 640, 1280, "
     "1280], "
     "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "
     "\"DownBlock2D\"], "
     "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", "
     "\"CrossAttnUpBlock2D\"]}"},
    {"Stable Diffusion 2.1 UNet", UNET, 865910724,
     "{\"cross_attention_dim\": 1024, \"attention_head_dim\": [5, 10, 20, 20], \"use_linear_projection\": "
     "true, "
     "\"upcast_attention\": true, \"block_out_channels\": [320, 640, 1280, 1280], "
     "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "
     "\"DownBlock2D\"], "
     "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", "
     "\"CrossAttnUpBlock2D\"]}"},
    {"Stable Diffusion XL UNet", UNET, 2567463684,
     "{\"cross_attention_dim\": 2048, \"attention_head_dim\": [5, 10, 20], \"use_linear_projection\": true, "
     "\"upcast_attention\": null, \"transformer_layers_per_block\": [1, 2, 10], \"addition_embed_type\": "
     "\"text_time\", "
     "\"addition_time_embed_dim\": 256, \"projection_class_embeddings_input_dim\": 2816, "
     "\"block_out_channels\": [320, 640, 1280], "
     "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\"], "
     "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"UpBlock2D\"]}"},
    {"Stable Diffusion VAE", VAE, 83653863,
     "{\"block_out_channels\": [128, 256, 512, 512], \"layers_per_block\": 2, "
     "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\", "
     "\"DownEncoderBlock2D\"], "
     "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\", "
     "\"UpDecoderBlock2D\"]}"},
    {"CLIP ViT-L/14 text encoder", CLIP, 123060480,
     "{\"hidden_size\": 768, \"intermediate_size\": 3072, \"num_attention_heads\": 12, "
     "\"num_hidden_layers\": 12}"},
    {"OpenCLIP ViT-H text encoder without its last layer", CLIP, 340387840,
     "{\"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_attention_heads\": 16, "
     "\"num_hidden_layers\": 23, "
     "\"hidden_act\": \"gelu\"}"},
    {"OpenCLIP ViT-bigG text encoder", CLIP, 694659840,
     "{\"architectures\": [\"CLIPTextModelWithProjection\"], \"hidden_size\": 1280, \"intermediate_size\": "
     "5120, "
     "\"num_attention_heads\": 20, \"num_hidden_layers\": 32, \"projection_dim\": 1280, \"hidden_act\": "
     "\"gelu\"}"},
};

static uint64_t count_parameters(const graph *g) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->tensor_count; i++)
        for (uint32_t j = 0; j < g->tensors[i].piece_count; j++) {
            const graph_piece *piece = &g->tensors[i].pieces[j];
            uint64_t size = 1;
            for (uint32_t k = 0; k < piece->rank; k++)
                size *= piece->shape[k];
            sum += size;
        }
    return sum;
}

static void test_published(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        const struct published *p = &published[i];
        any_config config;
        json_doc *doc = NULL;
        mzt_error error;
        if (json_parse(&host, p->name, p->config, strlen(p->config), &doc, &error) != MZT_OK)
            fail_msg("%s", error.message);
        read_config(&host, p->kind, doc, &config);
        graph *g = describe(&host, p->kind, &config);
        uint64_t count = count_parameters(g);
        graph_destroy(g);
        if (count != p->parameters)
            fail_msg("%s: %llu parameters, expected %llu", p->name, (unsigned long long)count,
                     (unsigned long long)p->parameters);
    }
}

/* ------------------------------------------------------------------------------------------ reference
 * checkpoints -- */

/* Every tensor of the checkpoint is described exactly once, with its shape, and nothing else is. */
static void compare_names(const graph *g, const weights_set *set, const char *path) {
    uint32_t pieces = 0;
    for (uint32_t i = 0; i < g->tensor_count; i++)
        for (uint32_t j = 0; j < g->tensors[i].piece_count; j++, pieces++) {
            const graph_piece *piece = &g->tensors[i].pieces[j];
            const weights_tensor *found = weights_find(set, piece->name);
            if (!found) fail_msg("%s has no %s", path, piece->name);
            bool same = found->rank == piece->rank;
            for (uint32_t k = 0; k < piece->rank && same; k++)
                same = found->shape[k] == piece->shape[k];
            if (!same) fail_msg("%s: %s has another shape", path, piece->name);
        }
    if (pieces != weights_count(set))
        fail_msg("%s has %u tensors, %u are described", path, (unsigned)weights_count(set), (unsigned)pieces);
}

static void test_reference_names(void **state) {
    (void)state;
    static const struct {
        const char *folder;
        network kind;
    } components[] = {
        {"sd1-tiny/unet", UNET},
        {"sd2-tiny/unet", UNET},
        {"sdxl-tiny/unet", UNET},
        {"sd1-tiny/vae", VAE},
        {"sd2-tiny/vae", VAE},
        {"sdxl-tiny/vae", VAE},
        {"sd1-tiny/text_encoder", CLIP},
        {"sd2-tiny/text_encoder", CLIP},
        {"sdxl-tiny/text_encoder", CLIP},
        {"sdxl-tiny/text_encoder_2", CLIP},
    };
    base_host host = host_make(NULL);
    const char *shared = getenv("MZT_SHARED");
    for (size_t i = 0; i < sizeof components / sizeof components[0]; i++) {
        char folder[600], path[640];
        mzt_error error;
        json_doc *doc = NULL;
        weights_set *set = NULL;
        any_config config;
        snprintf(folder, sizeof folder, "%s/reference/%s", shared ? shared : MZT_SOURCE_DIR "/../shared",
                 components[i].folder);
        snprintf(path, sizeof path, "%s/config.json", folder);
        if (!file_exists(path)) {
            print_message("%s is absent: skipped\n", path);
            skip();
        }
        if (json_read(&host, path, &doc, &error) != MZT_OK) fail_msg("%s", error.message);
        read_config(&host, components[i].kind, doc, &config);
        if (weights_open(&host, folder, &set, &error) != MZT_OK) fail_msg("%s", error.message);
        graph *g = describe(&host, components[i].kind, &config);
        compare_names(g, set, folder);
        graph_destroy(g);
        weights_close(set);
    }
}

/* ---------------------------------------------------------------------------------------------------- sizes,
 * inputs -- */

#define SMALL_UNET                                                                                           \
    "\"norm_num_groups\": 4, \"block_out_channels\": [8, 8, 16, 16], \"layers_per_block\": 1, "              \
    "\"attention_head_dim\": 2, "                                                                            \
    "\"cross_attention_dim\": 12, "                                                                          \
    "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"DownBlock2D\", "           \
    "\"DownBlock2D\"], "                                                                                     \
    "\"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"]"

static void small_unet(const base_host *host, const char *members, unet_config *config) {
    char text[1000];
    any_config any;
    json_doc *doc = NULL;
    snprintf(text, sizeof text, "{" SMALL_UNET "%s}", members);
    assert_int_equal(json_parse(host, "small", text, strlen(text), &doc, NULL), MZT_OK);
    read_config(host, UNET, doc, &any);
    *config = any.unet;
}

static void test_uneven_sizes(void **state) {
    (void)state;
    static const uint32_t sizes[][2] = {{65, 97}, {1, 1}, {1, 9}, {3, 2}, {7, 8}, {12, 20}};
    base_host host = host_make(NULL);
    unet_config config;
    small_unet(&host, "", &config);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
        shape4 s = graph_shape(g, describe_unet(g, &config, 2, sizes[i][0], sizes[i][1], 5));
        mzt_error error;
        if (graph_check(g, &error) != MZT_OK) fail_msg("%s", error.message);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.h, sizes[i][0]);
        assert_int_equal(s.w, sizes[i][1]);
        assert_int_equal(s.c, 4);
        graph_destroy(g);
    }
}

static void expect_failure(graph *g, const char *expected) {
    mzt_error error = {MZT_OK, ""};
    assert_int_equal(graph_check(g, &error), MZT_ERROR_INVALID);
    if (!strstr(error.message, expected)) fail_msg("\"%s\", expected \"%s\"", error.message, expected);
    graph_destroy(g);
}

static void test_refusals(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    unet_config config;
    small_unet(&host, ", \"downsample_padding\": 0", &config);
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    assert_int_equal(describe_unet(g, &config, 2, 12, 16, 0), TENSOR_NONE);
    expect_failure(g, "latent size 16 x 12: both must be multiples of 8");

    small_unet(&host, "", &config);
    g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    unet_inputs inputs = {.sample = graph_input(g, "sample", DTYPE_F32, (shape4){2, 8, 8, 9})};
    unet_describe(g, &config, &inputs, NULL);
    expect_failure(g, "sample has 9 channels, in_channels is 4");

    g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    inputs.sample = graph_input(g, "sample", DTYPE_F32, (shape4){2, 8, 8, 4});
    inputs.context = graph_input(g, "context", DTYPE_F32, (shape4){2, 77, 1, 13});
    unet_describe(g, &config, &inputs, NULL);
    expect_failure(g, "the context is 13 wide, cross_attention_dim is 12");

    g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    inputs.sample = graph_input(g, "sample", DTYPE_F32, (shape4){2, 8, 8, 4});
    inputs.context = graph_input(g, "context", DTYPE_F32, (shape4){2, 77, 1, 12});
    inputs.timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){3, 1, 1, 1});
    unet_describe(g, &config, &inputs, NULL);
    expect_failure(g, "3 timesteps for 2 samples");

    const vae_config vae = {
        .in_channels = 3, .out_channels = 3, .latent_channels = 4, .levels = 4, .groups = 4};
    g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    vae_describe_encoder(g, &vae, graph_input(g, "picture", DTYPE_F32, (shape4){1, 64, 65, 3}), NULL);
    expect_failure(g, "picture of 65 x 64: both must be multiples of 8");

    const clip_config clip = {
        .vocabulary = 10, .positions = 77, .channels = 8, .layers = 2, .heads = 2, .intermediate = 8};
    g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    const clip_inputs ids = {.ids = graph_input(g, "ids", DTYPE_U32, (shape4){1, 78, 1, 1})};
    clip_describe(g, &clip, &ids, 0);
    expect_failure(g, "78 tokens, max_position_embeddings is 77");
}

/* The published LCM networks embed the guidance scale; inside a step loop every time embedding is computed in
 * advance. */
static void test_guidance_embedding(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    unet_config config;
    small_unet(&host, ", \"time_cond_proj_dim\": 6, \"mid_block_type\": null", &config);
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    shape4 s = graph_shape(g, describe_unet(g, &config, 1, 8, 8, 4));
    assert_int_equal(graph_check(g, NULL), MZT_OK);
    assert_int_equal(s.h, 8);
    bool found = false;
    for (uint32_t i = 0; i < g->tensor_count; i++)
        found = found ||
                (g->tensors[i].name && strcmp(g->tensors[i].name, "time_embedding.cond_proj.weight") == 0);
    assert_true(found);
    graph_destroy(g);
}

static void test_eos_rows(void **state) {
    (void)state;
    const uint32_t ids[] = {5, 1, 9, 9, 9, 5, 1, 1, 1, 1, 5, 7, 2, 9, 2};
    uint32_t rows[3];
    clip_config config = {.eos = 9, .vocabulary = 10};
    clip_eos_rows(&config, ids, 3, 5, rows);
    assert_int_equal(rows[0], 2);
    assert_int_equal(rows[1], 5); /* no end token: position 0 */
    assert_int_equal(rows[2], 13);
    config.eos = 2; /* the largest id, the first of them */
    clip_eos_rows(&config, ids, 3, 5, rows);
    assert_int_equal(rows[0], 2);
    assert_int_equal(rows[1], 5);
    assert_int_equal(rows[2], 13);
    config.eos = 1;
    clip_eos_rows(&config, ids, 3, 5, rows);
    assert_int_equal(rows[0], 1);
}

static bool has_old_names(const void *user, const char *name) {
    return strcmp(name, user) == 0;
}

/* Autoencoders saved before diffusers renamed the attention's parameters. */
/* Patches of 4 x 4 pixels: the networks work on 16 x 16, all 64 values of a patch as channels. */
static void test_vae_patches(void **state) {
    (void)state;
    const vae_config vae = {.in_channels = 4,
                            .out_channels = 4,
                            .latent_channels = 8,
                            .patch_size = 4,
                            .levels = 2,
                            .channels = {8, 16},
                            .layers = 1,
                            .groups = 4};
    base_host host = host_make(NULL);
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    const shape4 in = {1, 64, 64, 4}, small = {1, 8, 8, 8};
    const shape4 moments =
        graph_shape(g, vae_describe_encoder(g, &vae, graph_input(g, "picture", DTYPE_F32, in), NULL));
    const shape4 out =
        graph_shape(g, vae_describe_decoder(g, &vae, graph_input(g, "latent", DTYPE_F32, small), NULL));
    mzt_error error;
    assert_int_equal(graph_check(g, &error), MZT_OK);
    assert_true(moments.h == 8 && moments.w == 8 && moments.c == 16);
    assert_true(out.h == 64 && out.w == 64 && out.c == 4);
    graph_destroy(g);
}

static void test_old_vae_names(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    const vae_config config = {.in_channels = 3,
                               .out_channels = 3,
                               .latent_channels = 4,
                               .levels = 1,
                               .channels = {8},
                               .layers = 1,
                               .groups = 4,
                               .mid_attention = true};
    const vae_options options = {.has = has_old_names, .user = "decoder.mid_block.attentions.0.query.weight"};
    graph *g = graph_create(&host, DTYPE_F32, DTYPE_F32);
    vae_describe_decoder(g, &config, graph_input(g, "latent", DTYPE_F32, (shape4){1, 4, 4, 4}), &options);
    assert_int_equal(graph_check(g, NULL), MZT_OK);
    uint32_t old = 0, new = 0;
    for (uint32_t i = 0; i < g->tensor_count; i++) {
        const char *name = g->tensors[i].name ? g->tensors[i].name : "";
        old += strstr(name, "attentions.0.proj_attn.") != NULL || strstr(name, "attentions.0.query.") != NULL;
        new += strstr(name, "attentions.0.to_") != NULL;
    }
    graph_destroy(g);
    assert_int_equal(old, 4);
    assert_int_equal(new, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),          cmocka_unit_test(test_reference_names),
        cmocka_unit_test(test_uneven_sizes),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_guidance_embedding), cmocka_unit_test(test_eos_rows),
        cmocka_unit_test(test_vae_patches),        cmocka_unit_test(test_old_vae_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
