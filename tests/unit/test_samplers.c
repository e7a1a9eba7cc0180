/* Sampler programs against trajectories of other implementations, their structure, guidance, and bad
 * requests.
 *
 * tests/golden/schedules/diffusers.json: diffusers 0.27.2 (flow matching: 0.29.2) and k_diffusion.json:
 * k-diffusion 0.1.1, both on the toy network below: final latents, and for few steps timesteps, sigmas and
 * the first element of the latent after every call. Their sigmas are float32 values; their sums were made in
 * double (UniPC: float). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "alloc_count.h"
#include "json/json.h"
#include "sample/compile.h"
#include "sample/run.h"
#include "sample/samplers.h"
#include "sample/schedule.h"

#define SIZE  3 /* values of the toy latent */
#define CALLS 512

static const double start_noise[SIZE] = {0.9, -1.3, 0.4};

/* m_j = 0.7 x_j + 0.3 sin(2 x_j + t / 200 + j) */
static void network(const double *x, double timestep, double *m) {
    for (int j = 0; j < SIZE; j++)
        m[j] = 0.7 * x[j] + 0.3 * sin(2 * x[j] + timestep / 200 + j);
}

/* Array `index` of the program's noise sequence. */
static void fill_noise(double index, double *noise) {
    for (int j = 0; j < SIZE; j++)
        noise[j] = index < 0 ? 0 : 1.5 * sin(12.9898 * (index + 1) + 78.233 * (j + 1));
}

/* Runs a program from `x`; path[k] is slot 0's first value after call k (NULL: not wanted). */
static void run_program(const sampler_program *program, bool with_timestep, double x[SIZE], double *path) {
    double state[SAMPLER_SLOTS][SIZE] = {{0}}, input[SIZE], m[SIZE], noise1[SIZE], noise2[SIZE];
    double *slots[SAMPLER_SLOTS];
    for (int i = 0; i < SAMPLER_SLOTS; i++)
        slots[i] = state[i];
    memcpy(state[0], x, sizeof state[0]);
    for (uint32_t call = 0; call < program->calls; call++) {
        const double *row = sampler_program_row(program, call);
        sampler_input_f64(row, program->slots, (const double *const *)slots, input, SIZE);
        network(input, with_timestep ? row[SAMPLER_ROW_TIMESTEP] : 0, m);
        fill_noise(row[SAMPLER_ROW_NOISE1], noise1);
        fill_noise(row[SAMPLER_ROW_NOISE2], noise2);
        sampler_update_f64(row, program->slots, slots, m, noise1, noise2, NULL, SIZE);
        if (path) path[call] = state[0][0];
    }
    memcpy(x, state[0], sizeof state[0]);
}

/* The same in float, with the table as the device gets it. */
static void run_table(const base_host *host, const sampler_program *program, float x[SIZE]) {
    float state[SAMPLER_SLOTS][SIZE] = {{0}}, input[SIZE], out[SIZE], narrow1[SIZE], narrow2[SIZE];
    double wide[SIZE], m[SIZE], noise1[SIZE], noise2[SIZE];
    float *slots[SAMPLER_SLOTS];
    float *table = host_calloc(host, program->calls, SAMPLER_ROW_FLOATS * sizeof *table);
    assert_non_null(table);
    sampler_program_table(program, table);
    for (int i = 0; i < SAMPLER_SLOTS; i++)
        slots[i] = state[i];
    memcpy(state[0], x, sizeof state[0]);
    for (uint32_t call = 0; call < program->calls; call++) {
        const float *row = table + (size_t)call * SAMPLER_ROW_FLOATS;
        sampler_input(row, program->slots, (const float *const *)slots, input, SIZE);
        for (int j = 0; j < SIZE; j++)
            wide[j] = input[j];
        network(wide, row[SAMPLER_ROW_TIMESTEP], m);
        fill_noise(row[SAMPLER_ROW_NOISE1], noise1);
        fill_noise(row[SAMPLER_ROW_NOISE2], noise2);
        for (int j = 0; j < SIZE; j++) {
            out[j] = (float)m[j];
            narrow1[j] = (float)noise1[j];
            narrow2[j] = (float)noise2[j];
        }
        sampler_update(row, program->slots, slots, out, narrow1, narrow2, NULL, SIZE);
    }
    memcpy(x, state[0], sizeof state[0]);
    host_free(host, table);
}

