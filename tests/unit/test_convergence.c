/* Deterministic samplers on a problem with an exact answer: their error against the probability-flow path of
 * a Gaussian mixture must fall with the order that theory gives them.
 *
 * The order is that of a whole run over a smooth schedule. It follows from the errors of single steps: all
 * steps of order p together leave an error of order p, and any fixed number of steps of order p - 1 (a start
 * without history, a last step of lower order) do too, as each of those is wrong by h^p. So
 *
 * - a multistep sampler whose first step is of order 1 has order 2, however high its formula's own order is;
 * - UniPC's corrector raises each step by one order, so it starts with a step of order 2, and orders 2 and 3
 *   both give 3; with a last step of order 1, which nothing corrects, it gives 2;
 * - PNDM gives the outputs of a step equal weights in the timestep, while the path weighs them by the change
 * of sigma: that alone is wrong by h^3 in every step, so its Adams-Bashforth formula of order 4 makes
 * order 2.
 *
 * The observed order log2(e(n) / e(2n)) approaches the true one like 1/n, so it is taken at two successive
 * doublings, must lie on either side within twice the last one's limit at the first, and within `slack` at
 * the last. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "gaussian_mixture.h"
#include "mixture_sampler.h"

#define POINTS 8

static const double slack = 0.04;

/* A program over Karras sigmas from 1 to 0.1 (flow: the same ratios): where the mixture's path bends most, so
 * that the start-up's errors show too. The first step is halved `halvings` times: the parts are 2^-halvings,
 * 2^-halvings, ..., 1/4 and 1/2 of it. */
static sampler_program *compile(const base_host *host, const sampler_config *config, uint32_t steps,
                                uint32_t halvings) {
    double sigmas[SAMPLER_STEPS_MAX + 1];
    mzt_error error;
    sampler_program *program;
    sampler_request request = sampler_request_default(steps + halvings);
    for (uint32_t i = 0; i <= steps + halvings; i++) {
        double at = i > halvings ? i - halvings : i == 0 ? 0 : ldexp(1, (int)i - (int)halvings - 1);
        if (halvings == 0) at = i;
        double sigma = pow(1 + at * (pow(0.1, 1 / 7.) - 1) / steps, 7);
        sigmas[i] = config->prediction == PREDICTION_FLOW ? sigma / (1 + sigma) : sigma;
    }
    request.sigmas = sigmas;
    if (sampler_compile(host, config, &request, &program, &error) < 0) fail_msg("%s", error.message);
    return program;
}

/* Mean distance from the exact path, over starts on a circle, after the first `calls` calls of a program,
 * where the row's sigma is `end`. */
static double path_error(const base_host *host, const sampler_program *program, sampler_space space,
                         uint32_t calls, double end) {
    double x[2 * POINTS], sum = 0, start = sampler_program_row(program, 0)[SAMPLER_ROW_SIGMA];
    double from = mixture_ratio(space, start), radius = 2 * sqrt(1 + from * from);
    const mixture_run run = {.program = program, .space = space, .calls = calls, .random = 1};
    for (int i = 0; i < POINTS; i++)
        for (int a = 0; a < 2; a++)
            x[2 * i + a] = radius * sin(0.7854 * i + 1.5708 * a + 0.3) * mixture_scale(space, start);
    assert_true(mixture_run_program(host, &run, x, POINTS));
    for (int i = 0; i < POINTS; i++) {
        double exact[2];
        for (int a = 0; a < 2; a++)
            exact[a] = radius * sin(0.7854 * i + 1.5708 * a + 0.3);
        mixture_path(exact, from, mixture_ratio(space, end), 2000);
        sum += hypot(x[2 * i] / mixture_scale(space, end) - exact[0],
                     x[2 * i + 1] / mixture_scale(space, end) - exact[1]);
    }
    return sum / POINTS;
}

static double run_error(const base_host *host, const sampler_config *config, uint32_t steps,
                        uint32_t halvings) {
    sampler_program *program = compile(host, config, steps, halvings);
    assert_int_equal(program->noises, 0);
    double error = path_error(host, program, sampler_info_get(config->kind)->space, 0, program->final_sigma);
    sampler_program_destroy(host, program);
    return error;
}

