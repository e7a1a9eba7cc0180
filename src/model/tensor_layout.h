/* Between the layout of this library's activations, [N,H,W,C], and PyTorch's, [N,C,H,W]. Arrays of n*c*h*w
 * floats that must not overlap; the caller has checked that the product fits. Thread-safety: any thread. */
#ifndef MODEL_TENSOR_LAYOUT_H
#define MODEL_TENSOR_LAYOUT_H

#include <stdint.h>

void layout_nhwc_from_nchw(float *out, const float *in, uint32_t n, uint32_t c, uint32_t h, uint32_t w);
void layout_nchw_from_nhwc(float *out, const float *in, uint32_t n, uint32_t c, uint32_t h, uint32_t w);

#endif
