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
 * Thread-safety: different executors are independent. One executor and its programs belong to one thread at a time. */
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

struct executor {
    const struct executor_functions *functions;
    const base_host *host;
    executor_limits limits;
};

struct program {
    executor *owner;
    const plan *plan; /* borrowed: must outlive the program */
};

typedef struct executor_functions {
    void (*destroy)(executor *e);
    mzt_status (*prepare)(executor *e, const plan *p, program **out, mzt_error *error);
    void (*release)(program *g);
    mzt_status (*write)(program *g, uint32_t buffer, uint64_t offset, const void *data, uint64_t size, mzt_error *error);
    mzt_status (*read)(program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size, mzt_error *error);
    mzt_status (*seal)(program *g, mzt_error *error);
    mzt_status (*run)(program *g, uint32_t first, uint32_t count, const run_control *control, mzt_error *error);
    /* Bytes this program holds on the device (arena, weights, packed copies, staging). */
    uint64_t (*memory)(const program *g);
} executor_functions;

/* Allocates what the plan needs, chooses kernels. The plan must outlive the program. UNSUPPORTED names the op and type that
 * this device cannot run; OUT_OF_MEMORY names the allocation. */
mzt_status executor_prepare(executor *e, const plan *p, program **out, mzt_error *error);
void executor_destroy(executor *e); /* NULL is accepted; all its programs must be destroyed before */
void program_destroy(program *g);   /* NULL is accepted */

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

/* ---------------------------------------------------------------------------------------------------- devices -- */

/* Plain C with sums in double: slow, simple, the judge of all others. */
mzt_status cpu_reference_create(const base_host *host, executor **out, mzt_error *error);

/* Threads, and oneDNN where it was built in. `threads` 0: one per processor. */
mzt_status cpu_create(const base_host *host, uint32_t threads, executor **out, mzt_error *error);

/* Every device that can be opened: cpu, cpu-reference, then the Vulkan ones. *count receives how many there are, of which at
 * most `capacity` are written to `list`. Works, with the CPU ones alone, where no Vulkan loader or driver exists. */
mzt_status device_list(const base_host *host, executor_limits *list, uint32_t capacity, uint32_t *count, mzt_error *error);

/* Opens a device by its spelling: auto, cpu, cpu-reference, vulkan, vulkan:N, vulkan:PART-OF-NAME. auto takes the fastest real
 * GPU, else cpu; a Vulkan device that runs on the CPU only when named. NOT_FOUND lists the devices there are. */
mzt_status device_open(const base_host *host, const char *spec, executor **out, mzt_error *error);

#endif
