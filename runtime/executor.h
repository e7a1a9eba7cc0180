/* An executor runs plans on one device. Two kinds exist, which never see each other: runtime/vulkan/ and runtime/cpu/.
 * Nothing above this header knows which one it talks to.
 *
 *   executor *e;  device_open(host, "vulkan:0", &e, &error);
 *   program *g;   executor_prepare(e, plan, &g, &error);
 *   for each weight and input:  program_write(g, buffer, 0, data, size, &error);
 *   program_seal(g, &error);                        // all weights are there
 *   program_run(g, first, count, &control, &error); // a range of dispatches, `repeat` times
 *   program_read(g, buffer, 0, data, size, &error);
 *   program_destroy(g); executor_destroy(e);
 *
 * The same without ever blocking for longer than the caller allows, for hosts that must draw a frame meanwhile:
 *
 *   executor_prepare_begin(e, plan, &g, &error);
 *   program_queue_write(g, buffer, 0, data, size, &error); ... program_queue_seal(g, &error);
 *   while (program_prepare_advance(g, 2000, NULL, &error) == MZT_PENDING) draw_a_frame();
 *   program_begin(g, first, count, repeat, &error);
 *   while (program_advance(g, 2000, &progress, &error) == MZT_PENDING) draw_a_frame();
 *
 * Both ways give the same bits. Thread-safety: different executors are independent. One executor and its programs belong to
 * one thread at a time. */
#ifndef RUNTIME_EXECUTOR_H
#define RUNTIME_EXECUTOR_H

#include "plan/plan.h"

typedef struct executor executor;
typedef struct program program;

/* What a device can do, as far as the compiler of plans needs to know. */
typedef struct executor_limits {
    char name[256];        /* "llvmpipe (LLVM 15.0.6, 256 bits)" */
    char spec[64];         /* how to name it on a command line: "cpu", "vulkan:0" */
    char driver[256];      /* driver name and version; "" for CPU executors */
    uint32_t tier;         /* 0, 1, 2, ... of docs/architecture.md; CPU executors: 0 */
    bool is_gpu;           /* a real (discrete, integrated or virtual) GPU, not a CPU that pretends */
    bool is_discrete;      /* with memory of its own */
    bool f16, bf16;        /* activations may be stored so */
    uint64_t max_range;    /* bytes one binding may show */
    uint64_t max_allocation;
    uint64_t memory;       /* bytes of the device's own memory, 0 if unknown */
} executor_limits;

/* How a run is watched. NULL means: once, unwatched. */
typedef struct run_control {
    uint32_t repeat; /* times to run the range; 0 means 1 */
    /* Called between segments, on the calling thread, with the number of finished repetitions and the share of the current
     * one (0...1). Returning false stops the run, which then returns MZT_CANCELLED. May be NULL. */
    bool (*keep_going)(void *user, uint32_t repetitions, double share);
    void *user;
    /* If not NULL: [count] seconds spent in each dispatch, added up over repetitions. May slow the run down. */
    double *seconds;
} run_control;

/* How far a sliced run is; see program_advance. */
typedef struct run_progress {
    uint32_t repetitions; /* finished ones */
    double share;         /* of the current one that is finished, 0 ... 1 */
    uint32_t segments;    /* finished so far: pieces of work that could not be interrupted */
    double longest;       /* seconds of the longest of them */
} run_progress;

#define BUDGET_UNLIMITED UINT64_MAX

struct executor {
    const struct executor_functions *functions;
    const base_host *host;
    executor_limits limits;
};

struct program_queue;

struct program {
    executor *owner;
    const plan *plan;            /* borrowed: must outlive the program */
    struct program_queue *queue; /* NULL: nothing was ever queued */
    bool unbuilt;                /* executor_functions.build has not finished yet */
    bool running;                /* between program_begin and the end of that run */
    bool broken;                 /* preparing it has failed */
};

/* What an executor implements. Deadlines are in clock_seconds; INFINITY means to wait for the device where needed. Functions
 * that take one return MZT_PENDING when it has passed, or when they would have to wait for the device. */
typedef struct executor_functions {
    void (*destroy)(executor *e);
    /* Allocates and chooses. `unbuilt` programs are then built. */
    mzt_status (*prepare)(executor *e, const plan *p, program **out, mzt_error *error);
    mzt_status (*build)(program *g, double deadline, uint32_t *dispatches, mzt_error *error); /* how many are done */
    void (*release)(program *g);
    mzt_status (*write)(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size, mzt_error *error);
    /* Writes the first *written bytes of it. */
    mzt_status (*write_some)(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size, double deadline,
                             uint64_t *written, mzt_error *error);
    mzt_status (*read)(program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size, mzt_error *error);
    mzt_status (*seal)(program *g, double deadline, mzt_error *error);
    mzt_status (*run)(program *g, uint32_t first, uint32_t count, const run_control *control, mzt_error *error);
    mzt_status (*begin)(program *g, uint32_t first, uint32_t count, uint32_t repeat, mzt_error *error);
    mzt_status (*advance)(program *g, uint64_t budget_us, run_progress *progress, mzt_error *error);
    mzt_status (*wait)(program *g, double deadline, mzt_error *error);
    void (*cancel)(program *g);
    /* Bytes this program holds on the device (arena, weights, packed copies, staging). */
    uint64_t (*memory)(const program *g);
    double (*peak)(executor *e); /* may be NULL: see executor_peak */
} executor_functions;

/* Allocates what the plan needs, chooses kernels. The plan must outlive the program. UNSUPPORTED names the op and type that
 * this device cannot run; OUT_OF_MEMORY names the allocation. */
