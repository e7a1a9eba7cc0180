/* op_regions: which elements of its buffers a dispatch may touch, from its parameters alone. The plan
 * checker, the barriers and the compiler's cuts all rest on this one description. */
#include "plan/op_internal.h"

#include <string.h>

uint64_t op_mul(op_sizes *s, uint64_t a, uint64_t b) {
    uint64_t result = 0;
    if (!size_mul(a, b, &result)) s->ok = false;
    return result;
}

uint64_t op_mul3(op_sizes *s, uint64_t a, uint64_t b, uint64_t c) {
    return op_mul(s, op_mul(s, a, b), c);
}

void op_window(op_sizes *s, uint32_t binding, uint64_t first, uint64_t end, uint64_t base) {
    if (base > first || end > UINT32_MAX) {
        s->ok = false;
        return;
    }
    s->regions[binding] = (op_region){first - base, end - base};
}

void op_whole(op_sizes *s, uint32_t binding, uint64_t count) {
    op_window(s, binding, 0, count, 0);
}

/* The row of `vec` that the last of `samples` reads ends here; stride 0 is one row for all. */
static uint64_t vec_end(op_sizes *s, uint64_t samples, uint64_t stride, uint64_t offset, uint64_t columns) {
    return op_mul(s, samples - 1, stride) + offset + columns;
}

static void linear_regions(op_sizes *s, const linear_params *p) {
    uint64_t m = p->m, n = p->n, rows = (p->flags & EPILOGUE_GEGLU) ? 2 * n : n, k = (uint64_t)p->k0 + p->k1;
    op_whole(s, 0, op_mul(s, m, p->k0));
    op_whole(s, 1, op_mul(s, m, p->k1));
    op_whole(s, 2, op_mul(s, rows, k));
    if (p->flags & EPILOGUE_BIAS) op_whole(s, 3, rows);
    if (p->flags & EPILOGUE_VEC)
        op_whole(
            s, 4,
            vec_end(s, (m + p->rows_per_sample - 1) / p->rows_per_sample, p->vec_stride, p->vec_offset, n));
    if (p->flags & EPILOGUE_RESIDUAL) op_whole(s, 5, op_mul(s, m, n));
    op_whole(s, 6, op_mul(s, m, n));
}

/* Source rows (of n*h) that the output rows first ... last (of n*oh) read. */
static void conv_source_rows(const conv2d_params *p, uint64_t first, uint64_t last, uint64_t *row0,
                             uint64_t *row1) {
    uint64_t scale = (p->flags & CONV_UPSAMPLE2) ? 2 : 1, height = p->h * scale;
    uint64_t top = first % p->oh * p->stride, bottom = last % p->oh * p->stride + p->kh - 1;
    top = top > p->pad_top ? top - p->pad_top : 0;
    bottom = bottom > p->pad_top ? bottom - p->pad_top : 0;
    if (p->flags & CONV_WRAP_Y) {
        top = 0;
        bottom = height - 1;
    }
    if (bottom >= height) bottom = height - 1;
    *row0 = first / p->oh * p->h + top / scale;
    *row1 = last / p->oh * p->h + bottom / scale;
}

static void conv2d_regions(op_sizes *s, const conv2d_params *p) {
    uint64_t end = (uint64_t)p->row0 + p->rows, top, bottom, k = (uint64_t)p->c0 + p->c1;
    conv_source_rows(p, p->row0 / p->ow, (end - 1) / p->ow, &top, &bottom);
    uint64_t pixel0 = op_mul(s, top, p->w), pixel1 = op_mul(s, bottom + 1, p->w);
    op_window(s, 0, op_mul(s, pixel0, p->c0), op_mul(s, pixel1, p->c0), p->x0_base);
    if (p->c1) op_window(s, 1, op_mul(s, pixel0, p->c1), op_mul(s, pixel1, p->c1), p->x1_base);
    op_whole(s, 2, op_mul3(s, p->cout, op_mul(s, p->kh, p->kw), k));
    if (p->flags & EPILOGUE_BIAS) op_whole(s, 3, p->cout);
    if (p->flags & EPILOGUE_VEC) {
        uint64_t pixels = op_mul(s, p->oh, p->ow);
        op_whole(s, 4, vec_end(s, (end - 1) / pixels + 1, p->vec_stride, p->vec_offset, p->cout));
    }
    uint64_t out0 = op_mul(s, p->row0, p->cout), out1 = op_mul(s, end, p->cout);
    if (p->flags & EPILOGUE_RESIDUAL) op_window(s, 5, out0, out1, p->out_base);
    op_window(s, 6, out0, out1, p->out_base);
}

