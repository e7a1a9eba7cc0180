/* Timesteps and sigmas of one run; see schedule.h. Layouts and spacings follow diffusers 0.27, Align Your
 * Steps, simple, sgm_uniform and beta what users of node editors know by these names. */
#include "sample/schedule.h"

#include <math.h>

#include "sample/samplers.h"

#define KARRAS_RHO 7.0

/* Align Your Steps, 10 steps, as published for Stable Diffusion 1.5 and SDXL (Sabour et al. 2024, arXiv
 * 2404.14507). */
static const double ays_sd1[11] = {14.615, 6.475, 3.861, 2.697, 1.886, 1.396,
                                   0.963,  0.652, 0.399, 0.152, 0.029};
static const double ays_sdxl[11] = {14.615, 6.315, 3.771, 2.181, 1.342, 0.862,
                                    0.555,  0.380, 0.234, 0.113, 0.029};

typedef struct maker {
    const sampler_config *config;
    const sampler_info *info;
    const noise_table *table;
    step_schedule *out;
} maker;

static double to_float(double value) {
    return (float)value;
}

/* Entry i of `count` values even from `first` to `last`; the ends are exact. */
static double even(double first, double last, uint32_t i, uint32_t count) {
    if (count == 1 || i == 0) return first;
    return i + 1 == count ? last : first + i * ((last - first) / (count - 1));
}

/* Timesteps of the spacings, descending. LAYOUT_LAMBDA spaces steps + 1 and leaves the last out. */
static void space_timesteps(const maker *m) {
    const sampler_config *config = m->config;
    uint32_t n = m->out->steps, total = config->train_steps, usable = total;
    bool lambda = m->info->layout == LAYOUT_LAMBDA;
    for (uint32_t i = 0; lambda && i < total && usable > 1; i++)
        if (-m->table->log_sigmas[total - 1 - i] < config->lambda_min_clipped) usable = total - 1 - i;
    if (usable == 0) usable = 1;
    uint32_t count = lambda ? n + 1 : n;
    for (uint32_t i = 0; i < n; i++) {
        double t;
        if (config->spacing == SPACING_LINSPACE) {
            uint32_t up =
                count - 1 - i; /* numbered from the small end, as the rounding of halves is not symmetric */
            t = count == 1 ? usable - 1 : even(0, usable - 1, up, count);
            t = m->info->layout == LAYOUT_SIGMA ? to_float(t) : rint(t);
        } else if (config->spacing == SPACING_LEADING) {
            t = (double)((count - 1 - i) * (usable / count)) + config->steps_offset;
        } else {
            t = rint(usable - i * ((double)total / n)) - 1;
        }
        m->out->timesteps[i] = fmin(fmax(t, 0), total - 1);
    }
}

/* The distilled solver's timesteps k, 2k, ... (less one), thinned to `n` from the large end (LCM, TCD). */
static mzt_status consistency_timesteps(const maker *m, mzt_error *error) {
    uint32_t n = m->out->steps, original = m->config->original_steps, k = m->config->train_steps / original;
    if (n > original)
        return error_set(error, MZT_ERROR_INVALID,
                         "%s takes at most %u steps (original_inference_steps), not %u", m->info->name,
                         (unsigned)original, (unsigned)n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = (uint32_t)floor(i * ((double)original / n));
        m->out->timesteps[i] = (double)(original - index) * k - 1;
    }
    return MZT_OK;
}

/* Karras and exponential run between the run's own ends; the classes differ in what these are. */
static void sigma_ends(const maker *m, double *high, double *low) {
    const noise_table *table = m->table;
    *high = table->sigmas[table->count - 1];
    *low = table->sigmas[0];
    if (m->info->layout == LAYOUT_SIGMA) {
        *high = noise_table_sigma(table, m->out->timesteps[0]);
        *low = noise_table_sigma(table, m->out->timesteps[m->out->steps - 1]);
    }
    if (m->config->sigma_max > 0) *high = m->config->sigma_max;
    if (m->config->sigma_min > 0) *low = m->config->sigma_min;
}

