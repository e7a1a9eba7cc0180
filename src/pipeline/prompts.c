/* Prompts with weights and of any length to conditioning; see conditioning.h. */
#include <string.h>

#include "json/json_write.h"
#include "pipeline/conditioning.h"
#include "text/prompt.h"

/* Texts in the order of their rows (the negative prompt first, if it is wanted), each in `chunks` chunks of
 * `length` tokens. */
typedef struct prompt_work {
    const model *m;
    executor *e;
    precision precision;
    const prompt_request *request;
    const char *texts[2];
    uint32_t count, chunks, length, encoders;
    prompt_tokens tokens[2][2]; /* [encoder][text] */
    mzt_error *error;
} prompt_work;

static mzt_status check_text(const char *text, const char *name, mzt_error *error) {
    char shown[64];
    if (json_is_utf8(text)) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "%s is not valid UTF-8: \"%s\"", name,
                     error_text(shown, sizeof shown, text));
}

static uint32_t chunk_length(const prompt_work *w, uint32_t encoder) {
    uint32_t own = bpe_max_length(w->m->tokenizer[encoder]), positions = w->m->text[encoder].positions;
    return own < positions ? own : positions;
}

static void warn_of_word(void *user, const char *word) {
    char shown[80];
    host_log(((const model *)user)->host, MZT_LOG_WARNING, "the model was never shown the word \"%s\"",
             error_text(shown, sizeof shown, word));
}

static mzt_status tokenize(prompt_work *w) {
    if (w->m->words) /* the prompt is the last text */
        TRY(known_words_check(w->m->words, w->texts[w->count - 1], warn_of_word, (void *)(uintptr_t)w->m,
                              w->error));
    for (uint32_t i = 0; i < w->encoders; i++) {
        const bpe *tokenizer = w->m->tokenizer[i];
        if (!tokenizer)
            return error_set(w->error, MZT_ERROR_NOT_FOUND,
                             "%s has no %s folder: it needs vocab.json and merges.txt of its tokenizer",
                             w->m->path, i ? "tokenizer_2" : "tokenizer");
        if (i == 0) w->length = chunk_length(w, 0);
        const prompt_options options = {.chunk_length = w->length, .plain = w->request->plain};
        for (uint32_t t = 0; t < w->count; t++) {
            TRY(prompt_encode(tokenizer, w->texts[t], &options, &w->tokens[i][t], w->error));
            if (w->tokens[i][t].chunk_count > w->chunks) w->chunks = w->tokens[i][t].chunk_count;
        }
    }
    for (uint32_t i = 0; i < w->encoders; i++)
        for (uint32_t t = 0; t < w->count; t++)
            TRY(prompt_tokens_extend(w->m->tokenizer[i], &w->tokens[i][t], w->chunks, w->error));
    return MZT_OK;
}

/* Runs one encoder over all chunks of all texts, weighs the states [texts][chunks * length][width] and puts
 * them into columns of the context from `offset` on. */
static mzt_status encode(prompt_work *w, uint32_t encoder, uint32_t offset, conditioning *c) {
    const model *m = w->m;
    const bool xl = model_is_xl(m);
    const uint32_t width = m->text[encoder].channels, rows = w->count * w->chunks,
                   tokens = w->chunks * w->length;
    uint32_t skip = w->request->clip_skip ? w->request->clip_skip - 1 : 0;
    if (xl && skip == 0) skip = 1; /* SDXL was trained on the penultimate layer */
    if (skip >= m->text[encoder].layers)
        return error_set(w->error, MZT_ERROR_INVALID, "clip skip %u: the text encoder has %u layers",
                         w->request->clip_skip, m->text[encoder].layers);
    uint32_t *ids = host_calloc(m->host, (size_t)rows * w->length, sizeof *ids);
    float *states = host_calloc(m->host, (size_t)rows * w->length * width, sizeof *states);
    const bool pooled = encoder == 1 && c->pooled;
    float *embeds = pooled ? host_calloc(m->host, (size_t)rows * c->pooled_channels, sizeof *embeds) : NULL;
    mzt_status status = MZT_OK;
    if (!ids || !states || (pooled && !embeds)) {
        status = error_memory(w->error, "text encoder states",
                              (uint64_t)rows * w->length * width * sizeof *states);
        goto done;
    }
    for (uint32_t t = 0; t < w->count; t++)
        memcpy(ids + (size_t)t * tokens, w->tokens[encoder][t].ids, tokens * sizeof *ids);
    text_states wanted = {.embeds = embeds};
    if (xl)
        wanted.hidden = states;
    else
        wanted.normed = states;
    status = text_encoder_run(m, w->e, w->precision, encoder, ids, rows, w->length, skip, &wanted, w->error);
    for (uint32_t row = 0; status >= 0 && row < rows; row++) {
        float *hidden = states + (size_t)row * w->length * width;
        prompt_weigh(hidden,
                     w->tokens[encoder][row / w->chunks].weights + (size_t)(row % w->chunks) * w->length,
                     w->length, width);
        for (uint32_t i = 0; i < w->length; i++)
            memcpy(c->context + ((size_t)row * w->length + i) * c->channels + offset,
                   hidden + (size_t)i * width, width * sizeof *hidden);
    }
    for (uint32_t t = 0; status >= 0 && embeds && t < w->count; t++)
        memcpy(c->pooled + (size_t)t * c->pooled_channels,
               embeds + (size_t)t * w->chunks * c->pooled_channels, c->pooled_channels * sizeof *embeds);
done:
    host_free(m->host, ids);
    host_free(m->host, states);
    host_free(m->host, embeds);
    return status;
}

