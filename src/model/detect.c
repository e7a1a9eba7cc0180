/* Configurations from tensors; see detect.h. */
#include "model/detect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/config.h"

#define DETECT_GROUPS 32u /* of every group norm in published networks */
#define DEPTH_LIMIT   256u

/* printf into a look-up; NULL when there is no such tensor. */
static const weights_tensor *find(const weights_set *set, const char *format, ...) BASE_PRINTF(2, 3);

static const weights_tensor *find(const weights_set *set, const char *format, ...) {
    char name[200];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return length > 0 && (size_t)length < sizeof name ? weights_find(set, name) : NULL;
}

/* Size `axis` of a tensor that must be there, in 1 ... CONFIG_MAX_CHANNELS (vocabularies: 2^24). */
static mzt_status size_of(const weights_set *set, const char *name, uint32_t axis, uint32_t limit,
                          uint32_t *out, mzt_error *error) {
    const weights_tensor *t = weights_find(set, name);
    char shape[120];
    if (!t)
        return error_set(error, MZT_ERROR_FORMAT, "%s: there is no tensor \"%s\"", weights_name(set), name);
    if (axis >= t->rank || t->shape[axis] == 0 || t->shape[axis] > limit)
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: tensor \"%s\": expected 1 to %u in place %u, found shape %s", t->file, name,
                         (unsigned)limit, (unsigned)axis,
                         weights_shape_text(shape, sizeof shape, t->shape, t->rank));
    *out = (uint32_t)t->shape[axis];
    return MZT_OK;
}

static mzt_status channels_of(const weights_set *set, const char *name, uint32_t axis, uint32_t *out,
                              mzt_error *error) {
    return size_of(set, name, axis, CONFIG_MAX_CHANNELS, out, error);
}

/* How many of prefix.0suffix, prefix.1suffix, ... there are, at most limit + 1. */
static uint32_t count_of(const weights_set *set, const char *prefix, const char *suffix, uint32_t limit) {
    uint32_t count = 0;
    while (count <= limit && find(set, "%s%u%s", prefix, (unsigned)count, suffix))
        count++;
    return count;
}

/* ------------------------------------------------------------------------------------------------ UNet -- */

/* Residual blocks of a level, and the transformer blocks behind each. */
static mzt_status read_level(const weights_set *set, const char *blocks, uint32_t index, uint32_t most,
                             uint32_t *layers, uint32_t *depths, bool *attention, mzt_error *error) {
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s.%u.resnets.", blocks, (unsigned)index);
    *layers = count_of(set, prefix, ".conv1.weight", most);
    if (*layers == 0 || *layers > most)
        return error_set(error, MZT_ERROR_FORMAT, "%s: %s.%u has %u residual blocks, expected 1 to %u",
                         weights_name(set), blocks, (unsigned)index, (unsigned)*layers, (unsigned)most);
    snprintf(prefix, sizeof prefix, "%s.%u.attentions.", blocks, (unsigned)index);
    const uint32_t transformers = count_of(set, prefix, ".norm.weight", most);
    *attention = transformers > 0;
    if (transformers != 0 && transformers != *layers)
        return error_set(
            error, MZT_ERROR_UNSUPPORTED,
            "%s: %s.%u has %u transformers beside %u residual blocks; only all or none are known",
            weights_name(set), blocks, (unsigned)index, (unsigned)transformers, (unsigned)*layers);
    for (uint32_t i = 0; i < *layers; i++) {
        snprintf(prefix, sizeof prefix, "%s.%u.attentions.%u.transformer_blocks.", blocks, (unsigned)index,
                 (unsigned)i);
        depths[i] = count_of(set, prefix, ".norm1.weight", DEPTH_LIMIT);
    }
    return MZT_OK;
}