static void curved_sigmas(const maker *m, bool karras) {
    uint32_t n = m->out->steps;
    double high, low;
    sigma_ends(m, &high, &low);
    for (uint32_t i = 0; i < n; i++) {
        if (karras)
            m->out->sigmas[i] =
                pow(even(pow(high, 1 / KARRAS_RHO), pow(low, 1 / KARRAS_RHO), i, n), KARRAS_RHO);
        else
            m->out->sigmas[i] = exp(even(log(high), log(low), i, n));
    }
}

/* steps + 1 values through the 11 published ones, linear in log sigma over the step number; the last becomes
 * 0. */
static void ays_sigmas(const maker *m) {
    const double *table = m->config->sdxl ? ays_sdxl : ays_sd1;
    uint32_t n = m->out->steps;
    for (uint32_t i = 0; i < n; i++) {
        double at = 10.0 * i / n;
        uint32_t low = (uint32_t)at < 9 ? (uint32_t)at : 9;
        m->out->sigmas[i] = exp(log(table[low]) + (at - low) * (log(table[low + 1]) - log(table[low])));
    }
}

/* Timesteps at quantiles of Beta(0.6, 0.6) (Lee et al. 2024, arXiv 2407.12173); repeated ones are dropped. */
static void beta_timesteps(const maker *m) {
    uint32_t n = m->out->steps, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        double t = rint(beta_quantile(1 - (double)i / n, 0.6, 0.6) * (m->table->count - 1));
        if (kept == 0 || t != m->out->timesteps[kept - 1]) m->out->timesteps[kept++] = t;
    }
    m->out->steps = kept;
}

static void sigmas_from_timesteps(const maker *m) {
    for (uint32_t i = 0; i < m->out->steps; i++)
        m->out->sigmas[i] = noise_table_sigma(m->table, m->out->timesteps[i]);
}

static void timesteps_from_sigmas(const maker *m) {
    for (uint32_t i = 0; i < m->out->steps; i++) {
        double t = noise_table_timestep(m->table, m->out->sigmas[i]);
        m->out->timesteps[i] = m->info->round_timesteps ? rint(t) : t;
    }
}

/* sgm_uniform: even in the timestep from the last trained one down to 0, without 0 itself. */
static void uniform_timesteps(const maker *m) {
    for (uint32_t i = 0; i < m->out->steps; i++)
        m->out->timesteps[i] = even(m->table->count - 1, 0, i, m->out->steps + 1);
}

/* simple: table entries counted back from the last. */
static void simple_timesteps(const maker *m) {
    uint32_t total = m->table->count, n = m->out->steps;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t back = (uint32_t)(i * ((double)total / n));
        m->out->timesteps[i] = back < total ? total - 1 - back : 0;
    }
}

/* FlowMatchEuler: even between the ends of the (shifted) table, then shifted. */
static void flow_sigmas(const maker *m) {
    uint32_t n = m->out->steps;
    double shift = m->config->shift, high = m->table->sigmas[m->table->count - 1], low = m->table->sigmas[0];
    for (uint32_t i = 0; i < n; i++) {
        double s = even(high, low, i, n);
        m->out->sigmas[i] = shift * s / (1 + (shift - 1) * s);
    }
}

/* Where the run ends: 0, or for solvers that cannot step to 0 the smallest trained sigma (repeated if already
 * there). */
static double final_sigma(const maker *m) {
    if (m->info->layout != LAYOUT_LAMBDA || m->config->final_sigma_zero) return 0;
    double last = m->out->sigmas[m->out->steps - 1], smallest = m->table->sigmas[0];
    return last <= smallest * (1 + 1e-6) ? last : smallest;
}

static mzt_status fill_default(const maker *m, mzt_error *error) {
    if (m->info->layout == LAYOUT_CONSISTENCY)
        TRY(consistency_timesteps(m, error));
    else
        space_timesteps(m);
    sigmas_from_timesteps(m);
    return MZT_OK;
}

