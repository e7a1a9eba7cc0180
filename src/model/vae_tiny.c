/* Tiny autoencoders; see vae_tiny.h. Layers are numbered through as AutoencoderTiny numbers them, with
 * numbers for those that have no parameters (rectifier, enlarging). */
#include "model/vae_tiny.h"

typedef struct tiny_builder {
    graph *g;
    uint32_t channels, layer; /* layer: the number of the next one */
    model_wrap wrap;
} tiny_builder;

static tensor relu(graph *g, tensor x) {
    return graph_activation(g, x, UNARY_RELU);
}

/* The next layer: a 3x3 convolution. */
static tensor conv(tiny_builder *b, tensor x, uint32_t cout, uint32_t stride, bool bias) {
    const graph_conv conv = {.cout = cout,
                             .kernel = 3,
                             .stride = stride,
                             .pad = 1,
                             .bias = bias,
                             .wrap_x = b->wrap.x,
                             .wrap_y = b->wrap.y};
    graph_scope_begin(b->g, "layers");
    char leaf[12] = {0};
    uint32_t n = b->layer++, at = 0;
    if (n >= 100) leaf[at++] = (char)('0' + n / 100 % 10);
    if (n >= 10) leaf[at++] = (char)('0' + n / 10 % 10);
    leaf[at] = (char)('0' + n % 10);
    x = graph_conv2d(b->g, x, leaf, &conv);
    graph_scope_end(b->g);
    return x;
}

/* The next layers: residual blocks relu(x + conv relu conv relu conv x). */
static tensor blocks(tiny_builder *b, tensor x, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        graph_scope_begin(b->g, "layers.%u", (unsigned)b->layer++);
        tensor y = relu(b->g, model_conv(b->g, x, "conv.0", b->channels, 3, b->wrap));
        y = relu(b->g, model_conv(b->g, y, "conv.2", b->channels, 3, b->wrap));
        y = model_conv(b->g, y, "conv.4", b->channels, 3, b->wrap);
        graph_scope_end(b->g);
        x = relu(b->g, graph_add(b->g, y, x));
    }
    return x;
}

static tiny_builder begin(graph *g, const vae_config *config, const vae_options *options) {
    const model_wrap none = {false, false};
    return (tiny_builder){.g = g, .channels = config->channels[0], .wrap = options ? options->wrap : none};
}

tensor vae_tiny_describe_encoder(graph *g, const vae_config *config, tensor picture,
                                 const vae_options *options) {
    tiny_builder b = begin(g, config, options);
    const shape4 s = graph_shape(g, picture);
    const uint32_t factor = vae_factor(config);
    if (s.h % factor != 0 || s.w % factor != 0 || s.c != config->in_channels) {
        graph_fail(g, MZT_ERROR_INVALID,
                   "vae: picture of %u x %u x %u: expected multiples of %u (width x height) and %u channels",
                   (unsigned)s.w, (unsigned)s.h, (unsigned)s.c, (unsigned)factor,
                   (unsigned)config->in_channels);
        return TENSOR_NONE;
    }
    graph_scope_begin(g, "encoder");
    tensor x = graph_unary(g, picture, UNARY_IDENTITY, 0.5f, 0.5f, graph_type(g, picture)); /* to 0...1 */
    for (uint32_t level = 0; level < config->levels; level++) {
        x = conv(&b, x, b.channels, level ? 2 : 1, level == 0);
        x = blocks(&b, x, config->tiny_down[level]);
    }
    x = conv(&b, x, config->latent_channels, 1, true);
    graph_scope_end(g);
    return graph_concat(g, x, graph_unary(g, x, UNARY_IDENTITY, 0, -30, graph_type(g, x)));
}

tensor vae_tiny_describe_decoder(graph *g, const vae_config *config, tensor latent,
                                 const vae_options *options) {
    tiny_builder b = begin(g, config, options);
    const shape4 s = graph_shape(g, latent);
    const dtype type = graph_type(g, latent);
    if (s.c != config->latent_channels) {
        graph_fail(g, MZT_ERROR_INVALID, "vae: latent with %u channels, latent_channels is %u", (unsigned)s.c,
                   (unsigned)config->latent_channels);
        return TENSOR_NONE;
    }
    graph_scope_begin(g, "decoder");
    tensor x = graph_unary(g, latent, UNARY_TANH, 1.0f / 3, 0, type);
    x = graph_unary(g, x, UNARY_IDENTITY, 3, 0, type);
    x = relu(g, conv(&b, x, b.channels, 1, true));
    b.layer++; /* the rectifier */
    for (uint32_t level = 0; level < config->levels; level++) {
        const bool last = level + 1 == config->levels;
        x = blocks(&b, x, config->tiny_up[level]);
        if (!last) {
            x = graph_upsample(g, x);
            b.layer++;
        }
        x = conv(&b, x, last ? config->out_channels : b.channels, 1, last);
    }
    graph_scope_end(g);
    return graph_unary(g, x, UNARY_IDENTITY, 2, -1, type); /* from 0...1 */
}
