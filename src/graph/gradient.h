/* Differentiation from the inside: what the gradient rules (gradient_*.c) work with. */
#ifndef GRAPH_GRADIENT_H
#define GRAPH_GRADIENT_H

#include "graph/build.h"
#include "graph/differentiate.h"

/* Gradients are kept by root tensor, as flat elements in the tensor's order; views share them. */
typedef struct differ {
    graph *g;
    uint32_t tensor_count; /* tensors there were before; only these have gradients */
    bool chosen;           /* some parameters were made trainable: the others are not trained */
    bool *needed;          /* depends on something whose gradient is wanted */
    tensor *of;            /* the gradient so far; TENSOR_NONE: zero */
    float scale;
    tensor factor;      /* of the losses' gradients besides, or TENSOR_NONE */
    uint64_t max_range; /* bytes that one binding should show */
} differ;

/* Adds the gradients of the node's inputs, given that of its output. `node` is a copy: emitting moves the
 * nodes. */
typedef void gradient_rule(differ *d, const graph_node *node, tensor dy);

gradient_rule gradient_linear, gradient_conv2d;         /* gradient_matrix.c */
gradient_rule gradient_group_norm, gradient_layer_norm; /* gradient_norm.c */
gradient_rule gradient_attention;                       /* gradient_attention.c */
/* gradient_elementwise.c */
gradient_rule gradient_unary, gradient_binary, gradient_geglu, gradient_concat, gradient_slice,
    gradient_upsample, gradient_pixel_shuffle, gradient_embedding, gradient_gather_rows;

/* Where the walk begins: the gradient of a loss by what it compares. `node` is the reduce_sum of the loss's
 * parts. */
void gradient_loss(differ *d, const graph_node *node);

/* Is the gradient of this tensor (or of what it is a view of) wanted? False for TENSOR_NONE. */
bool gradient_wanted(const differ *d, tensor x);

/* Adds dx to the gradient of x. Types: f32 for parameters, else x's own. */
void gradient_add(differ *d, tensor x, tensor dx);

/* The node cannot be differentiated as it stands. */
void gradient_refuse(differ *d, const graph_node *node, const char *why);

/* f32 [parts][stride] to [count] from `offset` on, added over the parts and scaled; x itself where that
 * changes nothing. */
tensor gradient_reduce(differ *d, tensor x, uint32_t parts, uint32_t count, uint32_t stride, uint32_t offset,
                       float scale);

/* Sum over the rows of each sample: activation [samples][rows][c] to f32 {samples, 1, 1, c}. */
tensor gradient_sum_rows(differ *d, tensor x, uint32_t samples, uint32_t rows, uint32_t c);

/* x [rows][c] within zeros: [rows][width] with x at `offset`. */
tensor gradient_pad(differ *d, tensor x, uint32_t rows, uint32_t c, uint32_t width, uint32_t offset);

/* x with a new node or without: scale * x in `type`. */
tensor gradient_scaled(differ *d, tensor x, float scale, dtype type);

/* Cuts `rows` into parts for sums: at least `least` rows in a part, at most `most` parts. */
uint32_t gradient_split(uint32_t rows, uint32_t least, uint32_t most);

#endif
