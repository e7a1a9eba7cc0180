/* How the ops of training are cut to small binding ranges (see cut.c): all of them by rows, samples, or parts
 * of sums. A weight, the gradient of one, and one sample's values are as large as anything may be that is
 * bound whole; sums over rows have parts enough where graph_differentiate was told the range. */
#include "graph/cut.h"

/* Rows first * each ... of `all`, at most `count` times `each`. */
static uint32_t part_of(uint32_t all, uint32_t first, uint32_t count, uint32_t each) {
    const uint64_t begin = (uint64_t)first * each, most = (uint64_t)count * each;
    return (uint32_t)(all - begin < most ? all - begin : most);
}

/* -------------------------------------------------------------------------------------------------
 * elementwise
 * -- */

static bool describe_elements(const plan_dispatch *d, slicing *s) {
    const op_params *p = &d->params;
    switch ((op)d->op) {
    case OP_UNARY_GRAD:
        *s = (slicing){p->unary_grad.count, {1, 1, 1}};
        return true;
    case OP_GEGLU_GRAD: {
        const uint64_t c = p->geglu_grad.c;
        *s = (slicing){p->geglu_grad.rows, {2 * c, c, 2 * c}};
        return true;
    }
    case OP_UPSAMPLE_GRAD: {
        const uint64_t row = (uint64_t)p->upsample_grad.w * p->upsample_grad.c;
        *s = (slicing){p->upsample_grad.n * p->upsample_grad.h, {4 * row, row}};
        return true;
    }
    case OP_DILATE: {
        const dilate_params *q = &p->dilate;
        *s = (slicing){q->n, {(uint64_t)q->h * q->w * q->c, (uint64_t)q->oh * q->ow * q->c}};
        return true;
    }
    case OP_LOSS_GRAD:
        *s = (slicing){p->loss_grad.count, {1, 1, 0, 0, 1}};
        return true;
    case OP_ADAMW:
        *s = (slicing){p->adamw.count, {1, 0, 0, 0, 1, 1, 1, 1}};
        return true;
    case OP_ACCUMULATE:
        *s = (slicing){p->accumulate.count, {1, 0, 1}};
        return true;
    default:
        return false;
    }
}

/* -----------------------------------------------------------------------------------------------------
 * samples
 * -- */

static bool describe_attention(const plan_dispatch *d, slicing *s) {
    if (d->op == OP_ATTENTION_STATS) {
        const attention_stats_params *a = &d->params.attention_stats;
        const uint64_t width = (uint64_t)a->heads * a->d, q = a->lq * width;
        *s = (slicing){a->batch, {q, a->lk * width, q, q, 2 * (uint64_t)a->heads * a->lq}};
    } else {
        const attention_grad_params *a = &d->params.attention_grad;
        const uint64_t width = (uint64_t)a->heads * a->d, q = a->lq * width, k = a->lk * width;
        *s = (slicing){a->batch,
                       {q, k, k, q, 2 * (uint64_t)a->heads * a->lq, a->kind == ATTENTION_GRAD_Q ? q : k}};
    }
    return true;
}

