/* A prompt in, pictures out; see generate.h. Drives the stages of generation.h, slice by slice. */
#include "pipeline/generate.h"

#include <string.h>

#include "base/threads.h"
#include "pipeline/generation.h"

/* Slices of a run that nobody else paces: how often progress is told and a cancellation seen. */
enum { SLICE_US = 20000 };

generate_phase generation_phase(const generation *g, double *share) {
    const generation_stage stage = g->stage < STAGE_COUNT ? g->stage : STAGE_COUNT - 1;
    const generate_phase phase = generation_stages[stage].phase;
    double done = g->stage < STAGE_COUNT ? g->index + g->share : 1, all = 1;
    if (stage == STAGE_TEXT) {
        all = g->prompts.encoders;
    } else if (stage == STAGE_STEPS) {
        const double repetitions = g->task.n ? g->task.progress.repetitions + g->task.progress.share : 0;
        done = g->denoiser.done + repetitions;
        all = g->denoiser.calls;
    } else if (phase == GENERATE_DECODE) {
        done += stage == STAGE_TRAJECTORY ? g->result.count : 0;
        if (stage == STAGE_WINDOWS) done = g->tiled + g->tile_share;
        all = g->result.count + g->result.trajectory_count;
    } else { /* stages of preparing count alike */
        done = stage - STAGE_ENCODE + (g->share < 1 ? g->share : 1);
        all = STAGE_SETUP - STAGE_ENCODE + 1;
    }
    *share = done < all ? done / all : 1;
    return phase;
}

uint32_t generation_steps(const generation *g) {
    if (g->stage != STAGE_STEPS || !g->task.n) return g->steps_done;
    const uint32_t calls = g->denoiser.done + g->task.progress.repetitions;
    if (calls == 0 || calls > g->denoiser.calls) return g->steps_done;
    const double *row = sampler_program_row(g->sampler, calls - 1);
    return (uint32_t)row[SAMPLER_ROW_STEP] + (row[SAMPLER_ROW_EMIT] != 0);
}

/* Tells how far it is; false cancels. */
static bool report(generation *g) {
    double share;
    const generate_request *r = g->request;
    const generate_phase phase = generation_phase(g, &share);
    return !r->progress || r->progress(r->user, phase, share, generation_steps(g), g->result.steps);
}

/* Ends the stage's run `index`. */
static mzt_status finish_run(generation *g) {
    const stage_functions *stage = &generation_stages[g->stage];
    if (stage->end) TRY(stage->end(g));
    g->task = (network_task){0};
    g->network = NULL;
    g->index++;
    g->share = 0;
    return MZT_OK;
}

/* After the decoder did not fit, whatever the estimate had said: in windows, if there is any limit to go by.
 */
static mzt_status decode_smaller(generation *g) {
    const executor_limits *limits = &g->owner->e->limits;
    const uint64_t limit = g->owner->memory_limit ? g->owner->memory_limit : limits->memory / 2;
    uint64_t weights, activations;
    if (g->stage != STAGE_DECODE || g->tiles || !limit || g->m->vae.tiny) return MZT_ERROR_OUT_OF_MEMORY;
    generator_release(g->owner);
    TRY(g->m->estimate_part(g->m, limits, g->owner->precision, &g->decoder, &weights, &activations,
                            g->error));
    return generation_use_windows(g, weights + activations, limit);
}

/* One slice of the stage's run `index`: makes its network, begins it, carries it on, or ends it. PENDING:
 * there is nothing to do before the device has done more, or before the next slice of time. */
static mzt_status work(generation *g, uint64_t budget_us) {
    const stage_functions *stage = &generation_stages[g->stage];
    if (stage->part && !g->network) {
        mzt_status status = generator_need(g->owner, stage->part(g), budget_us, &g->network, g->error);
        if (status != MZT_OK) {
            g->network = NULL;
            return status == MZT_ERROR_OUT_OF_MEMORY ? decode_smaller(g) : status;
        }
    }
    if (!g->task.n) TRY(stage->begin(g, &g->task));
    if (g->task.n) {
        mzt_status status = network_task_advance(&g->task, budget_us, g->error);
        g->share = g->task.repeat > 1 ? 0 : g->task.progress.share;
        if (status != MZT_OK) return status;
    }
    return finish_run(g);
}

