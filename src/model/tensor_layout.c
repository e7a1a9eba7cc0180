/* Transpositions between [N,C,H,W] and [N,H,W,C]; see tensor_layout.h. */
#include "model/tensor_layout.h"

#include <stddef.h>

/* In each of n blocks, [rows][columns] becomes [columns][rows]. */
static void transpose(float *out, const float *in, uint32_t n, size_t rows, size_t columns) {
    for (uint32_t block = 0; block < n; block++, in += rows * columns, out += rows * columns)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                out[c * rows + r] = in[r * columns + c];
}

void layout_nhwc_from_nchw(float *out, const float *in, uint32_t n, uint32_t c, uint32_t h, uint32_t w) {
    transpose(out, in, n, c, (size_t)h * w);
}

void layout_nchw_from_nhwc(float *out, const float *in, uint32_t n, uint32_t c, uint32_t h, uint32_t w) {
    transpose(out, in, n, (size_t)h * w, c);
}