/* A number of a golden case. */
static double number(json_value value) {
    mzt_error error;
    double out = NAN;
    if (json_as_double(value, &out, &error) < 0) fail_msg("%s", error.message);
    return out;
}

/* Fails unless |got - want| <= limit * (1 + |want|). */
static void expect_near(const char *what, uint32_t index, double got, double want, double limit) {
    if (!(fabs(got - want) <= limit * (1 + fabs(want))))
        fail_msg("%s[%u] is %.9g, expected %.9g", what, index, got, want);
}

/* How far float32 may put the second timestep of an ancestral K-DPM2 step. diffusers finds it from
 * down^2 = s'^2 - up^2 in float32; up^2 = s'^2 (1 - s'^2/s^2) carries six roundings, so down^2 = s'^4/s^2 is
 * wrong by up to 6 * 2^-24 s'^2, log sqrt(s down) by a quarter of that over down^2, and the timestep by that
 * over the table's slope of log sigma. */
static double ancestral_rounding(const noise_table *table, const sampler_program *program, uint32_t call) {
    if (call % 2 == 0 || call + 1 >= program->calls) return 0;
    double ratio = sampler_program_row(program, call - 1)[SAMPLER_ROW_SIGMA] /
                   sampler_program_row(program, call + 1)[SAMPLER_ROW_SIGMA];
    uint32_t at = (uint32_t)sampler_program_row(program, call)[SAMPLER_ROW_TIMESTEP];
    if (at + 1 >= table->count) at = table->count - 2;
    return 1.5 * 0x1p-24 * ratio * ratio / (table->log_sigmas[at + 1] - table->log_sigmas[at]);
}

/* Timesteps of all calls: within 1e-4, two places of float32 at 999, and K-DPM2 ancestral's rounding. */
static void compare_timesteps(const base_host *host, const char *name, json_value list,
                              const sampler_config *config, const sampler_program *program) {
    uint32_t call = 0;
    mzt_error error;
    noise_table table;
    if (noise_table_create(host, config, &table, &error) < 0) fail_msg("%s", error.message);
    for (json_value v = json_first(list); v.item; v = json_next(v), call++) {
        double got = sampler_program_row(program, call)[SAMPLER_ROW_TIMESTEP], limit = 1e-4;
        if (config->kind == SAMPLER_DPM2_A) limit += ancestral_rounding(&table, program, call);
        if (!(fabs(got - number(v)) <= limit))
            fail_msg("%s call %u: timestep %.9g, expected %.9g within %.2g", name, call, got, number(v),
                     limit);
    }
    noise_table_destroy(host, &table);
}

/* Sigmas of all calls, within 1e-5 relative; one more than calls is the final one. */
static void compare_sigmas(const char *name, json_value list, const sampler_program *program) {
    uint32_t call = 0;
    for (json_value v = json_first(list); v.item; v = json_next(v), call++) {
        double got = call < program->calls ? sampler_program_row(program, call)[SAMPLER_ROW_SIGMA]
                                           : program->final_sigma;
        if (!(fabs(got - number(v)) <= 1e-5 * number(v)))
            fail_msg("%s call %u: sigma %.9g, expected %.9g", name, call, got, number(v));
    }
}

