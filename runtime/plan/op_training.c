/* The ops of training (see params.h): checks, touched elements and cost, as op_check.c, op_extents.c and op.c
 * have them for the others. */
#include "plan/op_internal.h"

/* -----------------------------------------------------------------------------------------------------
 * checks -- */

/* `rows` cut into `splits` parts of rows_per_split. */
static void check_splits(op_checker *c, uint32_t rows, uint32_t splits, uint32_t rows_per_split) {
    op_positive(c, "rows_per_split", rows_per_split);
    op_positive(c, "splits", splits);
    if (c->status >= 0 && splits != ceil_div(rows, rows_per_split))
        op_fail(c, "splits", splits, "rows / rows_per_split, rounded up");
}

static void check_dilate(op_checker *c, const op_params *p) {
    const dilate_params *d = &p->dilate;
    OP_POSITIVE(dilate, n);
    OP_POSITIVE(dilate, h);
    OP_POSITIVE(dilate, w);
    OP_POSITIVE(dilate, c);
    OP_POSITIVE(dilate, stride);
    OP_POSITIVE(dilate, oh);
    OP_POSITIVE(dilate, ow);
    if (c->status < 0) return;
    uint64_t bottom = op_times(d->h - 1, d->stride), right = op_times(d->w - 1, d->stride);
    op_at_most(c, "h", bottom + d->top, d->oh - 1, "rows that lie within oh");
    op_at_most(c, "w", right + d->left, d->ow - 1, "columns that lie within ow");
}

static void check_weight_grad(op_checker *c, const op_params *p) {
    const weight_grad_params *g = &p->weight_grad;
    OP_POSITIVE(weight_grad, n);
    OP_POSITIVE(weight_grad, h);
    OP_POSITIVE(weight_grad, w);
    OP_POSITIVE(weight_grad, c);
    OP_POSITIVE(weight_grad, cout);
    OP_POSITIVE(weight_grad, kh);
    OP_POSITIVE(weight_grad, kw);
    OP_POSITIVE(weight_grad, stride);
    OP_POSITIVE(weight_grad, oh);
    OP_POSITIVE(weight_grad, ow);
    if (g->flags & ~(CONV_WRAP_X | CONV_WRAP_Y)) op_fail(c, "flags", g->flags, "only known flags");
    if (c->status < 0) return;
    op_check_axis(c, "oh", g->h, g->oh, g->stride, g->kh, g->pad_top, g->flags & CONV_WRAP_Y);
    op_check_axis(c, "ow", g->w, g->ow, g->stride, g->kw, g->pad_left, g->flags & CONV_WRAP_X);
    uint64_t pixels = op_times(op_times(g->oh, g->ow), g->n);
    op_at_most(c, "n*oh*ow", pixels, UINT32_MAX, "below 2^32");
    check_splits(c, (uint32_t)pixels, g->splits, g->rows_per_split);
}

static void check_loss(op_checker *c, uint32_t count, uint32_t kind, uint32_t flags, uint32_t known,
                       float beta, float scale) {
    op_positive(c, "count", count);
    op_at_most(c, "kind", kind, LOSS_EXP, "a known kind");
    if (flags & ~known) op_fail(c, "flags", flags, "only known flags");
    if (!(beta >= 0 && beta <= 1e6f)) op_fail(c, "beta", (double)beta, "0 ... 1e6");
    op_finite(c, "scale", scale);
}

static void check_parts(op_checker *c, uint32_t count, uint32_t parts, uint32_t per_part) {
    op_positive(c, "count", count);
    op_positive(c, "per_part", per_part);
    if (c->status >= 0 && parts != ceil_div(count, per_part))
        op_fail(c, "parts", parts, "count / per_part, rounded up");
}

