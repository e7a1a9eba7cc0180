/* Reads vae/config.json; see vae_config.h. Meanings and defaults follow diffusers' AutoencoderKL and
 * AutoencoderTiny. */
#include "model/vae_config.h"

#include <string.h>

#include "model/config.h"

static const config_fixed fixed_options[] = {
    {"act_fn", {"\"silu\"", "\"swish\""}, false},
    {"down_block_types", {"\"DownEncoderBlock2D\""}, true},
    {"latents_mean", {"null"}, false},
    {"latents_std", {"null"}, false},
    {"up_block_types", {"\"UpDecoderBlock2D\""}, true},
};

static const char *const known_options[] = {
    "block_out_channels",  "force_upcast",     "in_channels",
    "latent_channels",     "layers_per_block", "mid_block_add_attention",
    "norm_num_groups",     "out_channels",     "patch_size",
    "sample_size",         "scaling_factor",   "shift_factor",
    "use_post_quant_conv", "use_quant_conv",   NULL,
};

/* Fixed options say that each block type is the only one; here, that there is one for each level. */
static mzt_status check_block_count(json_value root, const char *key, uint32_t levels, mzt_error *error) {
    json_value list = json_get(root, key);
    uint32_t count = list.item ? json_count(list) : 1; /* the default has one */
    if (json_kind_of(list) == JSON_STRING) count = 1;
    if (count == levels) return MZT_OK;
    return json_error(root, error, MZT_ERROR_INVALID, "%s has %u entries, block_out_channels has %u", key,
                      (unsigned)count, (unsigned)levels);
}

static mzt_status read_shift(json_value root, vae_config *config, mzt_error *error) {
    double shift;
    TRY(json_get_double(root, "shift_factor", 0, &shift, error));
    if (!(shift >= -1e6 && shift <= 1e6))
        return json_error(root, error, MZT_ERROR_INVALID,
                          "shift_factor = %.9g: expected a number in -1e6..1e6", shift);
    config->shift_factor = (float)shift;
    return MZT_OK;
}

static const config_fixed tiny_fixed_options[] = {
    {"act_fn", {"\"relu\""}, false},
    {"latent_magnitude",
     {"3"},
     false}, /* of the range of pictures made of latents, which are not used here */
    {"latent_shift", {"0.5"}, false},
    {"shift_factor", {"0"}, false},
    {"upsample_fn", {"\"nearest\""}, false},
    {"upsampling_scaling_factor", {"2"}, false},
};

static const char *const tiny_known_options[] = {
    "block_out_channels", "decoder_block_out_channels",
    "force_upcast",       "encoder_block_out_channels",
    "in_channels",        "latent_channels",
    "num_decoder_blocks", "num_encoder_blocks",
    "out_channels",       "scaling_factor",
    "sample_size",        NULL,
};

/* A list of `count` block counts; absent gives `fallback` in the places that it has. */
static mzt_status read_blocks(json_value root, const char *key, const uint32_t *fallback, uint32_t count,
                              uint32_t *out, mzt_error *error) {
    int64_t values[VAE_MAX_LEVELS];
    uint32_t given;
    TRY(json_get_ints(root, key, 1, 64, values, VAE_MAX_LEVELS, &given, error));
    if (given != 0 && given != count)
        return json_error(root, error, MZT_ERROR_INVALID, "%s has %u entries, expected %u", key,
                          (unsigned)given, (unsigned)count);
    for (uint32_t i = 0; i < count; i++)
        out[i] = given ? (uint32_t)values[i] : fallback[i < 4 ? i : 3];
    return MZT_OK;
}

/* Widths that all have to be equal. */
static mzt_status read_tiny_channels(json_value root, const char *key, uint32_t *channels, uint32_t *levels,
                                     mzt_error *error) {
    int64_t values[VAE_MAX_LEVELS];
    TRY(json_get_ints(root, key, 1, CONFIG_MAX_CHANNELS, values, VAE_MAX_LEVELS, levels, error));
    if (*levels == 0)
        for (*levels = 0; *levels < 4; ++*levels)
            values[*levels] = 64;
    for (uint32_t i = 0; i < *levels; i++) {
        if (values[i] != values[0])
            return json_error(json_get(root, key), error, MZT_ERROR_UNSUPPORTED,
                              "levels of different widths");
        channels[i] = (uint32_t)values[i];
    }
    return MZT_OK;
}

