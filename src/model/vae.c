/* The autoencoder's description; see vae.h. The order of layers follows diffusers' AutoencoderKL. */
#include "model/vae.h"

#include <stdio.h>

#include "model/vae_tiny.h"

#define VAE_EPS 1e-6f /* of every group norm */

typedef struct vae_builder {
    graph *g;
    const vae_config *config;
    vae_options options;
} vae_builder;

static tensor resnet(const vae_builder *b, tensor x, uint32_t index, uint32_t cout) {
    const model_resnet_options options = {
        .cout = cout,
        .groups = b->config->groups,
        .eps = VAE_EPS,
        .wrap = b->options.wrap,
    };
    graph_scope_begin(b->g, "resnets.%u", (unsigned)index);
    x = model_resnet(b->g, x, &options);
    graph_scope_end(b->g);
    return x;
}

/* Attention with one head over all pixels. `part` is "encoder" or "decoder". */
static tensor attention(const vae_builder *b, tensor x, const char *part) {
    static const char *const new_names[] = {"to_q", "to_k", "to_v", "to_out.0"};
    static const char *const old_names[] = {"query", "key", "value", "proj_attn"};
    graph *g = b->g;
    char probe[80];
    snprintf(probe, sizeof probe, "%s.mid_block.attentions.0.query.weight", part);
    bool is_old = b->options.has && b->options.has(b->options.user, probe);
    const char *const *names = is_old ? old_names : new_names;
    const uint32_t c = graph_shape(g, x).c;
    graph_scope_begin(g, "attentions.0");
    tensor y = graph_group_norm(g, x, "group_norm", b->config->groups, VAE_EPS);
    tensor q = graph_linear(g, y, names[0], c, true);
    tensor k = graph_linear(g, y, names[1], c, true);
    tensor v = graph_linear(g, y, names[2], c, true);
    y = graph_attention(g, q, k, v, 1, false, 0);
    y = graph_linear(g, y, names[3], c, true);
    graph_scope_end(g);
    return graph_add(g, y, x);
}

static tensor mid(const vae_builder *b, tensor x, const char *part) {
    const uint32_t channels = b->config->channels[b->config->levels - 1];
    graph_scope_begin(b->g, "mid_block");
    x = resnet(b, x, 0, channels);
    if (b->config->mid_attention) x = attention(b, x, part);
    x = resnet(b, x, 1, channels);
    graph_scope_end(b->g);
    return x;
}

/* conv_norm_out, SiLU, conv_out. */
static tensor finish(const vae_builder *b, tensor x, uint32_t cout) {
    x = graph_silu(b->g, graph_group_norm(b->g, x, "conv_norm_out", b->config->groups, VAE_EPS));
    return model_conv(b->g, x, "conv_out", cout, 3, b->options.wrap);
}

tensor vae_describe_encoder(graph *g, const vae_config *config, tensor picture, const vae_options *options) {
    if (config->tiny) return vae_tiny_describe_encoder(g, config, picture, options);
    const vae_builder builder = {g, config, options ? *options : (vae_options){.has = NULL}};
    const vae_builder *b = &builder;
    const uint32_t factor = vae_factor(config), moments = 2 * config->latent_channels;
    const shape4 s = graph_shape(g, picture);
    if (s.h % factor != 0 || s.w % factor != 0) {
        graph_fail(g, MZT_ERROR_INVALID,
                   "vae: picture of %u x %u: both must be multiples of %u (width x height)", (unsigned)s.w,
                   (unsigned)s.h, (unsigned)factor);
        return TENSOR_NONE;
    }
    if (s.c != config->in_channels) {
        graph_fail(g, MZT_ERROR_INVALID, "vae: picture with %u channels, in_channels is %u", (unsigned)s.c,
                   (unsigned)config->in_channels);
        return TENSOR_NONE;
    }
    graph_scope_begin(g, "encoder");
    if (config->patch_size > 1) picture = graph_pixel_unshuffle(g, picture, config->patch_size);
    tensor x = model_conv(g, picture, "conv_in", config->channels[0], 3, b->options.wrap);
    for (uint32_t level = 0; level < config->levels; level++) {
        graph_scope_begin(g, "down_blocks.%u", (unsigned)level);
        for (uint32_t i = 0; i < config->layers; i++)
            x = resnet(b, x, i, config->channels[level]);
        if (level + 1 < config->levels) x = model_downsample(g, x, "downsamplers.0", 0, b->options.wrap);
        graph_scope_end(g);
    }
    x = finish(b, mid(b, x, "encoder"), moments);
    graph_scope_end(g);
    return config->quant_conv ? model_conv(g, x, "quant_conv", moments, 1, b->options.wrap) : x;
}