static mzt_status read_levels(const weights_set *set, unet_config *c, mzt_error *error) {
    char name[80];
    c->levels = count_of(set, "down_blocks.", ".resnets.0.conv1.weight", UNET_MAX_LEVELS);
    if (c->levels == 0 || c->levels > UNET_MAX_LEVELS)
        return error_set(error, MZT_ERROR_FORMAT, "%s: a UNet of %u levels, expected 1 to %d",
                         weights_name(set), (unsigned)c->levels, UNET_MAX_LEVELS);
    for (uint32_t level = 0; level < c->levels; level++) {
        uint32_t ups;
        snprintf(name, sizeof name, "down_blocks.%u.resnets.0.conv1.weight", (unsigned)level);
        TRY(channels_of(set, name, 0, &c->channels[level], error));
        if (c->channels[level] % DETECT_GROUPS)
            return error_set(error, MZT_ERROR_UNSUPPORTED,
                             "%s: %s: %u channels are no multiple of the %u groups of published networks",
                             weights_name(set), name, (unsigned)c->channels[level], DETECT_GROUPS);
        TRY(read_level(set, "down_blocks", level, UNET_MAX_LAYERS, &c->layers[level], c->down_depth[level],
                       &c->down_attention[level], error));
        TRY(read_level(set, "up_blocks", c->levels - 1 - level, UNET_MAX_LAYERS + 1, &ups, c->up_depth[level],
                       &c->up_attention[level], error));
        if (ups != c->layers[level] + 1)
            return error_set(error, MZT_ERROR_UNSUPPORTED,
                             "%s: level %u has %u residual blocks down and %u up, expected one more up",
                             weights_name(set), (unsigned)level, (unsigned)c->layers[level], (unsigned)ups);
    }
    c->mid = !find(set, "mid_block.resnets.0.conv1.weight")     ? UNET_MID_NONE
             : !find(set, "mid_block.attentions.0.norm.weight") ? UNET_MID_RESNET
                                                                : UNET_MID_CROSS;
    c->mid_depth = count_of(set, "mid_block.attentions.0.transformer_blocks.", ".norm1.weight", DEPTH_LIMIT);
    return MZT_OK;
}

/* The scope of any transformer; false: there is none. */
static bool any_transformer(const unet_config *c, char *scope, size_t size) {
    snprintf(scope, size, "mid_block.attentions.0");
    if (c->mid == UNET_MID_CROSS && c->mid_depth) return true;
    for (uint32_t level = 0; level < c->levels; level++) {
        snprintf(scope, size, "down_blocks.%u.attentions.0", (unsigned)level);
        if (c->down_attention[level] && c->down_depth[level][0]) return true;
        snprintf(scope, size, "up_blocks.%u.attentions.0", (unsigned)(c->levels - 1 - level));
        if (c->up_attention[level] && c->up_depth[level][0]) return true;
    }
    return false;
}

static mzt_status read_attention(const weights_set *set, unet_config *c, mzt_error *error) {
    char scope[80], name[160];
    if (!any_transformer(c, scope, sizeof scope))
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: a UNet without attention to a text",
                         weights_name(set));
    snprintf(name, sizeof name, "%s.transformer_blocks.0.attn2.to_k.weight", scope);
    TRY(channels_of(set, name, 1, &c->context_channels, error));
    const weights_tensor *projection = find(set, "%s.proj_in.weight", scope);
    c->linear_projection = projection && projection->rank == 2;
    /* Text of CLIP ViT-L/14 alone: Stable Diffusion 1, with 8 heads, whatever way its projections are kept.
     */
    const bool eight = !c->linear_projection || c->context_channels == 768;
    for (uint32_t level = 0; level < c->levels; level++) {
        const bool used = c->down_attention[level] || c->up_attention[level] || level + 1 == c->levels;
        c->heads[level] = eight ? 8 : c->channels[level] / 64;
        if (c->heads[level] == 0) c->heads[level] = 1;
        if (used && c->channels[level] % c->heads[level])
            return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: %u channels of level %u for %u heads",
                             weights_name(set), (unsigned)c->channels[level], (unsigned)level,
                             (unsigned)c->heads[level]);
    }
    return MZT_OK;
}

static mzt_status read_time(const weights_set *set, unet_config *c, mzt_error *error) {
    TRY(channels_of(set, "time_embedding.linear_1.weight", 0, &c->time_channels, error));
    c->flip_sin_to_cos = true;
    if (find(set, "time_embedding.cond_proj.weight"))
        TRY(channels_of(set, "time_embedding.cond_proj.weight", 1, &c->guidance_channels, error));
    c->text_time = find(set, "add_embedding.linear_1.weight") != NULL;
    if (!c->text_time) return MZT_OK;
    const uint32_t ids = 6; /* original size, crop, target size */
    c->addition_time_channels = 256;
    TRY(channels_of(set, "add_embedding.linear_1.weight", 1, &c->addition_input_channels, error));
    if (c->addition_input_channels > ids * c->addition_time_channels && c->addition_input_channels != 2560)
        return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: %s", weights_name(set),
                     c->addition_input_channels == 2560
                         ? "Stable Diffusion XL's refiner is recognised but not supported"
                         : "the added embedding has no room for text and six sizes");
}

