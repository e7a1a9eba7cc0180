/* The `cpu` executor's table of kernels by op, its packed weights and its scratch. */
#include "cpu/fast.h"
#include "cpu/reference.h"

#include <stdio.h>

/* Ops that are not here run as in cpu-reference: copies, look-ups and the sampler's few thousand elements, at
 * memory's pace. */
static const fast_op *const table[OP_COUNT] = {
    [OP_LINEAR] = &fast_linear,
    [OP_CONV2D] = &fast_conv2d,
    [OP_ATTENTION] = &fast_attention,
    [OP_GROUP_NORM_STATS] = &fast_group_norm_stats,
    [OP_GROUP_NORM] = &fast_group_norm,
    [OP_LAYER_NORM] = &fast_layer_norm,
    [OP_UNARY] = &fast_unary,
    [OP_BINARY] = &fast_binary,
    [OP_GEGLU] = &fast_geglu,

    [OP_WEIGHT_GRAD] = &fast_weight_grad,
    [OP_ATTENTION_STATS] = &fast_attention_stats,
    [OP_ATTENTION_GRAD] = &fast_attention_grad,
    [OP_GROUP_NORM_GRAD_STATS] = &fast_group_norm_grad_stats,
    [OP_GROUP_NORM_GRAD] = &fast_group_norm_grad,
    [OP_LAYER_NORM_GRAD] = &fast_layer_norm_grad,
    [OP_LAYER_NORM_PARAM_GRAD] = &fast_layer_norm_param_grad,
    [OP_UNARY_GRAD] = &fast_unary_grad,
    [OP_GEGLU_GRAD] = &fast_geglu_grad,
    [OP_TRANSPOSE_WEIGHT] = &fast_transpose_weight,
    [OP_DILATE] = &fast_dilate,
    [OP_UPSAMPLE_GRAD] = &fast_upsample_grad,
    [OP_COLUMN_SUM] = &fast_column_sum,
    [OP_REDUCE_SUM] = &fast_reduce_sum,
    [OP_GATHER_ROWS_GRAD] = &fast_gather_rows_grad,
    [OP_LOSS] = &fast_loss,
    [OP_LOSS_GRAD] = &fast_loss_grad,
    [OP_SQUARE_SUM] = &fast_square_sum,
    [OP_ADAMW] = &fast_adamw,
    [OP_ACCUMULATE] = &fast_accumulate,
};

static const fast_op *find_op(op o) {
    static const fast_op by_reference = {0};
    return table[o] ? table[o] : &by_reference;
}

static mzt_status fast_run(cpu_program *g, cpu_call *call, mzt_error *error) {
    const fast_op *o = find_op(call->op);
    if (!o->run) return reference_run(g, call, error);
    if (o->run(fast_program_of(g), call)) return MZT_OK;
    return error_set(error, MZT_ERROR_INTERNAL, "oneDNN failed to run a %s", op_get(call->op)->name);
}

static void fast_release(cpu_program *g) {
    fast_program *f = fast_program_of(g);
    const base_host *host = g->base.owner->host;
    if (!f) return;
    for (uint32_t i = 0; i < f->matrix_count; i++)
        host_free(host, f->matrices[i].data);
    for (uint32_t i = 0; i < f->matrix_kernel_count; i++)
        for (int j = 0; j < 2; j++)
            onednn_conv_destroy(f->matrix_kernels[i].native[j]);
    onednn_destroy(f->native);
    host_free(host, f->matrices);
    host_free(host, f->matrix_kernels);
    host_free(host, f->shared);
    host_free(host, f->private_);
    host_free(host, f);
    g->state = NULL;
}

static mzt_status allocate_scratch(cpu_program *g, mzt_error *error) {
    fast_program *f = fast_program_of(g);
    const base_host *host = g->base.owner->host;
    for (uint32_t i = 0; i < g->base.plan->dispatch_count; i++) {
        const fast_op *o = find_op(g->calls[i].op);
        fast_scratch need = o->scratch ? o->scratch(f, &g->calls[i]) : (fast_scratch){0};
        if (need.shared > f->shared_bytes) f->shared_bytes = need.shared;
        if (need.private_ > f->private_bytes) f->private_bytes = need.private_;
    }
    uint64_t all;
    if (f->private_bytes > UINT64_MAX - 64 ||
        !size_mul(f->private_bytes = align_up(f->private_bytes, 64), f->workers, &all) || all > SIZE_MAX ||
        f->shared_bytes > SIZE_MAX)
        return error_memory(error, "scratch", UINT64_MAX);
    f->shared = host_calloc(host, (size_t)f->shared_bytes, 1);
    f->private_ = host_calloc(host, (size_t)all, 1);
    if (!f->shared || !f->private_) return error_memory(error, "scratch", f->shared_bytes + all);
    return MZT_OK;
}

static mzt_status fast_seal(cpu_program *g, mzt_error *error) {
    const base_host *host = g->base.owner->host;
    fast_program *f = host_calloc(host, 1, sizeof *f);
    if (!f) return error_memory(error, "program", sizeof *f);
    g->state = f;
    f->kernels = kernels_choose();
    f->workers = thread_pool_size(cpu_executor_of(g)->pool);
    f->matrices = host_calloc(host, g->base.plan->dispatch_count, sizeof *f->matrices);
    f->matrix_kernels = host_calloc(host, g->base.plan->dispatch_count, sizeof *f->matrix_kernels);
    mzt_status status = MZT_OK;
    if (!f->matrices || !f->matrix_kernels)
        status = error_memory(error, "table of matrices", g->base.plan->dispatch_count);
    if (cpu_executor_of(g)->native != DTYPE_COUNT) f->native = onednn_create(host, f->workers);
    for (uint32_t i = 0; status >= 0 && i < g->base.plan->dispatch_count; i++)
        if (find_op(g->calls[i].op)->seal) status = find_op(g->calls[i].op)->seal(g, &g->calls[i], error);
    if (status >= 0) status = allocate_scratch(g, error);
    if (status < 0) fast_release(g);
    return status;
}

static uint64_t fast_memory(const cpu_program *g) {
    const fast_program *f = g->state;
    return f ? f->packed_bytes + f->shared_bytes + f->private_bytes * f->workers : 0;
}

mzt_status cpu_create_native(const base_host *host, uint32_t threads, dtype native, executor **out,
                             mzt_error *error) {
    static const cpu_backend backend = {.run = fast_run,
                                        .seal = fast_seal,
                                        .release = fast_release,
                                        .read_weight = fast_unpack,
                                        .memory = fast_memory};
    char name[64];
    snprintf(name, sizeof name, "CPU%s%s%s", *kernels_choose()->name ? ", " : "", kernels_choose()->name,
             native != DTYPE_COUNT ? ", oneDNN" : "");
    TRY(cpu_executor_create(host, &backend, threads, name, "cpu", out, error));
    ((cpu_executor *)(void *)*out)->native = native;
    return MZT_OK;
}

mzt_status cpu_create(const base_host *host, uint32_t threads, executor **out, mzt_error *error) {
    return cpu_create_native(host, threads, onednn_has_bf16() ? DTYPE_BF16 : DTYPE_COUNT, out, error);
}
