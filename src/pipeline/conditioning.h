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
    float *normed;                          /* `hidden` after the final layer norm */
} text_states;

/* Runs text encoder `index` (0 or 1) on ids [rows][length]. `hidden` and `normed` leave out the last `skip`
 * layers. */
mzt_status text_encoder_run(const model *m, executor *e, precision p, uint32_t index, const uint32_t *ids,
                            uint32_t rows, uint32_t length, uint32_t skip, const text_states *states,
                            mzt_error *error);

/* The context of ids, ids2 [rows][length] (ids2: for the second encoder; NULL: the same): the last hidden
 * state of one encoder, or both penultimate ones side by side with the second's text embeddings. */
mzt_status conditioning_from_ids(const model *m, executor *e, precision p, const uint32_t *ids,
                                 const uint32_t *ids2, uint32_t rows, uint32_t length, conditioning *out,
                                 mzt_error *error);

/* What a run is asked to show, and not to show. */
typedef struct prompt_request {
    const char *prompt, *negative; /* UTF-8; NULL: empty */
    bool guided;                   /* the negative prompt's rows are wanted too */
    bool plain;                    /* take brackets and BREAK as text */
    uint32_t clip_skip; /* the hidden state this many layers from the end, 1 the last; 0: the model's own */
    uint32_t images;
} prompt_request;

/* Prompts in the notation of docs/prompts.md, of any length: both are divided into chunks, extended to
 * equally many, encoded chunk by chunk, weighed, and joined along the token axis. Rows: `images` times the
 * negative prompt if guided, then `images` times the prompt. Text embeddings are those of the first chunk.
 * Where the model says so (SDXL), an empty text is zeros. INVALID for text that is not UTF-8, or for a
 * clip_skip beyond the encoder's layers; NOT_FOUND without tokenizer. */
mzt_status conditioning_from_prompts(const model *m, executor *e, precision p, const prompt_request *request,
                                     conditioning *out, mzt_error *error);

#endif
