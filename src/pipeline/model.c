/* Opening a model; see model.h. */
#include "pipeline/model.h"

#include <string.h>

#include "base/file.h"
#include "pipeline/part.h"
#include "pipeline/embedding.h"
#include "pipeline/model_internal.h"
#include "weights/lora.h"

static mzt_status read_unet(json_value root, void *config, mzt_error *error) {
    return unet_config_read(root, config, error);
}

mzt_status model_read_vae(json_value root, void *config, mzt_error *error) {
    return vae_config_read(root, config, error);
}

mzt_status model_read_clip(json_value root, void *config, mzt_error *error) {
    return clip_config_read(root, config, error);
}

mzt_status model_read_sampler(json_value root, void *config, mzt_error *error) {
    return sampler_config_parse(root, config, error);
}

mzt_status model_read_config(const base_host *host, const char *folder, const char *name,
                             model_config_reader *reader, void *config, mzt_error *error) {
    char *path = path_join(host, folder, name);
    if (!path) return error_memory(error, folder, 0);
    json_doc *doc = NULL;
    mzt_status status = json_read(host, path, &doc, error);
    if (status >= 0) status = reader(json_root(doc), config, error);
    json_destroy(doc);
    host_free(host, path);
    return status;
}

static mzt_status open_network(model *m, model_component part, model_config_reader *reader, void *config,
                               mzt_error *error) {
    const char *folder = m->index.components[part].path;
    if (!folder) return MZT_OK;
    TRY(model_read_config(m->host, folder, "config.json", reader, config, error));
    return weights_open(m->host, folder, &m->weights[part], error);
}

static mzt_status open_scheduler(model *m, mzt_error *error) {
    const char *folder = m->index.components[MODEL_SCHEDULER].path;
    m->sampler = sampler_config_default(SAMPLER_EULER);
    if (folder)
        TRY(model_read_config(m->host, folder, "scheduler_config.json", model_read_sampler, &m->sampler,
                              error));
    m->sampler.sdxl = m->index.xl;
    return MZT_OK;
}

static mzt_status open_folder(model *m, const char *path, mzt_error *error) {
    TRY(model_index_read(m->host, path, &m->index, error));
    m->path = m->index.folder;
    TRY(open_network(m, MODEL_UNET, read_unet, &m->unet, error));
    TRY(open_network(m, MODEL_VAE, model_read_vae, &m->vae, error));
    TRY(open_network(m, MODEL_TEXT_ENCODER, model_read_clip, &m->text[0], error));
    TRY(open_network(m, MODEL_TEXT_ENCODER_2, model_read_clip, &m->text[1], error));
    return open_scheduler(m, error);
}

mzt_status model_open_with(const base_host *host, const char *path, const model_options *options, model **out,
                           mzt_error *error) {
    static const model_options nothing = {.vae = NULL};
    *out = NULL;
    if (!options) options = &nothing;
    model *m = host_calloc(host, 1, sizeof *m);
    if (!m) return error_memory(error, "model", sizeof *m);
    m->host = host;
    m->begin_part = part_begin;
    m->estimate_part = part_estimate;
    m->close = model_close;
    m->stored = options->stored;
    mzt_status status = MZT_OK;
    char *inside = path_join(host, path, "."); /* exists for folders only */
    if (!inside) status = error_memory(error, path, strlen(path));
    if (status >= 0)
        status = host_file_exists(host, path) && !host_file_exists(host, inside) ? model_open_file(m, path, options, error)
                                                           : open_folder(m, path, error);
    host_free(host, inside);
    if (status >= 0) status = model_replace_parts(m, options, error);
    if (status >= 0) status = model_open_tokenizers(m, options, error);
    if (status >= 0) status = model_add_embeddings(m, options->embeddings, options->embedding_count, error);
    if (status >= 0 && options->complete) status = model_check_complete(m, error);
    if (status < 0) {
        model_close(m);
        return status;
    }
    model_summarise(m);
    *out = m;
    return MZT_OK;
}

mzt_status model_open(const base_host *host, const char *path, model **out, mzt_error *error) {
    return model_open_with(host, path, NULL, out, error);
}

void model_close(model *m) {
    if (!m) return;
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++)
        weights_close(m->weights[i]);
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++)
        weights_close(m->unchanged[i]);
    for (int i = 0; i < 2; i++)
        embedding_rows_destroy(m->host, m->embeddings[i]);
    for (uint32_t i = 0; i < m->file_count; i++)
        weights_close(m->files[i]);
    lora_stack_destroy(m->loras);
    known_words_destroy(m->words);
    for (int i = 0; i < 2; i++)
        bpe_destroy(m->tokenizer[i]);
    model_index_destroy(&m->index);
    host_free(m->host, m);
}

bool model_vae_has(const void *user, const char *name) {
    const model *m = user;
    return weights_find(m->weights[MODEL_VAE], name) != NULL;
}
