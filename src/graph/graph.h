/* The graph: what a network computes. Model builders describe, passes rewrite, graph_compile lowers to a plan.
 *
 * A tensor is a handle. Every activation is NHWC: shape {n, h, w, c}. A sequence of tokens is {n, length, 1, c}, and a picture is
 * also a sequence of h*w tokens, so convolutions, linear layers and attention follow each other without any reshaping.
 * Nodes use the ops of runtime/plan/op.h with complete parameters: shapes are static.
 *
 * Parameters carry the checkpoint's own names: layer functions take a leaf ("conv1", "to_out.0") and prepend the open scopes;
 * "<name>.weight" and "<name>.bias" are then looked up in the checkpoint when weights are loaded.
 *
 *   graph *g = graph_create(host, DTYPE_F16, DTYPE_F16);
 *   tensor x = graph_input(g, "sample", DTYPE_F16, (shape4){2, 64, 64, 4});
 *   graph_scope_begin(g, "down_blocks.%u.resnets.%u", 0, 1);
 *   x = graph_conv2d(g, x, "conv1", &(graph_conv){.cout = 320, .kernel = 3, .stride = 1, .pad = 1, .bias = true});
 *   graph_scope_end(g);
 *   graph_output(g, x, "output");
 *   plan *p;  graph_compile(g, &options, &p, &error);
 *
 * Errors are sticky: after a failure every builder call does nothing and returns TENSOR_NONE; graph_compile (or graph_check)
 * reports the first one, with the node's name. Builders therefore need no checks of their own.
 * Thread-safety: a graph belongs to one thread. */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include "plan/plan.h"

typedef uint32_t tensor;
#define TENSOR_NONE 0u

typedef struct shape4 {
    uint32_t n, h, w, c;
} shape4;

typedef enum graph_kind { GRAPH_VALUE, GRAPH_INPUT, GRAPH_STATE, GRAPH_PARAM } graph_kind;

/* What a node belongs to in training: the network and its loss, their gradients, or what is done with those. */
typedef enum graph_part { GRAPH_FORWARD, GRAPH_BACKWARD, GRAPH_UPDATE } graph_part;

/* A checkpoint tensor that fills (part of) a parameter; see plan_piece. */
typedef struct graph_piece {
    char *name;
    uint32_t packing, rank, shape[4];
    uint64_t element;
} graph_piece;

typedef struct graph_tensor {
    graph_kind kind;
    dtype type;
    shape4 shape;     /* parameters: {1, 1, rows, columns}, conv weights {cout, kh, kw, cin} */
    tensor alias_of;  /* a view of another tensor's bytes under another shape; TENSOR_NONE: owns its bytes */
    char *name;       /* inputs, states, parameters; NULL for values */
    char *output;     /* not NULL: the host reads it under this name */
    bool varying;     /* input or state that changes between runs of the "step" phase */
    graph_piece *pieces; /* parameters, and states that were parameters (graph_make_trainable) */
    uint32_t piece_count;
} graph_tensor;

/* The type in which a matrix is to be stored, given how its pieces are called and laid. */
typedef dtype graph_stored(const void *user, const graph_tensor *matrix);

typedef struct graph_node {
    op op;
    graph_part part;
    bool dead;     /* removed by a pass */
    bool in_place; /* the first OP_READ_WRITE binding is both read and written (sampler state) */
    char *name;    /* scope and leaf: "down_blocks.0.resnets.1.conv1" */
    tensor bindings[OP_MAX_BINDINGS]; /* by the op table's binding order; outputs too */
    op_params params;
} graph_node;

typedef struct graph {
    const base_host *host;
    dtype activation, weight;
    graph_stored *stored; /* NULL: all matrices have the type `weight` */
    const void *stored_user;
    graph_tensor *tensors; /* [0] is unused: TENSOR_NONE */
    uint32_t tensor_count, tensor_capacity;
    graph_node *nodes; /* in an order in which every input comes first */
    uint32_t node_count, node_capacity;
    char scope[512];
    uint16_t scope_ends[32];
    uint32_t scope_depth;
    graph_part part;   /* of nodes from here on */
    bool recompute;    /* graph_compile runs graph_pass_recompute */
    const struct graph_adapters *adapters; /* of the layers from here on; see adapter.h. NULL: none */
    mzt_status status; /* sticky */
    mzt_error error;
} graph;

/* -------------------------------------------------------------------------------------------------- building -- */

