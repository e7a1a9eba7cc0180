/* Normalisations for the `cpu` executor: rows of channels in f32, sums of a chunk in f32, across chunks in
 * double. */
#include <math.h>

#include "cpu/fast.h"

/* One row [x0 | x1] as f32. */
static void load_joined(const cpu_kernels *k, const cpu_operand *x0, const cpu_operand *x1, uint64_t c0,
                        uint64_t c1, uint64_t at0, uint64_t at1, float *row) {
    k->load(x0->type, operand_at(x0, at0), c0, row);
    if (c1) k->load(x1->type, operand_at(x1, at1), c1, row + c0);
}

typedef struct norm_job {
    const fast_program *f;
    const cpu_call *call;
} norm_job;

/* Sets every channel of a group to the mean over the group of values[c] / rows. */
static void spread_means(float *values, uint64_t channels, uint64_t groups, double rows) {
    uint64_t size = channels / groups;
    for (uint64_t group = 0; group < groups; group++) {
        double sum = 0;
        for (uint64_t i = 0; i < size; i++)
            sum += (double)values[group * size + i];
        for (uint64_t i = 0; i < size; i++)
            values[group * size + i] = (float)(sum / (rows * (double)size));
    }
}

/* Items are chunks. Scratch: [3][channels] sums, squares, the row. */
static void measure_chunks(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const norm_job *job = argument;
    const group_norm_stats_params *p = &job->call->params->group_norm_stats;
    const cpu_operand *o = job->call->operands;
    const cpu_kernels *k = job->f->kernels;
    uint64_t channels = (uint64_t)p->c0 + p->c1, size = channels / p->groups;
    float *means = fast_private(job->f, worker), *squares = means + channels, *row = squares + channels;
    for (uint64_t chunk = p->chunk0 + first; chunk < p->chunk0 + last; chunk++) {
        uint64_t begin = chunk % p->chunks * p->rows_per_chunk, end = begin + p->rows_per_chunk,
                 base = chunk / p->chunks * p->hw;
        if (end > p->hw) end = p->hw;
        memset(means, 0, 2 * channels * sizeof *means);
        for (int pass = 0; pass < 2; pass++) {
            for (uint64_t r = base + begin; r < base + end; r++) {
                load_joined(k, &o[GROUP_NORM_STATS_X0], &o[GROUP_NORM_STATS_X1], p->c0, p->c1,
                            r * p->c0 - p->x0_base, r * p->c1 - p->x1_base, row);
                if (pass == 0)
                    k->add(means, row, channels);
                else
                    k->add_squares(squares, row, means, channels);
            }
            if (pass == 0) spread_means(means, channels, p->groups, (double)(end - begin));
        }
        float *out = operand_at(&o[GROUP_NORM_STATS_PARTIAL], chunk * p->groups * 2);
        for (uint64_t group = 0; group < p->groups; group++) {
            double sum = 0;
            for (uint64_t i = 0; i < size; i++)
                sum += (double)squares[group * size + i];
            out[2 * group] = means[group * size];
            out[2 * group + 1] = (float)sum;
        }
    }
}

static fast_scratch stats_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    const group_norm_stats_params *p = &call->params->group_norm_stats;
    return (fast_scratch){0, 3 * ((uint64_t)p->c0 + p->c1) * sizeof(float)};
}

static bool run_stats(const fast_program *f, const cpu_call *call) {
    norm_job job = {f, call};
    thread_pool_for(call->pool, call->params->group_norm_stats.chunk_count, 1, measure_chunks, &job);
    return true;
}

/* Joins the chunks of every group (as cpu-reference does, by Chan's formula) into [samples][3][channels]:
 * mean, scale, shift of each channel. */
static void join_chunks(const cpu_call *call, uint64_t sample, float *out) {
    const group_norm_params *p = &call->params->group_norm;
    uint64_t channels = (uint64_t)p->c0 + p->c1, size = channels / p->groups;
    const float *partial =
        operand_at(&call->operands[GROUP_NORM_PARTIAL], sample * p->chunks * p->groups * 2);
    const float *gamma = call->operands[GROUP_NORM_GAMMA].data, *beta = call->operands[GROUP_NORM_BETA].data;
    for (uint64_t group = 0; group < p->groups; group++) {
        double count = 0, mean = 0, squares = 0;
        for (uint64_t chunk = 0; chunk < p->chunks; chunk++) {
            uint64_t begin = chunk * p->rows_per_chunk, left = p->hw - begin;
            double more = (double)((left < p->rows_per_chunk ? left : p->rows_per_chunk) * size),
                   total = count + more;
            const float *at = partial + (chunk * p->groups + group) * 2;
            double distance = (double)at[0] - mean;
            mean += distance * more / total;
            squares += (double)at[1] + distance * distance * count * more / total;
            count = total;
        }
        double scale = 1 / sqrt(squares / count + (double)p->eps);
        for (uint64_t c = group * size; c < (group + 1) * size; c++) {
            out[c] = (float)mean;
            out[channels + c] = (float)(scale * (double)gamma[c]);
            out[2 * channels + c] = beta[c];
        }
    }
}

