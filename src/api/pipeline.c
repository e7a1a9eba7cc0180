/* Pipelines: a model's networks on a device. */
#include "api/api.h"

static mzt_status check_model(const model *m, mzt_error *error) {
    static const model_component needed[] = {MODEL_UNET, MODEL_VAE, MODEL_TEXT_ENCODER};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!m->weights[needed[i]])
            return error_set(error, MZT_ERROR_NOT_FOUND, "%s has no %s", m->path,
                             model_component_name(needed[i]));
    return MZT_OK;
}

/* The networks for jobs like `shape`, found by making such a job. */
static mzt_status list_parts(mzt_pipeline *p, const mzt_job_params *shape, mzt_error *error) {
    image pictures[2] = {{0}, {0}};
    const part_spec *specs[PART_KIND_COUNT];
    generate_request request;
    struct job_texts *texts;
    generation *g;
    TRY(api_request(p->host, shape, &request, &texts, pictures, error));
    request.precision = p->generator.precision;
    mzt_status status = generation_create(&p->generator, &request, &g, error);
    image_free(p->host, &pictures[0]);
    image_free(p->host, &pictures[1]);
    api_texts_destroy(p->host, texts);
    if (status < 0) return status;
    p->part_count = generation_parts(g, specs);
    for (uint32_t i = 0; i < p->part_count; i++)
        p->parts[i] = *specs[i];
    generation_destroy(g);
    return MZT_OK;
}

static mzt_status configure(mzt_pipeline *p, const mzt_model *opened, const mzt_pipeline_params *params,
                            mzt_error *error) {
    mzt_pipeline_params own = {.struct_size = sizeof own};
    precision wanted;
    dtype type;
    if (params) TRY(api_take("mzt_pipeline_params", params, &own, sizeof own, error));
    if (own.residency != MZT_RESIDENCY_ALL && own.residency != MZT_RESIDENCY_TURNS)
        return error_set(error, MZT_ERROR_INVALID, "residency %d: expected MZT_RESIDENCY_ALL or _TURNS",
                         (int)own.residency);
    TRY(api_precision(own.precision, &wanted, error));
    TRY(precision_resolve(wanted, &p->device->e->limits, &type, error));
    TRY(check_model(opened->m, error));
    p->generator = generator_make(opened->m, p->device->e, wanted);
    p->generator.turns = own.residency == MZT_RESIDENCY_TURNS;
    p->generator.memory_limit = own.memory_limit;
    return list_parts(p, own.shape, error);
}

mzt_status mzt_pipeline_create(mzt_model *opened, mzt_device *device, const mzt_pipeline_params *params,
                               mzt_pipeline **pipeline, mzt_error *error) {
    if (pipeline) *pipeline = NULL;
    if (!opened || !device || !pipeline)
        return api_missing(error, !opened ? "model" : !device ? "device" : "pipeline");
    if (&opened->context->host != device->host)
        return error_set(error, MZT_ERROR_INVALID, "model and device are of different contexts");
    mzt_pipeline *p = host_calloc(device->host, 1, sizeof *p);
    if (!p) return error_memory(error, "pipeline", sizeof *p);
    p->host = device->host;
    p->device = device;
    mzt_status status = configure(p, opened, params, error);
    if (status < 0)
        mzt_pipeline_destroy(p);
    else
        *pipeline = p;
    return status;
}

static mzt_status prepare(mzt_pipeline *p, uint64_t budget_us, mzt_error *error) {
    if (p->generator.turns) return MZT_OK;
    for (uint32_t i = 0; i < p->part_count; i++) {
        network *n;
        mzt_status status = generator_need(&p->generator, &p->parts[i], budget_us, &n, error);
        if (status != MZT_OK) return status;
    }
    return MZT_OK;
}

mzt_status mzt_pipeline_prepare(mzt_pipeline *pipeline, uint64_t budget_us, mzt_error *error) {
    if (!pipeline) return api_missing(error, "pipeline");
    lock_take(pipeline->device->lock);
    mzt_status status = prepare(pipeline, budget_us ? budget_us : BUDGET_UNLIMITED, error);
    api_account(pipeline);
    lock_give(pipeline->device->lock);
    return status;
}

mzt_status mzt_pipeline_release(mzt_pipeline *pipeline, mzt_error *error) {
    mzt_status status = MZT_OK;
    if (!pipeline) return api_missing(error, "pipeline");
    lock_take(pipeline->device->lock);
    if (pipeline->job) {
        status = error_set(error, MZT_ERROR_INVALID, "the pipeline has a job: destroy it first");
    } else {
        generator_release(&pipeline->generator);
        api_account(pipeline);
    }
    lock_give(pipeline->device->lock);
    return status;
}

void mzt_pipeline_destroy(mzt_pipeline *pipeline) {
    if (!pipeline) return;
    lock_take(pipeline->device->lock);
    generator_release(&pipeline->generator);
    api_account(pipeline);
    lock_give(pipeline->device->lock);
    host_free(pipeline->host, pipeline);
}
