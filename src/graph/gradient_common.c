/* Building blocks of the gradient rules: sums over rows, padding, scaling. */
#include "graph/gradient.h"

uint32_t gradient_split(uint32_t rows, uint32_t least, uint32_t most) {
    uint32_t each = ceil_div(rows, most);
    if (each < least) each = least;
    return each < rows ? each : rows;
}

tensor gradient_scaled(differ *d, tensor x, float scale, dtype type) {
    if (!graph_ok(d->g) || (scale == 1 && graph_type(d->g, x) == type)) return x;
    return graph_unary(d->g, x, UNARY_IDENTITY, scale, 0, type);
}

tensor gradient_reduce(differ *d, tensor x, uint32_t parts, uint32_t count, uint32_t stride, uint32_t offset,
                       float scale) {
    if (!graph_ok(d->g)) return TENSOR_NONE;
    if (parts == 1 && offset == 0 && scale == 1 && graph_elements(graph_shape(d->g, x)) == count) return x;
    op_params params = {
        .reduce_sum = {.parts = parts, .count = count, .stride = stride, .offset = offset, .scale = scale}};
    return graph_emit(d->g, OP_REDUCE_SUM, "sum", (tensor[OP_MAX_BINDINGS]){x}, &params,
                      (shape4){1, 1, 1, count}, DTYPE_F32);
}

tensor gradient_sum_rows(differ *d, tensor x, uint32_t samples, uint32_t rows, uint32_t c) {
    if (!graph_ok(d->g)) return TENSOR_NONE;
    uint32_t each = gradient_split(rows, 64, 64), splits = ceil_div(rows, each);
    op_params params = {.column_sum = {.samples = samples,
                                       .rows = rows,
                                       .c = c,
                                       .splits = splits,
                                       .rows_per_split = each,
                                       .out_samples = samples}};
    tensor parts = graph_emit(d->g, OP_COLUMN_SUM, "columns", (tensor[OP_MAX_BINDINGS]){x}, &params,
                              (shape4){splits, samples, 1, c}, DTYPE_F32);
    return gradient_reduce(d, parts, splits, samples * c, samples * c, 0, 1);
}

/* Largest number that divides both; b may be 0. */
static uint32_t common_divisor(uint32_t a, uint32_t b) {
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

tensor gradient_pad(differ *d, tensor x, uint32_t rows, uint32_t c, uint32_t width, uint32_t offset) {
    if (!graph_ok(d->g) || c == width) return x;
    /* A row is a line of "pixels" whose channels are as many as divide everything. */
    uint32_t unit = common_divisor(common_divisor(c, width), offset);
    op_params params = {.dilate = {.n = rows,
                                   .h = 1,
                                   .w = c / unit,
                                   .c = unit,
                                   .stride = 1,
                                   .oh = 1,
                                   .ow = width / unit,
                                   .left = offset / unit}};
    return graph_emit(d->g, OP_DILATE, "pad", (tensor[OP_MAX_BINDINGS]){x}, &params,
                      (shape4){rows, 1, 1, width}, d->g->activation);
}
