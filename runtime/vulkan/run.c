/* Submits segments and takes note of their end; see run.h. */
#include "vulkan/run.h"

#include <math.h>

#include "base/threads.h"

#define SLICE_MINIMUM 100e-6 /* seconds: what is left of a budget is not worth less */

static vulkan_executor *owner_of(const vulkan_program *g) {
    return vulkan_executor_of(g);
}

/* ----------------------------------------------------------------------------------------- ended segments --
 */

static mzt_status read_timestamps(vulkan_program *g, VkQueryPool pool, uint32_t count, uint64_t *stamps,
                                  mzt_error *error) {
    vulkan_device *device = owner_of(g)->device;
    VkResult result = device->vk.GetQueryPoolResults(device->handle, pool, 0, count, count * sizeof *stamps,
                                                     stamps, sizeof *stamps, VK_QUERY_RESULT_64_BIT);
    TRY(vulkan_device_check(device, result, "vkGetQueryPoolResults", error));
    if (result == VK_SUCCESS) return MZT_OK;
    return error_set(error, MZT_ERROR_DEVICE, "vkGetQueryPoolResults: no timestamps after the fence");
}

/* Seconds between two timestamps, of which only some bits may count. */
static double stamp_seconds(const vulkan_device *device, uint64_t from, uint64_t to) {
    uint32_t bits = device->physical.timestamp_bits;
    uint64_t mask = bits < 64 ? ((uint64_t)1 << bits) - 1 : UINT64_MAX;
    return (double)((to - from) & mask) * (double)device->physical.properties.limits.timestampPeriod * 1e-9;
}

/* Adds the times of a timed segment's launches to their dispatches. */
static mzt_status take_times(vulkan_program *g, const vulkan_flight *f, double seconds, mzt_error *error) {
    vulkan_executor *owner = owner_of(g);
    const vulkan_recording *recording = f->recording;
    const vulkan_segment *segment = &recording->segments[f->segment];
    double *sums = g->run->control->seconds;
    uint64_t stamps[RECORDING_QUERIES];
    if (!owner->timestamps) { /* then there is one launch a segment */
        sums[recording->launches[segment->launch].dispatch - recording->first] += seconds;
        return MZT_OK;
    }
    TRY(read_timestamps(g, owner->timestamps, segment->launch_count + 1, stamps, error));
    for (uint32_t i = 0; i < segment->launch_count; i++) {
        uint32_t dispatch = recording->launches[segment->launch + i].dispatch;
        sums[dispatch - recording->first] += stamp_seconds(owner->device, stamps[i], stamps[i + 1]);
    }
    return MZT_OK;
}

/* How long a segment took that is seen to have ended `now`. Whoever looks only once a frame sees that late:
 * then timestamps tell, or else it is taken to be as long as expected, so far as that can be true. */
static mzt_status segment_seconds(vulkan_program *g, const vulkan_flight *f, double now, double *seconds,
                                  mzt_error *error) {
    const vulkan_recording *recording = f->recording;
    double begin = f->start > g->run->ended ? f->start : g->run->ended;
    *seconds = now - begin;
    if (!recording->slice) return MZT_OK;
    if (recording->stamps) {
        uint64_t stamps[2];
        TRY(read_timestamps(g, recording->stamps, 2, stamps, error));
        double measured = stamp_seconds(owner_of(g)->device, stamps[0], stamps[1]);
        if (measured < *seconds) *seconds = measured;
        return MZT_OK;
    }
    double expected = recording->segments[f->segment].expected, least = f->unfinished - begin;
    if (expected < *seconds) *seconds = expected > least ? expected : least;
    return MZT_OK;
}

/* Tells the watcher, and takes note for program_advance. */
static void report(vulkan_run *r, const vulkan_flight *f, double seconds) {
    const vulkan_segment *segment = &f->recording->segments[f->segment];
    const vulkan_launch *end = &f->recording->launches[segment->launch + segment->launch_count - 1];
    r->progress.repetitions = f->last ? f->repetition + 1 : f->repetition;
    r->progress.share = f->last ? 0 : (double)(end->dispatch - r->first) / r->count;
    r->progress.segments++;
    if (seconds > r->progress.longest) r->progress.longest = seconds;
    if (!r->control || !r->control->keep_going || r->cancelled) return;
    r->cancelled = !r->control->keep_going(r->control->user, r->progress.repetitions, r->progress.share);
}

