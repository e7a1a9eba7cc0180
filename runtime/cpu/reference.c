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
    case OP_COUNT:
        break;
    }
    return 0;
}

typedef struct reference_job {
    const cpu_call *call;
    atomic_bool failed;
} reference_job;

static void run_items(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    reference_job *job = argument;
    if (!functions[job->call->op](job->call, first, last)) atomic_store(&job->failed, true);
}

mzt_status reference_run(cpu_program *g, cpu_call *call, mzt_error *error) {
    (void)g;
    reference_job job = {.call = call};
    atomic_init(&job.failed, false);
    thread_pool_for(call->pool, count_items(call->op, call->params), 1, run_items, &job);
    if (atomic_load(&job.failed))
        return error_set(error, MZT_ERROR_OUT_OF_MEMORY, "no memory for the rows of one %s",
                         op_get(call->op)->name);
    return MZT_OK;
}

mzt_status cpu_reference_create(const base_host *host, executor **out, mzt_error *error) {
    static const cpu_backend backend = {.run = reference_run};
    return cpu_executor_create(host, &backend, 0, "reference in double precision", "cpu-reference", out,
                               error);
}
