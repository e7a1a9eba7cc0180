/* 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308, 2016):
 *
 *   Y = A^T [ sum over channels of (G g G^T) * (B^T d B) ] A
 *
 * A tile of 4 x 4 results comes from a tile d of 6 x 6 pixels by 36 multiplications a channel, not 144. The
 * sum over channels makes 36 matrix products, one for each place of the transformed tiles:
 *
 *   filters  [36][panels][k][columns]   all of them, made first from the packed weights
 *   source   [36][tiles][k]             of a block of tiles, by the worker that computes the block
 *   products [36][tiles][n]             the same
 *
 * Blocks of tiles are shared out among the workers; what lies in a block does not change a result. */
#include "cpu/fast_winograd.h"

enum {
    STRETCH = 64,          /* channels transformed at a time: a tile of them stays in the first-level cache */
    SLICE = 320,           /* of k: as much of a panel stays in the first-level cache */
    MOST_TILES = 192,      /* of a block */
    FEWEST_TILES = 48,     /* where blocks are made smaller for their size, but not for the workers */
    BLOCK_BYTES = 1 << 20, /* of a block's source and products */
};

typedef struct winograd_job {
    const matrix_job *m;
    float *filters;
    uint32_t tiles_x, tiles_y, panels, block; /* tiles of a picture; tiles of a block */
    uint64_t k, n, tiles, product_stride;
    uint64_t source_place, product_place, filter_place; /* floats from one place to the next */
} winograd_job;

/* One worker's scratch; source and products of a block follow. */
typedef struct winograd_buffers {
    float zeros[STRETCH];
    float tile[WINOGRAD_PLACES * STRETCH]; /* after the transform along y */
    float pixels[16 * STRETCH];            /* of results */
    float row[STRETCH];
    float blocks[];
} winograd_buffers;

/* ----------------------------------------------------------------------------------------------------- shape
 * -- */

static winograd_job make_job(const fast_program *f, const conv2d_params *p) {
    winograd_job job = {.tiles_x = ceil_div(p->ow, 4),
                        .tiles_y = ceil_div(p->oh, 4),
                        .panels = ceil_div(p->cout, f->kernels->columns),
                        .k = (uint64_t)p->c0 + p->c1,
                        .n = p->cout};
    job.tiles = (uint64_t)p->n * job.tiles_x * job.tiles_y;
    job.product_stride = (uint64_t)job.panels * f->kernels->columns;
    uint64_t fit = BLOCK_BYTES / (WINOGRAD_PLACES * sizeof(float) * (job.k + job.product_stride));
    fit = fit < FEWEST_TILES ? FEWEST_TILES : fit < MOST_TILES ? fit : MOST_TILES;
    uint64_t blocks = (job.tiles + fit - 1) / fit;
    blocks = (blocks + f->workers - 1) / f->workers * f->workers; /* each worker as many */
    job.block = (uint32_t)((job.tiles + blocks - 1) / blocks + KERNEL_ROWS - 1) / KERNEL_ROWS * KERNEL_ROWS;
    job.source_place = winograd_apart(job.block * job.k);
    job.product_place = winograd_apart(job.block * job.product_stride);
    job.filter_place = winograd_apart(job.k * job.product_stride);
    return job;
}

bool winograd_applies(const cpu_call *call) {
    if (call->op != OP_CONV2D || dtype_block(call->operands[CONV2D_WEIGHT].type) > 1) return false;
    const conv2d_params *p = &call->params->conv2d;
    const uint64_t k = (uint64_t)p->c0 + p->c1;
    return p->kh == 3 && p->kw == 3 && p->stride == 1 && p->row0 == 0 &&
           p->rows == (uint64_t)p->n * p->oh * p->ow && winograd_fits(p->oh, p->ow) &&
           k >= WINOGRAD_LEAST_CHANNELS && p->cout >= WINOGRAD_LEAST_CHANNELS &&
           k * align_up(p->cout, KERNEL_MAX_COLUMNS) <= WINOGRAD_MOST_WEIGHTS;
}

fast_scratch winograd_scratch(const fast_program *f, const cpu_call *call) {
    const winograd_job job = make_job(f, &call->params->conv2d);
    return (fast_scratch){WINOGRAD_PLACES * job.filter_place * sizeof(float),
                          sizeof(winograd_buffers) +
                              WINOGRAD_PLACES * (job.source_place + job.product_place) * sizeof(float)};
}

