/* Gradients of linear layers and convolutions, y = W x + b + vec:
 *   dx = W^T dy   as the same op with turned weights (dy dilated where the stride is 2)
 *   dW = dy x^T   (weight_grad, in parts), db and dvec: sums of dy over pixels */
#include "graph/gradient.h"

/* W [o][kh][kw][i] to [i][kh][kw][o]. */
static tensor turn_weight(differ *d, tensor weight, uint32_t o, uint32_t kh, uint32_t kw, uint32_t i) {
    op_params params = {.transpose_weight = {.o = o, .kh = kh, .kw = kw, .i = i}};
    shape4 shape = kh * kw == 1 ? (shape4){1, 1, i, o} : (shape4){i, kh, kw, o};
    return graph_emit(d->g, OP_TRANSPOSE_WEIGHT, "turn", (tensor[OP_MAX_BINDINGS]){weight}, &params, shape,
                      d->g->weight);
}

/* Tiles of 64 x 64 that a device should find in all parts together; the fewest rows worth a part. */
#define ENOUGH_TILES 256u
#define LEAST_ROWS   256u
#define MOST_SPLITS  64u

/* Parts that can be bound at once, to be added up. */
static uint32_t most_parts(const differ *d, const weight_grad_params *p) {
    const uint64_t bytes = (uint64_t)p->cout * p->kh * p->kw * p->c * sizeof(float),
                   most = d->max_range / bytes;
    return most > MOST_SPLITS ? MOST_SPLITS : most ? (uint32_t)most : 1;
}

/* The rows of a part rounded up to whole lines of 4 x 4 results, where that is possible and does not change
 * much: devices that transform tiles of these (Winograd) cannot cut them. */
static uint32_t whole_lines(const weight_grad_params *p) {
    const uint32_t unit = p->oh % 4 == 0 ? 4 * p->ow : p->oh * p->ow, rows = p->rows_per_split;
    return unit <= 2 * rows ? ceil_div(rows, unit) * unit : rows;
}

/* The rows in a part: where x or dy is too large for one binding, parts are such that a device can be shown
 * some of them at a time: whole samples, or of a linear layer a number of rows that keeps bindings aligned.
 */
static uint32_t rows_to_cut(const differ *d, const weight_grad_params *p) {
    const uint32_t pixels = p->oh * p->ow, channels = p->c > p->cout ? p->c : p->cout;
    const uint64_t size = dtype_size(d->g->activation), x = (uint64_t)p->h * p->w * p->c * size,
                   dy = (uint64_t)pixels * p->cout * size, sample = x > dy ? x : dy;
    if (sample * p->n <= d->max_range) return p->rows_per_split;
    if (p->n == 1 && p->h == 1 && p->kh * p->kw == 1) {
        const uint64_t most = d->max_range / (channels * size) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
        return most && most < p->rows_per_split ? (uint32_t)most : p->rows_per_split;
    }
    const uint64_t most = sample <= d->max_range ? d->max_range / sample : 1;
    uint64_t samples = ceil_div(p->rows_per_split, pixels);
    if (samples > most) samples = most;
    while (samples < most && ceil_div(p->n, (uint32_t)samples) > most_parts(d, p))
        samples++;
    return (uint32_t)samples * pixels;
}

static tensor weight_gradient(differ *d, tensor x, tensor dy, weight_grad_params p) {
    uint32_t rows = p.n * p.oh * p.ow, columns = p.kh * p.kw * p.c;
    uint64_t tiles = (uint64_t)ceil_div(p.cout, 64) * ceil_div(columns, 64);
    uint32_t wanted = tiles >= ENOUGH_TILES ? 1 : ceil_div(ENOUGH_TILES, (uint32_t)tiles);
    if (wanted > most_parts(d, &p)) wanted = most_parts(d, &p);
    p.rows_per_split = gradient_split(rows, LEAST_ROWS, wanted);
    if (p.kh * p.kw > 1) p.rows_per_split = whole_lines(&p);
    p.rows_per_split = rows_to_cut(d, &p);
    p.splits = ceil_div(rows, p.rows_per_split);
    op_params params = {.weight_grad = p};
    uint32_t count = p.cout * columns;
    tensor parts = graph_emit(d->g, OP_WEIGHT_GRAD, "weight", (tensor[OP_MAX_BINDINGS]){x, dy}, &params,
                              (shape4){p.splits, p.cout, p.kh * p.kw, p.c}, DTYPE_F32);
    return gradient_reduce(d, parts, p.splits, count, count, 0, 1);
}

/* vec: the gradient of each sample's row (of all samples, if they share one), in the columns that were read.
 */
static void add_vec(differ *d, tensor vec, tensor dy, uint32_t samples, uint32_t rows, uint32_t c,
                    uint32_t stride, uint32_t offset) {
    if (!gradient_wanted(d, vec)) return;
    uint32_t width = graph_shape(d->g, vec).c;
    if (stride == 0) {
        rows *= samples;
        samples = 1;
    }
    tensor sum = gradient_sum_rows(d, dy, samples, rows, c);
    sum = gradient_scaled(d, sum, 1, d->g->activation);
    gradient_add(d, vec, gradient_pad(d, sum, samples, c, width, offset));
}

