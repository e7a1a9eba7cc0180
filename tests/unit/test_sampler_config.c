/* Sampler names, configs changed by name, and scheduler_config.json files that cannot be honoured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "json/json.h"
#include "sample/config.h"
#include "sample/samplers.h"

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        sampler_kind kind;
        sigma_schedule schedule;
    } cases[] = {{"euler", SAMPLER_EULER, SCHEDULE_COUNT},
                 {"Euler a", SAMPLER_EULER_A, SCHEDULE_COUNT},
                 {"euler_ancestral", SAMPLER_EULER_A, SCHEDULE_COUNT},
                 {"DPM++ 2M Karras", SAMPLER_DPMPP_2M, SCHEDULE_KARRAS},
                 {"dpm++2m", SAMPLER_DPMPP_2M, SCHEDULE_COUNT},
                 {"DPM++ 2M SDE Exponential", SAMPLER_DPMPP_2M_SDE, SCHEDULE_EXPONENTIAL},
                 {"dpmpp_3m_sde", SAMPLER_DPMPP_3M_SDE, SCHEDULE_COUNT},
                 {"DPM++ 2S a Karras", SAMPLER_DPMPP_2S_A, SCHEDULE_KARRAS},
                 {"DPM++ SDE", SAMPLER_DPMPP_SDE, SCHEDULE_COUNT},
                 {"DPM2 a", SAMPLER_DPM2_A, SCHEDULE_COUNT},
                 {"dpm_2_ancestral", SAMPLER_DPM2_A, SCHEDULE_COUNT},
                 {"PLMS", SAMPLER_PNDM, SCHEDULE_COUNT},
                 {"uni_pc", SAMPLER_UNIPC, SCHEDULE_COUNT},
                 {"k_lms", SAMPLER_LMS, SCHEDULE_COUNT},
                 {"LCM", SAMPLER_LCM, SCHEDULE_COUNT},
                 {"euler sgm_uniform", SAMPLER_EULER, SCHEDULE_SGM_UNIFORM},
                 {"Euler AYS", SAMPLER_EULER, SCHEDULE_AYS}};
    sampler_kind kind;
    sigma_schedule schedule;
    mzt_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (sampler_find(cases[i].name, &kind, &schedule, &error) < 0) fail_msg("%s", error.message);
        assert_int_equal(kind, cases[i].kind);
        assert_int_equal(schedule, cases[i].schedule);
    }
    for (int i = 0; i < SAMPLER_KIND_COUNT; i++) {
        assert_int_equal(sampler_find(sampler_info_get((sampler_kind)i)->name, &kind, &schedule, &error),
                         MZT_OK);
        assert_int_equal(kind, i);
        assert_int_equal(sampler_find(sampler_info_get((sampler_kind)i)->label, &kind, &schedule, &error),
                         MZT_OK);
        assert_int_equal(kind, i);
    }
    assert_int_equal(sampler_find("eulr", &kind, &schedule, &error), MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "\"eulr\""));
    assert_non_null(strstr(error.message, "dpmpp_2m_sde"));
    assert_non_null(strstr(error.message, "euler_flow"));
    static const char *const bad[] = {"", "karras", "+++", "Euler\xc3\xa9", "eulerkarraskarras"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sampler_find(bad[i], &kind, &schedule, &error), i == 3 ? MZT_OK : MZT_ERROR_INVALID);
    char endless[4000];
    memset(endless, 'e', sizeof endless);
    endless[sizeof endless - 1] = 0;
    assert_int_equal(sampler_find(endless, &kind, &schedule, &error), MZT_ERROR_INVALID);
    assert_int_equal(sampler_schedule_find("Align Your Steps", &schedule, &error), MZT_OK);
    assert_int_equal(schedule, SCHEDULE_AYS);
    assert_int_equal(sampler_schedule_find("kaarras", &schedule, &error), MZT_ERROR_INVALID);
    assert_non_null(strstr(error.message, "sgm_uniform"));
}

/* Changing the sampler keeps what describes the training, and the spacing only if the file gave it. */
static void test_select(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const char file[] =
        "{\"_class_name\": \"PNDMScheduler\", \"beta_start\": 0.00085, \"beta_end\": 0.012,"
        "\"beta_schedule\": \"scaled_linear\", \"steps_offset\": 1, \"skip_prk_steps\": true,"
        "\"prediction_type\": \"v_prediction\", \"clip_sample\": false}";
    mzt_error error;
    json_doc *doc;
    sampler_config config, flow = sampler_config_default(SAMPLER_EULER_FLOW);
    assert_int_equal(json_parse(&host, "config", file, strlen(file), &doc, &error), MZT_OK);
    assert_int_equal(sampler_config_parse(json_root(doc), &config, &error), MZT_OK);
    json_destroy(doc);
    assert_int_equal(config.kind, SAMPLER_PNDM);
    assert_int_equal(sampler_config_select(&config, "DPM++ 2M Karras", NULL, &error), MZT_OK);
    assert_int_equal(config.kind, SAMPLER_DPMPP_2M);
    assert_int_equal(config.schedule, SCHEDULE_KARRAS);
    assert_int_equal(config.prediction, PREDICTION_V);
    assert_int_equal(config.betas, BETAS_SCALED_LINEAR);
    assert_true(config.beta_end == 0.012 && config.steps_offset == 1);
    assert_int_equal(config.spacing, SPACING_LINSPACE);
    assert_int_equal(sampler_config_select(&config, "ddim", "simple", &error), MZT_OK);
    assert_true(config.clip_sample == 0 && !config.alpha_to_one);
    assert_int_equal(config.schedule, SCHEDULE_SIMPLE);
    assert_int_equal(sampler_config_select(&config, "Euler Karras", "simple", &error), MZT_ERROR_INVALID);
    assert_int_equal(sampler_config_select(&flow, "Euler", NULL, &error), MZT_OK);
    assert_int_equal(flow.kind, SAMPLER_EULER_FLOW);
}

