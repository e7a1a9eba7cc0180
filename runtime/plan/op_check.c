/* op_check: parameters that would make a kernel divide by zero, loop without end or leave its buffers are
 * refused here, once, for every executor. */
#include "plan/op.h"

#include <math.h>

typedef struct checker {
    const char *op;
    mzt_error *error;
    mzt_status status;
} checker;

static void fail(checker *c, const char *name, double found, const char *expected) {
    if (c->status < 0) return;
    c->status = error_set(c->error, MZT_ERROR_INVALID, "%s: parameter %s is %.9g, expected %s", c->op, name,
                          found, expected);
}

static void positive(checker *c, const char *name, uint32_t value) {
    if (value == 0) fail(c, name, 0, "at least 1");
}

static void at_most(checker *c, const char *name, uint64_t value, uint64_t limit, const char *expected) {
    if (value > limit) fail(c, name, (double)value, expected);
}

static void finite(checker *c, const char *name, float value) {
    if (!isfinite(value)) fail(c, name, (double)value, "a finite number");
}

#define POSITIVE(list, name) positive(c, #name, p->list.name)

static void check_epilogue(checker *c, uint32_t flags, uint32_t known) {
    if (flags & ~known) fail(c, "flags", flags, "only known flags");
    uint32_t activation = flags & (EPILOGUE_SILU | EPILOGUE_GELU | EPILOGUE_QUICK_GELU | EPILOGUE_GEGLU);
    if (activation & (activation - 1)) fail(c, "flags", flags, "one activation at most");
    if ((flags & EPILOGUE_GEGLU) && (flags & EPILOGUE_VEC))
        fail(c, "flags", flags, "no vec together with GEGLU");
}

static void check_linear(checker *c, const linear_params *p) {
    positive(c, "m", p->m);
    positive(c, "n", p->n);
    positive(c, "k0", p->k0);
    at_most(c, "k0 + k1", (uint64_t)p->k0 + p->k1, INT32_MAX, "below 2^31");
    check_epilogue(c, p->flags,
                   EPILOGUE_BIAS | EPILOGUE_VEC | EPILOGUE_RESIDUAL | EPILOGUE_SILU | EPILOGUE_GELU |
                       EPILOGUE_QUICK_GELU | EPILOGUE_GEGLU);
    at_most(c, "n", p->n, INT32_MAX, "below 2^31");
    if (p->flags & EPILOGUE_VEC) positive(c, "rows_per_sample", p->rows_per_sample);
}

/* One axis: every output position's taps must touch the source, and circular padding must not go round twice,
 * so that a kernel may wrap with a single addition or subtraction. */
static void check_axis(checker *c, const char *name, uint64_t size, uint64_t out, uint64_t stride,
                       uint64_t kernel, uint64_t pad, bool wrap) {
    if (pad >= kernel) fail(c, name, (double)pad, "padding smaller than the kernel");
    uint64_t last;
    if (!size_mul(out - 1, stride, &last) || last >= size + pad)
        fail(c, name, (double)out, "outputs that touch the source");
    if (wrap && (pad > size || last + kernel - 1 >= 2 * size + pad))
        fail(c, name, (double)size, "a source no smaller than its circular padding");
}

static void check_conv2d(checker *c, const conv2d_params *p) {
    positive(c, "n", p->n);
    positive(c, "h", p->h);
    positive(c, "w", p->w);
    positive(c, "c0", p->c0);
    positive(c, "cout", p->cout);
    positive(c, "kh", p->kh);
    positive(c, "kw", p->kw);
    positive(c, "stride", p->stride);
    positive(c, "oh", p->oh);
    positive(c, "ow", p->ow);
    positive(c, "rows", p->rows);
    at_most(c, "c0 + c1", (uint64_t)p->c0 + p->c1, INT32_MAX, "below 2^31");
    check_epilogue(c, p->flags,
                   EPILOGUE_BIAS | EPILOGUE_VEC | EPILOGUE_RESIDUAL | EPILOGUE_SILU | EPILOGUE_GELU |
                       EPILOGUE_QUICK_GELU | CONV_UPSAMPLE2 | CONV_WRAP_X | CONV_WRAP_Y);
    if (c->status >= 0) {
        uint64_t scale = (p->flags & CONV_UPSAMPLE2) ? 2 : 1, pixels = 0;
        check_axis(c, "oh", p->h * scale, p->oh, p->stride, p->kh, p->pad_top, p->flags & CONV_WRAP_Y);
        check_axis(c, "ow", p->w * scale, p->ow, p->stride, p->kw, p->pad_left, p->flags & CONV_WRAP_X);
        bool fits = size_mul((uint64_t)p->oh * p->ow, p->n, &pixels);
        at_most(c, "row0 + rows", (uint64_t)p->row0 + p->rows, fits ? pixels : 0, "at most n*oh*ow");
    }
}

