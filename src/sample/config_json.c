/* Reading scheduler_config.json; see config.h. A class's keys have the meaning of diffusers 0.27; what this
 * library cannot honour is an error that names key and value, never a silent difference. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sample/config.h"
#include "sample/samplers.h"

/* A word of a closed set and what it stands for. */
typedef struct word {
    const char *text;
    int value;
} word;

/* Reads a word; absent leaves *out alone. A word that is not in the set is UNSUPPORTED. */
static mzt_status read_word(json_value root, const char *key, const word *words, int *out, mzt_error *error) {
    const char *text;
    char known[200] = "";
    TRY(json_get_string(root, key, NULL, &text, error));
    if (!text) return MZT_OK;
    for (const word *w = words; w->text; w++) {
        if (strcmp(w->text, text) == 0) {
            *out = w->value;
            return MZT_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", w->text);
    }
    return json_error(json_get(root, key), error, MZT_ERROR_UNSUPPORTED,
                      "\"%.60s\" is not supported, known are: %s", text, known);
}

/* A switch that this library only knows in one position. */
static mzt_status refuse(json_value root, const char *key, mzt_error *error) {
    bool on;
    TRY(json_get_bool(root, key, false, &on, error));
    if (!on) return MZT_OK;
    return json_error(json_get(root, key), error, MZT_ERROR_UNSUPPORTED, "true is not supported");
}

static mzt_status read_class(json_value root, sampler_kind *kind, mzt_error *error) {
    const char *name;
    char known[480] = "";
    TRY(json_require_string(root, "_class_name", &name, error));
    for (int i = 0; i < SAMPLER_KIND_COUNT; i++) {
        const char *own = sampler_info_get((sampler_kind)i)->class_name;
        if (!own) continue;
        if (strcmp(own, name) == 0) {
            *kind = (sampler_kind)i;
            return MZT_OK;
        }
        size_t used = strlen(known);
        int length = (int)(strlen(own) - strlen("Scheduler"));
        snprintf(known + used, sizeof known - used, "%s%.*s", used ? ", " : "", length, own);
    }
    return json_error(json_get(root, "_class_name"), error, MZT_ERROR_UNSUPPORTED,
                      "unknown \"%.40s\", known (+Scheduler): %s", name, known);
}

static mzt_status read_trained_betas(json_value root, sampler_config *config, mzt_error *error) {
    json_value list;
    uint32_t count = 0;
    TRY(json_get_array(root, "trained_betas", &list, error));
    if (!list.item) return MZT_OK;
    if (json_count(list) != config->train_steps)
        return json_error(list, error, MZT_ERROR_INVALID, "%u values, expected num_train_timesteps = %u",
                          (unsigned)json_count(list), (unsigned)config->train_steps);
    for (json_value v = json_first(list); v.item; v = json_next(v)) {
        double beta;
        TRY(json_as_double(v, &beta, error));
        if (!(beta > 0 && beta < 1))
            return json_error(v, error, MZT_ERROR_INVALID, "%g, expected between 0 and 1", beta);
        config->trained_betas[count++] = (float)beta;
    }
    config->betas = BETAS_TRAINED;
    return MZT_OK;
}

static mzt_status read_training(json_value root, sampler_config *config, mzt_error *error) {
    static const word betas[] = {{"linear", BETAS_LINEAR},
                                 {"scaled_linear", BETAS_SCALED_LINEAR},
                                 {"squaredcos_cap_v2", BETAS_COSINE},
                                 {NULL, 0}};
    static const word predictions[] = {{"epsilon", PREDICTION_EPSILON},
                                       {"v_prediction", PREDICTION_V},
                                       {"sample", PREDICTION_SAMPLE},
                                       {"original_sample", PREDICTION_SAMPLE},
                                       {NULL, 0}};
    int64_t steps;
    int schedule = config->betas, prediction = config->prediction;
    TRY(json_get_int(root, "num_train_timesteps", 1, SAMPLER_TRAIN_STEPS_MAX, config->train_steps, &steps,
                     error));
    config->train_steps = (uint32_t)steps;
    if (config->prediction == PREDICTION_FLOW) {
        TRY(refuse(root, "use_dynamic_shifting", error));
        TRY(refuse(root, "invert_sigmas", error));
        TRY(refuse(root, "stochastic_sampling", error));
        if (json_given(json_get(root, "shift_terminal")))
            return json_error(json_get(root, "shift_terminal"), error, MZT_ERROR_UNSUPPORTED,
                              "only null is supported");
        return json_get_double(root, "shift", config->shift, &config->shift, error);
    }
    TRY(json_get_double(root, "beta_start", config->beta_start, &config->beta_start, error));
    TRY(json_get_double(root, "beta_end", config->beta_end, &config->beta_end, error));
    TRY(read_word(root, "beta_schedule", betas, &schedule, error));
    TRY(read_word(root, "prediction_type", predictions, &prediction, error));
    config->betas = (beta_schedule)schedule;
    config->prediction = (prediction_type)prediction;
    TRY(json_get_bool(root, "rescale_betas_zero_snr", false, &config->zero_snr, error));
    return read_trained_betas(root, config, error);
}

static void note_given(json_value root, sampler_config *config) {
    static const word keys[] = {
        {"timestep_spacing", CONFIG_GIVEN_SPACING},      {"steps_offset", CONFIG_GIVEN_STEPS_OFFSET},
        {"clip_sample", CONFIG_GIVEN_CLIP_SAMPLE},       {"skip_prk_steps", CONFIG_GIVEN_SKIP_PRK},
        {"set_alpha_to_one", CONFIG_GIVEN_ALPHA_TO_ONE}, {NULL, 0}};
    for (const word *k = keys; k->text; k++)
        if (json_given(json_get(root, k->text))) config->given |= (uint32_t)k->value;
}

/* The one switch of a family that picks the sigmas; at most one may be on. */
static mzt_status read_sigma_schedule(json_value root, sampler_config *config, mzt_error *error) {
    static const word switches[] = {{"use_karras_sigmas", SCHEDULE_KARRAS},
                                    {"use_exponential_sigmas", SCHEDULE_EXPONENTIAL},
                                    {"use_lu_lambdas", SCHEDULE_EXPONENTIAL},
                                    {NULL, 0}};
    TRY(refuse(root, "use_beta_sigmas", error));
    for (const word *s = switches; s->text; s++) {
        bool on;
        TRY(json_get_bool(root, s->text, false, &on, error));
        if (!on || config->schedule != SCHEDULE_DEFAULT) continue;
        config->schedule = (sigma_schedule)s->value;
    }
    TRY(json_get_double(root, "sigma_min", 0, &config->sigma_min, error));
    return json_get_double(root, "sigma_max", 0, &config->sigma_max, error);
}

static mzt_status read_schedule(json_value root, sampler_config *config, mzt_error *error) {
    static const word spacings[] = {{"linspace", SPACING_LINSPACE},
                                    {"leading", SPACING_LEADING},
                                    {"trailing", SPACING_TRAILING},
                                    {NULL, 0}};
    static const word interpolations[] = {{"linear", 0}, {NULL, 0}};
    static const word types[] = {{"discrete", 0}, {"continuous", 1}, {NULL, 0}};
    int spacing = config->spacing, only = 0, continuous = 0;
    int64_t offset;
    sampler_layout layout = sampler_info_get(config->kind)->layout;
    note_given(root, config);
    if (layout == LAYOUT_SIGMA || layout == LAYOUT_LAMBDA || layout == LAYOUT_FLOW)
        TRY(read_sigma_schedule(root, config, error));
    if (config->kind == SAMPLER_DPMPP_2S) return MZT_OK; /* this class knows linspace only */
    TRY(read_word(root, "timestep_spacing", spacings, &spacing, error));
    config->spacing = (timestep_spacing)spacing;
    TRY(json_get_int(root, "steps_offset", 0, SAMPLER_TRAIN_STEPS_MAX, 0, &offset, error));
    config->steps_offset = (uint32_t)offset;
    if (config->kind != SAMPLER_EULER) return MZT_OK;
    TRY(read_word(root, "interpolation_type", interpolations, &only, error));
    TRY(read_word(root, "timestep_type", types, &continuous, error));
    config->continuous_timestep = continuous && config->prediction == PREDICTION_V;
    return MZT_OK;
}

/* clip_sample with its range, and the older options of DDIM, DDPM, PNDM, LCM and Heun. */
static mzt_status read_discrete(json_value root, sampler_config *config, mzt_error *error) {
    static const word variances[] = {
        {"fixed_small", 0}, {"fixed_small_log", 0}, {"fixed_large", 1}, {NULL, 0}};
    bool clip;
    double range;
    int large = 0;
    int64_t original;
    sampler_layout layout = sampler_info_get(config->kind)->layout;
    if (layout != LAYOUT_INTEGER && layout != LAYOUT_CONSISTENCY && config->kind != SAMPLER_HEUN)
        return MZT_OK;
    TRY(json_get_bool(root, "clip_sample", config->clip_sample > 0, &clip, error));
    TRY(json_get_double(root, "clip_sample_range", 1, &range, error));
    if (clip && !(range > 0))
        return json_error(json_get(root, "clip_sample_range"), error, MZT_ERROR_INVALID,
                          "%g, expected above 0", range);
    bool clips = config->kind != SAMPLER_PNDM && config->kind != SAMPLER_TCD;
    config->clip_sample = clip && clips ? range : 0;
    TRY(json_get_bool(root, "set_alpha_to_one", config->alpha_to_one, &config->alpha_to_one, error));
    TRY(json_get_bool(root, "skip_prk_steps", config->skip_prk, &config->skip_prk, error));
    TRY(json_get_int(root, "original_inference_steps", 1, SAMPLER_TRAIN_STEPS_MAX, config->original_steps,
                     &original, error));
    config->original_steps = (uint32_t)original;
    TRY(json_get_double(root, "timestep_scaling", config->timestep_scaling, &config->timestep_scaling,
                        error));
    if (config->kind != SAMPLER_DDPM) return MZT_OK;
    TRY(read_word(root, "variance_type", variances, &large, error));
    config->variance_large = large == 1;
    return MZT_OK;
}

/* algorithm_type and solver_type. The classes of one family accept each other's words, as their configs are
 * interchanged. */
static mzt_status read_algorithm(json_value root, sampler_config *config, mzt_error *error) {
    static const word multistep[] = {{"dpmsolver++", 0}, {"deis", 0}, {"sde-dpmsolver++", 1}, {NULL, 0}};
    static const word singlestep[] = {{"dpmsolver++", 0}, {"deis", 0}, {NULL, 0}};
    static const word deis[] = {{"deis", 0}, {"dpmsolver", 0}, {"dpmsolver++", 0}, {NULL, 0}};
    static const word dpm[] = {{"midpoint", SOLVER_MIDPOINT}, {"heun", SOLVER_HEUN},
                               {"logrho", SOLVER_MIDPOINT},   {"bh1", SOLVER_MIDPOINT},
                               {"bh2", SOLVER_MIDPOINT},      {NULL, 0}};
    static const word unipc[] = {{"bh1", SOLVER_BH1},  {"bh2", SOLVER_BH2},    {"midpoint", SOLVER_BH2},
                                 {"heun", SOLVER_BH2}, {"logrho", SOLVER_BH2}, {NULL, 0}};
    int algorithm = 0, solver = config->solver;
    const word *algorithms = config->kind == SAMPLER_DEIS       ? deis
                             : config->kind == SAMPLER_DPMPP_2S ? singlestep
                                                                : multistep;
    if (config->kind != SAMPLER_UNIPC) TRY(read_word(root, "algorithm_type", algorithms, &algorithm, error));
    TRY(read_word(root, "solver_type", config->kind == SAMPLER_UNIPC ? unipc : dpm, &solver, error));
    config->solver = (solver_type)solver;
    if (config->kind != SAMPLER_DPMPP_2M) return MZT_OK;
    bool third = config->order == 3;
    config->eta = algorithm;
    if (algorithm)
        config->kind = third ? SAMPLER_DPMPP_3M_SDE : SAMPLER_DPMPP_2M_SDE;
    else if (third)
        config->kind = SAMPLER_DPMPP_3M;
    return MZT_OK;
}

static mzt_status read_unipc(json_value root, sampler_config *config, mzt_error *error) {
    int64_t steps[64];
    uint32_t count;
    TRY(json_get_bool(root, "predict_x0", true, &config->predict_x0, error));
    if (json_given(json_get(root, "solver_p")))
        return json_error(json_get(root, "solver_p"), error, MZT_ERROR_UNSUPPORTED, "only null is supported");
    TRY(json_get_ints(root, "disable_corrector", 0, 63, steps, 64, &count, error));
    for (uint32_t i = 0; i < count; i++)
        config->disable_corrector |= 1ull << steps[i];
    return MZT_OK;
}

/* The DPM-Solver family, UniPC and DEIS. */
static mzt_status read_solver(json_value root, sampler_config *config, mzt_error *error) {
    static const word finals[] = {{"zero", 1}, {"sigma_min", 0}, {NULL, 0}};
    static const word variances[] = {
        {"fixed_small", 0}, {"fixed_small_log", 0}, {"fixed_large", 0}, {NULL, 0}};
    int64_t order;
    int zero = config->final_sigma_zero, fixed = 0;
    if (sampler_info_get(config->kind)->layout != LAYOUT_LAMBDA) return MZT_OK;
    TRY(json_get_int(root, "solver_order", 1, 3, config->order, &order, error));
    config->order = (uint32_t)order;
    TRY(json_get_bool(root, "lower_order_final", config->lower_order_final, &config->lower_order_final,
                      error));
    TRY(refuse(root, "use_flow_sigmas", error));
    if (config->kind == SAMPLER_UNIPC) TRY(read_unipc(root, config, error));
    bool dpm = config->kind == SAMPLER_DPMPP_2M || config->kind == SAMPLER_DPMPP_2S;
    if (dpm) {
        TRY(read_word(root, "final_sigmas_type", finals, &zero, error));
        TRY(read_word(root, "variance_type", variances, &fixed, error));
        TRY(json_get_double(root, "lambda_min_clipped", -INFINITY, &config->lambda_min_clipped, error));
        TRY(json_get_bool(root, "euler_at_final", false, &config->euler_at_final, error));
    }
    config->final_sigma_zero = zero == 1;
    return read_algorithm(root, config, error);
}

mzt_status sampler_config_parse(json_value root, sampler_config *config, mzt_error *error) {
    sampler_kind kind = SAMPLER_EULER;
    TRY(json_as_kind(root, JSON_OBJECT, error));
    TRY(read_class(root, &kind, error));
    *config = sampler_config_default(kind);
    TRY(read_training(root, config, error));
    TRY(read_schedule(root, config, error));
    TRY(read_discrete(root, config, error));
    TRY(read_solver(root, config, error));
    bool thresholds = sampler_info_get(kind)->space == SPACE_PRESERVING && kind != SAMPLER_PNDM;
    if (thresholds) TRY(refuse(root, "thresholding", error));
    mzt_error inner;
    mzt_status status = sampler_config_check(config, &inner);
    return status < 0 ? json_error(root, error, status, "%s", inner.message) : MZT_OK;
}