static void check_norms(op_checker *c, op o, const op_params *p) {
    if (o == OP_LAYER_NORM_GRAD) {
        OP_POSITIVE(layer_norm_grad, rows);
        OP_POSITIVE(layer_norm_grad, c);
        op_epsilon(c, p->layer_norm_grad.eps);
    } else if (o == OP_LAYER_NORM_PARAM_GRAD) {
        const layer_norm_param_grad_params *g = &p->layer_norm_param_grad;
        OP_POSITIVE(layer_norm_param_grad, rows);
        OP_POSITIVE(layer_norm_param_grad, c);
        check_splits(c, g->rows, g->splits, g->rows_per_split);
        op_epsilon(c, g->eps);
    } else if (o == OP_GROUP_NORM_GRAD_STATS) {
        const group_norm_grad_stats_params *g = &p->group_norm_grad_stats;
        op_check_groups(c, g->c, 0, g->n, g->hw, g->groups, g->chunks, g->rows_per_chunk);
        op_epsilon(c, g->eps);
        op_at_most(c, "sample0 + n", (uint64_t)g->sample0 + g->n, g->out_samples, "at most out_samples");
    } else {
        const group_norm_grad_params *g = &p->group_norm_grad;
        op_check_groups(c, g->c, 0, g->n, g->hw, g->groups, g->chunks, g->rows_per_chunk);
        op_epsilon(c, g->eps);
    }
}

static void check_moves(op_checker *c, op o, const op_params *p) {
    if (o == OP_TRANSPOSE_WEIGHT) {
        OP_POSITIVE(transpose_weight, o);
        OP_POSITIVE(transpose_weight, kh);
        OP_POSITIVE(transpose_weight, kw);
        OP_POSITIVE(transpose_weight, i);
    } else if (o == OP_UPSAMPLE_GRAD) {
        OP_POSITIVE(upsample_grad, n);
        OP_POSITIVE(upsample_grad, h);
        OP_POSITIVE(upsample_grad, w);
        OP_POSITIVE(upsample_grad, c);
    } else {
        const gather_rows_grad_params *g = &p->gather_rows_grad;
        OP_POSITIVE(gather_rows_grad, rows);
        OP_POSITIVE(gather_rows_grad, c);
        OP_POSITIVE(gather_rows_grad, block);
        OP_POSITIVE(gather_rows_grad, x_rows);
        if (c->status < 0) return;
        if (g->x_rows % g->block) op_fail(c, "x_rows", g->x_rows, "a multiple of block");
        if (g->rows % g->block) op_fail(c, "rows", g->rows, "a multiple of block");
        if (g->beyond >= g->x_rows / g->block) op_fail(c, "beyond", g->beyond, "a block of x");
        OP_POSITIVE(gather_rows_grad, blocks);
        op_at_most(c, "block0 + blocks", (uint64_t)g->block0 + g->blocks, g->x_rows / g->block,
                   "at most the blocks of x");
    }
}

static void check_sums(op_checker *c, op o, const op_params *p) {
    if (o == OP_COLUMN_SUM) {
        OP_POSITIVE(column_sum, samples);
        OP_POSITIVE(column_sum, rows);
        OP_POSITIVE(column_sum, c);
        check_splits(c, p->column_sum.rows, p->column_sum.splits, p->column_sum.rows_per_split);
        op_at_most(c, "sample0 + samples", (uint64_t)p->column_sum.sample0 + p->column_sum.samples,
                   p->column_sum.out_samples, "at most out_samples");
    } else if (o == OP_REDUCE_SUM) {
        OP_POSITIVE(reduce_sum, parts);
        OP_POSITIVE(reduce_sum, count);
        op_at_most(c, "count + offset", (uint64_t)p->reduce_sum.count + p->reduce_sum.offset,
                   p->reduce_sum.stride, "at most stride");
        op_finite(c, "scale", p->reduce_sum.scale);
    } else {
        check_parts(c, p->square_sum.count, p->square_sum.parts, p->square_sum.per_part);
    }
}

