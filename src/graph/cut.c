/* Cutting: a dispatch that would bind more bytes than the device allows becomes several, each seeing a
 * window. Two ways:
 *  - sliced ops work row by row, so a piece is the same op on fewer rows, its bindings beginning at its first
 * row;
 *  - windowed ops (conv2d, group norm) keep the whole's parameters, name the rows they compute, and subtract
 * the window's base from every index. An embedding is cut along its table.
 * The ops of training are in cut_training.c. */
#include "graph/cut.h"

static mzt_status cannot_cut(const lowering *l, const plan_dispatch *d, mzt_error *error) {
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "%s (%s): needs more than %llu bytes in one binding and cannot be cut",
                     plan_string(l->p, d->node), op_get((op)d->op)->name, (unsigned long long)l->max_range);
}

static uint64_t element_size(const lowering *l, const plan_dispatch *d, uint32_t binding) {
    return dtype_size((dtype)l->p->buffers[d->bindings[binding].buffer].dtype);
}

/* ---------------------------------------------------------------------------------------------------- sliced
 * -- */

static bool describe(const plan_dispatch *d, slicing *s) {
    const op_params *p = &d->params;
    switch ((op)d->op) {
    case OP_LINEAR: {
        uint64_t n = p->linear.n;
        *s = (slicing){p->linear.m, {p->linear.k0, p->linear.k1, 0, 0, 0, n, n}};
        return true;
    }
    case OP_ATTENTION: {
        const attention_params *a = &p->attention;
        *s = (slicing){a->batch,
                       {(uint64_t)a->lq * a->q_stride, (uint64_t)a->lk * a->k_stride,
                        (uint64_t)a->lk * a->v_stride, (uint64_t)a->lq * a->o_stride}};
        return true;
    }
    case OP_LAYER_NORM:
        *s = (slicing){p->layer_norm.rows, {p->layer_norm.c, 0, 0, p->layer_norm.c}};
        return true;
    case OP_UNARY:
        *s = (slicing){p->unary.count, {1, 1}};
        return true;
    case OP_BINARY:
        *s = (slicing){p->binary.count, {1, p->binary.b_count == p->binary.count, 1}};
        return true;
    case OP_GEGLU:
        *s = (slicing){p->geglu.rows, {2 * (uint64_t)p->geglu.c, p->geglu.c}};
        return true;
    case OP_CONCAT:
        *s = (slicing){p->concat.rows, {p->concat.c0, p->concat.c1, (uint64_t)p->concat.c0 + p->concat.c1}};
        return true;
    case OP_SLICE:
        *s = (slicing){p->slice.rows, {p->slice.x_c, p->slice.c}};
        return true;
    case OP_UPSAMPLE: {
        uint64_t row =
            (uint64_t)p->upsample.w * p->upsample.c; /* image rows: samples may be cut apart anywhere */
        *s = (slicing){p->upsample.n * p->upsample.h, {row, 4 * row}};
        return true;
    }
    case OP_PIXEL_SHUFFLE: {
        const pixel_shuffle_params *q = &p->pixel_shuffle;
        uint64_t row = (uint64_t)q->w * q->block * q->block * q->c;
        *s = (slicing){q->n * q->h, {row, row}};
        return true;
    }
    default:
        return cut_training_describe(d, s);
    }
}

/* Restricts the parameters to rows first ... first + rows - 1. */
static void set_rows(plan_dispatch *d, uint32_t first, uint32_t rows) {
    op_params *p = &d->params;
    switch ((op)d->op) {
    case OP_LINEAR:
        p->linear.m = rows;
        if (p->linear.flags & EPILOGUE_VEC)
            p->linear.vec_offset += first / p->linear.rows_per_sample * p->linear.vec_stride;
        break;
    case OP_ATTENTION:
        p->attention.batch = rows;
        break;
    case OP_LAYER_NORM:
        p->layer_norm.rows = rows;
        break;
    case OP_UNARY:
        p->unary.count = rows;
        break;
    case OP_BINARY:
        if (p->binary.b_count == p->binary.count) p->binary.b_count = rows;
        p->binary.count = rows;
        break;
    case OP_GEGLU:
        p->geglu.rows = rows;
        break;
    case OP_CONCAT:
        p->concat.rows = rows;
        break;
    case OP_SLICE:
        p->slice.rows = rows;
        break;
    case OP_UPSAMPLE:
        p->upsample.n = 1;
        p->upsample.h = rows;
        break;
    case OP_PIXEL_SHUFFLE:
        p->pixel_shuffle.n = 1;
        p->pixel_shuffle.h = rows;
        break;
    default:
        cut_training_set_rows(d, first, rows);
        break;
    }
}