static void check_attention(checker *c, const attention_params *p) {
    positive(c, "batch", p->batch);
    positive(c, "heads", p->heads);
    positive(c, "d", p->d);
    positive(c, "lq", p->lq);
    positive(c, "lk", p->lk);
    uint64_t width = (uint64_t)p->heads * p->d;
    at_most(c, "q_offset", p->q_offset + width, p->q_stride, "heads*d + q_offset within q_stride");
    at_most(c, "k_offset", p->k_offset + width, p->k_stride, "heads*d + k_offset within k_stride");
    at_most(c, "v_offset", p->v_offset + width, p->v_stride, "heads*d + v_offset within v_stride");
    if (p->o_stride != width) fail(c, "o_stride", p->o_stride, "heads*d");
    if (p->flags & ~ATTENTION_CAUSAL) fail(c, "flags", p->flags, "only known flags");
    finite(c, "scale", p->scale);
}

/* Both halves of group norm see the same cut into chunks. */
static void check_groups(checker *c, uint64_t c0, uint64_t c1, uint32_t n, uint32_t hw, uint32_t groups,
                         uint32_t chunks, uint32_t rows_per_chunk) {
    positive(c, "n", n);
    positive(c, "hw", hw);
    positive(c, "c0", (uint32_t)c0);
    positive(c, "groups", groups);
    positive(c, "chunks", chunks);
    positive(c, "rows_per_chunk", rows_per_chunk);
    if (c->status < 0) return;
    at_most(c, "c0 + c1", c0 + c1, INT32_MAX, "below 2^31");
    if ((c0 + c1) % groups != 0) fail(c, "groups", groups, "a divisor of c0 + c1");
    if (chunks != ceil_div(hw, rows_per_chunk)) fail(c, "chunks", chunks, "hw / rows_per_chunk, rounded up");
}

static void check_group_norm_stats(checker *c, const group_norm_stats_params *p) {
    check_groups(c, p->c0, p->c1, p->n, p->hw, p->groups, p->chunks, p->rows_per_chunk);
    positive(c, "chunk_count", p->chunk_count);
    at_most(c, "chunk0 + chunk_count", (uint64_t)p->chunk0 + p->chunk_count, (uint64_t)p->n * p->chunks,
            "at most n*chunks");
}

static void check_group_norm(checker *c, const group_norm_params *p) {
    check_groups(c, p->c0, p->c1, p->n, p->hw, p->groups, p->chunks, p->rows_per_chunk);
    positive(c, "rows", p->rows);
    at_most(c, "row0 + rows", (uint64_t)p->row0 + p->rows, (uint64_t)p->n * p->hw, "at most n*hw");
    if (p->flags & ~NORM_SILU) fail(c, "flags", p->flags, "only known flags");
    if (!(p->eps >= 0 && p->eps <= 1e6f)) fail(c, "eps", (double)p->eps, "0 ... 1e6");
}

static void check_embedding(checker *c, const embedding_params *p) {
    positive(c, "rows", p->rows);
    positive(c, "c", p->c);
    positive(c, "vocabulary", p->vocabulary);
    positive(c, "table_rows", p->table_rows);
    at_most(c, "table_first + table_rows", (uint64_t)p->table_first + p->table_rows, p->vocabulary,
            "at most the vocabulary");
}

static void check_timestep(checker *c, const timestep_embedding_params *p) {
    positive(c, "rows", p->rows);
    positive(c, "dim", p->dim);
    if (p->flags & ~TIMESTEP_FLIP) fail(c, "flags", p->flags, "only known flags");
    if (p->dim > 1 && !((float)(p->dim / 2) - p->shift > 0))
        fail(c, "shift", (double)p->shift, "less than dim / 2");
    if (!(p->max_period > 0)) fail(c, "max_period", (double)p->max_period, "a positive number");
    finite(c, "shift", p->shift);
    finite(c, "max_period", p->max_period);
    finite(c, "scale", p->scale);
}

