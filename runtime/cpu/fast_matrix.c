/* Linear layers and convolutions as one implicit matrix product, never writing the windows under the filter
 * out.
 *
 * out[m][n] = A[m][k] W[n][k]^T, where row m of A is made of runs: for a linear layer the row of x0 and the
 * row of x1, for a convolution the same at each tap. A run is contiguous channels in memory, so the register
 * tile reads it in place through one pointer per row; padding points to zeros. Work is cut into blocks of
 * BLOCK_ROWS x BLOCK_COLUMNS for the threads; in a block, k is cut into slices of at most SLICE so that a
 * slice of one packed panel stays in the first-level cache, and A's slice and the sums in the second. */
#include "cpu/fast_winograd.h"

enum {
    BLOCK_ROWS = 96,
    BLOCK_COLUMNS = MATRIX_BLOCK_COLUMNS,
    SLICE = 320,
    MAX_RUNS = 16,
    TILES = BLOCK_ROWS / KERNEL_ROWS
};

/* One worker's scratch. */
typedef struct matrix_scratch {
    float sums[BLOCK_ROWS * BLOCK_COLUMNS];
    float panel[SLICE * KERNEL_MAX_COLUMNS]; /* a slice of a panel that is not f32, widened */
    float zeros[SLICE];
    float row[2 * BLOCK_COLUMNS];
    const float *rows[TILES * MAX_RUNS * KERNEL_ROWS];
    int64_t y[BLOCK_ROWS],
        x[BLOCK_ROWS]; /* top left corner of each row's window, padding included; may be negative */
    uint64_t sample[BLOCK_ROWS];
} matrix_scratch;

/* A place in the sequence of runs: tap-major, x0 before x1, then channels. */
typedef struct run_cursor {
    uint32_t tap;
    bool second;
    uint64_t channel;
} run_cursor;

/* -------------------------------------------------------------------------------------------- reading the
 * input -- */

static void locate_rows(const matrix_job *job, uint64_t first, uint32_t count, matrix_scratch *s) {
    const conv2d_params *p = job->conv;
    for (uint32_t i = 0; p && i < count; i++) {
        uint64_t row = job->row0 + first + i, ox = row % p->ow, oy = row / p->ow % p->oh;
        s->sample[i] = row / p->ow / p->oh;
        s->y[i] = (int64_t)(oy * p->stride) - p->pad_top;
        s->x[i] = (int64_t)(ox * p->stride) - p->pad_left;
    }
}

/* The source pixel that row `i` of the block reads at `tap`; negative: padding. */
static int64_t source_pixel(const matrix_job *job, const matrix_scratch *s, uint64_t first, uint32_t i,
                            uint32_t tap) {
    const conv2d_params *p = job->conv;
    if (!p) return (int64_t)(job->row0 + first + i);
    return matrix_source_pixel(p, s->sample[i], s->y[i] + tap / p->kw, s->x[i] + tap % p->kw);
}

/* Fills s->rows[tile][run][KERNEL_ROWS] for one run. */
static void point_rows(const matrix_job *job, uint64_t first, uint32_t count, const run_cursor *at,
                       uint32_t run, uint32_t runs, matrix_scratch *s) {
    const float *x = at->second ? job->x1 : job->x0;
    uint64_t c = at->second ? job->c1 : job->c0, base = at->second ? job->x1_base : job->x0_base;
    for (uint32_t i = 0; i < ceil_div(count, KERNEL_ROWS) * KERNEL_ROWS; i++) {
        int64_t pixel = i < count ? source_pixel(job, s, first, i, at->tap) : -1;
        const float *row = pixel < 0 ? s->zeros : x + ((uint64_t)pixel * c + at->channel - base);
        s->rows[((size_t)(i / KERNEL_ROWS) * runs + run) * KERNEL_ROWS + i % KERNEL_ROWS] = row;
    }
}

/* The next runs, at most SLICE long together: their places and lengths. Returns how many; 0 at the end. */
static uint32_t next_slice(const matrix_job *job, run_cursor *at, run_cursor places[MAX_RUNS],
                           uint32_t lengths[MAX_RUNS], uint32_t *total) {
    uint32_t runs = 0;
    *total = 0;
    while (at->tap < job->taps && runs < MAX_RUNS && *total < SLICE) {
        uint64_t c = at->second ? job->c1 : job->c0, left = c - at->channel, room = SLICE - *total;
        /* a long run is cut into equal parts rather than full ones and a rest */
        uint64_t parts = (left + SLICE - 1) / SLICE, length = (left + parts - 1) / parts;
        if (length > room && runs > 0) break;
        places[runs] = *at;
        lengths[runs++] = (uint32_t)length;
        *total += (uint32_t)length;
        at->channel += length;
        if (at->channel == c) {
            at->channel = 0;
            at->tap += at->second || job->c1 == 0;
            at->second = !at->second && job->c1 > 0;
        }
    }
    return runs;
}

