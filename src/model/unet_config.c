/* Reads unet/config.json; see unet_config.h. Meanings and defaults follow diffusers 0.27. */
#include "model/unet_config.h"

#include <string.h>

#include "model/config.h"

static const config_fixed fixed_options[] = {
    {"act_fn", {"\"silu\"", "\"swish\""}, false},
    {"addition_embed_type_num_heads", {"64"}, false},
    {"attention_type", {"\"default\""}, false},
    {"center_input_sample", {"false"}, false},
    {"class_embed_type", {"null"}, false},
    {"class_embeddings_concat", {"false"}, false},
    {"cross_attention_norm", {"null"}, false},
    {"dual_cross_attention", {"false"}, false},
    {"encoder_hid_dim", {"null"}, false},
    {"encoder_hid_dim_type", {"null"}, false},
    {"mid_block_only_cross_attention", {"null", "false"}, false},
    {"mid_block_scale_factor", {"1"}, false},
    {"num_attention_heads", {"null"}, false}, /* diffusers refuses it as well */
    {"num_class_embeds", {"null"}, false},
    {"only_cross_attention", {"false"}, true},
    {"resnet_out_scale_factor", {"1"}, false},
    {"resnet_skip_time_act", {"false"}, false},
    {"resnet_time_scale_shift", {"\"default\""}, false},
    {"time_embedding_act_fn", {"null"}, false},
    {"time_embedding_type", {"\"positional\""}, false},
    {"timestep_post_act", {"null"}, false},
};

/* Read below, or without effect on inference: dropout; upcast_attention (scores and softmax are always f32
 * here). */
static const char *const known_options[] = {
    "addition_embed_type",
    "addition_time_embed_dim",
    "attention_head_dim",
    "block_out_channels",
    "conv_in_kernel",
    "conv_out_kernel",
    "cross_attention_dim",
    "down_block_types",
    "downsample_padding",
    "dropout",
    "flip_sin_to_cos",
    "freq_shift",
    "in_channels",
    "layers_per_block",
    "mid_block_type",
    "norm_eps",
    "norm_num_groups",
    "out_channels",
    "projection_class_embeddings_input_dim",
    "reverse_transformer_layers_per_block",
    "sample_size",
    "time_cond_proj_dim",
    "time_embedding_dim",
    "transformer_layers_per_block",
    "up_block_types",
    "upcast_attention",
    "use_linear_projection",
    NULL,
};

enum { MAX_DEPTH = 256 }; /* transformer blocks in one place; the deepest published network has 10 */

/* Block types of all levels: has_attention[i] for the i-th in the file. */
static mzt_status read_blocks(json_value root, const char *key, const char *plain, const char *cross,
                              uint32_t levels, bool *has_attention, mzt_error *error) {
    json_value list;
    TRY(json_require_array(root, key, &list, error));
    if (json_count(list) != levels)
        return json_error(list, error, MZT_ERROR_INVALID,
                          "expected %u block types, one for each level, found %u", (unsigned)levels,
                          (unsigned)json_count(list));
    uint32_t i = 0;
    for (json_value v = json_first(list); v.item; v = json_next(v), i++) {
        const char *type;
        char text[80];
        TRY(json_as_string(v, &type, error));
        has_attention[i] = strcmp(type, cross) == 0;
        if (!has_attention[i] && strcmp(type, plain) != 0)
            return json_error(v, error, MZT_ERROR_UNSUPPORTED, "block type \"%s\" is not supported",
                              error_text(text, sizeof text, type));
    }
    return MZT_OK;
}

static mzt_status read_mid(json_value root, unet_config *config, mzt_error *error) {
    json_value value = json_get(root, "mid_block_type");
    const char *type = "UNetMidBlock2DCrossAttn"; /* when absent; null means that there is none */
    char text[80];
    if (json_kind_of(value) == JSON_NULL) {
        config->mid = UNET_MID_NONE;
        return MZT_OK;
    }
    if (value.item) TRY(json_as_string(value, &type, error));
    if (strcmp(type, "UNetMidBlock2DCrossAttn") == 0)
        config->mid = UNET_MID_CROSS;
    else if (strcmp(type, "UNetMidBlock2D") == 0)
        config->mid = UNET_MID_RESNET;
    else
        return json_error(root, error, MZT_ERROR_UNSUPPORTED, "mid_block_type = \"%s\" is not supported",
                          error_text(text, sizeof text, type));
    return MZT_OK;
}

