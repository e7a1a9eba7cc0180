/* The engine's names to original ones; see ldm_names.h. */
#include <stdio.h>

#include "model/ldm_names.h"
#include "model/ldm_tables.h"

/* `original_head`, then `rest` by the table, read from the engine's side. */
static bool original(char out[LDM_NAME_LIMIT], const char *original_head, const name_pair *pairs,
                     size_t count, const char *rest) {
    const name_pair *pair = name_pair_find(pairs, count, rest, false);
    if (!pair) return false;
    int length =
        snprintf(out, LDM_NAME_LIMIT, "%s%s%s", original_head, pair->original, rest + strlen(pair->engine));
    return length > 0 && length < LDM_NAME_LIMIT;
}

static bool joined(char out[LDM_NAME_LIMIT], const char *head, const char *rest) {
    int length = snprintf(out, LDM_NAME_LIMIT, "%s%s", head, rest);
    return length > 0 && length < LDM_NAME_LIMIT;
}

/* The input block of a level's layer (or downsampling). */
static uint32_t input_of(const ldm_unet *u, uint32_t level, uint32_t layer) {
    for (uint32_t i = 1; i < u->inputs; i++)
        if (u->level[i] == level && u->layer[i] == layer) return i;
    return 0;
}

static bool down_original(const ldm_unet *u, const char *rest, char out[LDM_NAME_LIMIT]) {
    uint32_t level, layer;
    char head[80];
    if (!name_number(&rest, &level) || level >= u->levels) return false;
    const bool sampler = name_take(&rest, "downsamplers.0.conv.");
    if (sampler) {
        snprintf(head, sizeof head, "input_blocks.%u.0.op.", (unsigned)input_of(u, level, u->layers[level]));
        return joined(out, head, rest);
    }
    const bool resnet = name_take(&rest, "resnets.");
    if ((!resnet && !name_take(&rest, "attentions.")) || !name_number(&rest, &layer)) return false;
    snprintf(head, sizeof head, "input_blocks.%u.%u.", (unsigned)input_of(u, level, layer), !resnet);
    return resnet ? original(out, head, PAIRS(resnet_names), rest) : joined(out, head, rest);
}

static bool up_original(const ldm_unet *u, const char *rest, char out[LDM_NAME_LIMIT]) {
    uint32_t up, layer, block = 0;
    char head[80];
    if (!name_number(&rest, &up) || up >= u->levels) return false;
    for (uint32_t i = 0; i < up; i++)
        block += u->layers[u->levels - 1 - i] + 1;
    if (name_take(&rest, "upsamplers.0.conv.")) {
        snprintf(head, sizeof head, "output_blocks.%u.%u.conv.",
                 (unsigned)(block + u->layers[u->levels - 1 - up]),
                 u->up_attention[u->levels - 1 - up] ? 2u : 1u);
        return joined(out, head, rest);
    }
    const bool resnet = name_take(&rest, "resnets.");
    if ((!resnet && !name_take(&rest, "attentions.")) || !name_number(&rest, &layer)) return false;
    snprintf(head, sizeof head, "output_blocks.%u.%u.", (unsigned)(block + layer), !resnet);
    return resnet ? original(out, head, PAIRS(resnet_names), rest) : joined(out, head, rest);
}

bool ldm_unet_of(const unet_config *config, ldm_unet *out) {
    *out = (ldm_unet){.levels = config->levels, .inputs = 1};
    for (uint32_t level = 0; level < config->levels; level++) {
        out->layers[level] = config->layers[level];
        out->up_attention[level] = config->up_attention[level];
        const uint32_t blocks = config->layers[level] + (level + 1 < config->levels);
        for (uint32_t layer = 0; layer < blocks; layer++) {
            if (out->inputs == LDM_BLOCK_LIMIT) return false;
            out->level[out->inputs] = (uint8_t)level;
            out->layer[out->inputs++] = (uint8_t)layer;
        }
    }
    return true;
}

static bool middle_original(const char *rest, char out[LDM_NAME_LIMIT]) {
    if (name_take(&rest, "attentions.0.")) return joined(out, "middle_block.1.", rest);
    if (name_take(&rest, "resnets.0.")) return original(out, "middle_block.0.", PAIRS(resnet_names), rest);
    if (name_take(&rest, "resnets.1.")) return original(out, "middle_block.2.", PAIRS(resnet_names), rest);
    return false;
}

bool ldm_unet_original(const ldm_unet *unet, const char *name, char out[LDM_NAME_LIMIT]) {
    const char *rest = name;
    if (original(out, "", PAIRS(unet_names), rest)) return true;
    if (name_take(&rest, "down_blocks.")) return down_original(unet, rest, out);
    if (name_take(&rest, "mid_block.")) return middle_original(rest, out);
    if (name_take(&rest, "up_blocks.")) return up_original(unet, rest, out);
    return false;
}

