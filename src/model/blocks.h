/* Pieces that several networks are made of. Tensors are [N,H,W,C]; parameter names are those of diffusers. */
#ifndef MODEL_BLOCKS_H
#define MODEL_BLOCKS_H

#include "graph/graph.h"

/* Circular padding of every convolution that looks beyond its pixel, for pictures that tile. */
typedef struct model_wrap {
    bool x, y;
} model_wrap;

/* Convolution with bias, kernel x kernel, stride 1, same size (odd kernels). */
tensor model_conv(graph *g, tensor x, const char *leaf, uint32_t cout, uint32_t kernel, model_wrap wrap);

/* Stride-2 3x3 convolution <leaf>.conv to the same channels. padding 1: on all sides, sizes ceil(n / 2);
 * 0: one row and column at the bottom and the right, sizes floor(n / 2). */
tensor model_downsample(graph *g, tensor x, const char *leaf, uint32_t padding, model_wrap wrap);

/* Nearest-neighbour x2 followed by the 3x3 convolution <leaf>.conv; the enlarged picture is cut to h x w,
 * each of which must be 2n or 2n - 1. (Enlarging n to 2n - 1 by nearest neighbour reads floor(i * n / (2n -
 * 1)) = floor(i / 2): the same pixels.) */
tensor model_upsample(graph *g, tensor x, const char *leaf, uint32_t h, uint32_t w, model_wrap wrap);

typedef struct model_resnet_options {
    uint32_t cout, groups;
    float eps;
    tensor vec; /* time embedding, already projected: element vec_offset + channel; or TENSOR_NONE */
    uint32_t vec_offset;
    model_wrap wrap;
} model_resnet_options;

/* Residual block (ResnetBlock2D) inside the open scope: norm1, SiLU, conv1, + vec, norm2, SiLU, conv2, plus
 * the input (through the 1x1 conv_shortcut where the channels differ). */
tensor model_resnet(graph *g, tensor x, const model_resnet_options *options);

#endif
