/* Compiling a sampler into a program: checks the request, makes the schedule, lets the sampler append its
 * rows, and checks that every number of the table is finite. */
#include "sample/compile.h"

#include <math.h>

#include "sample/build.h"

sampler_request sampler_request_default(uint32_t steps) {
    return (sampler_request){.steps = steps, .strength = 1, .eta = -1, .s_noise = -1};
}

static mzt_status check_request(const sampler_config *config, const sampler_request *request,
                                mzt_error *error) {
    const sampler_info *info = sampler_info_get(config->kind);
    bool flow = config->prediction == PREDICTION_FLOW;
    if (request->steps == 0 || request->steps > SAMPLER_STEPS_MAX)
        return error_set(error, MZT_ERROR_INVALID, "%u steps, expected 1 to %d", (unsigned)request->steps,
                         SAMPLER_STEPS_MAX);
    if (!(request->strength > 0 && request->strength <= 1))
        return error_set(error, MZT_ERROR_INVALID, "strength is %g, expected above 0 and at most 1",
                         request->strength);
    if (!(request->eta <= 10) || !(request->s_noise <= 10))
        return error_set(error, MZT_ERROR_INVALID, "eta is %g and s_noise %g, expected at most 10",
                         request->eta, request->s_noise);
    if (flow != (info->space == SPACE_FLOW))
        return error_set(error, MZT_ERROR_UNSUPPORTED, "sampler %s does not run %s networks; %s", info->name,
                         flow ? "flow matching" : "noise predicting",
                         flow ? "euler_flow does" : "it is for flow matching only");
    bool table_only = config->kind == SAMPLER_PNDM || config->kind == SAMPLER_TCD;
    if (table_only && (config->schedule != SCHEDULE_DEFAULT || request->sigmas))
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "sampler %s runs over its own timesteps only, not schedule %s", info->name,
                         request->sigmas ? "of given sigmas" : sampler_schedule_name(config->schedule));
    return MZT_OK;
}

/* The first step that runs. Like diffusers, int(steps * strength) steps are kept. */
static mzt_status first_step(uint32_t steps, double strength, uint32_t *begin, mzt_error *error) {
    uint32_t kept = strength >= 1 ? steps : (uint32_t)(steps * strength);
    if (kept == 0)
        return error_set(error, MZT_ERROR_INVALID, "strength %g of %u steps leaves no step to run", strength,
                         (unsigned)steps);
    *begin = steps - kept;
    return MZT_OK;
}

/* The start: the scale of pure noise, and how an image is mixed with noise. */
static void fill_start(const sampler_build *build) {
    const step_schedule *schedule = build->schedule;
    point start = build_point(build, build->begin);
    build->program->image_scale = start.alpha;
    build->program->noise_scale = start.sigma;
    build->program->final_scale = 1;
    build->program->init_noise_sigma = 1;
    if (build->info->space == SPACE_EXPLODING) {
        /* the latent's whole deviation is sqrt(sigma^2 + 1); with the spacings that begin at the last trained
         * timestep diffusers leaves the 1 out */
        double first = schedule->sigmas[0];
        bool leading = build->config->spacing == SPACING_LEADING;
        build->program->init_noise_sigma = leading ? sqrt(first * first + 1) : first;
    }
}

/* Counts the slots in use and makes sure that no coefficient is infinite or NaN. */
static mzt_status finish(sampler_build *build) {
    sampler_program *program = build->program;
    program->slots = 1;
    for (uint32_t call = 0; call < program->calls; call++) {
        const double *row = sampler_program_row(program, call);
        for (int i = 0; i < SAMPLER_ROW_FLOATS; i++) {
            if (!isfinite((float)row[i]) && i != SAMPLER_ROW_SIGMA)
                return error_set(build->error, MZT_ERROR_UNSUPPORTED,
                                 "sampler %s: call %u at timestep %g has no finite step (a network at zero "
                                 "signal-to-noise must predict v or the sample)",
                                 build->info->name, (unsigned)call, row[SAMPLER_ROW_TIMESTEP]);
            int slot = (i - SAMPLER_ROW_UPDATE) / SAMPLER_FORM_SIZE,
                column = (i - SAMPLER_ROW_UPDATE) % SAMPLER_FORM_SIZE;
            bool identity = column == slot && row[i] == 1;
            if (i >= SAMPLER_ROW_UPDATE && row[i] != 0 && !identity && (uint32_t)slot >= program->slots)
                program->slots = (uint32_t)slot + 1;
        }
    }
    return MZT_OK;
}

static mzt_status append_all(sampler_build *build, const base_host *host) {
    sampler_program *program = build->program;
    build->capacity = build->info->evaluations * build->schedule->steps + 12; /* PNDM's start takes 9 more */
    program->rows = host_calloc(host, build->capacity, SAMPLER_ROW_FLOATS * sizeof *program->rows);
    if (!program->rows)
        return error_memory(build->error, "sampler program",
                            (uint64_t)build->capacity * SAMPLER_ROW_FLOATS * 8);
    program->steps = build->schedule->steps - build->begin;
    program->final_sigma = build->schedule->sigmas[build->schedule->steps];
    fill_start(build);
    TRY(build->info->append(build));
    return finish(build);
}

mzt_status sampler_compile(const base_host *host, const sampler_config *config,
                           const sampler_request *request, sampler_program **out, mzt_error *error) {
    *out = NULL;
    TRY(sampler_config_check(config, error));
    TRY(check_request(config, request, error));
    sampler_config own = *config;
    if (request->eta >= 0) own.eta = request->eta;
    if (request->s_noise >= 0) own.s_noise = request->s_noise;

    noise_table table = {0};
    step_schedule steps = {0};
    sampler_program *program = NULL;
    sampler_build build = {.config = &own,
                           .info = sampler_info_get(own.kind),
                           .custom = request->sigmas != NULL,
                           .error = error};
    mzt_status status = noise_table_create(host, &own, &table, error);
    if (status < 0) return status;
    status = schedule_create(host, &own, &table, request->steps, request->sigmas, &steps, error);
    if (status < 0) goto done;
    status = first_step(steps.steps, request->strength, &build.begin, error);
    if (status < 0) goto done;
    program = host_calloc(host, 1, sizeof *program);
    if (!program) {
        status = error_memory(error, "sampler program", sizeof *program);
        goto done;
    }
    build.table = &table;
    build.schedule = &steps;
    build.program = program;
    status = append_all(&build, host);
done:
    noise_table_destroy(host, &table);
    schedule_destroy(host, &steps);
    if (status < 0)
        sampler_program_destroy(host, program);
    else
        *out = program;
    return status;
}
