/* Reading the configuration of a training run; see config.h. */
#include "train/config.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "train/json_keys.h"
#include "train/words.h"

#define PI 3.14159265358979323846

/* ------------------------------------------------------------------------------------------------- sections
 * -- */

static mzt_status read_strings(const base_host *host, json_value list, uint32_t most, char ***out,
                               uint32_t *count, mzt_error *error) {
    const uint32_t wanted = json_count(list);
    if (wanted == 0) return MZT_OK;
    if (wanted > most)
        return json_error(list, error, MZT_ERROR_INVALID, "%u entries: expected at most %u", (unsigned)wanted,
                          (unsigned)most);
    *out = host_calloc(host, wanted, sizeof **out);
    if (!*out) return error_memory(error, "configuration", wanted * sizeof **out);
    for (json_value v = json_first(list); v.item; v = json_next(v)) {
        const char *text;
        TRY(json_as_string(v, &text, error));
        (*out)[*count] = host_strdup(host, text);
        if (!(*out)[*count]) return error_memory(error, "configuration", strlen(text));
        ++*count;
    }
    return MZT_OK;
}

static mzt_status read_styles(const base_host *host, json_value object, data_config *data, mzt_error *error) {
    const uint32_t count = json_count(object);
    if (count == 0) return MZT_OK;
    data->style_names = host_calloc(host, count, sizeof *data->style_names);
    data->style_words = host_calloc(host, count, sizeof *data->style_words);
    if (!data->style_names || !data->style_words) return error_memory(error, "configuration", count * 16);
    for (json_value v = json_first(object); v.item; v = json_next(v)) {
        const char *text;
        TRY(json_as_string(v, &text, error));
        const uint32_t i = data->style_count++;
        data->style_names[i] = host_strdup(host, json_key(v));
        data->style_words[i] = host_strdup(host, text);
        if (!data->style_names[i] || !data->style_words[i])
            return error_memory(error, "configuration", strlen(text));
    }
    return MZT_OK;
}

static mzt_status read_augmentation(json_value object, augment_options *a, mzt_error *error) {
    json_value list;
    TRY(json_get_range(object, "shift", 0, 0.5, 0, &a->shift, error));
    TRY(json_get_range(object, "flip", 0, 1, 0, &a->flip, error));
    TRY(json_get_range(object, "hue", 0, 1, 0, &a->hue, error));
    a->scale_low = a->scale_high = 1;
    TRY(json_get_array(object, "scale", &list, error));
    if (list.item) {
        if (json_count(list) != 2)
            return json_error(list, error, MZT_ERROR_INVALID, "expected [smallest, largest]");
        TRY(json_as_double(json_first(list), &a->scale_low, error));
        TRY(json_as_double(json_next(json_first(list)), &a->scale_high, error));
        if (!(a->scale_low >= 0.25 && a->scale_low <= a->scale_high && a->scale_high <= 4))
            return json_error(list, error, MZT_ERROR_INVALID, "expected 0.25 <= smallest <= largest <= 4");
    }
    int64_t background[3] = {255, 255, 255};
    uint32_t count = 0;
    TRY(json_get_ints(object, "background", 0, 255, background, 3, &count, error));
    if (count != 0 && count != 3)
        return json_error(json_get(object, "background"), error, MZT_ERROR_INVALID,
                          "expected [red, green, blue]");
    for (int i = 0; i < 3; i++)
        a->background[i] = (uint8_t)background[i];
    return MZT_OK;
}