/* Activations and matrices are stored as these types; biases and norm scales always as f32. NULL when out of memory. */
graph *graph_create(const base_host *host, dtype activation, dtype weight);
void graph_destroy(graph *g); /* NULL is accepted */

/* Lets `stored` choose the type of every matrix that linear layers and convolutions alone read, when the graph is compiled:
 * f16, bf16, the graph's weight type, or blocks (base/block.h). Where rows are no whole blocks, or a reader cannot have them
 * (op_takes_blocks), a matrix keeps the weight type. `user` must live until then. */
void graph_store_as(graph *g, graph_stored *stored, const void *user);

/* The first error, if any. */
mzt_status graph_check(const graph *g, mzt_error *error);

/* Lets a builder report its own error (an impossible configuration); sticky like the others. */
void graph_fail(graph *g, mzt_status status, const char *format, ...) BASE_PRINTF(3, 4);

/* Opens a name scope inside the open ones; levels are joined with dots. An empty format is allowed. */
void graph_scope_begin(graph *g, const char *format, ...) BASE_PRINTF(2, 3);
void graph_scope_end(graph *g);

/* Something the host writes. `varying` inputs and all states keep what depends on them out of the setup phase.
 * Types: the graph's activation type, DTYPE_F32 or DTYPE_U32. */
tensor graph_input(graph *g, const char *name, dtype type, shape4 shape);
tensor graph_varying_input(graph *g, const char *name, dtype type, shape4 shape);

/* Bytes that live from one run to the next, written by the host and by nodes (sampler slots, step counter). */
tensor graph_state(graph *g, const char *name, dtype type, shape4 shape);

/* The host reads `x` under this name. Activations that are not f32 are cast to f32 first. */
void graph_output(graph *g, tensor x, const char *name);

shape4 graph_shape(const graph *g, tensor x); /* {0,0,0,0} for TENSOR_NONE */
dtype graph_type(const graph *g, tensor x);

/* ---------------------------------------------------------------------------------------------------- layers -- */

/* y = x W^T + b over the last dimension. Parameters <leaf>.weight [out][in], <leaf>.bias [out]. */
tensor graph_linear(graph *g, tensor x, const char *leaf, uint32_t out, bool bias);

/* Several linear layers over the same input as one: outputs lie side by side in the last dimension. `leaves` may hold scopes
 * ("attn1.to_q"). `outs` gives each one's width. */
tensor graph_linear_stack(graph *g, tensor x, const char *name, uint32_t count, const char *const *leaves, const uint32_t *outs,
                          bool bias);

typedef struct graph_conv {
    uint32_t cout, kernel, stride; /* square kernels; stride 1 or 2 */
    uint32_t pad;                  /* on all four sides ... */
    bool pad_after_only;           /* ... or `pad` only at the bottom and the right (AutoencoderKL's downsampling) */
    bool bias;
    bool wrap_x, wrap_y; /* circular padding */
    /* Added to every pixel before anything else: element vec_offset + channel of vec's row for the sample ({n or 1, 1, 1, C}; one
     * row serves all samples). TENSOR_NONE: nothing. */
    tensor vec;
    uint32_t vec_offset;
} graph_conv;

/* Convolution; parameters <leaf>.weight [cout][cin][k][k], <leaf>.bias. A 1x1 convolution becomes a linear node. */
tensor graph_conv2d(graph *g, tensor x, const char *leaf, const graph_conv *conv);

/* Parameters <leaf>.weight, <leaf>.bias [c]. */
tensor graph_group_norm(graph *g, tensor x, const char *leaf, uint32_t groups, float eps);
/* The same by statistics from elsewhere, f32 {n, 1, groups, 2}: mean, and variance times the elements of a group in x. For
 * parts of pictures that are normalised as the whole. */
tensor graph_group_norm_given(graph *g, tensor x, const char *leaf, uint32_t groups, float eps, tensor statistics);
tensor graph_layer_norm(graph *g, tensor x, const char *leaf, float eps);

/* UNARY_SILU, UNARY_GELU, ... of scale*x + shift; the result has type `type`. */
tensor graph_unary(graph *g, tensor x, uint32_t kind, float scale, float shift, dtype type);
tensor graph_silu(graph *g, tensor x);
tensor graph_activation(graph *g, tensor x, uint32_t kind);
tensor graph_cast(graph *g, tensor x, dtype type); /* x itself if it has that type */

/* value * gelu(gate) over the two halves of the last dimension. */
tensor graph_geglu(graph *g, tensor x);