void op_training_check(op_checker *c, op o, const op_params *p) {
    switch (o) {
    case OP_DILATE:
        check_dilate(c, p);
        break;
    case OP_WEIGHT_GRAD:
        check_weight_grad(c, p);
        break;
    case OP_TRANSPOSE_WEIGHT:
    case OP_UPSAMPLE_GRAD:
    case OP_GATHER_ROWS_GRAD:
        check_moves(c, o, p);
        break;
    case OP_COLUMN_SUM:
    case OP_REDUCE_SUM:
    case OP_SQUARE_SUM:
        check_sums(c, o, p);
        break;
    case OP_LAYER_NORM_GRAD:
    case OP_LAYER_NORM_PARAM_GRAD:
    case OP_GROUP_NORM_GRAD_STATS:
    case OP_GROUP_NORM_GRAD:
        check_norms(c, o, p);
        break;
    case OP_UNARY_GRAD:
        op_check_unary(c, p->unary_grad.count, p->unary_grad.kind, p->unary_grad.scale, p->unary_grad.shift);
        break;
    case OP_GEGLU_GRAD:
        OP_POSITIVE(geglu_grad, rows);
        OP_POSITIVE(geglu_grad, c);
        op_at_most(c, "c", p->geglu_grad.c, INT32_MAX, "below 2^31");
        break;
    case OP_ATTENTION_STATS: {
        const attention_stats_params *a = &p->attention_stats;
        op_check_attention(c, a->batch, a->heads, a->d, a->lq, a->lk, a->flags, a->scale);
        break;
    }
    case OP_ATTENTION_GRAD: {
        const attention_grad_params *a = &p->attention_grad;
        op_check_attention(c, a->batch, a->heads, a->d, a->lq, a->lk, a->flags, a->scale);
        op_at_most(c, "kind", a->kind, ATTENTION_GRAD_V, "a known kind");
        break;
    }
    case OP_LOSS:
        check_loss(c, p->loss.count, p->loss.kind, p->loss.flags, LOSS_TARGET, p->loss.beta, p->loss.scale);
        check_parts(c, p->loss.count, p->loss.parts, p->loss.per_part);
        break;
    case OP_LOSS_GRAD:
        check_loss(c, p->loss_grad.count, p->loss_grad.kind, p->loss_grad.flags, LOSS_TARGET | LOSS_SCALED,
                   p->loss_grad.beta, p->loss_grad.scale);
        break;
    case OP_ADAMW:
        OP_POSITIVE(adamw, count);
        OP_POSITIVE(adamw, steps);
        if (p->adamw.flags & ~(ADAMW_NORM | ADAMW_AVERAGE | ADAMW_SCALED))
            op_fail(c, "flags", p->adamw.flags, "only known flags");
        if ((p->adamw.flags & ADAMW_SCALED) && !(p->adamw.flags & ADAMW_NORM))
            op_fail(c, "flags", p->adamw.flags, "a norm where there is a scale");
        op_finite(c, "rate", p->adamw.rate);
        op_finite(c, "decay", p->adamw.decay);
        break;
    case OP_ACCUMULATE:
        OP_POSITIVE(accumulate, count);
        break;
    case OP_LOSS_SCALE:
        OP_POSITIVE(loss_scale, grow_after);
        if (!(p->loss_scale.least > 0)) op_fail(c, "least", (double)p->loss_scale.least, "more than 0");
        if (!(p->loss_scale.most >= p->loss_scale.least))
            op_fail(c, "most", (double)p->loss_scale.most, "no less than least");
        op_finite(c, "most", p->loss_scale.most);
        break;
    default:
        break; /* step_advance has nothing to check */
    }
}

/* ----------------------------------------------------------------------------------------------------
 * regions -- */

static void weight_grad_regions(op_sizes *s, const weight_grad_params *p) {
    op_whole(s, 0, op_mul(s, op_mul3(s, p->n, p->h, p->w), p->c));
    op_whole(s, 1, op_mul(s, op_mul3(s, p->n, p->oh, p->ow), p->cout));
    op_whole(s, 2, op_mul3(s, op_mul(s, p->splits, p->cout), op_mul(s, p->kh, p->kw), p->c));
}