static mzt_status read_data(train_config *c, json_value object, mzt_error *error) {
    static const char *const known[] = {"shift",      "scale",           "flip",     "hue",
                                        "background", "caption_dropout", "captions", "held_out",
                                        "exclude",    "styles",          "threads",  "latent_variants",
                                        NULL};
    static const char *const captions[] = {"varied", "plain", NULL};
    data_config *d = &c->data;
    json_value list;
    uint32_t choice;
    TRY(json_only_keys(object, known, error));
    TRY(read_augmentation(object, &d->augment, error));
    TRY(json_get_range(object, "caption_dropout", 0, 1, c->kind == TRAIN_DENOISER ? 0.1 : 0,
                       &d->caption_dropout, error));
    TRY(json_get_range(object, "held_out", 0, 0.9, 0.02, &d->held_out, error));
    TRY(json_get_u32(object, "threads", 0, 256, 0, &d->threads, error));
    TRY(json_get_u32(object, "latent_variants", 0, 1024, 0, &d->latent_variants, error));
    TRY(json_get_choice(object, "captions", captions, 0, &choice, error));
    d->exact_captions = choice == 1;
    if (d->exact_captions && (d->augment.hue > 0 || d->augment.flip > 0))
        return json_error(object, error, MZT_ERROR_INVALID,
                          "captions \"plain\" cannot tell of a changed hue or of mirroring");
    TRY(json_get_object(object, "styles", &list, error));
    TRY(read_styles(c->host, list, d, error));
    TRY(json_get_array(object, "exclude", &list, error));
    for (json_value v = json_first(list); v.item; v = json_next(v)) {
        const char *text;
        TRY(json_as_string(v, &text, error));
        TRY(exclude_add(&c->exclude, text, error));
    }
    return MZT_OK;
}

static mzt_status read_optimizer(json_value object, optimizer_config *o, mzt_error *error) {
    static const char *const known[] = {"learning_rate",
                                        "final",
                                        "warmup",
                                        "steps",
                                        "schedule",
                                        "weight_decay",
                                        "beta1",
                                        "beta2",
                                        "epsilon",
                                        "max_norm",
                                        "ema",
                                        "accumulate",
                                        "loss_scale",
                                        "loss_scale_steps",
                                        NULL};
    static const char *const schedules[] = {"constant", "linear", "cosine", NULL};
    uint32_t schedule;
    TRY(json_only_keys(object, known, error));
    TRY(json_get_range(object, "learning_rate", 0, 10, 1e-3, &o->learning_rate, error));
    TRY(json_get_range(object, "final", 0, 1, 0.05, &o->final, error));
    TRY(json_get_u32(object, "warmup", 0, 1u << 30, 100, &o->warmup, error));
    TRY(json_get_u32(object, "steps", 1, 1u << 30, 10000, &o->steps, error));
    TRY(json_get_choice(object, "schedule", schedules, LEARNING_COSINE, &schedule, error));
    o->schedule = (train_schedule)schedule;
    TRY(json_get_range(object, "weight_decay", 0, 10, 0.01, &o->weight_decay, error));
    TRY(json_get_range(object, "beta1", 0, 0.9999, 0.9, &o->beta1, error));
    TRY(json_get_range(object, "beta2", 0, 0.99999, 0.99, &o->beta2, error));
    TRY(json_get_range(object, "epsilon", 1e-30, 1, 1e-8, &o->epsilon, error));
    TRY(json_get_range(object, "max_norm", 0, 1e9, 1, &o->max_norm, error));
    TRY(json_get_range(object, "ema", 0, 0.999999, 0.999, &o->ema, error));
    TRY(json_get_u32(object, "accumulate", 1, 65536, 1, &o->accumulate, error));
    TRY(json_get_range(object, "loss_scale", LOSS_SCALE_LEAST, LOSS_SCALE_MOST, 65536, &o->loss_scale,
                       error));
    return json_get_u32(object, "loss_scale_steps", 1, 1u << 24, 1000, &o->loss_scale_steps, error);
}

static mzt_status read_log(train_config *c, json_value object, mzt_error *error) {
    static const char *const known[] = {"checkpoint_minutes",
                                        "checkpoint_steps",
                                        "sample_minutes",
                                        "line_seconds",
                                        "validation_pictures",
                                        "prompts",
                                        "sample_steps",
                                        "guidance",
                                        NULL};
    log_config *l = &c->log;
    json_value list;
    TRY(json_only_keys(object, known, error));
    TRY(json_get_range(object, "checkpoint_minutes", 0, 1e6, 10, &l->checkpoint_minutes, error));
    TRY(json_get_u32(object, "checkpoint_steps", 0, 1u << 30, 0, &l->checkpoint_steps, error));
    TRY(json_get_range(object, "sample_minutes", 0, 1e6, 10, &l->sample_minutes, error));
    TRY(json_get_range(object, "line_seconds", 0, 1e6, 5, &l->line_seconds, error));
    TRY(json_get_u32(object, "validation_pictures", 0, 1u << 20, 64, &l->validation_pictures, error));
    TRY(json_get_u32(object, "sample_steps", 1, 1000, 25, &l->sample_steps, error));
    TRY(json_get_range(object, "guidance", 0, 100, 3, &l->guidance, error));
    TRY(json_get_array(object, "prompts", &list, error));
    return read_strings(c->host, list, TRAIN_PROMPTS_MAX, &l->prompts, &l->prompt_count, error);
}

