/* Original names to the engine's; see ldm_names.h. */
#include "model/ldm_names.h"

#include <stdio.h>

#include "model/ldm_tables.h"

/* ------------------------------------------------------------------------------------------------ targets --
 */

static uint32_t whole(ldm_target *target) {
    target->part = 0;
    target->parts = 1;
    target->transposed = false;
    return 1;
}

/* `head`, then `rest` by the table; 0 where the table does not know it or it does not fit. */
static uint32_t renamed(ldm_target *target, const char *head, const name_pair *pairs, size_t count,
                        const char *rest) {
    const name_pair *pair = name_pair_find(pairs, count, rest, true);
    if (!pair) return 0;
    const char *tail = rest + strlen(pair->original);
    int length = snprintf(target->name, sizeof target->name, "%s%s%s", head, pair->engine, tail);
    return length > 0 && length < LDM_NAME_LIMIT ? whole(target) : 0;
}

static uint32_t kept(ldm_target *target, const char *head, const char *rest) {
    int length = snprintf(target->name, sizeof target->name, "%s%s", head, rest);
    return length > 0 && length < LDM_NAME_LIMIT ? whole(target) : 0;
}

/* ------------------------------------------------------------------------------------------------ UNet -- */

static bool has(const weights_set *file, const char *prefix, uint32_t block, const char *rest) {
    char name[LDM_NAME_LIMIT];
    int length = snprintf(name, sizeof name, "%sinput_blocks.%u.%s", prefix, (unsigned)block, rest);
    return length > 0 && length < LDM_NAME_LIMIT && weights_find(file, name);
}

mzt_status ldm_unet_read(const weights_set *file, const char *prefix, ldm_unet *out, mzt_error *error) {
    *out = (ldm_unet){.levels = 1, .inputs = 1};
    for (;; out->inputs++) {
        const bool down = has(file, prefix, out->inputs, "0.op.weight");
        if (!down && !has(file, prefix, out->inputs, "0.in_layers.2.weight")) break;
        const uint32_t level = out->levels - 1;
        if (out->inputs == LDM_BLOCK_LIMIT || (down && out->levels == UNET_MAX_LEVELS) ||
            (!down && out->layers[level] == UNET_MAX_LAYERS))
            return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: a UNet of more than %d levels of %d layers",
                             weights_name(file), UNET_MAX_LEVELS, UNET_MAX_LAYERS);
        out->level[out->inputs] = (uint8_t)level;
        out->layer[out->inputs] = (uint8_t)out->layers[level];
        if (down)
            out->levels++;
        else
            out->layers[level]++;
    }
    if (out->inputs > 1) return MZT_OK;
    return error_set(error, MZT_ERROR_FORMAT, "%s: a UNet without input blocks", weights_name(file));
}

static uint32_t input_block(const ldm_unet *u, const char *rest, ldm_target *target) {
    uint32_t block, slot;
    char head[80];
    if (!name_number(&rest, &block) || !name_number(&rest, &slot) || block == 0 || block >= u->inputs)
        return 0;
    const unsigned level = u->level[block], layer = u->layer[block];
    if (layer == u->layers[level]) {
        snprintf(head, sizeof head, "down_blocks.%u.downsamplers.0.conv.", level);
        return slot == 0 && name_take(&rest, "op.") ? kept(target, head, rest) : 0;
    }
    snprintf(head, sizeof head, "down_blocks.%u.%s.%u.", level, slot ? "attentions" : "resnets", layer);
    if (slot == 0) return renamed(target, head, PAIRS(resnet_names), rest);
    return slot == 1 ? kept(target, head, rest) : 0;
}

static uint32_t middle_block(const char *rest, ldm_target *target) {
    uint32_t slot;
    if (!name_number(&rest, &slot) || slot > 2) return 0;
    if (slot == 1) return kept(target, "mid_block.attentions.0.", rest);
    return renamed(target, slot ? "mid_block.resnets.1." : "mid_block.resnets.0.", PAIRS(resnet_names), rest);
}

/* Output blocks: layers + 1 for each level from the coarsest on, the last of each with the upsampling. */
static uint32_t output_block(const ldm_unet *u, const char *rest, ldm_target *target) {
    uint32_t block, slot, up = 0;
    char head[80];
    if (!name_number(&rest, &block) || !name_number(&rest, &slot)) return 0;
    while (up < u->levels && block > u->layers[u->levels - 1 - up])
        block -= u->layers[u->levels - 1 - up++] + 1;
    if (up == u->levels) return 0;
    if ((slot == 1 || slot == 2) && name_take(&rest, "conv.")) {
        snprintf(head, sizeof head, "up_blocks.%u.upsamplers.0.conv.", (unsigned)up);
        return kept(target, head, rest);
    }
    snprintf(head, sizeof head, "up_blocks.%u.%s.%u.", (unsigned)up, slot ? "attentions" : "resnets",
             (unsigned)block);
    if (slot == 0) return renamed(target, head, PAIRS(resnet_names), rest);
    return slot == 1 ? kept(target, head, rest) : 0;
}

uint32_t ldm_unet_targets(const ldm_unet *unet, const char *original, ldm_target targets[LDM_TARGETS]) {
    const char *rest = original;
    if (renamed(targets, "", PAIRS(unet_names), rest)) return 1;
    if (name_take(&rest, "input_blocks.")) return input_block(unet, rest, targets);
    if (name_take(&rest, "middle_block.")) return middle_block(rest, targets);
    if (name_take(&rest, "output_blocks.")) return output_block(unet, rest, targets);
    return 0;
}