/* ---------------------------------------------------------------------------------------------------
 * epilogue -- */

void matrix_finish_row(const matrix_job *job, uint64_t row, uint64_t column, uint32_t columns, float *sums,
                       float *gates, float *scratch) {
    const cpu_kernels *k = job->f->kernels;
    if (job->flags & EPILOGUE_BIAS) {
        const float *bias = (const float *)job->bias->data + column;
        k->add(sums, bias, columns);
        if (gates) k->add(gates, bias + job->n, columns);
    }
    if (job->flags & EPILOGUE_VEC) {
        uint64_t at = (job->row0 + row) / job->rows_per_sample * job->vec_stride + job->vec_offset + column;
        k->load(job->vec->type, operand_at(job->vec, at), columns, scratch);
        k->add(sums, scratch, columns);
    }
    if (job->flags & EPILOGUE_SILU) k->activate(UNARY_SILU, sums, columns);
    if (job->flags & EPILOGUE_GELU) k->activate(UNARY_GELU, sums, columns);
    if (job->flags & EPILOGUE_QUICK_GELU) k->activate(UNARY_QUICK_GELU, sums, columns);
    if (gates) k->gate(sums, gates, columns);
    uint64_t index = (job->row0 + row) * job->n + column - job->out_base;
    if (job->flags & EPILOGUE_RESIDUAL) {
        k->load(job->residual->type, operand_at(job->residual, index), columns, scratch);
        k->add(sums, scratch, columns);
    }
    k->store(job->out->type, operand_at(job->out, index), sums, columns);
}

static void finish_block(const matrix_job *job, uint64_t first, uint32_t count, uint32_t panel0,
                         uint32_t panels, matrix_scratch *s) {
    uint32_t columns = job->f->kernels->columns, stride = panels * columns;
    for (uint32_t i = 0; i < count; i++) {
        float *sums = s->sums + (size_t)i * stride;
        if (job->w->geglu) { /* panel by panel, as values and gates alternate */
            for (uint32_t p = 0; p < panels; p += 2) {
                uint64_t column = (uint64_t)(panel0 + p) / 2 * columns, left = job->n - column;
                matrix_finish_row(job, first + i, column, left < columns ? (uint32_t)left : columns,
                                  sums + p * columns, sums + (p + 1) * columns, s->row);
            }
        } else {
            uint64_t column = (uint64_t)panel0 * columns, left = job->n - column;
            matrix_finish_row(job, first + i, column, left < stride ? (uint32_t)left : stride, sums, NULL,
                              s->row);
        }
    }
}

/* ------------------------------------------------------------------------------------------------- the
 * product -- */

static void multiply_block(const matrix_job *job, uint64_t first, uint32_t count, uint32_t panel0,
                           uint32_t panels, matrix_scratch *s) {
    const cpu_kernels *kernels = job->f->kernels;
    const packed_matrix *w = job->w;
    uint32_t columns = kernels->columns, stride = panels * columns, tiles = ceil_div(count, KERNEL_ROWS),
             total, runs;
    run_cursor at = {0}, places[MAX_RUNS];
    uint32_t lengths[MAX_RUNS];
    uint64_t k = 0;
    locate_rows(job, first, count, s);
    while ((runs = next_slice(job, &at, places, lengths, &total)) > 0) {
        for (uint32_t run = 0; run < runs; run++)
            point_rows(job, first, count, &places[run], run, runs, s);
        for (uint32_t p = 0; p < panels; p++) {
            const uint8_t *panel =
                (const uint8_t *)w->data + dtype_bytes(w->type, (uint64_t)(panel0 + p) * w->k * columns);
            const float *b = (const float *)(const void *)panel + k * columns;
            if (dtype_block(w->type) > 1)
                kernels->unpack(w->type, panel, k, total, s->panel);
            else if (w->type != DTYPE_F32)
                kernels->load(w->type, (const uint16_t *)(const void *)panel + k * columns,
                              (size_t)total * columns, s->panel);
            if (w->type != DTYPE_F32) b = s->panel;
            for (uint32_t tile = 0; tile < tiles; tile++)
                kernels->multiply(runs, s->rows + (size_t)tile * runs * KERNEL_ROWS, lengths, b,
                                  s->sums + (size_t)tile * KERNEL_ROWS * stride + p * columns, stride, k > 0);
        }
        k += total;
    }
}