/* --------------------------------------------------------------------------------------------------- filters
 * -- */

/* Items are [panels][stretches of k]: filters from the packed weights [panel][tap][k][columns]. */
static void transform_filters(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const winograd_job *job = argument;
    const packed_matrix *w = job->m->w;
    const cpu_kernels *kernels = job->m->f->kernels;
    const uint32_t columns = kernels->columns, depth = STRETCH * 4 / columns; /* of k, in one item */
    winograd_buffers *s = fast_private(job->m->f, worker);
    float *taps = s->blocks, *half = taps + 9 * (size_t)depth * columns;
    const uint64_t parts = (job->k + depth - 1) / depth, place = job->filter_place;
    for (uint64_t item = first; item < last; item++) {
        const uint64_t panel = item / parts, k = item % parts * depth, left = job->k - k;
        const size_t count = (left < depth ? (size_t)left : depth) * columns;
        const float *lines[9], *x[3];
        for (uint32_t tap = 0; tap < 9; tap++) {
            const uint64_t at = ((panel * 9 + tap) * job->k + k) * columns;
            lines[tap] = w->type == DTYPE_F32 ? (const float *)w->data + at : taps + tap * count;
            if (w->type != DTYPE_F32)
                kernels->load(w->type, (const uint16_t *)w->data + at, count, taps + tap * count);
        }
        for (uint32_t column = 0; column < 3; column++) { /* half: [6][3][count] */
            for (uint32_t i = 0; i < 3; i++)
                x[i] = lines[i * 3 + column];
            kernels->winograd_filter(x, half + column * count, 3 * count, count);
        }
        for (uint32_t row = 0; row < 6; row++) {
            for (uint32_t i = 0; i < 3; i++)
                x[i] = half + (row * 3 + i) * count;
            kernels->winograd_filter(x, job->filters + row * 6 * place + (panel * job->k + k) * columns,
                                     place, count);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- source
 * -- */

/* Channels [channel, channel + count) of one input of the tile at (ty, tx) of `sample` to place `at` of k. */
static void transform_channels(const winograd_job *job, const int64_t pixels[WINOGRAD_PLACES], bool second,
                               uint64_t channel, uint32_t count, winograd_buffers *s, float *source,
                               uint64_t place) {
    const matrix_job *m = job->m;
    const float *base = second ? m->x1 : m->x0, *x[6];
    const uint64_t c = second ? m->c1 : m->c0, offset = second ? m->x1_base : m->x0_base;
    for (uint32_t column = 0; column < 6; column++) {
        for (uint32_t i = 0; i < 6; i++) {
            const int64_t pixel = pixels[i * 6 + column];
            x[i] = pixel < 0 ? s->zeros : base + ((uint64_t)pixel * c + channel - offset);
        }
        m->f->kernels->winograd_source(x, s->tile + column * STRETCH, 6 * STRETCH, count);
    }
    for (uint32_t row = 0; row < 6; row++) {
        for (uint32_t i = 0; i < 6; i++)
            x[i] = s->tile + (row * 6 + i) * STRETCH;
        m->f->kernels->winograd_source(x, source + row * 6 * place, place, count);
    }
}

static void transform_tile(const winograd_job *job, uint64_t tile, winograd_buffers *s, float *source) {
    const conv2d_params *p = job->m->conv;
    const uint64_t sample = tile / job->tiles_x / job->tiles_y, place = job->source_place;
    const int64_t y = (int64_t)(tile / job->tiles_x % job->tiles_y * 4) - p->pad_top,
                  x = (int64_t)(tile % job->tiles_x * 4) - p->pad_left;
    int64_t pixels[WINOGRAD_PLACES];
    for (int i = 0; i < WINOGRAD_PLACES; i++)
        pixels[i] = matrix_source_pixel(p, sample, y + i / 6, x + i % 6);
    for (int second = 0; second < 2; second++) {
        const uint64_t c = second ? p->c1 : p->c0;
        for (uint64_t channel = 0; channel < c; channel += STRETCH)
            transform_channels(job, pixels, second, channel,
                               c - channel < STRETCH ? (uint32_t)(c - channel) : STRETCH, s,
                               source + (second ? p->c0 : 0) + channel, place);
    }
}

/* -------------------------------------------------------------------------------------------------- products
 * -- */

static void multiply_places(const winograd_job *job, uint32_t tiles, const float *source, float *products) {
    const cpu_kernels *kernels = job->m->f->kernels;
    const uint32_t columns = kernels->columns;
    const uint64_t place = job->filter_place;
    const float *rows[KERNEL_ROWS];
    for (uint32_t i = 0; i < WINOGRAD_PLACES; i++) {
        const float *a = source + i * job->source_place;
        float *c = products + i * job->product_place;
        for (uint64_t k = 0; k < job->k; k += SLICE) {
            const uint32_t depth = job->k - k < SLICE ? (uint32_t)(job->k - k) : SLICE;
            for (uint32_t panel = 0; panel < job->panels; panel++) {
                const float *b = job->filters + i * place + (panel * job->k + k) * columns;
                for (uint32_t tile = 0; tile < tiles; tile += KERNEL_ROWS) {
                    for (uint32_t r = 0; r < KERNEL_ROWS; r++)
                        rows[r] = a + (tile + r) * job->k + k;
                    kernels->multiply(1, rows, &depth, b, c + tile * job->product_stride + panel * columns,
                                      job->product_stride, k > 0);
                }
            }
        }
    }
}

/* --------------------------------------------------------------------------------------------------- results
 * -- */

/* Results of one tile, columns [column, column + count), from its products. */
static void finish_columns(const winograd_job *job, uint64_t tile, uint64_t column, uint32_t count,
                           const float *products, winograd_buffers *s) {
    const matrix_job *m = job->m;
    const conv2d_params *p = m->conv;
    const uint64_t place = job->product_place;
    const uint64_t sample = tile / job->tiles_x / job->tiles_y, y = tile / job->tiles_x % job->tiles_y * 4,
                   x = tile % job->tiles_x * 4;
    const float *lines[6];
    for (uint32_t i = 0; i < 6; i++) {
        for (uint32_t j = 0; j < 6; j++)
            lines[j] = products + (j * 6 + i) * place + column;
        m->f->kernels->winograd_result(lines, s->tile + i * STRETCH, 6 * STRETCH, count);
    }
    for (uint32_t i = 0; i < 4 && y + i < p->oh; i++) {
        for (uint32_t j = 0; j < 6; j++)
            lines[j] = s->tile + (i * 6 + j) * STRETCH;
        m->f->kernels->winograd_result(lines, s->pixels, STRETCH, count);
        for (uint32_t j = 0; j < 4 && x + j < p->ow; j++)
            matrix_finish_row(m, (sample * p->oh + y + i) * p->ow + x + j, column, count,
                              s->pixels + j * STRETCH, NULL, s->row);
    }
}

/* Items are blocks of tiles. */
static void run_blocks(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const winograd_job *job = argument;
    winograd_buffers *s = fast_private(job->m->f, worker);
    float *source = s->blocks, *products = source + WINOGRAD_PLACES * job->source_place;
    memset(s->zeros, 0, sizeof s->zeros);
    for (uint64_t block = first; block < last; block++) {
        const uint64_t tile0 = block * job->block, left = job->tiles - tile0;
        const uint32_t tiles = left < job->block ? (uint32_t)left : job->block;
        for (uint32_t i = 0; i < tiles; i++)
            transform_tile(job, tile0 + i, s, source + i * job->k);
        multiply_places(job, tiles, source,
                        products); /* rows beyond the last tile hold what was there before */
        for (uint32_t i = 0; i < tiles; i++)
            for (uint64_t column = 0; column < job->n; column += STRETCH)
                finish_columns(job, tile0 + i, column,
                               job->n - column < STRETCH ? (uint32_t)(job->n - column) : STRETCH,
                               products + i * job->product_stride, s);
    }
}

void winograd_run(const cpu_call *call, const matrix_job *m, float *scratch) {
    winograd_job job = make_job(m->f, m->conv);
    const uint32_t depth = STRETCH * 4 / m->f->kernels->columns;
    job.m = m;
    job.filters = scratch;
    thread_pool_for(call->pool, job.panels * ((job.k + depth - 1) / depth), 1, transform_filters, &job);
    thread_pool_for(call->pool, (job.tiles + job.block - 1) / job.block, 1, run_blocks, &job);
}
