/* What a job would take of a device. */
#include "api/api.h"

/* Adds one network: `runs` times its last phase, once those before it. */
static mzt_status add_part(const generator *owner, const executor_limits *limits, const part_spec *spec,
                           uint64_t runs, mzt_estimate *sum, uint64_t *largest, mzt_error *error) {
    const graph_options options = {.max_range = limits->max_range};
    dtype type;
    plan *p;
    TRY(part_type(owner->m, limits, owner->precision, (part_kind)spec->kind, &type, error));
    graph *g = part_describe(owner->m, type, spec, error);
    if (!g) return MZT_ERROR_OUT_OF_MEMORY;
    mzt_status status = graph_compile(g, &options, &p, error);
    graph_destroy(g);
    if (status < 0) return error_prefix(error, "%s: ", part_name((part_kind)spec->kind));
    const uint64_t bytes = p->weight_bytes + p->arena_bytes;
    sum->weights += p->weight_bytes;
    sum->activations += p->arena_bytes;
    if (bytes > *largest) *largest = bytes;
    for (uint32_t i = 0; i < p->phase_count; i++)
        sum->flops += plan_flops(p, i) * (i + 1 == p->phase_count ? runs : 1);
    plan_destroy(p);
    return MZT_OK;
}

static mzt_status estimate(const generation *g, const executor_limits *limits, mzt_estimate *sum,
                           mzt_error *error) {
    const part_spec *specs[PART_KIND_COUNT];
    const uint32_t count = generation_parts(g, specs);
    uint64_t largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t runs = 1;
        if (specs[i]->kind == PART_DENOISER) runs = g->sampler->calls;
        if (specs[i]->kind == PART_DECODER) runs = (uint64_t)g->result.count + g->result.trajectory_count;
        TRY(add_part(g->owner, limits, specs[i], runs, sum, &largest, error));
    }
    sum->peak = g->owner->turns ? largest : sum->weights + sum->activations;
    return MZT_OK;
}

mzt_status mzt_model_estimate(mzt_model *opened, const mzt_device *device,
                              const mzt_pipeline_params *pipeline, const mzt_job_params *job,
                              mzt_estimate *out, mzt_error *error) {
    mzt_pipeline_params own = {.struct_size = sizeof own};
    mzt_estimate sum = {.struct_size = sizeof sum};
    image pictures[2] = {{0}, {0}};
    generate_request request;
    struct job_texts *texts;
    generation *g;
    precision wanted;
    if (!opened || !device) return api_missing(error, opened ? "device" : "model");
    if (pipeline) TRY(api_take("mzt_pipeline_params", pipeline, &own, sizeof own, error));
    TRY(api_precision(own.precision, &wanted, error));
    generator owner = generator_make(opened->m, device->e, wanted);
    owner.turns = own.residency == MZT_RESIDENCY_TURNS;
    TRY(api_request(&opened->host, job ? job : own.shape, &request, &texts, pictures, error));
    request.precision = wanted;
    if (!request.prompt[0]) request.prompt = ","; /* stands for any */
    mzt_status status = generation_create(&owner, &request, &g, error);
    if (status >= 0) status = estimate(g, &device->e->limits, &sum, error);
    if (status >= 0) status = api_give("mzt_estimate", &sum, sizeof sum, out, error);
    generation_destroy(g);
    image_free(&opened->host, &pictures[0]);
    image_free(&opened->host, &pictures[1]);
    api_texts_destroy(&opened->host, texts);
    return status;
}