/* Waits for the oldest segment until `deadline` (PENDING), takes its time and asks whether to go on. */
static mzt_status finish_oldest(vulkan_program *g, double deadline, mzt_error *error) {
    vulkan_run *r = g->run;
    vulkan_flight *f = &r->flights[r->oldest];
    mzt_status status = vulkan_fence_wait(owner_of(g)->device, &f->fence, deadline, error);
    double now = clock_seconds(), seconds = 0;
    if (status == MZT_PENDING) f->unfinished = now;
    if (status != MZT_OK) return status;
    r->oldest = 1 - r->oldest;
    r->pending--;
    TRY(segment_seconds(g, f, now, &seconds, error));
    r->ended = now;
    vulkan_recording_measured(f->recording, f->segment, seconds);
    if (f->recording->timed) TRY(take_times(g, f, seconds, error));
    report(r, f, seconds);
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------- submissions --
 */

static vulkan_flight *free_flight(vulkan_run *r) {
    return &r->flights[r->pending ? 1 - r->oldest : r->oldest];
}

/* Submits a segment and moves on to where the next one begins. */
static mzt_status submit(vulkan_program *g, vulkan_recording *recording, uint32_t segment, uint32_t dispatch,
                         uint32_t group, mzt_error *error) {
    vulkan_run *r = g->run;
    vulkan_flight *f = free_flight(r);
    f->recording = recording;
    f->segment = segment;
    f->repetition = r->repetition;
    f->last = dispatch - r->first == r->count;
    f->start = f->unfinished = clock_seconds();
    TRY(vulkan_device_submit(owner_of(g)->device, recording->segments[segment].commands, NULL, &f->fence,
                             error));
    r->pending++;
    r->dispatch = f->last ? r->first : dispatch;
    r->group = f->last ? 0 : group;
    r->repetition += f->last;
    return MZT_OK;
}

static mzt_status submit_slice(vulkan_program *g, double seconds, mzt_error *error) {
    vulkan_run *r = g->run;
    vulkan_flight *f = free_flight(r);
    if (!f->slice) TRY(vulkan_recording_create_slice(g, &f->slice, error));
    TRY(vulkan_recording_slice(f->slice, r->first, r->count, r->dispatch, r->group, seconds, error));
    TRY(submit(g, f->slice, 0, f->slice->next_dispatch, f->slice->next_group, error));
    r->segment = r->dispatch == r->first && r->group == 0 ? 0 : UINT32_MAX;
    return MZT_OK;
}

static mzt_status submit_replay(vulkan_program *g, mzt_error *error) {
    vulkan_run *r = g->run;
    vulkan_recording *recording = r->replay;
    if (r->segment == recording->segment_count) TRY(vulkan_recording_extend(recording, error));
    uint32_t segment = r->segment, dispatch = recording->next_dispatch, group = recording->next_group;
    if (segment + 1 < recording->segment_count) {
        const vulkan_launch *next = &recording->launches[recording->segments[segment + 1].launch];
        dispatch = next->dispatch;
        group = next->first;
    }
    TRY(submit(g, recording, segment, dispatch, group, error));
    r->segment = recording->complete && segment + 1 == recording->segment_count ? 0 : segment + 1;
    return MZT_OK;
}

/* The recording of the whole range, remade where its segments turned out far from what is wanted. While times
 * are still unknown, or measured one by one, segments go one at a time. */
static mzt_status prepare_replay(vulkan_program *g, mzt_error *error) {
    vulkan_run *r = g->run;
    if (!r->replay) TRY(vulkan_recording_find(g, r->first, r->count, &r->replay, error));
    bool begins = r->segment == 0 && !vulkan_recording_fits(r->replay);
    while (r->pending > 0 && (begins || r->pending == 2 || !r->replay->complete || r->replay->timed))
        TRY(finish_oldest(g, INFINITY, error));
    if (begins && !vulkan_recording_fits(r->replay)) vulkan_recording_rebuild(r->replay);
    return MZT_OK;
}

/* To the end, or to where the watcher says no. */
static mzt_status run_to_end(vulkan_program *g, mzt_error *error) {
    vulkan_run *r = g->run;
    while (r->repetition < r->repeat && !r->cancelled) {
        if (r->segment == UINT32_MAX) { /* sliced so far, in the middle of a repetition */
            while (r->pending == 2)
                TRY(finish_oldest(g, INFINITY, error));
            if (!r->cancelled) TRY(submit_slice(g, INFINITY, error));
            continue;
        }
        TRY(prepare_replay(g, error));
        if (!r->cancelled) TRY(submit_replay(g, error));
    }
    while (r->pending > 0)
        TRY(finish_oldest(g, INFINITY, error));
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------- slices --
 */

/* Seconds that what is on its way will still take, as far as is known. */
static double seconds_ahead(const vulkan_run *r) {
    double now = clock_seconds(), sum = 0;
    for (uint32_t i = 0; i < r->pending; i++) {
        const vulkan_flight *f = &r->flights[i ? 1 - r->oldest : r->oldest];
        double begin = f->start > r->ended ? f->start : r->ended, spent = i ? 0 : now - begin;
        double expected = f->recording->segments[f->segment].expected;
        if (spent < expected) sum += expected - spent;
    }
    return sum;
}

static mzt_status advance_slices(vulkan_program *g, double budget, mzt_error *error) {
    vulkan_run *r = g->run;
    mzt_status status = MZT_OK;
    while (r->pending > 0 && status == MZT_OK)
        status = finish_oldest(g, -INFINITY, error);
    if (status < 0) return status;
    while (r->repetition < r->repeat && !r->cancelled && r->pending < 2) {
        double room = budget - seconds_ahead(r);
        if (r->pending > 0 && room < SLICE_MINIMUM + budget / 4) break;
        TRY(submit_slice(g, room > SLICE_MINIMUM ? room : SLICE_MINIMUM, error));
    }
    return r->pending > 0 ? MZT_PENDING : MZT_OK;
}

/* The status of a run that came to its end as `status`. Nothing is on its way afterwards. */
static mzt_status end_run(vulkan_program *g, mzt_status status, mzt_error *error) {
    vulkan_run *r = g->run;
    for (; r->pending > 0; r->pending--, r->oldest = 1 - r->oldest)
        vulkan_fence_settle(owner_of(g)->device, &r->flights[r->oldest].fence);
    if (status == MZT_OK && r->cancelled)
        return error_set(error, MZT_CANCELLED, "cancelled while running dispatches %u + %u", r->first,
                         r->count);
    return status;
}

/* --------------------------------------------------------------------------------------------- interface --
 */

mzt_status vulkan_run_begin(vulkan_program *g, uint32_t first, uint32_t count, uint32_t repeat,
                            mzt_error *error) {
    vulkan_device *device = owner_of(g)->device;
    TRY(vulkan_device_alive(device, error));
    if (!g->run) g->run = host_calloc(device->host, 1, sizeof *g->run);
    if (!g->run) return error_memory(error, "run", sizeof *g->run);
    vulkan_run *r = g->run;
    for (int i = 0; i < 2; i++)
        if (!r->flights[i].fence.handle) TRY(vulkan_fence_create(device, &r->flights[i].fence, error));
    r->first = r->dispatch = first;
    r->count = count;
    r->repeat = count ? repeat : 0;
    r->repetition = r->group = r->segment = 0;
    r->replay = NULL;
    r->control = NULL;
    r->ended = 0;
    r->cancelled = false;
    r->progress = (run_progress){0};
    return MZT_OK;
}

mzt_status vulkan_run_advance(vulkan_program *g, uint64_t budget_us, run_progress *progress,
                              mzt_error *error) {
    mzt_status status = vulkan_device_alive(owner_of(g)->device, error);
    if (status == MZT_OK)
        status = budget_us == BUDGET_UNLIMITED ? run_to_end(g, error)
                                               : advance_slices(g, (double)budget_us * 1e-6, error);
    if (status == MZT_OK && !g->run->cancelled) g->run->progress.repetitions = g->run->repeat;
    *progress = g->run->progress;
    return status == MZT_PENDING ? status : end_run(g, status, error);
}

mzt_status vulkan_run_wait(vulkan_program *g, double deadline, mzt_error *error) {
    const vulkan_run *r = g->run;
    vulkan_device *device = owner_of(g)->device;
    TRY(vulkan_device_alive(device, error));
    if (r->pending == 0) return MZT_OK;
    const vulkan_flight *f =
        &r->flights[r->pending == 2 ? 1 - r->oldest : r->oldest]; /* the one that ends last */
    return vulkan_fence_peek(device, &f->fence, deadline, error);
}

void vulkan_run_cancel(vulkan_program *g) {
    g->run->cancelled = true;
}

mzt_status vulkan_run_whole(vulkan_program *g, uint32_t first, uint32_t count, const run_control *control,
                            mzt_error *error) {
    TRY(vulkan_run_begin(g, first, count, control->repeat ? control->repeat : 1, error));
    if (count == 0) return MZT_OK;
    vulkan_run *r = g->run;
    r->control = control;
    if (control->seconds) TRY(vulkan_recording_create(g, first, count, true, &r->replay, error));
    mzt_status status = end_run(g, run_to_end(g, error), error);
    if (control->seconds) vulkan_recording_destroy(r->replay);
    r->replay = NULL;
    r->control = NULL;
    return status;
}

void vulkan_run_destroy(vulkan_program *g) {
    vulkan_run *r = g->run;
    if (!r) return;
    for (int i = 0; i < 2; i++) {
        vulkan_fence_destroy(owner_of(g)->device, &r->flights[i].fence);
        vulkan_recording_destroy(r->flights[i].slice);
    }
    host_free(g->base.owner->host, r);
    g->run = NULL;
}
