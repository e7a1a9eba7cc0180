/* The op table: everything that is known of an op without running it. One row here, one function in runtime/cpu/, one shader
 * in shaders/: tests, validation, benchmarks and shader checks find an op through this table.
 *
 * A graph node, a plan dispatch and a kernel launch all speak of the same ops with the same parameters; the graph only names
 * tensors where the plan names buffers. */
#ifndef PLAN_OP_H
#define PLAN_OP_H

#include "base/dtype.h"
#include "base/host.h"
#include "params.h"

/* X(enumerator, name, parameter list). The order is part of the plan file format: add at the end.
 *
 * Bindings, in this order (? optional; types: m the plan's weight type or a stored one, see
 * OP_CLASS_MATRIX, w the plan's weight type, f f32, u u32, * any float, else the activation type):
 *   linear, conv2d      x0 x1? weight:m bias:f? vec? residual? -> out
 *   attention           q k v -> out
 *   group_norm_stats    x0 x1? -> partial:f
 *   group_norm          x0 x1? partial:f gamma:f beta:f -> out
 *   layer_norm          x gamma:f beta:f -> out
 *   unary               x:* -> out:*
 *   binary              a b -> out
 *   geglu, slice, upsample, pixel_shuffle   x -> out
 *   concat              x0 x1 -> out
 *   embedding           ids:u table:w positions:w? -> out
 *   timestep_embedding  t:f -> out
 *   gather_rows         x index:u -> out
 *   sampler_input       slots:f table:f step:u extra:f? -> out
 *   sampler_update      output:f table:f step:u noise:f? -> slots:f (read and written)
 *   step_advance        -> step:u (read and written)
 *   guidance            output:f table:f step:u slots:f? known:f? mask:f? -> out:f
 *   transpose_weight    weight:w -> out:w
 *   dilate              x -> out
 *   weight_grad         x dy -> out:f
 *   column_sum          x -> out:f
 *   reduce_sum          x:f -> out:f
 *   unary_grad, geglu_grad  x dy -> dx
 *   layer_norm_grad     x gamma:f dy -> dx
 *   layer_norm_param_grad   x dy -> out:f
 *   group_norm_grad_stats   x partial:f dy -> out:f
 *   group_norm_grad     x partial:f gamma:f sums:f dy -> dx
 *   attention_stats     q k out dout -> stats:f
 *   attention_grad      q k v dout stats:f -> dx
 *   gather_rows_grad    index:u dy -> dx:f
 *   upsample_grad       dy -> dx
 *   loss                x target:f? weight:f? -> out:f
 *   loss_grad           x target:f? weight:f? factor:f? -> dx
 *   square_sum          x:f -> out:f
 *   adamw               gradient:f table:f step:u norm:f? -> weight:f m:f v:f average:f? (all read and written)
 *   accumulate          x:f index:u -> sum:f (read and written)
 *   loss_scale          squares:f -> state:f (read and written) */
