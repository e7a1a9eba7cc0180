/* Opening a model folder; see model.h. */
#include "pipeline/model.h"

#include <string.h>

#include "base/file.h"

enum { CONFIG_LIMIT = 1 << 22 }; /* bytes of a config file */

/* Reads <component folder>/config.json with one of the config readers below. */
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

static mzt_status open_network(model *m, model_component part, config_reader *reader, void *config, mzt_error *error) {
    const char *folder = m->index.components[part].path;
    if (!folder) return MZT_OK;
    char *path = path_join(m->host, folder, "config.json");
    if (!path) return error_memory(error, folder, 0);
    json_doc *doc = NULL;
    mzt_status status = json_read(m->host, path, &doc, error);
    if (status >= 0) status = reader(json_root(doc), config, error);
    json_destroy(doc);
    host_free(m->host, path);
    if (status >= 0) status = weights_open(m->host, folder, &m->weights[part], error);
    return status;
}

static mzt_status open_scheduler(model *m, mzt_error *error) {
    const char *folder = m->index.components[MODEL_SCHEDULER].path;
    m->sampler = sampler_config_default(SAMPLER_EULER);
    if (!folder) return MZT_OK;
    char *path = path_join(m->host, folder, "scheduler_config.json"), *text = NULL;
    uint64_t size;
    if (!path) return error_memory(error, folder, 0);
    mzt_status status = file_read(m->host, path, CONFIG_LIMIT, &text, &size, error);
    if (status >= 0) {
        status = sampler_config_parse(m->host, text, size, &m->sampler, error);
        if (status < 0) error_prefix(error, "%s: ", path);
        host_free(m->host, text);
    }
    m->sampler.sdxl = m->index.xl;
    host_free(m->host, path);
    return status;
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
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++) weights_close(m->weights[i]);
    for (int i = 0; i < 2; i++) bpe_destroy(m->tokenizer[i]);
    model_index_destroy(&m->index);
    host_free(m->host, m);
}

bool model_vae_has(const void *user, const char *name) {
    const model *m = user;
    return weights_find(m->weights[MODEL_VAE], name) != NULL;
}