/* The level and what follows of encoder.down_blocks.L and decoder.up_blocks.L. */
static bool vae_level_original(const char *part, bool up, uint32_t level, const char *rest,
                               char out[LDM_NAME_LIMIT]) {
    uint32_t index;
    char head[80];
    snprintf(head, sizeof head, "%s%s.%u.%s", part, up ? "up" : "down", (unsigned)level,
             up ? "upsample.conv." : "downsample.conv.");
    if (name_take(&rest, up ? "upsamplers.0.conv." : "downsamplers.0.conv.")) return joined(out, head, rest);
    if (!name_take(&rest, "resnets.") || !name_number(&rest, &index)) return false;
    snprintf(head, sizeof head, "%s%s.%u.block.%u.", part, up ? "up" : "down", (unsigned)level,
             (unsigned)index);
    return original(out, head, PAIRS(vae_resnet_names), rest);
}

static bool vae_half_original(const char *part, uint32_t levels, const char *rest, char out[LDM_NAME_LIMIT]) {
    char head[80];
    uint32_t level;
    if (original(out, part, PAIRS(vae_names), rest)) return true;
    snprintf(head, sizeof head, "%smid.attn_1.", part);
    if (name_take(&rest, "mid_block.attentions.0."))
        return original(out, head, PAIRS(vae_attention_names), rest);
    snprintf(head, sizeof head, "%smid.block_1.", part);
    if (name_take(&rest, "mid_block.resnets.0.")) return original(out, head, PAIRS(vae_resnet_names), rest);
    snprintf(head, sizeof head, "%smid.block_2.", part);
    if (name_take(&rest, "mid_block.resnets.1.")) return original(out, head, PAIRS(vae_resnet_names), rest);
    if (name_take(&rest, "down_blocks.") && name_number(&rest, &level))
        return vae_level_original(part, false, level, rest, out);
    if (name_take(&rest, "up_blocks.") && name_number(&rest, &level) && level < levels)
        return vae_level_original(part, true, levels - 1 - level, rest, out);
    return false;
}

bool ldm_vae_original(uint32_t levels, const char *name, char out[LDM_NAME_LIMIT]) {
    const char *rest = name;
    if (name_take(&rest, "encoder.")) return vae_half_original("encoder.", levels, rest, out);
    if (name_take(&rest, "decoder.")) return vae_half_original("decoder.", levels, rest, out);
    if (strncmp(rest, "quant_conv.", 11) == 0 || strncmp(rest, "post_quant_conv.", 16) == 0)
        return joined(out, "", rest);
    return false;
}

/* self_attn.q_proj.weight and its like. */
static bool projection_original(const char *rest, const char *head, char out[LDM_NAME_LIMIT],
                                uint32_t *part) {
    static const char letters[] = "qkv";
    const char *letter = *rest ? strchr(letters, *rest) : NULL;
    if (!letter) return false;
    rest++;
    if (!name_take(&rest, "_proj.")) return false;
    int length = snprintf(out, LDM_NAME_LIMIT, "%sattn.in_proj_%s", head, rest);
    *part = (uint32_t)(letter - letters);
    return length > 0 && length < LDM_NAME_LIMIT;
}

bool ldm_open_clip_original(const char *name, char out[LDM_NAME_LIMIT], uint32_t *part, uint32_t *parts,
                            bool *transposed) {
    const char *rest = name;
    char head[80];
    uint32_t layer;
    *part = 0;
    *parts = 1;
    *transposed = strcmp(name, "text_projection.weight") == 0;
    if (*transposed) return joined(out, "text_projection", "");
    if (!name_take(&rest, "text_model.")) return false;
    if (strcmp(rest, "embeddings.token_embedding.weight") == 0)
        return joined(out, "token_embedding.weight", "");
    if (strcmp(rest, "embeddings.position_embedding.weight") == 0)
        return joined(out, "positional_embedding", "");
    if (name_take(&rest, "final_layer_norm.")) return joined(out, "ln_final.", rest);
    if (!name_take(&rest, "encoder.layers.") || !name_number(&rest, &layer)) return false;
    snprintf(head, sizeof head, "transformer.resblocks.%u.", (unsigned)layer);
    const char *attention = rest;
    if (name_take(&attention, "self_attn.") && projection_original(attention, head, out, part)) {
        *parts = 3;
        return true;
    }
    return original(out, head, PAIRS(open_clip_layer_names), rest);
}
