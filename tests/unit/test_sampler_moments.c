/* Stochastic samplers on a Gaussian mixture: started with draws of the noisy mixture, they must end with
 * draws of the mixture, so with its mean and covariance.
 *
 * Limits: five standard errors of each moment at POINTS draws, from the mixture's exact second and fourth
 * moments. Nothing is allowed for the samplers' own error: at the steps taken here it is well below that. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "gaussian_mixture.h"
#include "mixture_sampler.h"
#include "sample/run.h"
#include "sample/schedule.h"

#define POINTS          20000
#define STANDARD_ERRORS 5

/* Karras sigmas from 5 to 0.05. */
static sampler_program *compile(const base_host *host, const sampler_config *config, uint32_t steps) {
    double sigmas[SAMPLER_STEPS_MAX + 1];
    mzt_error error;
    sampler_program *program;
    sampler_request request = sampler_request_default(steps);
    for (uint32_t i = 0; i <= steps; i++)
        sigmas[i] = pow(pow(5, 1 / 7.) + i * (pow(0.05, 1 / 7.) - pow(5, 1 / 7.)) / steps, 7);
    request.sigmas = sigmas;
    if (sampler_compile(host, config, &request, &program, &error) < 0) fail_msg("%s", error.message);
    return program;
}

static void expect_moments(const char *name, const double *x, double sigma) {
    mixture_moments found = mixture_sample_moments(x, POINTS), want, error;
    mixture_exact_moments(sigma, POINTS, &want, &error);
    const double all[3][5] = {
        {found.mean[0], found.mean[1], found.covariance[0], found.covariance[1], found.covariance[2]},
        {want.mean[0], want.mean[1], want.covariance[0], want.covariance[1], want.covariance[2]},
        {error.mean[0], error.mean[1], error.covariance[0], error.covariance[1], error.covariance[2]}};
    static const char *const moments[5] = {"mean x", "mean y", "variance x", "covariance", "variance y"};
    for (int i = 0; i < 5; i++)
        if (!(fabs(all[0][i] - all[1][i]) <= STANDARD_ERRORS * all[2][i]))
            fail_msg("%s: %s is %.4f, expected %.4f with a standard error of %.4f", name, moments[i],
                     all[0][i], all[1][i], all[2][i]);
}

/* Runs `program` from draws at its first sigma. `run` says with which network. */
static void check_moments(const base_host *host, const char *name, mixture_run run) {
    const sampler_program *program = run.program;
    double *x = host_calloc(host, 2 * POINTS, sizeof *x), end = program->final_sigma;
    double start = sampler_program_row(program, 0)[SAMPLER_ROW_SIGMA];
    uint64_t random = 88172645463325252ull;
    assert_non_null(x);
    for (int e = 0; e < POINTS; e++) {
        mixture_draw(start, x + 2 * e, &random);
        for (int a = 0; a < 2; a++)
            x[2 * e + a] *= mixture_scale(run.space, start);
    }
    run.random = random;
    assert_true(mixture_run_program(host, &run, x, POINTS));
    for (int e = 0; e < 2 * POINTS; e++)
        x[e] /= mixture_scale(run.space, end);
    expect_moments(name, x, end);
    host_free(host, x);
}

/* Mean and variance of one Gaussian. */
#define MEAN     0.7
#define VARIANCE 0.09

typedef struct bias {
    double mean, variance; /* of the run's end, less the exact ones */
} bias;

/* Runs the program on coefficients: element 0 of every array is the constant, element 1 + k belongs to unit
 * normal k, of which the first is the start's and the others are the program's noises. */
static bias affine_run(const base_host *host, const sampler_program *program, sampler_space space) {
    size_t size = program->noises + 2;
    double *block = host_calloc(host, (SAMPLER_SLOTS + 4) * size, sizeof *block), *slots[SAMPLER_SLOTS];
    assert_non_null(block);
    for (size_t i = 0; i < SAMPLER_SLOTS; i++)
        slots[i] = block + i * size;
    double *input = block + SAMPLER_SLOTS * size, *m = input + size, *noise[2] = {m + size, m + 2 * size};
    double start = sampler_program_row(program, 0)[SAMPLER_ROW_SIGMA], end = program->final_sigma;
    slots[0][0] = mixture_scale(space, start) * MEAN;
    slots[0][1] = mixture_scale(space, start) * sqrt(VARIANCE + start * start);
    for (uint32_t call = 0; call < program->calls; call++) {
        const double *row = sampler_program_row(program, call);
        double sigma = row[SAMPLER_ROW_SIGMA], shrink = 1 / sqrt(1 + sigma * sigma);
        double pull = VARIANCE / (VARIANCE + sigma * sigma);
        sampler_input_f64(row, program->slots, (const double *const *)slots, input, size);
        for (size_t e = 0; e < size; e++) { /* noise (x - d) / sigma, d = mean + pull (x - mean) */
            double x = input[e] / shrink - (e == 0 ? MEAN : 0);
            m[e] = (1 - pull) * x / sigma;
        }
        for (int k = 0; k < 2; k++) {
            double index = row[SAMPLER_ROW_NOISE1 + k];
            for (size_t e = 0; e < size; e++)
                noise[k][e] = index >= 0 && e == 2 + (size_t)index;
        }
        sampler_update_f64(row, program->slots, slots, m, noise[0], noise[1], NULL, size);
    }
    bias result = {slots[0][0] / mixture_scale(space, end) - MEAN, -VARIANCE - end * end};
    for (size_t e = 1; e < size; e++)
        result.variance += pow(slots[0][e] / mixture_scale(space, end), 2);
    host_free(host, block);
    return result;
}

