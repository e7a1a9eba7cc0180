/* The UNet's description; see unet.h. The order of blocks and the meaning of every layer follow diffusers
 * 0.27 (UNet2DConditionModel), layer by layer. */
#include "model/unet.h"

#include <stdio.h>

#include "model/unet_embed.h"

enum { MAX_SKIPS = UNET_MAX_LEVELS * (UNET_MAX_LAYERS + 1) };

typedef struct unet_builder {
    graph *g;
    const unet_config *config;
    tensor context; /* [B, L, 1, context_channels] */
    tensor vec;     /* [B,1,1, all residual blocks' channels]: the projected time embedding of this call */
    uint32_t vec_offset;
    model_wrap wrap;
    tensor skips[MAX_SKIPS];
    uint32_t skip_count;
} unet_builder;

static tensor resnet(unet_builder *b, tensor x, uint32_t index, uint32_t cout) {
    const model_resnet_options options = {
        .cout = cout,
        .groups = b->config->groups,
        .eps = b->config->eps,
        .vec = b->vec,
        .vec_offset = b->vec_offset,
        .wrap = b->wrap,
    };
    graph_scope_begin(b->g, "resnets.%u", (unsigned)index);
    x = model_resnet(b->g, x, &options);
    graph_scope_end(b->g);
    b->vec_offset += cout; /* in the order of unet_embed's stack */
    return x;
}

/* Multi-head attention of x [B, ..., C] to `source`, with its output projection. */
static tensor attention(graph *g, tensor x, tensor source, const char *scope, uint32_t heads) {
    uint32_t c = graph_shape(g, x).c;
    graph_scope_begin(g, "%s", scope);
    tensor q = graph_linear(g, x, "to_q", c, false);
    tensor k = graph_linear(g, source, "to_k", c, false);
    tensor v = graph_linear(g, source, "to_v", c, false);
    x = graph_attention(g, q, k, v, heads, false, 0);
    x = graph_linear(g, x, "to_out.0", c, true);
    graph_scope_end(g);
    return x;
}

/* BasicTransformerBlock: attention to itself, to the context, and a GEGLU feed-forward of width 4 C. */
static tensor transformer_block(unet_builder *b, tensor x, uint32_t heads) {
    graph *g = b->g;
    const float eps = 1e-5f;
    uint32_t c = graph_shape(g, x).c;
    tensor y = graph_layer_norm(g, x, "norm1", eps);
    x = graph_add(g, attention(g, y, y, "attn1", heads), x);
    y = graph_layer_norm(g, x, "norm2", eps);
    x = graph_add(g, attention(g, y, b->context, "attn2", heads), x);
    y = graph_layer_norm(g, x, "norm3", eps);
    y = graph_geglu(g, graph_linear(g, y, "ff.net.0.proj", 8 * c, true));
    return graph_add(g, graph_linear(g, y, "ff.net.2", c, true), x);
}

/* Transformer2DModel over the pixels of x. proj_in and proj_out are 1x1 convolutions in older checkpoints and
 * linear layers in newer ones: the same sums under weights of another rank. */
static tensor transformer(unet_builder *b, tensor x, uint32_t index, uint32_t depth, uint32_t heads) {
    graph *g = b->g;
    const bool linear = b->config->linear_projection;
    const uint32_t c = graph_shape(g, x).c;
    const model_wrap none = {false, false};
    graph_scope_begin(g, "attentions.%u", (unsigned)index);
    tensor y = graph_group_norm(g, x, "norm", b->config->groups, 1e-6f);
    y = linear ? graph_linear(g, y, "proj_in", c, true) : model_conv(g, y, "proj_in", c, 1, none);
    for (uint32_t i = 0; i < depth; i++) {
        graph_scope_begin(g, "transformer_blocks.%u", (unsigned)i);
        y = transformer_block(b, y, heads);
        graph_scope_end(g);
    }
    y = linear ? graph_linear(g, y, "proj_out", c, true) : model_conv(g, y, "proj_out", c, 1, none);
    graph_scope_end(g);
    return graph_add(g, y, x);
}

