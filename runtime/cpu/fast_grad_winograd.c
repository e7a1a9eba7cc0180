/* Weight gradients of 3x3 convolutions of stride 1 by the transforms of fast_winograd.c. The result of a tile
 * is linear in the filter, Y = A^T [(G g G^T) * (B^T d B)] A, and so, summed over all tiles,
 *
 *   dg = G^T [ sum of (A dY A^T) * (B^T d B) ] G,
 *
 * 36 matrix products over the tiles, one for each place of the transformed tiles, that stand in for 144:
 *
 *   source [36][panels][tiles][columns]            of x
 *   spread [36][groups][tiles][KERNEL_ROWS]        of dy
 *   sums   [36][groups * KERNEL_ROWS][panels * columns]
 *
 * A split (see weight_grad in params.h) goes through its tiles in chunks, whose sizes depend on the shape
 * alone: the order of summation is the same on any number of threads. */
#include "cpu/fast_winograd.h"

enum {
    STRETCH = 96, /* channels transformed at a time: a multiple of every register tile's rows and columns */
    CHUNK_BYTES = 16 << 20, /* of a chunk's source and spread */
    FEWEST_TILES =
        128, /* of a chunk: fewer, and reading and writing the sums takes longer than the products */
    MOST_TILES = 512,
};
_Static_assert(STRETCH % KERNEL_ROWS == 0 && STRETCH % KERNEL_MAX_COLUMNS == 0,
               "stretches hold whole groups and panels");

typedef struct grad_job {
    const fast_program *f;
    const weight_grad_params *p;
    const float *x;
    const cpu_operand *dy;
    float *source, *spread, *sums, *out;
    uint32_t tiles_x, tiles_y, panels, groups, chunk; /* chunk: most tiles of one */
    uint64_t tiles_per_split;
    uint64_t source_place, spread_place, sums_place; /* floats from one place to the next */
    uint64_t tile0;                                  /* of the present chunk, which has `tiles` */
    uint32_t tiles, parts;                           /* parts: items that the panels are cut into */
    bool more;                                       /* the chunk is not the first of its split */
} grad_job;

/* One worker's scratch. */
typedef struct grad_buffers {
    float zeros[STRETCH];
    float lines[16 * STRETCH];              /* dy of a tile, where it is not f32 */
    float tile[WINOGRAD_PLACES * STRETCH];  /* after the transform along y */
    float whole[WINOGRAD_PLACES * STRETCH]; /* and along x */
} grad_buffers;

/* ----------------------------------------------------------------------------------------------------- shape
 * -- */

/* Tiles of one split; 0: splits do not consist of whole lines of tiles. */
static uint64_t tiles_of_split(const weight_grad_params *p) {
    const uint64_t line = ceil_div(p->ow, WINOGRAD_TILE), picture = ceil_div(p->oh, WINOGRAD_TILE) * line,
                   lines = p->rows_per_split / p->ow;
    if (p->splits == 1) return p->n * picture;
    if (p->rows_per_split % p->ow != 0) return 0;
    if (lines % p->oh == 0) return lines / p->oh * picture;
    return p->oh % WINOGRAD_TILE == 0 && lines % WINOGRAD_TILE == 0 ? lines / WINOGRAD_TILE * line : 0;
}

bool winograd_grad_applies(const weight_grad_params *p) {
    return p->kh == 3 && p->kw == 3 && p->stride == 1 && p->c >= WINOGRAD_LEAST_CHANNELS &&
           p->cout >= WINOGRAD_LEAST_CHANNELS && winograd_fits(p->oh, p->ow) &&
           tiles_of_split(p) >= 2 * KERNEL_ROWS &&
           align_up(p->cout, KERNEL_ROWS) * align_up(p->c, KERNEL_MAX_COLUMNS) <= WINOGRAD_MOST_WEIGHTS;
}

static grad_job make_job(const fast_program *f, const weight_grad_params *p) {
    grad_job job = {.f = f,
                    .p = p,
                    .tiles_x = ceil_div(p->ow, WINOGRAD_TILE),
                    .tiles_y = ceil_div(p->oh, WINOGRAD_TILE),
                    .panels = ceil_div(p->c, f->kernels->columns),
                    .groups = ceil_div(p->cout, KERNEL_ROWS),
                    .tiles_per_split = tiles_of_split(p)};
    const uint64_t one = WINOGRAD_PLACES * sizeof(float) *
                         ((uint64_t)job.panels * f->kernels->columns + (uint64_t)job.groups * KERNEL_ROWS);
    uint64_t fit = CHUNK_BYTES / one;
    fit = fit < FEWEST_TILES ? FEWEST_TILES : fit < MOST_TILES ? fit : MOST_TILES;
    const uint64_t chunks = (job.tiles_per_split + fit - 1) / fit;
    job.chunk = (uint32_t)((job.tiles_per_split + chunks - 1) / chunks); /* even out */
    job.parts = ceil_div(4 * f->workers, WINOGRAD_PLACES);
    if (job.parts > job.panels) job.parts = job.panels;
    const uint64_t width = (uint64_t)job.panels * f->kernels->columns,
                   height = (uint64_t)job.groups * KERNEL_ROWS;
    job.source_place = winograd_apart(job.chunk * width);
    job.spread_place = winograd_apart(job.chunk * height);
    job.sums_place = winograd_apart(width * height);
    return job;
}

