/* The table of samplers. Adding one takes a row here and a function that appends rows to a program (build.h).
 */
#ifndef SAMPLE_SAMPLERS_H
#define SAMPLE_SAMPLERS_H

#include "sample/config.h"

struct sampler_build;

/* The variable that slot 0 holds. */
typedef enum sampler_space {
    SPACE_PRESERVING, /* x = alpha x0 + sigma n, alpha^2 + sigma^2 = 1 */
    SPACE_EXPLODING,  /* x = x0 + sigma n; the network is given x / sqrt(1 + sigma^2) */
    SPACE_FLOW        /* x = (1 - sigma) x0 + sigma n */
} sampler_space;

/* How the default timesteps are laid out. */
typedef enum sampler_layout {
    LAYOUT_INTEGER, /* whole timesteps, the previous one is t - train_steps / steps (DDIM and relatives) */
    LAYOUT_SIGMA,   /* timesteps with fractions, ends at sigma 0 */
    LAYOUT_LAMBDA,  /* steps + 1 whole timesteps without the last */
    LAYOUT_CONSISTENCY, /* a subset of the distilled solver's timesteps */
    LAYOUT_FLOW
} sampler_layout;

typedef struct sampler_info {
    const char *name;       /* "dpmpp_2m" */
    const char *label;      /* "DPM++ 2M" */
    const char *aliases;    /* further names, comma separated, in lower case without punctuation */
    const char *class_name; /* diffusers class, or NULL */
    mzt_status (*append)(struct sampler_build *build);
    sampler_space space;
    sampler_layout layout;
    uint32_t order; /* order of convergence of the whole run, start-up included; 0 for stochastic samplers */
    uint32_t evaluations; /* network evaluations a step (the last step of two-stage samplers takes one) */
    bool stochastic;      /* with its default eta */
    bool round_timesteps; /* timesteps found from sigmas are rounded, as the class does */
} sampler_info;

/* Never NULL for a valid kind. */
const sampler_info *sampler_info_get(sampler_kind kind);

/* Finds a sampler by name, label or alias; upper case, spaces, '-' and '_' do not matter and '+' reads as
 * 'p'. A schedule at the end ("Euler a Karras") goes to *schedule, otherwise *schedule is SCHEDULE_COUNT.
 * INVALID lists what is known. */
mzt_status sampler_find(const char *name, sampler_kind *kind, sigma_schedule *schedule, mzt_error *error);
mzt_status sampler_schedule_find(const char *name, sigma_schedule *schedule, mzt_error *error);

/* "karras" and so on. */
const char *sampler_schedule_name(sigma_schedule schedule);

#endif
