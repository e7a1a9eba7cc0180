/* Names of the original layout: pairs written down from published checkpoints, and every name of described
 * networks there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/ldm_names.h"
#include "weights/weights.h"

typedef struct name_case {
    const char *original, *engine;
} name_case;

/* Stable Diffusion 1: four levels of two layers, transformers on all but the coarsest. */
static const name_case sd1[] = {
    {"input_blocks.0.0.weight", "conv_in.weight"},
    {"time_embed.0.bias", "time_embedding.linear_1.bias"},
    {"time_embed.2.weight", "time_embedding.linear_2.weight"},
    {"input_blocks.1.0.in_layers.0.weight", "down_blocks.0.resnets.0.norm1.weight"},
    {"input_blocks.1.0.in_layers.2.weight", "down_blocks.0.resnets.0.conv1.weight"},
    {"input_blocks.2.0.emb_layers.1.bias", "down_blocks.0.resnets.1.time_emb_proj.bias"},
    {"input_blocks.2.1.proj_in.weight", "down_blocks.0.attentions.1.proj_in.weight"},
    {"input_blocks.3.0.op.weight", "down_blocks.0.downsamplers.0.conv.weight"},
    {"input_blocks.4.0.skip_connection.weight", "down_blocks.1.resnets.0.conv_shortcut.weight"},
    {"input_blocks.5.1.transformer_blocks.0.attn1.to_q.weight",
     "down_blocks.1.attentions.1.transformer_blocks.0.attn1.to_q.weight"},
    {"input_blocks.8.1.norm.bias", "down_blocks.2.attentions.1.norm.bias"},
    {"input_blocks.9.0.op.bias", "down_blocks.2.downsamplers.0.conv.bias"},
    {"input_blocks.11.0.out_layers.3.weight", "down_blocks.3.resnets.1.conv2.weight"},
    {"middle_block.0.out_layers.0.bias", "mid_block.resnets.0.norm2.bias"},
    {"middle_block.1.transformer_blocks.0.ff.net.0.proj.weight",
     "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight"},
    {"middle_block.2.in_layers.2.weight", "mid_block.resnets.1.conv1.weight"},
    {"output_blocks.0.0.in_layers.2.weight", "up_blocks.0.resnets.0.conv1.weight"},
    {"output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"},
    {"output_blocks.3.1.proj_out.bias", "up_blocks.1.attentions.0.proj_out.bias"},
    {"output_blocks.5.2.conv.weight", "up_blocks.1.upsamplers.0.conv.weight"},
    {"output_blocks.8.2.conv.bias", "up_blocks.2.upsamplers.0.conv.bias"},
    {"output_blocks.11.1.transformer_blocks.0.attn2.to_out.0.bias",
     "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_out.0.bias"},
    {"out.0.weight", "conv_norm_out.weight"},
    {"out.2.bias", "conv_out.bias"},
};

static const name_case vae[] = {
    {"encoder.conv_in.weight", "encoder.conv_in.weight"},
    {"encoder.down.0.block.1.conv2.bias", "encoder.down_blocks.0.resnets.1.conv2.bias"},
    {"encoder.down.1.block.0.nin_shortcut.weight", "encoder.down_blocks.1.resnets.0.conv_shortcut.weight"},
    {"encoder.down.2.downsample.conv.weight", "encoder.down_blocks.2.downsamplers.0.conv.weight"},
    {"encoder.mid.attn_1.norm.weight", "encoder.mid_block.attentions.0.group_norm.weight"},
    {"encoder.mid.attn_1.proj_out.bias", "encoder.mid_block.attentions.0.to_out.0.bias"},
    {"encoder.mid.block_2.norm1.weight", "encoder.mid_block.resnets.1.norm1.weight"},
    {"decoder.up.3.block.2.conv1.weight", "decoder.up_blocks.0.resnets.2.conv1.weight"},
    {"decoder.up.3.upsample.conv.bias", "decoder.up_blocks.0.upsamplers.0.conv.bias"},
    {"decoder.up.0.block.0.nin_shortcut.bias", "decoder.up_blocks.3.resnets.0.conv_shortcut.bias"},
    {"decoder.norm_out.weight", "decoder.conv_norm_out.weight"},
    {"quant_conv.weight", "quant_conv.weight"},
    {"post_quant_conv.bias", "post_quant_conv.bias"},
};

