/* Noise tables and schedules: against the schedules that come with the reference networks, published tables
 * and formulas; and bad betas. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "json/json.h"
#include "sample/compile.h"
#include "sample/samplers.h"
#include "sample/schedule.h"

static const base_host *shared_host(void **state) {
    return *state;
}

/* A config with Stable Diffusion's training. */
static sampler_config stable_diffusion(sampler_kind kind) {
    sampler_config config = sampler_config_default(kind);
    if (config.prediction != PREDICTION_FLOW) config.betas = BETAS_SCALED_LINEAR;
    config.beta_start = 0.00085;
    config.beta_end = 0.012;
    return config;
}

typedef struct made {
    noise_table table;
    step_schedule steps;
} made;

static made make(const base_host *host, const sampler_config *config, uint32_t steps, const double *custom) {
    mzt_error error;
    made result;
    if (noise_table_create(host, config, &result.table, &error) < 0 ||
        schedule_create(host, config, &result.table, steps, custom, &result.steps, &error) < 0)
        fail_msg("%s", error.message);
    return result;
}

static void unmake(const base_host *host, made *m) {
    schedule_destroy(host, &m->steps);
    noise_table_destroy(host, &m->table);
}

static void near(const char *what, uint32_t index, double got, double want, double limit) {
    if (!(fabs(got - want) <= limit)) fail_msg("%s[%u] is %.9g, expected %.9g", what, index, got, want);
}

static double number(json_value value) {
    mzt_error error;
    double out = NAN;
    if (json_as_double(value, &out, &error) < 0) fail_msg("%s", error.message);
    return out;
}

/* One sampler of a reference.json: timesteps within 1e-4, sigmas and init_noise_sigma within 1e-5 relative.
 */
static void check_reference(const base_host *host, const char *folder, json_value entry, uint32_t steps) {
    char path[512];
    mzt_error error;
    json_doc *doc;
    sampler_config config;
    sampler_program *program;
    uint32_t call = 0;
    snprintf(path, sizeof path, "%s/schedulers/%s.json", folder, json_key(entry));
    if (json_read(host, path, &doc, &error) < 0 || sampler_config_parse(json_root(doc), &config, &error) < 0)
        fail_msg("%s", error.message);
    json_destroy(doc);
    sampler_request request = sampler_request_default(steps);
    if (sampler_compile(host, &config, &request, &program, &error) < 0)
        fail_msg("%s: %s", path, error.message);
    json_value timesteps = json_get(entry, "timesteps");
    assert_int_equal(json_count(timesteps), program->calls);
    assert_int_equal(program->noises, 0);
    for (json_value v = json_first(timesteps); v.item; v = json_next(v), call++)
        near(path, call, sampler_program_row(program, call)[SAMPLER_ROW_TIMESTEP], number(v), 1e-4);
    call = 0;
    for (json_value v = json_first(json_get(entry, "sigmas")); v.item; v = json_next(v), call++) {
        double got = call < program->calls ? sampler_program_row(program, call)[SAMPLER_ROW_SIGMA]
                                           : program->final_sigma;
        near(path, 100 + call, got, number(v), 1e-5 * fabs(number(v)));
    }
    double init = number(json_get(entry, "init_noise_sigma"));
    near(path, 1000, program->init_noise_sigma, init, 1e-5 * init);
    sampler_program_destroy(host, program);
}

static void test_reference(void **state) {
    const base_host *host = shared_host(state);
    static const char *const models[] = {"sd1-tiny", "sd2-tiny", "sdxl-tiny"};
    const char *shared = getenv("MZT_SHARED");
    if (!shared) shared = MZT_SOURCE_DIR "/../shared";
    uint32_t checked = 0;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char folder[300], path[340];
        mzt_error error;
        json_doc *doc;
        snprintf(folder, sizeof folder, "%s/reference/%s", shared, models[m]);
        snprintf(path, sizeof path, "%s/reference.json", folder);
        mzt_status status = json_read(host, path, &doc, &error);
        if (status == MZT_ERROR_NOT_FOUND) {
            print_message("no reference data at %s (set MZT_SHARED): skipped\n", path);
            skip();
        }
        if (status < 0) fail_msg("%s", error.message);
        json_value samplers = json_get(json_root(doc), "samplers");
        uint32_t steps = (uint32_t)number(json_get(json_root(doc), "steps"));
        for (json_value v = json_first(samplers); v.item; v = json_next(v), checked++)
            check_reference(host, folder, v, steps);
        json_destroy(doc);
    }
    assert_int_equal(checked, 30);
}

