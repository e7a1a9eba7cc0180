/* What a denoiser's training begins from: an autoencoder, or a whole model, whose networks, tokenizer and
 * noise schedule are then taken where the configuration does not name its own. */
#include <string.h>

#include "base/file.h"
#include "pipeline/model_lora.h"
#include "train/denoiser_internal.h"
#include "train/lora.h"

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* A folder with model_index.json, or a file. */
static bool is_whole_model(const base_host *host, const char *path) {
    if (ends_with(path, ".safetensors") || ends_with(path, ".gguf")) return true;
    char *index = path_join(host, path, "model_index.json");
    const bool found = index && file_exists(index);
    host_free(host, index);
    return found;
}

/* COMPONENT/config.json of the model; *text stays NULL where it is not made of folders. */
static mzt_status read_json(const model *m, model_component part, char **text, mzt_error *error) {
    const char *folder = m->index.components[part].path;
    char *path = folder ? path_join(m->host, folder, "config.json") : NULL;
    uint64_t size;
    if (!folder) return MZT_OK;
    if (!path) return error_memory(error, folder, 0);
    mzt_status status = file_exists(path) ? file_read(m->host, path, 1u << 24, text, &size, error) : MZT_OK;
    host_free(m->host, path);
    return status;
}

/* ----------------------------------------------------------------------------------------------- noise
 * schedule -- */

static train_objective objective_of(const model *m) {
    static const train_objective by_prediction[] = {[PREDICTION_EPSILON] = OBJECTIVE_EPSILON,
                                                    [PREDICTION_V] = OBJECTIVE_V,
                                                    [PREDICTION_SAMPLE] = OBJECTIVE_SAMPLE,
                                                    [PREDICTION_FLOW] = OBJECTIVE_FLOW};
    return by_prediction[m->sampler.prediction];
}

/* Objective and noise levels of the model, where the configuration says nothing of them. */
static mzt_status adopt_process(denoiser_task *t, mzt_error *error) {
    static const char *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2", NULL};
    const sampler_config *s = &t->init->sampler;
    denoiser_config *d = &t->config.denoiser;
    if (!d->objective_given) d->objective = objective_of(t->init);
    if (d->schedule_given) return MZT_OK;
    if (s->prediction != PREDICTION_FLOW && s->betas == BETAS_TRAINED)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "%s: its scheduler lists trained_betas: name denoiser.beta_schedule", t->init->path);
    d->train_steps = s->train_steps;
    if (s->betas != BETAS_TRAINED) strcpy(d->betas, betas[s->betas]);
    d->beta_start = s->beta_start;
    d->beta_end = s->beta_end;
    d->zero_snr = s->zero_snr;
    d->shift = s->shift;
    return MZT_OK;
}

/* -----------------------------------------------------------------------------------------------------
 * networks -- */

/* Networks of the model; a configuration without networks trains these. */
static mzt_status adopt_networks(denoiser_task *t, mzt_error *error) {
    const model *m = t->init;
    train_config *c = &t->config;
    if (!m || !m->weights[MODEL_UNET] || !m->weights[MODEL_TEXT_ENCODER])
        return error_set(
            error, MZT_ERROR_INVALID,
            "the configuration has no \"unet\" and \"text_encoder\": --init must be a whole model then");
    if (model_is_xl(m))
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: models with two text encoders cannot be trained",
                         m->path);
    if (!m->tokenizer[0]) return model_no_tokenizer(m, 0, error);
    TRY(train_config_check_unet(&m->unet, m->path, error));
    c->unet = m->unet;
    TRY(adopt_process(t, error));
    const uint32_t own = bpe_max_length(m->tokenizer[0]); /* texts are padded to the same when generating */
    c->denoiser.max_length = own < m->text[0].positions ? own : m->text[0].positions;
    TRY(read_json(m, MODEL_UNET, &t->init_unet, error));
    TRY(read_json(m, MODEL_TEXT_ENCODER, &t->init_text, error));
    c->unet_json = t->init_unet;
    c->text_json = t->init_text;
    if (c->lora.rank || (c->unet_json && c->text_json)) return MZT_OK;
    return error_set(
        error, MZT_ERROR_UNSUPPORTED,
        "%s: all of a model can be trained where it is a folder of networks; for this one use --lora",
        m->path);
}

/* The model that is resumed has it all. Adapters, though, need the model below them. */
mzt_status denoiser_open_models(denoiser_task *t, mzt_error *error) {
    const train_context *c = &t->context;
    const bool lora = t->config.lora.rank > 0;
    const char *folder = c->resume && !lora ? c->resume : c->init;
    if (!folder && lora)
        return error_set(error, MZT_ERROR_INVALID,
                         "adapters are trained for a model: name it with --init (with --resume, too)");
    if (!folder)
        return error_set(
            error, MZT_ERROR_INVALID,
            "a denoiser is trained on the latents of an autoencoder: name its folder with --init");
    if (is_whole_model(c->host, folder)) TRY(model_open(c->host, folder, &t->init, error));
    if (lora && !t->init)
        return error_set(
            error, MZT_ERROR_INVALID,
            "%s: adapters are trained for a whole model: expected a folder with model_index.json, or "
            "a single-file checkpoint",
            folder);
    if (t->init && t->init->weights[MODEL_VAE])
        t->autoencoder = t->init;
    else
        TRY(latents_open_autoencoder(c->host, folder, &t->autoencoder, error));
    if (!t->config.unet_json || lora) TRY(adopt_networks(t, error));
    if (t->init && t->config.denoiser.objective != objective_of(t->init))
        host_log(c->host, MZT_LOG_WARNING,
                 "%s was trained for another objective than denoiser.objective: its UNet has to learn anew",
                 folder);
    t->config.data.augment.channels = t->autoencoder->vae.in_channels;
    if (t->autoencoder->vae.latent_channels == t->config.unet.in_channels) return MZT_OK;
    return error_set(error, MZT_ERROR_INVALID, "%s: vae has latent_channels %u, unet.in_channels is %u",
                     folder, (unsigned)t->autoencoder->vae.latent_channels,
                     (unsigned)t->config.unet.in_channels);
}

mzt_status denoiser_open_checkpoint(const denoiser_task *t, const char *checkpoint, model **out,
                                    mzt_error *error) {
    const base_host *host = t->context.host;
    if (t->config.lora.rank == 0) return model_open(host, checkpoint, out, error);
    char *file = path_join(host, checkpoint, TRAIN_LORA_FILE);
    if (!file) return error_memory(error, checkpoint, 0);
    const model_lora lora = {.path = file, .scale = 1};
    mzt_status status = model_open(host, t->context.init, out, error);
    if (status >= 0) status = model_apply_loras(*out, &lora, 1, error);
    host_free(host, file);
    if (status < 0) {
        model_close(*out);
        *out = NULL;
    }
    return status;
}