/* a + b of equal shapes, or b with fewer elements that repeats (its size divides a's: a row per channel, a whole sample). */
tensor graph_add(graph *g, tensor a, tensor b);
tensor graph_mul(graph *g, tensor a, tensor b);
tensor graph_concat(graph *g, tensor a, tensor b);                       /* along channels */
tensor graph_slice(graph *g, tensor x, uint32_t offset, uint32_t count); /* of channels */
tensor graph_upsample(graph *g, tensor x);                               /* nearest x2 */

/* Depth to space: {n, h, w, block*block*c} to {n, h*block, w*block, c}; and space to depth. See params.h for the order. */
tensor graph_pixel_shuffle(graph *g, tensor x, uint32_t block);
tensor graph_pixel_unshuffle(graph *g, tensor x, uint32_t block);

/* The same bytes under another shape with as many elements. */
tensor graph_view(graph *g, tensor x, shape4 shape);

/* Multi-head attention over tokens: q {n, lq.., c}, k and v {n, lk.., c}; h*w tokens each. scale 0: 1/sqrt(c / heads). */
tensor graph_attention(graph *g, tensor q, tensor k, tensor v, uint32_t heads, bool causal, float scale);

/* ids u32 {n, length, 1, 1} to {n, length, 1, c}. `positions` may be NULL; its table has `length` rows used, `position_rows`
 * in the checkpoint. Parameters are <table>.weight, <positions>.weight. */
tensor graph_embedding(graph *g, tensor ids, const char *table, uint32_t vocabulary, uint32_t c, const char *positions,
                       uint32_t position_rows);

/* t f32 {rows, 1, 1, 1} to activation {rows, 1, 1, dim}; see params.h. */
tensor graph_timestep_embedding(graph *g, tensor t, uint32_t dim, bool flip, float shift, float max_period, float scale);

/* Blocks of `block` rows picked by u32 index {k,1,1,1}: {rows,1,1,c} to {k*block,1,1,c}. Rows are n*h*w of x. */
tensor graph_gather_rows(graph *g, tensor x, tensor index, uint32_t block);

/* The step loop's own nodes; see params.h. slots: state f32 {S, h*w.., c} per latent; table: input f32 {calls,1,1,128}; step: state
 * u32 {1,1,1,1}; `extra` (or TENSOR_NONE): further channels of the network's input (inpainting). */
tensor graph_sampler_input(graph *g, tensor slots, tensor table, tensor step, tensor extra, shape4 latent, uint32_t repeat);
void graph_sampler_update(graph *g, tensor slots, tensor output, tensor table, tensor step, tensor noise, shape4 latent,
                          uint32_t repeat);
void graph_step_advance(graph *g, tensor step);

/* The halves of the model's output [2][latent] (repeat 2) or [1][latent] to one output [latent], f32, for graph_sampler_update
 * with repeat 1: guidance, rescaled by `rescale` in 0...1; and, with known and mask of the latent's shape (else TENSOR_NONE), the
 * output that leads to `known` where the mask is 0. See params.h. */
tensor graph_guidance(graph *g, tensor slots, tensor output, tensor table, tensor step, tensor known, tensor mask, shape4 latent,
                      uint32_t repeat, float rescale);

/* Nodes from here on are the phase "update", run when the caller says so. */
void graph_begin_update(graph *g);

/* --------------------------------------------------------------------------------------------------- compiling -- */

typedef struct graph_options {
    uint64_t max_range; /* bytes one binding may show on the device (executor_limits.max_range); 0: no limit */
    bool no_fusion;     /* one dispatch per described node: for tests, and for differentiation */
} graph_options;

/* Runs the passes in order, lowers to a plan, places barriers and checks the plan. The graph is changed by this: compile once.
 * Phases: if the graph has varying inputs or states, "setup" holds every node that does not depend on them, "step" the rest, and
 * "update" what was described after graph_begin_update; otherwise all is "main". UNSUPPORTED names the node that cannot be cut to fit max_range. */
mzt_status graph_compile(graph *g, const graph_options *options, plan **out, mzt_error *error);

/* The passes, one file each. */
void graph_pass_fuse(graph *g);      /* fuse.c: activations, residuals, concat and upsample into their readers; GEGLU */
void graph_pass_dead(graph *g);      /* dead.c: nodes whose results nobody reads */
void graph_pass_store(graph *g);     /* store.c: how matrices are stored */
void graph_pass_recompute(graph *g); /* recompute.c: what blocks need for their gradients, once more */

/* A picture of the graph in Graphviz's dot language. */
mzt_status graph_write_dot(const graph *g, const char *path, mzt_error *error);

#endif
