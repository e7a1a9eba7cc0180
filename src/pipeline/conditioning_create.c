/* Text encoders made for one use: see conditioning.h. */
#include <string.h>

#include "pipeline/conditioning.h"

mzt_status text_encoder_run(const model *m, executor *e, precision p, uint32_t index, const uint32_t *ids,
                            uint32_t rows, uint32_t length, uint32_t skip, const text_states *states,
                            mzt_error *error) {
    part_spec spec;
    network n = {0};
    if (!m->weights[index ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER])
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s has no %s", m->path,
                         part_name(index ? PART_TEXT_2 : PART_TEXT));
    TRY(text_encoder_spec(m, index, rows, length, skip, states, &spec, error));
    uint32_t *eos = host_calloc(m->host, rows, sizeof *eos);
    if (!eos) return error_memory(error, part_name((part_kind)spec.kind), rows * sizeof *eos);
    mzt_status status = part_create(m, e, p, &spec, &n, error);
    if (status >= 0) status = text_encoder_set(m, &spec, &n, ids, eos, error);
    if (status >= 0) status = network_run(&n, error);
    if (status >= 0) status = text_encoder_get(m, &spec, &n, states, error);
    network_destroy(&n);
    host_free(m->host, eos);
    return status;
}

/* Writes src [rows][c] into columns of dst [rows][stride] from `offset` on. */
static void place_columns(float *dst, uint32_t stride, uint32_t offset, const float *src, uint64_t rows,
                          uint32_t c) {
    for (uint64_t r = 0; r < rows; r++)
        memcpy(dst + r * stride + offset, src + r * c, c * sizeof *src);
}

static mzt_status encode_two(const model *m, executor *e, precision p, const uint32_t *ids,
                             const uint32_t *ids2, conditioning *c, mzt_error *error) {
    const uint32_t widths[2] = {m->text[0].channels, m->text[1].channels};
    const uint64_t tokens = (uint64_t)c->rows * c->length;
    float *states =
        host_calloc(m->host, tokens * (widths[0] > widths[1] ? widths[0] : widths[1]), sizeof *states);
    if (!states) return error_memory(error, "text encoder states", tokens);
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; status >= 0 && i < 2; i++) {
        text_states wanted = {.hidden = states, .embeds = i ? c->pooled : NULL};
        status = text_encoder_run(m, e, p, i, i && ids2 ? ids2 : ids, c->rows, c->length, 1, &wanted, error);
        if (status >= 0) place_columns(c->context, c->channels, i ? widths[0] : 0, states, tokens, widths[i]);
    }
    host_free(m->host, states);
    return status;
}

mzt_status conditioning_from_ids(const model *m, executor *e, precision p, const uint32_t *ids,
                                 const uint32_t *ids2, uint32_t rows, uint32_t length, conditioning *out,
                                 mzt_error *error) {
    bool xl = model_is_xl(m);
    conditioning c = {.host = m->host, .rows = rows, .length = length, .channels = m->text[0].channels};
    *out = (conditioning){0};
    if (xl) {
        c.channels += m->text[1].channels;
        c.pooled_channels = m->text[1].projection ? m->text[1].projection_channels : 0;
    }
    if (c.channels != m->unet.context_channels)
        return error_set(error, MZT_ERROR_INVALID,
                         "%s: unet's cross_attention_dim is %u, but the text encoders give %u channels",
                         m->path, m->unet.context_channels, c.channels);
    uint64_t tokens = (uint64_t)rows * length;
    c.context = host_calloc(m->host, tokens * c.channels, sizeof(float));
    c.pooled =
        c.pooled_channels ? host_calloc(m->host, (uint64_t)rows * c.pooled_channels, sizeof(float)) : NULL;
    mzt_status status = MZT_OK;
    if (!c.context || (c.pooled_channels && !c.pooled)) {
        status = error_memory(error, "conditioning", tokens * c.channels * sizeof(float));
    } else if (xl) {
        status = encode_two(m, e, p, ids, ids2, &c, error);
    } else {
        text_states wanted = {.last = c.context};
        status = text_encoder_run(m, e, p, 0, ids, rows, length, 0, &wanted, error);
    }
    if (status < 0)
        conditioning_destroy(&c);
    else
        *out = c;
    return status;
}

mzt_status conditioning_from_prompts(const model *m, executor *e, precision p, const prompt_request *request,
                                     conditioning *out, mzt_error *error) {
    prompt_work w;
    *out = (conditioning){0};
    TRY(prompt_begin(m, request, &w, error));
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; status >= 0 && i < w.encoders; i++) {
        network n = {0};
        status = part_create(m, e, p, &w.specs[i], &n, error);
        if (status >= 0) status = prompt_set(&w, i, &n, error);
        if (status >= 0) status = network_run(&n, error);
        if (status >= 0) status = prompt_get(&w, i, &n, error);
        network_destroy(&n);
    }
    if (status >= 0) {
        prompt_join(&w);
        *out = w.rows;
        w.rows = (conditioning){0};
    }
    prompt_destroy(&w);
    return status;
}
