/* The configuration of a training run: one JSON file. docs/training.md lists every key with its meaning and
 * default. A key that is not known is an error that names it and the nearest one that is. Networks are
 * described with diffusers' and transformers' own keys. Ownership: train_config_free. Thread-safety:
 * immutable once read. */
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include "model/clip_config.h"
#include "model/unet_config.h"
#include "model/vae_config.h"
#include "train/augment.h"
#include "train/exclude.h"

#define TRAIN_PROMPTS_MAX 64u

typedef enum train_kind { TRAIN_AUTOENCODER, TRAIN_DENOISER } train_kind;

typedef enum train_objective {
    OBJECTIVE_EPSILON,
    OBJECTIVE_V,
    OBJECTIVE_SAMPLE,
    OBJECTIVE_FLOW
} train_objective;

typedef enum train_schedule { LEARNING_CONSTANT, LEARNING_LINEAR, LEARNING_COSINE } train_schedule;

/* The range of what losses may be raised by in f16: from not at all to 2^40. */
#define LOSS_SCALE_LEAST 1.0
#define LOSS_SCALE_MOST  1099511627776.0

typedef struct optimizer_config {
    double learning_rate, final; /* the schedule ends at final * learning_rate */
    uint32_t warmup, steps;      /* of the linear rise; until the schedule's end */
    train_schedule schedule;
    double weight_decay, beta1, beta2, epsilon;
    double max_norm; /* of all gradients together; 0: no limit */
    double ema; /* decay of the averaged weights; reached gradually: min(ema, (1 + step) / (10 + step)) */
    uint32_t accumulate;       /* batches in one step, one after the other */
    double loss_scale;         /* f16: by how much losses are raised at first ... */
    uint32_t loss_scale_steps; /* ... and after how many good steps in a row twice as much */
} optimizer_config;

typedef struct data_config {
    augment_options augment; /* resolution and channels included */
    double caption_dropout, held_out;
    uint32_t threads;         /* that decode; 0: one per processor */
    uint32_t latent_variants; /* denoiser: augmented variants encoded before training; 0: encode afresh for
                                 every step */
    bool exact_captions;      /* captions are the plain ones, always */
    char **style_names, **style_words; /* [style_count] */
    uint32_t style_count;
} data_config;

typedef struct autoencoder_config {
    double kl, gradient; /* weights beside the pictures' own error, which has 1 */
    uint32_t scales;     /* sizes at which errors count: 1, 1/2, ... */
} autoencoder_config;

typedef struct denoiser_config {
    train_objective objective;
    double
        gamma; /* min-SNR weighting (Hang et al. 2023, arXiv 2303.09556); 0: every timestep counts the same */
    double logit_mean,
        logit_std; /* flow: t = sigmoid(normal) (Esser et al. 2024, arXiv 2403.03206); std 0: uniform */
    uint32_t train_steps;
    char betas[24]; /* diffusers' beta_schedule */
    double beta_start, beta_end, shift;
    bool zero_snr;
    uint32_t vocabulary, max_length;      /* max_length 0: that of the model to begin from */
    bool objective_given, schedule_given; /* otherwise a model to begin from decides */
} denoiser_config;

/* Low-rank adapters in place of the networks' own weights. */
typedef struct lora_options {
    uint32_t rank; /* 0: all weights are trained */
    double alpha;  /* the adapters' output is multiplied by alpha / rank */
    bool attention, feed_forward, projections, convolutions; /* layers that get one */
    bool text_encoder;                                       /* the text encoder's, too */
    bool diffusers;                                          /* layout of the file; otherwise kohya's */
} lora_options;

typedef struct log_config {
    double checkpoint_minutes, sample_minutes, line_seconds;
    uint32_t checkpoint_steps;    /* 0: by the clock alone */
    uint32_t validation_pictures; /* of the held-out ones */
    char **prompts;               /* [prompt_count] of the sample sheet */
    uint32_t prompt_count, sample_steps;
    double guidance;
} log_config;

typedef struct train_config {
    const base_host *host;
    train_kind kind;
    uint32_t batch;
    uint64_t seed;
    char precision[8];
    bool recompute; /* inner values of blocks again in the backward pass */
    data_config data;
    exclude_list exclude;
    optimizer_config optimizer;
    log_config log;
    autoencoder_config autoencoder;
    denoiser_config denoiser;
    lora_options lora;
    vae_config vae; /* autoencoder training */
    unet_config
        unet; /* denoiser training; with unet_json and text_json NULL the model to begin from has both */
    char *vae_json, *unet_json,
        *text_json; /* network descriptions as config.json wants them; NULL where not given */
    char *text;     /* the whole file */
} train_config;

/* Reads and checks. NOT_FOUND, IO, FORMAT, INVALID, UNSUPPORTED, with file, key and value. */
mzt_status train_config_read(const base_host *host, const char *path, train_kind kind, train_config **out,
                             mzt_error *error);
/* The same from text; `name` is for messages. */
mzt_status train_config_parse(const base_host *host, const char *name, const char *text, uint64_t size,
                              train_kind kind, train_config **out, mzt_error *error);
void train_config_free(train_config *config); /* NULL is accepted */

/* Sets the rank and, if the configuration names none, alpha = rank. INVALID for an autoencoder. */
mzt_status train_config_set_lora(train_config *config, uint32_t rank, mzt_error *error);

/* What training cannot do yet of a UNet: UNSUPPORTED. `name` is for the message. */
mzt_status train_config_check_unet(const unet_config *unet, const char *name, mzt_error *error);

/* The learning rate of step 0, 1, ... */
double train_learning_rate(const optimizer_config *optimizer, uint64_t step);
double train_ema_decay(const optimizer_config *optimizer, uint64_t step);

/* What captions call a style: see dataset_options. `user` is a data_config. */
const char *train_style_word(const void *user, const char *style);

/* text_encoder/config.json for a vocabulary that was learned: the given description with its size and end
 * token put in. A fresh string. */
mzt_status train_text_config(const train_config *config, uint32_t vocabulary, char **json, clip_config *clip,
                             mzt_error *error);

#endif