static void run_blocks(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const matrix_job *job = argument;
    matrix_scratch *s = fast_private(job->f, worker);
    for (uint32_t i = 0; i < SLICE; i++)
        s->zeros[i] = 0;
    for (uint64_t block = first; block < last; block++) { /* neighbours share their panels */
        uint64_t row = block % job->row_blocks * job->block_rows, left = job->rows - row;
        uint32_t panel = (uint32_t)(block / job->row_blocks) * job->block_panels,
                 panels = job->w->panels - panel;
        uint32_t count = left < job->block_rows ? (uint32_t)left : job->block_rows;
        if (panels > job->block_panels) panels = job->block_panels;
        multiply_block(job, row, count, panel, panels, s);
        finish_block(job, row, count, panel, panels, s);
    }
}

/* Blocks as large as scratch allows, but several for each worker. */
static void choose_blocks(matrix_job *job) {
    uint32_t step = job->w->geglu ? 2 : 1, wanted = 3 * job->f->workers;
    job->block_rows = BLOCK_ROWS;
    job->block_panels = BLOCK_COLUMNS / job->f->kernels->columns / step * step;
    for (;;) {
        job->row_blocks = (job->rows + job->block_rows - 1) / job->block_rows;
        job->panel_blocks = ceil_div(job->w->panels, job->block_panels);
        if (job->row_blocks * job->panel_blocks >= wanted || job->f->workers == 1) break;
        if (job->block_panels > 6)
            job->block_panels = job->block_panels / 2 / step * step;
        else if (job->block_rows > 24)
            job->block_rows /= 2;
        else
            break;
    }
    /* even out: 11 panels as 6 + 5, not 8 + 3 */
    job->block_panels = ceil_div(ceil_div(job->w->panels, (uint32_t)job->panel_blocks), step) * step;
    job->panel_blocks = ceil_div(job->w->panels, job->block_panels);
}

/* ------------------------------------------------------------------------------- inputs that are not yet in
 * f32 -- */

typedef struct widen_job {
    const fast_program *f;
    const cpu_operand *x;
    uint64_t base; /* first element that is needed */
    float *to;
} widen_job;

static void widen_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    (void)worker;
    const widen_job *job = argument;
    job->f->kernels->load(job->x->type, operand_at(job->x, job->base + first), (size_t)(last - first),
                          job->to + first);
}

const float *fast_widen(const fast_program *f, const cpu_call *call, const cpu_operand *x, op_region region,
                        uint64_t *base, float **scratch) {
    if (!x->data || x->type == DTYPE_F32) return x->data;
    widen_job job = {f, x, region.first, *scratch};
    thread_pool_for(call->pool, region.end - region.first, 4096, widen_range, &job);
    *scratch += region.end - region.first;
    *base += region.first;
    return job.to;
}

static fast_scratch matrix_scratch_size(const fast_program *f, const cpu_call *call) {
    op_region regions[OP_MAX_BINDINGS] = {{0, 0}};
    fast_scratch need = {0, sizeof(matrix_scratch)};
    const matrix_kernel *kernel = call->state;
    if (!op_regions(call->op, call->params, regions))
        return need;         /* executor_prepare has checked that they exist */
    if (kernel->native[0]) { /* sums of the whole output */
        bool geglu = call->op == OP_LINEAR && (call->params->linear.flags & EPILOGUE_GEGLU);
        need.shared = (regions[LINEAR_OUT].end - regions[LINEAR_OUT].first) * (geglu ? 2 : 1) * sizeof(float);
        return need;
    }
    if (call->operands[LINEAR_X0].type != DTYPE_F32) {
        for (int x = LINEAR_X0; x <= LINEAR_X1; x++)
            need.shared += (regions[x].end - regions[x].first) * sizeof(float);
    }
    if (!kernel->packed->data) need.shared += align_up(fast_packed_bytes(f, kernel->packed), sizeof(float));
    if (winograd_applies(call)) {
        fast_scratch more = winograd_scratch(f, call);
        need.shared = size_add(need.shared, more.shared, &need.shared) ? need.shared : UINT64_MAX;
        if (more.private_ > need.private_) need.private_ = more.private_;
    }
    return need;
}

/* -------------------------------------------------------------------------------------------- by way of
 * oneDNN -- */