/* One case of diffusers.json. */
static void check_case(const base_host *host, json_value golden, uint32_t index) {
    mzt_error error;
    sampler_config config;
    sampler_program *program;
    char name[64];
    const char *class_name;
    double x[SIZE], path[CALLS], timestep_sum = 0;
    float narrow[SIZE];
    uint32_t i = 0;
    json_value root = json_get(golden, "config");
    if (json_require_string(root, "_class_name", &class_name, &error) < 0 ||
        sampler_config_parse(root, &config, &error) < 0)
        fail_msg("%s", error.message);
    sampler_request request = sampler_request_default((uint32_t)number(json_get(golden, "steps")));
    if (sampler_compile(host, &config, &request, &program, &error) < 0)
        fail_msg("case %u, %s: %s", index, class_name, error.message);
    snprintf(name, sizeof name, "#%u %.40s", index, class_name);
    assert_true(program->calls <= CALLS);

    expect_near(name, 0, program->init_noise_sigma, number(json_get(golden, "init")), 1e-6);
    for (int j = 0; j < SIZE; j++)
        x[j] = start_noise[j] * program->init_noise_sigma;
    for (int j = 0; j < SIZE; j++)
        narrow[j] = (float)x[j];
    run_program(program, true, x, path);
    run_table(host, program, narrow);
    for (uint32_t call = 0; call < program->calls; call++)
        timestep_sum += sampler_program_row(program, call)[SAMPLER_ROW_TIMESTEP];
    json_value sum = json_get(golden, "timestep_sum"), values = json_get(golden, "path");
    if (json_given(sum)) expect_near(name, 1, timestep_sum, number(sum), 1e-6);
    if (json_given(values)) assert_int_equal(json_count(values), program->calls);
    compare_timesteps(host, name, json_get(golden, "timesteps"), &config, program);
    compare_sigmas(name, json_get(golden, "sigmas"), program);
    for (json_value v = json_first(values); v.item; v = json_next(v), i++)
        expect_near(name, 100 + i, path[i], number(v), 1e-5);
    i = 0;
    for (json_value v = json_first(json_get(golden, "final")); v.item; v = json_next(v), i++) {
        expect_near(name, 1000 + i, x[i], number(v), 1e-5);
        expect_near(name, 2000 + i, narrow[i], x[i], 1e-4);
    }
    sampler_program_destroy(host, program);
}

/* Timesteps and sigmas as above, latents after every call within 1e-5 of diffusers (worst seen: 2e-6); the
 * float table within 1e-4 of the double one. */
static void test_diffusers(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    json_doc *doc;
    uint32_t count = 0;
    if (json_read(&host, MZT_SOURCE_DIR "/tests/golden/schedules/diffusers.json", &doc, &error) < 0)
        fail_msg("%s", error.message);
    for (json_value v = json_first(json_get(json_root(doc), "cases")); v.item; v = json_next(v))
        check_case(&host, v, count++);
    json_destroy(doc);
    assert_true(count > 500);
}

/* k-diffusion over given sigmas, with every eta and s_noise, within 1e-7: both sides are double. The
 * variance-preserving samplers start from the same latent, shrunk by alpha. */
static void test_k_diffusion(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    json_doc *doc;
    uint32_t count = 0;
    if (json_read(&host, MZT_SOURCE_DIR "/tests/golden/schedules/k_diffusion.json", &doc, &error) < 0)
        fail_msg("%s", error.message);
    for (json_value v = json_first(json_get(json_root(doc), "cases")); v.item; v = json_next(v), count++) {
        const char *name;
        double sigmas[64], x[SIZE];
        bool heun;
        uint32_t steps = 0, j = 0;
        sampler_program *program;
        sampler_config config = sampler_config_default(SAMPLER_EULER);
        for (json_value s = json_first(json_get(v, "sigmas")); s.item; s = json_next(s))
            sigmas[steps++] = number(s);
        assert_int_equal(json_require_string(v, "sampler", &name, &error), MZT_OK);
        assert_int_equal(json_get_bool(v, "heun", false, &heun, &error), MZT_OK);
        assert_int_equal(sampler_config_select(&config, name, NULL, &error), MZT_OK);
        if (heun) config.solver = SOLVER_HEUN;
        sampler_request request = sampler_request_default(steps - 1);
        request.sigmas = sigmas;
        request.eta = number(json_get(v, "eta"));
        request.s_noise = number(json_get(v, "s_noise"));
        if (sampler_compile(&host, &config, &request, &program, &error) < 0)
            fail_msg("%s: %s", name, error.message);
        for (int i = 0; i < SIZE; i++)
            x[i] = start_noise[i] * 14 * program->image_scale;
        run_program(program, false, x, NULL);
        for (json_value f = json_first(json_get(v, "final")); f.item; f = json_next(f), j++)
            expect_near(name, j, x[j], number(f), 1e-7);
        sampler_program_destroy(&host, program);
    }
    json_destroy(doc);
    assert_true(count > 70);
}

/* What holds for the program of every sampler: steps end in order, columns beyond the used slots are
 * identities, noises are numbered by first use and only stochastic samplers have any, no row is left empty.
 */
