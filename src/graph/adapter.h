/* Low-rank adapters (LoRA, arXiv 2106.09685) in a graph: beside a chosen linear layer or convolution y = W x,
 * a second way y += scale up(down(x)) of few parameters, to be trained while W stays. They are ordinary
 * nodes, so they are differentiated, fused and lowered like all others.
 *
 *   const graph_adapters adapters = {.rank = 8, .scale = 1, .chooses = ..., .user = ...};
 *   g->adapters = &adapters;                                  // before the network is described
 *   tensor y = unet_describe(g, ...);
 *   graph_make_trainable(g, graph_is_adapter, NULL);
 *
 * Parameters of module "attn1.to_q": "attn1.to_q.lora_down.weight" [rank][in], convolutions [rank][in][k][k],
 * and "attn1.to_q.lora_up.weight" [out][rank], convolutions [out][rank][1][1]. */
#ifndef GRAPH_ADAPTER_H
#define GRAPH_ADAPTER_H

#include "graph/graph.h"

typedef struct graph_adapters {
    uint32_t rank;
    float scale; /* alpha / rank */
    /* Does the layer of this name ("down_blocks.0....attn1.to_q") get one? */
    bool (*chooses)(const void *user, const char *module);
    const void *user;
} graph_adapters;

/* For graph_make_trainable: adapters' own parameters. `user` is not looked at. */
bool graph_is_adapter(const void *user, const char *parameter);

/* Called by the layers (layers.c) with what they made: y, and with an adapter y + it. */
tensor graph_adapt_linear(graph *g, tensor x, tensor weight, tensor y);
tensor graph_adapt_conv2d(graph *g, tensor x, tensor weight, tensor y, const conv2d_params *conv);

#endif
