/* Prompts to conditioning; see conditioning.h. */
#include "pipeline/conditioning.h"

#include <string.h>

#include "model/clip.h"

void conditioning_destroy(conditioning *c) {
    if (c->host) {
        host_free(c->host, c->context);
        host_free(c->host, c->pooled);
    }
    *c = (conditioning){0};
}

/* Ids must lie inside the embedding table; who gave them is told. */
static mzt_status check_ids(const clip_config *config, const uint32_t *ids, uint64_t count, const char *name,
                            mzt_error *error) {
    for (uint64_t i = 0; i < count; i++)
        if (ids[i] >= config->vocabulary)
            return error_set(error, MZT_ERROR_INVALID, "token id %u is not below %s's vocabulary size of %u",
                             ids[i], name, config->vocabulary);
    return MZT_OK;
}

mzt_status text_encoder_spec(const model *m, uint32_t index, uint32_t rows, uint32_t length, uint32_t skip,
                             const text_states *states, part_spec *spec, mzt_error *error) {
    const part_kind kind = index ? PART_TEXT_2 : PART_TEXT;
    const clip_config *config = &m->text[index];
    if (length == 0 || length > config->positions)
        return error_set(error, MZT_ERROR_INVALID, "%s takes 1 to %u tokens, given %u", part_name(kind),
                         config->positions, length);
    memset(spec, 0, sizeof *spec);
    spec->kind = kind;
    spec->n = rows;
    spec->h = length;
    spec->skip = skip;
    spec->outputs = (states->last ? TEXT_LAST : 0u) | (states->hidden ? TEXT_HIDDEN : 0u) |
                    (states->pooled ? TEXT_POOLED : 0u) | (states->embeds ? TEXT_EMBEDS : 0u) |
                    (states->normed ? TEXT_NORMED : 0u);
    return MZT_OK;
}

mzt_status text_encoder_set(const model *m, const part_spec *spec, network *n, const uint32_t *ids,
                            uint32_t *eos, mzt_error *error) {
    const clip_config *config = &m->text[spec->kind == PART_TEXT_2];
    const uint64_t count = (uint64_t)spec->n * spec->h;
    TRY(check_ids(config, ids, count, part_name((part_kind)spec->kind), error));
    TRY(network_set_u32(n, "ids", ids, count, error));
    if (!(spec->outputs & (TEXT_POOLED | TEXT_EMBEDS))) return MZT_OK;
    clip_eos_rows(config, ids, spec->n, spec->h, eos);
    return network_set_u32(n, "eos", eos, spec->n, error);
}

mzt_status text_encoder_get(const model *m, const part_spec *spec, network *n, const text_states *states,
                            mzt_error *error) {
    const clip_config *config = &m->text[spec->kind == PART_TEXT_2];
    const uint64_t rows = spec->n, tokens = rows * spec->h;
    const struct {
        const char *name;
        float *out;
        uint64_t count;
    } wanted[] = {
        {"last", states->last, tokens * config->channels},
        {"hidden", states->hidden, tokens * config->channels},
        {"pooled", states->pooled, rows * config->channels},
        {"embeds", states->embeds, rows * config->projection_channels},
        {"normed", states->normed, tokens * config->channels},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (wanted[i].out) TRY(network_get(n, wanted[i].name, wanted[i].out, wanted[i].count, error));
    return MZT_OK;
}
