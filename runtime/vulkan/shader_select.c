/* Chooses a shader variant for a dispatch: element types, what the device has, the alignment of the shapes,
 * then what suits the kind of device and wastes least. */
#include "vulkan/shader_training.h"

/* A software Vulkan stops a shader silently after 65,535 loop iterations in all (Mesa's llvmpipe); stay well
 * below. */
#define ITERATIONS_MAX 60000u

/* group_norm.comp keeps the statistics of this many groups in shared memory. */
#define NORM_GROUPS_MAX 512u

/* Workgroups that a GPU should get before larger tiles are worth it. */
#define ENOUGH_GROUPS 96u

static bool all_quads(const uint32_t *values, uint32_t count) {
    uint32_t low = 0;
    for (uint32_t i = 0; i < count; i++)
        low |= values[i];
    return (low & 3u) == 0;
}

#define QUADS(...)                                                                                           \
    all_quads((const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Whether SHADER_SHAPE_VEC4 holds: everything that becomes part of an element index is a multiple of 4. */
static bool is_vec4(op o, const op_params *p) {
    switch (o) {
    case OP_LINEAR:
        return QUADS(p->linear.n, p->linear.k0, p->linear.k1, p->linear.vec_stride, p->linear.vec_offset);
    case OP_CONV2D:
        return QUADS(p->conv2d.c0, p->conv2d.c1, p->conv2d.cout, p->conv2d.vec_stride, p->conv2d.vec_offset,
                     p->conv2d.x0_base, p->conv2d.x1_base, p->conv2d.out_base);
    case OP_ATTENTION:
        return QUADS(p->attention.d, p->attention.q_stride, p->attention.k_stride, p->attention.v_stride,
                     p->attention.o_stride, p->attention.q_offset, p->attention.k_offset,
                     p->attention.v_offset);
    case OP_GROUP_NORM_STATS: {
        const group_norm_stats_params *g = &p->group_norm_stats;
        return QUADS(g->c0, g->c1, (g->c0 + g->c1) / g->groups, g->x0_base, g->x1_base);
    }
    case OP_GROUP_NORM: {
        const group_norm_params *g = &p->group_norm;
        return QUADS(g->c0, g->c1, (g->c0 + g->c1) / g->groups, g->x0_base, g->x1_base, g->out_base);
    }
    case OP_LAYER_NORM:
        return QUADS(p->layer_norm.c);
    case OP_UNARY:
        return QUADS(p->unary.count);
    case OP_BINARY:
        return QUADS(p->binary.count, p->binary.b_count);
    case OP_GEGLU:
        return QUADS(p->geglu.c);
    case OP_CONCAT:
        return QUADS(p->concat.c0, p->concat.c1);
    case OP_SLICE:
        return QUADS(p->slice.x_c, p->slice.offset, p->slice.c);
    case OP_UPSAMPLE:
        return QUADS(p->upsample.c);
    case OP_PIXEL_SHUFFLE:
        return QUADS(p->pixel_shuffle.c);
    default:
        return false;
    }
}

static uint64_t divide_up(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

/* Workgroups of a matrix product. With GEGLU half of a tile's columns are gates. */
static uint64_t matrix_groups(const shader_variant *v, uint64_t rows, uint64_t columns, bool geglu) {
    return divide_up(rows, v->tile_m) * divide_up(columns, geglu ? v->tile_n / 2 : v->tile_n);
}

/* Elements that an element-wise op of generation writes; 0 for the others. op_check and op_extents hold them
 * below 2^32. */
static uint64_t item_count(op o, const op_params *p) {
    switch (o) {
    case OP_UNARY:
        return p->unary.count;
    case OP_BINARY:
        return p->binary.count;
    case OP_GEGLU:
        return (uint64_t)p->geglu.rows * p->geglu.c;
    case OP_CONCAT:
        return (uint64_t)p->concat.rows * (p->concat.c0 + p->concat.c1);
    case OP_SLICE:
        return (uint64_t)p->slice.rows * p->slice.c;
    case OP_UPSAMPLE:
        return 4 * (uint64_t)p->upsample.n * p->upsample.h * p->upsample.w * p->upsample.c;
    case OP_PIXEL_SHUFFLE:
        return (uint64_t)p->pixel_shuffle.n * p->pixel_shuffle.h * p->pixel_shuffle.w * p->pixel_shuffle.c *
               p->pixel_shuffle.block * p->pixel_shuffle.block;
    case OP_EMBEDDING:
        return (uint64_t)p->embedding.rows * p->embedding.c;
    case OP_TIMESTEP_EMBEDDING:
        return (uint64_t)p->timestep_embedding.rows * p->timestep_embedding.dim;
    case OP_GATHER_ROWS:
        return (uint64_t)p->gather_rows.rows * p->gather_rows.c;
    case OP_SAMPLER_INPUT:
        return (uint64_t)p->sampler_input.repeat * p->sampler_input.pixels *
               (p->sampler_input.c + p->sampler_input.extra_c);
    case OP_SAMPLER_UPDATE:
        return p->sampler_update.count;
    case OP_STEP_ADVANCE:
        return 1;
    default:
        return 0;
    }
}

static uint64_t group_count(const shader_variant *v, const op_params *p) {
    bool direct = v->class_ != SHADER_CLASS_GPU;
    switch ((op)v->op) {
    case OP_LINEAR:
        return matrix_groups(v, p->linear.m, p->linear.n, p->linear.flags & EPILOGUE_GEGLU);
    case OP_CONV2D:
        return matrix_groups(v, p->conv2d.rows, p->conv2d.cout, false);
    case OP_ATTENTION:
        return (uint64_t)p->attention.batch * p->attention.heads * divide_up(p->attention.lq, v->tile_m);
    case OP_GROUP_NORM_STATS:
        return divide_up((uint64_t)p->group_norm_stats.chunk_count * p->group_norm_stats.groups, v->tile_m);
    case OP_GROUP_NORM: {
        uint64_t tiles = divide_up(p->group_norm.rows, v->tile_m);
        return direct ? divide_up(tiles * p->group_norm.groups, v->local_size) : tiles;
    }
    case OP_LAYER_NORM:
        return divide_up(p->layer_norm.rows, v->tile_m);
    case OP_GUIDANCE:
        return p->guidance.samples;
    default: {
        uint64_t items = item_count((op)v->op, p);
        if (items == 0) return shader_training_groups(v, p);
        return divide_up(v->shape & SHADER_SHAPE_VEC4 ? items / 4 : items, v->tile_m);
    }
    }
}

/* Loop iterations of one invocation, where shapes can make them many. */
static uint64_t iteration_count(const shader_variant *v, const op_params *p) {
    uint64_t width = v->shape & SHADER_SHAPE_VEC4 ? 4 : 1,
             across = v->class_ == SHADER_CLASS_CPU ? 1 : v->local_size;
    switch ((op)v->op) {
    case OP_GROUP_NORM_STATS: {
        const group_norm_stats_params *g = &p->group_norm_stats;
        uint64_t elements = (uint64_t)g->rows_per_chunk * ((g->c0 + g->c1) / g->groups);
        return 2 * divide_up(elements / width, across) + 64;
    }
    case OP_LAYER_NORM:
        return 3 * divide_up(p->layer_norm.c / width, across) + 64;
    case OP_GUIDANCE:
        return 3 * divide_up(p->guidance.count, v->local_size) + 64;
    default:
        return shader_training_iterations(v, p);
    }
}

/* Whether the variant can run this dispatch on this device at all, element types aside. */
static bool is_able(const shader_device *device, const shader_variant *v, const op_params *p) {
    if ((v->needs & SHADER_NEEDS_STORAGE16) && !device->storage16) return false;
    if ((v->needs & SHADER_NEEDS_F16) && !device->f16) return false;
    if ((v->needs & SHADER_NEEDS_SUBGROUP) && !device->subgroup_arithmetic) return false;
    if ((v->needs & SHADER_NEEDS_SHARED32K) && device->shared_bytes < 32768) return false;
    if (v->local_size > device->max_invocations) return false;
    if ((v->shape & SHADER_SHAPE_VEC4) && !is_vec4((op)v->op, p)) return false;
    if (device->is_cpu && iteration_count(v, p) > ITERATIONS_MAX) return false;
    if (v->op == OP_ATTENTION && v->tile_n < p->attention.d) return false;
    if (v->op == OP_GROUP_NORM && v->class_ == SHADER_CLASS_GPU && p->group_norm.groups > NORM_GROUPS_MAX)
        return false;
    /* Longer waves than one radian per unit are made in fixed point that has no room for shorter ones. */
    if (v->op == OP_TIMESTEP_EMBEDDING && p->timestep_embedding.max_period < 1.0f) return false;
    return true;
}

/* What running a variant costs, to compare variants of one op: lower is better. Classes and vector loads
 * outweigh tiles. */
static double cost(const shader_device *device, const shader_variant *v, const op_params *p) {
    double factor = 1;
    if (v->class_ == SHADER_CLASS_CPU) factor *= device->is_cpu ? 1 : 64;
    if (v->class_ == SHADER_CLASS_GPU) factor *= device->is_cpu ? 16 : 1;
    if (v->class_ == SHADER_CLASS_ANY) factor *= 4;
    if (!(v->shape & SHADER_SHAPE_VEC4)) factor *= 3;
    if (v->op == OP_ATTENTION) return factor * v->tile_n;
    if (v->op == OP_REDUCE_SUM) return factor * shader_training_cost(v, p);
    if (v->op != OP_LINEAR && v->op != OP_CONV2D) return factor;
    /* A tile costs what its area costs, and a few workgroups leave a GPU idle. Larger tiles fetch less for
     * each product. */
    double groups = (double)group_count(v, p), area = (double)v->tile_m * v->tile_n;
    double busy = groups < ENOUGH_GROUPS && !device->is_cpu ? groups / ENOUGH_GROUPS : 1;
    return factor * groups * area * (1 + 16.0 / v->tile_m) / busy;
}

static mzt_status unsupported(const plan *p, const plan_dispatch *dispatch, dtype weight, mzt_error *error) {
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "%s (%s): no shader for activations %s and weights %s of these sizes",
                     plan_string(p, dispatch->node), op_get((op)dispatch->op)->name,
                     dtype_name((dtype)p->activation), dtype_name(weight));
}

static dtype binding_type(const plan *p, const plan_dispatch *dispatch, uint32_t binding) {
    return (dtype)p->buffers[dispatch->bindings[binding].buffer].dtype;
}

mzt_status shader_select(const shader_device *device, const plan *p, const plan_dispatch *dispatch,
                         const shader_variant **variant, uint32_t *groups, mzt_error *error) {
    dtype activation = (dtype)p->activation, weight = (dtype)p->weight;
    if (dispatch->op == OP_UNARY) { /* input and output */
        activation = binding_type(p, dispatch, 0);
        weight = binding_type(p, dispatch, 1);
    }
    if (dispatch->op == OP_LINEAR || dispatch->op == OP_CONV2D)
        weight = binding_type(p, dispatch, 2); /* its own */
    if (shader_training_reads_words((op)dispatch->op)) weight = activation;
    const shader_variant *best = NULL;
    double best_cost = 0;
    for (uint32_t i = 0; i < shader_variant_count; i++) {
        const shader_variant *v = &shader_variants[i];
        if (v->op != dispatch->op || (v->activation >= 0 && v->activation != (int32_t)activation) ||
            (v->weight >= 0 && v->weight != (int32_t)weight) || !is_able(device, v, &dispatch->params))
            continue;
        double price = cost(device, v, &dispatch->params);
        if (!best || price < best_cost) {
            best = v;
            best_cost = price;
        }
    }
    if (!best) return unsupported(p, dispatch, weight, error);
    uint64_t count = group_count(best, &dispatch->params);
    if (count > UINT32_MAX)
        return error_set(
            error, MZT_ERROR_UNSUPPORTED, "%s (%s): %llu workgroups, at most 2^32 - 1 are possible",
            plan_string(p, dispatch->node), op_get((op)dispatch->op)->name, (unsigned long long)count);
    *variant = best;
    *groups = (uint32_t)count;
    return MZT_OK;
}