#define OP_LIST(X)                                                                                                     \
    X(OP_LINEAR, linear, MZT_PARAMS_LINEAR)                                                                            \
    X(OP_CONV2D, conv2d, MZT_PARAMS_CONV2D)                                                                            \
    X(OP_ATTENTION, attention, MZT_PARAMS_ATTENTION)                                                                   \
    X(OP_GROUP_NORM_STATS, group_norm_stats, MZT_PARAMS_GROUP_NORM_STATS)                                              \
    X(OP_GROUP_NORM, group_norm, MZT_PARAMS_GROUP_NORM)                                                                \
    X(OP_LAYER_NORM, layer_norm, MZT_PARAMS_LAYER_NORM)                                                                \
    X(OP_UNARY, unary, MZT_PARAMS_UNARY)                                                                               \
    X(OP_BINARY, binary, MZT_PARAMS_BINARY)                                                                            \
    X(OP_GEGLU, geglu, MZT_PARAMS_GEGLU)                                                                               \
    X(OP_CONCAT, concat, MZT_PARAMS_CONCAT)                                                                            \
    X(OP_SLICE, slice, MZT_PARAMS_SLICE)                                                                               \
    X(OP_UPSAMPLE, upsample, MZT_PARAMS_UPSAMPLE)                                                                      \
    X(OP_EMBEDDING, embedding, MZT_PARAMS_EMBEDDING)                                                                   \
    X(OP_TIMESTEP_EMBEDDING, timestep_embedding, MZT_PARAMS_TIMESTEP_EMBEDDING)                                        \
    X(OP_GATHER_ROWS, gather_rows, MZT_PARAMS_GATHER_ROWS)                                                             \
    X(OP_SAMPLER_INPUT, sampler_input, MZT_PARAMS_SAMPLER_INPUT)                                                       \
    X(OP_SAMPLER_UPDATE, sampler_update, MZT_PARAMS_SAMPLER_UPDATE)                                                    \
    X(OP_STEP_ADVANCE, step_advance, MZT_PARAMS_STEP_ADVANCE)                                                          \
    X(OP_GUIDANCE, guidance, MZT_PARAMS_GUIDANCE)                                                                      \
    X(OP_TRANSPOSE_WEIGHT, transpose_weight, MZT_PARAMS_TRANSPOSE_WEIGHT)                                              \
    X(OP_DILATE, dilate, MZT_PARAMS_DILATE)                                                                            \
    X(OP_WEIGHT_GRAD, weight_grad, MZT_PARAMS_WEIGHT_GRAD)                                                             \
    X(OP_COLUMN_SUM, column_sum, MZT_PARAMS_COLUMN_SUM)                                                                \
    X(OP_REDUCE_SUM, reduce_sum, MZT_PARAMS_REDUCE_SUM)                                                                \
    X(OP_UNARY_GRAD, unary_grad, MZT_PARAMS_UNARY_GRAD)                                                                \
    X(OP_GEGLU_GRAD, geglu_grad, MZT_PARAMS_GEGLU_GRAD)                                                                \
    X(OP_LAYER_NORM_GRAD, layer_norm_grad, MZT_PARAMS_LAYER_NORM_GRAD)                                                 \
    X(OP_LAYER_NORM_PARAM_GRAD, layer_norm_param_grad, MZT_PARAMS_LAYER_NORM_PARAM_GRAD)                               \
    X(OP_GROUP_NORM_GRAD_STATS, group_norm_grad_stats, MZT_PARAMS_GROUP_NORM_GRAD_STATS)                               \
    X(OP_GROUP_NORM_GRAD, group_norm_grad, MZT_PARAMS_GROUP_NORM_GRAD)                                                 \
    X(OP_ATTENTION_STATS, attention_stats, MZT_PARAMS_ATTENTION_STATS)                                                 \
    X(OP_ATTENTION_GRAD, attention_grad, MZT_PARAMS_ATTENTION_GRAD)                                                    \
    X(OP_GATHER_ROWS_GRAD, gather_rows_grad, MZT_PARAMS_GATHER_ROWS_GRAD)                                              \
    X(OP_UPSAMPLE_GRAD, upsample_grad, MZT_PARAMS_UPSAMPLE_GRAD)                                                       \
    X(OP_LOSS, loss, MZT_PARAMS_LOSS)                                                                                  \
    X(OP_LOSS_GRAD, loss_grad, MZT_PARAMS_LOSS_GRAD)                                                                   \
    X(OP_SQUARE_SUM, square_sum, MZT_PARAMS_SQUARE_SUM)                                                                \
    X(OP_ADAMW, adamw, MZT_PARAMS_ADAMW)                                                                               \
    X(OP_PIXEL_SHUFFLE, pixel_shuffle, MZT_PARAMS_PIXEL_SHUFFLE)                                                       \
    X(OP_ACCUMULATE, accumulate, MZT_PARAMS_ACCUMULATE)                                                                \
    X(OP_LOSS_SCALE, loss_scale, MZT_PARAMS_LOSS_SCALE)

typedef enum op {
#define OP_ENUMERATOR(enumerator, name, params) enumerator,
    OP_LIST(OP_ENUMERATOR)
#undef OP_ENUMERATOR
        OP_COUNT
} op;