static void check_structure(const sampler_info *info, const sampler_program *program, uint32_t steps) {
    double next_noise = 0, step = 0;
    assert_int_equal(program->steps, steps);
    assert_true(program->slots >= 1 && program->slots <= SAMPLER_SLOTS);
    assert_true(program->calls >= steps && program->calls <= info->evaluations * steps + 1);
    for (uint32_t call = 0; call < program->calls; call++) {
        const double *row = sampler_program_row(program, call);
        assert_true(row[SAMPLER_ROW_STEP] == step);
        step += row[SAMPLER_ROW_EMIT];
        assert_true(row[SAMPLER_ROW_INPUT] > 0);
        for (int which = SAMPLER_ROW_NOISE1; which <= SAMPLER_ROW_NOISE2; which++) {
            assert_true(row[which] <= next_noise);
            if (row[which] == next_noise) next_noise++;
        }
        for (uint32_t slot = program->slots; slot < SAMPLER_SLOTS; slot++) {
            const double *update = row + SAMPLER_ROW_UPDATE + slot * SAMPLER_FORM_SIZE;
            for (uint32_t c = 0; c < SAMPLER_FORM_SIZE; c++)
                assert_true(update[c] == (c == slot));
            assert_true(row[SAMPLER_ROW_INPUT + slot] == 0 && row[SAMPLER_ROW_PREDICTION + slot] == 0);
        }
    }
    assert_true(step == steps);
    assert_true(next_noise == program->noises);
    assert_int_equal(program->noises > 0, info->stochastic);
}

static void test_structure(void **state) {
    (void)state;
    alloc_count counts = {0};
    base_host host = alloc_count_host(&counts);
    mzt_error error;
    for (int kind = 0; kind < SAMPLER_KIND_COUNT; kind++) {
        const sampler_info *info = sampler_info_get((sampler_kind)kind);
        for (uint32_t steps = 1; steps <= 30; steps += steps < 6 ? 1 : 8) {
            sampler_config config = sampler_config_default((sampler_kind)kind);
            sampler_program *program;
            config.skip_prk = true;
            config.spacing = SPACING_TRAILING;
            sampler_request request = sampler_request_default(steps);
            if (sampler_compile(&host, &config, &request, &program, &error) < 0)
                fail_msg("%s", error.message);
            if (steps > 1) check_structure(info, program, steps);
            sampler_program_destroy(&host, program);
        }
    }
    assert_int_equal(counts.live, 0);
}

/* Every sampler over every schedule that it takes gives finite latents, also from an image at part strength:
 * the start then mixes image and noise at the sigma of the first row, and int(steps * strength) steps run. */
static void test_strength(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    for (int kind = 0; kind < SAMPLER_KIND_COUNT; kind++) {
        const sampler_info *info = sampler_info_get((sampler_kind)kind);
        for (int schedule = 0; schedule < SCHEDULE_COUNT; schedule++) {
            sampler_config config = sampler_config_default((sampler_kind)kind);
            sampler_program *program;
            sampler_request request = sampler_request_default(20);
            config.skip_prk = true;
            config.schedule = (sigma_schedule)schedule;
            request.strength = 0.63;
            mzt_status status = sampler_compile(&host, &config, &request, &program, &error);
            bool table_only = kind == SAMPLER_PNDM || kind == SAMPLER_TCD;
            bool unfit = (table_only && schedule != SCHEDULE_DEFAULT) ||
                         (kind == SAMPLER_EULER_FLOW && schedule == SCHEDULE_AYS);
            assert_int_equal(status, unfit ? MZT_ERROR_UNSUPPORTED : MZT_OK);
            if (unfit) continue;
            assert_int_equal(program->steps, 12);
            double x[SIZE], sigma = sampler_program_row(program, 0)[SAMPLER_ROW_SIGMA];
            double found = info->space == SPACE_FLOW ? program->noise_scale
                                                     : program->noise_scale / program->image_scale;
            expect_near(info->name, 0, found, sigma, 1e-6);
            if (info->space == SPACE_EXPLODING) assert_true(program->image_scale == 1);
            for (int j = 0; j < SIZE; j++)
                x[j] = program->image_scale * 0.3 + program->noise_scale * start_noise[j];
            run_program(program, true, x, NULL);
            for (int j = 0; j < SIZE; j++)
                assert_true(fabs(x[j]) < 100);
            sampler_program_destroy(&host, program);
        }
    }
}