/* Rows between which a cut keeps every binding aligned; 0 if there is no such number. */
static uint64_t row_step(const lowering *l, const plan_dispatch *d, const slicing *s) {
    uint64_t step = 1;
    if (d->op == OP_BINARY && d->params.binary.b_count != d->params.binary.count)
        step = d->params.binary.b_count;
    for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++) {
        if (d->bindings[b].buffer == PLAN_NONE) continue;
        uint64_t bytes = s->per_row[b] * element_size(l, d, b);
        while (step * bytes % PLAN_ALIGNMENT)
            step *= 2;
    }
    return step;
}

/* End of a piece that begins at row `first`: `most` rows, but a linear's vec, indexed by the rows from the
 * piece's start, allows whole samples from a sample's start or rows of a single sample. */
static uint64_t piece_end(const plan_dispatch *d, uint64_t first, uint64_t most, uint64_t step) {
    uint64_t end = first + most;
    if (d->op != OP_LINEAR || !(d->params.linear.flags & EPILOGUE_VEC)) return end;
    uint64_t sample = d->params.linear.rows_per_sample;
    if (first % sample == 0) return end;
    uint64_t boundary = (first / sample + 1) * sample;
    return end <= boundary ? end : boundary / step * step;
}

static mzt_status cut_rows(lowering *l, const plan_dispatch *whole, const slicing *s, mzt_error *error) {
    uint64_t step = row_step(l, whole, s), most = s->rows;
    for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++) {
        if (whole->bindings[b].buffer == PLAN_NONE || s->per_row[b] == 0) continue;
        uint64_t fit = l->max_range / (s->per_row[b] * element_size(l, whole, b));
        if (most > fit) most = fit;
    }
    most = most / step * step;
    uint32_t piece = 0;
    for (uint64_t first = 0, end; first < s->rows; first = end) {
        end = piece_end(whole, first, most, step);
        if (end <= first) return cannot_cut(l, whole, error);
        if (end > s->rows) end = s->rows;
        plan_dispatch d = *whole;
        d.piece = piece++;
        set_rows(&d, (uint32_t)first, (uint32_t)(end - first));
        for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++)
            if (d.bindings[b].buffer != PLAN_NONE)
                d.bindings[b].offset += first * s->per_row[b] * element_size(l, whole, b);
        if (!lower_fits(l, &d)) return cannot_cut(l, whole, error);
        TRY(lower_append(l, &d, error));
    }
    return MZT_OK;
}

/* -------------------------------------------------------------------------------------------------- windowed
 * -- */

/* Rows (conv2d: image rows of the output; stats: chunks) that a windowed op computes in all. */
static uint64_t window_rows(const plan_dispatch *d) {
    const op_params *p = &d->params;
    if (d->op == OP_CONV2D) return (uint64_t)p->conv2d.n * p->conv2d.oh;
    if (d->op == OP_GROUP_NORM) return p->group_norm.rows;
    return d->op == OP_GROUP_NORM_STATS ? p->group_norm_stats.chunk_count : 0;
}