/* `errors` at three resolutions, each `step` times as fine as the one before. */
static void expect_order(const char *name, const double errors[3], double step, double order) {
    double first = log(errors[0] / errors[1]) / log(step), last = log(errors[1] / errors[2]) / log(step);
    if (!(fabs(first - order) <= 2 * slack && fabs(last - order) <= slack))
        fail_msg("%s: errors %.3g, %.3g, %.3g fall with order %.3f, then %.3f; expected %g", name, errors[0],
                 errors[1], errors[2], first, last, order);
}

static void check_order(const base_host *host, const sampler_config *config, double order) {
    char name[64];
    double errors[3];
    /* multiples of 3, so that the groups of a single-step sampler of order 3 come out even */
    for (uint32_t i = 0; i < 3; i++)
        errors[i] = run_error(host, config, 384u << i, 0);
    snprintf(name, sizeof name, "%s, order %u, solver %d", sampler_info_get(config->kind)->name,
             (unsigned)config->order, (int)config->solver);
    expect_order(name, errors, 2, order);
}

/* Every deterministic sampler, with its defaults, at the order of its row in the table of samplers. */
static void test_stated_order(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    for (int kind = 0; kind < SAMPLER_KIND_COUNT; kind++) {
        const sampler_info *info = sampler_info_get((sampler_kind)kind);
        assert_int_equal(info->order == 0, info->stochastic);
        if (info->stochastic || kind == SAMPLER_PNDM) continue;
        sampler_config config = sampler_config_default((sampler_kind)kind);
        config.clip_sample = 0;
        check_order(&host, &config, info->order);
    }
}