/* Stable Diffusion's training table: the ends that everybody quotes, and growth. */
static void test_table(void **state) {
    const base_host *host = shared_host(state);
    sampler_config config = stable_diffusion(SAMPLER_EULER);
    made m = make(host, &config, 10, NULL);
    near("sigma", 0, m.table.sigmas[0], 0.029167, 1e-6);
    near("sigma", 999, m.table.sigmas[999], 14.6146, 1e-4);
    for (uint32_t i = 1; i < 1000; i++) {
        assert_true(m.table.sigmas[i] > m.table.sigmas[i - 1]);
        assert_true(m.table.alpha_bars[i] < m.table.alpha_bars[i - 1]);
    }
    /* timestep and sigma invert each other at table entries */
    for (uint32_t i = 0; i < 1000; i += 37) {
        near("timestep", i, noise_table_timestep(&m.table, m.table.sigmas[i]), i, 1e-3);
        assert_true(noise_table_sigma(&m.table, i) == m.table.sigmas[i]);
    }
    assert_true(noise_table_timestep(&m.table, 0) == 0 && noise_table_timestep(&m.table, 1e9) == 999);
    assert_true(noise_table_sigma(&m.table, -5) == m.table.sigmas[0]);
    assert_true(noise_table_sigma(&m.table, 1e9) == m.table.sigmas[999]);
    unmake(host, &m);
}

/* Zero terminal SNR: the first value stays, the last is zero for lookups and 2^-24 where samplers divide. */
static void test_zero_snr(void **state) {
    const base_host *host = shared_host(state);
    sampler_config config = stable_diffusion(SAMPLER_DDIM);
    made plain = make(host, &config, 4, NULL);
    config.zero_snr = true;
    made zero = make(host, &config, 4, NULL);
    near("alpha_bar", 0, zero.table.alpha_bars[0], plain.table.alpha_bars[0], 1e-6);
    assert_true(zero.table.alpha_bars[999] == 0);
    assert_true(zero.table.alpha_bars[500] < plain.table.alpha_bars[500]);
    config.kind = SAMPLER_EULER;
    config.spacing = SPACING_LINSPACE;
    made floor = make(host, &config, 4, NULL);
    near("sigma", 999, floor.table.sigmas[999], 4096, 1e-2);
    unmake(host, &plain);
    unmake(host, &zero);
    unmake(host, &floor);
}