static void attention_regions(op_sizes *s, const attention_params *p) {
    uint64_t width = op_mul(s, p->heads, p->d), queries = op_mul(s, p->batch, p->lq),
             keys = op_mul(s, p->batch, p->lk);
    op_window(s, 0, p->q_offset, op_mul(s, queries - 1, p->q_stride) + p->q_offset + width, 0);
    op_window(s, 1, p->k_offset, op_mul(s, keys - 1, p->k_stride) + p->k_offset + width, 0);
    op_window(s, 2, p->v_offset, op_mul(s, keys - 1, p->v_stride) + p->v_offset + width, 0);
    op_whole(s, 3, op_mul(s, queries - 1, p->o_stride) + width);
}

/* First row (of n*hw) of a chunk (of n*chunks). */
static uint64_t chunk_row(const group_norm_stats_params *p, uint64_t chunk) {
    return chunk / p->chunks * p->hw + chunk % p->chunks * p->rows_per_chunk;
}

static void group_norm_stats_regions(op_sizes *s, const group_norm_stats_params *p) {
    uint64_t row0 = chunk_row(p, p->chunk0), row1 = chunk_row(p, (uint64_t)p->chunk0 + p->chunk_count);
    op_window(s, 0, op_mul(s, row0, p->c0), op_mul(s, row1, p->c0), p->x0_base);
    if (p->c1) op_window(s, 1, op_mul(s, row0, p->c1), op_mul(s, row1, p->c1), p->x1_base);
    uint64_t chunk = 2 * (uint64_t)p->groups;
    op_window(s, 2, op_mul(s, p->chunk0, chunk), op_mul(s, (uint64_t)p->chunk0 + p->chunk_count, chunk), 0);
}

static void group_norm_regions(op_sizes *s, const group_norm_params *p) {
    uint64_t row0 = p->row0, row1 = row0 + p->rows, c = (uint64_t)p->c0 + p->c1;
    op_window(s, 0, op_mul(s, row0, p->c0), op_mul(s, row1, p->c0), p->x0_base);
    if (p->c1) op_window(s, 1, op_mul(s, row0, p->c1), op_mul(s, row1, p->c1), p->x1_base);
    uint64_t sample = op_mul(s, p->chunks, 2 * (uint64_t)p->groups);
    op_window(s, 2, op_mul(s, row0 / p->hw, sample), op_mul(s, (row1 - 1) / p->hw + 1, sample), 0);
    op_whole(s, 3, c);
    op_whole(s, 4, c);
    op_window(s, 5, op_mul(s, row0, c), op_mul(s, row1, c), p->out_base);
}

static void embedding_regions(op_sizes *s, const embedding_params *p) {
    op_whole(s, 0, p->rows);
    op_whole(s, 1, op_mul(s, p->table_rows, p->c));
    op_whole(s, 2, op_mul(s, p->length < p->rows ? p->length : p->rows, p->c));
    op_whole(s, 3, op_mul(s, p->rows, p->c));
}

static void sampler_input_regions(op_sizes *s, const sampler_input_params *p) {
    op_whole(s, 0, op_mul3(s, p->slots, p->pixels, p->c));
    op_whole(s, 1, op_mul(s, p->calls, SAMPLER_ROW_LENGTH));
    op_whole(s, 2, 1);
    op_whole(s, 3, op_mul(s, p->pixels, p->extra_c));
    op_whole(s, 4, op_mul3(s, p->repeat, p->pixels, (uint64_t)p->c + p->extra_c));
}

static void sampler_update_regions(op_sizes *s, const sampler_update_params *p) {
    op_whole(s, 0, op_mul(s, p->repeat, p->count));
    op_whole(s, 1, op_mul(s, p->calls, SAMPLER_ROW_LENGTH));
    op_whole(s, 2, 1);
    op_whole(s, 3, op_mul(s, p->noise_rows, p->count));
    op_whole(s, 4, op_mul(s, p->slots, p->count));
}

static void guidance_regions(op_sizes *s, const guidance_params *p) {
    uint64_t all = op_mul(s, p->samples, p->count);
    op_whole(s, 0, op_mul(s, p->repeat, all));
    op_whole(s, 1, op_mul(s, p->calls, SAMPLER_ROW_LENGTH));
    op_whole(s, 2, 1);
    if (p->masked) {
        op_whole(s, 3, op_mul(s, p->slots, all));
        op_whole(s, 4, all);
        op_whole(s, 5, all);
    }
    op_whole(s, 6, all);
}

