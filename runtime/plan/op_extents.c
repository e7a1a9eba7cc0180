/* op_regions: which elements of its buffers a dispatch may touch, from its parameters alone. The plan
 * checker, the barriers and the compiler's cuts all rest on this one description. */
#include "plan/op.h"

#include <string.h>

/* Products and sums that remember whether they fitted. */
typedef struct sizes {
    op_region *regions;
    bool ok;
} sizes;

static uint64_t mul(sizes *s, uint64_t a, uint64_t b) {
    uint64_t result = 0;
    if (!size_mul(a, b, &result)) s->ok = false;
    return result;
}

static uint64_t mul3(sizes *s, uint64_t a, uint64_t b, uint64_t c) {
    return mul(s, mul(s, a, b), c);
}

/* Elements first ... end - 1 of the whole tensor, in a binding that begins at element `base`. Kernels index
 * in 32 bits. */
static void window(sizes *s, uint32_t binding, uint64_t first, uint64_t end, uint64_t base) {
    if (base > first || end > UINT32_MAX) {
        s->ok = false;
        return;
    }
    s->regions[binding] = (op_region){first - base, end - base};
}

static void whole(sizes *s, uint32_t binding, uint64_t count) {
    window(s, binding, 0, count, 0);
}

/* The row of `vec` that the last of `samples` reads ends here; stride 0 is one row for all. */
static uint64_t vec_end(sizes *s, uint64_t samples, uint64_t stride, uint64_t offset, uint64_t columns) {
    return mul(s, samples - 1, stride) + offset + columns;
}