/* The solvers when nothing but their own start-up limits them: no lower order at the end. */
static void test_solver_orders(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const struct {
        sampler_kind kind;
        uint32_t order;
        solver_type solver;
        double converges;
    } cases[] = {
        {SAMPLER_DPMPP_2M, 1, SOLVER_MIDPOINT, 1}, {SAMPLER_DPMPP_2M, 2, SOLVER_MIDPOINT, 2},
        {SAMPLER_DPMPP_2M, 2, SOLVER_HEUN, 2},     {SAMPLER_DPMPP_3M, 3, SOLVER_MIDPOINT, 2},
        {SAMPLER_DPMPP_2S, 1, SOLVER_MIDPOINT, 1}, {SAMPLER_DPMPP_2S, 2, SOLVER_MIDPOINT, 2},
        {SAMPLER_DPMPP_2S, 2, SOLVER_HEUN, 2},     {SAMPLER_DPMPP_2S, 3, SOLVER_MIDPOINT, 3},
        {SAMPLER_DPMPP_2S, 3, SOLVER_HEUN, 3},     {SAMPLER_DEIS, 1, SOLVER_MIDPOINT, 1},
        {SAMPLER_DEIS, 2, SOLVER_MIDPOINT, 2},     {SAMPLER_DEIS, 3, SOLVER_MIDPOINT, 2},
        {SAMPLER_UNIPC, 1, SOLVER_BH1, 2},         {SAMPLER_UNIPC, 1, SOLVER_BH2, 2},
        {SAMPLER_UNIPC, 2, SOLVER_BH1, 3},         {SAMPLER_UNIPC, 2, SOLVER_BH2, 3},
        {SAMPLER_UNIPC, 3, SOLVER_BH1, 3},         {SAMPLER_UNIPC, 3, SOLVER_BH2, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sampler_config config = sampler_config_default(cases[i].kind);
        config.order = cases[i].order;
        config.solver = cases[i].solver;
        config.lower_order_final = config.final_sigma_zero = false;
        check_order(&host, &config, cases[i].converges);
    }
}

/* Multistep formulas for themselves: with a first step that is halved until its order does not matter. DPM++
 * of order 3 has order 2 even so: its second difference stands for h^2 d''/2, and its published weight -phi3
 * is half of that term's, -2 phi3 (which single-step DPM++ has). */
static void test_inner_orders(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const struct {
        sampler_kind kind;
        uint32_t order;
        double converges;
    } cases[] = {{SAMPLER_LMS, 2, 4},   {SAMPLER_DPMPP_3M, 3, 2}, {SAMPLER_DEIS, 3, 3},
                 {SAMPLER_UNIPC, 2, 3}, {SAMPLER_UNIPC, 3, 4},    {SAMPLER_DPMPP_3M_SDE, 3, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sampler_config config = sampler_config_default(cases[i].kind);
        double errors[3];
        config.order = cases[i].order;
        config.eta = 0;
        config.lower_order_final = config.final_sigma_zero = false;
        for (uint32_t k = 0; k < 3; k++)
            errors[k] = run_error(&host, &config, 96u << k, 20);
        expect_order(sampler_info_get(cases[i].kind)->name, errors, 2, cases[i].converges);
    }
}

/* Samplers that renew noise, without it, are ODE solvers. */
static void test_eta_zero(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const struct {
        sampler_kind kind;
        double converges;
    } cases[] = {{SAMPLER_EULER_A, 1},   {SAMPLER_DPM2_A, 2},       {SAMPLER_DPMPP_2S_A, 2},
                 {SAMPLER_DPMPP_SDE, 2}, {SAMPLER_DPMPP_2M_SDE, 2}, {SAMPLER_DPMPP_3M_SDE, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sampler_config config = sampler_config_default(cases[i].kind);
        config.eta = 0;
        config.final_sigma_zero = false;
        check_order(&host, &config, cases[i].converges);
    }
}

/* PNDM over the 1000 whole timesteps of Stable Diffusion's table, up to timestep `stop`; -1: to the end. */
static double pndm_error(const base_host *host, bool skip_prk, uint32_t steps, double stop) {
    mzt_error error;
    sampler_program *program;
    sampler_config config = sampler_config_default(SAMPLER_PNDM);
    config.betas = BETAS_SCALED_LINEAR;
    config.beta_start = 0.00085;
    config.beta_end = 0.012;
    config.skip_prk = skip_prk;
    sampler_request request = sampler_request_default(steps);
    if (sampler_compile(host, &config, &request, &program, &error) < 0) fail_msg("%s", error.message);
    double end = program->final_sigma;
    uint32_t calls = program->calls;
    for (uint32_t call = program->calls - 1; stop >= 0 && call > 0; call--) {
        const double *row = sampler_program_row(program, call);
        if (row[SAMPLER_ROW_TIMESTEP] != stop) continue;
        end = row[SAMPLER_ROW_SIGMA];
        calls = call;
        break;
    }
    assert_true(stop < 0 || calls < program->calls);
    double result = path_error(host, program, SPACE_PRESERVING, calls, end);
    sampler_program_destroy(host, program);
    return result;
}

/* Order 2 down to timestep 40, with both starts (the Runge-Kutta one where half steps are whole timesteps).
 * The table ends in a singularity: sigma goes there like the square root of the timestep, within few
 * timesteps, and whole timesteps cannot resolve that. Runs to the end itself are therefore of a lower order,
 * between 1 and 2, with up to 250 steps. */
static void test_pndm(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const double stops[] = {600, 200, 40};
    for (size_t s = 0; s < sizeof stops / sizeof *stops; s++) {
        double plms[3], prk[3];
        for (uint32_t i = 0; i < 3; i++) {
            plms[i] = pndm_error(&host, true, 250u << i, stops[s]);
            prk[i] = pndm_error(&host, false, 125u << i, stops[s]);
        }
        expect_order("pndm", plms, 2, sampler_info_get(SAMPLER_PNDM)->order);
        if (stops[s] == 200) expect_order("pndm with Runge-Kutta start", prk, 2, 2);
    }
    double coarse = pndm_error(&host, true, 50, -1), fine = pndm_error(&host, true, 250, -1);
    double found = log(coarse / fine) / log(5);
    if (!(found > 1 && found < 1.8)) fail_msg("pndm to the table's end: order %.2f", found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stated_order), cmocka_unit_test(test_solver_orders),
        cmocka_unit_test(test_inner_orders), cmocka_unit_test(test_eta_zero),
        cmocka_unit_test(test_pndm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
