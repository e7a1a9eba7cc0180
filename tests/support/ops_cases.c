/* One generator of shapes per op; see ops_cases.h. */
#include "ops_cases_internal.h"

#include <stdio.h>

ops_random ops_random_seed(uint64_t a, uint64_t b, uint64_t c) {
    ops_random r = {0x9e3779b97f4a7c15u ^ (a + 1) * 0xbf58476d1ce4e5b9u ^ (b + 1) * 0x94d049bb133111ebu ^
                    (c + 1) * 0xd6e8feb86659fd93u};
    for (int i = 0; i < 4; i++)
        ops_random_uniform(&r);
    return r;
}

static uint64_t next(ops_random *r) {
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1du;
}

uint32_t ops_random_between(ops_random *r, uint32_t low, uint32_t high) {
    return low + (uint32_t)((next(r) >> 32) % ((uint64_t)high - low + 1));
}

double ops_random_uniform(ops_random *r) {
    return (double)(next(r) >> 11) * 0x1p-52 - 1;
}

bool ops_chance(ops_random *r, uint32_t percent) {
    return ops_random_between(r, 1, 100) <= percent;
}

/* Widths of rows: 1, those of pictures, odd ones, multiples of 4, 8, 32 and tails around tile sizes. */
uint32_t ops_pick_width(ops_random *r) {
    static const uint32_t widths[] = {1,  3,  4,  7,  8,  12, 16,  17,  32,  36,
                                      40, 63, 64, 65, 80, 96, 128, 132, 160, 320};
    return OPS_PICK(r, widths);
}

uint32_t ops_pick_rows(ops_random *r) {
    static const uint32_t rows[] = {1, 2, 5, 8, 16, 31, 32, 64, 65, 77, 100, 128, 130, 256};
    return OPS_PICK(r, rows);
}

/* Every epilogue in turn: index 1, 2, 3, ... walk through the activations, the other flags are drawn. */
static uint32_t pick_epilogue(ops_random *r, uint32_t index, bool geglu) {
    static const uint32_t activations[] = {0, EPILOGUE_SILU, EPILOGUE_GELU, EPILOGUE_QUICK_GELU,
                                           EPILOGUE_GEGLU};
    uint32_t flags = index % 2 ? activations[index / 2 % (geglu ? 5 : 4)] : 0;
    if (ops_chance(r, 70)) flags |= EPILOGUE_BIAS;
    if (ops_chance(r, 40)) flags |= EPILOGUE_RESIDUAL;
    if (ops_chance(r, 40) && !(flags & EPILOGUE_GEGLU)) flags |= EPILOGUE_VEC;
    return flags;
}

static void make_linear(ops_random *r, uint32_t index, op_params *params) {
    linear_params *p = &params->linear;
    *p = (linear_params){.m = 1, .n = 1, .k0 = 1};
    if (index == 0) return;
    p->m = ops_pick_rows(r);
    p->n = ops_pick_width(r);
    p->k0 = ops_pick_width(r);
    p->k1 = ops_chance(r, 30) ? ops_pick_width(r) : 0;
    if (index == 1) *p = (linear_params){.m = 130, .n = 132, .k0 = 640, .k1 = 324};
    if (index == 3) *p = (linear_params){.m = 2, .n = 1280, .k0 = 320};
    p->flags = pick_epilogue(r, index, true);
    if (p->flags & EPILOGUE_VEC) {
        p->rows_per_sample = ops_chance(r, 50) ? p->m : ceil_div(p->m, ops_random_between(r, 1, 3));
        p->vec_offset = ops_chance(r, 50) ? ops_random_between(r, 0, 9) : 4 * ops_random_between(r, 0, 9);
        p->vec_stride = ops_chance(r, 30) ? 0 : p->vec_offset + p->n + ops_random_between(r, 0, 3) * 4;
    }
}

