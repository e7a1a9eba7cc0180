/* Reads text_encoder/config.json; see clip_config.h. Defaults are those of transformers' CLIPTextConfig. */
#include "model/clip_config.h"

#include <string.h>

#include "model/config.h"

static mzt_status read_class(json_value root, clip_config *config, mzt_error *error) {
    char text[80];
    const char *type, *class = "CLIPTextModel";
    TRY(json_get_string(root, "model_type", "clip_text_model", &type, error));
    if (strcmp(type, "clip_text_model") != 0)
        return json_error(root, error, MZT_ERROR_UNSUPPORTED, "model_type = \"%s\" is not supported",
                          error_text(text, sizeof text, type));
    json_value list;
    TRY(json_get_array(root, "architectures", &list, error));
    if (json_count(list) > 0) TRY(json_as_string(json_first(list), &class, error));
    config->projection = strcmp(class, "CLIPTextModelWithProjection") == 0;
    if (config->projection || strcmp(class, "CLIPTextModel") == 0) return MZT_OK;
    return json_error(root, error, MZT_ERROR_UNSUPPORTED, "architectures = [\"%s\"] is not supported",
                      error_text(text, sizeof text, class));
}

mzt_status clip_config_read(json_value root, clip_config *config, mzt_error *error) {
    memset(config, 0, sizeof *config);
    TRY(json_as_kind(root, JSON_OBJECT, error));
    TRY(read_class(root, config, error));
    TRY(config_u32(root, "vocab_size", 1, 1u << 24, 49408, &config->vocabulary, error));
    TRY(config_u32(root, "max_position_embeddings", 1, CONFIG_MAX_CHANNELS, 77, &config->positions, error));
    TRY(config_u32(root, "hidden_size", 1, CONFIG_MAX_CHANNELS, 512, &config->channels, error));
    TRY(config_u32(root, "intermediate_size", 1, 4 * CONFIG_MAX_CHANNELS, 2048, &config->intermediate,
                   error));
    TRY(config_u32(root, "num_hidden_layers", 1, 256, 12, &config->layers, error));
    TRY(config_u32(root, "num_attention_heads", 1, CONFIG_MAX_CHANNELS, 8, &config->heads, error));
    TRY(config_u32(root, "projection_dim", 1, CONFIG_MAX_CHANNELS, 512, &config->projection_channels, error));
    TRY(config_u32(root, "eos_token_id", 0, UINT32_MAX, 49407, &config->eos, error));
    TRY(config_float(root, "layer_norm_eps", 0, 1, 1e-5, &config->eps, error));
    if (config->channels % config->heads != 0)
        return json_error(root, error, MZT_ERROR_INVALID,
                          "num_attention_heads = %u does not divide hidden_size = %u",
                          (unsigned)config->heads, (unsigned)config->channels);
    const char *activation;
    char text[80];
    TRY(json_get_string(root, "hidden_act", "quick_gelu", &activation, error));
    config->quick_gelu = strcmp(activation, "quick_gelu") == 0;
    if (!config->quick_gelu && strcmp(activation, "gelu") != 0)
        return json_error(root, error, MZT_ERROR_UNSUPPORTED, "hidden_act = \"%s\" is not supported",
                          error_text(text, sizeof text, activation));
    return MZT_OK;
}
