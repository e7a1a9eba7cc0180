/* Workgroups and loops of the training ops' shaders; see shader_training.h. */
#include "vulkan/shader_training.h"

/* Vectors of the other side that the attention gradients' workgroups take at once, and channels of one
 * product's step. */
enum { ATTENTION_OTHERS = 32, ATTENTION_STEP = 8 };

static uint64_t divide_up(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

bool shader_training_reads_words(op o) {
    switch (o) {
    case OP_DILATE:
    case OP_COLUMN_SUM:
    case OP_WEIGHT_GRAD:
    case OP_LAYER_NORM_PARAM_GRAD:
    case OP_GROUP_NORM_GRAD_STATS:
    case OP_ATTENTION_STATS:
    case OP_GATHER_ROWS_GRAD:
    case OP_LOSS:
        return true;
    default:
        return false;
    }
}

/* Words of an array of `count` elements of the type that the variant reads. */
static uint64_t words(const shader_variant *v, uint64_t count) {
    return v->weight == DTYPE_F32 ? count : divide_up(count, 2);
}

/* Items of the ops whose invocations have one each. */
static uint64_t item_count(const shader_variant *v, const op_params *p) {
    switch ((op)v->op) {
    case OP_TRANSPOSE_WEIGHT: {
        const transpose_weight_params *t = &p->transpose_weight;
        return words(v, (uint64_t)t->o * t->kh * t->kw * t->i);
    }
    case OP_DILATE:
        return words(v, (uint64_t)p->dilate.n * p->dilate.oh * p->dilate.ow * p->dilate.c);
    case OP_UNARY_GRAD:
        return p->unary_grad.count;
    case OP_GEGLU_GRAD:
        return (uint64_t)p->geglu_grad.rows * p->geglu_grad.c;
    case OP_UPSAMPLE_GRAD:
        return (uint64_t)p->upsample_grad.n * p->upsample_grad.h * p->upsample_grad.w * p->upsample_grad.c;
    case OP_LOSS_GRAD:
        return p->loss_grad.count;
    case OP_ADAMW:
        return p->adamw.count;
    case OP_ACCUMULATE:
        return p->accumulate.count;
    case OP_LOSS_SCALE:
        return 1;
    default:
        return 0;
    }
}

static uint64_t weight_grad_groups(const shader_variant *v, const weight_grad_params *g) {
    uint64_t columns = (uint64_t)g->kh * g->kw * g->c;
    return g->splits * divide_up(g->cout, v->tile_m) * divide_up(columns, v->tile_n);
}

uint64_t shader_training_groups(const shader_variant *v, const op_params *p) {
    switch ((op)v->op) {
    case OP_WEIGHT_GRAD:
        return weight_grad_groups(v, &p->weight_grad);
    case OP_COLUMN_SUM: {
        const column_sum_params *c = &p->column_sum;
        return (uint64_t)c->splits * c->samples * divide_up(c->c, v->tile_n);
    }
    case OP_REDUCE_SUM:
        return divide_up(p->reduce_sum.count, v->tile_m);
    case OP_LAYER_NORM_GRAD:
        return p->layer_norm_grad.rows;
    case OP_LAYER_NORM_PARAM_GRAD:
        return p->layer_norm_param_grad.splits * divide_up(p->layer_norm_param_grad.c, v->tile_n);
    case OP_GROUP_NORM_GRAD_STATS: {
        const group_norm_grad_stats_params *g = &p->group_norm_grad_stats;
        return (uint64_t)g->chunks * g->n * divide_up(g->c, v->tile_n);
    }
    case OP_GROUP_NORM_GRAD: {
        const group_norm_grad_params *g = &p->group_norm_grad;
        return divide_up(g->n * divide_up(g->hw, v->tile_m) * g->c, v->local_size);
    }
    case OP_ATTENTION_STATS: {
        const attention_stats_params *a = &p->attention_stats;
        return (uint64_t)a->batch * a->heads * divide_up(a->lq, v->tile_m);
    }
    case OP_ATTENTION_GRAD: {
        const attention_grad_params *a = &p->attention_grad;
        uint32_t length = a->kind == ATTENTION_GRAD_Q ? a->lq : a->lk;
        return (uint64_t)a->batch * a->heads * divide_up(length, v->tile_m) * divide_up(a->d, v->tile_n);
    }
    case OP_GATHER_ROWS_GRAD:
        return (uint64_t)p->gather_rows_grad.blocks * p->gather_rows_grad.block *
               divide_up(p->gather_rows_grad.c, v->tile_n);
    case OP_LOSS:
        return p->loss.parts;
    case OP_SQUARE_SUM:
        return p->square_sum.parts;
    default:
        return divide_up(item_count(v, p), v->tile_m);
    }
}

/* Of one product of 64 x 32 vectors of d elements. */
static uint64_t product_iterations(uint32_t d) {
    return 6 * divide_up(d, ATTENTION_STEP);
}

static uint64_t attention_iterations(op o, const op_params *p) {
    if (o == OP_ATTENTION_STATS) {
        const attention_stats_params *a = &p->attention_stats;
        return divide_up(a->lk, ATTENTION_OTHERS) * (product_iterations(a->d) + 8) + a->d + 16;
    }
    const attention_grad_params *a = &p->attention_grad;
    uint32_t length = a->kind == ATTENTION_GRAD_Q ? a->lk : a->lq;
    return divide_up(length, ATTENTION_OTHERS) * (2 * product_iterations(a->d) + 48);
}

uint64_t shader_training_iterations(const shader_variant *v, const op_params *p) {
    uint64_t local = v->local_size, lanes = local / v->tile_n;
    switch ((op)v->op) {
    case OP_WEIGHT_GRAD:
        return p->weight_grad.rows_per_split + divide_up(p->weight_grad.rows_per_split, 16) * 3;
    case OP_COLUMN_SUM:
        return divide_up(p->column_sum.rows_per_split, lanes) + lanes;
    case OP_REDUCE_SUM:
        return v->tile_m == 1 ? divide_up(p->reduce_sum.parts, local) + 16 : p->reduce_sum.parts;
    case OP_LAYER_NORM_GRAD:
        return 3 * divide_up(p->layer_norm_grad.c, local) + 64;
    case OP_LAYER_NORM_PARAM_GRAD: {
        const layer_norm_param_grad_params *g = &p->layer_norm_param_grad;
        return divide_up(g->rows_per_split, local) * (g->c / 2 + 3) + g->rows_per_split;
    }
    case OP_GROUP_NORM_GRAD_STATS: {
        const group_norm_grad_stats_params *g = &p->group_norm_grad_stats;
        return divide_up(g->rows_per_chunk, lanes) + 2 * (uint64_t)g->chunks + lanes;
    }
    case OP_GROUP_NORM_GRAD: {
        const group_norm_grad_params *g = &p->group_norm_grad;
        return 2 * (uint64_t)g->chunks + g->c / g->groups + v->tile_m;
    }
    case OP_ATTENTION_STATS:
    case OP_ATTENTION_GRAD:
        return attention_iterations((op)v->op, p);
    case OP_GATHER_ROWS_GRAD: { /* at worst every row comes from the same one */
        uint64_t reads = p->gather_rows_grad.rows / p->gather_rows_grad.block;
        return divide_up(reads, local) * 4 + reads;
    }
    case OP_LOSS:
        return 11 * divide_up(p->loss.per_part, local) + 16;
    case OP_SQUARE_SUM:
        return divide_up(p->square_sum.per_part, local) + 16;
    default:
        return 0;
    }
}

double shader_training_cost(const shader_variant *v, const op_params *p) {
    /* Few sums of many parts: share the parts out. */
    if (v->tile_m != 1) return 1;
    return p->reduce_sum.count < v->local_size && p->reduce_sum.parts > v->local_size ? 0.5 : 2;
}