static void check_sampler(checker *c, uint32_t slots, uint32_t calls) {
    positive(c, "slots", slots);
    positive(c, "calls", calls);
    at_most(c, "slots", slots, SAMPLER_MAX_SLOTS, "at most 6");
}

static void check_step_loop(checker *c, op o, const op_params *p) {
    switch (o) {
    case OP_GATHER_ROWS:
        POSITIVE(gather_rows, rows);
        POSITIVE(gather_rows, c);
        POSITIVE(gather_rows, block);
        POSITIVE(gather_rows, x_rows);
        if (p->gather_rows.block && p->gather_rows.x_rows % p->gather_rows.block)
            fail(c, "x_rows", p->gather_rows.x_rows, "a multiple of block");
        break;
    case OP_SAMPLER_INPUT:
        POSITIVE(sampler_input, pixels);
        POSITIVE(sampler_input, c);
        POSITIVE(sampler_input, repeat);
        check_sampler(c, p->sampler_input.slots, p->sampler_input.calls);
        break;
    case OP_SAMPLER_UPDATE:
        POSITIVE(sampler_update, count);
        POSITIVE(sampler_update, repeat);
        at_most(c, "repeat", p->sampler_update.repeat, 2, "1 or 2");
        check_sampler(c, p->sampler_update.slots, p->sampler_update.calls);
        break;
    case OP_GUIDANCE:
        POSITIVE(guidance, samples);
        POSITIVE(guidance, count);
        POSITIVE(guidance, repeat);
        at_most(c, "repeat", p->guidance.repeat, 2, "1 or 2");
        at_most(c, "masked", p->guidance.masked, 1, "0 or 1");
        if (!(p->guidance.rescale >= 0 && p->guidance.rescale <= 1))
            fail(c, "rescale", (double)p->guidance.rescale, "0 to 1");
        check_sampler(c, p->guidance.slots, p->guidance.calls);
        break;
    default:
        break; /* step_advance has nothing to check */
    }
}

/* The ops that take one look each. */
static void check_small(checker *c, op o, const op_params *p) {
    switch (o) {
    case OP_LAYER_NORM:
        POSITIVE(layer_norm, rows);
        POSITIVE(layer_norm, c);
        if (!(p->layer_norm.eps >= 0 && p->layer_norm.eps <= 1e6f))
            fail(c, "eps", (double)p->layer_norm.eps, "0 ... 1e6");
        break;
    case OP_UNARY:
        POSITIVE(unary, count);
        at_most(c, "kind", p->unary.kind, UNARY_QUICK_GELU, "a known kind");
        finite(c, "scale", p->unary.scale);
        finite(c, "shift", p->unary.shift);
        break;
    case OP_BINARY:
        POSITIVE(binary, count);
        POSITIVE(binary, b_count);
        at_most(c, "kind", p->binary.kind, BINARY_MUL, "a known kind");
        if (p->binary.b_count && p->binary.count % p->binary.b_count)
            fail(c, "b_count", p->binary.b_count, "a divisor of count");
        finite(c, "a_scale", p->binary.a_scale);
        finite(c, "b_scale", p->binary.b_scale);
        break;
    case OP_GEGLU:
        POSITIVE(geglu, rows);
        POSITIVE(geglu, c);
        at_most(c, "c", p->geglu.c, INT32_MAX, "below 2^31");
        break;
    case OP_CONCAT:
        POSITIVE(concat, rows);
        POSITIVE(concat, c0);
        POSITIVE(concat, c1);
        at_most(c, "c0 + c1", (uint64_t)p->concat.c0 + p->concat.c1, INT32_MAX, "below 2^31");
        break;
    case OP_SLICE:
        POSITIVE(slice, rows);
        POSITIVE(slice, c);
        at_most(c, "offset + c", (uint64_t)p->slice.offset + p->slice.c, p->slice.x_c, "at most x_c");
        break;
    case OP_UPSAMPLE:
        POSITIVE(upsample, n);
        POSITIVE(upsample, h);
        POSITIVE(upsample, w);
        POSITIVE(upsample, c);
        break;
    default:
        check_step_loop(c, o, p);
        break;
    }
}

mzt_status op_check(op o, const op_params *p, mzt_error *error) {
    checker c = {op_get(o)->name, error, MZT_OK};
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