/* Cuts a window of whole or partial lines out of the output. */
static void cut_window(ops_random *r, uint32_t total, uint32_t line, uint32_t *row0, uint32_t *rows) {
    *row0 = ops_random_between(r, 0, total - 1);
    *rows = ops_random_between(r, 1, total - *row0);
    if (ops_chance(r, 60) && total > line) { /* as compilers cut: between lines */
        *row0 = *row0 / line * line;
        *rows = ceil_div(*rows, line) * line;
        if (*rows > total - *row0) *rows = total - *row0;
    }
}

static void make_conv2d(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t channels[] = {3, 4, 8, 5, 13, 16, 32, 36, 40, 64, 72, 96};
    static const uint32_t sides[] = {1, 2, 3, 5, 8, 9, 12, 16, 17};
    static const uint32_t kernels[] = {1, 3, 3, 3, 3, 2, 5};
    conv2d_params *p = &params->conv2d;
    *p = (conv2d_params){.n = 1,
                         .h = 1,
                         .w = 1,
                         .c0 = 1,
                         .cout = 1,
                         .kh = 1,
                         .kw = 1,
                         .stride = 1,
                         .oh = 1,
                         .ow = 1,
                         .rows = 1};
    if (index == 0) return;
    p->n = ops_random_between(r, 1, 3);
    p->h = OPS_PICK(r, sides);
    p->w = OPS_PICK(r, sides);
    p->c0 = index % 5 == 1 ? 4 : index % 5 == 2 ? 3 : OPS_PICK(r, channels);
    p->c1 = ops_chance(r, 30) ? OPS_PICK(r, channels) : 0;
    p->cout = index % 5 == 3 ? 3 : index % 5 == 4 ? 4 : OPS_PICK(r, channels);
    if (index == 5) p->c0 = 320, p->cout = 132, p->n = 2;
    p->kh = OPS_PICK(r, kernels);
    p->kw = ops_chance(r, 80) ? p->kh : OPS_PICK(r, kernels);
    p->stride = ops_chance(r, 30) ? 2 : 1;
    p->flags = pick_epilogue(r, index, false);
    if (ops_chance(r, 25)) p->flags |= CONV_UPSAMPLE2;
    uint32_t scale = p->flags & CONV_UPSAMPLE2 ? 2 : 1, after_y, after_x;
    /* symmetric padding, or only below and to the right, or none */
    p->pad_top = ops_chance(r, 70) ? p->kh / 2 : 0;
    p->pad_left = ops_chance(r, 80) ? p->kw / 2 * (p->pad_top > 0) : 0;
    after_y = ops_chance(r, 80) ? p->kh / 2 : 0;
    after_x = ops_chance(r, 80) ? p->kw / 2 : 0;
    if (p->h * scale + p->pad_top + after_y < p->kh) after_y = p->kh - p->h * scale - p->pad_top;
    if (p->w * scale + p->pad_left + after_x < p->kw) after_x = p->kw - p->w * scale - p->pad_left;
    p->oh = (p->h * scale + p->pad_top + after_y - p->kh) / p->stride + 1;
    p->ow = (p->w * scale + p->pad_left + after_x - p->kw) / p->stride + 1;
    if (ops_chance(r, 15) && p->h * scale >= p->kh && p->w * scale >= p->kw)
        p->flags |= ops_chance(r, 50) ? CONV_WRAP_X | CONV_WRAP_Y : CONV_WRAP_X;
    p->row0 = 0;
    p->rows = p->n * p->oh * p->ow;
    if (ops_chance(r, 30)) cut_window(r, p->rows, p->ow, &p->row0, &p->rows);
    if (p->flags & EPILOGUE_VEC) {
        p->vec_offset = ops_chance(r, 50) ? ops_random_between(r, 0, 9) : 4 * ops_random_between(r, 0, 9);
        p->vec_stride = ops_chance(r, 30) ? 0 : p->vec_offset + p->cout + ops_random_between(r, 0, 3) * 4;
    }
}

