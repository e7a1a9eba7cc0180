/* Prompts to what the UNet is conditioned on. */
#ifndef PIPELINE_CONDITIONING_H
#define PIPELINE_CONDITIONING_H

#include "pipeline/model.h"
#include "pipeline/network.h"

/* `rows` sequences of `length` tokens. */
typedef struct conditioning {
    const base_host *host;
    uint32_t rows, length, channels, pooled_channels;
    float *context; /* [rows][length][channels] */
    float *pooled;  /* [rows][pooled_channels] text embeddings (SDXL), or NULL */
} conditioning;

void conditioning_destroy(conditioning *c); /* zeroed is accepted */

/* What the encoders are asked for. */
typedef struct text_states {
    float *last, *hidden, *pooled, *embeds; /* any may be NULL: not wanted; [rows][length][C] or [rows][C] */
} text_states;

/* Runs text encoder `index` (0 or 1) on ids [rows][length]. `hidden` leaves out the last `skip` layers. */
mzt_status text_encoder_run(const model *m, executor *e, precision p, uint32_t index, const uint32_t *ids, uint32_t rows,
                            uint32_t length, uint32_t skip, const text_states *states, mzt_error *error);

/* The context of ids, ids2 [rows][length] (ids2: for the second encoder; NULL: the same): the last hidden state of one encoder, or
 * both penultimate ones side by side with the second's text embeddings. */
mzt_status conditioning_from_ids(const model *m, executor *e, precision p, const uint32_t *ids, const uint32_t *ids2,
                                 uint32_t rows, uint32_t length, conditioning *out, mzt_error *error);

/* The same for `rows` texts, tokenized to the model's length. */
mzt_status conditioning_from_texts(const model *m, executor *e, precision p, const char *const *texts, uint32_t rows,
                                   conditioning *out, mzt_error *error);

#endif
