/* Weighted prompts in the notation of the A1111 web UI, and their division into chunks of 77 tokens. The
 * rules are in docs/prompts.md.
 *
 * Thread-safety: pure functions; results belong to the caller. */
#ifndef TEXT_PROMPT_H
#define TEXT_PROMPT_H

#include "text/bpe.h"

#define PROMPT_DEPTH_LIMIT  256    /* brackets open at once */
#define PROMPT_WEIGHT_LIMIT 1000.0 /* absolute value of a weight */

/* A stretch of text with one weight, or a BREAK (is_break, no text). */
typedef struct prompt_run {
    const char *text; /* not terminated; in prompt_runs.text */
    size_t length;
    double weight;
    bool is_break;
} prompt_run;

typedef struct prompt_runs {
    prompt_run *runs; /* [count], count >= 1 */
    uint32_t count, capacity;
    char *text;
} prompt_runs;

/* Splits a prompt of `length` bytes. Neighbours of equal weight are one run; an empty prompt is one empty
 * run. INVALID for text beyond TEXT_LIMIT, brackets deeper than PROMPT_DEPTH_LIMIT or a weight beyond
 * PROMPT_WEIGHT_LIMIT; OUT_OF_MEMORY. Release with prompt_runs_free, also after an error. */
mzt_status prompt_parse(const base_host *host, const char *text, size_t length, prompt_runs *runs,
                        mzt_error *error);
void prompt_runs_free(const base_host *host, prompt_runs *runs);

/* Zero-initialise for the defaults. */
typedef struct prompt_options {
    uint32_t chunk_length; /* tokens of a chunk, begin and end included; 0: the tokenizer's max_length */
    bool plain;            /* take brackets and BREAK as text */
    bool no_comma_search;  /* fill each chunk to its last token */
} prompt_options;

/* A full chunk is divided at its last comma if that is among its last so many tokens. */
#define PROMPT_COMMA_REACH 20

typedef struct prompt_tokens {
    uint32_t chunk_count, chunk_length;
    uint32_t *ids;  /* [chunk_count, chunk_length]: begin, tokens, end, padding */
    float *weights; /* [chunk_count, chunk_length]: 1 at begin, end and padding */
    uint32_t used;  /* tokens of the prompt itself, where a chunk that a BREAK or a comma ended early counts
                       whole */
    uint32_t capacity; /* chunks */
} prompt_tokens;

/* Parses and tokenizes, without the tags of prompt_tags.h. At least one chunk. Errors of prompt_parse and bpe_encode. Release with
 * prompt_tokens_free, also after an error. `options` may be NULL. */
mzt_status prompt_encode(const bpe *tokenizer, const char *text, const prompt_options *options,
                         prompt_tokens *tokens, mzt_error *error);
/* Appends empty chunks (begin, end, padding) up to `chunk_count`, so that a prompt and its negative match in
 * length. */
mzt_status prompt_tokens_extend(const bpe *tokenizer, prompt_tokens *tokens, uint32_t chunk_count,
                                mzt_error *error);
void prompt_tokens_free(const bpe *tokenizer, prompt_tokens *tokens);

/* Applies the weights of one chunk to a text encoder's output, in place: hidden [length, channels]. Each row
 * is multiplied by its weight, then all of it by mean before / mean after, so that the mean stays. Nothing
 * happens where all weights are 1, or where the mean after is 0. */
void prompt_weigh(float *hidden, const float *weights, uint32_t length, uint32_t channels);

#endif
