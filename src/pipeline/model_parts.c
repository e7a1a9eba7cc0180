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

/* Two sets as one. */
typedef struct pair {
    const base_host *host;
    weights_set *sets[2];
    weights_tensor *tensors;
} pair;

static void pair_close(void *user) {
    pair *p = user;
    for (int i = 0; i < 2; i++)
        weights_close(p->sets[i]);
    host_free(p->host, p->tensors);
    host_free(p->host, p);
}

/* Takes both over. */
static mzt_status join(const base_host *host, weights_set *a, weights_set *b, weights_set **out,
                       mzt_error *error) {
    const uint32_t counts[2] = {weights_count(a), weights_count(b)};
    pair *p = host_calloc(host, 1, sizeof *p);
    weights_tensor *tensors = host_calloc(host, (size_t)counts[0] + counts[1], sizeof *tensors);
    if (!p || !tensors) {
        host_free(host, p);
        host_free(host, tensors);
        weights_close(a);
        weights_close(b);
        return error_memory(error, "autoencoder", counts[0] * sizeof *tensors);
    }
    *p = (pair){host, {a, b}, tensors};
    for (uint32_t i = 0; i < counts[0] + counts[1]; i++)
        tensors[i] = i < counts[0] ? *weights_at(a, i) : *weights_at(b, i - counts[0]);
    const weights_source source = {
        .tensors = tensors, .count = counts[0] + counts[1], .close = pair_close, .user = p};
    return weights_create(host, weights_name(a), &source, out, error);
}

/* The path of a tiny decoder's encoder: its own with "encoder" in the file's name; NULL where there is none.
 */
static char *encoder_beside(const base_host *host, const char *path) {
    const char *slash = strrchr(path, '/'), *at = strstr(slash ? slash : path, "decoder");
    char *other = at ? host_strdup(host, path) : NULL;
    if (!other) return NULL;
    memcpy(other + (at - path), "encoder", 7);
    if (file_exists(other)) return other;
    host_free(host, other);
    return NULL;
}

/* Files of TAESD hold one half each. */
static mzt_status add_encoder(model *m, const char *path, mzt_error *error) {
    char *other = encoder_beside(m->host, path);
    checkpoint c;
    if (!other) return MZT_OK;
    mzt_status status = checkpoint_open(m->host, other, &c, error);
    host_free(m->host, other);
    if (status >= 0) status = model_keep_file(m, &c, error);
    if (status < 0 || !c.parts[MODEL_VAE].found || c.parts[MODEL_VAE].layout != CHECKPOINT_TAESD)
        return status;
    weights_set *encoder, *decoder = m->weights[MODEL_VAE];
    TRY(checkpoint_view(&c, MODEL_VAE, &encoder, error));
    m->weights[MODEL_VAE] = NULL;
    TRY(join(m->host, decoder, encoder, &m->weights[MODEL_VAE], error));
    return vae_config_detect(m->weights[MODEL_VAE], m->index.xl, &m->vae, error);
}

static mzt_status replace_vae(model *m, const char *path, mzt_error *error) {
    if (has_config(m->host, path)) return take_folder(m, path, MODEL_VAE, error);
    checkpoint c;
    TRY(checkpoint_open(m->host, path, &c, error));
    TRY(model_keep_file(m, &c, error));
    if (!c.parts[MODEL_VAE].found)
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s holds no autoencoder", path);
    TRY(model_take_part(m, &c, MODEL_VAE, error));
    return c.parts[MODEL_VAE].layout == CHECKPOINT_TAESD ? add_encoder(m, path, error) : MZT_OK;
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