static mzt_status fill(const maker *m, mzt_error *error) {
    const sampler_config *config = m->config;
    bool flow = m->info->layout == LAYOUT_FLOW;
    switch (config->schedule) {
    case SCHEDULE_DEFAULT:
        if (!flow) return fill_default(m, error);
        flow_sigmas(m);
        break;
    case SCHEDULE_KARRAS:
    case SCHEDULE_EXPONENTIAL:
        if (m->info->layout == LAYOUT_SIGMA) space_timesteps(m);
        curved_sigmas(m, config->schedule == SCHEDULE_KARRAS);
        timesteps_from_sigmas(m);
        break;
    case SCHEDULE_AYS:
        if (flow)
            return error_set(error, MZT_ERROR_UNSUPPORTED,
                             "schedule ays: no table is published for flow matching");
        ays_sigmas(m);
        timesteps_from_sigmas(m);
        break;
    case SCHEDULE_SGM_UNIFORM:
        uniform_timesteps(m);
        break;
    case SCHEDULE_SIMPLE:
        simple_timesteps(m);
        break;
    case SCHEDULE_BETA:
        beta_timesteps(m);
        break;
    case SCHEDULE_COUNT:
        return error_set(error, MZT_ERROR_INVALID, "schedule %d is unknown", (int)config->schedule);
    }
    if (config->schedule >= SCHEDULE_SGM_UNIFORM && config->schedule <= SCHEDULE_BETA)
        sigmas_from_timesteps(m);
    return MZT_OK;
}

static mzt_status fill_custom(const maker *m, const double *custom, mzt_error *error) {
    uint32_t n = m->out->steps;
    for (uint32_t i = 0; i <= n; i++) {
        bool descends = i == 0 ? custom[0] < INFINITY : custom[i] < custom[i - 1];
        if (!descends || !(custom[i] >= 0) || (i < n && custom[i] == 0))
            return error_set(error, MZT_ERROR_INVALID,
                             "sigma %u of %u is %g, expected finite, descending and above 0", (unsigned)i,
                             (unsigned)(n + 1), custom[i]);
        m->out->sigmas[i] = custom[i];
    }
    if (m->info->layout == LAYOUT_FLOW && custom[0] > 1)
        return error_set(error, MZT_ERROR_INVALID, "sigma 0 is %g, expected at most 1 for flow matching",
                         custom[0]);
    timesteps_from_sigmas(m);
    return MZT_OK;
}

mzt_status schedule_create(const base_host *host, const sampler_config *config, const noise_table *table,
                           uint32_t steps, const double *custom, step_schedule *out, mzt_error *error) {
    *out = (step_schedule){.steps = steps};
    maker m = {config, sampler_info_get(config->kind), table, out};
    if (steps == 0 || steps > SAMPLER_STEPS_MAX)
        return error_set(error, MZT_ERROR_INVALID, "%u steps, expected 1 to %d", (unsigned)steps,
                         SAMPLER_STEPS_MAX);
    if (!custom && steps > config->train_steps)
        return error_set(error, MZT_ERROR_INVALID, "%u steps, expected at most the %u of the training",
                         (unsigned)steps, (unsigned)config->train_steps);
    out->timesteps = host_calloc(host, steps, sizeof *out->timesteps);
    out->sigmas = host_calloc(host, (size_t)steps + 1, sizeof *out->sigmas);
    mzt_status status;
    if (!out->timesteps || !out->sigmas)
        status = error_memory(error, "schedule", (uint64_t)steps * 16);
    else
        status = custom ? fill_custom(&m, custom, error) : fill(&m, error);
    if (status < 0) {
        schedule_destroy(host, out);
        return status;
    }
    if (!custom) {
        for (uint32_t i = 0; i < out->steps; i++)
            out->sigmas[i] = to_float(out->sigmas[i]);
        out->sigmas[out->steps] = to_float(final_sigma(&m));
    }
    for (uint32_t i = 0; i < out->steps; i++) {
        if (m.info->layout == LAYOUT_FLOW) out->timesteps[i] = out->sigmas[i] * config->train_steps;
        if (config->continuous_timestep) out->timesteps[i] = 0.25 * log(out->sigmas[i]);
    }
    return MZT_OK;
}

void schedule_destroy(const base_host *host, step_schedule *steps) {
    host_free(host, steps->timesteps);
    host_free(host, steps->sigmas);
    steps->timesteps = steps->sigmas = NULL;
}
