/* A dispatch's sizes in words; see shape.h. */
#include "bench/shape.h"

#include <stdio.h>

typedef unsigned n;

const char *bench_shape(op o, const op_params *p, char *text, size_t size) {
    switch (o) {
    case OP_LINEAR:
        snprintf(text, size, "[%u,%u] -> %u", (n)p->linear.m, (n)(p->linear.k0 + p->linear.k1),
                 (n)p->linear.n);
        break;
    case OP_CONV2D:
        snprintf(text, size, "[%u,%u,%u,%u] %ux%u/%u -> %u%s", (n)p->conv2d.n, (n)p->conv2d.h, (n)p->conv2d.w,
                 (n)(p->conv2d.c0 + p->conv2d.c1), (n)p->conv2d.kh, (n)p->conv2d.kw, (n)p->conv2d.stride,
                 (n)p->conv2d.cout, p->conv2d.flags & CONV_UPSAMPLE2 ? ", x2 first" : "");
        break;
    case OP_ATTENTION:
        snprintf(text, size, "%u x %u heads, %u x %u, d %u", (n)p->attention.batch, (n)p->attention.heads,
                 (n)p->attention.lq, (n)p->attention.lk, (n)p->attention.d);
        break;
    case OP_GROUP_NORM:
        snprintf(text, size, "[%u,%u,%u] in %u groups", (n)p->group_norm.n, (n)p->group_norm.hw,
                 (n)(p->group_norm.c0 + p->group_norm.c1), (n)p->group_norm.groups);
        break;
    case OP_GROUP_NORM_STATS:
        snprintf(text, size, "[%u,%u,%u] in %u groups", (n)p->group_norm_stats.n, (n)p->group_norm_stats.hw,
                 (n)(p->group_norm_stats.c0 + p->group_norm_stats.c1), (n)p->group_norm_stats.groups);
        break;
    case OP_LAYER_NORM:
        snprintf(text, size, "[%u,%u]", (n)p->layer_norm.rows, (n)p->layer_norm.c);
        break;
    case OP_GEGLU:
        snprintf(text, size, "[%u,%u]", (n)p->geglu.rows, (n)p->geglu.c);
        break;
    case OP_UNARY:
        snprintf(text, size, "[%u]", (n)p->unary.count);
        break;
    case OP_BINARY:
        snprintf(text, size, "[%u]", (n)p->binary.count);
        break;
    default:
        snprintf(text, size, "%s", "");
        break;
    }
    return text;
}