static void test_bad_configs(void **state) {
    (void)state;
    base_host host = host_make(NULL);
    static const struct {
        const char *text, *named;
        mzt_status status;
    } cases[] = {
        {"[]", "object", MZT_ERROR_INVALID},
        {"{}", "_class_name", MZT_ERROR_INVALID},
        {"{\"_class_name\": \"EulerScheduler\"}", "EulerDiscrete", MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": 3}", "_class_name", MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"thresholding\": true}", "thresholding",
         MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_schedule\": \"sigmoid\"}", "sigmoid",
         MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": -1}", "beta_start", MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_end\": 1.5}", "beta_end", MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_end\": NaN}", "beta_end", MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 0}", "num_train_timesteps",
         MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 1e9}", "num_train_timesteps",
         MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": [0.1]}", "trained_betas",
         MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 2, \"trained_betas\": [0.1, 1]}",
         "trained_betas[1]", MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"prediction_type\": \"noise\"}", "noise",
         MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"timestep_spacing\": 5}", "timestep_spacing",
         MZT_ERROR_INVALID},
        {"{\"_class_name\": \"DDIMScheduler\", \"timestep_spacing\": \"odd\"}", "trailing",
         MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DDPMScheduler\", \"variance_type\": \"learned\"}", "learned",
         MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": \"dpmsolver\"}", "dpmsolver",
         MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_order\": 4}", "solver_order",
         MZT_ERROR_INVALID},
        {"{\"_class_name\": \"UniPCMultistepScheduler\", \"solver_p\": {}}", "solver_p",
         MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"EulerDiscreteScheduler\", \"interpolation_type\": \"log_linear\"}",
         "log_linear", MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"use_dynamic_shifting\": true}",
         "use_dynamic_shifting", MZT_ERROR_UNSUPPORTED},
        {"{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"shift\": 0}", "shift", MZT_ERROR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_doc *doc;
        mzt_error error;
        sampler_config config;
        assert_int_equal(json_parse(&host, "config", cases[i].text, strlen(cases[i].text), &doc, &error),
                         MZT_OK);
        mzt_status status = sampler_config_parse(json_root(doc), &config, &error);
        if (status != cases[i].status) fail_msg("%s: status %d, %s", cases[i].text, status, error.message);
        if (!strstr(error.message, cases[i].named)) fail_msg("%s: \"%s\"", cases[i].text, error.message);
        json_destroy(doc);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_bad_configs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