static void attention_regions(op_sizes *s, op o, const op_params *p) {
    if (o == OP_ATTENTION_STATS) {
        const attention_stats_params *a = &p->attention_stats;
        uint64_t width = op_mul(s, a->heads, a->d), queries = op_mul(s, a->batch, a->lq);
        uint64_t q = op_mul(s, queries, width);
        op_whole(s, 0, q);
        op_whole(s, 1, op_mul3(s, a->batch, a->lk, width));
        op_whole(s, 2, q);
        op_whole(s, 3, q);
        op_whole(s, 4, op_mul3(s, queries, a->heads, 2));
        return;
    }
    const attention_grad_params *a = &p->attention_grad;
    uint64_t width = op_mul(s, a->heads, a->d), queries = op_mul(s, a->batch, a->lq);
    uint64_t q = op_mul(s, queries, width), k = op_mul3(s, a->batch, a->lk, width);
    op_whole(s, 0, q);
    op_whole(s, 1, k);
    op_whole(s, 2, k);
    op_whole(s, 3, q);
    op_whole(s, 4, op_mul3(s, queries, a->heads, 2));
    op_whole(s, 5, a->kind == ATTENTION_GRAD_Q ? q : k);
}

/* [parts][out_samples][each], of which `samples` from sample0 on are written in every part. */
static void sample_regions(op_sizes *s, uint32_t binding, uint64_t parts, uint64_t out_samples,
                           uint64_t sample0, uint64_t samples, uint64_t each) {
    op_window(s, binding, op_mul(s, sample0, each),
              op_mul(s, op_mul(s, parts - 1, out_samples) + sample0 + samples, each), 0);
}

static void norm_regions(op_sizes *s, op o, const op_params *p) {
    if (o == OP_LAYER_NORM_GRAD) {
        uint64_t all = op_mul(s, p->layer_norm_grad.rows, p->layer_norm_grad.c);
        op_whole(s, 0, all);
        op_whole(s, 1, p->layer_norm_grad.c);
        op_whole(s, 2, all);
        op_whole(s, 3, all);
    } else if (o == OP_LAYER_NORM_PARAM_GRAD) {
        const layer_norm_param_grad_params *g = &p->layer_norm_param_grad;
        op_whole(s, 0, op_mul(s, g->rows, g->c));
        op_whole(s, 1, op_mul(s, g->rows, g->c));
        op_whole(s, 2, op_mul3(s, g->splits, 2, g->c));
    } else if (o == OP_GROUP_NORM_GRAD_STATS) {
        const group_norm_grad_stats_params *g = &p->group_norm_grad_stats;
        uint64_t all = op_mul3(s, g->n, g->hw, g->c), chunks = op_mul(s, g->n, g->chunks);
        op_whole(s, 0, all);
        op_whole(s, 1, op_mul3(s, chunks, g->groups, 2));
        op_whole(s, 2, all);
        sample_regions(s, 3, g->chunks, g->out_samples, g->sample0, g->n, op_mul(s, g->c, 2));
    } else {
        const group_norm_grad_params *g = &p->group_norm_grad;
        uint64_t all = op_mul3(s, g->n, g->hw, g->c);
        op_whole(s, 0, all);
        op_whole(s, 1, op_mul(s, op_mul3(s, g->n, g->chunks, g->groups), 2));
        op_whole(s, 2, g->c);
        op_whole(s, 3, op_mul3(s, g->n, 2, g->c));
        op_whole(s, 4, all);
        op_whole(s, 5, all);
    }
}

static void move_regions(op_sizes *s, op o, const op_params *p) {
    if (o == OP_TRANSPOSE_WEIGHT) {
        const transpose_weight_params *t = &p->transpose_weight;
        uint64_t all = op_mul(s, op_mul3(s, t->o, t->kh, t->kw), t->i);
        op_whole(s, 0, all);
        op_whole(s, 1, all);
    } else if (o == OP_UPSAMPLE_GRAD) {
        const upsample_grad_params *u = &p->upsample_grad;
        uint64_t small = op_mul(s, op_mul3(s, u->n, u->h, u->w), u->c);
        op_whole(s, 0, op_mul(s, small, 4));
        op_whole(s, 1, small);
    } else if (o == OP_DILATE) {
        const dilate_params *d = &p->dilate;
        op_whole(s, 0, op_mul(s, op_mul3(s, d->n, d->h, d->w), d->c));
        op_whole(s, 1, op_mul(s, op_mul3(s, d->n, d->oh, d->ow), d->c));
    } else {
        const gather_rows_grad_params *g = &p->gather_rows_grad;
        op_whole(s, 0, g->rows / g->block);
        op_whole(s, 1, op_mul(s, g->rows, g->c));
        op_whole(s, 2, op_mul3(s, g->blocks, g->block, g->c));
    }
}

