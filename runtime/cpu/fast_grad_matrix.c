/* Gradients of the weights of linear layers and convolutions as one implicit matrix product.
 *
 * out[o][j] = sum over output pixels `row` of dy[row][o] * window[row][j], j = (tap, channel) of the filter:
 * the sum is long and runs over rows of both inputs. Work is cut into blocks of output channels x columns j,
 * and into the splits that the op asks for. A block goes through the rows in slices of SLICE: dy's slice is
 * packed in groups of as many channels as a register tile has rows, and x's windows are gathered one panel of
 * columns at a time. The order of summation is that of the rows, whatever the blocks are. */
#include "cpu/fast_winograd.h"

enum {
    BLOCK_ROWS = 96, /* output channels */
    BLOCK_COLUMNS = 384,
    SLICE = 320,
};

typedef struct weight_job {
    const fast_program *f;
    const weight_grad_params *p;
    const float *x;
    const cpu_operand *dy;
    float *out;
    uint64_t rows, columns; /* n*oh*ow; kh*kw*c */
    uint32_t block_rows, block_panels;
    uint64_t row_blocks, panel_blocks;
} weight_job;

/* One worker's scratch; `zeros` has as many elements as x has channels. */
typedef struct weight_scratch {
    float sums[BLOCK_ROWS * BLOCK_COLUMNS];
    float dy[BLOCK_ROWS * SLICE]; /* [groups of channels][row][KERNEL_ROWS] */
    float panel[SLICE * KERNEL_MAX_COLUMNS];
    float line[BLOCK_ROWS];
    const float *windows[SLICE]; /* the pixel of x that each row reads at tap `tap` */
    int64_t y[SLICE], x[SLICE];  /* top left corner of each row's window, padding included */
    uint64_t sample[SLICE];
    uint32_t tap;
    float zeros[];
} weight_scratch;

static void locate_windows(const weight_job *job, uint64_t first, uint32_t count, weight_scratch *s) {
    const weight_grad_params *p = job->p;
    s->tap = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t row = first + i, ox = row % p->ow, oy = row / p->ow % p->oh;
        s->sample[i] = row / p->ow / p->oh;
        s->y[i] = (int64_t)(oy * p->stride) - p->pad_top;
        s->x[i] = (int64_t)(ox * p->stride) - p->pad_left;
    }
}

static void point_at_tap(const weight_job *job, uint32_t tap, uint32_t count, weight_scratch *s) {
    const weight_grad_params *p = job->p;
    if (s->tap == tap) return;
    s->tap = tap;
    for (uint32_t i = 0; i < count; i++) {
        int64_t y = wrap_coordinate(s->y[i] + tap / p->kw, p->h, p->flags & CONV_WRAP_Y);
        int64_t x = wrap_coordinate(s->x[i] + tap % p->kw, p->w, p->flags & CONV_WRAP_X);
        uint64_t pixel = (s->sample[i] * p->h + (uint64_t)y) * p->w + (uint64_t)x;
        s->windows[i] = y < 0 || x < 0 ? s->zeros : job->x + pixel * p->c;
    }
}

/* s->panel[count][columns] = columns [first, first + columns) of the windows; zero beyond the last. */
static void gather_panel(const weight_job *job, uint64_t first, uint32_t count, weight_scratch *s) {
    uint32_t columns = job->f->kernels->columns, c = job->p->c;
    for (uint32_t lane = 0, length; lane < columns; lane += length) {
        uint64_t column = first + lane;
        length = columns - lane;
        if (column >= job->columns) {
            for (uint32_t i = 0; i < count; i++)
                memset(s->panel + i * columns + lane, 0, length * sizeof *s->panel);
            continue;
        }
        uint32_t channel = (uint32_t)(column % c);
        if (length > c - channel) length = c - channel;
        point_at_tap(job, (uint32_t)(column / c), count, s);
        job->f->kernels->gather(s->windows, channel, count, length, s->panel + lane);
    }
}

/* s->dy[i / KERNEL_ROWS][k][i % KERNEL_ROWS] = dy[first + k][channel + i]. */
static void pack_dy(const weight_job *job, uint64_t first, uint32_t count, uint64_t channel,
                    uint32_t channels, weight_scratch *s) {
    for (uint32_t k = 0; k < count; k++) {
        const void *from = operand_at(job->dy, (first + k) * job->p->cout + channel);
        const float *row = from;
        if (job->dy->type != DTYPE_F32) {
            job->f->kernels->load(job->dy->type, from, channels, s->line);
            row = s->line;
        }
        job->f->kernels->deal(row, channels, s->dy + (size_t)k * KERNEL_ROWS, SLICE * KERNEL_ROWS);
    }
}

