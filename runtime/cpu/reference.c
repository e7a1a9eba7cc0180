/* The cpu-reference executor: the table of functions by op, and how many items each has. */
#include <stdatomic.h>

#include "cpu/reference.h"

static reference_function *const functions[OP_COUNT] = {
#define FUNCTION(enumerator, name, params) [enumerator] = reference_##name,
    OP_LIST(FUNCTION)
#undef FUNCTION
};

/* Independent items of a dispatch; see reference.h. */
static uint64_t count_items(op o, const op_params *p) {
    switch (o) {
    case OP_LINEAR:
        return p->linear.m;
    case OP_CONV2D:
        return p->conv2d.rows;
    case OP_ATTENTION:
        return (uint64_t)p->attention.batch * p->attention.heads * p->attention.lq;
    case OP_GROUP_NORM_STATS:
        return p->group_norm_stats.chunk_count;
    case OP_GROUP_NORM:
        return (uint64_t)p->group_norm.n * p->group_norm.groups;
    case OP_LAYER_NORM:
        return p->layer_norm.rows;
    case OP_UNARY:
        return p->unary.count;
    case OP_BINARY:
        return p->binary.count;
    case OP_GEGLU:
        return p->geglu.rows;
    case OP_CONCAT:
        return p->concat.rows;
    case OP_SLICE:
        return p->slice.rows;
    case OP_UPSAMPLE:
        return (uint64_t)p->upsample.n * p->upsample.h * p->upsample.w * 4;
    case OP_PIXEL_SHUFFLE:
        return (uint64_t)p->pixel_shuffle.n * p->pixel_shuffle.h * p->pixel_shuffle.w;
    case OP_EMBEDDING:
        return p->embedding.rows;
    case OP_TIMESTEP_EMBEDDING:
        return p->timestep_embedding.rows;
    case OP_GATHER_ROWS:
        return p->gather_rows.rows;
    case OP_SAMPLER_INPUT:
        return p->sampler_input.pixels;
    case OP_SAMPLER_UPDATE:
        return p->sampler_update.count;
    case OP_STEP_ADVANCE:
        return 1;
    case OP_GUIDANCE:
        return p->guidance.samples;
    case OP_TRANSPOSE_WEIGHT:
        return (uint64_t)p->transpose_weight.i * p->transpose_weight.kh * p->transpose_weight.kw;
    case OP_DILATE:
        return (uint64_t)p->dilate.n * p->dilate.oh * p->dilate.ow;
    case OP_WEIGHT_GRAD:
        return (uint64_t)p->weight_grad.splits * p->weight_grad.cout;
    case OP_COLUMN_SUM:
        return (uint64_t)p->column_sum.splits * p->column_sum.samples;
    case OP_REDUCE_SUM:
        return p->reduce_sum.count;
    case OP_UNARY_GRAD:
        return p->unary_grad.count;
    case OP_GEGLU_GRAD:
        return p->geglu_grad.rows;
    case OP_LAYER_NORM_GRAD:
        return p->layer_norm_grad.rows;
    case OP_LAYER_NORM_PARAM_GRAD:
        return p->layer_norm_param_grad.splits;
    case OP_GROUP_NORM_GRAD_STATS:
        return (uint64_t)p->group_norm_grad_stats.n * p->group_norm_grad_stats.chunks;
    case OP_GROUP_NORM_GRAD:
        return (uint64_t)p->group_norm_grad.n * p->group_norm_grad.groups;
    case OP_ATTENTION_STATS:
        return (uint64_t)p->attention_stats.batch * p->attention_stats.heads * p->attention_stats.lq;
    case OP_ATTENTION_GRAD:
        return (uint64_t)p->attention_grad.batch * p->attention_grad.heads *
               (p->attention_grad.kind == ATTENTION_GRAD_Q ? p->attention_grad.lq : p->attention_grad.lk);
    case OP_GATHER_ROWS_GRAD:
        return (uint64_t)p->gather_rows_grad.blocks * p->gather_rows_grad.block;
    case OP_UPSAMPLE_GRAD:
        return (uint64_t)p->upsample_grad.n * p->upsample_grad.h * p->upsample_grad.w;
    case OP_LOSS:
        return p->loss.parts;
    case OP_LOSS_GRAD:
        return p->loss_grad.count;
    case OP_SQUARE_SUM:
        return p->square_sum.parts;
    case OP_ADAMW:
        return p->adamw.count;
    case OP_ACCUMULATE:
        return p->accumulate.count;
    case OP_LOSS_SCALE:
        return 1;
    case OP_COUNT:
        break;
    }
    return 0;
}

typedef struct reference_job {
    const cpu_call *call;
    uint64_t items, sampled; /* of the dispatch; that are computed */
    atomic_bool failed;
} reference_job;

static void run_items(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    reference_job *job = argument;
    if (!functions[job->call->op](job->call, first, last)) atomic_store(&job->failed, true);
}

/* Item k of `sampled` is the one at (k + 1/2) / sampled of the way, so that ends and blocks of any size are
 * met. */
static void run_sampled_items(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    reference_job *job = argument;
    for (uint64_t k = first; k < last; k++) {
        uint64_t item = (uint64_t)(((double)k + 0.5) / (double)job->sampled * (double)job->items);
        if (!functions[job->call->op](job->call, item, item + 1)) atomic_store(&job->failed, true);
    }
}

/* `sampled` 0: all items. */
static mzt_status run_call(cpu_call *call, uint64_t sampled, mzt_error *error) {
    reference_job job = {.call = call, .items = count_items(call->op, call->params), .sampled = sampled};
    atomic_init(&job.failed, false);
    if (sampled && sampled < job.items)
        thread_pool_for(call->pool, sampled, 1, run_sampled_items, &job);
    else
        thread_pool_for(call->pool, job.items, 1, run_items, &job);
    if (atomic_load(&job.failed))
        return error_set(error, MZT_ERROR_OUT_OF_MEMORY, "no memory for the rows of one %s",
                         op_get(call->op)->name);
    return MZT_OK;
}

mzt_status reference_run(cpu_program *g, cpu_call *call, mzt_error *error) {
    (void)g;
    return run_call(call, 0, error);
}

static mzt_status run_sampled(cpu_program *g, cpu_call *call, mzt_error *error) {
    return run_call(call, cpu_executor_of(g)->sampled, error);
}

mzt_status cpu_reference_create(const base_host *host, executor **out, mzt_error *error) {
    static const cpu_backend backend = {.run = reference_run};
    return cpu_executor_create(host, &backend, 0, "reference in double precision", "cpu-reference", out,
                               error);
}

mzt_status cpu_reference_create_sampled(const base_host *host, uint64_t items, executor **out,
                                        mzt_error *error) {
    static const cpu_backend backend = {.run = run_sampled};
    TRY(cpu_executor_create(host, &backend, 0, "reference in double precision, sampled", "cpu-reference",
                            out, error));
    ((cpu_executor *)(void *)*out)->sampled = items;
    return MZT_OK;
}
