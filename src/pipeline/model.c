/* Opening a model folder; see model.h. */
#include "pipeline/model.h"

#include "base/file.h"

/* Fills a configuration from the root of its file. */
typedef mzt_status config_reader(json_value root, void *config, mzt_error *error);

static mzt_status read_unet(json_value root, void *config, mzt_error *error) {
    return unet_config_read(root, config, error);
}

static mzt_status read_vae(json_value root, void *config, mzt_error *error) {
    return vae_config_read(root, config, error);
}

static mzt_status read_clip(json_value root, void *config, mzt_error *error) {
    return clip_config_read(root, config, error);
}

static mzt_status read_sampler(json_value root, void *config, mzt_error *error) {
    return sampler_config_parse(root, config, error);
}

static mzt_status read_config(const base_host *host, const char *folder, const char *name,
                              config_reader *reader, void *config, mzt_error *error) {
    char *path = path_join(host, folder, name);
    if (!path) return error_memory(error, folder, 0);
    json_doc *doc = NULL;
    mzt_status status = json_read(host, path, &doc, error);
    if (status >= 0) status = reader(json_root(doc), config, error);
    json_destroy(doc);
    host_free(host, path);
    return status;
}

static mzt_status open_network(model *m, model_component part, config_reader *reader, void *config,
                               mzt_error *error) {
    const char *folder = m->index.components[part].path;
    if (!folder) return MZT_OK;
    TRY(read_config(m->host, folder, "config.json", reader, config, error));
    return weights_open(m->host, folder, &m->weights[part], error);
}

static mzt_status open_scheduler(model *m, mzt_error *error) {
    const char *folder = m->index.components[MODEL_SCHEDULER].path;
    m->sampler = sampler_config_default(SAMPLER_EULER);
    if (folder) TRY(read_config(m->host, folder, "scheduler_config.json", read_sampler, &m->sampler, error));
    m->sampler.sdxl = m->index.xl;
    return MZT_OK;
}

/* Tokenizers may be missing: token ids can be given instead. */
static mzt_status open_tokenizers(model *m, mzt_error *error) {
    for (int i = 0; i < 2; i++) {
        const char *folder = m->index.components[i ? MODEL_TOKENIZER_2 : MODEL_TOKENIZER].path;
        if (folder && file_exists(folder)) TRY(bpe_load(m->host, folder, NULL, &m->tokenizer[i], error));
    }
    return MZT_OK;
}

mzt_status model_open(const base_host *host, const char *path, model **out, mzt_error *error) {
    *out = NULL;
    model *m = host_calloc(host, 1, sizeof *m);
    if (!m) return error_memory(error, "model", sizeof *m);
    m->host = host;
    mzt_status status = model_index_read(host, path, &m->index, error);
    m->path = m->index.folder;
    if (status >= 0) status = open_network(m, MODEL_UNET, read_unet, &m->unet, error);
    if (status >= 0) status = open_network(m, MODEL_VAE, read_vae, &m->vae, error);
    if (status >= 0) status = open_network(m, MODEL_TEXT_ENCODER, read_clip, &m->text[0], error);
    if (status >= 0) status = open_network(m, MODEL_TEXT_ENCODER_2, read_clip, &m->text[1], error);
    if (status >= 0) status = open_scheduler(m, error);
    if (status >= 0) status = open_tokenizers(m, error);
    if (status < 0)
        model_close(m);
    else
        *out = m;
    return status;
}

void model_close(model *m) {
    if (!m) return;
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++)
        weights_close(m->weights[i]);
    for (int i = 0; i < 2; i++)
        bpe_destroy(m->tokenizer[i]);
    model_index_destroy(&m->index);
    host_free(m->host, m);
}

bool model_vae_has(const void *user, const char *name) {
    const model *m = user;
    return weights_find(m->weights[MODEL_VAE], name) != NULL;
}