static void make_attention(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t sizes[] = {8, 40, 64, 80, 160, 512, 1, 3, 16, 24, 48, 96, 128, 4};
    static const uint32_t lengths[] = {1, 2, 15, 16, 33, 64, 65, 77, 100, 144};
    attention_params *p = &params->attention;
    *p = (attention_params){.batch = 1, .heads = 1, .d = 1, .lq = 1, .lk = 1, .scale = 1};
    if (index > 0) {
        p->batch = ops_random_between(r, 1, 3);
        p->d = index <= 14 ? sizes[index - 1] : OPS_PICK(r, sizes);
        p->heads = p->d >= 160 ? ops_random_between(r, 1, 2) : ops_random_between(r, 1, 5);
        p->lq = OPS_PICK(r, lengths);
        p->lk = ops_chance(r, 40) ? 77 : ops_chance(r, 50) ? p->lq : OPS_PICK(r, lengths);
        p->flags = ops_chance(r, 30) ? ATTENTION_CAUSAL : 0;
        p->scale = (float)(ops_random_between(r, 5, 40) * 0.1) / (float)(p->d < 8 ? 1 : p->d / 8);
    }
    uint32_t width = p->heads * p->d, layout = index > 0 ? ops_random_between(r, 0, 2) : 0;
    p->q_stride = p->k_stride = p->v_stride = p->o_stride = width;
    if (layout == 1) { /* q, k and v side by side in one row */
        p->q_stride = p->k_stride = p->v_stride = 3 * width;
        p->k_offset = width;
        p->v_offset = 2 * width;
    } else if (layout == 2) { /* k and v side by side among others */
        p->k_stride = p->v_stride = 2 * width + 12;
        p->k_offset = 4;
        p->v_offset = 4 + width;
    }
}

static void pick_groups(ops_random *r, uint32_t *c0, uint32_t *c1, uint32_t *groups) {
    static const uint32_t counts[] = {32, 32, 32, 1, 2, 3, 8, 16};
    *groups = OPS_PICK(r, counts);
    uint32_t size = ops_random_between(r, 1, *groups > 8 ? 5 : 12), total = *groups * size;
    *c1 = total > 1 && ops_chance(r, 40) ? ops_random_between(r, 1, total - 1) : 0;
    if (*c1 && total % 8 == 0 && total > 8 && ops_chance(r, 60))
        *c1 = ops_random_between(r, 1, total / 4 - 1) * 4;
    *c0 = total - *c1;
}

static uint32_t pick_pixels(ops_random *r) {
    static const uint32_t pixels[] = {1, 2, 7, 16, 60, 64, 65, 128, 200, 256, 300};
    return OPS_PICK(r, pixels);
}

static void make_group_norm_stats(ops_random *r, uint32_t index, op_params *params) {
    group_norm_stats_params *p = &params->group_norm_stats;
    *p = (group_norm_stats_params){
        .n = 1, .hw = 1, .c0 = 1, .groups = 1, .chunks = 1, .rows_per_chunk = 1, .chunk_count = 1};
    if (index == 0) return;
    p->n = ops_random_between(r, 1, 3);
    p->hw = pick_pixels(r);
    pick_groups(r, &p->c0, &p->c1, &p->groups);
    p->rows_per_chunk =
        ops_chance(r, 50) ? ceil_div(p->hw, ops_random_between(r, 1, 5)) : ops_random_between(r, 1, p->hw);
    p->chunks = ceil_div(p->hw, p->rows_per_chunk);
    p->chunk_count = p->n * p->chunks;
    if (ops_chance(r, 30)) cut_window(r, p->n * p->chunks, 1, &p->chunk0, &p->chunk_count);
}