/* ------------------------------------------------------------------------------------------- autoencoder --
 */

/* encoder.down.L.… and decoder.up.L.…; `at` is the level as diffusers counts. */
static uint32_t vae_level(const char *part, const char *blocks, uint32_t at, const char *rest,
                          ldm_target *target) {
    const bool up = strcmp(blocks, "up_blocks") == 0;
    uint32_t index;
    char head[80];
    if (name_take(&rest, up ? "upsample.conv." : "downsample.conv.")) {
        snprintf(head, sizeof head, "%s%s.%u.%s.0.conv.", part, blocks, (unsigned)at,
                 up ? "upsamplers" : "downsamplers");
        return kept(target, head, rest);
    }
    if (!name_take(&rest, "block.") || !name_number(&rest, &index)) return 0;
    snprintf(head, sizeof head, "%s%s.%u.resnets.%u.", part, blocks, (unsigned)at, (unsigned)index);
    return renamed(target, head, PAIRS(vae_resnet_names), rest);
}

static uint32_t vae_half(const char *part, uint32_t levels, const char *rest, ldm_target *target) {
    char head[80];
    uint32_t level;
    if (renamed(target, part, PAIRS(vae_names), rest)) return 1;
    snprintf(head, sizeof head, "%smid_block.attentions.0.", part);
    if (name_take(&rest, "mid.attn_1.")) return renamed(target, head, PAIRS(vae_attention_names), rest);
    snprintf(head, sizeof head, "%smid_block.resnets.0.", part);
    if (name_take(&rest, "mid.block_1.")) return renamed(target, head, PAIRS(vae_resnet_names), rest);
    snprintf(head, sizeof head, "%smid_block.resnets.1.", part);
    if (name_take(&rest, "mid.block_2.")) return renamed(target, head, PAIRS(vae_resnet_names), rest);
    if (name_take(&rest, "down.") && name_number(&rest, &level))
        return vae_level(part, "down_blocks", level, rest, target);
    if (name_take(&rest, "up.") && name_number(&rest, &level) && level < levels)
        return vae_level(part, "up_blocks", levels - 1 - level, rest, target);
    return 0;
}

uint32_t ldm_vae_targets(uint32_t levels, const char *original, ldm_target targets[LDM_TARGETS]) {
    const char *rest = original;
    if (name_take(&rest, "encoder.")) return vae_half("encoder.", levels, rest, targets);
    if (name_take(&rest, "decoder.")) return vae_half("decoder.", levels, rest, targets);
    if (name_take(&rest, "quant_conv.")) return kept(targets, "quant_conv.", rest);
    if (name_take(&rest, "post_quant_conv.")) return kept(targets, "post_quant_conv.", rest);
    return 0;
}

/* ------------------------------------------------------------------------------------------ text encoders --
 */

uint32_t ldm_clip_targets(const char *original, ldm_target targets[LDM_TARGETS]) {
    const char *rest = original;
    if (strstr(original, "position_ids")) return 0;
    if (name_take(&rest, "text_model.")) return kept(targets, "text_model.", rest);
    if (strncmp(rest, "text_projection.", 16) == 0) return kept(targets, "", rest);
    /* Files from before transformers 4.31 lack the first word. */
    if (strncmp(rest, "embeddings.", 11) == 0 || strncmp(rest, "encoder.", 8) == 0 ||
        strncmp(rest, "final_layer_norm.", 17) == 0)
        return kept(targets, "text_model.", rest);
    return 0;
}

/* attn.in_proj_weight and attn.in_proj_bias: rows of queries, keys, values. */
static uint32_t fused_projections(const char *head, const char *what, ldm_target targets[LDM_TARGETS]) {
    for (uint32_t i = 0; i < 3; i++) {
        int length =
            snprintf(targets[i].name, LDM_NAME_LIMIT, "%sself_attn.%c_proj.%s", head, "qkv"[i], what);
        if (length < 0 || length >= LDM_NAME_LIMIT) return 0;
        targets[i].part = i;
        targets[i].parts = 3;
        targets[i].transposed = false;
    }
    return 3;
}

uint32_t ldm_open_clip_targets(const char *original, ldm_target targets[LDM_TARGETS]) {
    const char *rest = original;
    char head[80];
    uint32_t layer;
    if (strcmp(rest, "token_embedding.weight") == 0)
        return kept(targets, "", "text_model.embeddings.token_embedding.weight");
    if (strcmp(rest, "positional_embedding") == 0)
        return kept(targets, "", "text_model.embeddings.position_embedding.weight");
    if (strcmp(rest, "text_projection.weight") == 0) return kept(targets, "", rest);
    if (strcmp(rest, "text_projection") == 0) {
        kept(targets, "", "text_projection.weight");
        targets->transposed = true; /* x P there, x W^T here */
        return 1;
    }
    if (name_take(&rest, "ln_final.")) return kept(targets, "text_model.final_layer_norm.", rest);
    if (!name_take(&rest, "transformer.resblocks.") || !name_number(&rest, &layer)) return 0;
    snprintf(head, sizeof head, "text_model.encoder.layers.%u.", (unsigned)layer);
    if (strcmp(rest, "attn.in_proj_weight") == 0) return fused_projections(head, "weight", targets);
    if (strcmp(rest, "attn.in_proj_bias") == 0) return fused_projections(head, "bias", targets);
    return renamed(targets, head, PAIRS(open_clip_layer_names), rest);
}