static mzt_status read_denoiser(json_value object, denoiser_config *d, mzt_error *error) {
    static const char *const known[] = {"objective",   "min_snr_gamma", "logit_mean", "logit_std",
                                        "train_steps", "beta_schedule", "beta_start", "beta_end",
                                        "shift",       "zero_snr",      "vocabulary", "max_length",
                                        NULL};
    static const char *const objectives[] = {"epsilon", "v", "x0", "flow", NULL};
    static const char *const betas[] = {"scaled_linear", "linear", "squaredcos_cap_v2", NULL};
    uint32_t choice;
    TRY(json_only_keys(object, known, error));
    static const char *const schedule[] = {"train_steps", "beta_schedule", "beta_start",
                                           "beta_end",    "shift",         "zero_snr"};
    d->objective_given = json_given(json_get(object, "objective"));
    for (size_t i = 0; i < sizeof schedule / sizeof *schedule; i++)
        d->schedule_given |= json_given(json_get(object, schedule[i]));
    TRY(json_get_choice(object, "objective", objectives, OBJECTIVE_V, &choice, error));
    d->objective = (train_objective)choice;
    TRY(json_get_choice(object, "beta_schedule", betas, 0, &choice, error));
    memcpy(d->betas, betas[choice], strlen(betas[choice]) + 1);
    TRY(json_get_range(object, "min_snr_gamma", 0, 1e6, 5, &d->gamma, error));
    TRY(json_get_range(object, "logit_mean", -10, 10, 0, &d->logit_mean, error));
    TRY(json_get_range(object, "logit_std", 0, 10, 1, &d->logit_std, error));
    TRY(json_get_u32(object, "train_steps", 2, 4096, 1000, &d->train_steps, error));
    TRY(json_get_range(object, "beta_start", 1e-9, 0.999, 0.00085, &d->beta_start, error));
    TRY(json_get_range(object, "beta_end", 1e-9, 0.999, 0.012, &d->beta_end, error));
    TRY(json_get_range(object, "shift", 0.01, 100, 1, &d->shift, error));
    TRY(json_get_bool(object, "zero_snr", false, &d->zero_snr, error));
    TRY(json_get_u32(object, "vocabulary", WORDS_SMALLEST, WORDS_LARGEST, 2048, &d->vocabulary, error));
    if (d->zero_snr && d->objective == OBJECTIVE_EPSILON)
        return json_error(object, error, MZT_ERROR_INVALID,
                          "zero_snr: the noise cannot be predicted where there is nothing else");
    return json_get_u32(object, "max_length", 4, 1024, 0, &d->max_length, error);
}

static mzt_status read_lora(json_value object, lora_options *o, mzt_error *error) {
    static const char *const known[] = {"rank", "alpha", "targets", "text_encoder", "layout", NULL};
    static const char *const targets[] = {"attention", "feed_forward", "projections", "convolutions"};
    static const char *const layouts[] = {"kohya", "diffusers", NULL};
    bool *const chosen[] = {&o->attention, &o->feed_forward, &o->projections, &o->convolutions};
    json_value list;
    uint32_t layout;
    TRY(json_only_keys(object, known, error));
    TRY(json_get_u32(object, "rank", 0, 4096, 0, &o->rank, error));
    TRY(json_get_range(object, "alpha", 0, 1e6, 0, &o->alpha, error));
    TRY(json_get_bool(object, "text_encoder", false, &o->text_encoder, error));
    TRY(json_get_choice(object, "layout", layouts, 0, &layout, error));
    o->diffusers = layout == 1;
    TRY(json_get_array(object, "targets", &list, error));
    o->attention = !list.item;
    for (json_value v = json_first(list); v.item; v = json_next(v)) {
        const char *text;
        size_t i = 0;
        TRY(json_as_string(v, &text, error));
        while (i < 4 && strcmp(text, targets[i]) != 0)
            i++;
        if (i == 4)
            return json_error(v, error, MZT_ERROR_INVALID,
                              "expected attention, feed_forward, projections or convolutions");
        *chosen[i] = true;
    }
    if (!o->attention && !o->feed_forward && !o->projections && !o->convolutions)
        return json_error(list, error, MZT_ERROR_INVALID, "expected at least one kind of layer");
    if (o->alpha == 0) o->alpha = o->rank;
    return MZT_OK;
}

