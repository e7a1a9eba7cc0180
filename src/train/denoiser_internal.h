/* What the files of the denoiser's training share. */
#ifndef TRAIN_DENOISER_INTERNAL_H
#define TRAIN_DENOISER_INTERNAL_H

#include "train/diffusion.h"
#include "train/latents.h"

typedef struct denoiser_task {
    train_task base;
    model *autoencoder, *init; /* `init`: UNet and text encoder to begin from, or NULL */
    bpe *tokenizer;
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

/* denoiser_prepare.c: the tokenizer (loaded or learned), and the latents. */
mzt_status denoiser_prepare_words(denoiser_task *t, mzt_error *error);
mzt_status denoiser_prepare_latents(denoiser_task *t, mzt_error *error);

#endif