static mzt_status slice(generation *g, uint64_t budget_us) {
    while (!generation_stages[g->stage].more(g)) {
        g->index = 0;
        if (++g->stage == STAGE_COUNT) return MZT_OK;
    }
    const stage_functions *stage = &generation_stages[g->stage];
    const double start = clock_seconds();
    double *const seconds[] = {&g->result.text_seconds, &g->result.prepare_seconds,
                               &g->result.denoise_seconds, &g->result.decode_seconds};
    const bool made = !stage->part || g->network;
    mzt_status status = work(g, budget_us);
    *seconds[stage->phase] += clock_seconds() - start;
    if (status < 0 && status != MZT_CANCELLED && stage->part && made)
        error_prefix(g->error, "%s: ", part_name((part_kind)stage->part(g)->kind));
    return status;
}

/* Remembers how it ended. */
static mzt_status settle(generation *g, mzt_status status, mzt_error *error) {
    g->status = status;
    if (status >= 0) return status;
    network_task_stop(&g->task);
    if (status == MZT_CANCELLED) error_set(&g->ended, status, "cancelled");
    g->ended.status = status;
    if (error) *error = g->ended;
    return status;
}

mzt_status generation_step(generation *g, uint64_t budget_us, mzt_error *error) {
    const double deadline = clock_seconds() + (double)budget_us * 1e-6;
    g->error = &g->ended;
    if (g->status < 0 && error) *error = g->ended;
    if (g->status != MZT_PENDING) return g->status;
    for (double left = (double)budget_us; left >= 0; left = (deadline - clock_seconds()) * 1e6) {
        if (atomic_load_explicit(&g->cancelled, memory_order_relaxed)) return settle(g, MZT_CANCELLED, error);
        mzt_status status = slice(g, (uint64_t)left);
        if (status < 0) return settle(g, status, error);
        if (g->stage == STAGE_COUNT) return settle(g, MZT_OK, error);
        if (!report(g)) return settle(g, MZT_CANCELLED, error);
        if (status == MZT_PENDING || left <= 0) break;
    }
    return MZT_PENDING;
}

mzt_status generation_wait(generation *g, uint64_t timeout_us, mzt_error *error) {
    mzt_status status = network_task_wait(&g->task, timeout_us, &g->ended);
    return status < 0 ? settle(g, status, error) : status;
}

static mzt_status run(generation *g, mzt_error *error) {
    mzt_status status = report(g) ? MZT_PENDING : settle(g, MZT_CANCELLED, error);
    while (status == MZT_PENDING) {
        status = generation_step(g, SLICE_US, error);
        if (status == MZT_PENDING && generation_wait(g, SLICE_US, error) < 0) status = g->status;
    }
    return status;
}

mzt_status pipeline_generate(const model *m, executor *e, const generate_request *request,
                             generate_result *result, mzt_error *error) {
    generator owner = generator_make(m, e, request->precision);
    generation *g;
    owner.turns = true; /* least memory: nothing is generated after it */
    *result = (generate_result){0};
    TRY(generation_create(&owner, request, &g, error));
    mzt_status status = run(g, error);
    if (status >= 0) {
        *result = g->result;
        g->result = (generate_result){0};
    }
    generation_destroy(g);
    generator_release(&owner);
    return status;
}

void generate_result_destroy(generate_result *result) {
    for (uint32_t i = 0; result->images && i < result->count; i++)
        image_free(result->host, &result->images[i]);
    for (uint32_t i = 0; result->trajectory && i < result->trajectory_count; i++)
        image_free(result->host, &result->trajectory[i]);
    if (result->host) {
        host_free(result->host, result->images);
        host_free(result->host, result->trajectory);
    }
    *result = (generate_result){0};
}
