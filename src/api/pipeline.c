/* Pipelines: a model's networks on a device. */
#include "api/api.h"

static mzt_status check_model(const model *m, mzt_error *error) {
    static const struct {
        model_component component;
        const char *remedy;
    } needed[] = {{MODEL_UNET, ""},
                  {MODEL_VAE, ": give one with --vae FILE"},
                  {MODEL_TEXT_ENCODER, ": give one with --text-encoder FILE"},
                  {MODEL_TEXT_ENCODER_2, ": give one with --text-encoder FILE"}};
    const size_t count = model_is_xl(m) ? 4 : 3;
    for (size_t i = 0; i < count; i++)
        if (!model_has(m, needed[i].component))
            return error_set(error, MZT_ERROR_NOT_FOUND, "%s has no %s%s", m->path,
                             model_component_name(needed[i].component), needed[i].remedy);
    return MZT_OK;
}

mzt_status api_list_parts(generator *owner, const base_host *host, const mzt_job_params *shape,
                          part_spec parts[PART_KIND_COUNT], uint32_t *count, mzt_error *error) {
    image pictures[2] = {{0}, {0}};
    const part_spec *found[PART_KIND_COUNT];
    generate_request request;
    struct job_texts *texts;
    generation *g;
    *count = 0;
    TRY(api_request(host, shape, &request, &texts, pictures, error));
    request.precision = owner->precision;
    if (!request.prompt[0]) request.prompt = ","; /* stands for any: without one, nothing would be guided */
    mzt_status status = generation_create(owner, &request, &g, error);
    image_free(host, &pictures[0]);
    image_free(host, &pictures[1]);
    api_texts_destroy(host, texts);
    if (status < 0) return status;
    *count = generation_parts(g, found);
    for (uint32_t i = 0; i < *count; i++)
        parts[i] = *found[i];
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
    return api_list_parts(&p->generator, p->host, own.shape, p->parts, &p->part_count, error);
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
