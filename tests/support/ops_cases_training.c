/* Generators of shapes for the ops of training; see ops_cases.h. */
#include "ops_cases_internal.h"

/* Cuts `rows` into a few parts. */
static void pick_splits(ops_random *r, uint32_t rows, uint32_t *splits, uint32_t *rows_per_split) {
    *rows_per_split = ops_chance(r, 40) ? rows : ceil_div(rows, ops_random_between(r, 1, 6));
    *splits = ceil_div(rows, *rows_per_split);
}

void make_transpose_weight(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t kernels[] = {1, 1, 3, 3, 2, 5};
    transpose_weight_params *p = &params->transpose_weight;
    *p = (transpose_weight_params){.o = 1, .kh = 1, .kw = 1, .i = 1};
    if (index == 0) return;
    p->o = ops_pick_width(r);
    p->i = ops_pick_width(r);
    p->kh = OPS_PICK(r, kernels);
    p->kw = ops_chance(r, 80) ? p->kh : OPS_PICK(r, kernels);
}

void make_dilate(ops_random *r, uint32_t index, op_params *params) {
    dilate_params *p = &params->dilate;
    *p = (dilate_params){.n = 1, .h = 1, .w = 1, .c = 1, .stride = 1, .oh = 1, .ow = 1};
    if (index == 0) return;
    p->n = ops_random_between(r, 1, 3);
    p->h = ops_random_between(r, 1, 9);
    p->w = ops_random_between(r, 1, 9);
    p->c = ops_pick_width(r);
    p->stride = ops_random_between(r, 1, 3);
    p->top = ops_chance(r, 60) ? 0 : ops_random_between(r, 1, 3);
    p->left = ops_chance(r, 60) ? 0 : ops_random_between(r, 1, 3);
    p->oh = (p->h - 1) * p->stride + 1 + p->top + ops_random_between(r, 0, 2);
    p->ow = (p->w - 1) * p->stride + 1 + p->left + ops_random_between(r, 0, 2);
}

void make_weight_grad(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t channels[] = {3, 4, 8, 5, 13, 16, 32, 36, 40, 64, 72, 96};
    static const uint32_t sides[] = {1, 2, 3, 5, 8, 9, 12, 16, 17};
    static const uint32_t kernels[] = {1, 3, 3, 3, 3, 2, 5};
    weight_grad_params *p = &params->weight_grad;
    *p = (weight_grad_params){.n = 1,
                              .h = 1,
                              .w = 1,
                              .c = 1,
                              .cout = 1,
                              .kh = 1,
                              .kw = 1,
                              .stride = 1,
                              .oh = 1,
                              .ow = 1,
                              .splits = 1,
                              .rows_per_split = 1};
    if (index == 0) return;
    p->c = OPS_PICK(r, channels);
    p->cout = OPS_PICK(r, channels);
    if (index % 3 == 1) { /* a linear layer */
        p->w = p->ow = ops_pick_rows(r);
        p->c = ops_pick_width(r);
        p->cout = ops_pick_width(r);
    } else {
        p->n = ops_random_between(r, 1, 3);
        p->h = OPS_PICK(r, sides);
        p->w = OPS_PICK(r, sides);
        p->kh = OPS_PICK(r, kernels);
        p->kw = ops_chance(r, 80) ? p->kh : OPS_PICK(r, kernels);
        p->stride = ops_chance(r, 30) ? 2 : 1;
        p->pad_top = ops_chance(r, 70) ? p->kh / 2 : 0;
        p->pad_left = ops_chance(r, 80) ? p->kw / 2 * (p->pad_top > 0) : 0;
        uint32_t after_y = ops_chance(r, 80) ? p->kh / 2 : 0, after_x = ops_chance(r, 80) ? p->kw / 2 : 0;
        if (p->h + p->pad_top + after_y < p->kh) after_y = p->kh - p->h - p->pad_top;
        if (p->w + p->pad_left + after_x < p->kw) after_x = p->kw - p->w - p->pad_left;
        p->oh = (p->h + p->pad_top + after_y - p->kh) / p->stride + 1;
        p->ow = (p->w + p->pad_left + after_x - p->kw) / p->stride + 1;
        if (ops_chance(r, 20) && p->h >= p->kh && p->w >= p->kw)
            p->flags |= ops_chance(r, 50) ? CONV_WRAP_X | CONV_WRAP_Y : CONV_WRAP_X;
    }
    pick_splits(r, p->n * p->oh * p->ow, &p->splits, &p->rows_per_split);
}