/* Adds up rows [first, end) for `channels` output channels and `panels` panels of columns. */
static void multiply_block(const weight_job *job, uint64_t first, uint64_t end, uint64_t channel,
                           uint32_t channels, uint32_t panel0, uint32_t panels, weight_scratch *s) {
    const cpu_kernels *kernels = job->f->kernels;
    uint32_t columns = kernels->columns, stride = panels * columns;
    for (uint64_t row = first; row < end; row += SLICE) {
        uint32_t count = end - row < SLICE ? (uint32_t)(end - row) : SLICE;
        locate_windows(job, row, count, s);
        pack_dy(job, row, count, channel, channels, s);
        for (uint32_t p = 0; p < panels; p++) {
            gather_panel(job, (uint64_t)(panel0 + p) * columns, count, s);
            for (uint32_t i = 0; i < channels; i += KERNEL_ROWS)
                kernels->multiply_packed(count, s->dy + (size_t)i * SLICE, s->panel,
                                         s->sums + (size_t)i * stride + p * columns, stride, row > first);
        }
    }
}

/* Items are [splits][blocks of columns][blocks of output channels]. */
static void run_blocks(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const weight_job *job = argument;
    const weight_grad_params *p = job->p;
    weight_scratch *s = fast_private(job->f, worker);
    uint32_t width = job->f->kernels->columns;
    memset(s->zeros, 0, p->c * sizeof *s->zeros);
    for (uint64_t item = first; item < last; item++) {
        uint64_t block = item % (job->row_blocks * job->panel_blocks),
                 split = item / (job->row_blocks * job->panel_blocks);
        uint64_t channel = block % job->row_blocks * job->block_rows, left = p->cout - channel;
        uint64_t panel = block / job->row_blocks * job->block_panels, column = panel * width,
                 columns = job->columns - column;
        uint64_t begin = split * p->rows_per_split, end = begin + p->rows_per_split;
        uint32_t channels = left < job->block_rows ? (uint32_t)left : job->block_rows;
        if (columns > (uint64_t)job->block_panels * width) columns = (uint64_t)job->block_panels * width;
        uint32_t panels = (uint32_t)((columns + width - 1) / width);
        if (end > job->rows) end = job->rows;
        multiply_block(job, begin, end, channel, channels, (uint32_t)panel, panels, s);
        for (uint32_t i = 0; i < channels; i++)
            memcpy(job->out + (split * p->cout + channel + i) * job->columns + column,
                   s->sums + (size_t)i * panels * width, (size_t)columns * sizeof *job->out);
    }
}

/* Blocks as large as scratch allows, but several for each worker. */
static void choose_blocks(weight_job *job) {
    uint32_t width = job->f->kernels->columns, wanted = 3 * job->f->workers;
    uint64_t panels = (job->columns + width - 1) / width;
    job->block_rows = BLOCK_ROWS;
    job->block_panels = BLOCK_COLUMNS / width;
    for (;;) {
        job->row_blocks = ceil_div(job->p->cout, job->block_rows);
        job->panel_blocks = (panels + job->block_panels - 1) / job->block_panels;
        if (job->row_blocks * job->panel_blocks * job->p->splits >= wanted || job->f->workers == 1) break;
        if (job->block_panels > 6)
            job->block_panels /= 2;
        else if (job->block_rows > 24)
            job->block_rows /= 2;
        else
            break;
    }
    job->block_panels = (uint32_t)((panels + job->panel_blocks - 1) / job->panel_blocks); /* even out */
    job->panel_blocks = (panels + job->block_panels - 1) / job->block_panels;
}

static fast_scratch weight_grad_scratch(const fast_program *f, const cpu_call *call) {
    const weight_grad_params *p = &call->params->weight_grad;
    fast_scratch need = {0, sizeof(weight_scratch) + (uint64_t)p->c * sizeof(float)};
    if (call->operands[WEIGHT_GRAD_X].type != DTYPE_F32)
        need.shared = (uint64_t)p->n * p->h * p->w * p->c * sizeof(float);
    if (winograd_grad_applies(p)) {
        const fast_scratch more = winograd_grad_scratch(f, p);
        need.shared += more.shared;
        if (more.private_ > need.private_) need.private_ = more.private_;
    }
    return need;
}

static bool run_weight_grad(const fast_program *f, const cpu_call *call) {
    const weight_grad_params *p = &call->params->weight_grad;
    float *scratch = (float *)(void *)f->shared;
    uint64_t base = 0;
    op_region all = {0, (uint64_t)p->n * p->h * p->w * p->c};
    weight_job job = {.f = f,
                      .p = p,
                      .dy = &call->operands[WEIGHT_GRAD_DY],
                      .out = call->operands[WEIGHT_GRAD_OUT].data,
                      .rows = (uint64_t)p->n * p->oh * p->ow,
                      .columns = (uint64_t)p->kh * p->kw * p->c};
    job.x = fast_widen(f, call, &call->operands[WEIGHT_GRAD_X], all, &base, &scratch);
    if (winograd_grad_applies(p)) {
        winograd_grad_run(f, call, job.x, scratch);
        return true;
    }
    choose_blocks(&job);
    thread_pool_for(call->pool, job.row_blocks * job.panel_blocks * p->splits, 1, run_blocks, &job);
    return true;
}

const fast_op fast_weight_grad = {NULL, weight_grad_scratch, run_weight_grad};
