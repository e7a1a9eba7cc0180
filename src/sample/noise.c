/* The table a network was trained with: betas, their cumulative products, sigmas; see schedule.h. */
#include "sample/schedule.h"

#include <math.h>

/* What diffusers puts in place of the last product of (1 - beta) where samplers divide by it. */
#define ZERO_SNR_FLOOR 0x1p-24

static double cosine_alpha_bar(double t) {
    double c = cos((t + 0.008) / 1.008 * (3.14159265358979323846 / 2));
    return c * c;
}

/* The beta of training step i, in float32 as the training code had it. */
static float beta_at(const sampler_config *config, uint32_t i) {
    uint32_t n = config->train_steps;
    if (config->betas == BETAS_TRAINED) return config->trained_betas[i];
    if (config->betas == BETAS_COSINE) {
        double now = cosine_alpha_bar((double)i / n), next = cosine_alpha_bar((double)(i + 1) / n);
        return (float)fmin(1 - next / now, 0.999);
    }
    bool scaled = config->betas == BETAS_SCALED_LINEAR;
    float first = (float)(scaled ? sqrt(config->beta_start) : config->beta_start);
    float last = (float)(scaled ? sqrt(config->beta_end) : config->beta_end);
    float step = n > 1 ? (last - first) / (float)(n - 1) : 0;
    /* counted from the nearer end, so that both ends are exact */
    float value = i < n / 2 ? first + step * (float)i : last - step * (float)(n - 1 - i);
    return scaled ? value * value : value;
}

/* Products of (1 - beta): accumulated in double, each stored as float32. */
static void accumulate(const float *betas, uint32_t count, double *alpha_bars) {
    double product = 1;
    for (uint32_t i = 0; i < count; i++) {
        product *= 1.0f - betas[i];
        alpha_bars[i] = (float)product;
    }
}

/* Lin et al. 2023 (arXiv 2305.08891), algorithm 1: shifts and stretches sqrt(alpha_bar) so that its last
 * value is zero and its first stays, and gives the betas of that. */
static void rescale_zero_snr(float *betas, uint32_t count, const double *alpha_bars) {
    float first = sqrtf((float)alpha_bars[0]), last = sqrtf((float)alpha_bars[count - 1]);
    float stretch = first / (first - last), before = 1;
    for (uint32_t i = 0; i < count; i++) {
        float root = (sqrtf((float)alpha_bars[i]) - last) * stretch;
        float bar = root * root;
        betas[i] = 1.0f - (i == 0 ? bar : bar / before);
        before = bar;
    }
}

/* Samplers that look alpha_bar up and never divide by it can end at zero signal; all others need a floor. */
static bool needs_floor(sampler_kind kind) {
    return kind != SAMPLER_DDIM && kind != SAMPLER_DDPM && kind != SAMPLER_LCM && kind != SAMPLER_TCD;
}

static mzt_status fill_betas(const sampler_config *config, float *betas, noise_table *table,
                             mzt_error *error) {
    uint32_t n = config->train_steps;
    for (uint32_t i = 0; i < n; i++) {
        betas[i] = beta_at(config, i);
        if (!(betas[i] > 0 && betas[i] < 1))
            return error_set(error, MZT_ERROR_INVALID,
                             "beta of training step %u is %g, expected between 0 and 1", (unsigned)i,
                             (double)betas[i]);
    }
    accumulate(betas, n, table->alpha_bars);
    if (config->zero_snr && n > 1) {
        rescale_zero_snr(betas, n, table->alpha_bars);
        accumulate(betas, n, table->alpha_bars);
        if (needs_floor(config->kind)) table->alpha_bars[n - 1] = ZERO_SNR_FLOOR;
    }
    for (uint32_t i = 0; i < n; i++) {
        float bar = (float)table->alpha_bars[i];
        if (bar == 0 && i + 1 < n)
            return error_set(error, MZT_ERROR_INVALID, "betas leave no signal at training step %u of %u",
                             (unsigned)i, (unsigned)n);
        table->sigmas[i] = sqrtf((1.0f - bar) / bar);
        table->log_sigmas[i] = logf((float)table->sigmas[i]);
    }
    return MZT_OK;
}

static void fill_flow(const sampler_config *config, noise_table *table) {
    for (uint32_t i = 0; i < table->count; i++) {
        float sigma = (float)(i + 1) / (float)table->count;
        double shifted = config->shift * sigma / (1 + (config->shift - 1) * sigma);
        table->sigmas[i] = (float)shifted;
        table->log_sigmas[i] = log(table->sigmas[i]);
    }
}

mzt_status noise_table_create(const base_host *host, const sampler_config *config, noise_table *table,
                              mzt_error *error) {
    uint32_t n = config->train_steps;
    bool flow = config->prediction == PREDICTION_FLOW;
    mzt_status status = MZT_OK;
    *table = (noise_table){.count = n};
    float *betas = host_calloc(host, n, sizeof *betas);
    table->sigmas = host_calloc(host, n, sizeof *table->sigmas);
    table->log_sigmas = host_calloc(host, n, sizeof *table->log_sigmas);
    if (!flow) table->alpha_bars = host_calloc(host, n, sizeof *table->alpha_bars);
    if (!betas || !table->sigmas || !table->log_sigmas || (!flow && !table->alpha_bars))
        status = error_memory(error, "noise schedule", (uint64_t)n * 28);
    else if (flow)
        fill_flow(config, table);
    else
        status = fill_betas(config, betas, table, error);
    host_free(host, betas);
    if (status < 0) noise_table_destroy(host, table);
    return status;
}

void noise_table_destroy(const base_host *host, noise_table *table) {
    host_free(host, table->alpha_bars);
    host_free(host, table->sigmas);
    host_free(host, table->log_sigmas);
    *table = (noise_table){0};
}

double noise_table_timestep(const noise_table *table, double sigma) {
    if (table->count < 2) return 0;
    double wanted = log(fmax(sigma, 1e-10));
    uint32_t low = 0, high = table->count - 1;
    while (low + 1 < high) { /* the last entry that is not above, but never the table's last */
        uint32_t middle = low + (high - low) / 2;
        if (table->log_sigmas[middle] <= wanted)
            low = middle;
        else
            high = middle;
    }
    double from = table->log_sigmas[low], to = table->log_sigmas[low + 1];
    if (isinf(to)) return wanted <= from ? low : low + 1;
    double share = fmin(fmax((wanted - from) / (to - from), 0), 1);
    return low + share;
}

double noise_table_sigma(const noise_table *table, double timestep) {
    double last = table->count - 1;
    if (!(timestep > 0)) return table->sigmas[0];
    if (timestep >= last) return table->sigmas[table->count - 1];
    uint32_t low = (uint32_t)timestep;
    double share = timestep - low;
    if (share == 0) return table->sigmas[low];
    return table->sigmas[low] + share * (table->sigmas[low + 1] - table->sigmas[low]);
}
