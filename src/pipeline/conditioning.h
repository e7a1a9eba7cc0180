/* Prompts to what the UNet is conditioned on. */
#ifndef PIPELINE_CONDITIONING_H
#define PIPELINE_CONDITIONING_H

#include "pipeline/part.h"
#include "text/prompt.h"

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

/* The part that gives those states. INVALID for a length that the encoder cannot take. */
mzt_status text_encoder_spec(const model *m, uint32_t index, uint32_t rows, uint32_t length, uint32_t skip,
                             const text_states *states, part_spec *spec, mzt_error *error);
/* Writes ids [rows][length] to it; eos [rows] is scratch. INVALID for an id beyond the vocabulary. */
mzt_status text_encoder_set(const model *m, const part_spec *spec, network *n, const uint32_t *ids,
                            uint32_t *eos, mzt_error *error);
/* Reads the states after a run. */
mzt_status text_encoder_get(const model *m, const part_spec *spec, network *n, const text_states *states,
                            mzt_error *error);

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

/* Prompts in the notation of docs/prompts.md, of any length, on their way: both are divided into chunks and
 * extended to equally many; each encoder runs over all chunks; the states are weighed and joined along the
 * token axis. Owns everything but what the request points to, which is not looked at after prompt_begin. */
typedef struct prompt_work {
    const model *m;
    uint32_t count, chunks, length, encoders; /* texts in the order of their rows, negative first; tokens */
    uint32_t images;
    bool empty[2];              /* [text] */
    prompt_tokens tokens[2][2]; /* [encoder][text] */
    part_spec specs[2];         /* [encoder] */
    uint32_t *ids, *eos;        /* [texts * chunks][length]; [texts * chunks] */
    float *states, *embeds;     /* what an encoder gives; embeds may be NULL */
    conditioning texts;         /* one row a text */
    conditioning rows; /* the result: `images` times the negative prompt, if guided, then the prompt */
} prompt_work;

/* Tokenizes and reserves all memory. INVALID for text that is not UTF-8, or for a clip_skip beyond the
 * encoder's layers; NOT_FOUND without tokenizer. */
mzt_status prompt_begin(const model *m, const prompt_request *request, prompt_work *w, mzt_error *error);
/* Before and after running encoder `index`, a network of specs[index]. */
mzt_status prompt_set(prompt_work *w, uint32_t index, network *n, mzt_error *error);
mzt_status prompt_get(prompt_work *w, uint32_t index, network *n, mzt_error *error);
/* After all encoders: fills `rows`. Text embeddings are those of the first chunk. Where the model says so
 * (SDXL), an empty text is zeros. */
void prompt_join(prompt_work *w);
void prompt_destroy(prompt_work *w); /* zeroed or half-built is accepted */

/* All of it at once. */
mzt_status conditioning_from_prompts(const model *m, executor *e, precision p, const prompt_request *request,
                                     conditioning *out, mzt_error *error);

#endif
