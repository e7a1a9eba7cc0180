/* Writing a model as a folder in diffusers' layout; see convert.h. Configurations are written from what the
 * model is, wherever that came from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "json/json_write.h"
#include "pipeline/convert_internal.h"
#include "sample/samplers.h"
#include "text/bpe_write.h"

static void write_list(json_writer *w, const char *key, const uint32_t *values, uint32_t count) {
    json_write_array(w, key);
    for (uint32_t i = 0; i < count; i++)
        json_write_uint(w, NULL, values[i]);
    json_write_end_array(w);
}

static void write_words(json_writer *w, const char *key, const char *word, uint32_t count) {
    json_write_array(w, key);
    for (uint32_t i = 0; i < count; i++)
        json_write_string(w, NULL, word);
    json_write_end_array(w);
}

/* ------------------------------------------------------------------------------------------------ UNet -- */

/* A float by the shortest number that reads back as the same float. */
static void write_float(json_writer *w, const char *key, float value) {
    char text[32];
    double shortest = (double)value;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        shortest = strtod(text, NULL);
        if ((float)shortest == value) break;
    }
    json_write_double(w, key, shortest);
}

/* The depth that stands for a level: of its transformers; where it has none, of what takes it from there. */
static uint32_t level_depth(const unet_config *c, uint32_t level) {
    if (c->down_attention[level]) return c->down_depth[level][0];
    if (c->up_attention[level]) return c->up_depth[level][0];
    return level + 1 == c->levels && c->mid == UNET_MID_CROSS ? c->mid_depth : 1;
}

/* Depths that differ within a level need lists of lists for both ways. */
static bool has_uneven_depths(const unet_config *c) {
    for (uint32_t level = 0; level < c->levels; level++) {
        const uint32_t wanted = level_depth(c, level);
        for (uint32_t i = 0; i <= c->layers[level]; i++) {
            if (c->up_attention[level] && c->up_depth[level][i] != wanted) return true;
            if (i < c->layers[level] && c->down_attention[level] && c->down_depth[level][i] != wanted)
                return true;
        }
    }
    return c->mid == UNET_MID_CROSS && c->mid_depth != level_depth(c, c->levels - 1);
}

static void write_depths(json_writer *w, const unet_config *c) {
    json_write_array(w, "transformer_layers_per_block");
    for (uint32_t level = 0; level < c->levels; level++) {
        if (!has_uneven_depths(c)) {
            json_write_uint(w, NULL, level_depth(c, level));
            continue;
        }
        json_write_array(w, NULL);
        for (uint32_t i = 0; i < c->layers[level]; i++)
            json_write_uint(w, NULL,
                            c->down_attention[level] ? c->down_depth[level][i] : level_depth(c, level));
        json_write_end_array(w);
    }
    json_write_end_array(w);
    if (!has_uneven_depths(c)) return;
    json_write_array(w, "reverse_transformer_layers_per_block");
    for (uint32_t level = c->levels; level-- > 0;) {
        json_write_array(w, NULL);
        for (uint32_t i = 0; i <= c->layers[level]; i++)
            json_write_uint(w, NULL, c->up_attention[level] ? c->up_depth[level][i] : level_depth(c, level));
        json_write_end_array(w);
    }
    json_write_end_array(w);
}