mzt_status unet_config_detect(const weights_set *set, unet_config *config, mzt_error *error) {
    memset(config, 0, sizeof *config);
    config->groups = DETECT_GROUPS;
    config->eps = 1e-5f;
    config->downsample_padding = 1;
    TRY(channels_of(set, "conv_in.weight", 1, &config->in_channels, error));
    TRY(size_of(set, "conv_in.weight", 2, 15, &config->conv_in_kernel, error));
    TRY(channels_of(set, "conv_out.weight", 0, &config->out_channels, error));
    TRY(size_of(set, "conv_out.weight", 2, 15, &config->conv_out_kernel, error));
    TRY(read_levels(set, config, error));
    TRY(read_attention(set, config, error));
    TRY(read_time(set, config, error));
    config->sample_size[0] = config->text_time ? 128 : 64;
    config->sample_size[1] = config->sample_size[0];
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------- autoencoder --
 */

/* The layers of one half of a tiny autoencoder, from their numbers: blocks between convolutions. Levels are
 * closed by a convolution on the way down (the next level's) and up (their own). */
static mzt_status read_tiny_half(const weights_set *set, const char *half, uint32_t *levels, uint32_t *blocks,
                                 mzt_error *error) {
    const bool up = strcmp(half, "decoder") == 0;
    uint32_t layer = up ? 2 : 1, level = 0;
    blocks[0] = 0;
    for (;; layer++) {
        if (find(set, "%s.layers.%u.conv.0.weight", half, (unsigned)layer)) {
            blocks[level]++;
        } else if (find(set, "%s.layers.%u.weight", half, (unsigned)layer) && level + 1 < VAE_MAX_LEVELS) {
            blocks[++level] = 0;
        } else if (!up || !find(set, "%s.layers.%u.weight", half, (unsigned)layer + 1)) {
            break; /* not the number of an enlarging */
        }
    }
    *levels = level;
    if (level > 0 && level < VAE_MAX_LEVELS) return MZT_OK;
    return error_set(error, MZT_ERROR_FORMAT, "%s: a tiny autoencoder of %u levels", weights_name(set),
                     (unsigned)level);
}

static mzt_status detect_tiny(const weights_set *set, vae_config *c, mzt_error *error) {
    const bool down = find(set, "encoder.layers.0.weight") != NULL,
               up = find(set, "decoder.layers.0.weight") != NULL;
    uint32_t levels = 0;
    *c =
        (vae_config){.tiny = true, .patch_size = 1, .in_channels = 3, .out_channels = 3, .scaling_factor = 1};
    if (down) {
        TRY(read_tiny_half(set, "encoder", &c->levels, c->tiny_down, error));
        TRY(channels_of(set, "encoder.layers.0.weight", 0, &c->channels[0], error));
        TRY(channels_of(set, "encoder.layers.0.weight", 1, &c->in_channels, error));
    }
    if (up) {
        char name[40];
        TRY(read_tiny_half(set, "decoder", &levels, c->tiny_up, error));
        TRY(channels_of(set, "decoder.layers.0.weight", 0, &c->channels[0], error));
        TRY(channels_of(set, "decoder.layers.0.weight", 1, &c->latent_channels, error));
        uint32_t last = 1;
        for (uint32_t level = 0; level < levels; level++)
            last += c->tiny_up[level] + 1 + (level + 1 < levels);
        snprintf(name, sizeof name, "decoder.layers.%u.weight", (unsigned)last);
        TRY(channels_of(set, name, 0, &c->out_channels, error));
        if (down && levels != c->levels)
            return error_set(error, MZT_ERROR_FORMAT, "%s: %u levels down and %u up", weights_name(set),
                             (unsigned)c->levels, (unsigned)levels);
        c->levels = levels;
    } else {
        c->latent_channels = 4;
    }
    for (uint32_t level = 1; level < c->levels; level++)
        c->channels[level] = c->channels[0];
    if (c->latent_channels == 4) return MZT_OK;
    return error_set(
        error, MZT_ERROR_UNSUPPORTED,
        "%s: a tiny autoencoder of %u latent channels (Stable Diffusion 3, Flux) is not supported",
        weights_name(set), (unsigned)c->latent_channels);
}

mzt_status vae_config_detect(const weights_set *set, bool xl, vae_config *config, mzt_error *error) {
    memset(config, 0, sizeof *config);
    char name[80];
    if (find(set, "encoder.layers.0.weight") || find(set, "decoder.layers.0.weight"))
        return detect_tiny(set, config, error);
    config->groups = DETECT_GROUPS;
    config->patch_size = 1;
    config->levels = count_of(set, "encoder.down_blocks.", ".resnets.0.conv1.weight", VAE_MAX_LEVELS);
    if (config->levels == 0 || config->levels > VAE_MAX_LEVELS)
        return error_set(error, MZT_ERROR_FORMAT, "%s: an autoencoder of %u levels, expected 1 to %d",
                         weights_name(set), (unsigned)config->levels, VAE_MAX_LEVELS);
    for (uint32_t level = 0; level < config->levels; level++) {
        snprintf(name, sizeof name, "encoder.down_blocks.%u.resnets.0.conv1.weight", (unsigned)level);
        TRY(channels_of(set, name, 0, &config->channels[level], error));
        if (config->channels[level] % DETECT_GROUPS)
            return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: %s: %u channels are no multiple of %u groups",
                             weights_name(set), name, (unsigned)config->channels[level], DETECT_GROUPS);
    }
    config->layers = count_of(set, "encoder.down_blocks.0.resnets.", ".conv1.weight", 64);
    if (config->layers == 0 || config->layers > 64)
        return error_set(error, MZT_ERROR_FORMAT, "%s: an autoencoder of %u layers a level",
                         weights_name(set), (unsigned)config->layers);
    TRY(channels_of(set, "encoder.conv_in.weight", 1, &config->in_channels, error));
    TRY(channels_of(set, "decoder.conv_out.weight", 0, &config->out_channels, error));
    TRY(channels_of(set, "decoder.conv_in.weight", 1, &config->latent_channels, error));
    config->mid_attention = find(set, "decoder.mid_block.attentions.0.group_norm.weight") != NULL;
    config->quant_conv = find(set, "quant_conv.weight") != NULL;
    config->post_quant_conv = find(set, "post_quant_conv.weight") != NULL;
    if (config->latent_channels == 16)
        return error_set(
            error, MZT_ERROR_UNSUPPORTED,
            "%s: an autoencoder of 16 latent channels (Stable Diffusion 3, Flux) is recognised but "
            "not supported",
            weights_name(set));
    config->scaling_factor = xl ? 0.13025f : 0.18215f;
    config->force_upcast = xl;
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------ text encoders --
 */

mzt_status clip_config_detect(const weights_set *set, bool open_clip, bool projection, clip_config *config,
                              mzt_error *error) {
    static const char tokens[] = "text_model.embeddings.token_embedding.weight",
                      positions[] = "text_model.embeddings.position_embedding.weight";
    memset(config, 0, sizeof *config);
    TRY(size_of(set, tokens, 0, 1u << 24, &config->vocabulary, error));
    TRY(channels_of(set, tokens, 1, &config->channels, error));
    TRY(channels_of(set, positions, 0, &config->positions, error));
    TRY(channels_of(set, "text_model.encoder.layers.0.mlp.fc1.weight", 0, &config->intermediate, error));
    config->layers = count_of(set, "text_model.encoder.layers.", ".layer_norm1.weight", 256);
    if (config->layers > 256)
        return error_set(error, MZT_ERROR_FORMAT, "%s: a text encoder of more than 256 layers",
                         weights_name(set));
    config->heads = config->channels >= 64 ? config->channels / 64 : 1;
    if (config->channels % config->heads)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: a text encoder of %u channels for %u heads",
                         weights_name(set), (unsigned)config->channels, (unsigned)config->heads);
    /* Under transformers' names, the width tells OpenCLIP's two encoders from CLIP's own. */
    config->quick_gelu = !open_clip && config->channels != 1024 && config->channels != 1280;
    config->eps = 1e-5f;
    config->eos = 2; /* the token of the largest id: the end token of CLIP's vocabulary */
    config->projection = projection;
    if (projection) TRY(channels_of(set, "text_projection.weight", 0, &config->projection_channels, error));
    return MZT_OK;
}