/* The mean is kept, and the bias of the variance falls with the sampler's weak order: the observed one lies
 * within 0.08 of it at one doubling of the steps and within 0.04 at the next, as its distance falls like
 * 1/steps. */
static void check_bias(const base_host *host, const sampler_config *config, double order) {
    const sampler_info *info = sampler_info_get(config->kind);
    bias found[3];
    for (uint32_t i = 0; i < 3; i++) {
        sampler_program *program = compile(host, config, 192u << i);
        found[i] = affine_run(host, program, info->space);
        assert_true(fabs(found[i].mean) < 1e-12);
        sampler_program_destroy(host, program);
    }
    double first = log2(found[0].variance / found[1].variance);
    double last = log2(found[1].variance / found[2].variance);
    if (!(fabs(first - order) <= 0.08 && fabs(last - order) <= 0.04))
        fail_msg("%s, eta %g: biases %.3g, %.3g, %.3g fall with order %.3f, then %.3f; expected %g",
                 info->name, config->eta, found[0].variance, found[1].variance, found[2].variance, first,
                 last, order);
}

static void test_bias(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const struct {
        sampler_kind kind;
        double eta, order;
    } cases[] = {{SAMPLER_EULER_A, 1, 1},      {SAMPLER_EULER_A, 0.5, 1},      {SAMPLER_DPM2_A, 1, 2},
                 {SAMPLER_DDPM, 1, 1},         {SAMPLER_DDIM, 1, 1},           {SAMPLER_DDIM, 0.5, 1},
                 {SAMPLER_DPMPP_2M_SDE, 1, 2}, {SAMPLER_DPMPP_2M_SDE, 0.5, 2}, {SAMPLER_DPMPP_3M_SDE, 1, 2},
                 {SAMPLER_DPMPP_2S_A, 1, 2},   {SAMPLER_DPMPP_SDE, 1, 2},      {SAMPLER_DPMPP_SDE, 0.5, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sampler_config config = sampler_config_default(cases[i].kind);
        config.clip_sample = 0;
        config.eta = cases[i].eta;
        config.final_sigma_zero = false;
        check_bias(&host, &config, cases[i].order);
    }
}

static void check_sampler(const base_host *host, const sampler_config *config) {
    const sampler_info *info = sampler_info_get(config->kind);
    sampler_program *program = compile(host, config, info->evaluations == 1 ? 400 : 100);
    assert_true(program->noises > 0);
    check_moments(host, info->name, (mixture_run){.program = program, .space = info->space});
    sampler_program_destroy(host, program);
}

static void test_diffusion(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    for (int kind = 0; kind < SAMPLER_KIND_COUNT; kind++) {
        sampler_config config = sampler_config_default((sampler_kind)kind);
        config.clip_sample = 0;
        if (!sampler_info_get((sampler_kind)kind)->stochastic) continue;
        if (kind == SAMPLER_LCM || kind == SAMPLER_TCD) continue; /* below */
        /* to the last sigma instead of 0, where the step has no noise */
        if (kind == SAMPLER_DPMPP_2M_SDE || kind == SAMPLER_DPMPP_3M_SDE) config.final_sigma_zero = false;
        check_sampler(&host, &config);
    }
    sampler_config ddim = sampler_config_default(SAMPLER_DDIM);
    ddim.clip_sample = 0;
    ddim.eta = 1;
    check_sampler(&host, &ddim);
    sampler_config half = sampler_config_default(SAMPLER_DPMPP_SDE);
    half.eta = 0.5;
    check_sampler(&host, &half);
}

/* A perfectly distilled network: its clean estimate is the end of the latent's path. */
static void consistency_network(const void *context, const double *row, const double input[2], double m[2]) {
    double sigma = row[SAMPLER_ROW_SIGMA], alpha = 1 / sqrt(1 + sigma * sigma);
    double x[2] = {input[0] / alpha, input[1] / alpha};
    (void)context;
    mixture_end(x, sigma);
    for (int a = 0; a < 2; a++)
        m[a] = (input[a] - alpha * x[a]) / (sigma * alpha); /* d = x in d = (input - sigma m) / alpha */
}

/* The consistency function is the same all along a path. */
static void test_consistency_function(void **state) {
    (void)state;
    static const double sigmas[] = {14.6, 5, 1, 0.3, 0.05};
    uint64_t random = 1234567;
    for (int i = 0; i < 200; i++) {
        double start[2], end[2];
        mixture_draw(14.6, start, &random);
        end[0] = start[0];
        end[1] = start[1];
        mixture_path(end, 14.6, 0.0005, 2000);
        for (size_t s = 0; s < sizeof sigmas / sizeof *sigmas; s++) {
            double x[2] = {start[0], start[1]};
            if (s > 0) mixture_path(x, 14.6, sigmas[s], 1000);
            mixture_end(x, sigmas[s]);
            assert_true(hypot(x[0] - end[0], x[1] - end[1]) < 1e-3);
        }
    }
}

/* Latent consistency sampling of a perfectly distilled network draws from the mixture, in any number of
 * steps. */
static void test_lcm(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const uint32_t counts[] = {1, 4};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        sampler_config config = sampler_config_default(SAMPLER_LCM);
        sampler_request request = sampler_request_default(counts[i]);
        sampler_program *program;
        mzt_error error;
        if (sampler_compile(&host, &config, &request, &program, &error) < 0) fail_msg("%s", error.message);
        assert_int_equal(program->noises, counts[i] - 1);
        assert_true(program->final_sigma == 0);
        check_moments(
            &host, "lcm",
            (mixture_run){.program = program, .space = SPACE_PRESERVING, .network = consistency_network});
        sampler_program_destroy(&host, program);
    }
}