/* The words that move a binding's start; NULL for a binding that is bound whole. */
static uint32_t *base_word(plan_dispatch *d, uint32_t binding) {
    op_params *p = &d->params;
    if (d->op == OP_CONV2D) {
        uint32_t *words[OP_MAX_BINDINGS] = {&p->conv2d.x0_base,  &p->conv2d.x1_base, NULL, NULL, NULL,
                                            &p->conv2d.out_base, &p->conv2d.out_base};
        return words[binding];
    }
    if (d->op == OP_GROUP_NORM) {
        uint32_t *words[OP_MAX_BINDINGS] = {&p->group_norm.x0_base, &p->group_norm.x1_base, NULL, NULL, NULL,
                                            &p->group_norm.out_base};
        return words[binding];
    }
    uint32_t *words[OP_MAX_BINDINGS] = {&p->group_norm_stats.x0_base, &p->group_norm_stats.x1_base};
    return words[binding];
}

/* The piece of rows first ... first + count - 1; false if it does not fit. */
static bool make_window(const lowering *l, const plan_dispatch *whole, uint32_t first, uint32_t count,
                        plan_dispatch *d) {
    *d = *whole;
    op_params *p = &d->params;
    if (d->op == OP_CONV2D) {
        p->conv2d.row0 = first * p->conv2d.ow;
        p->conv2d.rows = count * p->conv2d.ow;
    } else if (d->op == OP_GROUP_NORM) {
        p->group_norm.row0 = first;
        p->group_norm.rows = count;
    } else {
        p->group_norm_stats.chunk0 = first;
        p->group_norm_stats.chunk_count = count;
    }
    op_region regions[OP_MAX_BINDINGS];
    if (!op_regions((op)d->op, p, regions)) return false;
    for (uint32_t b = 0; b < OP_MAX_BINDINGS; b++) {
        uint32_t *base = d->bindings[b].buffer == PLAN_NONE ? NULL : base_word(d, b);
        if (!base) continue;
        uint64_t size = element_size(l, d, b),
                 start = regions[b].first * size / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
        *base = (uint32_t)(start / size);
        d->bindings[b].offset = start;
    }
    return lower_fits(l, d);
}

static mzt_status cut_windows(lowering *l, const plan_dispatch *whole, uint64_t rows, mzt_error *error) {
    uint32_t piece = 0;
    for (uint32_t first = 0; first < rows;) {
        /* The most rows that fit: more rows never need less, so bisection finds them. */
        uint32_t low = 0, high = (uint32_t)rows - first;
        plan_dispatch d;
        while (low < high) {
            uint32_t middle = low + (high - low + 1) / 2;
            if (make_window(l, whole, first, middle, &d))
                low = middle;
            else
                high = middle - 1;
        }
        if (low == 0) return cannot_cut(l, whole, error);
        make_window(l, whole, first, low, &d);
        d.piece = piece++;
        TRY(lower_append(l, &d, error));
        first += low;
    }
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------- embedding
 * -- */

static mzt_status cut_table(lowering *l, const plan_dispatch *whole, mzt_error *error) {
    const embedding_params *p = &whole->params.embedding;
    uint64_t row = p->c * element_size(l, whole, 1), step = 1;
    while (step * row % PLAN_ALIGNMENT)
        step *= 2;
    uint64_t most = l->max_range / row / step * step;
    if (most == 0) return cannot_cut(l, whole, error);
    uint32_t piece = 0;
    for (uint64_t first = 0; first < p->vocabulary; first += most) {
        plan_dispatch d = *whole;
        d.piece = piece++;
        d.params.embedding.table_first = (uint32_t)first;
        d.params.embedding.table_rows =
            (uint32_t)(p->vocabulary - first < most ? p->vocabulary - first : most);
        d.bindings[1].offset = first * row;
        if (!lower_fits(l, &d)) return cannot_cut(l, whole, error);
        TRY(lower_append(l, &d, error));
    }
    return MZT_OK;
}

mzt_status lower_cut(lowering *l, const plan_dispatch *whole, mzt_error *error) {
    slicing s = {0};
    uint64_t rows = window_rows(whole);
    if (rows) return cut_windows(l, whole, rows, error);
    if (whole->op == OP_EMBEDDING) return cut_table(l, whole, error);
    if (describe(whole, &s)) return cut_rows(l, whole, &s, error);
    return cannot_cut(l, whole, error);
}
