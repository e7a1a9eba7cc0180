/* Building sampler programs: linear forms over the columns of program.h, and the helpers that samplers share.
 */
#ifndef SAMPLE_BUILD_H
#define SAMPLE_BUILD_H

#include "sample/compile.h"
#include "sample/samplers.h"
#include "sample/schedule.h"

/* A weighted sum of slots, clean estimate, network output and noises: one slot's update. */
typedef struct form {
    double c[SAMPLER_FORM_SIZE];
} form;

/* Where on its path the latent is: x = alpha x0 + sigma n in the sampler's space. */
typedef struct point {
    double timestep, alpha, sigma;
} point;

typedef struct sampler_build {
    const sampler_config *config;
    const sampler_info *info;
    const noise_table *table;
    const step_schedule *schedule;
    sampler_program *program;
    uint32_t capacity; /* rows allocated */
    bool custom;       /* the schedule is a list of given sigmas */
    uint32_t begin;    /* first step that is run; earlier ones are skipped (image to image) */
    mzt_error *error;
} sampler_build;

static inline form form_column(int column) {
    form f = {{0}};
    f.c[column] = 1;
    return f;
}

static inline form form_slot(int slot) {
    return form_column(SAMPLER_COLUMN_SLOT + slot);
}

/* a x + b y */
static inline form form_mix(double a, form x, double b, form y) {
    for (int i = 0; i < SAMPLER_FORM_SIZE; i++)
        x.c[i] = (a == 0 ? 0 : a * x.c[i]) + (b == 0 ? 0 : b * y.c[i]);
    return x;
}

/* x + b y */
static inline form form_add(form x, double b, form y) {
    return form_mix(1, x, b, y);
}

static inline form form_scale(double a, form x) {
    return form_mix(a, x, 0, x);
}

static inline form form_denoised(void) {
    return form_column(SAMPLER_COLUMN_DENOISED);
}

/* The point of schedule entry `index` (0 ... steps) in the sampler's space. */
point build_point(const sampler_build *build, uint32_t index);
/* The point at a given sigma/alpha (flow: sigma); `timestep` as given. */
point build_point_at(const sampler_build *build, double timestep, double sigma);
/* The point at a given product of (1 - beta), for SPACE_PRESERVING. */
point build_point_bar(double timestep, double alpha_bar);

/* Appends a row for a network call at `at`, with slot 0 as its latent: every slot keeps its value until
 * row_set. The row belongs to step `step` (counted from the schedule's start) and ends it. NULL never:
 * capacity is allocated up front. */
double *build_row(sampler_build *build, point at, uint32_t step);
void row_set(double *row, int slot, form update);
/* Marks that further calls of the same step follow. */
void row_more(double *row);

/* Adds `scale` times a fresh unit normal to a slot's update. Returns the index of the noise. */
uint32_t row_noise(sampler_build *build, double *row, int slot, double scale);

/* The noise estimate (x - alpha d) / sigma with slot 0 as x; from d, so clipping of d counts. */
form form_noise(point at);
/* The same from the network's own output, so clipping of d does not count. */
form form_noise_raw(const sampler_build *build, point at);
/* The first-order step from `at` to `to`: alpha' d + sigma' (x - alpha d) / sigma, with the form `x` as x. */
form form_first_order(form x, point at, point to);

/* log(alpha / sigma); INFINITY at sigma 0. */
double point_lambda(point at);

/* Splits sigma_to (exploding space) into a deterministic target and fresh noise, sigma_to^2 = down^2 + up^2.
 */
void ancestral_split(double sigma_from, double sigma_to, double eta, double *down, double *up);

/* One function per sampler family; they append all rows of a run. */
mzt_status append_euler(sampler_build *build);
mzt_status append_euler_a(sampler_build *build);
mzt_status append_heun(sampler_build *build);
mzt_status append_dpm2(sampler_build *build);
mzt_status append_lms(sampler_build *build);
mzt_status append_ddim(sampler_build *build);
mzt_status append_ddpm(sampler_build *build);
mzt_status append_pndm(sampler_build *build);
mzt_status append_dpmpp_multistep(sampler_build *build);
mzt_status append_dpmpp_singlestep(sampler_build *build);
mzt_status append_dpmpp_2s_a(sampler_build *build);
mzt_status append_dpmpp_sde(sampler_build *build);
mzt_status append_unipc(sampler_build *build);
mzt_status append_deis(sampler_build *build);
mzt_status append_lcm(sampler_build *build);
mzt_status append_tcd(sampler_build *build);

#endif