fast_scratch winograd_grad_scratch(const fast_program *f, const weight_grad_params *p) {
    const grad_job job = make_job(f, p);
    return (fast_scratch){WINOGRAD_PLACES * (job.source_place + job.spread_place + job.sums_place) *
                              sizeof(float),
                          sizeof(grad_buffers)};
}

/* ------------------------------------------------------------------------------------------------ transforms
 * -- */

/* Where a tile lies: its picture, and its first result. */
typedef struct tile_place {
    uint64_t sample, y, x;
} tile_place;

static tile_place place_of(const grad_job *job, uint64_t tile) {
    return (tile_place){tile / job->tiles_x / job->tiles_y,
                        tile / job->tiles_x % job->tiles_y * WINOGRAD_TILE,
                        tile % job->tiles_x * WINOGRAD_TILE};
}

/* Channels of x from `channel` on of tile number `index` of the chunk. */
static void transform_source(const grad_job *job, const int64_t pixels[WINOGRAD_PLACES], uint32_t index,
                             uint32_t channel, grad_buffers *s) {
    const cpu_kernels *kernels = job->f->kernels;
    const uint32_t c = job->p->c, count = c - channel < STRETCH ? c - channel : STRETCH,
                   columns = kernels->columns;
    const size_t place = job->source_place;
    const float *x[6];
    for (uint32_t column = 0; column < 6; column++) {
        for (uint32_t i = 0; i < 6; i++) {
            const int64_t pixel = pixels[i * 6 + column];
            x[i] = pixel < 0 ? s->zeros : job->x + (uint64_t)pixel * c + channel;
        }
        kernels->winograd_source(x, s->tile + column * STRETCH, 6 * STRETCH, count);
    }
    for (uint32_t row = 0; row < 6; row++) {
        for (uint32_t at = 0; at < count; at += columns) {
            for (uint32_t i = 0; i < 6; i++)
                x[i] = s->tile + (row * 6 + i) * STRETCH + at;
            float *to = job->source + row * 6 * place +
                        ((size_t)(channel + at) / columns * job->tiles + index) * columns;
            kernels->winograd_source(x, to, place, columns); /* lanes beyond the last channel: sums unused */
        }
    }
}

/* Channels of dy from `channel` on; results beyond the picture count nothing. */
static void transform_spread(const grad_job *job, tile_place at, uint32_t index, uint32_t channel,
                             grad_buffers *s) {
    const weight_grad_params *p = job->p;
    const cpu_kernels *kernels = job->f->kernels;
    const uint32_t count = p->cout - channel < STRETCH ? p->cout - channel : STRETCH;
    const size_t group = (size_t)job->tiles * KERNEL_ROWS, place = job->spread_place;
    const float *x[4];
    for (uint32_t column = 0; column < WINOGRAD_TILE; column++) {
        for (uint32_t i = 0; i < WINOGRAD_TILE; i++) {
            x[i] = s->zeros;
            if (at.y + i >= p->oh || at.x + column >= p->ow) continue;
            const uint64_t pixel = (at.sample * p->oh + at.y + i) * p->ow + at.x + column;
            const void *from = operand_at(job->dy, pixel * p->cout + channel);
            float *line = s->lines + (i * WINOGRAD_TILE + column) * STRETCH;
            x[i] = from;
            if (job->dy->type == DTYPE_F32) continue;
            kernels->load(job->dy->type, from, count, line);
            x[i] = line;
        }
        kernels->winograd_spread(x, s->tile + column * STRETCH, WINOGRAD_TILE * STRETCH, count);
    }
    for (uint32_t row = 0; row < 6; row++) {
        for (uint32_t i = 0; i < WINOGRAD_TILE; i++)
            x[i] = s->tile + (row * WINOGRAD_TILE + i) * STRETCH;
        kernels->winograd_spread(x, s->whole + row * 6 * STRETCH, STRETCH, count);
    }
    for (uint32_t i = 0; i < WINOGRAD_PLACES; i++)
        kernels->deal(s->whole + i * STRETCH, count,
                      job->spread + i * place + channel / KERNEL_ROWS * group + (size_t)index * KERNEL_ROWS,
                      group);
}

