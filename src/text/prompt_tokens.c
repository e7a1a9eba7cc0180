/* Chunks of weighted tokens; see prompt.h and docs/prompts.md. */
#include "text/prompt.h"

#include <string.h>

#include "text/prompt_tags.h"

/* The chunk being filled lies behind the finished ones; `filled` counts its tokens without begin. */
typedef struct chunker {
    const bpe *tokenizer;
    const base_host *host;
    prompt_tokens *tokens;
    uint32_t room; /* tokens between begin and end */
    uint32_t filled;
    uint32_t comma; /* tokens before the last comma of the open chunk; NO_COMMA */
    uint32_t comma_id;
    mzt_error *error;
} chunker;

#define NO_COMMA UINT32_MAX
#define NO_ID    UINT32_MAX

static uint32_t *open_ids(const chunker *c) {
    return c->tokens->ids + (size_t)c->tokens->chunk_count * c->tokens->chunk_length + 1;
}

static float *open_weights(const chunker *c) {
    return c->tokens->weights + (size_t)c->tokens->chunk_count * c->tokens->chunk_length + 1;
}

/* Makes room for one more chunk. */
static mzt_status reserve_chunk(const base_host *host, prompt_tokens *tokens, mzt_error *error) {
    if (tokens->chunk_count < tokens->capacity) return MZT_OK;
    uint32_t capacity = tokens->capacity ? tokens->capacity * 2 : 2;
    size_t row = (size_t)tokens->chunk_length;
    uint32_t *ids = host_realloc(host, tokens->ids, capacity, row * sizeof *ids);
    if (ids) tokens->ids = ids;
    float *weights = ids ? host_realloc(host, tokens->weights, capacity, row * sizeof *weights) : NULL;
    if (!weights) return error_memory(error, "prompt tokens", capacity * row * sizeof *ids);
    tokens->weights = weights;
    tokens->capacity = capacity;
    return MZT_OK;
}

/* Closes the open chunk with end and padding; the next one is open and empty. */
static mzt_status finish_chunk(chunker *c) {
    prompt_tokens *tokens = c->tokens;
    uint32_t *ids = open_ids(c) - 1;
    float *weights = open_weights(c) - 1;
    ids[0] = bpe_begin_id(c->tokenizer);
    weights[0] = 1.0f;
    for (uint32_t i = c->filled + 1; i < tokens->chunk_length; i++) {
        ids[i] = i == c->filled + 1 ? bpe_end_id(c->tokenizer) : bpe_padding_id(c->tokenizer);
        weights[i] = 1.0f;
    }
    tokens->chunk_count++;
    c->filled = 0;
    c->comma = NO_COMMA;
    return reserve_chunk(c->host, tokens, c->error);
}

/* The same for a chunk that is not the last: it counts whole. */
static mzt_status next_chunk(chunker *c) {
    c->tokens->used += c->room;
    return finish_chunk(c);
}

/* Closes a full chunk behind its last comma: what follows the comma moves on. */
static mzt_status finish_at_comma(chunker *c) {
    uint32_t keep = c->comma + 1, moved = c->filled - keep;
    c->filled = keep;
    uint32_t ids[PROMPT_COMMA_REACH];
    float weights[PROMPT_COMMA_REACH];
    memcpy(ids, open_ids(c) + keep, moved * sizeof *ids);
    memcpy(weights, open_weights(c) + keep, moved * sizeof *weights);
    TRY(next_chunk(c));
    memcpy(open_ids(c), ids, moved * sizeof *ids);
    memcpy(open_weights(c), weights, moved * sizeof *weights);
    c->filled = moved;
    return MZT_OK;
}

static mzt_status add_token(chunker *c, uint32_t id, float weight) {
    if (id == c->comma_id)
        c->comma = c->filled;
    else if (c->filled == c->room && c->comma != NO_COMMA && c->filled - c->comma <= PROMPT_COMMA_REACH)
        TRY(finish_at_comma(c));
    if (c->filled == c->room) TRY(next_chunk(c));
    open_ids(c)[c->filled] = id;
    open_weights(c)[c->filled] = weight;
    c->filled++;
    return MZT_OK;
}

