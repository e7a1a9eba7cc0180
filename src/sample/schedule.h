/* Noise schedules: the table a network was trained with, and the timesteps and sigmas of one run.
 * Everything is computed in double and rounded to float32 where diffusers stores float32, so that timesteps
 * found by searching the tables agree with it. */
#ifndef SAMPLE_SCHEDULE_H
#define SAMPLE_SCHEDULE_H

#include "sample/config.h"

/* [count] values by training timestep. Flow matching: alpha_bars is NULL and sigmas are the shifted sigmas.
 */
typedef struct noise_table {
    uint32_t count;
    double *alpha_bars; /* product of (1 - beta) */
    double *sigmas;     /* sqrt((1 - alpha_bar) / alpha_bar), ascending; infinite at zero terminal SNR without
                           floor */
    double *log_sigmas;
} noise_table;

/* One run: timesteps [steps], descending, and sigmas [steps + 1], the last being where the run ends. */
typedef struct step_schedule {
    uint32_t steps; /* may be fewer than asked for: SCHEDULE_BETA drops repeated timesteps */
    double *timesteps;
    double *sigmas;
} step_schedule;

/* Makes the training table of a checked config. INVALID if the betas leave (0, 1), naming the first. */
mzt_status noise_table_create(const base_host *host, const sampler_config *config, noise_table *table,
                              mzt_error *error);
void noise_table_destroy(const base_host *host, noise_table *table);

/* The timestep whose sigma is `sigma`, linear in log sigma between table entries, clamped to the table. */
double noise_table_timestep(const noise_table *table, double sigma);

/* The sigma at a timestep with a fraction, linear between table entries, clamped to the table. */
double noise_table_sigma(const noise_table *table, double timestep);

/* The schedule of `steps` steps. `custom` NULL, or steps + 1 descending sigmas that replace it. */
mzt_status schedule_create(const base_host *host, const sampler_config *config, const noise_table *table,
                           uint32_t steps, const double *custom, step_schedule *out, mzt_error *error);
void schedule_destroy(const base_host *host, step_schedule *steps);

/* The x at which the regularised incomplete beta function I_x(a, b) equals p; a, b > 0 and 0 <= p <= 1. */
double beta_quantile(double p, double a, double b);

#endif
