/* A network on a device: a compiled plan, prepared, with its weights loaded. Inputs and outputs go by name
 * and as f32 (or u32) arrays in the plan's NHWC order; conversion to the plan's element types happens here.
 * Thread-safety: a network belongs to one thread at a time, like its executor. */
#ifndef PIPELINE_NETWORK_H
#define PIPELINE_NETWORK_H

#include "executor.h"
#include "graph/graph.h"
#include "weights/weights.h"

/* What the arithmetic is done in. AUTO: f16 on a real GPU that can store it, else f32. */
typedef enum precision { PRECISION_AUTO, PRECISION_F32, PRECISION_F16, PRECISION_BF16 } precision;

/* "auto", "f32", "f16", "bf16". INVALID lists them. */
mzt_status precision_parse(const char *text, precision *out, mzt_error *error);

/* The storage type of activations and matrices on this device. UNSUPPORTED where the device cannot store it.
 */
mzt_status precision_resolve(precision wanted, const executor_limits *limits, dtype *type, mzt_error *error);

typedef struct network {
    plan *plan;
    program *program;
    void *scratch; /* for inputs that are stored in another type than f32 */
} network;

/* Bytes of weights and of activations that a network of this graph takes on such a device. Nothing is
 * allocated there; the graph (NULL: out of memory) is used up. */
mzt_status network_measure(const executor_limits *limits, graph *g, uint64_t *weights, uint64_t *activations,
                           mzt_error *error);

/* Compiles `g` for the executor (the graph is used up, and destroyed in every case), prepares it, and loads
 * its weights from `weights` (NULL for graphs without parameters). */
mzt_status network_create(executor *e, graph *g, const weights_set *weights, network *out, mzt_error *error);
/* The same up to the weights: the caller writes them and seals the program. */
mzt_status network_prepare(executor *e, graph *g, network *out, mzt_error *error);
void network_destroy(network *n); /* zeroed or half-built is accepted */

/* Writes a whole input or state. `count` must be its number of elements. */
mzt_status network_set(network *n, const char *name, const float *values, uint64_t count, mzt_error *error);
mzt_status network_set_u32(network *n, const char *name, const uint32_t *values, uint64_t count,
                           mzt_error *error);

/* Reads a whole output or state. */
mzt_status network_get(network *n, const char *name, float *values, uint64_t count, mzt_error *error);

/* Runs the one phase of a plan without a step loop. */
mzt_status network_run(network *n, mzt_error *error);

/* network_create in slices. Zeroed: nothing is being made. */
typedef struct network_maker {
    executor *e;
    bool built, loaded; /* the device's code; the weights */
    /* Writes weights until `deadline` (clock_seconds); NULL: they are queued already, or there are none. */
    mzt_status (*load)(struct network_maker *maker, network *n, double deadline, mzt_error *error);
    void (*end)(struct network_maker *maker); /* may be NULL */
    const weights_set *weights;
    struct model_loader *loader;
} network_maker;

/* The beginning that all ways of making a network share: takes the plan over, also on failure. */
mzt_status network_make_plan(executor *e, plan *compiled, network *out, network_maker *maker,
                             mzt_error *error);

/* Compiles and allocates (the graph is used up, and destroyed in every case). `out` is ready once
 * network_make_advance has returned OK. Whatever happens, end with network_make_end. */
mzt_status network_make_begin(executor *e, graph *g, const weights_set *weights, network *out,
                              network_maker *maker, mzt_error *error);
/* Builds device code and uploads for about `budget_us`: PENDING until all is done. */
mzt_status network_make_advance(network_maker *maker, network *n, uint64_t budget_us, mzt_error *error);
void network_make_end(network_maker *maker);

/* A range of dispatches run in slices. Zeroed: nothing runs. */
typedef struct network_task {
    network *n;
    uint32_t first, count, repeat;
    bool running;
    run_progress progress; /* of the last slice */
} network_task;

/* Says what to run: a phase, `repeat` times. Nothing is done yet. */
mzt_status network_task_phase(network *n, const char *phase, uint32_t repeat, network_task *task,
                              mzt_error *error);
/* Begins, or carries on for about `budget_us`: PENDING until all is done. */
mzt_status network_task_advance(network_task *task, uint64_t budget_us, mzt_error *error);
/* Sleeps until what is on the device is done, for at most so long. PENDING: the time passed first. */
mzt_status network_task_wait(network_task *task, uint64_t timeout_us, mzt_error *error);
/* Ends a run early, and waits for what is on the device. */
void network_task_stop(network_task *task);

#endif
