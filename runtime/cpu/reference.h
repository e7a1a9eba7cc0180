/* cpu-reference: every op as shaders/include/params.h describes it, in plain C with sums in double. It is the
 * judge of all other kernels, so each function follows the formula and nothing else.
 *
 * Each op is cut into independent items (rows of the output, mostly), which the thread pool shares out. */
#ifndef CPU_REFERENCE_H
#define CPU_REFERENCE_H

#include "cpu/cpu.h"

/* Computes items [first, last). False: out of memory. */
typedef bool reference_function(const cpu_call *call, uint64_t first, uint64_t last);

reference_function reference_linear, reference_conv2d; /* reference_matrix.c: items are output rows */
reference_function reference_attention;                /* items are [batch][heads][lq] */
reference_function reference_group_norm_stats, reference_group_norm; /* items are [n][chunks]; rows */
reference_function reference_layer_norm;                             /* items are rows */
reference_function reference_unary, reference_binary;                /* items are elements */
reference_function reference_geglu, reference_concat, reference_slice,
    reference_upsample;                     /* items are output rows */
reference_function reference_pixel_shuffle; /* items are coarse pixels */
reference_function reference_embedding, reference_timestep_embedding, reference_gather_rows;
reference_function reference_sampler_input, reference_sampler_update; /* items are pixels; elements */
reference_function reference_step_advance;

/* Training. reference_grad_matrix.c: items are rows of the output; elements for reduce_sum. */
reference_function reference_transpose_weight, reference_dilate, reference_weight_grad, reference_column_sum,
    reference_reduce_sum;
/* reference_grad_elementwise.c: items are elements, rows, parts of a sum. */
reference_function reference_unary_grad, reference_geglu_grad, reference_upsample_grad,
    reference_gather_rows_grad, reference_loss, reference_loss_grad;
/* reference_grad_norm.c: items are rows, splits, [n][chunks], [n][groups]. */
reference_function reference_layer_norm_grad, reference_layer_norm_param_grad,
    reference_group_norm_grad_stats, reference_group_norm_grad;
reference_function reference_attention_stats,
    reference_attention_grad;                             /* items are [batch][heads][lq or lk] */
reference_function reference_square_sum, reference_adamw, reference_accumulate,
    reference_loss_scale; /* reference_optimizer.c: parts; elements; elements; one */
reference_function reference_guidance;                    /* items are samples */

/* Computes one dispatch; the whole of the cpu-reference backend. */
mzt_status reference_run(cpu_program *g, cpu_call *call, mzt_error *error);

static inline double operand_load(const cpu_operand *x, uint64_t index) {
    return dtype_load(x->type, x->data, index);
}

static inline void operand_store(const cpu_operand *x, uint64_t index, double value) {
    dtype_store(x->type, x->data, index, value);
}

/* Elements [index, index + count) as doubles, `step` apart in `out`. */
void operand_load_row(const cpu_operand *x, uint64_t index, uint64_t count, double *out, uint64_t step);

/* Copies elements between operands of one type. */
void operand_copy(const cpu_operand *out, uint64_t to, const cpu_operand *x, uint64_t from, uint64_t count);

/* UNARY_* of x. */
double reference_activation(uint32_t kind, double x);

/* Its derivative. */
double reference_activation_slope(uint32_t kind, double x);

/* How group_norm_stats has cut its source. */
typedef struct reference_groups {
    uint64_t hw, chunks, rows_per_chunk, groups, size; /* size: channels of a group */
} reference_groups;

/* Mean and variance of one group of one sample, from the statistics of its chunks. */
void reference_join_chunks(const cpu_operand *stats, const reference_groups *g, uint64_t sample,
                           uint64_t group, double *mean, double *variance);

#endif