static void make_group_norm(ops_random *r, uint32_t index, op_params *params) {
    group_norm_params *p = &params->group_norm;
    *p = (group_norm_params){
        .n = 1, .hw = 1, .c0 = 1, .groups = 1, .chunks = 1, .rows_per_chunk = 1, .eps = 1e-5f, .rows = 1};
    if (index == 0) return;
    p->n = ops_random_between(r, 1, 3);
    p->hw = pick_pixels(r);
    pick_groups(r, &p->c0, &p->c1, &p->groups);
    p->rows_per_chunk = ceil_div(p->hw, ops_random_between(r, 1, 6));
    p->chunks = ceil_div(p->hw, p->rows_per_chunk);
    p->flags = ops_chance(r, 50) ? NORM_SILU : 0;
    p->eps = ops_chance(r, 50) ? 1e-6f : 1e-5f;
    p->rows = p->n * p->hw;
    if (ops_chance(r, 30)) cut_window(r, p->rows, p->hw, &p->row0, &p->rows);
}

static void make_layer_norm(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t widths[] = {1, 2, 5, 8, 31, 64, 100, 320, 640, 768, 1280, 1023};
    layer_norm_params *p = &params->layer_norm;
    *p = (layer_norm_params){.rows = 1, .c = 2, .eps = 1e-5f};
    if (index == 0) return;
    p->rows = ops_pick_rows(r);
    p->c = OPS_PICK(r, widths);
    if (p->c == 1) p->c = 4;
}

uint32_t ops_pick_count(ops_random *r) {
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 63, 64, 255, 256, 257, 1000, 1024, 4097, 10000};
    return OPS_PICK(r, counts);
}

static void make_unary(ops_random *r, uint32_t index, op_params *params) {
    unary_params *p = &params->unary;
    *p = (unary_params){.count = 1, .kind = index % UNARY_KINDS, .scale = 1};
    if (index == 0) return;
    p->count = ops_pick_count(r);
    if (p->kind == UNARY_RELU && p->count < 63) p->count = 63; /* a few values may all be cut off */
    if (ops_chance(r, 50)) {
        p->scale = (float)ops_random_uniform(r) * 3;
        p->shift = (float)ops_random_uniform(r);
    }
}

static void make_binary(ops_random *r, uint32_t index, op_params *params) {
    binary_params *p = &params->binary;
    *p = (binary_params){.count = 1, .b_count = 1, .kind = index % 2, .a_scale = 1, .b_scale = 1};
    if (index == 0) return;
    p->b_count = ops_pick_count(r);
    p->count = p->b_count * (ops_chance(r, 40) ? 1 : ops_random_between(r, 1, 5));
    if (ops_chance(r, 50)) {
        p->a_scale = (float)ops_random_uniform(r) * 2;
        p->b_scale = (float)ops_random_uniform(r) * 2;
    }
}

static void make_geglu(ops_random *r, uint32_t index, op_params *params) {
    params->geglu = (geglu_params){.rows = 1, .c = 1};
    if (index) params->geglu = (geglu_params){.rows = ops_pick_rows(r), .c = ops_pick_width(r)};
}

static void make_concat(ops_random *r, uint32_t index, op_params *params) {
    params->concat = (concat_params){.rows = 1, .c0 = 1, .c1 = 1};
    if (index)
        params->concat =
            (concat_params){.rows = ops_pick_rows(r), .c0 = ops_pick_width(r), .c1 = ops_pick_width(r)};
}

static void make_slice(ops_random *r, uint32_t index, op_params *params) {
    slice_params *p = &params->slice;
    *p = (slice_params){.rows = 1, .x_c = 1, .c = 1};
    if (index == 0) return;
    *p = (slice_params){.rows = ops_pick_rows(r), .c = ops_pick_width(r)};
    p->offset = ops_chance(r, 30)   ? 0
                : ops_chance(r, 50) ? ops_pick_width(r)
                                    : 4 * ops_random_between(r, 1, 9);
    p->x_c = p->offset + p->c + (ops_chance(r, 50) ? 0 : ops_pick_width(r));
}