/* Items are tiles of the chunk. */
static void transform_tiles(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const grad_job *job = argument;
    const weight_grad_params *p = job->p;
    grad_buffers *s = fast_private(job->f, worker);
    memset(s->zeros, 0, sizeof s->zeros);
    for (uint64_t index = first; index < last; index++) {
        const tile_place at = place_of(job, job->tile0 + index);
        int64_t pixels[WINOGRAD_PLACES];
        for (int i = 0; i < WINOGRAD_PLACES; i++) {
            const int64_t y = wrap_coordinate((int64_t)at.y - p->pad_top + i / 6, p->h,
                                              p->flags & CONV_WRAP_Y),
                          x = wrap_coordinate((int64_t)at.x - p->pad_left + i % 6, p->w,
                                              p->flags & CONV_WRAP_X);
            pixels[i] = y < 0 || x < 0 ? -1 : ((int64_t)at.sample * p->h + y) * p->w + x;
        }
        for (uint32_t channel = 0; channel < p->c; channel += STRETCH)
            transform_source(job, pixels, (uint32_t)index, channel, s);
        for (uint32_t channel = 0; channel < p->cout; channel += STRETCH)
            transform_spread(job, at, (uint32_t)index, channel, s);
    }
}

/* -------------------------------------------------------------------------------------------------- products
 * -- */

/* Items are [36][parts of the panels]. */
static void multiply_places(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const grad_job *job = argument;
    const cpu_kernels *kernels = job->f->kernels;
    const uint32_t columns = kernels->columns, each = ceil_div(job->panels, job->parts);
    const size_t stride = (size_t)job->panels * columns, panel_size = (size_t)job->tiles * columns,
                 group_size = (size_t)job->tiles * KERNEL_ROWS;
    for (uint64_t item = first; item < last; item++) {
        const uint64_t place = item / job->parts;
        const uint32_t begin = (uint32_t)(item % job->parts) * each,
                       end = begin + each < job->panels ? begin + each : job->panels;
        for (uint32_t panel = begin; panel < end; panel++) {
            const float *b = job->source + place * job->source_place + panel * panel_size;
            for (uint32_t group = 0; group < job->groups; group++)
                kernels->multiply_packed(
                    job->tiles, job->spread + place * job->spread_place + group * group_size, b,
                    job->sums + place * job->sums_place + group * KERNEL_ROWS * stride + panel * columns,
                    stride, job->more);
        }
    }
}

/* Items are output channels. */
static void gather_filters(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const grad_job *job = argument;
    const cpu_kernels *kernels = job->f->kernels;
    const uint32_t c = job->p->c;
    const size_t stride = (size_t)job->panels * kernels->columns, place = job->sums_place;
    grad_buffers *s = fast_private(job->f, worker);
    const float *x[6];
    for (uint64_t o = first; o < last; o++) {
        for (uint32_t channel = 0; channel < c; channel += STRETCH) {
            const uint32_t count = c - channel < STRETCH ? c - channel : STRETCH;
            const float *sums = job->sums + o * stride + channel;
            for (uint32_t column = 0; column < 6; column++) { /* s->tile: [3][6][STRETCH] */
                for (uint32_t i = 0; i < 6; i++)
                    x[i] = sums + (i * 6 + column) * place;
                kernels->winograd_gather(x, s->tile + column * STRETCH, 6 * STRETCH, count);
            }
            for (uint32_t row = 0; row < 3; row++) {
                for (uint32_t i = 0; i < 6; i++)
                    x[i] = s->tile + (row * 6 + i) * STRETCH;
                kernels->winograd_gather(x, job->out + (o * 9 + row * 3) * c + channel, c, count);
            }
        }
    }
}

void winograd_grad_run(const fast_program *f, const cpu_call *call, const float *x, float *scratch) {
    const weight_grad_params *p = &call->params->weight_grad;
    grad_job job = make_job(f, p);
    const uint64_t all = (uint64_t)p->n * job.tiles_x * job.tiles_y;
    job.x = x;
    job.dy = &call->operands[WEIGHT_GRAD_DY];
    job.source = scratch;
    job.spread = job.source + WINOGRAD_PLACES * job.source_place;
    job.sums = job.spread + WINOGRAD_PLACES * job.spread_place;
    for (uint32_t split = 0; split < p->splits; split++) {
        const uint64_t begin = split * job.tiles_per_split,
                       end = begin + job.tiles_per_split < all ? begin + job.tiles_per_split : all;
        job.out = operand_at(&call->operands[WEIGHT_GRAD_OUT], (uint64_t)split * p->cout * 9 * p->c);
        for (job.tile0 = begin; job.tile0 < end; job.tile0 += job.chunk) {
            job.more = job.tile0 > begin;
            job.tiles = end - job.tile0 < job.chunk ? (uint32_t)(end - job.tile0) : job.chunk;
            thread_pool_for(call->pool, job.tiles, 4, transform_tiles, &job);
            thread_pool_for(call->pool, WINOGRAD_PLACES * job.parts, 1, multiply_places, &job);
        }
        thread_pool_for(call->pool, p->cout, 4, gather_filters, &job);
    }
}
