/* The plan: what a network does to which bytes, in which order. Made once by the compiler (src/graph), run by any executor.
 *
 * Flat arrays without pointers, so that a plan can be written to a file and mapped back. A plan says *what* runs in which
 * order; *how* (kernel variant, tile, workgroup) is the executor's choice.
 *
 * Memory model. Buffers of kind ARENA live at fixed byte offsets in one arena and may overlap where their lifetimes do not
 * meet. PERSISTENT buffers (inputs, outputs, sampler state, whatever the setup phase hands to the steps) have their place in
 * the arena to themselves. WEIGHT buffers live outside the arena; each is filled from named checkpoint tensors (pieces).
 *
 * Hazards. Dispatches run as if one after another. `barrier` on a dispatch says: everything before must be finished and
 * visible before it starts; without it, the dispatch may overlap those since the last barrier. The first dispatch of a phase
 * always has one. */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include "plan/op.h"

#define PLAN_NONE UINT32_MAX
#define PLAN_ALIGNMENT 256u /* every buffer offset: the largest minStorageBufferOffsetAlignment that Vulkan allows */

typedef enum plan_buffer_kind { PLAN_ARENA = 0, PLAN_PERSISTENT = 1, PLAN_WEIGHT = 2 } plan_buffer_kind;

typedef enum plan_role {
    PLAN_ROLE_NONE = 0,
    PLAN_ROLE_INPUT = 1,  /* written by the host before a run */
    PLAN_ROLE_OUTPUT = 2, /* read by the host after a run */
    PLAN_ROLE_STATE = 3   /* both, and kept from one run to the next */
} plan_role;

typedef struct plan_buffer {
    uint32_t name;  /* offset in the string table; inputs, outputs and state are found by it */
    uint32_t kind;  /* plan_buffer_kind */
    uint32_t role;  /* plan_role */
    uint32_t dtype; /* dtype */
    uint32_t shape[4]; /* n, h, w, c; tokens are [n, length, 1, c]; weights their packed shape */
    uint64_t bytes;    /* exact size of the data */
    uint64_t offset;   /* in the arena; 0 for weights */
} plan_buffer;

/* How a checkpoint tensor is laid into a weight buffer. */
typedef enum plan_packing {
    PLAN_PACK_PLAIN = 0,    /* row-major, as stored */
    PLAN_PACK_CONV_OHWI = 1 /* PyTorch's [O][I][kh][kw] becomes [O][kh][kw][I] */
} plan_packing;

/* One checkpoint tensor's place in a weight buffer, or in the state that holds a weight in training. Several pieces stack along
 * the rows of one buffer. */
typedef struct plan_piece {
    uint32_t buffer;
    uint32_t name; /* offset in the string table: the checkpoint's name */
    uint32_t packing;
    uint32_t rank;
    uint32_t shape[4]; /* the checkpoint's shape */
    uint64_t element;  /* first element in the buffer */
} plan_piece;

typedef struct plan_binding {
    uint32_t buffer; /* PLAN_NONE: absent */
    uint32_t reserved;
    uint64_t offset; /* bytes from the start of the buffer, a multiple of PLAN_ALIGNMENT */
    uint64_t range;  /* bytes; offset + range <= the buffer's size rounded up to 4 */
} plan_binding;

typedef struct plan_dispatch {
    uint32_t op;
    uint32_t barrier; /* 1: wait for all before */
    uint32_t node;    /* name of the graph node, offset in the string table */
    uint32_t piece;   /* which part of a node that was cut to respect the binding range: 0, 1, ... */
    uint64_t flops;
    uint64_t bytes; /* every operand once */
    plan_binding bindings[OP_MAX_BINDINGS];
    op_params params;
} plan_dispatch;

/* A run of dispatches. A denoising plan has "setup" (run once) and "step" (run once per network evaluation), a training plan may
 * have "update" (after the steps of all batches) besides; others have "main". */
typedef struct plan_phase {
    uint32_t name;
    uint32_t first, count;
} plan_phase;