typedef struct trajectory {
    const sampler_program *program;
    const noise_table *table;
    double eta;
} trajectory;

/* A network that knows the path between any two timesteps: its output is the noise with which the sampler's
 * step from t to s = floor((1 - eta) t'), of order 1, ends on the path, alpha_s (x - sigma m) / alpha +
 * sigma_s m = x_s. */
static void trajectory_network(const void *context, const double *row, const double input[2], double m[2]) {
    const trajectory *known = context;
    size_t call = (size_t)(row - known->program->rows) / SAMPLER_ROW_FLOATS;
    double next = 0, sigma = row[SAMPLER_ROW_SIGMA], alpha = 1 / sqrt(1 + sigma * sigma);
    if (call + 1 < known->program->calls)
        next = sampler_program_row(known->program, (uint32_t)call + 1)[SAMPLER_ROW_TIMESTEP];
    double bar = known->table->alpha_bars[(uint32_t)floor((1 - known->eta) * next)];
    double alpha_s = sqrt(bar), sigma_s = sqrt(1 - bar);
    double x[2] = {input[0] / alpha, input[1] / alpha};
    mixture_path(x, sigma, sigma_s / alpha_s, 1 + (uint32_t)(6 * log(sigma * alpha_s / sigma_s)));
    for (int a = 0; a < 2; a++)
        m[a] = (alpha_s * x[a] - alpha_s / alpha * input[a]) / (sigma_s - alpha_s * sigma);
}

/* Trajectory consistency sampling of such a network draws from the mixture (as noisy as at timestep 0), with
 * any eta: 0 stays on the path, 1 jumps to its end and adds all noise anew. */
static void test_tcd(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const double etas[] = {0, 0.3, 1};
    for (size_t i = 0; i < sizeof etas / sizeof *etas; i++) {
        sampler_config config = sampler_config_default(SAMPLER_TCD);
        sampler_request request = sampler_request_default(4);
        sampler_program *program;
        noise_table table;
        mzt_error error;
        request.eta = etas[i];
        if (sampler_compile(&host, &config, &request, &program, &error) < 0 ||
            noise_table_create(&host, &config, &table, &error) < 0)
            fail_msg("%s", error.message);
        assert_int_equal(program->noises, etas[i] > 0 ? 3 : 0);
        const trajectory known = {program, &table, etas[i]};
        check_moments(&host, "tcd",
                      (mixture_run){.program = program,
                                    .space = SPACE_PRESERVING,
                                    .network = trajectory_network,
                                    .context = &known});
        noise_table_destroy(&host, &table);
        sampler_program_destroy(&host, program);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_diffusion),
        cmocka_unit_test(test_consistency_function),
        cmocka_unit_test(test_lcm),
        cmocka_unit_test(test_tcd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