/* Every binding whole: one product each. */
static void plain_regions(op_sizes *s, op o, const op_params *p) {
    switch (o) {
    case OP_LAYER_NORM:
        op_whole(s, 0, op_mul(s, p->layer_norm.rows, p->layer_norm.c));
        op_whole(s, 1, p->layer_norm.c);
        op_whole(s, 2, p->layer_norm.c);
        op_whole(s, 3, op_mul(s, p->layer_norm.rows, p->layer_norm.c));
        break;
    case OP_UNARY:
        op_whole(s, 0, p->unary.count);
        op_whole(s, 1, p->unary.count);
        break;
    case OP_BINARY:
        op_whole(s, 0, p->binary.count);
        op_whole(s, 1, p->binary.b_count);
        op_whole(s, 2, p->binary.count);
        break;
    case OP_GEGLU:
        op_whole(s, 0, op_mul3(s, p->geglu.rows, p->geglu.c, 2));
        op_whole(s, 1, op_mul(s, p->geglu.rows, p->geglu.c));
        break;
    case OP_CONCAT:
        op_whole(s, 0, op_mul(s, p->concat.rows, p->concat.c0));
        op_whole(s, 1, op_mul(s, p->concat.rows, p->concat.c1));
        op_whole(s, 2, op_mul(s, p->concat.rows, (uint64_t)p->concat.c0 + p->concat.c1));
        break;
    case OP_SLICE:
        op_window(s, 0, p->slice.offset,
                  op_mul(s, p->slice.rows - 1, p->slice.x_c) + p->slice.offset + p->slice.c, 0);
        op_whole(s, 1, op_mul(s, p->slice.rows, p->slice.c));
        break;
    case OP_UPSAMPLE:
        op_whole(s, 0,
                 op_mul(s, op_mul(s, p->upsample.n, p->upsample.h), op_mul(s, p->upsample.w, p->upsample.c)));
        op_whole(s, 1, op_mul(s, s->regions[0].end, 4));
        break;
    case OP_PIXEL_SHUFFLE: {
        const pixel_shuffle_params *q = &p->pixel_shuffle;
        uint64_t channels = op_mul(s, op_mul(s, q->block, q->block), q->c);
        op_whole(s, 0, op_mul(s, op_mul(s, op_mul(s, q->n, q->h), q->w), channels));
        op_whole(s, 1, s->regions[0].end);
        break;
    }
    case OP_TIMESTEP_EMBEDDING:
        op_whole(s, 0, p->timestep_embedding.rows);
        op_whole(s, 1, op_mul(s, p->timestep_embedding.rows, p->timestep_embedding.dim));
        break;
    case OP_GATHER_ROWS:
        op_whole(s, 0, op_mul(s, p->gather_rows.x_rows, p->gather_rows.c));
        op_whole(s, 1, ceil_div(p->gather_rows.rows, p->gather_rows.block));
        op_whole(s, 2, op_mul(s, p->gather_rows.rows, p->gather_rows.c));
        break;
    case OP_STEP_ADVANCE:
        op_whole(s, 0, 1);
        break;
    default:
        op_training_regions(s, o, p);
        break;
    }
}

bool op_regions(op o, const op_params *p, op_region regions[OP_MAX_BINDINGS]) {
    memset(regions, 0, OP_MAX_BINDINGS * sizeof *regions);
    op_sizes s = {regions, true};
    switch (o) {
    case OP_LINEAR:
        linear_regions(&s, &p->linear);
        break;
    case OP_CONV2D:
        conv2d_regions(&s, &p->conv2d);
        break;
    case OP_ATTENTION:
        attention_regions(&s, &p->attention);
        break;
    case OP_GROUP_NORM_STATS:
        group_norm_stats_regions(&s, &p->group_norm_stats);
        break;
    case OP_GROUP_NORM:
        group_norm_regions(&s, &p->group_norm);
        break;
    case OP_EMBEDDING:
        embedding_regions(&s, &p->embedding);
        break;
    case OP_SAMPLER_INPUT:
        sampler_input_regions(&s, &p->sampler_input);
        break;
    case OP_SAMPLER_UPDATE:
        sampler_update_regions(&s, &p->sampler_update);
        break;
    case OP_GUIDANCE:
        guidance_regions(&s, &p->guidance);
        break;
    default:
        plain_regions(&s, o, p);
        break;
    }
    return s.ok;
}

bool op_extents(op o, const op_params *p, uint64_t extents[OP_MAX_BINDINGS]) {
    op_region regions[OP_MAX_BINDINGS];
    bool ok = op_regions(o, p, regions);
    for (uint32_t i = 0; i < OP_MAX_BINDINGS; i++)
        extents[i] = regions[i].end;
    return ok;
}