static void write_unet(json_writer *w, const unet_config *c) {
    json_write_string(w, "_class_name", "UNet2DConditionModel");
    json_write_uint(w, "in_channels", c->in_channels);
    json_write_uint(w, "out_channels", c->out_channels);
    json_write_uint(w, "sample_size", c->sample_size[0]);
    write_list(w, "block_out_channels", c->channels, c->levels);
    write_list(w, "layers_per_block", c->layers, c->levels);
    json_write_array(w, "down_block_types");
    for (uint32_t i = 0; i < c->levels; i++)
        json_write_string(w, NULL, c->down_attention[i] ? "CrossAttnDownBlock2D" : "DownBlock2D");
    json_write_end_array(w);
    json_write_array(w, "up_block_types");
    for (uint32_t i = c->levels; i-- > 0;)
        json_write_string(w, NULL, c->up_attention[i] ? "CrossAttnUpBlock2D" : "UpBlock2D");
    json_write_end_array(w);
    static const char *const mids[] = {NULL, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn"};
    json_write_string(w, "mid_block_type", mids[c->mid]);
    write_depths(w, c);
    write_list(w, "attention_head_dim", c->heads, c->levels);
    json_write_uint(w, "cross_attention_dim", c->context_channels);
    json_write_bool(w, "use_linear_projection", c->linear_projection);
    json_write_uint(w, "norm_num_groups", c->groups);
    write_float(w, "norm_eps", c->eps);
    json_write_bool(w, "flip_sin_to_cos", c->flip_sin_to_cos);
    write_float(w, "freq_shift", c->freq_shift);
    json_write_uint(w, "downsample_padding", c->downsample_padding);
    json_write_uint(w, "conv_in_kernel", c->conv_in_kernel);
    json_write_uint(w, "conv_out_kernel", c->conv_out_kernel);
    if (c->time_channels != 4 * c->channels[0]) json_write_uint(w, "time_embedding_dim", c->time_channels);
    if (c->guidance_channels) json_write_uint(w, "time_cond_proj_dim", c->guidance_channels);
    if (!c->text_time) return;
    json_write_string(w, "addition_embed_type", "text_time");
    json_write_uint(w, "addition_time_embed_dim", c->addition_time_channels);
    json_write_uint(w, "projection_class_embeddings_input_dim", c->addition_input_channels);
}

/* ------------------------------------------------------------------------------------------------ others --
 */

static void write_vae(json_writer *w, const vae_config *c) {
    json_write_string(w, "_class_name", c->tiny ? "AutoencoderTiny" : "AutoencoderKL");
    json_write_uint(w, "in_channels", c->in_channels);
    json_write_uint(w, "out_channels", c->out_channels);
    json_write_uint(w, "latent_channels", c->latent_channels);
    write_float(w, "scaling_factor", c->scaling_factor);
    if (c->tiny) {
        write_list(w, "encoder_block_out_channels", c->channels, c->levels);
        write_list(w, "decoder_block_out_channels", c->channels, c->levels);
        write_list(w, "num_encoder_blocks", c->tiny_down, c->levels);
        write_list(w, "num_decoder_blocks", c->tiny_up, c->levels);
        return;
    }
    write_list(w, "block_out_channels", c->channels, c->levels);
    write_words(w, "down_block_types", "DownEncoderBlock2D", c->levels);
    write_words(w, "up_block_types", "UpDecoderBlock2D", c->levels);
    json_write_uint(w, "layers_per_block", c->layers);
    json_write_uint(w, "norm_num_groups", c->groups);
    json_write_bool(w, "mid_block_add_attention", c->mid_attention);
    json_write_bool(w, "use_quant_conv", c->quant_conv);
    json_write_bool(w, "use_post_quant_conv", c->post_quant_conv);
    json_write_bool(w, "force_upcast", c->force_upcast);
    if (c->shift_factor != 0.0f) write_float(w, "shift_factor", c->shift_factor);
    if (c->patch_size > 1) json_write_uint(w, "patch_size", c->patch_size);
}

static void write_clip(json_writer *w, const clip_config *c) {
    json_write_array(w, "architectures");
    json_write_string(w, NULL, c->projection ? "CLIPTextModelWithProjection" : "CLIPTextModel");
    json_write_end_array(w);
    json_write_string(w, "model_type", "clip_text_model");
    json_write_uint(w, "vocab_size", c->vocabulary);
    json_write_uint(w, "max_position_embeddings", c->positions);
    json_write_uint(w, "hidden_size", c->channels);
    json_write_uint(w, "intermediate_size", c->intermediate);
    json_write_uint(w, "num_hidden_layers", c->layers);
    json_write_uint(w, "num_attention_heads", c->heads);
    json_write_string(w, "hidden_act", c->quick_gelu ? "quick_gelu" : "gelu");
    write_float(w, "layer_norm_eps", c->eps);
    if (c->projection) json_write_uint(w, "projection_dim", c->projection_channels);
    json_write_uint(w, "eos_token_id", c->eos);
}

static void write_index(json_writer *w, const model *m) {
    static const char *const kinds[MODEL_COMPONENT_COUNT][2] = {
        [MODEL_UNET] = {"diffusers", "UNet2DConditionModel"},
        [MODEL_VAE] = {"diffusers", "AutoencoderKL"},
        [MODEL_TEXT_ENCODER] = {"transformers", "CLIPTextModel"},
        [MODEL_TEXT_ENCODER_2] = {"transformers", "CLIPTextModelWithProjection"},
    };
    json_write_string(w, "_class_name",
                      m->index.xl ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline");
    for (int i = 0; i < MODEL_COMPONENT_COUNT; i++) {
        if (!m->weights[i]) continue;
        json_write_array(w, model_component_name((model_component)i));
        json_write_string(w, NULL, kinds[i][0]);
        json_write_string(w, NULL, i == MODEL_VAE && m->vae.tiny ? "AutoencoderTiny" : kinds[i][1]);
        json_write_end_array(w);
    }
    json_write_array(w, "scheduler");
    json_write_string(w, NULL, "diffusers");
    json_write_string(w, NULL, sampler_info_get(m->sampler.kind)->class_name);
    json_write_end_array(w);
    for (int i = 0; i < 2; i++) {
        if (!m->tokenizer[i]) continue;
        json_write_array(w, i ? "tokenizer_2" : "tokenizer");
        json_write_string(w, NULL, "transformers");
        json_write_string(w, NULL, "CLIPTokenizer");
        json_write_end_array(w);
    }
    if (m->index.xl)
        json_write_bool(w, "force_zeros_for_empty_prompt", m->index.force_zeros_for_empty_prompt);
}

/* The scheduler of a single file: of the few kinds that are chosen for one. */
static void write_scheduler(json_writer *w, const sampler_config *c) {
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample", "flow"},
                             *const spacings[] = {"linspace", "leading", "trailing"},
                             *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2", "trained"};
    json_write_string(w, "_class_name", sampler_info_get(c->kind)->class_name);
    json_write_uint(w, "num_train_timesteps", c->train_steps);
    json_write_double(w, "beta_start", c->beta_start);
    json_write_double(w, "beta_end", c->beta_end);
    json_write_string(w, "beta_schedule", betas[c->betas]);
    json_write_string(w, "prediction_type", predictions[c->prediction]);
    json_write_string(w, "timestep_spacing", spacings[c->spacing]);
    json_write_uint(w, "steps_offset", c->steps_offset);
    if (c->kind == SAMPLER_PNDM) json_write_bool(w, "skip_prk_steps", c->skip_prk);
    if (c->kind == SAMPLER_PNDM || c->kind == SAMPLER_DDIM || c->kind == SAMPLER_LCM)
        json_write_bool(w, "set_alpha_to_one", c->alpha_to_one);
    if (c->kind == SAMPLER_DDIM || c->kind == SAMPLER_LCM)
        json_write_bool(w, "clip_sample", c->clip_sample != 0);
    if (c->kind == SAMPLER_LCM) json_write_uint(w, "original_inference_steps", c->original_steps);
    if (c->zero_snr) json_write_bool(w, "rescale_betas_zero_snr", true);
}

/* ------------------------------------------------------------------------------------------------ files --
 */

static mzt_status save_json(const base_host *host, json_writer *w, const char *folder, const char *name,
                            mzt_error *error) {
    char *text = NULL, *path = path_join(host, folder, name);
    size_t length;
    json_write_end_object(w);
    mzt_status status = json_writer_finish(w, &text, &length, error);
    if (status >= 0 && !path) status = error_memory(error, name, strlen(folder));
    if (status >= 0) status = file_write(host, path, text, length, error);
    host_free(host, text);
    host_free(host, path);
    return status;
}

static mzt_status save_config(const model *m, model_component component, const char *folder,
                              mzt_error *error) {
    json_writer w = json_writer_make(m->host);
    json_write_object(&w, NULL);
    if (component == MODEL_UNET)
        write_unet(&w, &m->unet);
    else if (component == MODEL_VAE)
        write_vae(&w, &m->vae);
    else
        write_clip(&w, &m->text[component == MODEL_TEXT_ENCODER_2]);
    return save_json(m->host, &w, folder, "config.json", error);
}

static mzt_status save_component(const convert_job *job, model_component component, const char *folder,
                                 mzt_error *error) {
    const base_host *host = job->m->host;
    const bool text = component == MODEL_TEXT_ENCODER || component == MODEL_TEXT_ENCODER_2;
    convert_list list = {.host = host};
    char *file = path_join(host, folder, text ? "model.safetensors" : "diffusion_pytorch_model.safetensors");
    mzt_status status = file ? folder_create(host, folder, error) : error_memory(error, folder, 0);
    if (status >= 0) status = save_config(job->m, component, folder, error);
    if (status >= 0) status = convert_list_component(job->m, component, job->type, &list, error);
    if (status >= 0) status = convert_write_list(job, &list, file, NULL, error);
    convert_list_destroy(&list);
    host_free(host, file);
    return status;
}

/* The model's own file where there is one, which says more than is kept of it. */
static mzt_status save_scheduler(const model *m, const char *folder, mzt_error *error) {
    static const char name[] = "scheduler_config.json";
    TRY(folder_create(m->host, folder, error));
    const char *own = m->index.components[MODEL_SCHEDULER].path;
    if (own) {
        char *from = path_join(m->host, own, name), *to = path_join(m->host, folder, name), *data = NULL;
        uint64_t size = 0;
        mzt_status status = from && to ? MZT_OK : error_memory(error, folder, 0);
        if (status >= 0) status = file_read(m->host, from, JSON_FILE_LIMIT, &data, &size, error);
        if (status >= 0) status = file_write(m->host, to, data, size, error);
        host_free(m->host, from);
        host_free(m->host, to);
        host_free(m->host, data);
        return status;
    }
    json_writer w = json_writer_make(m->host);
    json_write_object(&w, NULL);
    write_scheduler(&w, &m->sampler);
    return save_json(m->host, &w, folder, name, error);
}

static mzt_status save_part(const convert_job *job, model_component component, const char *folder,
                            mzt_error *error) {
    const model *m = job->m;
    switch (component) {
    case MODEL_SCHEDULER:
        return save_scheduler(m, folder, error);
    case MODEL_TOKENIZER:
    case MODEL_TOKENIZER_2: {
        const bpe *tokenizer = m->tokenizer[component == MODEL_TOKENIZER_2];
        if (!tokenizer) return MZT_OK;
        TRY(folder_create(m->host, folder, error));
        return bpe_write(tokenizer, folder, error);
    }
    default:
        return m->weights[component] ? save_component(job, component, folder, error) : MZT_OK;
    }
}

mzt_status convert_to_folder(const model *m, const char *path, convert_type type, convert_progress *progress,
                             void *user, mzt_error *error) {
    const convert_job job = {m, type, progress, user};
    mzt_status status = folder_create(m->host, path, error);
    for (int i = 0; i < MODEL_COMPONENT_COUNT && status >= 0; i++) {
        char *folder = path_join(m->host, path, model_component_name((model_component)i));
        status = folder ? save_part(&job, (model_component)i, folder, error) : error_memory(error, path, 0);
        host_free(m->host, folder);
    }
    if (status < 0) return status;
    json_writer w = json_writer_make(m->host);
    json_write_object(&w, NULL);
    write_index(&w, m);
    return save_json(m->host, &w, path, "model_index.json", error); /* last: it makes the folder a model */
}