/* Schedules whose values follow from a formula or a publication. */
static void test_schedules(void **state) {
    const base_host *host = shared_host(state);
    sampler_config config = stable_diffusion(SAMPLER_EULER);
    static const double ays[11] = {14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0};
    config.schedule = SCHEDULE_AYS;
    made m = make(host, &config, 10, NULL);
    for (uint32_t i = 0; i <= 10; i++)
        near("ays", i, m.steps.sigmas[i], ays[i], 1e-6);
    unmake(host, &m);
    config.sdxl = true;
    m = make(host, &config, 20, NULL);
    near("ays sdxl", 2, m.steps.sigmas[2], 6.315, 1e-6); /* every second of 20 is a published one */
    near("ays sdxl", 1, m.steps.sigmas[1], sqrt(14.615 * 6.315), 1e-5);
    near("ays sdxl", 20, m.steps.sigmas[20], 0, 0);
    unmake(host, &m);

    config.schedule = SCHEDULE_EXPONENTIAL;
    m = make(host, &config, 9, NULL);
    for (uint32_t i = 1; i + 1 < 9; i++)
        near("exponential", i, m.steps.sigmas[i] * m.steps.sigmas[i],
             m.steps.sigmas[i - 1] * m.steps.sigmas[i + 1], 1e-6 * m.steps.sigmas[i] * m.steps.sigmas[i]);
    near("exponential", 0, m.steps.sigmas[0], 14.614645, 1e-5);
    near("exponential", 8, m.steps.sigmas[8], 0.02916753, 1e-7);
    unmake(host, &m);

    config.schedule = SCHEDULE_SGM_UNIFORM;
    m = make(host, &config, 4, NULL);
    for (uint32_t i = 0; i < 4; i++)
        near("sgm_uniform", i, m.steps.timesteps[i], 999 - i * 249.75, 1e-9);
    unmake(host, &m);
    config.schedule = SCHEDULE_SIMPLE;
    m = make(host, &config, 4, NULL);
    for (uint32_t i = 0; i < 4; i++)
        near("simple", i, m.steps.timesteps[i], 999 - i * 250.0, 0);
    unmake(host, &m);
    config.schedule = SCHEDULE_BETA;
    m = make(host, &config, 4, NULL);
    near("beta", 0, m.steps.timesteps[0], 999, 0);
    near("beta", 2, m.steps.timesteps[2], 500, 0); /* the median; 499.5 rounds to even */
    near("beta", 1, m.steps.timesteps[1] + m.steps.timesteps[3], 999, 0);
    unmake(host, &m);
    m = make(host, &config, 1000, NULL); /* more steps than distinct timesteps near the ends */
    assert_true(m.steps.steps < 1000 && m.steps.steps > 600);
    for (uint32_t i = 0; i < m.steps.steps; i++)
        assert_true(m.steps.sigmas[i] > m.steps.sigmas[i + 1]);
    unmake(host, &m);
}

/* Every schedule of every sampler descends strictly from start to end, for any number of steps. */
static void test_descends(void **state) {
    const base_host *host = shared_host(state);
    static const uint32_t counts[] = {1, 2, 3, 7, 20, 49, 333, 1000};
    for (int kind = 0; kind < SAMPLER_KIND_COUNT; kind++)
        for (int schedule = 0; schedule < SCHEDULE_COUNT; schedule++)
            for (int spacing = SPACING_LINSPACE; spacing <= SPACING_TRAILING; spacing++)
                for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
                    sampler_config config = stable_diffusion((sampler_kind)kind);
                    sampler_layout layout = sampler_info_get((sampler_kind)kind)->layout;
                    bool lambda = layout == LAYOUT_LAMBDA;
                    config.schedule = (sigma_schedule)schedule;
                    config.spacing = (timestep_spacing)spacing;
                    if (kind == SAMPLER_EULER_FLOW && schedule == SCHEDULE_AYS) continue;
                    if (layout == LAYOUT_CONSISTENCY && counts[n] > 50) continue;
                    if (lambda && counts[n] == 1000) continue; /* needs 1001 different timesteps */
                    made m = make(host, &config, counts[n], NULL);
                    for (uint32_t i = 0; i < m.steps.steps; i++) {
                        bool last = i + 1 == m.steps.steps;
                        double step = m.steps.sigmas[i] - m.steps.sigmas[i + 1];
                        /* solvers that end at the smallest sigma may already be there */
                        if (!(step > 0 || (last && step == 0 && lambda && !config.final_sigma_zero)))
                            fail_msg("%s, schedule %d, spacing %d, %u steps: sigma %u is %g, then %g",
                                     sampler_info_get((sampler_kind)kind)->name, schedule, spacing, counts[n],
                                     i, m.steps.sigmas[i], m.steps.sigmas[i + 1]);
                    }
                    unmake(host, &m);
                }
}

