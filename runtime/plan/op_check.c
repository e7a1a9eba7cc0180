/* op_check: parameters that would make a kernel divide by zero, loop without end or leave its buffers are
 * refused here, once, for every executor. */
#include "plan/op_internal.h"

#include <math.h>

void op_fail(op_checker *c, const char *name, double found, const char *expected) {
    if (c->status < 0) return;
    c->status = error_set(c->error, MZT_ERROR_INVALID, "%s: parameter %s is %.9g, expected %s", c->op, name,
                          found, expected);
}

void op_positive(op_checker *c, const char *name, uint32_t value) {
    if (value == 0) op_fail(c, name, 0, "at least 1");
}

void op_at_most(op_checker *c, const char *name, uint64_t value, uint64_t limit, const char *expected) {
    if (value > limit) op_fail(c, name, (double)value, expected);
}

void op_finite(op_checker *c, const char *name, float value) {
    if (!isfinite(value)) op_fail(c, name, (double)value, "a finite number");
}

void op_epsilon(op_checker *c, float eps) {
    if (!(eps >= 0 && eps <= 1e6f)) op_fail(c, "eps", (double)eps, "0 ... 1e6");
}

static void check_epilogue(op_checker *c, uint32_t flags, uint32_t known) {
    if (flags & ~known) op_fail(c, "flags", flags, "only known flags");
    uint32_t activation = flags & (EPILOGUE_SILU | EPILOGUE_GELU | EPILOGUE_QUICK_GELU | EPILOGUE_GEGLU);
    if (activation & (activation - 1)) op_fail(c, "flags", flags, "one activation at most");
    if ((flags & EPILOGUE_GEGLU) && (flags & EPILOGUE_VEC))
        op_fail(c, "flags", flags, "no vec together with GEGLU");
}

static void check_linear(op_checker *c, const linear_params *p) {
    op_positive(c, "m", p->m);
    op_positive(c, "n", p->n);
    op_positive(c, "k0", p->k0);
    op_at_most(c, "k0 + k1", (uint64_t)p->k0 + p->k1, INT32_MAX, "below 2^31");
    check_epilogue(c, p->flags,
                   EPILOGUE_BIAS | EPILOGUE_VEC | EPILOGUE_RESIDUAL | EPILOGUE_SILU | EPILOGUE_GELU |
                       EPILOGUE_QUICK_GELU | EPILOGUE_GEGLU);
    op_at_most(c, "n", p->n, INT32_MAX, "below 2^31");
    if (p->flags & EPILOGUE_VEC) op_positive(c, "rows_per_sample", p->rows_per_sample);
}

void op_check_axis(op_checker *c, const char *name, uint64_t size, uint64_t out, uint64_t stride,
                   uint64_t kernel, uint64_t pad, bool wrap) {
    if (pad >= kernel) op_fail(c, name, (double)pad, "padding smaller than the kernel");
    uint64_t last;
    if (!size_mul(out - 1, stride, &last) || last >= size + pad)
        op_fail(c, name, (double)out, "outputs that touch the source");
    if (wrap && (pad > size || last + kernel - 1 >= 2 * size + pad))
        op_fail(c, name, (double)size, "a source no smaller than its circular padding");
}

static void check_conv2d(op_checker *c, const conv2d_params *p) {
    op_positive(c, "n", p->n);
    op_positive(c, "h", p->h);
    op_positive(c, "w", p->w);
    op_positive(c, "c0", p->c0);
    op_positive(c, "cout", p->cout);
    op_positive(c, "kh", p->kh);
    op_positive(c, "kw", p->kw);
    op_positive(c, "stride", p->stride);
    op_positive(c, "oh", p->oh);
    op_positive(c, "ow", p->ow);
    op_positive(c, "rows", p->rows);
    op_at_most(c, "c0 + c1", (uint64_t)p->c0 + p->c1, INT32_MAX, "below 2^31");
    check_epilogue(c, p->flags,
                   EPILOGUE_BIAS | EPILOGUE_VEC | EPILOGUE_RESIDUAL | EPILOGUE_SILU | EPILOGUE_GELU |
                       EPILOGUE_QUICK_GELU | CONV_UPSAMPLE2 | CONV_WRAP_X | CONV_WRAP_Y);
    if (c->status >= 0) {
        uint64_t scale = (p->flags & CONV_UPSAMPLE2) ? 2 : 1, pixels = 0;
        op_check_axis(c, "oh", p->h * scale, p->oh, p->stride, p->kh, p->pad_top, p->flags & CONV_WRAP_Y);
        op_check_axis(c, "ow", p->w * scale, p->ow, p->stride, p->kw, p->pad_left, p->flags & CONV_WRAP_X);
        bool fits = size_mul((uint64_t)p->oh * p->ow, p->n, &pixels);
        op_at_most(c, "row0 + rows", (uint64_t)p->row0 + p->rows, fits ? pixels : 0, "at most n*oh*ow");
    }
}