void make_column_sum(ops_random *r, uint32_t index, op_params *params) {
    column_sum_params *p = &params->column_sum;
    *p = (column_sum_params){
        .samples = 1, .rows = 1, .c = 1, .splits = 1, .rows_per_split = 1, .out_samples = 1};
    if (index == 0) return;
    p->samples = ops_chance(r, 50) ? 1 : ops_random_between(r, 2, 4);
    p->rows = ops_pick_rows(r);
    p->c = ops_pick_width(r);
    pick_splits(r, p->rows, &p->splits, &p->rows_per_split);
    p->sample0 = ops_chance(r, 60) ? 0 : ops_random_between(r, 1, 3);
    p->out_samples = p->sample0 + p->samples + (ops_chance(r, 60) ? 0 : ops_random_between(r, 1, 2));
}

void make_reduce_sum(ops_random *r, uint32_t index, op_params *params) {
    reduce_sum_params *p = &params->reduce_sum;
    *p = (reduce_sum_params){.parts = 1, .count = 1, .stride = 1, .scale = 1};
    if (index == 0) return;
    p->parts = ops_random_between(r, 1, 40);
    p->count = ops_pick_count(r);
    p->offset = ops_chance(r, 60) ? 0 : ops_pick_width(r);
    p->stride = p->offset + p->count + (ops_chance(r, 60) ? 0 : ops_pick_width(r));
    if (ops_chance(r, 40)) p->scale = (float)ops_random_uniform(r) * 2;
    if (index % 5 == 1) *p = (reduce_sum_params){.parts = 1000, .count = 1, .stride = 1, .scale = 1};
}

void make_unary_grad(ops_random *r, uint32_t index, op_params *params) {
    unary_grad_params *p = &params->unary_grad;
    *p = (unary_grad_params){.count = 1, .kind = index % UNARY_KINDS, .scale = 1};
    if (index == 0) return;
    p->count = ops_pick_count(r);
    if (p->kind == UNARY_RELU && p->count < 63) p->count = 63; /* a few values may all be cut off */
    if (ops_chance(r, 50)) {
        p->scale = (float)ops_random_uniform(r) * 3;
        p->shift = (float)ops_random_uniform(r);
    }
}

void make_geglu_grad(ops_random *r, uint32_t index, op_params *params) {
    params->geglu_grad = (geglu_grad_params){.rows = 1, .c = 1};
    if (index) params->geglu_grad = (geglu_grad_params){.rows = ops_pick_rows(r), .c = ops_pick_width(r)};
}

/* Not 2: two normalised values are +-1 whatever x is, so their gradient is nothing but rounding. */
static uint32_t pick_norm_width(ops_random *r) {
    static const uint32_t widths[] = {3, 5, 8, 31, 64, 100, 320, 640, 768, 1280, 1023};
    return OPS_PICK(r, widths);
}

void make_layer_norm_grad(ops_random *r, uint32_t index, op_params *params) {
    params->layer_norm_grad = (layer_norm_grad_params){.rows = 1, .c = 4, .eps = 1e-5f};
    if (index) {
        params->layer_norm_grad.rows = ops_pick_rows(r);
        params->layer_norm_grad.c = pick_norm_width(r);
    }
}

void make_layer_norm_param_grad(ops_random *r, uint32_t index, op_params *params) {
    layer_norm_param_grad_params *p = &params->layer_norm_param_grad;
    *p = (layer_norm_param_grad_params){.rows = 1, .c = 4, .splits = 1, .rows_per_split = 1, .eps = 1e-5f};
    if (index == 0) return;
    p->rows = ops_pick_rows(r);
    p->c = pick_norm_width(r);
    pick_splits(r, p->rows, &p->splits, &p->rows_per_split);
}

