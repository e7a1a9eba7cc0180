/* What a denoiser's training needs before the first step: the vocabulary and the latents. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "json/json_write.h"
#include "train/denoiser_internal.h"
#include "train/json_keys.h"
#include "train/words.h"

enum { CAPTIONS_LEARNED = 4 }; /* captions of each picture that the vocabulary is learned from */

/* ------------------------------------------------------------------------------------------------ vocabulary
 * -- */

static mzt_status add_captions(const denoiser_task *t, words *w, mzt_error *error) {
    const train_context *c = t->base.context;
    char caption[CAPTION_SIZE];
    for (int i = 0; i < COLOUR_COUNT; i++)
        TRY(words_add(w, colour_name((colour)i), 4, error));
    for (uint32_t i = 0; i < c->data->train_count; i++) {
        const uint32_t item = c->data->train[i];
        const dataset_facts facts = {.colour = (uint8_t)c->data->items[item].colours.dominant};
        for (uint64_t k = 0; k < CAPTIONS_LEARNED; k++) {
            dataset_caption(c->data, 0, k, item, &facts, 0,
                            caption); /* seed 0: the vocabulary does not depend on the run's */
            TRY(words_add(w, caption, 1, error));
        }
        for (uint32_t k = 0; k < c->data->items[item].keyword_count; k++)
            TRY(words_add(w, c->data->items[item].keywords[k], 1, error));
    }
    return MZT_OK;
}

/* Learns a vocabulary from the training pictures' captions into OUTPUT/tokenizer. */
static mzt_status name_folder(denoiser_task *t, mzt_error *error) {
    t->tokenizer_folder = path_join(t->base.context->host, t->base.context->output, "tokenizer");
    return t->tokenizer_folder ? MZT_OK : error_memory(error, "vocabulary", 0);
}

/* The first rank's work; the others read what it wrote. */
static mzt_status learn(denoiser_task *t, mzt_error *error) {
    const train_context *c = t->base.context;
    TRY(name_folder(t, error));
    words *w = words_create(c->host);
    if (!w) return error_memory(error, "vocabulary", 0);
    mzt_status status = folder_create(c->host, t->tokenizer_folder, error);
    if (status >= 0) status = add_captions(t, w, error);
    if (status >= 0)
        status = words_write(w, c->config->denoiser.vocabulary, c->config->denoiser.max_length,
                             t->tokenizer_folder, NULL, error);
    words_destroy(w);
    return status;
}

/* unet/config.json with the latent's size. */
static mzt_status describe_unet(denoiser_task *t, mzt_error *error) {
    static const char *const but[] = {"sample_size", NULL};
    const train_context *c = t->base.context;
    json_doc *doc = NULL;
    TRY(json_parse(c->host, "unet", c->config->unet_json, strlen(c->config->unet_json), &doc, error));
    json_writer w = json_writer_make(c->host);
    json_write_object(&w, NULL);
    json_write_members(&w, json_root(doc), but);
    json_write_uint(&w, "sample_size", t->latent.h);
    json_write_end_object(&w);
    json_destroy(doc);
    return json_writer_finish(&w, &t->unet_json, NULL, error);
}

mzt_status denoiser_prepare_words(denoiser_task *t, mzt_error *error) {
    const train_context *c = t->base.context;
    if (t->init && t->init->tokenizer[0]) {
        const char *folder = t->init->index.components[MODEL_TOKENIZER].path;
        t->tokenizer = t->init->tokenizer[0];
        t->tokenizer_folder = folder ? host_strdup(c->host, folder) : NULL;
        if (folder && !t->tokenizer_folder) return error_memory(error, folder, strlen(folder));
    } else {
        TRY(ranks_agree(c->ranks, ranks_is_first(c->ranks) ? learn(t, error) : name_folder(t, error), error));
        TRY(bpe_load(c->host, t->tokenizer_folder, NULL, &t->tokenizer, error));
    }
    if (t->init_text || c->config->lora.rank) {
        t->clip = t->init->text[0];
        t->text_json = t->init_text ? host_strdup(c->host, t->init_text) : NULL;
        if (t->init_text && !t->text_json) return error_memory(error, "text_encoder", strlen(t->init_text));
        return c->config->unet_json ? describe_unet(t, error) : MZT_OK;
    }
    if (bpe_max_length(t->tokenizer) != c->config->denoiser.max_length)
        return error_set(error, MZT_ERROR_INVALID, "%s: texts of %u tokens, denoiser.max_length is %u",
                         t->tokenizer_folder, (unsigned)bpe_max_length(t->tokenizer),
                         (unsigned)c->config->denoiser.max_length);
    TRY(describe_unet(t, error));
    return train_text_config(c->config, bpe_id_count(t->tokenizer), &t->text_json, &t->clip, error);
}

/* --------------------------------------------------------------------------------------------------- latents
 * -- */

static mzt_status cache(denoiser_task *t, mzt_error *error) {
    const train_context *c = t->base.context;
    const uint32_t variants = c->config->data.latent_variants, count = c->data->train_count;
    uint64_t values;
    if (!size_mul((uint64_t)variants * count, t->latent_count, &values))
        return error_memory(error, "latents", UINT64_MAX);
    t->cached = host_calloc(c->host, (size_t)values, sizeof *t->cached);
    t->facts = host_calloc(c->host, (size_t)variants * count, sizeof *t->facts);
    if (!t->cached || !t->facts) return error_memory(error, "latents", values * sizeof *t->cached);
    const double start = clock_seconds();
    for (uint32_t v = 0; v < variants; v++) {
        char line[120];
        TRY(latent_encoder_items(&t->encoder, c->data->train, count, true, v,
                                 t->cached + (uint64_t)v * count * t->latent_count,
                                 t->facts + (uint64_t)v * count, error));
        snprintf(line, sizeof line, "encoded %u of %u variants of %u pictures (%.0f s)", (unsigned)(v + 1),
                 (unsigned)variants, (unsigned)count, clock_seconds() - start);
        if (c->line) c->line(c->user, line);
    }
    return MZT_OK;
}

mzt_status denoiser_prepare_latents(denoiser_task *t, mzt_error *error) {
    const train_context *c = t->base.context;
    const log_config *log = &c->config->log;
    TRY(latent_encoder_create(c, t->autoencoder, c->batch, &t->encoder, error));
    t->held_out_count = c->data->held_out_count < log->validation_pictures ? c->data->held_out_count
                                                                           : log->validation_pictures;
    const uint64_t values = t->held_out_count * t->latent_count;
    t->held_out = host_calloc(c->host, (size_t)values, sizeof *t->held_out);
    if (!t->held_out) return error_memory(error, "latents", values * sizeof *t->held_out);
    TRY(latent_encoder_items(&t->encoder, c->data->held_out, t->held_out_count, false, 0, t->held_out, NULL,
                             error));
    if (c->config->data.latent_variants == 0) return MZT_OK;
    TRY(cache(t, error));
    latent_encoder_destroy(&t->encoder);
    return MZT_OK;
}