/* Items are rows of the window. */
static void apply_group_norm(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const norm_job *job = argument;
    const group_norm_params *p = &job->call->params->group_norm;
    const cpu_operand *o = job->call->operands;
    const cpu_kernels *k = job->f->kernels;
    uint64_t channels = (uint64_t)p->c0 + p->c1, sample0 = p->row0 / p->hw;
    const float *joined = (const float *)(const void *)job->f->shared;
    float *row = fast_private(job->f, worker);
    for (uint64_t r = p->row0 + first; r < p->row0 + last; r++) {
        const float *mean = joined + (r / p->hw - sample0) * 3 * channels;
        load_joined(k, &o[GROUP_NORM_X0], &o[GROUP_NORM_X1], p->c0, p->c1, r * p->c0 - p->x0_base,
                    r * p->c1 - p->x1_base, row);
        k->normalize(row, mean, mean + channels, mean + 2 * channels, channels);
        if (p->flags & NORM_SILU) k->activate(UNARY_SILU, row, channels);
        k->store(o[GROUP_NORM_OUT].type, operand_at(&o[GROUP_NORM_OUT], r * channels - p->out_base), row,
                 channels);
    }
}

static fast_scratch group_norm_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    const group_norm_params *p = &call->params->group_norm;
    uint64_t channels = (uint64_t)p->c0 + p->c1;
    return (fast_scratch){3 * channels * p->n * sizeof(float), channels * sizeof(float)};
}

static bool run_group_norm(const fast_program *f, const cpu_call *call) {
    const group_norm_params *p = &call->params->group_norm;
    norm_job job = {f, call};
    uint64_t channels = (uint64_t)p->c0 + p->c1, sample0 = p->row0 / p->hw,
             sample1 = ((uint64_t)p->row0 + p->rows - 1) / p->hw;
    for (uint64_t sample = sample0; sample <= sample1; sample++)
        join_chunks(call, sample, (float *)(void *)f->shared + (sample - sample0) * 3 * channels);
    thread_pool_for(call->pool, p->rows, 16, apply_group_norm, &job);
    return true;
}

/* Items are rows. Scratch: [c]. */
static void apply_layer_norm(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const norm_job *job = argument;
    const layer_norm_params *p = &job->call->params->layer_norm;
    const cpu_operand *o = job->call->operands;
    const cpu_kernels *k = job->f->kernels;
    float *row = fast_private(job->f, worker);
    for (uint64_t r = first; r < last; r++) {
        k->load(o[LAYER_NORM_X].type, operand_at(&o[LAYER_NORM_X], r * p->c), p->c, row);
        float mean = (float)(k->sum(row, p->c) / p->c);
        double scale = 1 / sqrt(k->sum_squares(row, mean, p->c) / p->c + (double)p->eps);
        k->affine(row, 1, -mean, p->c);
        k->affine(row, (float)scale, 0, p->c);
        k->multiply_by(row, o[LAYER_NORM_GAMMA].data, p->c);
        k->add(row, o[LAYER_NORM_BETA].data, p->c);
        k->store(o[LAYER_NORM_OUT].type, operand_at(&o[LAYER_NORM_OUT], r * p->c), row, p->c);
    }
}

static fast_scratch layer_norm_scratch(const fast_program *f, const cpu_call *call) {
    (void)f;
    return (fast_scratch){0, (uint64_t)call->params->layer_norm.c * sizeof(float)};
}

static bool run_layer_norm(const fast_program *f, const cpu_call *call) {
    norm_job job = {f, call};
    thread_pool_for(call->pool, call->params->layer_norm.rows, 16, apply_layer_norm, &job);
    return true;
}

const fast_op fast_group_norm_stats = {NULL, stats_scratch, run_stats};
const fast_op fast_group_norm = {NULL, group_norm_scratch, run_group_norm};
const fast_op fast_layer_norm = {NULL, layer_norm_scratch, run_layer_norm};