void make_group_norm_grad_stats(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t counts[] = {32, 32, 32, 1, 2, 3, 8, 16},
                          pixels[] = {1, 2, 7, 16, 60, 64, 65, 128, 200, 300};
    group_norm_grad_stats_params *p = &params->group_norm_grad_stats;
    *p = (group_norm_grad_stats_params){.n = 1,
                                        .hw = 2,
                                        .c = 1,
                                        .groups = 1,
                                        .chunks = 1,
                                        .rows_per_chunk = 2,
                                        .eps = 1e-5f,
                                        .out_samples = 1};
    if (index == 0) return;
    p->n = ops_random_between(r, 1, 3);
    p->sample0 = ops_chance(r, 60) ? 0 : ops_random_between(r, 1, 3);
    p->out_samples = p->sample0 + p->n + (ops_chance(r, 60) ? 0 : ops_random_between(r, 1, 2));
    p->hw = OPS_PICK(r, pixels);
    p->groups = OPS_PICK(r, counts);
    p->c = p->groups * ops_random_between(r, 1, p->groups > 8 ? 5 : 12);
    pick_splits(r, p->hw, &p->chunks, &p->rows_per_chunk);
}

void make_group_norm_grad(ops_random *r, uint32_t index, op_params *params) {
    op_params other = {.words = {0}};
    make_group_norm_grad_stats(r, index, &other);
    const group_norm_grad_stats_params *s = &other.group_norm_grad_stats;
    params->group_norm_grad = (group_norm_grad_params){.n = s->n,
                                                       .hw = s->hw,
                                                       .c = s->c,
                                                       .groups = s->groups,
                                                       .chunks = s->chunks,
                                                       .rows_per_chunk = s->rows_per_chunk,
                                                       .eps = s->eps};
}

/* Scores q . k * scale stay within +-5: probabilities are computed from a stand-in for their denominator. */
void make_attention_grad(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t sizes[] = {8, 40, 64, 80, 160, 512, 1, 3, 16, 24, 48, 96, 128, 4};
    static const uint32_t lengths[] = {1, 2, 15, 16, 33, 64, 65, 77, 100};
    attention_grad_params *p = &params->attention_grad;
    *p = (attention_grad_params){.batch = 1, .heads = 1, .d = 1, .lq = 1, .lk = 1, .scale = 1};
    if (index == 0) return;
    p->kind = index % 3;
    p->batch = ops_random_between(r, 1, 2);
    p->d = index <= 42 ? sizes[index / 3 % 14] : OPS_PICK(r, sizes);
    p->heads = p->d >= 160 ? 1 : ops_random_between(r, 1, 4);
    p->lq = OPS_PICK(r, lengths);
    p->lk = ops_chance(r, 50) ? p->lq : OPS_PICK(r, lengths);
    p->flags = ops_chance(r, 30) ? ATTENTION_CAUSAL : 0;
    p->scale = (float)(ops_random_between(r, 5, 17) * 0.1) / (float)p->d;
}

void make_attention_stats(ops_random *r, uint32_t index, op_params *params) {
    op_params other = {.words = {0}};
    make_attention_grad(r, index, &other);
    const attention_grad_params *g = &other.attention_grad;
    params->attention_stats = (attention_stats_params){.batch = g->batch,
                                                       .heads = g->heads,
                                                       .d = g->d,
                                                       .lq = g->lq,
                                                       .lk = g->lk,
                                                       .flags = g->flags,
                                                       .scale = g->scale};
}