void op_check_attention(op_checker *c, uint32_t batch, uint32_t heads, uint32_t d, uint32_t lq, uint32_t lk,
                        uint32_t flags, float scale) {
    op_positive(c, "batch", batch);
    op_positive(c, "heads", heads);
    op_positive(c, "d", d);
    op_positive(c, "lq", lq);
    op_positive(c, "lk", lk);
    op_at_most(c, "heads*d", (uint64_t)heads * d, INT32_MAX, "below 2^31");
    if (flags & ~ATTENTION_CAUSAL) op_fail(c, "flags", flags, "only known flags");
    op_finite(c, "scale", scale);
}

void op_check_unary(op_checker *c, uint32_t count, uint32_t kind, float scale, float shift) {
    op_positive(c, "count", count);
    op_at_most(c, "kind", kind, UNARY_KINDS - 1, "a known kind");
    op_finite(c, "scale", scale);
    op_finite(c, "shift", shift);
}

static void check_attention(op_checker *c, const attention_params *p) {
    op_check_attention(c, p->batch, p->heads, p->d, p->lq, p->lk, p->flags, p->scale);
    uint64_t width = (uint64_t)p->heads * p->d;
    op_at_most(c, "q_offset", p->q_offset + width, p->q_stride, "heads*d + q_offset within q_stride");
    op_at_most(c, "k_offset", p->k_offset + width, p->k_stride, "heads*d + k_offset within k_stride");
    op_at_most(c, "v_offset", p->v_offset + width, p->v_stride, "heads*d + v_offset within v_stride");
    if (p->o_stride != width) op_fail(c, "o_stride", p->o_stride, "heads*d");
}

void op_check_groups(op_checker *c, uint64_t c0, uint64_t c1, uint32_t n, uint32_t hw, uint32_t groups,
                     uint32_t chunks, uint32_t rows_per_chunk) {
    op_positive(c, "n", n);
    op_positive(c, "hw", hw);
    op_positive(c, "c0", (uint32_t)c0);
    op_positive(c, "groups", groups);
    op_positive(c, "chunks", chunks);
    op_positive(c, "rows_per_chunk", rows_per_chunk);
    if (c->status < 0) return;
    op_at_most(c, "c0 + c1", c0 + c1, INT32_MAX, "below 2^31");
    if ((c0 + c1) % groups != 0) op_fail(c, "groups", groups, "a divisor of c0 + c1");
    if (chunks != ceil_div(hw, rows_per_chunk))
        op_fail(c, "chunks", chunks, "hw / rows_per_chunk, rounded up");
}

static void check_group_norm_stats(op_checker *c, const group_norm_stats_params *p) {
    op_check_groups(c, p->c0, p->c1, p->n, p->hw, p->groups, p->chunks, p->rows_per_chunk);
    op_positive(c, "chunk_count", p->chunk_count);
    op_at_most(c, "chunk0 + chunk_count", (uint64_t)p->chunk0 + p->chunk_count, (uint64_t)p->n * p->chunks,
               "at most n*chunks");
}

static void check_group_norm(op_checker *c, const group_norm_params *p) {
    op_check_groups(c, p->c0, p->c1, p->n, p->hw, p->groups, p->chunks, p->rows_per_chunk);
    op_positive(c, "rows", p->rows);
    op_at_most(c, "row0 + rows", (uint64_t)p->row0 + p->rows, (uint64_t)p->n * p->hw, "at most n*hw");
    if (p->flags & ~NORM_SILU) op_fail(c, "flags", p->flags, "only known flags");
    op_epsilon(c, p->eps);
}

static void check_embedding(op_checker *c, const embedding_params *p) {
    op_positive(c, "rows", p->rows);
    op_positive(c, "c", p->c);
    op_positive(c, "vocabulary", p->vocabulary);
    op_positive(c, "table_rows", p->table_rows);
    op_at_most(c, "table_first + table_rows", (uint64_t)p->table_first + p->table_rows, p->vocabulary,
               "at most the vocabulary");
}

static void check_timestep(op_checker *c, const timestep_embedding_params *p) {
    op_positive(c, "rows", p->rows);
    op_positive(c, "dim", p->dim);
    if (p->flags & ~TIMESTEP_FLIP) op_fail(c, "flags", p->flags, "only known flags");
    if (p->dim > 1 && !((float)(p->dim / 2) - p->shift > 0))
        op_fail(c, "shift", (double)p->shift, "less than dim / 2");
    if (!(p->max_period > 0)) op_fail(c, "max_period", (double)p->max_period, "a positive number");
    op_finite(c, "shift", p->shift);
    op_finite(c, "max_period", p->max_period);
    op_finite(c, "scale", p->scale);
}

static void check_sampler(op_checker *c, uint32_t slots, uint32_t calls) {
    op_positive(c, "slots", slots);
    op_positive(c, "calls", calls);
    op_at_most(c, "slots", slots, SAMPLER_MAX_SLOTS, "at most 6");
}

