/* The `cpu` executor: threads and vector loops (kernels.h), and oneDNN where the processor has matrix units
 * that only it uses here. Ops without a fast kernel run as in cpu-reference.
 *
 * Each op has a fast_op row: seal-time preparation (packing weights), the scratch it needs, and the run.
 * Scratch is shared by all dispatches of a program, so its size is the largest that any of them asks for. */
#ifndef CPU_FAST_H
#define CPU_FAST_H

#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "cpu/onednn.h"

/* A weight matrix [rows][k] as panels [panel][k][columns] in its own element type; rows beyond the last are
 * zero. With GEGLU panels alternate: value rows, then the gate rows that belong to them. */
typedef struct packed_matrix {
    uint32_t buffer; /* the weights it was made of, in the plan */
    uint64_t offset;
    dtype type;
    bool geglu;
    uint64_t n, k; /* rows (of one half with GEGLU), columns */
    uint32_t panels;
    void *data;
} packed_matrix;

/* How a linear layer or convolution is computed: by our own kernels (`packed`), or as one or, for
 * concatenated inputs, two oneDNN convolutions into f32 sums. */
typedef struct matrix_kernel {
    packed_matrix *packed;
    onednn_conv *native[2];
} matrix_kernel;

typedef struct fast_program {
    const cpu_kernels *kernels;
    uint32_t workers;
    packed_matrix *matrices;
    uint32_t matrix_count;
    matrix_kernel *matrix_kernels; /* [dispatch_count], used ones first; so is `matrices` */
    uint32_t matrix_kernel_count;
    onednn *native; /* NULL: not used */
    uint64_t packed_bytes;
    uint8_t *shared;   /* scratch of the whole dispatch */
    uint8_t *private_; /* [workers][private_bytes] */
    uint64_t shared_bytes, private_bytes;
} fast_program;

/* Bytes of scratch; at most SIZE_MAX after fast.c has checked them. */
typedef struct fast_scratch {
    uint64_t shared, private_;
} fast_scratch;

typedef struct fast_op {
    /* May be NULL. If it leaves call->state NULL, the call runs as in cpu-reference. */
    mzt_status (*seal)(cpu_program *g, cpu_call *call, mzt_error *error);
    fast_scratch (*scratch)(const fast_program *f, const cpu_call *call); /* may be NULL: none */
    /* NULL: as cpu-reference. False: oneDNN failed. */
    bool (*run)(const fast_program *f, const cpu_call *call);
} fast_op;

extern const fast_op fast_linear, fast_conv2d;                                /* fast_matrix.c */
extern const fast_op fast_attention;                                          /* fast_attention.c */
extern const fast_op fast_group_norm_stats, fast_group_norm, fast_layer_norm; /* fast_norm.c */
extern const fast_op fast_unary, fast_binary, fast_geglu;                     /* fast_elementwise.c */

static inline fast_program *fast_program_of(const cpu_program *g) {
    return g->state;
}

static inline void *fast_private(const fast_program *f, uint32_t worker) {
    return f->private_ + worker * f->private_bytes;
}

/* Element `index` of an operand. */
static inline void *operand_at(const cpu_operand *x, uint64_t index) {
    return (uint8_t *)x->data + index * dtype_size(x->type);
}

/* As cpu_create, but oneDNN computes matrices of type `native` whatever the processor is; DTYPE_COUNT: none.
 * For tests. */
mzt_status cpu_create_native(const base_host *host, uint32_t threads, dtype native, executor **out,
                             mzt_error *error);

/* The packed form of the [rows][k] matrix that `call` binds as weight, made on first use (pack.c). Where no
 * dispatch needs the plain weights after that, they are freed. */
mzt_status fast_pack(cpu_program *g, const cpu_call *call, uint64_t n, uint64_t k, bool geglu,
                     packed_matrix **out, mzt_error *error);

/* cpu_backend.read_weight: the plain weights out of their packed form. */
void fast_unpack(const cpu_program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size);

#endif