static bool describe_norms(const plan_dispatch *d, slicing *s) {
    const op_params *p = &d->params;
    if (d->op == OP_LAYER_NORM_GRAD) {
        const uint64_t c = p->layer_norm_grad.c;
        *s = (slicing){p->layer_norm_grad.rows, {c, 0, c, c}};
    } else if (d->op == OP_LAYER_NORM_PARAM_GRAD) {
        const layer_norm_param_grad_params *g = &p->layer_norm_param_grad;
        const uint64_t part = (uint64_t)g->rows_per_split * g->c;
        *s = (slicing){g->splits, {part, part, 2 * (uint64_t)g->c}};
    } else if (d->op == OP_GROUP_NORM_GRAD_STATS) {
        const group_norm_grad_stats_params *g = &p->group_norm_grad_stats;
        const uint64_t sample = (uint64_t)g->hw * g->c, partial = 2 * (uint64_t)g->chunks * g->groups;
        *s = (slicing){g->n, {sample, partial, sample}};
    } else {
        const group_norm_grad_params *g = &p->group_norm_grad;
        const uint64_t sample = (uint64_t)g->hw * g->c, partial = 2 * (uint64_t)g->chunks * g->groups;
        *s = (slicing){g->n, {sample, partial, 0, 2 * (uint64_t)g->c, sample, sample}};
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------------
 * sums
 * -- */

/* A linear layer's, whose rows are all alike. */
static bool is_linear(const weight_grad_params *g) {
    return g->n == 1 && g->h == 1 && g->oh == 1 && g->kh == 1 && g->kw == 1 && g->stride == 1 &&
           g->w == g->ow;
}

/* Parts of whole samples, or of any rows of a linear layer. */
static bool describe_weight_grad(const weight_grad_params *g, slicing *s) {
    const uint64_t weights = (uint64_t)g->cout * g->kh * g->kw * g->c;
    const uint32_t pixels = g->oh * g->ow;
    if (is_linear(g)) {
        *s = (slicing){g->splits,
                       {(uint64_t)g->rows_per_split * g->c, (uint64_t)g->rows_per_split * g->cout, weights}};
        return true;
    }
    if (g->rows_per_split % pixels) return false;
    const uint64_t samples = g->rows_per_split / pixels;
    *s = (slicing){g->splits, {samples * g->h * g->w * g->c, samples * pixels * g->cout, weights}};
    return true;
}

static bool describe_sums(const plan_dispatch *d, slicing *s) {
    const op_params *p = &d->params;
    switch ((op)d->op) {
    case OP_WEIGHT_GRAD:
        return describe_weight_grad(&p->weight_grad, s);
    case OP_COLUMN_SUM: {
        const column_sum_params *c = &p->column_sum;
        if (c->out_samples > 1)
            *s = (slicing){c->samples, {(uint64_t)c->rows * c->c}};
        else
            *s = (slicing){c->splits, {(uint64_t)c->rows_per_split * c->c, c->c}};
        return true;
    }
    case OP_REDUCE_SUM:
        *s = (slicing){p->reduce_sum.count, {1, 1}};
        return p->reduce_sum.parts == 1;
    case OP_GATHER_ROWS_GRAD:
        *s = (slicing){p->gather_rows_grad.blocks,
                       {0, 0, (uint64_t)p->gather_rows_grad.block * p->gather_rows_grad.c}};
        return true;
    case OP_LOSS:
        *s = (slicing){p->loss.parts, {p->loss.per_part, p->loss.per_part}};
        return true;
    case OP_SQUARE_SUM:
        *s = (slicing){p->square_sum.parts, {p->square_sum.per_part}};
        return true;
    default:
        return describe_elements(d, s);
    }
}

bool cut_training_describe(const plan_dispatch *d, slicing *s) {
    switch ((op)d->op) {
    case OP_ATTENTION_STATS:
    case OP_ATTENTION_GRAD:
        return describe_attention(d, s);
    case OP_LAYER_NORM_GRAD:
    case OP_LAYER_NORM_PARAM_GRAD:
    case OP_GROUP_NORM_GRAD_STATS:
    case OP_GROUP_NORM_GRAD:
        return describe_norms(d, s);
    default:
        return describe_sums(d, s);
    }
}

/* -------------------------------------------------------------------------------------------------
 * restricting
 * -- */

static void set_sums(plan_dispatch *d, uint32_t first, uint32_t rows) {
    op_params *p = &d->params;
    if (d->op == OP_WEIGHT_GRAD) {
        weight_grad_params *g = &p->weight_grad;
        if (is_linear(g))
            g->w = g->ow = part_of(g->w, first, rows, g->rows_per_split);
        else
            g->n = part_of(g->n, first, rows, g->rows_per_split / (g->oh * g->ow));
        g->splits = rows;
    } else if (d->op == OP_COLUMN_SUM && p->column_sum.out_samples > 1) {
        p->column_sum.samples = rows;
        p->column_sum.sample0 += first;
    } else if (d->op == OP_COLUMN_SUM) {
        p->column_sum.rows = part_of(p->column_sum.rows, first, rows, p->column_sum.rows_per_split);
        p->column_sum.splits = rows;
    } else if (d->op == OP_LOSS) {
        p->loss.count = part_of(p->loss.count, first, rows, p->loss.per_part);
        p->loss.parts = rows;
        p->loss.out_first += first;
        p->loss.weight_first += first * p->loss.per_part;
    } else {
        p->square_sum.count = part_of(p->square_sum.count, first, rows, p->square_sum.per_part);
        p->square_sum.parts = rows;
        p->square_sum.out_first += first;
    }
}

static void set_norms(plan_dispatch *d, uint32_t first, uint32_t rows) {
    op_params *p = &d->params;
    if (d->op == OP_LAYER_NORM_GRAD) {
        p->layer_norm_grad.rows = rows;
    } else if (d->op == OP_LAYER_NORM_PARAM_GRAD) {
        layer_norm_param_grad_params *g = &p->layer_norm_param_grad;
        g->rows = part_of(g->rows, first, rows, g->rows_per_split);
        g->splits = rows;
    } else if (d->op == OP_GROUP_NORM_GRAD_STATS) {
        p->group_norm_grad_stats.n = rows;
        p->group_norm_grad_stats.sample0 += first;
    } else {
        p->group_norm_grad.n = rows;
    }
}

void cut_training_set_rows(plan_dispatch *d, uint32_t first, uint32_t rows) {
    op_params *p = &d->params;
    switch ((op)d->op) {
    case OP_UNARY_GRAD:
        p->unary_grad.count = rows;
        break;
    case OP_GEGLU_GRAD:
        p->geglu_grad.rows = rows;
        break;
    case OP_UPSAMPLE_GRAD:
        p->upsample_grad.n = 1;
        p->upsample_grad.h = rows;
        break;
    case OP_DILATE:
        p->dilate.n = rows;
        break;
    case OP_LOSS_GRAD:
        p->loss_grad.count = rows;
        p->loss_grad.weight_first += first;
        break;
    case OP_ADAMW:
        p->adamw.count = rows;
        break;
    case OP_ACCUMULATE:
        p->accumulate.count = rows;
        break;
    case OP_ATTENTION_STATS:
        p->attention_stats.batch = rows;
        break;
    case OP_ATTENTION_GRAD:
        p->attention_grad.batch = rows;
        break;
    case OP_REDUCE_SUM:
        p->reduce_sum.count = rows;
        break;
    case OP_GATHER_ROWS_GRAD:
        p->gather_rows_grad.blocks = rows;
        p->gather_rows_grad.block0 += first;
        break;
    case OP_LAYER_NORM_GRAD:
    case OP_LAYER_NORM_PARAM_GRAD:
    case OP_GROUP_NORM_GRAD_STATS:
    case OP_GROUP_NORM_GRAD:
        set_norms(d, first, rows);
        break;
    default:
        set_sums(d, first, rows);
        break;
    }
}
