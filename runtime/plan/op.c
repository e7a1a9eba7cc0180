/* The op table: bindings, error limits and cost of every op; see op.h. */
#include "plan/op_internal.h"

#include <string.h>

#define READ(name, class_)                                                                                   \
    { name, OP_READ, OP_CLASS_##class_, false }
#define READ_OPTIONAL(name, class_)                                                                          \
    { name, OP_READ, OP_CLASS_##class_, true }
#define WRITE(name, class_)                                                                                  \
    { name, OP_WRITE, OP_CLASS_##class_, false }
#define READ_WRITE(name, class_)                                                                             \
    { name, OP_READ_WRITE, OP_CLASS_##class_, false }
#define READ_WRITE_OPTIONAL(name, class_)                                                                    \
    { name, OP_READ_WRITE, OP_CLASS_##class_, true }
#define ROW(op_name, count, out, ...)                                                                        \
    { #op_name, sizeof(op_name##_params), count, {__VA_ARGS__ }, out, LIMITS }

/* Sums of many products: rounding of the stored result dominates in f16 and bf16. */
#define LIMITS                                                                                               \
    { 1e-5, 2e-3, 1.6e-2 }

static const op_info table[OP_COUNT] = {
    [OP_LINEAR] = ROW(linear, 7, 6, READ("x0", ACTIVATION), READ_OPTIONAL("x1", ACTIVATION),
                      READ("weight", MATRIX), READ_OPTIONAL("bias", F32), READ_OPTIONAL("vec", ACTIVATION),
                      READ_OPTIONAL("residual", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_CONV2D] = ROW(conv2d, 7, 6, READ("x0", ACTIVATION), READ_OPTIONAL("x1", ACTIVATION),
                      READ("weight", MATRIX), READ_OPTIONAL("bias", F32), READ_OPTIONAL("vec", ACTIVATION),
                      READ_OPTIONAL("residual", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_ATTENTION] = ROW(attention, 4, 3, READ("q", ACTIVATION), READ("k", ACTIVATION), READ("v", ACTIVATION),
                         WRITE("out", ACTIVATION)),
    [OP_GROUP_NORM] =
        ROW(group_norm, 6, 5, READ("x0", ACTIVATION), READ_OPTIONAL("x1", ACTIVATION), READ("partial", F32),
            READ("gamma", F32), READ("beta", F32), WRITE("out", ACTIVATION)),
    [OP_LAYER_NORM] = ROW(layer_norm, 4, 3, READ("x", ACTIVATION), READ("gamma", F32), READ("beta", F32),
                          WRITE("out", ACTIVATION)),
    [OP_UNARY] = ROW(unary, 2, 1, READ("x", ANY_FLOAT), WRITE("out", ANY_FLOAT)),
    [OP_BINARY] = ROW(binary, 3, 2, READ("a", ACTIVATION), READ("b", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_GEGLU] = ROW(geglu, 2, 1, READ("x", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_EMBEDDING] = ROW(embedding, 4, 3, READ("ids", U32), READ("table", WEIGHT),
                         READ_OPTIONAL("positions", WEIGHT), WRITE("out", ACTIVATION)),
    [OP_TIMESTEP_EMBEDDING] = ROW(timestep_embedding, 2, 1, READ("t", F32), WRITE("out", ACTIVATION)),
    [OP_SAMPLER_INPUT] = ROW(sampler_input, 5, 4, READ("slots", F32), READ("table", F32), READ("step", U32),
                             READ_OPTIONAL("extra", F32), WRITE("out", ACTIVATION)),
    [OP_UNARY_GRAD] =
        ROW(unary_grad, 3, 2, READ("x", ACTIVATION), READ("dy", ACTIVATION), WRITE("dx", ACTIVATION)),
    [OP_GEGLU_GRAD] =
        ROW(geglu_grad, 3, 2, READ("x", ACTIVATION), READ("dy", ACTIVATION), WRITE("dx", ACTIVATION)),
    [OP_LAYER_NORM_GRAD] = ROW(layer_norm_grad, 4, 3, READ("x", ACTIVATION), READ("gamma", F32),
                               READ("dy", ACTIVATION), WRITE("dx", ACTIVATION)),
    [OP_GROUP_NORM_GRAD] =
        ROW(group_norm_grad, 6, 5, READ("x", ACTIVATION), READ("partial", F32), READ("gamma", F32),
            READ("sums", F32), READ("dy", ACTIVATION), WRITE("dx", ACTIVATION)),
    [OP_ATTENTION_GRAD] =
        ROW(attention_grad, 6, 5, READ("q", ACTIVATION), READ("k", ACTIVATION), READ("v", ACTIVATION),
            READ("dout", ACTIVATION), READ("stats", F32), WRITE("dx", ACTIVATION)),
    [OP_UPSAMPLE_GRAD] = ROW(upsample_grad, 2, 1, READ("dy", ACTIVATION), WRITE("dx", ACTIVATION)),
    [OP_LOSS_GRAD] =
        ROW(loss_grad, 5, 4, READ("x", ACTIVATION), READ_OPTIONAL("target", F32),
            READ_OPTIONAL("weight", F32), READ_OPTIONAL("factor", F32), WRITE("dx", ACTIVATION)),
#undef LIMITS
/* Statistics and state are f32 whatever the activations are; both sides read the same inputs. */
#define LIMITS                                                                                               \
    { 1e-5, 1e-5, 1e-5 }
    [OP_GROUP_NORM_STATS] = ROW(group_norm_stats, 3, 2, READ("x0", ACTIVATION),
                                READ_OPTIONAL("x1", ACTIVATION), WRITE("partial", F32)),
    [OP_SAMPLER_UPDATE] = ROW(sampler_update, 5, 4, READ("output", F32), READ("table", F32),
                              READ("step", U32), READ_OPTIONAL("noise", F32), READ_WRITE("slots", F32)),
    [OP_GUIDANCE] = ROW(guidance, 7, 6, READ("output", F32), READ("table", F32), READ("step", U32),
                        READ_OPTIONAL("slots", F32), READ_OPTIONAL("known", F32), READ_OPTIONAL("mask", F32),
                        WRITE("out", F32)),
    [OP_WEIGHT_GRAD] =
        ROW(weight_grad, 3, 2, READ("x", ACTIVATION), READ("dy", ACTIVATION), WRITE("out", F32)),
    [OP_COLUMN_SUM] = ROW(column_sum, 2, 1, READ("x", ACTIVATION), WRITE("out", F32)),
    [OP_REDUCE_SUM] = ROW(reduce_sum, 2, 1, READ("x", F32), WRITE("out", F32)),
    [OP_LAYER_NORM_PARAM_GRAD] =
        ROW(layer_norm_param_grad, 3, 2, READ("x", ACTIVATION), READ("dy", ACTIVATION), WRITE("out", F32)),
    [OP_GROUP_NORM_GRAD_STATS] = ROW(group_norm_grad_stats, 4, 3, READ("x", ACTIVATION), READ("partial", F32),
                                     READ("dy", ACTIVATION), WRITE("out", F32)),
    [OP_ATTENTION_STATS] = ROW(attention_stats, 5, 4, READ("q", ACTIVATION), READ("k", ACTIVATION),
                               READ("out", ACTIVATION), READ("dout", ACTIVATION), WRITE("stats", F32)),
    [OP_GATHER_ROWS_GRAD] =
        ROW(gather_rows_grad, 3, 2, READ("index", U32), READ("dy", ACTIVATION), WRITE("dx", F32)),
    [OP_LOSS] = ROW(loss, 4, 3, READ("x", ACTIVATION), READ_OPTIONAL("target", F32),
                    READ_OPTIONAL("weight", F32), WRITE("out", F32)),
    [OP_SQUARE_SUM] = ROW(square_sum, 2, 1, READ("x", F32), WRITE("out", F32)),
    [OP_ADAMW] = ROW(adamw, 8, 4, READ("gradient", F32), READ("table", F32), READ("step", U32),
                     READ_OPTIONAL("norm", F32), READ_WRITE("weight", F32), READ_WRITE("m", F32),
                     READ_WRITE("v", F32), READ_WRITE_OPTIONAL("average", F32)),
    [OP_ACCUMULATE] = ROW(accumulate, 3, 2, READ("x", F32), READ("index", U32), READ_WRITE("sum", F32)),
    [OP_LOSS_SCALE] = ROW(loss_scale, 2, 1, READ("squares", F32), READ_WRITE("state", F32)),
#undef LIMITS
/* Copies. */
#define LIMITS                                                                                               \
    { 0, 0, 0 }
    [OP_CONCAT] = ROW(concat, 3, 2, READ("x0", ACTIVATION), READ("x1", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_SLICE] = ROW(slice, 2, 1, READ("x", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_UPSAMPLE] = ROW(upsample, 2, 1, READ("x", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_PIXEL_SHUFFLE] = ROW(pixel_shuffle, 2, 1, READ("x", ACTIVATION), WRITE("out", ACTIVATION)),
    [OP_GATHER_ROWS] =
        ROW(gather_rows, 3, 2, READ("x", ACTIVATION), READ("index", U32), WRITE("out", ACTIVATION)),
    [OP_STEP_ADVANCE] = ROW(step_advance, 1, 0, READ_WRITE("step", U32)),
    [OP_TRANSPOSE_WEIGHT] = ROW(transpose_weight, 2, 1, READ("weight", WEIGHT), WRITE("out", WEIGHT)),
    [OP_DILATE] = ROW(dilate, 2, 1, READ("x", ACTIVATION), WRITE("out", ACTIVATION)),
#undef LIMITS
};

#define FITS(enumerator, name, params)                                                                       \
    _Static_assert(sizeof(name##_params) <= 4 * OP_PARAM_WORDS, #name ": more than 128 bytes of "            \
                                                                      "parameters");
OP_LIST(FITS)
#undef FITS

const op_info *op_get(op o) {
    return &table[o];
}

bool op_type_fits(op_class class_, uint32_t type, uint32_t activation, uint32_t weight) {
    switch (class_) {
    case OP_CLASS_ACTIVATION:
        return type == activation;
    case OP_CLASS_WEIGHT:
        return type == weight;
    case OP_CLASS_MATRIX:
        return type == weight || type == DTYPE_F16 || type == DTYPE_BF16 || type == DTYPE_Q8 ||
               type == DTYPE_Q4;
    case OP_CLASS_F32:
        return type == DTYPE_F32;
    case OP_CLASS_ANY_FLOAT:
        return type <= DTYPE_BF16;
    case OP_CLASS_U32:
        return type == DTYPE_U32;
    }
    return false;
}

static bool fours(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) {
    return (a | b | c | d | e) % 4 == 0;
}

bool op_takes_blocks(op o, const op_params *params) {
    const linear_params *l = &params->linear;
    const conv2d_params *c = &params->conv2d;
    if (o == OP_LINEAR)
        return fours(l->k0, l->k1, l->n, l->vec_stride, l->vec_offset) &&
               ((uint64_t)l->k0 + l->k1) % dtype_block(DTYPE_Q8) == 0;
    if (o != OP_CONV2D) return false;
    uint64_t taps = (uint64_t)c->kh * c->kw;
    return fours(c->c0, c->c1, c->cout, c->vec_stride, c->vec_offset) &&
           fours(c->x0_base, c->x1_base, c->out_base, 0, 0) &&
           taps * ((uint64_t)c->c0 + c->c1) % dtype_block(DTYPE_Q8) == 0;
}

op op_find(const char *name) {
    for (uint32_t i = 0; i < OP_COUNT; i++)
        if (strcmp(table[i].name, name) == 0) return (op)i;
    return OP_COUNT;
}

uint64_t op_flops(op o, const op_params *p) {
    switch (o) {
    case OP_LINEAR: {
        uint64_t k = (uint64_t)p->linear.k0 + p->linear.k1;
        uint64_t columns = (p->linear.flags & EPILOGUE_GEGLU) ? 2 * (uint64_t)p->linear.n : p->linear.n;
        return op_times(op_times(p->linear.m, columns), 2 * k);
    }
    case OP_CONV2D: {
        uint64_t taps = op_times((uint64_t)p->conv2d.c0 + p->conv2d.c1, op_times(p->conv2d.kh, p->conv2d.kw));
        return op_times(op_times(p->conv2d.rows, p->conv2d.cout), op_times(2, taps));
    }
    case OP_ATTENTION: {
        uint64_t pairs = op_times(op_times(p->attention.batch, p->attention.heads),
                                  op_times(p->attention.lq, p->attention.lk));
        uint64_t all = op_times(pairs, 4 * (uint64_t)p->attention.d);
        return (p->attention.flags & ATTENTION_CAUSAL) ? all / 2 : all;
    }
    case OP_GROUP_NORM_STATS:
        return op_times(op_times((uint64_t)p->group_norm_stats.c0 + p->group_norm_stats.c1,
                                 p->group_norm_stats.rows_per_chunk),
                        op_times(4, p->group_norm_stats.chunk_count));
    case OP_GROUP_NORM:
        return op_times(op_times(p->group_norm.rows, (uint64_t)p->group_norm.c0 + p->group_norm.c1), 4);
    case OP_LAYER_NORM:
        return op_times(op_times(p->layer_norm.rows, p->layer_norm.c), 8);
    case OP_UNARY:
        return op_times(p->unary.count, 4);
    case OP_BINARY:
        return op_times(p->binary.count, 3);
    case OP_GEGLU:
        return op_times(op_times(p->geglu.rows, p->geglu.c), 8);
    case OP_EMBEDDING:
        return op_times(p->embedding.rows, p->embedding.c);
    case OP_TIMESTEP_EMBEDDING:
        return op_times(op_times(p->timestep_embedding.rows, p->timestep_embedding.dim), 8);
    case OP_SAMPLER_INPUT:
        return op_times(op_times(p->sampler_input.pixels, p->sampler_input.c),
                        2 * (uint64_t)p->sampler_input.slots);
    case OP_SAMPLER_UPDATE:
        return op_times(p->sampler_update.count, op_times(p->sampler_update.slots, 24));
    case OP_STEP_ADVANCE:
        return 1;
    case OP_GUIDANCE:
        return op_times(op_times(p->guidance.samples, p->guidance.count), 16);
    case OP_CONCAT:
    case OP_SLICE:
    case OP_UPSAMPLE:
    case OP_PIXEL_SHUFFLE:
    case OP_GATHER_ROWS:
        break; /* copies */
    default:
        return op_training_flops(o, p);
    }
    return 0;
}