static void make_upsample(ops_random *r, uint32_t index, op_params *params) {
    params->upsample = (upsample_params){.n = 1, .h = 1, .w = 1, .c = 1};
    if (index)
        params->upsample = (upsample_params){.n = ops_random_between(r, 1, 3),
                                             .h = ops_random_between(r, 1, 9),
                                             .w = ops_random_between(r, 1, 9),
                                             .c = ops_pick_width(r)};
}

static void make_pixel_shuffle(ops_random *r, uint32_t index, op_params *params) {
    params->pixel_shuffle = (pixel_shuffle_params){.n = 1, .h = 1, .w = 1, .c = 1, .block = 1};
    if (index)
        params->pixel_shuffle = (pixel_shuffle_params){.n = ops_random_between(r, 1, 3),
                                                       .h = ops_random_between(r, 1, 7),
                                                       .w = ops_random_between(r, 1, 7),
                                                       .c = ops_random_between(r, 1, 9),
                                                       .block = ops_random_between(r, 1, 5),
                                                       .inverse = ops_chance(r, 50)};
}

static void make_embedding(ops_random *r, uint32_t index, op_params *params) {
    embedding_params *p = &params->embedding;
    *p = (embedding_params){.rows = 1, .c = 1, .vocabulary = 1, .table_rows = 1};
    if (index == 0) return;
    p->c = ops_pick_width(r);
    p->vocabulary = ops_random_between(r, 1, 200);
    p->length = ops_chance(r, 70) ? 77 : 0;
    p->rows = p->length ? 77 * ops_random_between(r, 1, 2) : ops_pick_rows(r);
    p->table_rows = p->vocabulary;
    if (ops_chance(r, 40)) cut_window(r, p->vocabulary, 1, &p->table_first, &p->table_rows);
}

static void make_timestep_embedding(ops_random *r, uint32_t index, op_params *params) {
    static const uint32_t dims[] = {320, 256, 2, 5, 8, 33, 64};
    timestep_embedding_params *p = &params->timestep_embedding;
    *p = (timestep_embedding_params){.rows = 1, .dim = 2, .max_period = 10000, .scale = 1};
    if (index == 0) return;
    p->rows = ops_random_between(r, 1, 6);
    p->dim = OPS_PICK(r, dims);
    p->flags = ops_chance(r, 60) ? TIMESTEP_FLIP : 0;
    p->shift = p->dim > 4 && ops_chance(r, 40) ? 1 : 0;
}

static void make_gather_rows(ops_random *r, uint32_t index, op_params *params) {
    gather_rows_params *p = &params->gather_rows;
    *p = (gather_rows_params){.rows = 1, .c = 1, .block = 1, .x_rows = 1};
    if (index == 0) return;
    p->c = ops_pick_width(r);
    p->block = ops_chance(r, 50) ? 1 : ops_random_between(r, 2, 9);
    p->x_rows = p->block * ops_random_between(r, 1, 20);
    p->rows = p->block * ops_random_between(r, 1, 7);
}

static void make_sampler_input(ops_random *r, uint32_t index, op_params *params) {
    sampler_input_params *p = &params->sampler_input;
    *p = (sampler_input_params){.pixels = 1, .c = 1, .repeat = 1, .slots = 1, .calls = 1};
    if (index == 0) return;
    *p = (sampler_input_params){.pixels = pick_pixels(r),
                                .c = ops_chance(r, 60) ? 4 : ops_random_between(r, 1, 16),
                                .extra_c = ops_chance(r, 40) ? ops_random_between(r, 1, 5) : 0,
                                .repeat = ops_random_between(r, 1, 2),
                                .slots = ops_random_between(r, 1, 6),
                                .calls = ops_random_between(r, 1, 8)};
}

static void make_sampler_update(ops_random *r, uint32_t index, op_params *params) {
    sampler_update_params *p = &params->sampler_update;
    *p = (sampler_update_params){.count = 1, .repeat = 1, .slots = 1, .calls = 1};
    if (index == 0) return;
    *p = (sampler_update_params){.count = ops_pick_count(r),
                                 .repeat = ops_random_between(r, 1, 2),
                                 .slots = ops_random_between(r, 1, 6),
                                 .calls = ops_random_between(r, 1, 8),
                                 .noise_rows = ops_chance(r, 70) ? ops_random_between(r, 1, 4) : 0};
}