/* Where a run ends whose clean estimates are all `clean`, from slot 0 `before` the last call: at the noise
 * level of its end with the noise that it had; LCM at its boundary condition's c_out clean + c_skip x. */
static double expected_end(const sampler_config *config, const sampler_program *program, double before,
                           double clean) {
    const double *last = sampler_program_row(program, program->calls - 1);
    double sigma = last[SAMPLER_ROW_SIGMA], left = program->final_sigma;
    if (config->kind == SAMPLER_LCM) {
        double scaled = last[SAMPLER_ROW_TIMESTEP] * config->timestep_scaling;
        return scaled / sqrt(scaled * scaled + 0.25) * clean + 0.25 / (scaled * scaled + 0.25) * before;
    }
    if (left == 0) return clean; /* true for two calls a step too: the last step has one then */
    bool preserving = sampler_info_get(config->kind)->space == SPACE_PRESERVING;
    double noise = ((preserving ? before * sqrt(1 + sigma * sigma) : before) - clean) / sigma;
    return (clean + left * noise) / (preserving ? sqrt(1 + left * left) : 1);
}

/* A sampler must give the exact clean latent when the network knows it: m is the true noise (or v, or
 * velocity) of one fixed x0, so that every estimate is x0, whatever the order and the schedule. */
static void test_exact(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    static const double clean = 0.37;
    for (int kind = 0; kind < SAMPLER_KIND_COUNT; kind++) {
        const sampler_info *info = sampler_info_get((sampler_kind)kind);
        for (int prediction = PREDICTION_EPSILON; prediction <= PREDICTION_SAMPLE; prediction++) {
            sampler_config config = sampler_config_default((sampler_kind)kind);
            sampler_program *program;
            sampler_request request = sampler_request_default(10);
            config.skip_prk = true;
            config.clip_sample = 0;
            config.alpha_to_one = true;
            config.spacing = SPACING_TRAILING;
            if (config.prediction != PREDICTION_FLOW) config.prediction = (prediction_type)prediction;
            mzt_status status = sampler_compile(&host, &config, &request, &program, &error);
            if (kind == SAMPLER_PNDM && config.prediction == PREDICTION_SAMPLE) {
                assert_int_equal(status, MZT_ERROR_UNSUPPORTED);
                continue;
            }
            assert_int_equal(status, MZT_OK);
            if (kind == SAMPLER_PNDM && prediction == PREDICTION_V) { /* it extrapolates v, which changes */
                sampler_program_destroy(&host, program);
                continue;
            }
            double state_data[SAMPLER_SLOTS] = {0}, denoised, noise1, noise2, *slots[SAMPLER_SLOTS],
                   before = 0;
            for (int i = 0; i < SAMPLER_SLOTS; i++)
                slots[i] = &state_data[i];
            state_data[0] = program->image_scale * clean + program->noise_scale * -1.1;
            for (uint32_t call = 0; call < program->calls; call++) {
                const double *row = sampler_program_row(program, call);
                double q = row[SAMPLER_ROW_Q], p = row[SAMPLER_ROW_PREDICTION], values[SIZE];
                double m = (clean - p * state_data[0]) / q;
                before = state_data[0];
                fill_noise(row[SAMPLER_ROW_NOISE1], values);
                noise1 = values[0];
                fill_noise(row[SAMPLER_ROW_NOISE2], values);
                noise2 = values[0];
                sampler_update_f64(row, program->slots, slots, &m, &noise1, &noise2, &denoised, 1);
                expect_near(info->name, call, denoised, clean, 1e-12);
            }
            expect_near(info->name, 1000, state_data[0], expected_end(&config, program, before, clean), 1e-11);
            sampler_program_destroy(&host, program);
        }
    }
}

/* m = u + g (c - u), then the deviation of c: hand-made numbers. */
static void test_guidance(void **state) {
    (void)state;
    const float u[4] = {0, 1, 2, 3}, c[4] = {1, 1, 4, 2};
    float m[4];
    guidance_apply(u, c, 3, 0, 2, 2, m);
    const float plain[4] = {3, 1, 8, 0};
    for (int i = 0; i < 4; i++)
        assert_true(m[i] == plain[i]);
    /* sample 0: c is constant, so its deviation is 0 and full rescale gives 0; sample 1: deviation of (4, 2)
     * is 1, of (8, 0) is 4 */
    guidance_apply(u, c, 3, 1, 2, 2, m);
    const float full[4] = {0, 0, 2, 0};
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(m[i] - full[i]) < 1e-6f);
    float same[4] = {1, 1, 4, 2};
    guidance_apply(u, same, 3, 0.5f, 2, 2, same);
    assert_true(fabsf(same[2] - 5) < 1e-6f && same[3] == 0);
}