/* Up to the first up_block, inside the scope "decoder", which is left open. */
static tensor decoder_head(const vae_builder *b, tensor latent) {
    graph *g = b->g;
    const vae_config *config = b->config;
    const uint32_t c = graph_shape(g, latent).c;
    if (c != config->latent_channels) {
        graph_fail(g, MZT_ERROR_INVALID, "vae: latent with %u channels, latent_channels is %u", (unsigned)c,
                   (unsigned)config->latent_channels);
        return TENSOR_NONE;
    }
    tensor x =
        config->post_quant_conv ? model_conv(g, latent, "post_quant_conv", c, 1, b->options.wrap) : latent;
    graph_scope_begin(g, "decoder");
    x = model_conv(g, x, "conv_in", config->channels[config->levels - 1], 3, b->options.wrap);
    return mid(b, x, "decoder");
}

tensor vae_describe_decoder(graph *g, const vae_config *config, tensor latent, const vae_options *options) {
    if (config->tiny) return vae_tiny_describe_decoder(g, config, latent, options);
    const vae_builder builder = {g, config, options ? *options : (vae_options){.has = NULL}};
    const vae_builder *b = &builder;
    tensor x = decoder_head(b, latent);
    for (uint32_t level = config->levels; level-- > 0;) {
        graph_scope_begin(g, "up_blocks.%u", (unsigned)(config->levels - 1 - level));
        for (uint32_t i = 0; i <= config->layers; i++)
            x = resnet(b, x, i, config->channels[level]);
        const shape4 s = graph_shape(g, x);
        if (level > 0) x = model_upsample(g, x, "upsamplers.0", 2 * s.h, 2 * s.w, b->options.wrap);
        graph_scope_end(g);
    }
    const uint32_t patch = config->patch_size > 1 ? config->patch_size : 1;
    x = finish(b, x, config->out_channels * patch * patch);
    if (patch > 1) x = graph_pixel_shuffle(g, x, patch);
    graph_scope_end(g);
    return x;
}

/* ------------------------------------------------------------------------------------------ in stages --
 */

uint32_t vae_decoder_stages(const vae_config *config, vae_stage stages[VAE_STAGES_MAX]) {
    uint32_t count = 0, before = config->channels[config->levels - 1];
    for (uint32_t level = config->levels; !config->tiny && level-- > 0;) {
        const uint32_t c = config->channels[level], block = config->levels - 1 - level;
        for (uint32_t i = 0; i <= config->layers; i++, before = c) {
            if (count + 4 > VAE_STAGES_MAX) return 0;
            stages[count++] = (vae_stage){VAE_STAGE_FIRST, block, i, before, 0, c, 1};
            stages[count++] = (vae_stage){VAE_STAGE_SECOND, block, i, c, before, c, 1};
        }
        if (level > 0) stages[count++] = (vae_stage){VAE_STAGE_UPSAMPLE, block, 0, c, 0, c, 2};
    }
    const uint32_t patch = config->patch_size > 1 ? config->patch_size : 1;
    if (count) stages[count++] = (vae_stage){VAE_STAGE_LAST, 0, 0, before, 0, config->out_channels, patch};
    return count;
}

tensor vae_describe_head(graph *g, const vae_config *config, tensor latent, const vae_options *options) {
    const vae_builder builder = {g, config, *options};
    tensor x = decoder_head(&builder, latent);
    graph_scope_end(g);
    return x;
}

/* Norm by the given statistics, SiLU, 3x3 convolution. */
static tensor norm_and_conv(graph *g, const vae_config *config, const char *norm, const char *conv,
                            uint32_t cout, const vae_stage_inputs *in, model_wrap wrap) {
    tensor x = graph_group_norm_given(g, in->x, norm, config->groups, VAE_EPS, in->statistics);
    return model_conv(g, graph_silu(g, x), conv, cout, 3, wrap);
}

tensor vae_describe_stage(graph *g, const vae_config *config, const vae_stage *stage,
                          const vae_stage_inputs *in, model_wrap wrap) {
    const uint32_t patch = stage->kind == VAE_STAGE_LAST ? stage->scale : 1;
    tensor x, skip = in->skip;
    graph_scope_begin(g, "decoder");
    if (stage->kind == VAE_STAGE_LAST) {
        x = norm_and_conv(g, config, "conv_norm_out", "conv_out", stage->cout * patch * patch, in, wrap);
        if (patch > 1) x = graph_pixel_shuffle(g, x, patch);
        graph_scope_end(g);
        return x;
    }
    graph_scope_begin(g, "up_blocks.%u", (unsigned)stage->block);
    if (stage->kind == VAE_STAGE_UPSAMPLE) {
        const shape4 s = graph_shape(g, in->x);
        x = model_upsample(g, in->x, "upsamplers.0", 2 * s.h, 2 * s.w, wrap);
    } else {
        graph_scope_begin(g, "resnets.%u", (unsigned)stage->index);
        if (stage->kind == VAE_STAGE_FIRST) {
            x = norm_and_conv(g, config, "norm1", "conv1", stage->cout, in, wrap);
        } else {
            x = norm_and_conv(g, config, "norm2", "conv2", stage->cout, in, wrap);
            if (stage->skip != stage->cout) skip = model_conv(g, skip, "conv_shortcut", stage->cout, 1, wrap);
            x = graph_add(g, x, skip);
        }
        graph_scope_end(g);
    }
    graph_scope_end(g);
    graph_scope_end(g);
    return x;
}