/* One level's entry of transformer_layers_per_block: an integer for all of its layers, or a list. */
static mzt_status read_depths(json_value entry, uint32_t layers, uint32_t *depths, mzt_error *error) {
    bool list = json_kind_of(entry) == JSON_ARRAY;
    if (list && json_count(entry) != layers)
        return json_error(entry, error, MZT_ERROR_INVALID, "expected %u values, one for each layer, found %u",
                          (unsigned)layers, (unsigned)json_count(entry));
    json_value v = list ? json_first(entry) : entry;
    for (uint32_t i = 0; i < layers; i++) {
        int64_t depth;
        TRY(json_as_int(v, 0, MAX_DEPTH, &depth, error));
        depths[i] = (uint32_t)depth;
        if (list) v = json_next(v);
    }
    return MZT_OK;
}

/* The list `key` of levels entries, or an absent value when it is an integer, null or absent. */
static mzt_status depth_list(json_value root, const char *key, uint32_t levels, json_value *list,
                             mzt_error *error) {
    *list = json_get(root, key);
    if (json_kind_of(*list) != JSON_ARRAY) {
        list->item = NULL;
        return MZT_OK;
    }
    if (json_count(*list) != levels)
        return json_error(*list, error, MZT_ERROR_INVALID, "expected %u values, one for each level, found %u",
                          (unsigned)levels, (unsigned)json_count(*list));
    return MZT_OK;
}

/* transformer_layers_per_block: an integer, a list, or (asymmetrical networks) a list of lists, which
 * describes the way down only; reverse_transformer_layers_per_block then describes the way up, coarsest level
 * first. */
static mzt_status read_transformers(json_value root, unet_config *config, mzt_error *error) {
    json_value down, up;
    uint32_t single = 1;
    const uint32_t levels = config->levels;
    TRY(depth_list(root, "transformer_layers_per_block", levels, &down, error));
    TRY(depth_list(root, "reverse_transformer_layers_per_block", levels, &up, error));
    if (!up.item && json_given(json_get(root, "reverse_transformer_layers_per_block")))
        return json_error(json_get(root, "reverse_transformer_layers_per_block"), error, MZT_ERROR_INVALID,
                          "expected a list or null");
    if (!down.item) TRY(config_u32(root, "transformer_layers_per_block", 0, MAX_DEPTH, 1, &single, error));
    json_value entry = json_first(down), reverse = json_first(up);
    config->mid_depth = single;
    for (uint32_t i = 0; i < levels; i++) {
        uint32_t *depths = config->down_depth[i];
        const uint32_t layers = config->layers[i];
        for (uint32_t j = 0; j <= layers; j++) {
            if (j < layers) depths[j] = single;
            config->up_depth[i][j] = single;
        }
        if (down.item) {
            bool nested = json_kind_of(entry) == JSON_ARRAY;
            if (nested && !up.item)
                return json_error(entry, error, MZT_ERROR_INVALID,
                                  "a list needs reverse_transformer_layers_per_block as well");
            TRY(read_depths(entry, layers, depths, error));
            for (uint32_t j = 0; j <= layers && !nested; j++)
                config->up_depth[i][j] = depths[0];
            config->mid_depth = depths[0]; /* the coarsest level's, after the loop */
            entry = json_next(entry);
        }
    }
    for (uint32_t i = levels; up.item && i-- > 0; reverse = json_next(reverse))
        TRY(read_depths(reverse, config->layers[i] + 1, config->up_depth[i], error));
    return MZT_OK;
}

/* Heads per level, which must divide the channels where there is attention; the width of the context. */
static mzt_status read_attention(json_value root, unet_config *config, mzt_error *error) {
    const uint32_t levels = config->levels;
    uint32_t widths[UNET_MAX_LEVELS];
    TRY(config_levels(root, "attention_head_dim", 1, CONFIG_MAX_CHANNELS, levels, 8, config->heads, error));
    TRY(config_levels(root, "cross_attention_dim", 1, CONFIG_MAX_CHANNELS, levels, 1280, widths, error));
    config->context_channels = widths[0];
    for (uint32_t i = 0; i < levels; i++) {
        bool used = config->down_attention[i] || config->up_attention[i];
        if (i + 1 == levels) used = used || config->mid == UNET_MID_CROSS;
        if (used && config->channels[i] % config->heads[i] != 0)
            return json_error(json_get(root, "attention_head_dim"), error, MZT_ERROR_INVALID,
                              "%u heads do not divide the %u channels of level %u",
                              (unsigned)config->heads[i], (unsigned)config->channels[i], (unsigned)i);
        if (widths[i] != widths[0])
            return json_error(json_get(root, "cross_attention_dim"), error, MZT_ERROR_UNSUPPORTED,
                              "%u beside %u: one context cannot have two widths", (unsigned)widths[i],
                              (unsigned)widths[0]);
    }
    return MZT_OK;
}

