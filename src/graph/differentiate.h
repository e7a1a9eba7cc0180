/* Training's passes over a graph: losses, gradients (reverse-mode differentiation, one rule per op), and
 * parameters that may be changed. They run before fusion, on the graph as described; what they add are
 * ordinary nodes.
 *
 *   tensor y = unet_describe(g, ...);
 *   graph_make_trainable(g, NULL, NULL);                    // parameters become f32 states
 *   tensor loss = graph_loss(g, y, "mse", &(graph_loss_options){.target = noise});
 *   graph_gradients d = {0};
 *   graph_differentiate(g, &loss, 1, NULL, &d);             // d.items[i]: parameter, gradient
 *   ... optimiser nodes (src/train/optimizer.h), outputs ...
 *   graph_gradients_release(g->host, &d);
 *
 * Errors stick to the graph, as with every builder. */
#ifndef GRAPH_DIFFERENTIATE_H
#define GRAPH_DIFFERENTIATE_H

#include "graph/graph.h"

/* Chooses parameters by their name ("conv_in.weight"); true: trained. */
typedef bool graph_trains(const void *user, const char *name);

/* Turns the parameters that `trains` names (NULL: all) into states: f32 bytes that the host writes
 * (model_load fills them from the checkpoint like any parameter), that nodes may change, and that the host
 * reads back by the same name and pieces. Where matrices are stored in another type, the network reads a copy
 * in that type, made anew in every run. Inputs that change from step to step must be varying ones in such a
 * graph: see graph_compile's phases. */
void graph_make_trainable(graph *g, graph_trains *trains, const void *user);

typedef struct graph_loss_options {
    uint32_t kind; /* LOSS_SQUARE, LOSS_HUBER, LOSS_EXP */
    float beta;    /* LOSS_HUBER */
    float scale;   /* 0: 1 / elements of x, the mean */
    tensor target; /* f32 input of x's size; TENSOR_NONE: zero */
    tensor weight; /* f32 input whose size divides x's: {n,1,1,1} per sample, {n,h,w,1} per pixel;
                      TENSOR_NONE: 1 */
} graph_loss_options;

/* scale * sum of weight * f(x - target), f32 {1,1,1,1}; see params.h. x has the activation type. */
tensor graph_loss(graph *g, tensor x, const char *name, const graph_loss_options *options);

typedef struct graph_gradient {
    tensor parameter; /* or input */
    tensor gradient;  /* f32 for parameters, in their layout; an input's own type */
} graph_gradient;

typedef struct graph_gradients {
    graph_gradient *items;
    uint32_t count;
} graph_gradients;

typedef struct graph_differentiate_options {
    float scale;          /* of all gradients (against underflow in f16); 0: 1 */
    graph_trains *trains; /* of all parameters; NULL: those that were made trainable, or all if none was */
    const void *user;
    const tensor *inputs; /* further tensors whose gradients are wanted */
    uint32_t input_count;
    /* State of loss_scale (f32 {1,1,1,LOSS_SCALE_LENGTH}) by which gradients are raised besides;
     * TENSOR_NONE: none. */
    tensor factor;
    bool recompute; /* inner values of blocks are computed again rather than kept: see recompute.c */
    uint64_t
        max_range; /* graph_options', for which sums over many rows are divided so that they can be cut */
} graph_differentiate_options;

/* Appends the nodes that compute the gradients of the sum of `losses` (results of graph_loss) to the graph,
 * called "grad.<node>...". The list, in the order of tensors, belongs to the caller. UNSUPPORTED names a node
 * whose op has no rule, or that a pass has already fused. `options` may be NULL. */
void graph_differentiate(graph *g, const tensor *losses, uint32_t count,
                         const graph_differentiate_options *options, graph_gradients *out);

void graph_gradients_release(const base_host *host, graph_gradients *d); /* zeroed is accepted */

#endif