typedef struct plan {
    const base_host *host;
    uint32_t activation; /* dtype of activations */
    uint32_t weight;     /* dtype of weights; matrices may be stored otherwise, as their buffers say */
    uint64_t arena_bytes;
    uint64_t weight_bytes;
    plan_buffer *buffers;
    uint32_t buffer_count;
    plan_piece *pieces;
    uint32_t piece_count;
    plan_dispatch *dispatches;
    uint32_t dispatch_count;
    plan_phase *phases;
    uint32_t phase_count;
    char *strings; /* terminated strings, one after another; offset 0 is "" */
    uint32_t string_bytes;
} plan;

/* Frees everything and the plan itself; NULL is accepted. */
void plan_destroy(plan *p);

static inline const char *plan_string(const plan *p, uint32_t offset) {
    return offset < p->string_bytes ? p->strings + offset : "?";
}

/* Index of the buffer, or phase, with this name; PLAN_NONE if there is none. */
uint32_t plan_find_buffer(const plan *p, const char *name);
uint32_t plan_find_phase(const plan *p, const char *name);

/* Finds a dispatch by its node name or decimal index; PLAN_NONE if there is none. */
uint32_t plan_find_dispatch(const plan *p, const char *name_or_index);

/* Limits that keep a hostile plan from costing more than seconds to check. */
#define PLAN_MAX_DISPATCHES 65536u
#define PLAN_MAX_BUFFERS    65536u

/* The plan checker. Proves from the finished plan alone, trusting nothing the compiler knew:
 *  - every index, string, offset, range, alignment and size is in bounds, op_check and op_extents hold for every dispatch;
 *  - element types match the op table;
 *  - no two buffers that are live at the same time overlap (a value written and still to be read is not overwritten in
 *    between; persistent buffers overlap nothing);
 *  - every read sees a value: nothing reads arena bytes before they were written in that run;
 *  - every read-after-write, write-after-read and write-after-write on overlapping bytes has a barrier in between.
 * Phases are treated as: each may be run once after those before it, and "step" may be repeated.
 * The error names the dispatch, node and buffer. */
mzt_status plan_check(const plan *p, mzt_error *error);

/* A part of it: matrices in blocks stand only where a dispatch can read them. For dispatches whose bindings are in bounds. */
mzt_status plan_check_blocks(const plan *p, const plan_dispatch *d, mzt_error *error);

/* Sets dispatch.barrier where, and only where, a hazard needs one. */
mzt_status plan_place_barriers(plan *p, mzt_error *error);

/* A plan as bytes and back. Reading checks everything (plan_check): the bytes may be hostile. */
mzt_status plan_write(const plan *p, const char *path, mzt_error *error);
mzt_status plan_parse(const base_host *host, const void *data, uint64_t size, plan **out, mzt_error *error);

/* A plan together with its weights as one image, so that a program is made from a mapped file without a copy in between: the
 * plan as plan_write has it, then each weight buffer in the plan's own type and layout, at multiples of PLAN_ALIGNMENT from the
 * image's start. Several images may stand in one file, each at a multiple of PLAN_ALIGNMENT. */
typedef struct plan_image {
    const base_host *host;
    plan *plan; /* owned, unless the owner of the image takes it and leaves NULL here */
    const uint8_t **weights; /* [buffer_count] into the bytes the image was parsed from; NULL for buffers that are no weights */
} plan_image;

/* Writes buffer `buffer` (plan_buffer.bytes bytes, asked for in ascending order) to `data`. */
typedef mzt_status plan_weight_reader(void *user, uint32_t buffer, void *data, mzt_error *error);

struct file_writer;

/* Appends an image to a file; `size` (may be NULL) receives its bytes, a multiple of PLAN_ALIGNMENT. */
mzt_status plan_image_write(const plan *p, plan_weight_reader *read, void *user, struct file_writer *writer, uint64_t *size,
                            mzt_error *error);

/* Checks everything but the weights' values. `data` must be aligned to PLAN_ALIGNMENT or come from file_map, and outlive the
 * image. */
mzt_status plan_image_parse(const base_host *host, const void *data, uint64_t size, plan_image *out, mzt_error *error);
void plan_image_destroy(plan_image *image); /* a zeroed one is accepted */

/* Totals for reports. */
uint64_t plan_flops(const plan *p, uint32_t phase);

#endif