static void check_step_loop(op_checker *c, op o, const op_params *p) {
    switch (o) {
    case OP_GATHER_ROWS:
        OP_POSITIVE(gather_rows, rows);
        OP_POSITIVE(gather_rows, c);
        OP_POSITIVE(gather_rows, block);
        OP_POSITIVE(gather_rows, x_rows);
        if (p->gather_rows.block && p->gather_rows.x_rows % p->gather_rows.block)
            op_fail(c, "x_rows", p->gather_rows.x_rows, "a multiple of block");
        break;
    case OP_SAMPLER_INPUT:
        OP_POSITIVE(sampler_input, pixels);
        OP_POSITIVE(sampler_input, c);
        OP_POSITIVE(sampler_input, repeat);
        check_sampler(c, p->sampler_input.slots, p->sampler_input.calls);
        break;
    case OP_SAMPLER_UPDATE:
        OP_POSITIVE(sampler_update, count);
        OP_POSITIVE(sampler_update, repeat);
        op_at_most(c, "repeat", p->sampler_update.repeat, 2, "1 or 2");
        check_sampler(c, p->sampler_update.slots, p->sampler_update.calls);
        break;
    case OP_GUIDANCE:
        OP_POSITIVE(guidance, samples);
        OP_POSITIVE(guidance, count);
        OP_POSITIVE(guidance, repeat);
        op_at_most(c, "repeat", p->guidance.repeat, 2, "1 or 2");
        op_at_most(c, "masked", p->guidance.masked, 1, "0 or 1");
        if (!(p->guidance.rescale >= 0 && p->guidance.rescale <= 1))
            op_fail(c, "rescale", (double)p->guidance.rescale, "0 to 1");
        check_sampler(c, p->guidance.slots, p->guidance.calls);
        break;
    default:
        op_training_check(c, o, p);
        break;
    }
}

/* The ops that take one look each. */
static void check_small(op_checker *c, op o, const op_params *p) {
    switch (o) {
    case OP_LAYER_NORM:
        OP_POSITIVE(layer_norm, rows);
        OP_POSITIVE(layer_norm, c);
        op_epsilon(c, p->layer_norm.eps);
        break;
    case OP_UNARY:
        op_check_unary(c, p->unary.count, p->unary.kind, p->unary.scale, p->unary.shift);
        break;
    case OP_BINARY:
        OP_POSITIVE(binary, count);
        OP_POSITIVE(binary, b_count);
        op_at_most(c, "kind", p->binary.kind, BINARY_MUL, "a known kind");
        if (p->binary.b_count && p->binary.count % p->binary.b_count)
            op_fail(c, "b_count", p->binary.b_count, "a divisor of count");
        op_finite(c, "a_scale", p->binary.a_scale);
        op_finite(c, "b_scale", p->binary.b_scale);
        break;
    case OP_GEGLU:
        OP_POSITIVE(geglu, rows);
        OP_POSITIVE(geglu, c);
        op_at_most(c, "c", p->geglu.c, INT32_MAX, "below 2^31");
        break;
    case OP_CONCAT:
        OP_POSITIVE(concat, rows);
        OP_POSITIVE(concat, c0);
        OP_POSITIVE(concat, c1);
        op_at_most(c, "c0 + c1", (uint64_t)p->concat.c0 + p->concat.c1, INT32_MAX, "below 2^31");
        break;
    case OP_SLICE:
        OP_POSITIVE(slice, rows);
        OP_POSITIVE(slice, c);
        op_at_most(c, "offset + c", (uint64_t)p->slice.offset + p->slice.c, p->slice.x_c, "at most x_c");
        break;
    case OP_UPSAMPLE:
        OP_POSITIVE(upsample, n);
        OP_POSITIVE(upsample, h);
        OP_POSITIVE(upsample, w);
        OP_POSITIVE(upsample, c);
        break;
    case OP_PIXEL_SHUFFLE:
        OP_POSITIVE(pixel_shuffle, n);
        OP_POSITIVE(pixel_shuffle, h);
        OP_POSITIVE(pixel_shuffle, w);
        OP_POSITIVE(pixel_shuffle, c);
        OP_POSITIVE(pixel_shuffle, block);
        op_at_most(c, "inverse", p->pixel_shuffle.inverse, 1, "0 or 1");
        break;
    default:
        check_step_loop(c, o, p);
        break;
    }
}

mzt_status op_check(op o, const op_params *p, mzt_error *error) {
    op_checker c = {op_get(o)->name, error, MZT_OK};
    switch (o) {
    case OP_LINEAR:
        check_linear(&c, &p->linear);
        break;
    case OP_CONV2D:
        check_conv2d(&c, &p->conv2d);
        break;
    case OP_ATTENTION:
        check_attention(&c, &p->attention);
        break;
    case OP_GROUP_NORM_STATS:
        check_group_norm_stats(&c, &p->group_norm_stats);
        break;
    case OP_GROUP_NORM:
        check_group_norm(&c, &p->group_norm);
        break;
    case OP_EMBEDDING:
        check_embedding(&c, &p->embedding);
        break;
    case OP_TIMESTEP_EMBEDDING:
        check_timestep(&c, &p->timestep_embedding);
        break;
    default:
        check_small(&c, o, p);
        break;
    }
    return c.status;
}
