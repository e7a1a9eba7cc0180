/* A whole model folder; see synthetic.h. */
#include "model/presets.h"
#include "synthetic.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

#define COPY_LIMIT (256u << 20) /* bytes of a copied file */

typedef struct folder_copy {
    const base_host *host;
    const char *source, *target;
    bool preset; /* the source is a preset, whatever folders there are */
} folder_copy;

/* Copies source/path to target/path; a preset's files come out of its table. */
static mzt_status copy_file(const folder_copy *c, const char *path, mzt_error *error) {
    const char *text = c->preset ? model_preset_file(c->source, path) : NULL;
    char *from = path_join(c->host, c->source, path), *to = path_join(c->host, c->target, path), *data = NULL;
    uint64_t size = text ? strlen(text) : 0;
    mzt_status status = from && to ? MZT_OK : error_memory(error, path, 0);
    if (status >= 0 && c->preset && !text)
        status = error_set(error, MZT_ERROR_NOT_FOUND, "preset %s has no %s", c->source, path);
    if (status >= 0 && !c->preset) status = file_read(c->host, from, COPY_LIMIT, &data, &size, error);
    if (status >= 0) status = file_write(c->host, to, c->preset ? text : data, size, error);
    host_free(c->host, from);
    host_free(c->host, to);
    host_free(c->host, data);
    return status;
}

/* Copies the component's weights if the source has some; *copied says so. */
static mzt_status copy_weights(const folder_copy *c, const char *component, bool *copied, mzt_error *error) {
    static const char *const names[] = {"model.safetensors", "diffusion_pytorch_model.safetensors"};
    *copied = false;
    for (int i = 0; i < 2 && !c->preset && !*copied; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/%s", component, names[i]);
        char *from = path_join(c->host, c->source, path);
        if (!from) return error_memory(error, path, 0);
        *copied = file_exists(from);
        host_free(c->host, from);
        if (*copied) TRY(copy_file(c, path, error));
    }
    return MZT_OK;
}

static mzt_status write_component(const folder_copy *c, model_component component, const char *folder,
                                  const synthetic_options *options, mzt_error *error) {
    const char *name = model_component_name(component);
    char path[80];
    bool copied;
    TRY(folder_create(c->host, folder, error));
    if (component == MODEL_TOKENIZER || component == MODEL_TOKENIZER_2)
        return synthetic_tokenizer_write(c->host, folder, error);
    snprintf(path, sizeof path, "%s/%s", name,
             component == MODEL_SCHEDULER ? "scheduler_config.json" : "config.json");
    TRY(copy_file(c, path, error));
    if (component == MODEL_SCHEDULER || (options->components && !(options->components >> component & 1)))
        return MZT_OK;
    TRY(copy_weights(c, name, &copied, error));
    return copied ? MZT_OK : synthetic_weights_write(c->host, component, folder, options, error);
}

mzt_status synthetic_model_write(const base_host *host, const char *source, const char *folder,
                                 const synthetic_options *options, mzt_error *error) {
    const bool preset = model_preset_file(source, "model_index.json") != NULL;
    const folder_copy copy = {host, source, folder, preset};
    if (!preset && !file_exists(source))
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s: neither a preset (%s) nor a folder", source,
                         model_preset_names());
    model_index index = {0};
    TRY(folder_create(host, folder, error));
    TRY(copy_file(&copy, "model_index.json", error));
    mzt_status status = model_index_read(host, folder, &index, error);
    for (int i = 0; status >= 0 && i < MODEL_COMPONENT_COUNT; i++)
        if (index.components[i].path)
            status = write_component(&copy, (model_component)i, index.components[i].path, options, error);
    model_index_destroy(&index);
    return status;
}
