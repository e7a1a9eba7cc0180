/* Jobs: making pictures, a slice of time at a call. */
#include <string.h>

#include "api/api.h"
#include "base/threads.h"

/* Slices of mzt_job_run: how long a cancellation may go unseen on a processor, and the longest sleep. */
enum { SLICE_US = 10000, SLEEP_US = 2000 };

static void publish(mzt_job *job) {
    double share, eta = -1;
    const generation *g = job->generation;
    const generate_phase phase = generation_phase(g, &share);
    const bool done = g->status == MZT_OK;
    const double now = clock_seconds(), elapsed = job->start > 0 ? now - job->start : 0;
    if (phase == GENERATE_DENOISE && share > 0) eta = g->result.denoise_seconds * (1 - share) / share;
    if (phase == GENERATE_DECODE && share > 0) eta = g->result.decode_seconds * (1 - share) / share;
    api_store(&job->phase, done ? MZT_PHASE_DONE : (double)phase);
    api_store(&job->share, done ? 1 : share);
    api_store(&job->step, generation_steps(g));
    api_store(&job->elapsed, elapsed);
    api_store(&job->eta, done ? 0 : eta);
}

static mzt_progress current(const mzt_job *job) {
    return (mzt_progress){.struct_size = sizeof(mzt_progress),
                          .phase = (mzt_phase)api_load(&job->phase),
                          .step = (uint32_t)api_load(&job->step),
                          .steps = job->generation->result.steps,
                          .share = api_load(&job->share),
                          .elapsed_seconds = api_load(&job->elapsed),
                          .eta_seconds = api_load(&job->eta)};
}

static bool on_progress(void *user, generate_phase phase, double share, uint32_t step, uint32_t steps) {
    mzt_job *job = user;
    (void)phase;
    (void)share;
    (void)step;
    (void)steps;
    publish(job);
    if (!job->progress) return true;
    const mzt_progress now = current(job);
    return job->progress(job->user, job, &now) == 0;
}

/* Makes the networks that stay on the device. */
static mzt_status make_networks(mzt_pipeline *p, const generation *g, mzt_error *error) {
    const part_spec *specs[PART_KIND_COUNT];
    const uint32_t count = p->generator.turns ? 0 : generation_parts(g, specs);
    for (uint32_t i = 0; i < count; i++) {
        network *n;
        TRY(generator_need(&p->generator, specs[i], BUDGET_UNLIMITED, &n, error));
    }
    return MZT_OK;
}

/* With the device's lock held. */
static mzt_status create(mzt_job *job, mzt_pipeline *p, const mzt_job_params *params, mzt_error *error) {
    image pictures[2] = {{0}, {0}};
    generate_request request;
    if (p->job) return error_set(error, MZT_ERROR_INVALID, "the pipeline has a job: destroy it first");
    TRY(api_request(p->host, params, &request, &job->texts, pictures, error));
    request.precision = p->generator.precision;
    request.progress = on_progress;
    request.user = job;
    mzt_status status = generation_create(&p->generator, &request, &job->generation, error);
    if (status >= 0) status = make_networks(p, job->generation, error);
    api_account(p);
    job->had_picture = request.init_image != NULL;
    job->had_mask = request.mask != NULL;
    job->request = request;
    job->request.init_image = job->request.mask = NULL;
    image_free(p->host, &pictures[0]);
    image_free(p->host, &pictures[1]);
    return status;
}

static void destroy(mzt_job *job) {
    const base_host *host = job->host;
    generation_destroy(job->generation);
    api_texts_destroy(host, job->texts);
    host_free(host, job);
}

mzt_status mzt_job_create(mzt_pipeline *pipeline, const mzt_job_params *params, mzt_job **job,
                          mzt_error *error) {
    if (job) *job = NULL;
    if (!pipeline || !job) return api_missing(error, pipeline ? "job" : "pipeline");
    mzt_job *j = host_calloc(pipeline->host, 1, sizeof *j);
    if (!j) return error_memory(error, "job", sizeof *j);
    j->host = pipeline->host;
    j->pipeline = pipeline;
    lock_take(pipeline->device->lock);
    mzt_status status = create(j, pipeline, params, error);
    if (status < 0) {
        destroy(j);
    } else {
        mzt_job_params own;
        mzt_job_params_init(&own, sizeof own);
        if (params) api_take("mzt_job_params", params, &own, sizeof own, NULL);
        j->progress = own.progress;
        j->user = own.user;
        publish(j);
        pipeline->job = j;
        *job = j;
    }
    lock_give(pipeline->device->lock);
    return status;
}

/* With the device's lock held. */
static mzt_status step(mzt_job *job, uint64_t budget_us, mzt_error *error) {
    if (job->start == 0) job->start = clock_seconds();
    mzt_status status = generation_step(job->generation, budget_us, error);
    publish(job);
    api_account(job->pipeline);
    return status;
}

mzt_status mzt_job_step(mzt_job *job, uint64_t budget_us, mzt_error *error) {
    if (!job) return api_missing(error, "job");
    lock_take(job->pipeline->device->lock);
    mzt_status status = step(job, budget_us, error);
    lock_give(job->pipeline->device->lock);
    return status;
}

mzt_status mzt_job_run(mzt_job *job, mzt_error *error) {
    mzt_status status = MZT_PENDING;
    if (!job) return api_missing(error, "job");
    while (status == MZT_PENDING) {
        lock_take(job->pipeline->device->lock);
        status = step(job, SLICE_US, error);
        if (status == MZT_PENDING && generation_wait(job->generation, SLEEP_US, error) < 0)
            status = job->generation->status;
        lock_give(job->pipeline->device->lock);
    }
    return status;
}

void mzt_job_cancel(mzt_job *job) {
    if (job) atomic_store_explicit(&job->generation->cancelled, true, memory_order_relaxed);
}

mzt_status mzt_job_progress(const mzt_job *job, mzt_progress *progress, mzt_error *error) {
    if (!job) return api_missing(error, "job");
    const mzt_progress now = current(job);
    return api_give("mzt_progress", &now, sizeof now, progress, error);
}

void mzt_job_destroy(mzt_job *job) {
    if (!job) return;
    mzt_pipeline *p = job->pipeline;
    lock_take(p->device->lock);
    p->job = NULL;
    destroy(job);
    lock_give(p->device->lock);
}
