/* Pictures to the latents that a denoiser is trained on, through a trained autoencoder. */
#ifndef TRAIN_LATENTS_H
#define TRAIN_LATENTS_H

#include "pipeline/model.h"
#include "train/task.h"

/* Opens only the autoencoder of a model folder (which may be all there is in it). */
mzt_status latents_open_autoencoder(const base_host *host, const char *folder, model **out, mzt_error *error);

typedef struct latent_encoder {
    const train_context *context;
    const model *m;
    network network;
    shape4 latent; /* of a batch */
} latent_encoder;

/* Prepares the encoder for batches of `batch` pictures of the configured resolution. INVALID when picture
 * channels differ. */
mzt_status latent_encoder_create(const train_context *context, const model *m, uint32_t batch,
                                 latent_encoder *out, mzt_error *error);
void latent_encoder_destroy(latent_encoder *e); /* zeroed is accepted */

/* Values of one latent. */
static inline uint64_t latent_encoder_count(const latent_encoder *e) {
    return (uint64_t)e->latent.h * e->latent.w * e->latent.c;
}

/* A batch of pictures to latents in the UNet's scale: the means, scaled. */
mzt_status latent_encoder_run(latent_encoder *e, const float *pictures, float *latents, mzt_error *error);

/* Items of the dataset (indices into items) to [count] latents, decoded on the context's threads. `augment`:
 * as variant `variant`, and `facts` [count] (may be NULL) receives what became of them. */
mzt_status latent_encoder_items(latent_encoder *e, const uint32_t *items, uint32_t count, bool augment,
                                uint64_t variant, float *latents, dataset_facts *facts, mzt_error *error);

#endif