/* Quantiles of Beta(a, b): closed forms for (1, 1), (1/2, 1/2) and (2, 1), symmetry for (0.6, 0.6). */
static void test_beta_quantile(void **state) {
    (void)state;
    static const double pi = 3.14159265358979323846;
    for (double p = 0.001; p < 1; p += 0.0371) {
        double s = sin(pi * p / 2);
        near("beta(1,1)", 0, beta_quantile(p, 1, 1), p, 1e-12);
        near("beta(1/2,1/2)", 0, beta_quantile(p, 0.5, 0.5), s * s, 1e-12);
        near("beta(2,1)", 0, beta_quantile(p, 2, 1), sqrt(p), 1e-12);
        near("beta(0.6,0.6)", 0, beta_quantile(p, 0.6, 0.6) + beta_quantile(1 - p, 0.6, 0.6), 1, 1e-12);
    }
    assert_true(beta_quantile(0, 0.6, 0.6) == 0 && beta_quantile(1, 0.6, 0.6) == 1);
    near("beta(0.6,0.6)", 1, beta_quantile(0.25, 0.6, 0.6), 0.17568037865269498, 1e-12);
    near("beta(0.6,0.6)", 2, beta_quantile(1e-6, 0.6, 0.6), 1.8558824624053043e-10, 1e-21);
}

/* Flow matching: sigma = s t / (1 + (s - 1) t) from 1 down, timesteps are sigma * 1000. */
static void test_flow(void **state) {
    const base_host *host = shared_host(state);
    sampler_config config = sampler_config_default(SAMPLER_EULER_FLOW);
    config.shift = 3;
    made m = make(host, &config, 5, NULL);
    near("flow", 0, m.steps.sigmas[0], 1, 0);
    for (uint32_t i = 0; i < 5; i++)
        near("flow", i, m.steps.timesteps[i], 1000 * m.steps.sigmas[i], 1e-9);
    unmake(host, &m);
    config.schedule = SCHEDULE_SIMPLE;
    m = make(host, &config, 4, NULL);
    near("flow simple", 2, m.steps.sigmas[2], 3 * 0.5 / (1 + 2 * 0.5), 1e-6);
    unmake(host, &m);
}

static void test_custom(void **state) {
    const base_host *host = shared_host(state);
    sampler_config config = stable_diffusion(SAMPLER_EULER);
    const double sigmas[] = {10, 3, 1, 0.25};
    made m = make(host, &config, 3, sigmas);
    for (int i = 0; i < 4; i++)
        assert_true(m.steps.sigmas[i] == sigmas[i]);
    near("custom", 1, noise_table_sigma(&m.table, m.steps.timesteps[1]), 3, 1e-3);
    unmake(host, &m);
}

static void test_bad_betas(void **state) {
    const base_host *host = shared_host(state);
    static const float bad[] = {0, 1, -0.1f, 2, NAN, INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sampler_config config = stable_diffusion(SAMPLER_EULER);
        mzt_error error;
        noise_table table;
        config.betas = BETAS_TRAINED;
        config.train_steps = 5;
        for (int k = 0; k < 5; k++)
            config.trained_betas[k] = 0.1f;
        config.trained_betas[3] = bad[i];
        assert_int_equal(noise_table_create(host, &config, &table, &error), MZT_ERROR_INVALID);
        assert_non_null(strstr(error.message, "step 3"));
        /* and betas that eat the whole signal before the end */
        for (int k = 0; k < 5; k++)
            config.trained_betas[k] = 0.99999994f;
        config.train_steps = SAMPLER_TRAIN_STEPS_MAX;
        for (int k = 5; k < SAMPLER_TRAIN_STEPS_MAX; k++)
            config.trained_betas[k] = 0.99999994f;
        assert_int_equal(noise_table_create(host, &config, &table, &error), MZT_ERROR_INVALID);
        assert_non_null(strstr(error.message, "no signal"));
    }
}

int main(void) {
    static base_host host;
    host = host_make(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_reference, &host),
        cmocka_unit_test_prestate(test_table, &host),
        cmocka_unit_test_prestate(test_zero_snr, &host),
        cmocka_unit_test_prestate(test_schedules, &host),
        cmocka_unit_test_prestate(test_descends, &host),
        cmocka_unit_test_prestate(test_beta_quantile, &host),
        cmocka_unit_test_prestate(test_flow, &host),
        cmocka_unit_test_prestate(test_custom, &host),
        cmocka_unit_test_prestate(test_bad_betas, &host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