static void loss_regions(op_sizes *s, uint64_t count, uint32_t flags, uint32_t weight_first,
                         uint32_t weight_each) {
    op_whole(s, 0, count);
    op_whole(s, 1, flags & LOSS_TARGET ? count : 0);
    if (weight_each)
        op_window(s, 2, weight_first / weight_each, ((uint64_t)weight_first + count - 1) / weight_each + 1,
                  0);
    else
        op_whole(s, 2, 0);
}

static void sum_regions(op_sizes *s, op o, const op_params *p) {
    if (o == OP_COLUMN_SUM) {
        const column_sum_params *c = &p->column_sum;
        op_whole(s, 0, op_mul3(s, c->samples, c->rows, c->c));
        sample_regions(s, 1, c->splits, c->out_samples, c->sample0, c->samples, c->c);
    } else if (o == OP_REDUCE_SUM) {
        const reduce_sum_params *r = &p->reduce_sum;
        op_window(s, 0, r->offset, op_mul(s, r->parts - 1, r->stride) + r->offset + r->count, 0);
        op_whole(s, 1, r->count);
    } else {
        op_whole(s, 0, p->square_sum.count);
        op_window(s, 1, p->square_sum.out_first, (uint64_t)p->square_sum.out_first + p->square_sum.parts, 0);
    }
}

static void adamw_regions(op_sizes *s, const adamw_params *p) {
    op_whole(s, 0, p->count);
    op_whole(s, 1, op_mul(s, p->steps, OPTIMIZER_ROW_LENGTH));
    op_whole(s, 2, 1);
    op_whole(s, 3, p->flags & ADAMW_SCALED ? LOSS_SCALE_LENGTH : p->flags & ADAMW_NORM ? 1 : 0);
    op_whole(s, 4, p->count);
    op_whole(s, 5, p->count);
    op_whole(s, 6, p->count);
    op_whole(s, 7, p->flags & ADAMW_AVERAGE ? p->count : 0);
}

void op_training_regions(op_sizes *s, op o, const op_params *p) {
    switch (o) {
    case OP_TRANSPOSE_WEIGHT:
    case OP_UPSAMPLE_GRAD:
    case OP_DILATE:
    case OP_GATHER_ROWS_GRAD:
        move_regions(s, o, p);
        break;
    case OP_WEIGHT_GRAD:
        weight_grad_regions(s, &p->weight_grad);
        break;
    case OP_COLUMN_SUM:
    case OP_REDUCE_SUM:
    case OP_SQUARE_SUM:
        sum_regions(s, o, p);
        break;
    case OP_UNARY_GRAD:
        for (uint32_t i = 0; i < 3; i++)
            op_whole(s, i, p->unary_grad.count);
        break;
    case OP_GEGLU_GRAD: {
        uint64_t half = op_mul(s, p->geglu_grad.rows, p->geglu_grad.c);
        op_whole(s, 0, op_mul(s, half, 2));
        op_whole(s, 1, half);
        op_whole(s, 2, op_mul(s, half, 2));
        break;
    }
    case OP_LAYER_NORM_GRAD:
    case OP_LAYER_NORM_PARAM_GRAD:
    case OP_GROUP_NORM_GRAD_STATS:
    case OP_GROUP_NORM_GRAD:
        norm_regions(s, o, p);
        break;
    case OP_ATTENTION_STATS:
    case OP_ATTENTION_GRAD:
        attention_regions(s, o, p);
        break;
    case OP_LOSS:
        loss_regions(s, p->loss.count, p->loss.flags, p->loss.weight_first, p->loss.weight_each);
        op_window(s, 3, p->loss.out_first, (uint64_t)p->loss.out_first + p->loss.parts, 0);
        break;
    case OP_LOSS_GRAD:
        loss_regions(s, p->loss_grad.count, p->loss_grad.flags, p->loss_grad.weight_first,
                     p->loss_grad.weight_each);
        op_whole(s, 3, p->loss_grad.flags & LOSS_SCALED ? LOSS_SCALE_LENGTH : 0);
        op_whole(s, 4, p->loss_grad.count);
        break;
    case OP_ADAMW:
        adamw_regions(s, &p->adamw);
        break;
    case OP_ACCUMULATE:
        op_whole(s, 0, p->accumulate.count);
        op_whole(s, 1, 1);
        op_whole(s, 2, p->accumulate.count);
        break;
    case OP_LOSS_SCALE:
        op_whole(s, 0, 1);
        op_whole(s, 1, LOSS_SCALE_LENGTH);
        break;
    default:
        s->ok = false;
        break;
    }
}