static const name_case open_clip[] = {
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"transformer.resblocks.0.ln_1.weight", "text_model.encoder.layers.0.layer_norm1.weight"},
    {"transformer.resblocks.22.mlp.c_fc.bias", "text_model.encoder.layers.22.mlp.fc1.bias"},
    {"transformer.resblocks.3.mlp.c_proj.weight", "text_model.encoder.layers.3.mlp.fc2.weight"},
    {"transformer.resblocks.10.attn.out_proj.weight",
     "text_model.encoder.layers.10.self_attn.out_proj.weight"},
    {"ln_final.bias", "text_model.final_layer_norm.bias"},
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static ldm_unet sd1_blocks(void) {
    const unet_config config = {.levels = 4,
                                .layers = {2, 2, 2, 2},
                                .down_attention = {true, true, true, false},
                                .up_attention = {true, true, true, false}};
    ldm_unet u;
    assert_true(ldm_unet_of(&config, &u));
    assert_int_equal(u.inputs, 12);
    return u;
}

static void expect(const char *original, uint32_t count, const ldm_target *target, const char *engine) {
    if (count != 1 || strcmp(target->name, engine) != 0)
        fail_msg("%s: %u targets, \"%s\", expected \"%s\"", original, (unsigned)count,
                 count ? target->name : "", engine);
}

static void test_pairs(void **state) {
    (void)state;
    const ldm_unet u = sd1_blocks();
    ldm_target t[LDM_TARGETS];
    char name[LDM_NAME_LIMIT];
    for (size_t i = 0; i < COUNT(sd1); i++) {
        expect(sd1[i].original, ldm_unet_targets(&u, sd1[i].original, t), t, sd1[i].engine);
        assert_true(ldm_unet_original(&u, sd1[i].engine, name));
        assert_string_equal(name, sd1[i].original);
    }
    for (size_t i = 0; i < COUNT(vae); i++) {
        expect(vae[i].original, ldm_vae_targets(4, vae[i].original, t), t, vae[i].engine);
        assert_true(ldm_vae_original(4, vae[i].engine, name));
        assert_string_equal(name, vae[i].original);
    }
    for (size_t i = 0; i < COUNT(open_clip); i++) {
        uint32_t part, parts;
        bool transposed;
        expect(open_clip[i].original, ldm_open_clip_targets(open_clip[i].original, t), t,
               open_clip[i].engine);
        assert_true(ldm_open_clip_original(open_clip[i].engine, name, &part, &parts, &transposed));
        assert_string_equal(name, open_clip[i].original);
        assert_true(part == 0 && parts == 1 && !transposed);
    }
}

static void test_text_encoders(void **state) {
    (void)state;
    ldm_target t[LDM_TARGETS];
    char name[LDM_NAME_LIMIT];
    uint32_t part, parts;
    bool transposed;
    assert_int_equal(ldm_open_clip_targets("transformer.resblocks.7.attn.in_proj_weight", t), 3);
    for (uint32_t i = 0; i < 3; i++) {
        char engine[80];
        snprintf(engine, sizeof engine, "text_model.encoder.layers.7.self_attn.%c_proj.weight", "qkv"[i]);
        assert_string_equal(t[i].name, engine);
        assert_true(t[i].part == i && t[i].parts == 3);
        assert_true(ldm_open_clip_original(engine, name, &part, &parts, &transposed));
        assert_string_equal(name, "transformer.resblocks.7.attn.in_proj_weight");
        assert_true(part == i && parts == 3);
    }
    assert_int_equal(ldm_open_clip_targets("transformer.resblocks.7.attn.in_proj_bias", t), 3);
    assert_string_equal(t[2].name, "text_model.encoder.layers.7.self_attn.v_proj.bias");
    assert_int_equal(ldm_open_clip_targets("text_projection", t), 1);
    assert_string_equal(t->name, "text_projection.weight");
    assert_true(t->transposed);
    assert_true(ldm_open_clip_original("text_projection.weight", name, &part, &parts, &transposed));
    assert_true(transposed && strcmp(name, "text_projection") == 0);
    assert_int_equal(ldm_open_clip_targets("logit_scale", t), 0);
    expect("", ldm_clip_targets("text_model.final_layer_norm.bias", t), t,
           "text_model.final_layer_norm.bias");
    expect("", ldm_clip_targets("encoder.layers.0.mlp.fc1.bias", t), t,
           "text_model.encoder.layers.0.mlp.fc1.bias");
    assert_int_equal(ldm_clip_targets("text_model.embeddings.position_ids", t), 0);
}