mzt_status train_config_set_lora(train_config *config, uint32_t rank, mzt_error *error) {
    lora_options *o = &config->lora;
    if (config->kind != TRAIN_DENOISER)
        return error_set(error, MZT_ERROR_INVALID, "--lora: only a denoiser can be trained by adapters");
    if (o->alpha == o->rank) o->alpha = rank;
    o->rank = rank;
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------- networks
 * -- */

static mzt_status copy_network(const train_config *c, json_value object, const char *class, char **out,
                               mzt_error *error) {
    static const char *const but[] = {"_class_name", NULL};
    json_writer w = json_writer_make(c->host);
    json_write_object(&w, NULL);
    json_write_string(&w, "_class_name", class);
    json_write_members(&w, object, but);
    json_write_end_object(&w);
    return json_writer_finish(&w, out, NULL, error);
}

/* A member object; where it is not there, `nothing`, an empty one. */
static mzt_status section(json_value root, const char *key, json_value nothing, json_value *out,
                          mzt_error *error) {
    TRY(json_get_object(root, key, out, error));
    if (!out->item) *out = nothing;
    return MZT_OK;
}

static mzt_status read_autoencoder_sections(train_config *c, json_value root, json_value nothing,
                                            mzt_error *error) {
    static const char *const loss_keys[] = {"kl", "gradient", "scales", NULL};
    json_value object, loss;
    TRY(json_require_object(root, "vae", &object, error));
    TRY(vae_config_read(object, &c->vae, error));
    if (c->vae.in_channels != c->vae.out_channels || (c->vae.in_channels != 3 && c->vae.in_channels != 4))
        return json_error(object, error, MZT_ERROR_INVALID,
                          "in_channels %u, out_channels %u: expected both 3 (RGB) or both 4 (RGBA)",
                          (unsigned)c->vae.in_channels, (unsigned)c->vae.out_channels);
    c->data.augment.channels = c->vae.in_channels;
    if (c->data.augment.resolution % vae_factor(&c->vae) != 0)
        return json_error(root, error, MZT_ERROR_INVALID, "resolution = %u: must be a multiple of %u",
                          (unsigned)c->data.augment.resolution, (unsigned)vae_factor(&c->vae));
    TRY(copy_network(c, object, "AutoencoderKL", &c->vae_json, error));
    TRY(section(root, "loss", nothing, &loss, error));
    TRY(json_only_keys(loss, loss_keys, error));
    TRY(json_get_range(loss, "kl", 0, 1e3, 1e-6, &c->autoencoder.kl, error));
    TRY(json_get_range(loss, "gradient", 0, 1e3, 0.5, &c->autoencoder.gradient, error));
    return json_get_u32(loss, "scales", 1, 8, 3, &c->autoencoder.scales, error);
}

mzt_status train_config_check_unet(const unet_config *unet, const char *name, mzt_error *error) {
    if (!unet->text_time && !unet->guidance_channels && unet->in_channels == unet->out_channels)
        return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "%s: training wants equal in_channels and out_channels, without addition_embed_type "
                     "and time_cond_proj_dim",
                     name);
}

