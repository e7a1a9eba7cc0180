/* PNDM (Liu et al. 2022, arXiv 2202.09778): Adams-Bashforth of order 4 on the network's output, moved along
 * by DDIM's transfer. It starts either with one improved Euler step (PLMS, two calls) or with three
 * Runge-Kutta steps (four calls each). Slots: 1 ... 3 outputs before, newest first; 4 the start of the step;
 * 5 the Runge-Kutta sum. A run that begins at a later step starts in the same way there. */
#include "sample/build.h"

#include <math.h>

#define SAVED 4
#define SUM   5

static point point_of(const sampler_build *build, double timestep) {
    const noise_table *table = build->table;
    if (timestep >= 0) {
        double last = table->count - 1.0;
        return build_point_bar(timestep, table->alpha_bars[(uint32_t)fmin(timestep, last)]);
    }
    return build_point_bar(0, build->config->alpha_to_one ? 1 : table->alpha_bars[0]);
}

/* DDIM's transfer of `x` from timestep `from` to `to` along `output`, a mix of network outputs. A v mix is
 * turned into noise with x. */
static form transfer(const sampler_build *build, form x, double from, double to, form output) {
    point at = point_of(build, from), next = point_of(build, to);
    form noise = output;
    if (build->config->prediction == PREDICTION_V) noise = form_mix(at.alpha, output, at.sigma, x);
    double stretch = next.alpha / at.alpha;
    return form_mix(stretch, x, next.sigma - stretch * at.sigma, noise);
}

/* The multistep mix of the current output and `known` earlier ones. */
static form multistep(uint32_t known) {
    static const double weights[4][4] = {{1, 0, 0, 0},
                                         {3 / 2., -1 / 2., 0, 0},
                                         {23 / 12., -16 / 12., 5 / 12., 0},
                                         {55 / 24., -59 / 24., 37 / 24., -9 / 24.}};
    form mix = form_scale(weights[known][0], form_column(SAMPLER_COLUMN_OUTPUT));
    for (uint32_t j = 0; j < known; j++)
        mix = form_add(mix, weights[known][j + 1], form_slot((int)j + 1));
    return mix;
}

static void remember_output(double *row) {
    row_set(row, 3, form_slot(2));
    row_set(row, 2, form_slot(1));
    row_set(row, 1, form_column(SAMPLER_COLUMN_OUTPUT));
}

/* The step at i with `known` earlier outputs. */
static void multistep_row(sampler_build *build, uint32_t i, uint32_t known, uint32_t ratio) {
    double t = build->schedule->timesteps[i];
    double *row = build_row(build, point_of(build, t), i);
    row_set(row, 0, transfer(build, form_slot(0), t, t - ratio, multistep(known)));
    remember_output(row);
}

/* The second call of the improved Euler start: at the step's end, back from its start with the mean of both
 * outputs. This output is not kept: the next one is made at the same timestep. */
static void improve_row(sampler_build *build, uint32_t i, double t, uint32_t ratio) {
    double *row = build_row(build, point_of(build, t), i);
    form mean = form_mix(0.5, form_column(SAMPLER_COLUMN_OUTPUT), 0.5, form_slot(1));
    row_set(row, 0, transfer(build, form_slot(SAVED), t + ratio, t, mean));
}

static void append_plms(sampler_build *build, uint32_t ratio) {
    uint32_t n = build->schedule->steps, done = 0;
    for (uint32_t i = build->begin; i < n; i++, done++) {
        multistep_row(build, i, done < 3 ? done : 3, ratio);
        if (done > 0 || i + 1 >= n) continue;
        double *first = build->program->rows + (size_t)(build->program->calls - 1) * SAMPLER_ROW_FLOATS;
        row_set(first, SAVED, form_slot(0));
        row_more(first);
        improve_row(build, i, build->schedule->timesteps[i + 1], ratio);
    }
}

/* One Runge-Kutta step of order 4 from `from`: halfway, halfway again, the end, and the weighted mean. */
static void runge_kutta_step(sampler_build *build, uint32_t i, double from, double half, double end,
                             uint32_t offset) {
    static const double weights[4] = {1 / 6., 1 / 3., 1 / 3., 1 / 6.};
    const double calls[4] = {from, half, half, end};
    const double targets[4] = {from - offset, half, half - offset, end};
    for (int k = 0; k < 4; k++) {
        double *row = build_row(build, point_of(build, calls[k]), i);
        form output = form_column(SAMPLER_COLUMN_OUTPUT), x = form_slot(k == 0 ? 0 : SAVED);
        form sum = form_mix(k == 0 ? 0 : 1, form_slot(SUM), weights[k], output);
        row_set(row, 0, transfer(build, x, from, targets[k], k == 3 ? sum : output));
        row_set(row, SUM, sum);
        if (k < 3) row_more(row);
        if (k > 0) continue;
        row_set(row, SAVED, form_slot(0));
        remember_output(row);
    }
}

mzt_status append_pndm(sampler_build *build) {
    uint32_t n = build->schedule->steps, left = n - build->begin, ratio = build->table->count / n;
    const double *timesteps = build->schedule->timesteps;
    const sampler_config *config = build->config;
    if (config->prediction == PREDICTION_SAMPLE)
        return error_set(build->error, MZT_ERROR_UNSUPPORTED,
                         "prediction_type \"sample\" is not defined for pndm");
    point end = point_of(build, timesteps[n - 1] - ratio);
    build->program->final_sigma = end.sigma / end.alpha;
    if (config->skip_prk) {
        append_plms(build, ratio);
        return MZT_OK;
    }
    if (left < 4)
        return error_set(build->error, MZT_ERROR_INVALID,
                         "pndm with skip_prk_steps false needs at least 4 steps, not %u", (unsigned)left);
    for (uint32_t i = build->begin; i < build->begin + 3; i++)
        runge_kutta_step(build, i, timesteps[i], timesteps[i + 1] + ratio / 2, timesteps[i + 1], ratio / 2);
    for (uint32_t i = build->begin + 3; i < n; i++)
        multistep_row(build, i, 3, ratio);
    return MZT_OK;
}
