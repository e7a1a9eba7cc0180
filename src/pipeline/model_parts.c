/* Parts of a model from files of their own; see model.h. */
#include <string.h>

#include "base/file.h"
#include "model/detect.h"
#include "pipeline/model_internal.h"

mzt_status model_keep_file(model *m, checkpoint *c, mzt_error *error) {
    if (m->file_count == MODEL_FILES) {
        checkpoint_close(c);
        return error_set(error, MZT_ERROR_INVALID, "%s: more than %d files", m->path, MODEL_FILES);
    }
    m->files[m->file_count++] = c->file;
    return MZT_OK;
}

static mzt_status detect(model *m, const checkpoint *c, model_component component, const weights_set *set,
                         mzt_error *error) {
    const bool open_clip = c->parts[component].layout == CHECKPOINT_OPEN_CLIP;
    switch (component) {
    case MODEL_UNET:
        return unet_config_detect(set, &m->unet, error);
    case MODEL_VAE:
        return vae_config_detect(set, m->index.xl, &m->vae, error);
    case MODEL_TEXT_ENCODER:
        return clip_config_detect(set, open_clip, false, &m->text[0], error);
    case MODEL_TEXT_ENCODER_2:
        return clip_config_detect(set, open_clip, true, &m->text[1], error);
    default:
        return error_set(error, MZT_ERROR_INTERNAL, "%s has no tensors", model_component_name(component));
    }
}

mzt_status model_take_part(model *m, const checkpoint *c, model_component component, mzt_error *error) {
    weights_set *set;
    TRY(checkpoint_view(c, component, &set, error));
    weights_close(m->weights[component]);
    m->weights[component] = set;
    return detect(m, c, component, set, error);
}

/* A component folder as diffusers writes it, with its own configuration. */
static mzt_status take_folder(model *m, const char *folder, model_component component, mzt_error *error) {
    weights_set *set;
    if (component == MODEL_VAE)
        TRY(model_read_config(m->host, folder, "config.json", model_read_vae, &m->vae, error));
    else
        TRY(model_read_config(m->host, folder, "config.json", model_read_clip,
                              &m->text[component == MODEL_TEXT_ENCODER_2], error));
    TRY(weights_open(m->host, folder, &set, error));
    weights_close(m->weights[component]);
    m->weights[component] = set;
    return MZT_OK;
}

static bool has_config(const base_host *host, const char *path) {
    char *config = path_join(host, path, "config.json");
    const bool there = config && host_file_exists(host, config);
    host_free(host, config);
    return there;
}

static mzt_status replace_vae(model *m, const char *path, mzt_error *error) {
    if (has_config(m->host, path)) return take_folder(m, path, MODEL_VAE, error);
    checkpoint c;
    TRY(checkpoint_open(m->host, path, &c, error));
    TRY(model_keep_file(m, &c, error));
    if (!c.parts[MODEL_VAE].found)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s holds no autoencoder", path);
    return model_take_part(m, &c, MODEL_VAE, error);
}

/* Which of the two encoders a folder is for: the one with a projection is XL's second. */
static mzt_status replace_text_folder(model *m, const char *folder, mzt_error *error) {
    clip_config config;
    TRY(model_read_config(m->host, folder, "config.json", model_read_clip, &config, error));
    return take_folder(m, folder,
                       m->index.xl && config.projection ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER, error);
}

static mzt_status replace_text_encoder(model *m, const char *path, mzt_error *error) {
    if (has_config(m->host, path)) return replace_text_folder(m, path, error);
    checkpoint c;
    bool any = false;
    TRY(checkpoint_open(m->host, path, &c, error));
    TRY(model_keep_file(m, &c, error));
    for (int i = 0; i < 2; i++) {
        const model_component component = i ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER;
        if (!c.parts[component].found) continue;
        if (i && !m->index.xl)
            return error_set(error, MZT_ERROR_INVALID,
                             "%s is Stable Diffusion XL's second text encoder, which %s does not take", path,
                             m->path);
        TRY(model_take_part(m, &c, component, error));
        any = true;
    }
    return any ? MZT_OK : error_set(error, MZT_ERROR_UNSUPPORTED, "%s holds no text encoder", path);
}

static mzt_status replace_prediction(model *m, const char *text, mzt_error *error) {
    const bool v = strcmp(text, "v") == 0;
    if (!v && strcmp(text, "epsilon") != 0)
        return error_set(error, MZT_ERROR_INVALID, "unknown prediction '%s': expected epsilon or v", text);
    m->sampler.prediction = v ? PREDICTION_V : PREDICTION_EPSILON;
    return MZT_OK;
}

mzt_status model_replace_parts(model *m, const model_options *options, mzt_error *error) {
    if (options->vae) TRY(replace_vae(m, options->vae, error));
    for (int i = 0; i < 2; i++)
        if (options->text_encoders[i]) TRY(replace_text_encoder(m, options->text_encoders[i], error));
    return options->prediction ? replace_prediction(m, options->prediction, error) : MZT_OK;
}

mzt_status model_check_complete(const model *m, mzt_error *error) {
    if (!m->weights[MODEL_VAE])
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s holds no autoencoder: give one with --vae FILE",
                         m->path);
    for (int i = 0; i < 2; i++) {
        if (m->weights[i ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER] || (i && !m->index.xl)) continue;
        return error_set(error, MZT_ERROR_NOT_FOUND,
                         "%s holds no text encoder%s: give one with --text-encoder FILE", m->path,
                         !m->index.xl ? ""
                         : i          ? " of the second kind (OpenCLIP ViT-bigG)"
                                      : " of the first kind (CLIP ViT-L)");
    }
    return MZT_OK;
}