/* Items are rows, whose sums (and gates) stand in shared scratch. */
static void finish_rows(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const matrix_job *job = argument;
    matrix_scratch *s = fast_private(job->f, worker);
    bool geglu = job->flags & EPILOGUE_GEGLU;
    for (uint64_t row = first; row < last; row++) {
        float *sums = (float *)(void *)job->f->shared + row * job->n * (geglu ? 2 : 1);
        for (uint64_t column = 0; column < job->n; column += BLOCK_COLUMNS) {
            uint64_t left = job->n - column;
            matrix_finish_row(job, row, column, left < BLOCK_COLUMNS ? (uint32_t)left : BLOCK_COLUMNS,
                              sums + column, geglu ? sums + job->n + column : NULL, s->row);
        }
    }
}

static bool run_native(const cpu_call *call, matrix_job *job, const matrix_kernel *kernel) {
    float *sums = (float *)(void *)job->f->shared;
    for (int x = LINEAR_X0; x <= LINEAR_X1; x++)
        if (kernel->native[x] && !onednn_conv_run(kernel->native[x], call->operands[x].data, sums))
            return false;
    thread_pool_for(call->pool, job->rows, 16, finish_rows, job);
    return true;
}

/* Fills kernel->native for a convolution of `shape` (of which the source's channels, c, are c0 + c1), if
 * oneDNN can. */
static void seal_native(cpu_program *g, const cpu_call *call, onednn_shape shape, uint32_t c0, uint32_t c1,
                        matrix_kernel *kernel) {
    const fast_program *f = fast_program_of(g);
    const cpu_operand *o = call->operands;
    uint32_t counts[2] = {c0, c1};
    shape.type = cpu_executor_of(g)->native;
    if (!f->native || o[LINEAR_X0].type != shape.type || o[LINEAR_WEIGHT].type != shape.type) return;
    shape.weight_stride = c0 + c1;
    for (int x = 0; x < 2 && counts[x] > 0; x++) {
        shape.c = counts[x];
        shape.weight_offset = x == 0 ? 0 : c0;
        shape.accumulate = x == 1;
        kernel->native[x] = onednn_conv_create(f->native, &shape, o[LINEAR_WEIGHT].data);
        if (!kernel->native[x]) {
            onednn_conv_destroy(kernel->native[0]);
            kernel->native[0] = NULL;
            return;
        }
    }
}

/* Whether the matrix is written once by the host: not by any dispatch, as training and transposed weights
 * are. */
static bool weight_is_constant(const cpu_program *g, const cpu_call *call) {
    const plan *p = g->base.plan;
    uint32_t buffer = p->dispatches[call - g->calls].bindings[LINEAR_WEIGHT].buffer;
    if (p->buffers[buffer].kind != PLAN_WEIGHT) return false;
    for (uint32_t i = 0; i < p->dispatch_count; i++) {
        const op_info *info = op_get((op)p->dispatches[i].op);
        for (uint32_t j = 0; j < info->binding_count; j++)
            if ((info->bindings[j].access & OP_WRITE) && p->dispatches[i].bindings[j].buffer == buffer)
                return false;
    }
    return true;
}

/* Weights in whichever form this matrix will be computed from. */
static mzt_status seal_matrix(cpu_program *g, cpu_call *call, const onednn_shape *shape, uint32_t c0,
                              uint32_t c1, uint64_t n, uint64_t k, bool geglu, mzt_error *error) {
    fast_program *f = fast_program_of(g);
    matrix_kernel *kernel = &f->matrix_kernels[f->matrix_kernel_count++];
    call->state = kernel;
    if (!weight_is_constant(g, call)) {
        kernel->packed = fast_pack_later(f, g, call, n, k, geglu);
        return fast_packed_bytes(f, kernel->packed) ? MZT_OK
                                                    : error_memory(error, "packed weights", UINT64_MAX);
    }
    if (shape) seal_native(g, call, *shape, c0, c1, kernel);
    for (int x = 0; x < 2; x++)
        if (kernel->native[x]) f->packed_bytes += onednn_conv_bytes(kernel->native[x]);
    if (kernel->native[0]) return MZT_OK;
    return fast_pack(g, call, n, k, geglu, &kernel->packed, error);
}