/* What is not of the network is left alone; numbers beyond it and too long names are no overflow. */
static void test_others(void **state) {
    (void)state;
    static const char *const others[] = {"",
                                         "input_blocks",
                                         "input_blocks.",
                                         "input_blocks.0",
                                         "input_blocks.12.0.in_layers.2.weight",
                                         "input_blocks.01.0.in_layers.2.weight",
                                         "input_blocks.1.0.",
                                         "input_blocks.1.3.norm.weight",
                                         "input_blocks.3.0.in_layers.2.weight",
                                         "input_blocks.99999999999.0.op.weight",
                                         "output_blocks.12.0.in_layers.2.weight",
                                         "output_blocks.0.3.conv.weight",
                                         "middle_block.3.in_layers.2.weight",
                                         "label_emb.1.0.weight",
                                         "unknown"};
    const ldm_unet u = sd1_blocks();
    ldm_target t[LDM_TARGETS];
    char name[LDM_NAME_LIMIT], longer[400];
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(ldm_unet_targets(&u, others[i], t), 0);
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "middle_block.1.", 15);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(ldm_unet_targets(&u, longer, t), 0);
    assert_int_equal(ldm_vae_targets(4, "decoder.up.4.block.0.conv1.weight", t), 0);
    assert_false(ldm_unet_original(&u, "down_blocks.9.resnets.0.conv1.weight", name));
    assert_false(ldm_unet_original(&u, "add_embedding", name));
    assert_false(ldm_vae_original(4, "decoder.up_blocks.7.resnets.0.conv1.weight", name));
}

/* The division into levels is read back from names. */
static void test_division(void **state) {
    (void)state;
    static const char *const names[] = {
        "p.input_blocks.0.0.weight", "p.input_blocks.1.0.in_layers.2.weight", "p.input_blocks.2.0.op.weight",
        "p.input_blocks.3.0.in_layers.2.weight", "p.input_blocks.4.0.in_layers.2.weight"};
    base_host host = host_make(NULL);
    weights_tensor tensors[5] = {{0}};
    weights_set *set;
    ldm_unet u;
    mzt_error error;
    for (int i = 0; i < 5; i++) {
        tensors[i].name = names[i];
        tensors[i].file = "memory";
    }
    const weights_source source = {.tensors = tensors, .count = 5};
    assert_int_equal(weights_create(&host, "memory", &source, &set, &error), MZT_OK);
    assert_int_equal(ldm_unet_read(set, "p.", &u, &error), MZT_OK);
    assert_int_equal(u.levels, 2);
    assert_int_equal(u.layers[0], 1);
    assert_int_equal(u.layers[1], 2);
    assert_int_equal(u.inputs, 5);
    assert_int_equal(ldm_unet_read(set, "q.", &u, &error), MZT_ERROR_FORMAT);
    assert_string_equal(error.message, "memory: a UNet without input blocks");
    weights_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs), cmocka_unit_test(test_text_encoders),
                                       cmocka_unit_test(test_others), cmocka_unit_test(test_division)};
    return cmocka_run_group_tests_name("ldm_names", tests, NULL, NULL);
}
