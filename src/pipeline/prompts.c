/* Prompts with weights and of any length to conditioning; see conditioning.h. */
#include <string.h>

#include "pipeline/conditioning.h"
#include "text/clean.h"

static mzt_status check_text(const char *text, const char *name, mzt_error *error) {
    char shown[64];
    if (text_is_utf8(text, strlen(text))) return MZT_OK;
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

static mzt_status tokenize(prompt_work *w, const char *const texts[2], bool plain, mzt_error *error) {
    if (w->m->words) /* the prompt is the last text */
        TRY(known_words_check(w->m->words, texts[w->count - 1], warn_of_word, (void *)(uintptr_t)w->m,
                              error));
    for (uint32_t i = 0; i < w->encoders; i++) {
        const bpe *tokenizer = w->m->tokenizer[i];
        if (!tokenizer) return model_no_tokenizer(w->m, i, error);
        if (i == 0) w->length = chunk_length(w, 0);
        const prompt_options options = {.chunk_length = w->length, .plain = plain};
        for (uint32_t t = 0; t < w->count; t++) {
            TRY(prompt_encode(tokenizer, texts[t], &options, &w->tokens[i][t], error));
            if (w->tokens[i][t].chunk_count > w->chunks) w->chunks = w->tokens[i][t].chunk_count;
        }
    }
    for (uint32_t i = 0; i < w->encoders; i++)
        for (uint32_t t = 0; t < w->count; t++)
            TRY(prompt_tokens_extend(w->m->tokenizer[i], &w->tokens[i][t], w->chunks, error));
    return MZT_OK;
}

/* Which of an encoder's states are read, and where to. */
static text_states wanted(const prompt_work *w, uint32_t index) {
    const bool xl = model_is_xl(w->m);
    return (text_states){.hidden = xl ? w->states : NULL,
                         .normed = xl ? NULL : w->states,
                         .embeds = index == 1 ? w->embeds : NULL};
}

static mzt_status specify(prompt_work *w, uint32_t clip_skip, mzt_error *error) {
    const model *m = w->m;
    for (uint32_t i = 0; i < w->encoders; i++) {
        uint32_t skip = clip_skip ? clip_skip - 1 : 0;
        if (model_is_xl(m) && skip == 0) skip = 1; /* SDXL was trained on the penultimate layer */
        if (skip >= m->text[i].layers)
            return error_set(error, MZT_ERROR_INVALID, "clip skip %u: the text encoder has %u layers",
                             clip_skip, m->text[i].layers);
        const text_states states = wanted(w, i);
        TRY(text_encoder_spec(m, i, w->count * w->chunks, w->length, skip, &states, &w->specs[i], error));
    }
    return MZT_OK;
}

static mzt_status allocate_rows(const base_host *host, const conditioning *like, uint32_t rows,
                                conditioning *out, mzt_error *error) {
    *out = *like;
    out->host = host;
    out->rows = rows;
    out->context = host_calloc(host, (size_t)rows * out->length, out->channels * sizeof(float));
    out->pooled =
        out->pooled_channels ? host_calloc(host, (size_t)rows * out->pooled_channels, sizeof(float)) : NULL;
    if (out->context && (!out->pooled_channels || out->pooled)) return MZT_OK;
    return error_memory(error, "conditioning", (uint64_t)rows * out->length * out->channels * sizeof(float));
}

static mzt_status allocate(prompt_work *w, mzt_error *error) {
    const model *m = w->m;
    const uint64_t rows = (uint64_t)w->count * w->chunks, tokens = rows * w->length;
    conditioning shape = {.length = w->chunks * w->length};
    uint32_t widest = 0;
    for (uint32_t i = 0; i < w->encoders; i++) {
        shape.channels += m->text[i].channels;
        if (m->text[i].channels > widest) widest = m->text[i].channels;
    }
    if (shape.channels != m->unet.context_channels)
        return error_set(error, MZT_ERROR_INVALID,
                         "%s: unet's cross_attention_dim is %u, but the text encoders give %u channels",
                         m->path, m->unet.context_channels, shape.channels);
    if (model_is_xl(m) && m->text[1].projection) shape.pooled_channels = m->text[1].projection_channels;
    w->ids = host_calloc(m->host, (size_t)tokens, sizeof *w->ids);
    w->eos = host_calloc(m->host, (size_t)rows, sizeof *w->eos);
    w->states = host_calloc(m->host, (size_t)tokens * widest, sizeof *w->states);
    if (shape.pooled_channels)
        w->embeds = host_calloc(m->host, (size_t)rows * shape.pooled_channels, sizeof *w->embeds);
    if (!w->ids || !w->eos || !w->states || (shape.pooled_channels && !w->embeds))
        return error_memory(error, "text encoder states", tokens * widest * sizeof *w->states);
    TRY(allocate_rows(m->host, &shape, w->count, &w->texts, error));
    return allocate_rows(m->host, &shape, w->count * w->images, &w->rows, error);
}

mzt_status prompt_begin(const model *m, const prompt_request *request, prompt_work *w, mzt_error *error) {
    *w = (prompt_work){.m = m, .encoders = model_is_xl(m) ? 2 : 1, .images = request->images};
    const char *texts[2] = {"", ""};
    if (request->guided) {
        texts[w->count++] = request->negative ? request->negative : "";
        TRY(check_text(texts[0], "the negative prompt", error));
    }
    texts[w->count++] = request->prompt ? request->prompt : "";
    TRY(check_text(texts[w->count - 1], "the prompt", error));
    for (uint32_t t = 0; t < w->count; t++)
        w->empty[t] = !texts[t][0];
    mzt_status status = tokenize(w, texts, request->plain, error);
    if (status >= 0) status = allocate(w, error);
    if (status >= 0) status = specify(w, request->clip_skip, error);
    if (status < 0) prompt_destroy(w);
    return status;
}

mzt_status prompt_set(prompt_work *w, uint32_t index, network *n, mzt_error *error) {
    const size_t tokens = (size_t)w->chunks * w->length;
    for (uint32_t t = 0; t < w->count; t++)
        memcpy(w->ids + t * tokens, w->tokens[index][t].ids, tokens * sizeof *w->ids);
    return text_encoder_set(w->m, &w->specs[index], n, w->ids, w->eos, error);
}

mzt_status prompt_get(prompt_work *w, uint32_t index, network *n, mzt_error *error) {
    const uint32_t width = w->m->text[index].channels, rows = w->count * w->chunks,
                   offset = index ? w->m->text[0].channels : 0;
    const text_states states = wanted(w, index);
    conditioning *c = &w->texts;
    TRY(text_encoder_get(w->m, &w->specs[index], n, &states, error));
    for (uint32_t row = 0; row < rows; row++) {
        float *hidden = w->states + (size_t)row * w->length * width;
        prompt_weigh(hidden,
                     w->tokens[index][row / w->chunks].weights + (size_t)(row % w->chunks) * w->length,
                     w->length, width);
        for (uint32_t i = 0; i < w->length; i++)
            memcpy(c->context + ((size_t)row * w->length + i) * c->channels + offset,
                   hidden + (size_t)i * width, width * sizeof *hidden);
    }
    for (uint32_t t = 0; states.embeds && t < w->count; t++)
        memcpy(c->pooled + (size_t)t * c->pooled_channels,
               w->embeds + (size_t)t * w->chunks * c->pooled_channels, c->pooled_channels * sizeof(float));
    return MZT_OK;
}

void prompt_join(prompt_work *w) {
    conditioning *texts = &w->texts, *out = &w->rows;
    const size_t context = (size_t)texts->length * texts->channels,
                 pooled = texts->pooled ? texts->pooled_channels : 0;
    const bool zeros = model_is_xl(w->m) && w->m->index.force_zeros_for_empty_prompt;
    for (uint32_t t = 0; t < w->count; t++) {
        if (!zeros || !w->empty[t]) continue;
        memset(texts->context + t * context, 0, context * sizeof(float));
        if (pooled) memset(texts->pooled + t * pooled, 0, pooled * sizeof(float));
    }
    for (uint32_t row = 0; row < out->rows; row++) {
        const uint32_t text = row / w->images;
        memcpy(out->context + row * context, texts->context + text * context, context * sizeof(float));
        if (pooled) memcpy(out->pooled + row * pooled, texts->pooled + text * pooled, pooled * sizeof(float));
    }
}

void prompt_destroy(prompt_work *w) {
    if (!w->m) return;
    const base_host *host = w->m->host;
    conditioning_destroy(&w->texts);
    conditioning_destroy(&w->rows);
    host_free(host, w->ids);
    host_free(host, w->eos);
    host_free(host, w->states);
    host_free(host, w->embeds);
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t t = 0; w->m->tokenizer[i] && t < 2; t++)
            prompt_tokens_free(w->m->tokenizer[i], &w->tokens[i][t]);
    *w = (prompt_work){0};
}