static void make_step_advance(ops_random *r, uint32_t index, op_params *params) {
    (void)r;
    (void)index;
    params->step_advance = (step_advance_params){0};
}

static void make_guidance(ops_random *r, uint32_t index, op_params *params) {
    guidance_params *p = &params->guidance;
    *p = (guidance_params){.samples = 1, .count = 1, .repeat = 1, .slots = 1, .calls = 1};
    if (index == 0) return;
    *p = (guidance_params){.samples = ops_random_between(r, 1, 3),
                           .count = ops_pick_count(r),
                           .repeat = ops_random_between(r, 1, 2),
                           .slots = ops_random_between(r, 1, 6),
                           .calls = ops_random_between(r, 1, 8),
                           .masked = ops_chance(r, 50),
                           .rescale = ops_chance(r, 60) ? 0.7f : 0};
}

static ops_generator *const generators[OP_COUNT] = {
#define GENERATOR(enumerator, name, params) [enumerator] = make_##name,
    OP_LIST(GENERATOR)
#undef GENERATOR
};

/* Lets the windows of a case begin close to (not always at) the first element they need. */
static void place_bases(ops_case *c, ops_random *r) {
    op_region regions[OP_MAX_BINDINGS];
    if (!op_regions(c->op, &c->params, regions)) return;
    uint32_t mask = ops_chance(r, 50) ? ~31u : ~0u;
    if (c->op == OP_CONV2D) {
        c->params.conv2d.x0_base = (uint32_t)regions[0].first & mask;
        c->params.conv2d.x1_base = (uint32_t)regions[1].first & mask;
        c->params.conv2d.out_base = (uint32_t)regions[6].first & mask;
    } else if (c->op == OP_GROUP_NORM_STATS) {
        c->params.group_norm_stats.x0_base = (uint32_t)regions[0].first & mask;
        c->params.group_norm_stats.x1_base = (uint32_t)regions[1].first & mask;
    } else if (c->op == OP_GROUP_NORM) {
        c->params.group_norm.x0_base = (uint32_t)regions[0].first & mask;
        c->params.group_norm.x1_base = (uint32_t)regions[1].first & mask;
        c->params.group_norm.out_base = (uint32_t)regions[5].first & mask;
    }
}

bool ops_case_complete(ops_case *c) {
    mzt_error error;
    memset(c->regions, 0, sizeof c->regions);
    memset(c->elements, 0, sizeof c->elements);
    if (op_check(c->op, &c->params, &error) < 0 || !op_regions(c->op, &c->params, c->regions)) return false;
    const op_info *info = op_get(c->op);
    for (uint32_t i = 0; i < info->binding_count; i++) {
        c->elements[i] = c->regions[i].end;
        switch (info->bindings[i].class_) {
        case OP_CLASS_ACTIVATION:
            c->types[i] = c->activation;
            break;
        case OP_CLASS_WEIGHT:
        case OP_CLASS_MATRIX:
            c->types[i] = c->weight;
            break;
        case OP_CLASS_F32:
            c->types[i] = DTYPE_F32;
            break;
        case OP_CLASS_U32:
            c->types[i] = DTYPE_U32;
            break;
        case OP_CLASS_ANY_FLOAT: /* the casts that plans hold: between f32 and the activation's type, and
                                    within it */
            c->types[i] = (c->index / 4 + i) % 3 == 0 ? DTYPE_F32 : c->activation;
            break;
        }
    }
    return true;
}

static uint32_t up_to(uint32_t value, uint32_t step) {
    return ceil_div(value, step) * step;
}

