/* What an autoencoder's picture is judged by; see autoencoder_loss.h. */
#include "train/autoencoder_loss.h"

#include <stdio.h>

#include "graph/differentiate.h"

#define HUBER_BETA 0.02f /* of values 0...1: about 5 of 255 */

void autoencoder_target(const float *picture, uint64_t pixels, uint32_t channels, float *negated) {
    for (uint64_t i = 0; i < pixels; i++) {
        const float *from = picture + i * channels;
        const float alpha = channels == 4 ? (from[3] + 1) / 2 : 1;
        float *to = negated + i * channels;
        for (int c = 0; c < 3; c++)
            to[c] = -(from[c] + 1) / 2 * alpha;
        if (channels == 4) to[3] = -alpha;
    }
}

static uint64_t elements(shape4 s) {
    return (uint64_t)s.n * s.h * s.w * s.c;
}

static tensor premultiplied(graph *g, tensor picture) {
    tensor x = graph_unary(g, picture, UNARY_IDENTITY, 0.5f, 0.5f, g->activation);
    if (graph_shape(g, x).c != 4) return x;
    tensor alpha = graph_slice(g, x, 3, 1);
    tensor weights = graph_concat(g, graph_concat(g, alpha, alpha), alpha);
    return graph_concat(g, graph_mul(g, graph_slice(g, x, 0, 3), weights), alpha);
}

/* Means of 2x2: neighbours in a row, then rows, are the halves of a view's last dimension. */
static tensor halve(graph *g, tensor x) {
    const shape4 s = graph_shape(g, x);
    x = graph_view(g, x, (shape4){s.n * s.h / 2, 1, 1, 2 * s.w * s.c});
    x = graph_add(g, graph_slice(g, x, 0, s.w * s.c), graph_slice(g, x, s.w * s.c, s.w * s.c));
    x = graph_view(g, x, (shape4){s.n * s.h / 2 * (s.w / 2), 1, 1, 2 * s.c});
    x = graph_add(g, graph_slice(g, x, 0, s.c), graph_slice(g, x, s.c, s.c));
    x = graph_unary(g, x, UNARY_IDENTITY, 0.25f, 0, g->activation);
    return graph_view(g, x, (shape4){s.n, s.h / 2, s.w / 2, s.c});
}

/* x[i + distance] - x[i] along rows of `length` values. */
static tensor difference(graph *g, tensor x, uint32_t rows, uint32_t length, uint32_t distance) {
    x = graph_view(g, x, (shape4){rows, 1, 1, length});
    tensor first = graph_slice(g, x, 0, length - distance),
           second = graph_slice(g, x, distance, length - distance);
    return graph_add(g, second, graph_unary(g, first, UNARY_IDENTITY, -1, 0, g->activation));
}

static tensor huber(graph *g, tensor x, const char *name, double weight) {
    const uint64_t count = elements(graph_shape(g, x));
    const graph_loss_options options = {
        .kind = LOSS_HUBER, .beta = HUBER_BETA, .scale = (float)(weight / (double)(count ? count : 1))};
    return graph_loss(g, x, name, &options);
}

uint32_t autoencoder_losses(graph *g, tensor picture, tensor negated, const autoencoder_config *config,
                            tensor *losses, uint32_t count) {
    tensor error = graph_add(g, premultiplied(g, picture), negated);
    const shape4 s = graph_shape(g, error);
    if (config->gradient > 0 && s.w > 1 && s.h > 1) {
        losses[count++] =
            huber(g, difference(g, error, s.n * s.h, s.w * s.c, s.c), "horizontal", config->gradient / 2);
        losses[count++] =
            huber(g, difference(g, error, s.n, s.h * s.w * s.c, s.w * s.c), "vertical", config->gradient / 2);
    }
    for (uint32_t scale = 0; scale < config->scales; scale++) {
        char name[24];
        snprintf(name, sizeof name, "size.%u", (unsigned)scale);
        losses[count++] = huber(g, error, name, 1.0 / config->scales);
        const shape4 now = graph_shape(g, error);
        if (scale + 1 == config->scales || now.h % 2 != 0 || now.w % 2 != 0) break;
        error = halve(g, error);
    }
    return count;
}