mzt_status executor_prepare(executor *e, const plan *p, program **out, mzt_error *error);
void executor_destroy(executor *e); /* NULL is accepted; all its programs must be destroyed before */
void program_destroy(program *g);   /* NULL is accepted */

/* Measures the FLOP/s that the device's vendor library reaches on its best matrix product or convolution: what rates are held
 * against. Takes about a second. 0: there is no such library. */
double executor_peak(executor *e);

/* Copies host data into (out of) a buffer, in the buffer's own element type and layout. Ranges are checked. Buffers of any
 * kind may be read, ARENA ones right after the dispatch that wrote them. */
mzt_status program_write(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size, mzt_error *error);
mzt_status program_read(program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size, mzt_error *error);

/* Declares all weights written; an executor may repack them now. Needed before the first run. */
mzt_status program_seal(program *g, mzt_error *error);

/* Runs dispatches [first, first + count), control->repeat times, and returns when they are done and visible to
 * program_read. A range that is run again is replayed from its recording. */
mzt_status program_run(program *g, uint32_t first, uint32_t count, const run_control *control, mzt_error *error);

/* Runs the phase of this name. */
mzt_status program_run_phase(program *g, const char *phase, const run_control *control, mzt_error *error);

uint64_t program_memory(const program *g);

/* -------------------------------------------------------------------------------------------------- in slices -- */

/* As executor_prepare, but only allocates and chooses kernels; what takes longer is left to program_prepare_advance. */
mzt_status executor_prepare_begin(executor *e, const plan *p, program **out, mzt_error *error);

/* As program_write, later: the bytes are copied by program_prepare_advance, in the order of these calls, and `data` must stay
 * as it is until that has returned MZT_OK. May be used again after that, until the program is sealed. */
mzt_status program_queue_write(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size, mzt_error *error);

/* Queues all weights of an image that `g` was made from the plan of; the image's bytes count as `data` above. */
mzt_status program_queue_image(program *g, const plan_image *image, mzt_error *error);

/* Queues program_seal behind the writes queued so far. */
mzt_status program_queue_seal(program *g, mzt_error *error);

/* Does about `budget_us` microseconds of what is queued and of what executor_prepare_begin left, and returns MZT_PENDING
 * until nothing of it remains, then MZT_OK. What cannot be cut may exceed the budget: the driver's compilation of one
 * pipeline. Never waits for the device. `share` (may be NULL) receives how much is done of all that was ever queued, 0 ... 1.
 * After a failure the program can only be destroyed. Until this has returned MZT_OK, program_write, _read, _run and _seal
 * first do all the rest, and program_begin is INVALID. */
mzt_status program_prepare_advance(program *g, uint64_t budget_us, double *share, mzt_error *error);

/* Starts running dispatches [first, first + count), `repeat` times (0: once), and does nothing of it yet. From here until
 * program_advance has returned something else than MZT_PENDING the program is running: reading, writing or running it is
 * INVALID; other programs of the executor may be used, also running ones. */
mzt_status program_begin(program *g, uint32_t first, uint32_t count, uint32_t repeat, mzt_error *error);
mzt_status program_begin_phase(program *g, const char *phase, uint32_t repeat, mzt_error *error);

/* Carries a run on by at most `budget_us` microseconds of estimated device time.
 *   GPUs: takes note of what has ended, then submits so much that at most the budget is on its way (one segment in any case
 *   if nothing is), and returns without waiting.
 *   CPUs: computes until the budget has passed, plus what cannot be interrupted (see run_progress.longest).
 *   BUDGET_UNLIMITED: carries on to the end.
 * MZT_PENDING: not finished. MZT_OK: finished, results can be read. MZT_CANCELLED after program_cancel; any error ends the run
 * too. `progress` may be NULL; it is filled in every case. */
mzt_status program_advance(program *g, uint64_t budget_us, run_progress *progress, mzt_error *error);

/* Sleeps until what program_advance has submitted is done, at most `timeout_us` microseconds: for callers with nothing
 * better to do between two calls of it. MZT_PENDING: the time passed first. */
mzt_status program_wait(program *g, uint64_t timeout_us, mzt_error *error);

/* Nothing more is submitted; program_advance returns MZT_CANCELLED once what was on its way has ended. Buffers that the run
 * writes then hold anything; the program can be run again. Does nothing if no run has begun. */
void program_cancel(program *g);

/* ---------------------------------------------------------------------------------------------------- devices -- */

/* Plain C with sums in double: slow, simple, the judge of all others. */
mzt_status cpu_reference_create(const base_host *host, executor **out, mzt_error *error);

/* The same, but it computes only about `items` of each dispatch's rows, pixels or elements, spread evenly, and leaves the rest of
 * the output untouched: to check results of full size in a moment. */
mzt_status cpu_reference_create_sampled(const base_host *host, uint64_t items, executor **out, mzt_error *error);

/* Threads, and oneDNN where it was built in. `threads` 0: one per processor. */
mzt_status cpu_create(const base_host *host, uint32_t threads, executor **out, mzt_error *error);

/* Every device that can be opened: cpu, cpu-reference, then the Vulkan ones. *count receives how many there are, of which at
 * most `capacity` are written to `list`. Works, with the CPU ones alone, where no Vulkan loader or driver exists. */
mzt_status device_list(const base_host *host, executor_limits *list, uint32_t capacity, uint32_t *count, mzt_error *error);

/* Opens a device by its spelling: auto, cpu, cpu-reference, vulkan, vulkan:N, vulkan:PART-OF-NAME. auto takes the fastest real
 * GPU, else cpu; a Vulkan device that runs on the CPU only when named. NOT_FOUND lists the devices there are. */
mzt_status device_open(const base_host *host, const char *spec, executor **out, mzt_error *error);

#endif