static void linear_regions(sizes *s, const linear_params *p) {
    uint64_t m = p->m, n = p->n, rows = (p->flags & EPILOGUE_GEGLU) ? 2 * n : n, k = (uint64_t)p->k0 + p->k1;
    whole(s, 0, mul(s, m, p->k0));
    whole(s, 1, mul(s, m, p->k1));
    whole(s, 2, mul(s, rows, k));
    if (p->flags & EPILOGUE_BIAS) whole(s, 3, rows);
    if (p->flags & EPILOGUE_VEC)
        whole(s, 4,
              vec_end(s, (m + p->rows_per_sample - 1) / p->rows_per_sample, p->vec_stride, p->vec_offset, n));
    if (p->flags & EPILOGUE_RESIDUAL) whole(s, 5, mul(s, m, n));
    whole(s, 6, mul(s, m, n));
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

static void conv2d_regions(sizes *s, const conv2d_params *p) {
    uint64_t end = (uint64_t)p->row0 + p->rows, top, bottom, k = (uint64_t)p->c0 + p->c1;
    conv_source_rows(p, p->row0 / p->ow, (end - 1) / p->ow, &top, &bottom);
    uint64_t pixel0 = mul(s, top, p->w), pixel1 = mul(s, bottom + 1, p->w);
    window(s, 0, mul(s, pixel0, p->c0), mul(s, pixel1, p->c0), p->x0_base);
    if (p->c1) window(s, 1, mul(s, pixel0, p->c1), mul(s, pixel1, p->c1), p->x1_base);
    whole(s, 2, mul3(s, p->cout, mul(s, p->kh, p->kw), k));
    if (p->flags & EPILOGUE_BIAS) whole(s, 3, p->cout);
    if (p->flags & EPILOGUE_VEC) {
        uint64_t pixels = mul(s, p->oh, p->ow);
        whole(s, 4, vec_end(s, (end - 1) / pixels + 1, p->vec_stride, p->vec_offset, p->cout));
    }
    uint64_t out0 = mul(s, p->row0, p->cout), out1 = mul(s, end, p->cout);
    if (p->flags & EPILOGUE_RESIDUAL) window(s, 5, out0, out1, p->out_base);
    window(s, 6, out0, out1, p->out_base);
}

static void attention_regions(sizes *s, const attention_params *p) {
    uint64_t width = mul(s, p->heads, p->d), queries = mul(s, p->batch, p->lq),
             keys = mul(s, p->batch, p->lk);
    window(s, 0, p->q_offset, mul(s, queries - 1, p->q_stride) + p->q_offset + width, 0);
    window(s, 1, p->k_offset, mul(s, keys - 1, p->k_stride) + p->k_offset + width, 0);
    window(s, 2, p->v_offset, mul(s, keys - 1, p->v_stride) + p->v_offset + width, 0);
    whole(s, 3, mul(s, queries - 1, p->o_stride) + width);
}

/* First row (of n*hw) of a chunk (of n*chunks). */
static uint64_t chunk_row(const group_norm_stats_params *p, uint64_t chunk) {
    return chunk / p->chunks * p->hw + chunk % p->chunks * p->rows_per_chunk;
}

static void group_norm_stats_regions(sizes *s, const group_norm_stats_params *p) {
    uint64_t row0 = chunk_row(p, p->chunk0), row1 = chunk_row(p, (uint64_t)p->chunk0 + p->chunk_count);
    window(s, 0, mul(s, row0, p->c0), mul(s, row1, p->c0), p->x0_base);
    if (p->c1) window(s, 1, mul(s, row0, p->c1), mul(s, row1, p->c1), p->x1_base);
    uint64_t chunk = 2 * (uint64_t)p->groups;
    window(s, 2, mul(s, p->chunk0, chunk), mul(s, (uint64_t)p->chunk0 + p->chunk_count, chunk), 0);
}

static void group_norm_regions(sizes *s, const group_norm_params *p) {
    uint64_t row0 = p->row0, row1 = row0 + p->rows, c = (uint64_t)p->c0 + p->c1;
    window(s, 0, mul(s, row0, p->c0), mul(s, row1, p->c0), p->x0_base);
    if (p->c1) window(s, 1, mul(s, row0, p->c1), mul(s, row1, p->c1), p->x1_base);
    uint64_t sample = mul(s, p->chunks, 2 * (uint64_t)p->groups);
    window(s, 2, mul(s, row0 / p->hw, sample), mul(s, (row1 - 1) / p->hw + 1, sample), 0);
    whole(s, 3, c);
    whole(s, 4, c);
    window(s, 5, mul(s, row0, c), mul(s, row1, c), p->out_base);
}

static void embedding_regions(sizes *s, const embedding_params *p) {
    whole(s, 0, p->rows);
    whole(s, 1, mul(s, p->table_rows, p->c));
    whole(s, 2, mul(s, p->length < p->rows ? p->length : p->rows, p->c));
    whole(s, 3, mul(s, p->rows, p->c));
}

static void sampler_input_regions(sizes *s, const sampler_input_params *p) {
    whole(s, 0, mul3(s, p->slots, p->pixels, p->c));
    whole(s, 1, mul(s, p->calls, SAMPLER_ROW_LENGTH));
    whole(s, 2, 1);
    whole(s, 3, mul(s, p->pixels, p->extra_c));
    whole(s, 4, mul3(s, p->repeat, p->pixels, (uint64_t)p->c + p->extra_c));
}

static void sampler_update_regions(sizes *s, const sampler_update_params *p) {
    whole(s, 0, mul(s, p->repeat, p->count));
    whole(s, 1, mul(s, p->calls, SAMPLER_ROW_LENGTH));
    whole(s, 2, 1);
    whole(s, 3, mul(s, p->noise_rows, p->count));
    whole(s, 4, mul(s, p->slots, p->count));
}

static void guidance_regions(sizes *s, const guidance_params *p) {
    uint64_t all = mul(s, p->samples, p->count);
    whole(s, 0, mul(s, p->repeat, all));
    whole(s, 1, mul(s, p->calls, SAMPLER_ROW_LENGTH));
    whole(s, 2, 1);
    if (p->masked) {
        whole(s, 3, mul(s, p->slots, all));
        whole(s, 4, all);
        whole(s, 5, all);
    }
    whole(s, 6, all);
}

/* Every binding whole: one product each. */
static void plain_regions(sizes *s, op o, const op_params *p) {
    switch (o) {
    case OP_LAYER_NORM:
        whole(s, 0, mul(s, p->layer_norm.rows, p->layer_norm.c));
        whole(s, 1, p->layer_norm.c);
        whole(s, 2, p->layer_norm.c);
        whole(s, 3, mul(s, p->layer_norm.rows, p->layer_norm.c));
        break;
    case OP_UNARY:
        whole(s, 0, p->unary.count);
        whole(s, 1, p->unary.count);
        break;
    case OP_BINARY:
        whole(s, 0, p->binary.count);
        whole(s, 1, p->binary.b_count);
        whole(s, 2, p->binary.count);
        break;
    case OP_GEGLU:
        whole(s, 0, mul3(s, p->geglu.rows, p->geglu.c, 2));
        whole(s, 1, mul(s, p->geglu.rows, p->geglu.c));
        break;
    case OP_CONCAT:
        whole(s, 0, mul(s, p->concat.rows, p->concat.c0));
        whole(s, 1, mul(s, p->concat.rows, p->concat.c1));
        whole(s, 2, mul(s, p->concat.rows, (uint64_t)p->concat.c0 + p->concat.c1));
        break;
    case OP_SLICE:
        window(s, 0, p->slice.offset, mul(s, p->slice.rows - 1, p->slice.x_c) + p->slice.offset + p->slice.c,
               0);
        whole(s, 1, mul(s, p->slice.rows, p->slice.c));
        break;
    case OP_UPSAMPLE:
        whole(s, 0, mul(s, mul(s, p->upsample.n, p->upsample.h), mul(s, p->upsample.w, p->upsample.c)));
        whole(s, 1, mul(s, s->regions[0].end, 4));
        break;
    case OP_TIMESTEP_EMBEDDING:
        whole(s, 0, p->timestep_embedding.rows);
        whole(s, 1, mul(s, p->timestep_embedding.rows, p->timestep_embedding.dim));
        break;
    case OP_GATHER_ROWS:
        whole(s, 0, mul(s, p->gather_rows.x_rows, p->gather_rows.c));
        whole(s, 1, ceil_div(p->gather_rows.rows, p->gather_rows.block));
        whole(s, 2, mul(s, p->gather_rows.rows, p->gather_rows.c));
        break;
    case OP_STEP_ADVANCE:
        whole(s, 0, 1);
        break;
    default:
        s->ok = false;
        break;
    }
}

bool op_regions(op o, const op_params *p, op_region regions[OP_MAX_BINDINGS]) {
    memset(regions, 0, OP_MAX_BINDINGS * sizeof *regions);
    sizes s = {regions, true};
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
