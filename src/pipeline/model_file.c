/* A model out of a single file; see model.h. What tensors do not tell (what the UNet predicts, which sampler
 * suits it) comes from the file's own description, its name, and the statistics of one tensor. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/detect.h"
#include "pipeline/model_internal.h"

/* The noise schedule that all of these models were trained with. */
#define TRAINED                                                                                              \
    "\"num_train_timesteps\": 1000, \"beta_start\": 0.00085, \"beta_end\": 0.012, \"beta_schedule\": "       \
    "\"scaled_linear\", "

/* What diffusers' folders of the published models say: the scheduler, by what the file is. */
static const char *scheduler_text(const model *m, bool v, const char *name) {
    const bool xl = m->index.xl;
    if (strstr(name, "lcm"))
        return "{\"_class_name\": \"LCMScheduler\", " TRAINED
               "\"original_inference_steps\": 50, \"clip_sample\": false, \"set_alpha_to_one\": true, "
               "\"steps_offset\": 1}";
    if (strstr(name, "turbo"))
        return xl ? "{\"_class_name\": \"EulerAncestralDiscreteScheduler\", " TRAINED
                    "\"steps_offset\": 1, \"timestep_spacing\": \"trailing\"}"
                  : "{\"_class_name\": \"EulerDiscreteScheduler\", " TRAINED
                    "\"steps_offset\": 1, \"timestep_spacing\": \"trailing\"}";
    if (strstr(name, "lightning"))
        return "{\"_class_name\": \"EulerDiscreteScheduler\", " TRAINED
               "\"steps_offset\": 1, \"timestep_spacing\": \"trailing\"}";
    if (xl)
        return "{\"_class_name\": \"EulerDiscreteScheduler\", " TRAINED
               "\"steps_offset\": 1, \"timestep_spacing\": \"leading\", \"use_karras_sigmas\": false}";
    if (v)
        return "{\"_class_name\": \"DDIMScheduler\", " TRAINED
               "\"steps_offset\": 1, \"clip_sample\": false, \"set_alpha_to_one\": false}";
    return "{\"_class_name\": \"PNDMScheduler\", " TRAINED
           "\"steps_offset\": 1, \"skip_prk_steps\": true, \"set_alpha_to_one\": false, "
           "\"timestep_spacing\": "
           "\"leading\"}";
}

/* ------------------------------------------------------------------------------------------------ v or
 * epsilon
 * -- */

/* The file's name in small letters, without its folder. */
static void small_name(const char *path, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    size_t used = 0;
    for (const char *c = slash ? slash + 1 : path; *c && used + 1 < size; c++)
        out[used++] = (char)tolower((unsigned char)*c);
    out[used] = '\0';
}

static bool has_any(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strstr(text, *words)) return true;
    return false;
}

/* The spread of a bias in the finest transformer on the way up. Networks of Stable Diffusion 2 that predict v
 * have it well above 0.09, those that predict the noise below: the mark by which other programs tell them
 * apart, too. */
static mzt_status predicts_v_by_spread(const weights_set *unet, bool *v, mzt_error *error) {
    enum { MOST = 4096 };
    const weights_tensor *t = weights_find(unet, "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias");
    float values[MOST];
    *v = false;
    if (!t || t->count == 0 || t->count > MOST) return MZT_OK;
    TRY(weights_convert(t, 0, t->count, DTYPE_F32, values, error));
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    const double mean = sum / (double)t->count;
    *v = sqrt(squares / (double)t->count - mean * mean) > 0.09;
    return MZT_OK;
}

/* In order: a mark among the tensors, the file's description, its name, and for Stable Diffusion 2, where
 * both are about, the spread. */
static mzt_status predicts_v(const model *m, const weights_set *file, const char *name, bool *v,
                             mzt_error *error) {
    static const char *const v_words[] = {"vpred", "v-pred", "v_pred", "v-prediction", NULL},
                             *const noise_words[] = {"turbo", "512", "base", "eps", NULL},
                             *const large_words[] = {"768", "-v-", "-v.", "_v.", NULL};
    const char *said = weights_metadata(file, "modelspec.prediction_type"),
               *family = weights_metadata(file, "modelspec.architecture");
    const bool second = !m->index.xl && m->unet.context_channels == 1024 && m->unet.in_channels == 4;
    *v = true;
    if (weights_find(file, "v_pred")) return MZT_OK;
    if (said && (strcmp(said, "v") == 0 || strcmp(said, "v_prediction") == 0)) return MZT_OK;
    if (said && strncmp(said, "eps", 3) == 0) goto noise;
    if (family && strstr(family, "768-v")) return MZT_OK;
    if (family && second && strstr(family, "512")) goto noise;
    if (has_any(name, v_words)) return MZT_OK;
    if (!second) goto noise;
    if (has_any(name, noise_words)) goto noise;
    if (has_any(name, large_words)) return MZT_OK;
    return predicts_v_by_spread(m->weights[MODEL_UNET], v, error);
noise:
    *v = false;
    return MZT_OK;
}

static mzt_status choose_sampler(model *m, const weights_set *file, const char *path, mzt_error *error) {
    char name[256];
    bool v;
    json_doc *doc = NULL;
    small_name(path, name, sizeof name);
    TRY(predicts_v(m, file, name, &v, error));
    const char *text = scheduler_text(m, v, name);
    mzt_status status = json_parse(m->host, "scheduler", text, strlen(text), &doc, error);
    if (status >= 0) status = sampler_config_parse(json_root(doc), &m->sampler, error);
    json_destroy(doc);
    if (status < 0) return status;
    m->sampler.sdxl = m->index.xl;
    if (v) m->sampler.prediction = PREDICTION_V;
    if (weights_find(file, "ztsnr")) m->sampler.zero_snr = true;
    if (v && !m->index.xl && m->unet.context_channels == 1024)
        m->unet.sample_size[0] = m->unet.sample_size[1] = 96;
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------ file -- */

static mzt_status check_unet(const model *m, mzt_error *error) {
    const uint32_t in = m->unet.in_channels;
    if (in == 4 || in == 9) return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED, "%s: a UNet of %u input channels%s is not supported",
                     m->path, (unsigned)in,
                     in == 5   ? " (depth-guided)"
                     : in == 8 ? " (InstructPix2Pix)"
                     : in == 7 ? " (upscaler)"
                               : "");
}

static mzt_status no_unet(const checkpoint *c, const char *path, mzt_error *error) {
    const bool vae = c->parts[MODEL_VAE].found;
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "%s holds no UNet, only %s: give it with %s, beside a model", path,
                     vae ? "an autoencoder" : "a text encoder", vae ? "--vae" : "--text-encoder");
}

mzt_status model_open_file(model *m, const char *path, const model_options *options, mzt_error *error) {
    checkpoint c;
    (void)options;
    TRY(checkpoint_open(m->host, path, &c, error));
    mzt_status status = model_keep_file(m, &c, error);
    if (status < 0) return status;
    m->index.host = m->host;
    m->index.folder = host_strdup(m->host, path);
    m->path = m->index.folder;
    if (!m->path) return error_memory(error, path, strlen(path));
    if (!c.parts[MODEL_UNET].found) return no_unet(&c, path, error);
    TRY(model_take_part(m, &c, MODEL_UNET, error));
    TRY(check_unet(m, error));
    m->index.xl = m->unet.text_time;
    m->index.force_zeros_for_empty_prompt = m->index.xl;
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++)
        if (i != MODEL_UNET && c.parts[i].found) TRY(model_take_part(m, &c, (model_component)i, error));
    return choose_sampler(m, c.file, path, error);
}