static mzt_status read_denoiser_sections(train_config *c, json_value root, json_value nothing,
                                         mzt_error *error) {
    json_value object;
    TRY(section(root, "lora", nothing, &object, error));
    TRY(read_lora(object, &c->lora, error));
    TRY(section(root, "denoiser", nothing, &object, error));
    TRY(read_denoiser(object, &c->denoiser, error));
    if (!json_given(json_get(root, "unet")) && !json_given(json_get(root, "text_encoder"))) return MZT_OK;
    if (c->denoiser.max_length == 0) c->denoiser.max_length = 32;
    TRY(json_require_object(root, "unet", &object, error));
    TRY(unet_config_read(object, &c->unet, error));
    TRY(train_config_check_unet(&c->unet, "unet", error));
    TRY(copy_network(c, object, "UNet2DConditionModel", &c->unet_json, error));
    TRY(json_require_object(root, "text_encoder", &object, error));
    TRY(copy_network(c, object, "CLIPTextModel", &c->text_json, error));
    char *json = NULL;
    clip_config clip;
    mzt_status status =
        train_text_config(c, c->denoiser.vocabulary, &json, &clip, error); /* finds mistakes now, not later */
    host_free(c->host, json);
    if (status >= 0 && clip.channels != c->unet.context_channels)
        return json_error(root, error, MZT_ERROR_INVALID,
                          "text_encoder.hidden_size = %u, unet.cross_attention_dim = %u: must be equal",
                          (unsigned)clip.channels, (unsigned)c->unet.context_channels);
    return status;
}

mzt_status train_text_config(const train_config *c, uint32_t vocabulary, char **out, clip_config *clip,
                             mzt_error *error) {
    static const char *const but[] = {"vocab_size",
                                      "max_position_embeddings",
                                      "bos_token_id",
                                      "eos_token_id",
                                      "pad_token_id",
                                      "architectures",
                                      "model_type",
                                      "projection_dim",
                                      NULL};
    json_doc *doc = NULL;
    *out = NULL;
    TRY(json_parse(c->host, "text_encoder", c->text_json, strlen(c->text_json), &doc, error));
    json_writer w = json_writer_make(c->host);
    json_write_object(&w, NULL);
    json_write_members(&w, json_root(doc), but);
    json_write_string(&w, "model_type", "clip_text_model");
    json_write_array(&w, "architectures");
    json_write_string(&w, NULL, "CLIPTextModel");
    json_write_end_array(&w);
    json_write_uint(&w, "vocab_size", vocabulary);
    json_write_uint(&w, "max_position_embeddings", c->denoiser.max_length);
    json_write_uint(&w, "bos_token_id", vocabulary - 2);
    json_write_uint(&w, "eos_token_id", vocabulary - 1);
    json_write_uint(&w, "pad_token_id", vocabulary - 1);
    json_write_end_object(&w);
    json_destroy(doc);
    TRY(json_writer_finish(&w, out, NULL, error));
    mzt_status status = json_parse(c->host, "text_encoder", *out, strlen(*out), &doc, error);
    if (status >= 0) {
        status = clip_config_read(json_root(doc), clip, error);
        json_destroy(doc);
    }
    if (status < 0) {
        host_free(c->host, *out);
        *out = NULL;
    }
    return status;
}

/* ---------------------------------------------------------------------------------------------------- whole
 * -- */

static mzt_status read_root(train_config *c, json_value root, json_value nothing, mzt_error *error) {
    static const char *const autoencoder_keys[] = {"resolution", "batch", "seed", "precision",
                                                   "recompute",  "data",  "log",  "optimizer",
                                                   "vae",        "loss",  NULL};
    static const char *const denoiser_keys[] = {
        "resolution", "batch", "seed",     "precision", "recompute",    "data", "optimizer",
        "log",        "lora",  "denoiser", "unet",      "text_encoder", NULL};
    static const char *const precisions[] = {"f32", "f16", "bf16", "auto", NULL};
    json_value object;
    uint32_t choice;
    int64_t seed;
    TRY(json_only_keys(root, c->kind == TRAIN_AUTOENCODER ? autoencoder_keys : denoiser_keys, error));
    TRY(json_get_u32(root, "resolution", 4, 4096, 64, &c->data.augment.resolution, error));
    TRY(json_get_u32(root, "batch", 1, 65536, 16, &c->batch, error));
    TRY(json_get_int(root, "seed", 0, JSON_INT_LIMIT, 0, &seed, error));
    c->seed = (uint64_t)seed;
    TRY(json_get_choice(root, "precision", precisions, 0, &choice, error));
    memcpy(c->precision, precisions[choice], strlen(precisions[choice]) + 1);
    TRY(json_get_bool(root, "recompute", false, &c->recompute, error));
    TRY(section(root, "data", nothing, &object, error));
    TRY(read_data(c, object, error));
    TRY(section(root, "optimizer", nothing, &object, error));
    TRY(read_optimizer(object, &c->optimizer, error));
    TRY(section(root, "log", nothing, &object, error));
    TRY(read_log(c, object, error));
    return c->kind == TRAIN_AUTOENCODER ? read_autoencoder_sections(c, root, nothing, error)
                                        : read_denoiser_sections(c, root, nothing, error);
}