/* Sizes that matrices in blocks can have, near those that were drawn; see op_takes_blocks. */
static void fit_blocks(op o, op_params *p) {
    linear_params *l = &p->linear;
    conv2d_params *c = &p->conv2d;
    if (o == OP_LINEAR) {
        uint32_t k0 = up_to(l->k0, l->k1 ? 4 : 32);
        if (l->k1) l->k1 = up_to(k0 + l->k1, 32) - k0 ? up_to(k0 + l->k1, 32) - k0 : 32;
        l->k0 = k0;
        l->n = up_to(l->n, 4);
        l->vec_offset = up_to(l->vec_offset, 4);
        if (l->vec_stride) l->vec_stride = l->vec_offset + l->n + 8;
        return;
    }
    uint32_t step = c->kh * c->kw % 2 ? 32 : 8, c0 = up_to(c->c0, c->c1 ? 4 : step);
    if (c->c1) c->c1 = up_to(c0 + c->c1, step) - c0;
    c->c0 = c0;
    c->cout = up_to(c->cout, 4);
    c->vec_offset = up_to(c->vec_offset, 4);
    if (c->vec_stride) c->vec_stride = c->vec_offset + c->cout + 4;
}

void ops_case_make(op o, uint32_t index, dtype activation, dtype weight, ops_case *c) {
    memset(c, 0, sizeof *c);
    c->op = o;
    c->index = index;
    c->activation = activation;
    c->weight = weight;
    c->changing_weights = (o == OP_LINEAR || o == OP_CONV2D) && index % 4 == 3 && dtype_block(weight) == 1;
    for (uint64_t attempt = 0; attempt < 100; attempt++) { /* draws that op_check refuses are drawn again */
        ops_random r = ops_random_seed((uint64_t)o, index, attempt);
        memset(&c->params, 0, sizeof c->params);
        generators[o](&r, index, &c->params);
        if (dtype_block(weight) > 1) fit_blocks(o, &c->params);
        place_bases(c, &r);
        if (dtype_block(weight) > 1 && !op_takes_blocks(o, &c->params)) continue;
        if (ops_case_complete(c)) return;
    }
}

/* Names of the parameters of each op, from the same lists. */
#define WORD_NAME(name) #name,
#define NAMES(enumerator, name, params)                                                                      \
    static const char *const name##_names[] = {params(WORD_NAME, WORD_NAME)};
OP_LIST(NAMES)
#define NAMES_ROW(enumerator, name, params) [enumerator] = name##_names,
static const char *const *const parameter_names[OP_COUNT] = {OP_LIST(NAMES_ROW)};
#define FLOAT_FALSE(name) false,
#define FLOAT_TRUE(name)  true,
#define FLOATS(enumerator, name, params)                                                                     \
    static const bool name##_floats[] = {params(FLOAT_FALSE, FLOAT_TRUE)};
OP_LIST(FLOATS)
#define FLOATS_ROW(enumerator, name, params) [enumerator] = name##_floats,
static const bool *const parameter_floats[OP_COUNT] = {OP_LIST(FLOATS_ROW)};

const char *ops_case_describe(const ops_case *c, char *buffer, size_t size) {
    const op_info *info = op_get(c->op);
    int used = snprintf(buffer, size, "%s #%u %s/%s [", info->name, c->index, dtype_name(c->activation),
                        dtype_name(c->weight));
    for (uint32_t i = 1; i < info->param_size / 4 && used > 0 && (size_t)used < size; i++) {
        float value;
        memcpy(&value, &c->params.words[i], sizeof value);
        if (parameter_floats[c->op][i])
            used += snprintf(buffer + used, size - (size_t)used, " %s %g", parameter_names[c->op][i],
                             (double)value);
        else
            used += snprintf(buffer + used, size - (size_t)used, " %s %u", parameter_names[c->op][i],
                             c->params.words[i]);
    }
    if (used > 0 && (size_t)used + 2 < size) snprintf(buffer + used, size - (size_t)used, " ]");
    return buffer;
}
