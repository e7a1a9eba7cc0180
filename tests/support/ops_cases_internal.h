/* What the generators of cases share; they live in ops_cases.c and ops_cases_training.c. */
#ifndef SUPPORT_OPS_CASES_INTERNAL_H
#define SUPPORT_OPS_CASES_INTERNAL_H

#include "ops_cases.h"

/* Draws the parameters of case `index`; 0 is the smallest. */
typedef void ops_generator(ops_random *r, uint32_t index, op_params *params);

bool ops_chance(ops_random *r, uint32_t percent);
uint32_t ops_pick_width(ops_random *r);
uint32_t ops_pick_rows(ops_random *r);
uint32_t ops_pick_count(ops_random *r);
#define OPS_PICK(r, list) (list)[ops_random_between((r), 0, sizeof(list) / sizeof *(list)-1)]

ops_generator make_transpose_weight, make_dilate, make_weight_grad, make_column_sum, make_reduce_sum,
    make_unary_grad, make_geglu_grad, make_layer_norm_grad, make_layer_norm_param_grad,
    make_group_norm_grad_stats, make_group_norm_grad, make_attention_stats, make_attention_grad,
    make_gather_rows_grad, make_upsample_grad, make_loss, make_loss_grad, make_square_sum, make_adamw,
    make_accumulate, make_loss_scale;

#endif
