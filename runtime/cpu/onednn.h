/* oneDNN behind one kind of object: a convolution of NHWC activations into f32 sums. A linear layer is a 1x1
 * convolution over a line of m pixels. Built from oneDNN 2.x or 3.x; without oneDNN (MZT_HAVE_ONEDNN
 * undefined) everything here says "no".
 *
 * It is used where the processor multiplies bf16 natively (AVX512_BF16, AMX), which only oneDNN reaches here;
 * for f32 our own kernels are as fast or faster. Thread-safety: an onednn belongs to one thread at a time;
 * oneDNN's own threads are set and restored around each call. */
#ifndef CPU_ONEDNN_H
#define CPU_ONEDNN_H

#include "base/host.h"
#include "base/dtype.h"

typedef struct onednn onednn;           /* the library's engine and stream */
typedef struct onednn_conv onednn_conv; /* one convolution with its weights */

/* Source [n][h][w][c], weights [cout][kh][kw][weight_stride] of which channels weight_offset ...
 * weight_offset + c - 1 are used, sums [n][oh][ow][cout]. Padding may be asymmetric; what lies after follows
 * from oh and ow. */
typedef struct onednn_shape {
    uint32_t n, h, w, c, cout, kh, kw, stride, pad_top, pad_left, oh, ow;
    uint32_t weight_stride, weight_offset;
    dtype type;      /* of source and weights */
    bool accumulate; /* add to the sums that are there */
} onednn_shape;

/* Whether this processor multiplies bf16 natively. */
bool onednn_has_bf16(void);

/* NULL when oneDNN is not built in, cannot start, or brings threads that cannot be counted. */
onednn *onednn_create(const base_host *host, uint32_t threads);
void onednn_destroy(onednn *o); /* NULL is accepted; its convolutions must be destroyed before */

/* NULL when oneDNN has no such convolution: callers then use their own. Weights are copied into oneDNN's
 * layout. */
onednn_conv *onednn_conv_create(onednn *o, const onednn_shape *shape, const void *weights);
void onednn_conv_destroy(onednn_conv *conv); /* NULL is accepted */
uint64_t onednn_conv_bytes(const onednn_conv *conv);

/* False when oneDNN reports a failure; the sums are then undefined. */
bool onednn_conv_run(onednn_conv *conv, const void *source, float *sums);

#endif
