/* What the two CPU executors share: the program (arena, weights, resolved operands) and the table of
 * functions by which they differ. executor_cpu.c owns the memory and the loop over dispatches; reference_*.c
 * and fast_*.c compute. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "base/threads.h"
#include "cpu/bindings.h"
#include "executor.h"

/* One binding of a dispatch: its first element in host memory. `data` NULL: absent. */
typedef struct cpu_operand {
    void *data;
    dtype type;
} cpu_operand;

/* One dispatch, ready to compute. */
typedef struct cpu_call {
    const op_params *params;
    cpu_operand operands[OP_MAX_BINDINGS];
    const base_host *host;
    thread_pool *pool;
    op op;
    void *state; /* the backend's own, for this dispatch; NULL until it sets it */
} cpu_call;

typedef struct cpu_executor cpu_executor;
typedef struct cpu_program cpu_program;

/* How a CPU executor computes. Members other than `run` may be NULL. */
typedef struct cpu_backend {
    /* Computes one dispatch of a sealed program. */
    mzt_status (*run)(cpu_program *g, cpu_call *call, mzt_error *error);
    /* Called once, when all weights are written: may pack weights, choose kernels and fill call->state of
     * every call. */
    mzt_status (*seal)(cpu_program *g, mzt_error *error);
    /* Frees what seal made, also when seal failed half way. */
    void (*release)(cpu_program *g);
    /* Copies bytes of a weight buffer whose plain copy seal has given up (g->buffers[buffer] is NULL). */
    void (*read_weight)(const cpu_program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size);
    /* Bytes that seal allocated. */
    uint64_t (*memory)(const cpu_program *g);
} cpu_backend;

struct cpu_executor {
    executor base;
    const cpu_backend *backend;
    thread_pool *pool;
    uint64_t sampled; /* about so many items of each dispatch are computed; 0: all */
    dtype native; /* matrices of this type are given to oneDNN; DTYPE_COUNT: none */
};

struct cpu_program {
    program base;
    void *arena_block;   /* as allocated */
    uint8_t *arena;      /* the same, aligned to PLAN_ALIGNMENT */
    void **weights;      /* [buffer_count] as allocated; NULL for buffers in the arena */
    uint8_t **buffers;   /* [buffer_count] aligned address of each buffer */
    cpu_call *calls;     /* [dispatch_count] */
    bool sealed, broken; /* broken: sealing failed, weights may be gone */
    thread_task *task;   /* sealing or running in slices; NULL: neither */
    mzt_status outcome;  /* of the task */
    mzt_error reason;
    struct {
        uint32_t first, count, repeat;
        uint32_t repetitions, dispatches; /* finished, the latter of the current repetition */
        bool cancelled;
    } run; /* what the task runs */
    void *state;         /* the backend's own */
};

/* Makes an executor around a backend; `threads` 0: one per processor. `name` and `spec` fill the limits. */
mzt_status cpu_executor_create(const base_host *host, const cpu_backend *backend, uint32_t threads,
                               const char *name, const char *spec, executor **out, mzt_error *error);

/* executor_peak of a CPU: oneDNN's, in f32 and, where the processor multiplies it, bf16 (peak.c). */
double cpu_peak(executor *e);

static inline cpu_executor *cpu_executor_of(const cpu_program *g) {
    return (cpu_executor *)(void *)g->base.owner;
}

#endif
