/* Helpers that samplers share when they append rows; see build.h. */
#include "sample/build.h"

#include <math.h>
#include <string.h>

point build_point_bar(double timestep, double alpha_bar) {
    return (point){timestep, sqrt(alpha_bar), sqrt(1 - alpha_bar)};
}

point build_point_at(const sampler_build *build, double timestep, double sigma) {
    switch (build->info->space) {
    case SPACE_EXPLODING:
        return (point){timestep, 1, sigma};
    case SPACE_FLOW:
        return (point){timestep, 1 - sigma, sigma};
    case SPACE_PRESERVING:
        break;
    }
    if (isinf(sigma)) return (point){timestep, 0, 1};
    double alpha = 1 / sqrt(sigma * sigma + 1);
    return (point){timestep, alpha, sigma * alpha};
}

point build_point(const sampler_build *build, uint32_t index) {
    const step_schedule *schedule = build->schedule;
    double timestep = index < schedule->steps ? schedule->timesteps[index] : 0;
    return build_point_at(build, timestep, schedule->sigmas[index]);
}

/* d = p0 * slot 0 + q * m */
static void set_prediction(const sampler_build *build, point at, double *row) {
    double p0 = 0, q = 1, shrink = 1;
    bool exploding = build->info->space == SPACE_EXPLODING;
    switch (build->config->prediction) {
    case PREDICTION_EPSILON: /* x = alpha d + sigma m */
        p0 = 1 / at.alpha;
        q = -at.sigma / at.alpha;
        break;
    case PREDICTION_V: /* d = alpha x - sigma m, of the variance-preserving x */
        if (exploding) shrink = 1 / sqrt(at.sigma * at.sigma + 1);
        p0 = at.alpha * shrink * shrink;
        q = -at.sigma * shrink;
        break;
    case PREDICTION_FLOW: /* m = n - d */
        p0 = 1;
        q = -at.sigma;
        break;
    case PREDICTION_SAMPLE:
        break;
    }
    row[SAMPLER_ROW_PREDICTION] = p0;
    row[SAMPLER_ROW_Q] = q;
}

double *build_row(sampler_build *build, point at, uint32_t step) {
    sampler_program *program = build->program;
    double *row = program->rows + (size_t)program->calls * SAMPLER_ROW_FLOATS;
    if (program->calls + 1 < build->capacity) program->calls++;
    bool exploding = build->info->space == SPACE_EXPLODING;
    memset(row, 0, SAMPLER_ROW_FLOATS * sizeof *row);
    row[SAMPLER_ROW_TIMESTEP] = at.timestep;
    row[SAMPLER_ROW_CLIP] = build->config->clip_sample;
    row[SAMPLER_ROW_STEP] = step - build->begin;
    row[SAMPLER_ROW_EMIT] = 1;
    row[SAMPLER_ROW_SIGMA] = build->info->space == SPACE_FLOW ? at.sigma : at.sigma / at.alpha;
    row[SAMPLER_ROW_NOISE1] = row[SAMPLER_ROW_NOISE2] = -1;
    row[SAMPLER_ROW_INPUT] = exploding ? 1 / sqrt(at.sigma * at.sigma + 1) : 1;
    set_prediction(build, at, row);
    for (int slot = 0; slot < SAMPLER_SLOTS; slot++)
        row_set(row, slot, form_slot(slot));
    return row;
}

void row_set(double *row, int slot, form update) {
    memcpy(row + SAMPLER_ROW_UPDATE + slot * SAMPLER_FORM_SIZE, update.c, sizeof update.c);
}

void row_more(double *row) {
    row[SAMPLER_ROW_EMIT] = 0;
}

uint32_t row_noise(sampler_build *build, double *row, int slot, double scale) {
    uint32_t index = build->program->noises++;
    row[SAMPLER_ROW_NOISE1] = index;
    row[SAMPLER_ROW_UPDATE + slot * SAMPLER_FORM_SIZE + SAMPLER_COLUMN_NOISE1] = scale;
    return index;
}

form form_noise(point at) {
    return form_mix(1 / at.sigma, form_slot(0), -at.alpha / at.sigma, form_denoised());
}

form form_noise_raw(const sampler_build *build, point at) {
    form output = form_column(SAMPLER_COLUMN_OUTPUT);
    switch (build->config->prediction) {
    case PREDICTION_EPSILON:
        return output;
    case PREDICTION_V:
        if (build->info->space == SPACE_PRESERVING) return form_mix(at.alpha, output, at.sigma, form_slot(0));
        break;
    case PREDICTION_SAMPLE:
        return form_mix(1 / at.sigma, form_slot(0), -at.alpha / at.sigma, output);
    case PREDICTION_FLOW:
        break;
    }
    return form_noise(at);
}

form form_first_order(form x, point at, point to) {
    return form_mix(to.sigma / at.sigma, x, to.alpha - to.sigma / at.sigma * at.alpha, form_denoised());
}

double point_lambda(point at) {
    return at.sigma == 0 ? INFINITY : log(at.alpha / at.sigma);
}

void ancestral_split(double sigma_from, double sigma_to, double eta, double *down, double *up) {
    double full = sqrt(sigma_to * sigma_to * (sigma_from * sigma_from - sigma_to * sigma_to) /
                       (sigma_from * sigma_from));
    *up = fmin(sigma_to, eta * full);
    *down = sqrt(sigma_to * sigma_to - *up * *up);
}
