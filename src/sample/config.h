/* What decides a sampling run: how the network was trained, which sampler runs, over which schedule.
 * A config is a plain value without pointers: copy it freely. */
#ifndef SAMPLE_CONFIG_H
#define SAMPLE_CONFIG_H

#include "json/json.h"

#define SAMPLER_STEPS_MAX       4096 /* user-visible steps of one run */
#define SAMPLER_TRAIN_STEPS_MAX 4096 /* num_train_timesteps */

typedef enum sampler_kind {
    SAMPLER_EULER,
    SAMPLER_EULER_A,
    SAMPLER_HEUN,
    SAMPLER_DPM2,
    SAMPLER_DPM2_A,
    SAMPLER_LMS,
    SAMPLER_DDIM,
    SAMPLER_PNDM,
    SAMPLER_DDPM,
    SAMPLER_DPMPP_2M,
    SAMPLER_DPMPP_3M,
    SAMPLER_DPMPP_2M_SDE,
    SAMPLER_DPMPP_3M_SDE,
    SAMPLER_DPMPP_2S,
    SAMPLER_DPMPP_2S_A,
    SAMPLER_DPMPP_SDE,
    SAMPLER_UNIPC,
    SAMPLER_DEIS,
    SAMPLER_LCM,
    SAMPLER_TCD,
    SAMPLER_EULER_FLOW,
    SAMPLER_KIND_COUNT
} sampler_kind;

typedef enum beta_schedule {
    BETAS_LINEAR,        /* beta linear from beta_start to beta_end */
    BETAS_SCALED_LINEAR, /* square root of beta linear (Stable Diffusion) */
    BETAS_COSINE,        /* squaredcos_cap_v2 (Nichol and Dhariwal 2021), beta <= 0.999 */
    BETAS_TRAINED        /* given one by one */
} beta_schedule;

typedef enum prediction_type {
    PREDICTION_EPSILON,
    PREDICTION_V,
    PREDICTION_SAMPLE,
    PREDICTION_FLOW
} prediction_type;

typedef enum timestep_spacing { SPACING_LINSPACE, SPACING_LEADING, SPACING_TRAILING } timestep_spacing;

typedef enum sigma_schedule {
    SCHEDULE_DEFAULT,     /* the sigmas at the spaced timesteps */
    SCHEDULE_KARRAS,      /* Karras et al. 2022, rho = 7 */
    SCHEDULE_EXPONENTIAL, /* even in log sigma */
    SCHEDULE_SGM_UNIFORM, /* even in the timestep, without its end */
    SCHEDULE_SIMPLE,      /* every (train steps / steps)-th sigma of the training table */
    SCHEDULE_BETA,        /* timesteps at quantiles of Beta(0.6, 0.6) */
    SCHEDULE_AYS,         /* Align Your Steps tables (Sabour et al. 2024) */
    SCHEDULE_COUNT
} sigma_schedule;

typedef enum solver_type { SOLVER_MIDPOINT, SOLVER_HEUN, SOLVER_BH1, SOLVER_BH2 } solver_type;

/* Keys a scheduler_config.json may leave out; the bit says that it was there. */
enum {
    CONFIG_GIVEN_SPACING = 1,
    CONFIG_GIVEN_STEPS_OFFSET = 2,
    CONFIG_GIVEN_CLIP_SAMPLE = 4,
    CONFIG_GIVEN_SKIP_PRK = 8,
    CONFIG_GIVEN_ALPHA_TO_ONE = 16
};

typedef struct sampler_config {
    sampler_kind kind;
    uint32_t given; /* CONFIG_GIVEN_* bits */

    /* how the network was trained */
    prediction_type prediction;
    beta_schedule betas;
    double beta_start, beta_end;
    uint32_t train_steps; /* num_train_timesteps */
    float trained_betas[SAMPLER_TRAIN_STEPS_MAX];
    bool zero_snr; /* rescale_betas_zero_snr */
    double shift;  /* flow matching: sigma -> shift sigma / (1 + (shift - 1) sigma) */
    bool sdxl;     /* which Align Your Steps table; the model's loader sets it */

    /* schedule */
    timestep_spacing spacing;
    uint32_t steps_offset;
    sigma_schedule schedule;
    double sigma_min, sigma_max; /* ends of Karras and exponential schedules; 0: the class's own */
    double lambda_min_clipped; /* timesteps whose log(alpha/sigma) lies below are left out; -INFINITY: none */
    bool continuous_timestep;  /* the network is given log(sigma)/4 */

    /* solver */
    uint32_t order;
    solver_type solver;
    double eta;         /* amount of fresh noise: 0 none, 1 as much as the SDE has */
    double s_noise;     /* factor on fresh noise */
    double clip_sample; /* bound of the clean estimate; 0: none */
    bool alpha_to_one;  /* set_alpha_to_one: the last step ends at alpha = 1, otherwise at the first trained
                           alpha */
    bool skip_prk;      /* PNDM: no Runge-Kutta start */
    bool lower_order_final;
    bool euler_at_final;
    bool final_sigma_zero;      /* otherwise the run ends at the smallest trained sigma */
    bool predict_x0;            /* UniPC: in the clean latent, otherwise in the noise */
    uint64_t disable_corrector; /* UniPC: bit i: no corrector after step i */
    bool variance_large;        /* DDPM: fixed_large, otherwise fixed_small */
    uint32_t original_steps;    /* LCM, TCD: steps of the distilled solver */
    double timestep_scaling;    /* LCM boundary condition */
} sampler_config;

/* The defaults of the diffusers class that implements `kind` (for samplers without one: the usual settings).
 */
sampler_config sampler_config_default(sampler_kind kind);

/* Reads the object of a scheduler_config.json, any supported diffusers class, as diffusers 0.27 understands
 * it: keys that the class does not have are ignored. INVALID for broken values and unknown classes (listing
 * the known ones), UNSUPPORTED for what this library cannot honour; the message names file, key and value. */
mzt_status sampler_config_parse(json_value root, sampler_config *config, mzt_error *error);

/* Changes the sampler and schedule to those a user names ("euler_a", "DPM++ 2M Karras"; schedule NULL or
 * "karras", ...). What describes the training stays, and so does the timestep spacing if the model's file
 * gave one. `sampler` NULL keeps the model's own. INVALID for unknown names, listing the known ones. */
mzt_status sampler_config_select(sampler_config *config, const char *sampler, const char *schedule,
                                 mzt_error *error);

/* Checks every number of a config; INVALID naming the field and value. */
mzt_status sampler_config_check(const sampler_config *config, mzt_error *error);

#endif