static mzt_status read_time(json_value root, unet_config *config, mzt_error *error) {
    const char *type;
    double shift;
    TRY(config_u32(root, "time_embedding_dim", 1, CONFIG_MAX_CHANNELS, 4 * config->channels[0],
                   &config->time_channels, error));
    TRY(json_get_bool(root, "flip_sin_to_cos", true, &config->flip_sin_to_cos, error));
    TRY(json_get_double(root, "freq_shift", 0, &shift, error));
    if (!(shift >= 0 && shift < config->channels[0] / 2)) /* the exponent divides by half - shift */
        return json_error(root, error, MZT_ERROR_INVALID, "freq_shift = %.9g: expected 0 or more, below %u",
                          shift, (unsigned)(config->channels[0] / 2));
    config->freq_shift = (float)shift;
    TRY(config_u32(root, "time_cond_proj_dim", 4, CONFIG_MAX_CHANNELS, 0, &config->guidance_channels, error));
    TRY(json_get_string(root, "addition_embed_type", "", &type, error));
    config->text_time = strcmp(type, "text_time") == 0;
    if (!config->text_time) {
        char text[80];
        if (type[0] == '\0') return MZT_OK;
        return json_error(root, error, MZT_ERROR_UNSUPPORTED, "addition_embed_type = \"%s\" is not supported",
                          error_text(text, sizeof text, type));
    }
    int64_t value;
    TRY(json_require_int(root, "addition_time_embed_dim", 4, CONFIG_MAX_CHANNELS, &value, error));
    config->addition_time_channels = (uint32_t)value;
    TRY(json_require_int(root, "projection_class_embeddings_input_dim", 1, CONFIG_MAX_CHANNELS, &value,
                         error));
    config->addition_input_channels = (uint32_t)value;
    if (shift >= config->addition_time_channels / 2)
        return json_error(root, error, MZT_ERROR_INVALID, "freq_shift = %.9g: expected below %u", shift,
                          (unsigned)(config->addition_time_channels / 2));
    return MZT_OK;
}

static mzt_status read_convolutions(json_value root, unet_config *config, mzt_error *error) {
    static const char *const keys[] = {"conv_in_kernel", "conv_out_kernel"};
    uint32_t *kernels[] = {&config->conv_in_kernel, &config->conv_out_kernel};
    for (uint32_t i = 0; i < 2; i++) {
        TRY(config_u32(root, keys[i], 1, 15, 3, kernels[i], error));
        if (*kernels[i] % 2 == 0)
            return json_error(root, error, MZT_ERROR_UNSUPPORTED, "%s = %u is not supported: it is even",
                              keys[i], (unsigned)*kernels[i]);
    }
    TRY(config_u32(root, "in_channels", 1, 1024, 4, &config->in_channels, error));
    TRY(config_u32(root, "out_channels", 1, 1024, 4, &config->out_channels, error));
    TRY(config_u32(root, "downsample_padding", 0, 1, 1, &config->downsample_padding, error));
    return config_levels(root, "sample_size", 1, CONFIG_MAX_CHANNELS, 2, 0, config->sample_size, error);
}

mzt_status unet_config_read(json_value root, unet_config *config, mzt_error *error) {
    memset(config, 0, sizeof *config);
    TRY(config_check(root, fixed_options, sizeof fixed_options / sizeof fixed_options[0], known_options,
                     error));
    const uint32_t most = UNET_MAX_LEVELS;
    if (json_kind_of(json_get(root, "norm_num_groups")) == JSON_NULL)
        return json_error(root, error, MZT_ERROR_UNSUPPORTED, "norm_num_groups = null is not supported");
    TRY(config_u32(root, "norm_num_groups", 1, CONFIG_MAX_CHANNELS, 32, &config->groups, error));
    TRY(config_float(root, "norm_eps", 0, 1, 1e-5, &config->eps, error));
    TRY(config_channels(root, config->groups, most, config->channels, &config->levels, error));
    TRY(config_levels(root, "layers_per_block", 1, UNET_MAX_LAYERS, config->levels, 2, config->layers,
                      error));
    bool up[UNET_MAX_LEVELS];
    TRY(read_blocks(root, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", config->levels,
                    config->down_attention, error));
    TRY(read_blocks(root, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", config->levels, up, error));
    for (uint32_t i = 0; i < config->levels; i++)
        config->up_attention[config->levels - 1 - i] = up[i];
    TRY(read_mid(root, config, error));
    TRY(read_transformers(root, config, error));
    TRY(read_attention(root, config, error));
    TRY(json_get_bool(root, "use_linear_projection", false, &config->linear_projection, error));
    TRY(read_convolutions(root, config, error));
    return read_time(root, config, error);
}

uint32_t unet_resnet_count(const unet_config *config) {
    uint32_t count = config->mid == UNET_MID_CROSS ? 2 : config->mid == UNET_MID_RESNET ? 1 : 0;
    for (uint32_t i = 0; i < config->levels; i++)
        count += 2 * config->layers[i] + 1;
    return count;
}