void make_gather_rows_grad(ops_random *r, uint32_t index, op_params *params) {
    gather_rows_grad_params *p = &params->gather_rows_grad;
    *p = (gather_rows_grad_params){.rows = 1, .c = 1, .block = 1, .x_rows = 1, .blocks = 1};
    if (index == 0) return;
    uint32_t blocks = ops_random_between(r, 1, 20);
    p->c = ops_pick_width(r);
    p->block = ops_chance(r, 60) ? 1 : ops_random_between(r, 2, 9);
    p->x_rows = p->block * blocks;
    p->rows = p->block * ops_random_between(r, 1, 80);
    p->beyond = ops_chance(r, 50) ? 0 : blocks - 1;
    p->block0 = ops_chance(r, 50) ? 0 : ops_random_between(r, 0, blocks - 1);
    p->blocks = p->block0 ? ops_random_between(r, 1, blocks - p->block0) : blocks;
}

void make_upsample_grad(ops_random *r, uint32_t index, op_params *params) {
    params->upsample_grad = (upsample_grad_params){.n = 1, .h = 1, .w = 1, .c = 1};
    if (index)
        params->upsample_grad = (upsample_grad_params){.n = ops_random_between(r, 1, 3),
                                                       .h = ops_random_between(r, 1, 9),
                                                       .w = ops_random_between(r, 1, 9),
                                                       .c = ops_pick_width(r)};
}

void make_loss_grad(ops_random *r, uint32_t index, op_params *params) {
    loss_grad_params *p = &params->loss_grad;
    *p = (loss_grad_params){.count = 1, .kind = index % 3, .beta = 0.5f, .scale = 1};
    if (index == 0) return;
    p->count = ops_pick_count(r);
    p->flags = ops_chance(r, 70) ? LOSS_TARGET : 0;
    if (index % 4 == 2) p->flags |= LOSS_SCALED;
    p->weight_first = ops_chance(r, 70) ? 0 : ops_random_between(r, 1, 99);
    p->weight_each = ops_chance(r, 40) ? 0 : ops_random_between(r, 1, p->count);
    if (ops_chance(r, 30)) p->beta = 0;
    p->scale = 1 / (float)p->count;
}

void make_loss(ops_random *r, uint32_t index, op_params *params) {
    op_params other = {.words = {0}};
    make_loss_grad(r, index, &other);
    const loss_grad_params *g = &other.loss_grad;
    params->loss = (loss_params){.count = g->count,
                                 .kind = g->kind,
                                 .flags = g->flags & ~LOSS_SCALED,
                                 .weight_each = g->weight_each,
                                 .beta = g->beta,
                                 .scale = g->scale,
                                 .out_first = g->weight_first / 2,
                                 .weight_first = g->weight_first};
    pick_splits(r, g->count, &params->loss.parts, &params->loss.per_part);
}

void make_square_sum(ops_random *r, uint32_t index, op_params *params) {
    square_sum_params *p = &params->square_sum;
    *p = (square_sum_params){.count = 1, .parts = 1, .per_part = 1};
    if (index == 0) return;
    p->count = ops_pick_count(r);
    pick_splits(r, p->count, &p->parts, &p->per_part);
    p->out_first = ops_chance(r, 40) ? 0 : ops_random_between(r, 1, 99);
}

void make_adamw(ops_random *r, uint32_t index, op_params *params) {
    adamw_params *p = &params->adamw;
    *p = (adamw_params){.count = 1, .steps = 1, .rate = 1, .decay = 1};
    if (index == 0) return;
    p->count = ops_pick_count(r);
    p->steps = ops_random_between(r, 1, 5);
    p->flags = index % 4;
    if ((p->flags & ADAMW_NORM) && ops_chance(r, 40)) p->flags |= ADAMW_SCALED;
    p->decay = ops_chance(r, 50) ? 0 : 1;
    p->rate = ops_chance(r, 50) ? 1 : 0.25f;
}

void make_accumulate(ops_random *r, uint32_t index, op_params *params) {
    params->accumulate.count = index ? ops_pick_count(r) : 1;
}

/* Its state's numbers of good steps are drawn from around `grow_after`, see ops_data.c. */
void make_loss_scale(ops_random *r, uint32_t index, op_params *params) {
    (void)r;
    params->loss_scale = (loss_scale_params){.grow_after = 1 + index % 3, .least = 0.25f, .most = 2};
}
