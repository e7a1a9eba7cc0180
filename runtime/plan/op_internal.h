/* What the files that describe ops share: checks that remember the first failure, products that remember
 * overflow. */
#ifndef PLAN_OP_INTERNAL_H
#define PLAN_OP_INTERNAL_H

#include "plan/op.h"

typedef struct op_checker {
    const char *op;
    mzt_error *error;
    mzt_status status;
} op_checker;

void op_fail(op_checker *c, const char *name, double found, const char *expected);
void op_positive(op_checker *c, const char *name, uint32_t value);
void op_at_most(op_checker *c, const char *name, uint64_t value, uint64_t limit, const char *expected);
void op_finite(op_checker *c, const char *name, float value);
void op_epsilon(op_checker *c, float eps); /* of a norm */

/* A member of a parameter list `p`. */
#define OP_POSITIVE(list, name) op_positive(c, #name, p->list.name)

/* What an op shares with its gradients. */
void op_check_attention(op_checker *c, uint32_t batch, uint32_t heads, uint32_t d, uint32_t lq, uint32_t lk,
                        uint32_t flags, float scale);
void op_check_unary(op_checker *c, uint32_t count, uint32_t kind, float scale, float shift);

/* One axis of a convolution: every output position's taps must touch the source, and circular padding must
 * not go round twice, so that a kernel may wrap with a single addition or subtraction. */
void op_check_axis(op_checker *c, const char *name, uint64_t size, uint64_t out, uint64_t stride,
                   uint64_t kernel, uint64_t pad, bool wrap);

/* The cut of group norms into chunks. */
void op_check_groups(op_checker *c, uint64_t c0, uint64_t c1, uint32_t n, uint32_t hw, uint32_t groups,
                     uint32_t chunks, uint32_t rows_per_chunk);

/* Regions under construction. */
typedef struct op_sizes {
    op_region *regions;
    bool ok;
} op_sizes;

uint64_t op_mul(op_sizes *s, uint64_t a, uint64_t b);
uint64_t op_mul3(op_sizes *s, uint64_t a, uint64_t b, uint64_t c);

/* Elements first ... end - 1 of the whole tensor, in a binding that begins at element `base`. Kernels index
 * in 32 bits. */
void op_window(op_sizes *s, uint32_t binding, uint64_t first, uint64_t end, uint64_t base);
void op_whole(op_sizes *s, uint32_t binding, uint64_t count);

/* Product that stops at the largest number. */
static inline uint64_t op_times(uint64_t a, uint64_t b) {
    uint64_t result = UINT64_MAX;
    size_mul(a, b, &result);
    return result;
}

/* The ops of training (op_training.c). */
void op_training_check(op_checker *c, op o, const op_params *p);
void op_training_regions(op_sizes *s, op o, const op_params *p);
uint64_t op_training_flops(op o, const op_params *p);

#endif
