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
 * zero. With GEGLU panels alternate: value rows, then the gate rows that belong to them. A panel in blocks
 * (base/block.h) holds for each 32 of k: scales [columns], shifts [columns], then bytes [32][columns] of q8 or
 * [16][columns] of q4: as many bytes as before, lane by lane. */
typedef struct packed_matrix {
    uint32_t buffer; /* the weights it was made of, in the plan */
    uint64_t offset;
    dtype type;
    bool geglu;
    uint64_t n, k; /* rows (of one half with GEGLU), columns */
    uint32_t panels;
    void *data; /* NULL: the weights change, and are packed into scratch on every run */
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
    /* May be NULL: nothing to prepare. */
    mzt_status (*seal)(cpu_program *g, cpu_call *call, mzt_error *error);
    fast_scratch (*scratch)(const fast_program *f, const cpu_call *call); /* may be NULL: none */
    /* NULL: as cpu-reference. False: oneDNN failed. */
    bool (*run)(const fast_program *f, const cpu_call *call);
} fast_op;

extern const fast_op fast_linear, fast_conv2d;                                /* fast_matrix.c */
extern const fast_op fast_attention;                                          /* fast_attention.c */
extern const fast_op fast_group_norm_stats, fast_group_norm, fast_layer_norm; /* fast_norm.c */
extern const fast_op fast_unary, fast_binary, fast_geglu;                     /* fast_elementwise.c */

extern const fast_op fast_weight_grad;                          /* fast_grad_matrix.c */
extern const fast_op fast_attention_stats, fast_attention_grad; /* fast_grad_attention.c */
extern const fast_op fast_group_norm_grad_stats, fast_group_norm_grad, fast_layer_norm_grad,
    fast_layer_norm_param_grad; /* fast_grad_norm.c */
extern const fast_op fast_unary_grad, fast_geglu_grad, fast_loss_grad, fast_adamw,
    fast_accumulate; /* fast_grad_elementwise.c */
extern const fast_op fast_column_sum, fast_reduce_sum, fast_loss, fast_square_sum,
    fast_gather_rows_grad;                                                   /* fast_grad_sum.c */
extern const fast_op fast_transpose_weight, fast_dilate, fast_upsample_grad; /* fast_grad_move.c */

/* What most functions over ranges of items are given. */
typedef struct fast_job {
    const fast_program *f;
    const cpu_call *call;
} fast_job;

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

/* The same for weights that change: only the description. fast_repack packs what `call` binds now into `to`,
 * of fast_packed_bytes; 0: more than memory. */
packed_matrix *fast_pack_later(fast_program *f, const cpu_program *g, const cpu_call *call, uint64_t n,
                               uint64_t k, bool geglu);
uint64_t fast_packed_bytes(const fast_program *f, const packed_matrix *m);
packed_matrix fast_repack(const fast_program *f, const cpu_call *call, const packed_matrix *m, void *to);

/* The elements `region` of x as f32: in place, or in *scratch, which is moved on (fast_matrix.c). *base
 * becomes the first element there is. */
const float *fast_widen(const fast_program *f, const cpu_call *call, const cpu_operand *x, op_region region,
                        uint64_t *base, float **scratch);

/* Where coordinate `at` of an axis of `size` reads; negative: padding. */
static inline int64_t wrap_coordinate(int64_t at, int64_t size, bool wrap) {
    if (at >= 0 && at < size) return at;
    if (!wrap) return -1;
    at %= size;
    return at < 0 ? at + size : at;
}

/* pack_blocks.c: one panel of a matrix in blocks; `source` are the plain weights. And the byte that plain weights
 * have at `offset`. */
void fast_pack_blocks(const packed_matrix *m, const uint8_t *source, uint32_t columns, uint32_t panel);
uint8_t fast_unpack_block_byte(const packed_matrix *m, uint32_t columns, uint64_t offset);

/* pack.c: the matrix row at column `lane` of a panel; false: none, the column is zero. */
bool fast_source_row(const packed_matrix *m, uint32_t columns, uint32_t panel, uint32_t lane, uint64_t *row);

/* cpu_backend.read_weight: the plain weights out of their packed form. */
void fast_unpack(const cpu_program *g, uint32_t buffer, uint64_t offset, void *data, uint64_t size);

#endif
