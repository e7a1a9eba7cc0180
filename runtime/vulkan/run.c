/* Submits segments and waits for them; see run.h. Two are on their way at a time, so that the device does not
 * fall idle while the host looks at the one that ended; while times are still unknown, or measured one by
 * one, it is one at a time. */
#include "vulkan/run.h"

#include "base/threads.h"
#include "vulkan/recording.h"

/* A submitted segment. Its fence is the executor's of the same index. */
typedef struct flight {
    uint32_t segment, repetition;
    bool last; /* of its repetition */
    double start;
} flight;

typedef struct runner {
    vulkan_executor *owner;
    vulkan_recording *recording;
    const run_control *control;
    flight flights[2];
    uint32_t oldest, pending; /* flights[oldest], and the other where pending is 2 */
    double ended;             /* when the last segment ended */
    bool cancelled;
} runner;

/* Adds the time between neighbouring timestamps to the launches' dispatches. */
static mzt_status read_timestamps(runner *r, const vulkan_segment *segment, mzt_error *error) {
    vulkan_device *device = r->owner->device;
    uint64_t stamps[RECORDING_QUERIES];
    uint32_t bits = device->physical.timestamp_bits, count = segment->launch_count + 1;
    uint64_t mask = bits < 64 ? ((uint64_t)1 << bits) - 1 : UINT64_MAX;
    VkResult result =
        device->vk.GetQueryPoolResults(device->handle, r->owner->timestamps, 0, count, count * sizeof *stamps,
                                       stamps, sizeof *stamps, VK_QUERY_RESULT_64_BIT);
    TRY(vulkan_device_check(device, result, "vkGetQueryPoolResults", error));
    if (result != VK_SUCCESS)
        return error_set(error, MZT_ERROR_DEVICE, "vkGetQueryPoolResults: no timestamps after the fence");
    double period = (double)device->physical.properties.limits.timestampPeriod * 1e-9;
    for (uint32_t i = 0; i < segment->launch_count; i++) {
        uint32_t dispatch = r->recording->launches[segment->launch + i].dispatch;
        r->control->seconds[dispatch - r->recording->first] +=
            (double)((stamps[i + 1] - stamps[i]) & mask) * period;
    }
    return MZT_OK;
}

static void ask(runner *r, const flight *f) {
    const vulkan_segment *segment = &r->recording->segments[f->segment];
    const vulkan_launch *end = &r->recording->launches[segment->launch + segment->launch_count - 1];
    double share = (double)(end->dispatch - r->recording->first) / r->recording->count;
    uint32_t finished = f->last ? f->repetition + 1 : f->repetition;
    if (!r->control->keep_going || r->cancelled) return;
    r->cancelled = !r->control->keep_going(r->control->user, finished, f->last ? 0 : share);
}

/* Waits for the oldest segment, takes its time and asks whether to go on. */
static mzt_status finish_oldest(runner *r, mzt_error *error) {
    const flight *f = &r->flights[r->oldest];
    TRY(vulkan_device_wait(r->owner->device, r->owner->fences[r->oldest], error));
    r->oldest = 1 - r->oldest;
    r->pending--;
    double now = clock_seconds(), seconds = now - (f->start > r->ended ? f->start : r->ended);
    const vulkan_segment *segment = &r->recording->segments[f->segment];
    r->ended = now;
    vulkan_recording_measured(r->recording, f->segment, seconds);
    if (r->recording->timed && r->owner->timestamps) {
        TRY(read_timestamps(r, segment, error));
    } else if (r->recording->timed) { /* then there is one launch a segment */
        r->control->seconds[r->recording->launches[segment->launch].dispatch - r->recording->first] +=
            seconds;
    }
    ask(r, f);
    return MZT_OK;
}

static mzt_status submit(runner *r, uint32_t segment, uint32_t repetition, mzt_error *error) {
    uint32_t slot = r->pending ? 1 - r->oldest : r->oldest;
    bool last = r->recording->complete && segment + 1 == r->recording->segment_count;
    r->flights[slot] = (flight){segment, repetition, last, clock_seconds()};
    TRY(vulkan_device_submit(r->owner->device, r->recording->segments[segment].commands,
                             r->owner->fences[slot], error));
    r->pending++;
    return MZT_OK;
}

static mzt_status run_once(runner *r, uint32_t repetition, mzt_error *error) {
    vulkan_recording *recording = r->recording;
    bool fresh = !recording->complete;
    for (uint32_t i = 0; !recording->complete || i < recording->segment_count; i++) {
        uint32_t most = fresh || recording->timed ? 1 : 2;
        while (r->pending >= most)
            TRY(finish_oldest(r, error));
        if (r->cancelled) return MZT_OK;
        if (i == recording->segment_count) TRY(vulkan_recording_extend(recording, error));
        TRY(submit(r, i, repetition, error));
    }
    if (!fresh && vulkan_recording_fits(recording)) return MZT_OK;
    while (r->pending > 0)
        TRY(finish_oldest(r, error)); /* now all times are known */
    if (!vulkan_recording_fits(recording)) vulkan_recording_rebuild(recording);
    return MZT_OK;
}

static mzt_status run_all(runner *r, mzt_error *error) {
    uint32_t repeat = r->control->repeat ? r->control->repeat : 1;
    for (uint32_t i = 0; i < repeat && !r->cancelled; i++)
        TRY(run_once(r, i, error));
    while (r->pending > 0)
        TRY(finish_oldest(r, error));

    return MZT_OK;
}

mzt_status vulkan_run(vulkan_program *g, uint32_t first, uint32_t count, const run_control *control,
                      mzt_error *error) {
    runner r = {.owner = vulkan_executor_of(g), .control = control};
    if (count == 0) return MZT_OK;
    if (control->seconds)
        TRY(vulkan_recording_create(g, first, count, true, &r.recording, error));
    else
        TRY(vulkan_recording_find(g, first, count, &r.recording, error));
    mzt_status status = run_all(&r, error);
    for (; r.pending > 0; r.pending--, r.oldest = 1 - r.oldest) {
        vulkan_device_settle(r.owner->device, r.owner->fences[r.oldest]);
    }
    if (control->seconds) vulkan_recording_destroy(r.recording);
    if (status == MZT_OK && r.cancelled) {
        return error_set(error, MZT_CANCELLED, "cancelled while running dispatches %u + %u", first, count);
    }
    return status;
}