/* -------------------------------------------------------------------------------------------------------
 * cost -- */

static uint64_t attention_flops(uint32_t batch, uint32_t heads, uint32_t d, uint32_t lq, uint32_t lk,
                                uint32_t flags, uint64_t products) {
    uint64_t pairs = op_times(op_times(batch, heads), op_times(lq, lk)),
             all = op_times(pairs, products * 2 * d);
    return flags & ATTENTION_CAUSAL ? all / 2 : all;
}

uint64_t op_training_flops(op o, const op_params *p) {
    switch (o) {
    case OP_WEIGHT_GRAD: {
        const weight_grad_params *g = &p->weight_grad;
        uint64_t weights = op_times(op_times(g->cout, op_times(g->kh, g->kw)), g->c);
        return op_times(weights, op_times(op_times(g->n, 2), op_times(g->oh, g->ow)));
    }
    case OP_COLUMN_SUM:
        return op_times(op_times(p->column_sum.samples, p->column_sum.rows), p->column_sum.c);
    case OP_REDUCE_SUM:
        return op_times(p->reduce_sum.parts, p->reduce_sum.count);
    case OP_UNARY_GRAD:
        return op_times(p->unary_grad.count, 8);
    case OP_GEGLU_GRAD:
        return op_times(op_times(p->geglu_grad.rows, p->geglu_grad.c), 20);
    case OP_LAYER_NORM_GRAD:
        return op_times(op_times(p->layer_norm_grad.rows, p->layer_norm_grad.c), 16);
    case OP_LAYER_NORM_PARAM_GRAD:
        return op_times(op_times(p->layer_norm_param_grad.rows, p->layer_norm_param_grad.c), 10);
    case OP_GROUP_NORM_GRAD_STATS: {
        const group_norm_grad_stats_params *g = &p->group_norm_grad_stats;
        return op_times(op_times(op_times(g->n, g->hw), g->c), 5);
    }
    case OP_GROUP_NORM_GRAD: {
        const group_norm_grad_params *g = &p->group_norm_grad;
        return op_times(op_times(op_times(g->n, g->hw), g->c), 8);
    }
    case OP_ATTENTION_STATS: {
        const attention_stats_params *a = &p->attention_stats;
        return attention_flops(a->batch, a->heads, a->d, a->lq, a->lk, a->flags, 1);
    }
    case OP_ATTENTION_GRAD: {
        const attention_grad_params *a = &p->attention_grad;
        return attention_flops(a->batch, a->heads, a->d, a->lq, a->lk, a->flags,
                               a->kind == ATTENTION_GRAD_V ? 2 : 3);
    }
    case OP_GATHER_ROWS_GRAD:
        return op_times(p->gather_rows_grad.rows, p->gather_rows_grad.c);
    case OP_UPSAMPLE_GRAD: {
        const upsample_grad_params *u = &p->upsample_grad;
        return op_times(op_times(op_times(u->n, u->h), op_times(u->w, u->c)), 4);
    }
    case OP_LOSS:
        return op_times(p->loss.count, 4);
    case OP_LOSS_GRAD:
        return op_times(p->loss_grad.count, 4);
    case OP_SQUARE_SUM:
        return op_times(p->square_sum.count, 2);
    case OP_ADAMW:
        return op_times(p->adamw.count, 20);
    case OP_ACCUMULATE:
        return p->accumulate.count;
    default:
        return 0; /* transpose_weight and dilate are copies */
    }
}