static tensor down(unet_builder *b, tensor x) {
    graph *g = b->g;
    const unet_config *c = b->config;
    b->skips[b->skip_count++] = x;
    for (uint32_t level = 0; level < c->levels; level++) {
        graph_scope_begin(g, "down_blocks.%u", (unsigned)level);
        for (uint32_t i = 0; i < c->layers[level]; i++) {
            x = resnet(b, x, i, c->channels[level]);
            if (c->down_attention[level]) x = transformer(b, x, i, c->down_depth[level][i], c->heads[level]);
            b->skips[b->skip_count++] = x;
        }
        if (level + 1 < c->levels) {
            x = model_downsample(g, x, "downsamplers.0", c->downsample_padding, b->wrap);
            b->skips[b->skip_count++] = x;
        }
        graph_scope_end(g);
    }
    return x;
}

static tensor mid(unet_builder *b, tensor x) {
    const unet_config *c = b->config;
    const uint32_t last = c->levels - 1;
    if (c->mid == UNET_MID_NONE) return x;
    graph_scope_begin(b->g, "mid_block");
    x = resnet(b, x, 0, c->channels[last]);
    if (c->mid == UNET_MID_CROSS) {
        x = transformer(b, x, 0, c->mid_depth, c->heads[last]);
        x = resnet(b, x, 1, c->channels[last]);
    }
    graph_scope_end(b->g);
    return x;
}

static tensor up(unet_builder *b, tensor x) {
    graph *g = b->g;
    const unet_config *c = b->config;
    for (uint32_t level = c->levels; level-- > 0;) {
        graph_scope_begin(g, "up_blocks.%u", (unsigned)(c->levels - 1 - level));
        for (uint32_t i = 0; i <= c->layers[level]; i++) {
            x = graph_concat(g, x, b->skips[--b->skip_count]);
            x = resnet(b, x, i, c->channels[level]);
            if (c->up_attention[level]) x = transformer(b, x, i, c->up_depth[level][i], c->heads[level]);
        }
        if (level > 0) {
            shape4 next = graph_shape(g, b->skips[b->skip_count - 1]);
            x = model_upsample(g, x, "upsamplers.0", next.h, next.w, b->wrap);
        }
        graph_scope_end(g);
    }
    return x;
}

/* Complains about inputs that cannot belong to this network. */
static bool check_inputs(graph *g, const unet_config *config, const unet_inputs *inputs) {
    if (graph_check(g, NULL) < 0) return false;
    shape4 sample = graph_shape(g, inputs->sample), context = graph_shape(g, inputs->context);
    const uint32_t multiple = unet_multiple(config);
    if (sample.c != config->in_channels)
        graph_fail(g, MZT_ERROR_INVALID, "unet: sample has %u channels, in_channels is %u",
                   (unsigned)sample.c, (unsigned)config->in_channels);
    else if (context.c != config->context_channels)
        graph_fail(g, MZT_ERROR_INVALID, "unet: the context is %u wide, cross_attention_dim is %u",
                   (unsigned)context.c, (unsigned)config->context_channels);
    else if (context.n != sample.n)
        graph_fail(g, MZT_ERROR_INVALID, "unet: %u samples but %u contexts", (unsigned)sample.n,
                   (unsigned)context.n);
    else if (config->downsample_padding == 0 && (sample.h % multiple || sample.w % multiple))
        graph_fail(g, MZT_ERROR_INVALID,
                   "unet: latent size %u x %u: both must be multiples of %u (width x height)",
                   (unsigned)sample.w, (unsigned)sample.h, (unsigned)multiple);
    return graph_check(g, NULL) == MZT_OK;
}

tensor unet_describe(graph *g, const unet_config *config, const unet_inputs *inputs,
                     const unet_options *options) {
    unet_builder builder = {.g = g, .config = config, .context = inputs->context};
    unet_builder *b = &builder;
    if (!check_inputs(g, config, inputs)) return TENSOR_NONE;
    if (options) b->wrap = options->wrap;
    b->vec = unet_embed(g, config, inputs);

    tensor x = model_conv(g, inputs->sample, "conv_in", config->channels[0], config->conv_in_kernel, b->wrap);
    x = down(b, x);
    x = mid(b, x);
    x = up(b, x);
    x = graph_silu(g, graph_group_norm(g, x, "conv_norm_out", config->groups, config->eps));
    return model_conv(g, x, "conv_out", config->out_channels, config->conv_out_kernel, b->wrap);
}