void gradient_linear(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const linear_params *p = &node->params.linear;
    if (p->k1 || (p->flags & ~(EPILOGUE_BIAS | EPILOGUE_VEC))) {
        gradient_refuse(d, node, "it is fused");
        return;
    }
    tensor x = node->bindings[0], weight = node->bindings[2], bias = node->bindings[3],
           vec = node->bindings[4];
    if (gradient_wanted(d, x)) {
        op_params params = {.linear = {.m = p->m, .n = p->k0, .k0 = p->n}};
        tensor turned = turn_weight(d, weight, p->n, 1, 1, p->k0);
        gradient_add(d, x,
                     graph_emit(g, OP_LINEAR, "x", (tensor[OP_MAX_BINDINGS]){dy, TENSOR_NONE, turned},
                                &params, graph_shape(g, x), g->activation));
    }
    if (gradient_wanted(d, weight)) {
        weight_grad_params w = {.n = 1,
                                .h = 1,
                                .w = p->m,
                                .c = p->k0,
                                .cout = p->n,
                                .kh = 1,
                                .kw = 1,
                                .stride = 1,
                                .oh = 1,
                                .ow = p->m};
        gradient_add(d, weight, weight_gradient(d, x, dy, w));
    }
    if (gradient_wanted(d, bias)) gradient_add(d, bias, gradient_sum_rows(d, dy, 1, p->m, p->n));
    if (p->flags & EPILOGUE_VEC)
        add_vec(d, vec, dy, p->m / p->rows_per_sample, p->rows_per_sample, p->n, p->vec_stride,
                p->vec_offset);
}

/* dy with zeros between its pixels, and after them up to the source's size where the filter did not reach
 * that far (or where the picture is circular): with stride s and padding q, dx[i] = sum over r of W[r] *
 * dilated[i + q - r]. */
static tensor dilate_for(differ *d, const conv2d_params *p, tensor dy, uint32_t *h, uint32_t *w) {
    uint32_t rows = (p->oh - 1) * p->stride + 1, columns = (p->ow - 1) * p->stride + 1;
    bool reached_y = p->stride == 1 && !(p->flags & CONV_WRAP_Y),
         reached_x = p->stride == 1 && !(p->flags & CONV_WRAP_X);
    *h = reached_y || rows > p->h ? rows : p->h;
    *w = reached_x || columns > p->w ? columns : p->w;
    if (p->stride == 1 && *h == p->oh && *w == p->ow) return dy;
    op_params params = {
        .dilate = {.n = p->n, .h = p->oh, .w = p->ow, .c = p->cout, .stride = p->stride, .oh = *h, .ow = *w}};
    return graph_emit(d->g, OP_DILATE, "dilate", (tensor[OP_MAX_BINDINGS]){dy}, &params,
                      (shape4){p->n, *h, *w, p->cout}, d->g->activation);
}

static void conv_source(differ *d, const graph_node *node, tensor dy) {
    graph *g = d->g;
    const conv2d_params *p = &node->params.conv2d;
    tensor x = node->bindings[0];
    if (!gradient_wanted(d, x)) return;
    uint32_t h, w;
    tensor source = dilate_for(d, p, dy, &h, &w);
    if (((p->flags & CONV_WRAP_Y) && h != p->h) || ((p->flags & CONV_WRAP_X) && w != p->w)) {
        gradient_refuse(d, node, "its circular padding goes beyond one period");
        return;
    }
    tensor turned = turn_weight(d, node->bindings[2], p->cout, p->kh, p->kw, p->c0);
    op_params params = {.conv2d = {.n = p->n,
                                   .h = h,
                                   .w = w,
                                   .c0 = p->cout,
                                   .cout = p->c0,
                                   .kh = p->kh,
                                   .kw = p->kw,
                                   .stride = 1,
                                   .pad_top = p->kh - 1 - p->pad_top,
                                   .pad_left = p->kw - 1 - p->pad_left,
                                   .oh = p->h,
                                   .ow = p->w,
                                   .flags = p->flags & (CONV_WRAP_X | CONV_WRAP_Y),
                                   .rows = p->n * p->h * p->w}};
    gradient_add(d, x,
                 graph_emit(g, OP_CONV2D, "x", (tensor[OP_MAX_BINDINGS]){source, TENSOR_NONE, turned},
                            &params, graph_shape(g, x), g->activation));
}

void gradient_conv2d(differ *d, const graph_node *node, tensor dy) {
    const conv2d_params *p = &node->params.conv2d;
    if (p->c1 || p->rows != p->n * p->oh * p->ow ||
        (p->flags & ~(EPILOGUE_BIAS | EPILOGUE_VEC | CONV_WRAP_X | CONV_WRAP_Y))) {
        gradient_refuse(d, node, "it is fused");
        return;
    }
    conv_source(d, node, dy);
    if (gradient_wanted(d, node->bindings[2])) {
        weight_grad_params w = {.n = p->n,
                                .h = p->h,
                                .w = p->w,
                                .c = p->c0,
                                .cout = p->cout,
                                .kh = p->kh,
                                .kw = p->kw,
                                .stride = p->stride,
                                .pad_top = p->pad_top,
                                .pad_left = p->pad_left,
                                .oh = p->oh,
                                .ow = p->ow,
                                .flags = p->flags & (CONV_WRAP_X | CONV_WRAP_Y)};
        gradient_add(d, node->bindings[2], weight_gradient(d, node->bindings[0], dy, w));
    }
    if (gradient_wanted(d, node->bindings[3]))
        gradient_add(d, node->bindings[3], gradient_sum_rows(d, dy, 1, p->rows, p->cout));
    if (p->flags & EPILOGUE_VEC)
        add_vec(d, node->bindings[4], dy, p->n, p->oh * p->ow, p->cout, p->vec_stride, p->vec_offset);
}
