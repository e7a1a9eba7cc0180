/* What the files of the denoiser's training share. */
#ifndef TRAIN_DENOISER_INTERNAL_H
#define TRAIN_DENOISER_INTERNAL_H

#include "train/diffusion.h"
#include "train/latents.h"

typedef struct denoiser_task {
    train_task base;
    train_context context; /* the run's, with the configuration below */
    train_config config;   /* the run's, completed by what the model to begin from says; it owns nothing */
    model *init;           /* UNet and text encoder to begin from, or NULL */
    model *autoencoder;    /* `init`, or one of its own */
    bpe *tokenizer;        /* init's, or one of its own */
    char *init_unet, *init_text; /* init's config.json files, where the configuration has no networks */
    char *tokenizer_folder, *text_json, *unet_json;
    clip_config clip;
    diffusion process;
    latent_encoder encoder; /* for steps; not kept where all latents are cached */
    shape4 latent;          /* of a batch */
    uint64_t latent_count;  /* values of one */
    float *cached;          /* [latent_variants][train_count] latents, or NULL */
    dataset_facts *facts;   /* of those */
    float *held_out;        /* [held_out_count] latents for validation */
    uint32_t held_out_count;
    float *clean, *sample, *target, *weights, *timesteps; /* a batch's */
} denoiser_task;

/* denoiser_checkpoint.c */
mzt_status denoiser_save(train_task *base, checkpoint_writer *c, mzt_error *error);
mzt_status denoiser_validate(train_task *base, const char *checkpoint, double bands[TRAIN_BANDS],
                             mzt_error *error);
mzt_status denoiser_draw(train_task *base, const char *checkpoint, const char *path, mzt_error *error);

/* denoiser_init.c: opens the model to begin from and completes the configuration by it. */
mzt_status denoiser_open_models(denoiser_task *t, mzt_error *error);
/* A checkpoint of this run as a model: its folder, or the model to begin from with its adapters. */
mzt_status denoiser_open_checkpoint(const denoiser_task *t, const char *checkpoint, model **out,
                                    mzt_error *error);

/* denoiser_prepare.c: the tokenizer (loaded or learned), and the latents. */
mzt_status denoiser_prepare_words(denoiser_task *t, mzt_error *error);
mzt_status denoiser_prepare_latents(denoiser_task *t, mzt_error *error);

#endif
