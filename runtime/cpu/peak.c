/* What the processor can do: the rate of oneDNN's best matrix product and convolution, measured. The
 * yardstick that our kernels are held against. */
#include "base/threads.h"
#include "cpu/cpu.h"
#include "cpu/onednn.h"

enum { RUNS = 6 };

/* FLOP/s of the fastest of some runs of one shape; 0: oneDNN cannot. */
static double measure(const base_host *host, onednn *library, const onednn_shape *s) {
    const size_t source = (size_t)s->n * s->h * s->w * s->c, weights = (size_t)s->cout * s->kh * s->kw * s->c,
                 sums = (size_t)s->n * s->oh * s->ow * s->cout;
    const double flops = 2.0 * (double)sums * s->kh * s->kw * s->c;
    float *memory =
        host_calloc(host, source + weights + sums, sizeof *memory); /* zeros take as long as numbers */
    onednn_conv *conv = memory ? onednn_conv_create(library, s, memory + source) : NULL;
    double best = 0;
    for (int i = 0; conv && i < RUNS; i++) {
        const double start = clock_seconds();
        if (!onednn_conv_run(conv, memory, memory + source + weights)) break;
        const double rate = flops / (clock_seconds() - start);
        if (rate > best) best = rate;
    }
    onednn_conv_destroy(conv);
    host_free(host, memory);
    return best;
}

double cpu_peak(executor *e) {
    static const onednn_shape shapes[] = {
        {.n = 1,
         .h = 1,
         .w = 2048,
         .c = 1024,
         .cout = 1024,
         .kh = 1,
         .kw = 1,
         .stride = 1,
         .oh = 1,
         .ow = 2048},
        {.n = 8,
         .h = 32,
         .w = 32,
         .c = 256,
         .cout = 256,
         .kh = 3,
         .kw = 3,
         .stride = 1,
         .pad_top = 1,
         .pad_left = 1,
         .oh = 32,
         .ow = 32},
        {.n = 2,
         .h = 64,
         .w = 64,
         .c = 128,
         .cout = 128,
         .kh = 3,
         .kw = 3,
         .stride = 1,
         .pad_top = 1,
         .pad_left = 1,
         .oh = 64,
         .ow = 64},
    };
    onednn *library = onednn_create(e->host, thread_pool_size(((cpu_executor *)(void *)e)->pool));
    double best = 0;
    for (size_t i = 0; library && i < sizeof shapes / sizeof *shapes; i++) {
        for (int bf16 = 0; bf16 < (onednn_has_bf16() ? 2 : 1); bf16++) {
            onednn_shape shape = shapes[i];
            shape.type = bf16 ? DTYPE_BF16 : DTYPE_F32;
            shape.weight_stride = shape.c;
            const double rate = measure(e->host, library, &shape);
            if (rate > best) best = rate;
        }
    }
    onednn_destroy(library);
    return best;
}