mzt_status train_config_parse(const base_host *host, const char *name, const char *text, uint64_t size,
                              train_kind kind, train_config **out, mzt_error *error) {
    *out = NULL;
    train_config *c = host_calloc(host, 1, sizeof *c);
    if (!c) return error_memory(error, name, sizeof *c);
    c->host = c->exclude.host = host;
    c->kind = kind;
    c->data.augment.channels = 4;
    c->text = host_strndup(host, text, (size_t)size);
    json_doc *doc = NULL, *empty = NULL;
    mzt_status status =
        c->text ? json_parse(host, name, text, size, &doc, error) : error_memory(error, name, size);
    if (status >= 0) status = json_parse(host, name, "{}", 2, &empty, error);
    if (status >= 0) status = read_root(c, json_root(doc), json_root(empty), error);
    json_destroy(empty);
    json_destroy(doc);
    if (status < 0)
        train_config_free(c);
    else
        *out = c;
    return status;
}

mzt_status train_config_read(const base_host *host, const char *path, train_kind kind, train_config **out,
                             mzt_error *error) {
    char *text;
    uint64_t size;
    *out = NULL;
    TRY(file_read(host, path, 1u << 24, &text, &size, error));
    mzt_status status = train_config_parse(host, path, text, size, kind, out, error);
    host_free(host, text);
    return status;
}

static void free_strings(const base_host *host, char **strings, uint32_t count) {
    for (uint32_t i = 0; strings && i < count; i++)
        host_free(host, strings[i]);
    host_free(host, strings);
}

void train_config_free(train_config *c) {
    if (!c) return;
    free_strings(c->host, c->data.style_names, c->data.style_count);
    free_strings(c->host, c->data.style_words, c->data.style_count);
    free_strings(c->host, c->log.prompts, c->log.prompt_count);
    exclude_free(&c->exclude);
    host_free(c->host, c->vae_json);
    host_free(c->host, c->unet_json);
    host_free(c->host, c->text_json);
    host_free(c->host, c->text);
    host_free(c->host, c);
}

double train_learning_rate(const optimizer_config *o, uint64_t step) {
    if (step < o->warmup) return o->learning_rate * (double)(step + 1) / o->warmup;
    const double left = o->steps > o->warmup ? (double)(o->steps - o->warmup) : 1;
    double share = (double)(step - o->warmup) / left;
    if (share > 1) share = 1;
    switch (o->schedule) {
    case LEARNING_CONSTANT:
        return o->learning_rate;
    case LEARNING_LINEAR:
        return o->learning_rate * (1 + (o->final - 1) * share);
    case LEARNING_COSINE:
        return o->learning_rate * (o->final + (1 - o->final) * (1 + cos(PI * share)) / 2);
    }
    return o->learning_rate;
}

double train_ema_decay(const optimizer_config *o, uint64_t step) {
    const double early = (1.0 + (double)step) / (10.0 + (double)step);
    return early < o->ema ? early : o->ema;
}

const char *train_style_word(const void *user, const char *style) {
    const data_config *data = user;
    for (uint32_t i = 0; i < data->style_count; i++) {
        if (strcmp(data->style_names[i], style) == 0) return data->style_words[i];
    }
    return style;
}