static mzt_status compile_with(const base_host *host, sampler_config config, sampler_request request,
                               mzt_error *error) {
    sampler_program *program = NULL;
    mzt_status status = sampler_compile(host, &config, &request, &program, error);
    assert_int_equal(status < 0, program == NULL);
    sampler_program_destroy(host, program);
    return status;
}

static void test_bad_requests(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    mzt_error error;
    sampler_config config = sampler_config_default(SAMPLER_EULER);
    static const uint32_t counts[] = {0, 1000000, UINT32_MAX, SAMPLER_STEPS_MAX + 1, 1001};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        assert_int_equal(compile_with(&host, config, sampler_request_default(counts[i]), &error),
                         MZT_ERROR_INVALID);
        assert_non_null(strstr(error.message, "steps"));
    }
    static const double strengths[] = {0, -1, 1.01, NAN, 0.04};
    for (size_t i = 0; i < sizeof strengths / sizeof *strengths; i++) {
        sampler_request request = sampler_request_default(20);
        request.strength = strengths[i];
        assert_int_equal(compile_with(&host, config, request, &error), MZT_ERROR_INVALID);
        assert_non_null(strstr(error.message, "strength"));
    }
    static const double lists[][4] = {{1, 2, 0.5, 0}, {3, 2, 2, 0},        {3, 0, 0, 0},
                                      {3, 2, 1, -1},  {INFINITY, 2, 1, 0}, {3, NAN, 1, 0}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        sampler_request request = sampler_request_default(3);
        request.sigmas = lists[i];
        assert_int_equal(compile_with(&host, config, request, &error), MZT_ERROR_INVALID);
        assert_non_null(strstr(error.message, "sigma"));
    }
    sampler_request request = sampler_request_default(4);
    request.eta = NAN;
    assert_int_equal(compile_with(&host, config, request, &error), MZT_ERROR_INVALID);
    config.kind = SAMPLER_LCM;
    assert_int_equal(compile_with(&host, config, sampler_request_default(51), &error), MZT_ERROR_INVALID);
    config.kind = SAMPLER_PNDM;
    assert_int_equal(compile_with(&host, config, sampler_request_default(3), &error), MZT_ERROR_INVALID);
    config.kind = SAMPLER_EULER_FLOW;
    assert_int_equal(compile_with(&host, config, sampler_request_default(3), &error), MZT_ERROR_UNSUPPORTED);
    /* at zero terminal SNR only v or sample prediction says anything */
    config = sampler_config_default(SAMPLER_DDIM);
    config.zero_snr = true;
    config.spacing = SPACING_TRAILING;
    assert_int_equal(compile_with(&host, config, sampler_request_default(4), &error), MZT_ERROR_UNSUPPORTED);
    config.prediction = PREDICTION_V;
    assert_int_equal(compile_with(&host, config, sampler_request_default(4), &error), MZT_OK);
}

/* Each allocation failing in turn gives OUT_OF_MEMORY and leaves nothing behind. */
static void test_out_of_memory(void **state) {
    (void)state;
    sampler_config config = sampler_config_default(SAMPLER_UNIPC);
    sampler_request request = sampler_request_default(10);
    for (long fail_at = 1;; fail_at++) {
        alloc_count counts = {.fail_at = fail_at};
        base_host host = alloc_count_host(&counts);
        mzt_error error;
        mzt_status status = compile_with(&host, config, request, &error);
        assert_int_equal(counts.live, 0);
        if (counts.calls < fail_at) {
            assert_int_equal(status, MZT_OK);
            assert_true(fail_at > 5);
            break;
        }
        assert_int_equal(status, MZT_ERROR_OUT_OF_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diffusers),    cmocka_unit_test(test_k_diffusion),
        cmocka_unit_test(test_structure),    cmocka_unit_test(test_strength),
        cmocka_unit_test(test_exact),        cmocka_unit_test(test_guidance),
        cmocka_unit_test(test_bad_requests), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