static bool run_matrix(const cpu_call *call, matrix_job *job) {
    op_region regions[OP_MAX_BINDINGS] = {{0, 0}};
    const cpu_operand *o = call->operands;
    const matrix_kernel *kernel = call->state;
    if (!op_regions(call->op, call->params, regions)) return false;
    float *scratch = (float *)(void *)job->f->shared;
    packed_matrix changing;
    job->w = kernel->packed;
    job->bias = &o[LINEAR_BIAS];
    job->vec = &o[LINEAR_VEC];
    job->residual = &o[LINEAR_RESIDUAL];
    job->out = &o[LINEAR_OUT];
    if (kernel->native[0]) return run_native(call, job, kernel);
    job->x0 = fast_widen(job->f, call, &o[LINEAR_X0], regions[LINEAR_X0], &job->x0_base, &scratch);
    job->x1 = fast_widen(job->f, call, &o[LINEAR_X1], regions[LINEAR_X1], &job->x1_base, &scratch);
    if (!job->w->data) {
        changing = fast_repack(job->f, call, kernel->packed, scratch);
        job->w = &changing;
        scratch += (fast_packed_bytes(job->f, kernel->packed) + sizeof *scratch - 1) / sizeof *scratch;
    }
    if (winograd_applies(call)) {
        winograd_run(call, job, scratch);
        return true;
    }
    choose_blocks(job);
    thread_pool_for(call->pool, job->row_blocks * job->panel_blocks, 1, run_blocks, job);
    return true;
}

_Static_assert(LINEAR_X0 == (int)CONV2D_X0 && LINEAR_X1 == (int)CONV2D_X1 &&
                   LINEAR_BIAS == (int)CONV2D_BIAS && LINEAR_VEC == (int)CONV2D_VEC &&
                   LINEAR_RESIDUAL == (int)CONV2D_RESIDUAL && LINEAR_OUT == (int)CONV2D_OUT,
               "linear and conv2d share their binding numbers");

/* ------------------------------------------------------------------------------------------------ the two
 * ops -- */

static mzt_status seal_linear(cpu_program *g, cpu_call *call, mzt_error *error) {
    const linear_params *p = &call->params->linear;
    bool geglu = p->flags & EPILOGUE_GEGLU;
    onednn_shape shape = {.n = 1,
                          .h = 1,
                          .w = p->m,
                          .cout = geglu ? 2 * p->n : p->n,
                          .kh = 1,
                          .kw = 1,
                          .stride = 1,
                          .oh = 1,
                          .ow = p->m};
    return seal_matrix(g, call, &shape, p->k0, p->k1, p->n, (uint64_t)p->k0 + p->k1, geglu, error);
}

static bool run_linear(const fast_program *f, const cpu_call *call) {
    const linear_params *p = &call->params->linear;
    matrix_job job = {.f = f,
                      .c0 = p->k0,
                      .c1 = p->k1,
                      .taps = 1,
                      .rows = p->m,
                      .n = p->n,
                      .flags = p->flags,
                      .rows_per_sample = p->rows_per_sample,
                      .vec_stride = p->vec_stride,
                      .vec_offset = p->vec_offset};
    return run_matrix(call, &job);
}

static mzt_status seal_conv2d(cpu_program *g, cpu_call *call, mzt_error *error) {
    const conv2d_params *p = &call->params->conv2d;
    uint64_t k = (uint64_t)p->kh * p->kw * ((uint64_t)p->c0 + p->c1);
    onednn_shape shape = {.n = p->n,
                          .h = p->h,
                          .w = p->w,
                          .cout = p->cout,
                          .kh = p->kh,
                          .kw = p->kw,
                          .stride = p->stride,
                          .pad_top = p->pad_top,
                          .pad_left = p->pad_left,
                          .oh = p->oh,
                          .ow = p->ow};
    bool plain = !(p->flags & (CONV_UPSAMPLE2 | CONV_WRAP_X | CONV_WRAP_Y)) && p->x0_base == 0 &&
                 p->x1_base == 0 && p->out_base == 0 && p->row0 == 0 &&
                 p->rows == (uint64_t)p->n * p->oh * p->ow;
    return seal_matrix(g, call, plain ? &shape : NULL, p->c0, p->c1, p->cout, k, false, error);
}

static bool run_conv2d(const fast_program *f, const cpu_call *call) {
    const conv2d_params *p = &call->params->conv2d;
    matrix_job job = {.f = f,
                      .c0 = p->c0,
                      .c1 = p->c1,
                      .x0_base = p->x0_base,
                      .x1_base = p->x1_base,
                      .conv = p,
                      .taps = p->kh * p->kw,
                      .row0 = p->row0,
                      .rows = p->rows,
                      .n = p->cout,
                      .flags = p->flags,
                      .rows_per_sample = (uint64_t)p->oh * p->ow,
                      .vec_stride = p->vec_stride,
                      .vec_offset = p->vec_offset,
                      .out_base = p->out_base};
    return run_matrix(call, &job);
}

const fast_op fast_linear = {seal_linear, matrix_scratch_size, run_linear};
const fast_op fast_conv2d = {seal_conv2d, matrix_scratch_size, run_conv2d};