static mzt_status read_tiny(json_value root, vae_config *config, mzt_error *error) {
    static const uint32_t down[] = {1, 3, 3, 3}, up[] = {3, 3, 3, 1};
    uint32_t ways[VAE_MAX_LEVELS], levels;
    TRY(config_check(root, tiny_fixed_options, sizeof tiny_fixed_options / sizeof tiny_fixed_options[0],
                     tiny_known_options, error));
    config->tiny = true;
    config->patch_size = 1;
    TRY(read_tiny_channels(root, "encoder_block_out_channels", config->channels, &config->levels, error));
    TRY(read_tiny_channels(root, "decoder_block_out_channels", ways, &levels, error));
    if (levels != config->levels || ways[0] != config->channels[0])
        return json_error(root, error, MZT_ERROR_UNSUPPORTED, "encoder and decoder of different widths");
    TRY(read_blocks(root, "num_encoder_blocks", down, levels, config->tiny_down, error));
    TRY(read_blocks(root, "num_decoder_blocks", up, levels, config->tiny_up, error));
    TRY(config_u32(root, "in_channels", 1, 1024, 3, &config->in_channels, error));
    TRY(config_u32(root, "out_channels", 1, 1024, 3, &config->out_channels, error));
    TRY(config_u32(root, "latent_channels", 1, 1024, 4, &config->latent_channels, error));
    TRY(json_get_bool(root, "force_upcast", false, &config->force_upcast, error));
    return config_float(root, "scaling_factor", 0, 1e6, 1, &config->scaling_factor, error);
}

mzt_status vae_config_read(json_value root, vae_config *config, mzt_error *error) {
    const char *class;
    memset(config, 0, sizeof *config);
    TRY(json_as_kind(root, JSON_OBJECT, error));
    TRY(json_get_string(root, "_class_name", "AutoencoderKL", &class, error));
    if (strcmp(class, "AutoencoderTiny") == 0) return read_tiny(root, config, error);
    TRY(config_check(root, fixed_options, sizeof fixed_options / sizeof fixed_options[0], known_options,
                     error));
    TRY(config_u32(root, "norm_num_groups", 1, CONFIG_MAX_CHANNELS, 32, &config->groups, error));
    TRY(config_channels(root, config->groups, VAE_MAX_LEVELS, config->channels, &config->levels, error));
    TRY(check_block_count(root, "down_block_types", config->levels, error));
    TRY(check_block_count(root, "up_block_types", config->levels, error));
    TRY(config_u32(root, "in_channels", 1, 1024, 3, &config->in_channels, error));
    TRY(config_u32(root, "out_channels", 1, 1024, 3, &config->out_channels, error));
    TRY(config_u32(root, "latent_channels", 1, 1024, 4, &config->latent_channels, error));
    TRY(config_u32(root, "patch_size", 1, 64, 1, &config->patch_size, error));
    TRY(config_u32(root, "layers_per_block", 1, 64, 1, &config->layers, error));
    TRY(config_levels(root, "sample_size", 1, CONFIG_MAX_CHANNELS, 2, 0, config->sample_size, error));
    TRY(json_get_bool(root, "mid_block_add_attention", true, &config->mid_attention, error));
    TRY(json_get_bool(root, "use_quant_conv", true, &config->quant_conv, error));
    TRY(json_get_bool(root, "use_post_quant_conv", true, &config->post_quant_conv, error));
    TRY(json_get_bool(root, "force_upcast", true, &config->force_upcast, error));
    TRY(config_float(root, "scaling_factor", 0, 1e6, 0.18215, &config->scaling_factor, error));
    return read_shift(root, config, error);
}