/* Fills `c` with one row a text. */
static mzt_status encode_texts(prompt_work *w, conditioning *c) {
    const model *m = w->m;
    for (uint32_t i = 0; i < w->encoders; i++)
        c->channels += m->text[i].channels;
    if (c->channels != m->unet.context_channels)
        return error_set(w->error, MZT_ERROR_INVALID,
                         "%s: unet's cross_attention_dim is %u, but the text encoders give %u channels",
                         m->path, m->unet.context_channels, c->channels);
    if (model_is_xl(m) && m->text[1].projection) c->pooled_channels = m->text[1].projection_channels;
    c->rows = w->count;
    c->length = w->chunks * w->length;
    c->context = host_calloc(m->host, (size_t)c->rows * c->length, c->channels * sizeof(float));
    if (c->pooled_channels)
        c->pooled = host_calloc(m->host, (size_t)c->rows * c->pooled_channels, sizeof(float));
    if (!c->context || (c->pooled_channels && !c->pooled))
        return error_memory(w->error, "conditioning",
                            (uint64_t)c->rows * c->length * c->channels * sizeof(float));
    for (uint32_t i = 0; i < w->encoders; i++)
        TRY(encode(w, i, i ? m->text[0].channels : 0, c));
    if (!model_is_xl(m) || !m->index.force_zeros_for_empty_prompt) return MZT_OK;
    for (uint32_t t = 0; t < w->count; t++) {
        if (w->texts[t][0]) continue;
        memset(c->context + (size_t)t * c->length * c->channels, 0,
               (size_t)c->length * c->channels * sizeof(float));
        if (c->pooled)
            memset(c->pooled + (size_t)t * c->pooled_channels, 0, c->pooled_channels * sizeof(float));
    }
    return MZT_OK;
}

/* Every text's row `images` times, text after text. */
static mzt_status repeat_rows(const base_host *host, const conditioning *texts, uint32_t images,
                              conditioning *out, mzt_error *error) {
    const size_t context = (size_t)texts->length * texts->channels,
                 pooled = texts->pooled ? texts->pooled_channels : 0;
    *out = *texts;
    out->rows = texts->rows * images;
    out->context = host_calloc(host, (size_t)out->rows * context, sizeof(float));
    out->pooled = pooled ? host_calloc(host, (size_t)out->rows * pooled, sizeof(float)) : NULL;
    if (!out->context || (pooled && !out->pooled)) {
        conditioning_destroy(out);
        return error_memory(error, "conditioning", (uint64_t)texts->rows * images * context * sizeof(float));
    }
    for (uint32_t row = 0; row < out->rows; row++) {
        memcpy(out->context + row * context, texts->context + row / images * context,
               context * sizeof(float));
        if (pooled)
            memcpy(out->pooled + row * pooled, texts->pooled + row / images * pooled, pooled * sizeof(float));
    }
    return MZT_OK;
}

mzt_status conditioning_from_prompts(const model *m, executor *e, precision p, const prompt_request *request,
                                     conditioning *out, mzt_error *error) {
    *out = (conditioning){0};
    prompt_work w = {.m = m,
                     .e = e,
                     .precision = p,
                     .request = request,
                     .encoders = model_is_xl(m) ? 2 : 1,
                     .error = error};
    if (request->guided) {
        w.texts[w.count++] = request->negative ? request->negative : "";
        TRY(check_text(w.texts[0], "the negative prompt", error));
    }
    w.texts[w.count++] = request->prompt ? request->prompt : "";
    TRY(check_text(w.texts[w.count - 1], "the prompt", error));
    conditioning texts = {.host = m->host};
    mzt_status status = tokenize(&w);
    if (status >= 0) status = encode_texts(&w, &texts);
    if (status >= 0) status = repeat_rows(m->host, &texts, request->images, out, error);
    conditioning_destroy(&texts);
    for (uint32_t i = 0; i < w.encoders; i++)
        for (uint32_t t = 0; t < w.count; t++)
            if (m->tokenizer[i]) prompt_tokens_free(m->tokenizer[i], &w.tokens[i][t]);
    return status;
}
