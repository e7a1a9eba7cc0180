/* Residual block, downsampling, upsampling; see blocks.h. */
#include "model/blocks.h"

tensor model_conv(graph *g, tensor x, const char *leaf, uint32_t cout, uint32_t kernel, model_wrap wrap) {
    const graph_conv conv = {
        .cout = cout,
        .kernel = kernel,
        .stride = 1,
        .pad = (kernel - 1) / 2,
        .bias = true,
        .wrap_x = wrap.x,
        .wrap_y = wrap.y,
    };
    return graph_conv2d(g, x, leaf, &conv);
}

tensor model_downsample(graph *g, tensor x, const char *leaf, uint32_t padding, model_wrap wrap) {
    const graph_conv conv = {
        .cout = graph_shape(g, x).c,
        .kernel = 3,
        .stride = 2,
        .pad = 1,
        .pad_after_only = padding == 0,
        .bias = true,
        .wrap_x = wrap.x,
        .wrap_y = wrap.y,
    };
    graph_scope_begin(g, "%s", leaf);
    x = graph_conv2d(g, x, "conv", &conv);
    graph_scope_end(g);
    return x;
}

/* The first h rows of w pixels. A row, and a whole sample, is seen as the channels of one pixel. */
static tensor crop(graph *g, tensor x, uint32_t h, uint32_t w) {
    shape4 s = graph_shape(g, x);
    if ((uint64_t)s.h * s.w * s.c > UINT32_MAX) {
        graph_fail(g, MZT_ERROR_UNSUPPORTED, "a picture of %u x %u x %u values is too large", (unsigned)s.h,
                   (unsigned)s.w, (unsigned)s.c);
        return TENSOR_NONE;
    }
    if (w < s.w) {
        x = graph_view(g, x, (shape4){s.n, s.h, 1, s.w * s.c});
        x = graph_slice(g, x, 0, w * s.c);
    }
    if (h < s.h) {
        x = graph_view(g, x, (shape4){s.n, 1, 1, s.h * w * s.c});
        x = graph_slice(g, x, 0, h * w * s.c);
    }
    return graph_view(g, x, (shape4){s.n, h, w, s.c});
}

tensor model_upsample(graph *g, tensor x, const char *leaf, uint32_t h, uint32_t w, model_wrap wrap) {
    shape4 s = graph_shape(g, x);
    graph_scope_begin(g, "%s", leaf);
    x = graph_upsample(g, x);
    if (h + 1 < 2 * s.h || h > 2 * s.h || w + 1 < 2 * s.w || w > 2 * s.w)
        graph_fail(g, MZT_ERROR_INVALID, "%s: %u x %u does not follow from %u x %u by doubling", leaf,
                   (unsigned)h, (unsigned)w, (unsigned)s.h, (unsigned)s.w);
    else if (h != 2 * s.h || w != 2 * s.w)
        x = crop(g, x, h, w);
    x = model_conv(g, x, "conv", s.c, 3, wrap);
    graph_scope_end(g);
    return x;
}

tensor model_resnet(graph *g, tensor x, const model_resnet_options *options) {
    const uint32_t cout = options->cout;
    const graph_conv first = {
        .cout = cout,
        .kernel = 3,
        .stride = 1,
        .pad = 1,
        .bias = true,
        .wrap_x = options->wrap.x,
        .wrap_y = options->wrap.y,
        .vec = options->vec,
        .vec_offset = options->vec_offset,
    };
    tensor h = graph_silu(g, graph_group_norm(g, x, "norm1", options->groups, options->eps));
    h = graph_conv2d(g, h, "conv1", &first);
    h = graph_silu(g, graph_group_norm(g, h, "norm2", options->groups, options->eps));
    h = model_conv(g, h, "conv2", cout, 3, options->wrap);
    if (graph_shape(g, x).c != cout) x = model_conv(g, x, "conv_shortcut", cout, 1, options->wrap);
    return graph_add(g, h, x);
}