#define OP_UINT(name)  uint32_t name;
#define OP_FLOAT(name) float name;
#define OP_STRUCT(enumerator, name, params)                                                                            \
    typedef struct name##_params {                                                                                     \
        params(OP_UINT, OP_FLOAT)                                                                                      \
    } name##_params;
OP_LIST(OP_STRUCT)
#undef OP_STRUCT

#define OP_PARAM_WORDS 32

typedef union op_params {
    uint32_t words[OP_PARAM_WORDS];
    uint32_t first; /* every list begins with it */
#define OP_MEMBER(enumerator, name, params) name##_params name;
    OP_LIST(OP_MEMBER)
#undef OP_MEMBER
} op_params;

#define OP_MAX_BINDINGS 8 /* storage buffers in one set that every device has */

typedef enum op_access { OP_READ = 1, OP_WRITE = 2, OP_READ_WRITE = 3 } op_access;

/* Which element types a binding may have. */
typedef enum op_class {
    OP_CLASS_ACTIVATION, /* the plan's activation type: f32, f16 or bf16 */
    OP_CLASS_WEIGHT,     /* the plan's weight type: f32, f16 or bf16 */
    OP_CLASS_MATRIX,     /* the same, or any type that weights are stored in: f16, bf16, and blocks (op_takes_blocks) */
    OP_CLASS_F32,        /* always f32: biases, norm scales, statistics, sampler state */
    OP_CLASS_ANY_FLOAT,  /* any floating type, independent of the others (cast) */
    OP_CLASS_U32
} op_class;

typedef struct op_binding_info {
    const char *name; /* role, in the words of params.h */
    op_access access;
    op_class class_;
    bool optional; /* absent: a flag or a zero size in the parameters says so */
} op_binding_info;

typedef struct op_info {
    const char *name;
    uint32_t param_size; /* bytes */
    uint32_t binding_count;
    op_binding_info bindings[OP_MAX_BINDINGS];
    uint32_t output; /* index of the (first) written binding */
    /* Largest relative error ||out - reference|| / ||reference|| of one dispatch against cpu-reference on the same inputs,
     * by activation type f32, f16, bf16. 0 means bit-equal. */
    double limit[3];
} op_info;

/* The table row; `o` must be below OP_COUNT. */
const op_info *op_get(op o);

/* Whether a buffer of element type `type` may stand at a binding of this class in a plan of these types. */
bool op_type_fits(op_class class_, uint32_t type, uint32_t activation, uint32_t weight);

/* Whether the matrix of this dispatch may be stored in blocks (base/block.h): its rows are whole blocks, and everything
 * that becomes part of an index into channels is a multiple of 4. */
bool op_takes_blocks(op o, const op_params *params);

/* Finds an op by name; OP_COUNT if there is none. */
op op_find(const char *name);

/* The work of one dispatch: floating-point operations (a multiply-add counts 2). Never fails; saturates. */
uint64_t op_flops(op o, const op_params *params);

/* Which elements of each binding one dispatch may touch: first ... end - 1, counted from the binding's start (both 0 for an
 * absent optional one). Written bindings are written completely in that range, except by windowed embeddings and by sums that
 * were cut by samples. False when
 * a product overflows, an element index needs more than 32 bits, or a size is inconsistent. For checked parameters only. */
typedef struct op_region {
    uint64_t first, end;
} op_region;
bool op_regions(op o, const op_params *params, op_region regions[OP_MAX_BINDINGS]);

/* Elements that each binding must at least hold for these parameters (0 for an absent optional one): the ends of op_regions,
 * so for bindings of windowed dispatches counted from the window's base. */
bool op_extents(op o, const op_params *params, uint64_t extents[OP_MAX_BINDINGS]);

/* Checks parameters that could make a kernel divide by zero, loop for ever or read out of bounds: sizes > 0, known kinds
 * and flags, group sizes that divide. */
mzt_status op_check(op o, const op_params *params, mzt_error *error);

#endif