static mzt_status add_run_tokens(chunker *c, const prompt_run *run) {
    if (run->is_break) return next_chunk(c);
    uint32_t *ids, count;
    TRY(bpe_encode(c->tokenizer, run->text, run->length, &ids, &count, c->error));
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < count && status >= 0; i++) {
        const uint32_t together = bpe_group(c->tokenizer, ids[i]); /* ids of one word stay in one chunk */
        if (together > 1 && together <= c->room && c->filled + together > c->room) status = next_chunk(c);
        if (status >= 0) status = add_token(c, ids[i], (float)run->weight);
    }
    host_free(c->host, ids);
    return status;
}

static mzt_status encode_runs(const bpe *tokenizer, const prompt_runs *runs, bool comma_search,
                              prompt_tokens *tokens, mzt_error *error) {
    chunker c = {.tokenizer = tokenizer, .host = bpe_host(tokenizer), .tokens = tokens, .error = error};
    c.room = tokens->chunk_length - 2;
    c.comma = NO_COMMA;
    if (!comma_search || !bpe_find(tokenizer, ",</w>", &c.comma_id)) c.comma_id = NO_ID;
    TRY(reserve_chunk(c.host, tokens, error));
    for (uint32_t i = 0; i < runs->count; i++)
        TRY(add_run_tokens(&c, &runs->runs[i]));
    if (c.filled > 0 || tokens->chunk_count == 0) {
        tokens->used += c.filled;
        TRY(finish_chunk(&c));
    }
    return MZT_OK;
}

static mzt_status encode_text(const bpe *tokenizer, const char *text, const prompt_options *options,
                              prompt_tokens *tokens, mzt_error *error) {
    prompt_runs runs = {0};
    prompt_run whole = {.text = text, .length = strlen(text), .weight = 1.0};
    if (options->plain)
        return encode_runs(tokenizer, &(prompt_runs){.runs = &whole, .count = 1}, !options->no_comma_search,
                           tokens, error);
    mzt_status status = prompt_parse(bpe_host(tokenizer), text, whole.length, &runs, error);
    if (status >= 0) status = encode_runs(tokenizer, &runs, !options->no_comma_search, tokens, error);
    prompt_runs_free(bpe_host(tokenizer), &runs);
    return status;
}

mzt_status prompt_encode(const bpe *tokenizer, const char *text, const prompt_options *options,
                         prompt_tokens *tokens, mzt_error *error) {
    const prompt_options defaults = {0};
    if (!options) options = &defaults;
    memset(tokens, 0, sizeof *tokens);
    tokens->chunk_length = options->chunk_length ? options->chunk_length : bpe_max_length(tokenizer);
    if (tokens->chunk_length < 3 || tokens->chunk_length > 4096)
        return error_set(error, MZT_ERROR_INVALID, "prompt: chunks of %u tokens: expected 3..4096",
                         tokens->chunk_length);
    char *plain = prompt_without_tags(bpe_host(tokenizer), text);
    if (!plain) return error_memory(error, "prompt", strlen(text));
    mzt_status status = encode_text(tokenizer, plain, options, tokens, error);
    host_free(bpe_host(tokenizer), plain);
    return status;
}

mzt_status prompt_tokens_extend(const bpe *tokenizer, prompt_tokens *tokens, uint32_t chunk_count,
                                mzt_error *error) {
    chunker c = {.tokenizer = tokenizer, .host = bpe_host(tokenizer), .tokens = tokens, .error = error};
    if (chunk_count > tokens->chunk_count) TRY(reserve_chunk(c.host, tokens, error));
    while (tokens->chunk_count < chunk_count)
        TRY(finish_chunk(&c));
    return MZT_OK;
}

void prompt_tokens_free(const bpe *tokenizer, prompt_tokens *tokens) {
    host_free(bpe_host(tokenizer), tokens->ids);
    host_free(bpe_host(tokenizer), tokens->weights);
    memset(tokens, 0, sizeof *tokens);
}

void prompt_weigh(float *hidden, const float *weights, uint32_t length, uint32_t channels) {
    double before = 0, after = 0;
    bool weighted = false;
    for (uint32_t i = 0; i < length; i++)
        weighted = weighted || weights[i] != 1.0f;
    if (!weighted) return;
    for (uint32_t i = 0; i < length; i++) {
        float *row = hidden + (size_t)i * channels;
        for (uint32_t k = 0; k < channels; k++) {
            before += row[k];
            row[k] *= weights[i];
            after += row[k];
        }
    }
    if (after == 0) return;
    float factor = (float)(before / after);
    for (size_t i = 0; i < (size_t)length * channels; i++)
        hidden[i] *= factor;
}
