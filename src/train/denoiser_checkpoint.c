/* What is done with a denoiser's checkpoint: making it a model folder, validation, a sheet of samples. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "graph/differentiate.h"
#include "json/json_write.h"
#include "model/unet.h"
#include "pipeline/conditioning.h"
#include "pipeline/generate.h"
#include "train/denoiser_internal.h"
#include "train/show.h"

enum { PROMPTS_CHOSEN = 8, FIRST_SEED = 1 };

/* --------------------------------------------------------------------------------------------------- saving
 * -- */

static void write_component(json_writer *w, const char *name, const char *library, const char *class) {
    json_write_array(w, name);
    json_write_string(w, NULL, library);
    json_write_string(w, NULL, class);
    json_write_end_array(w);
}

static mzt_status write_index(const denoiser_task *t, checkpoint_writer *c, mzt_error *error) {
    const base_host *host = t->base.context->host;
    const bool flow = t->process.config.objective == OBJECTIVE_FLOW;
    json_writer w = json_writer_make(host);
    json_write_object(&w, NULL);
    json_write_string(&w, "_class_name", "StableDiffusionPipeline");
    write_component(&w, "unet", "diffusers", "UNet2DConditionModel");
    write_component(&w, "vae", "diffusers", "AutoencoderKL");
    write_component(&w, "scheduler", "diffusers", flow ? "FlowMatchEulerDiscreteScheduler" : "DDIMScheduler");
    write_component(&w, "text_encoder", "transformers", "CLIPTextModel");
    write_component(&w, "tokenizer", "transformers", "CLIPTokenizer");
    write_component(&w, "safety_checker", NULL, NULL);
    write_component(&w, "feature_extractor", NULL, NULL);
    json_write_end_object(&w);
    char *text;
    size_t length;
    TRY(json_writer_finish(&w, &text, &length, error));
    mzt_status status = checkpoint_file(c, "model_index.json", text, length, error);
    host_free(host, text);
    return status;
}

/* The weights of the autoencoder, which never change. */
static mzt_status copy_autoencoder(const denoiser_task *t, checkpoint_writer *c, mzt_error *error) {
    const base_host *host = t->base.context->host;
    char *folder = path_join(host, t->autoencoder->path, "vae");
    if (!folder) return error_memory(error, t->autoencoder->path, 0);
    mzt_status status = checkpoint_copy(c, "vae", folder, error);
    host_free(host, folder);
    return status;
}

mzt_status denoiser_save(train_task *base, checkpoint_writer *c, mzt_error *error) {
    const denoiser_task *t = (const denoiser_task *)base;
    if (t->config.lora.rank) return MZT_OK; /* the adapters' file is all there is */
    TRY(checkpoint_file(c, "unet/config.json", t->unet_json, strlen(t->unet_json), error));
    TRY(checkpoint_file(c, "text_encoder/config.json", t->text_json, strlen(t->text_json), error));
    TRY(checkpoint_file(c, "scheduler/scheduler_config.json", t->process.scheduler_json,
                        strlen(t->process.scheduler_json), error));
    TRY(checkpoint_copy(c, "tokenizer", t->tokenizer_folder, error));
    TRY(copy_autoencoder(t, c, error));
    return write_index(t, c, error);
}

/* ----------------------------------------------------------------------------------------------- validating
 * -- */

static mzt_status open_forward(const denoiser_task *t, const model *m, network *n, mzt_error *error) {
    const train_context *c = t->base.context;
    const uint32_t batch = t->latent.n;
    graph *g = graph_create(c->host, c->type, c->type);
    if (!g) return error_memory(error, "graph", sizeof *g);
    const unet_inputs inputs = {
        .sample = graph_input(g, "sample", c->type, t->latent),
        .timesteps = graph_input(g, "timesteps", DTYPE_F32, (shape4){batch, 1, 1, 1}),
        .context = graph_input(g, "context", c->type,
                               (shape4){batch, c->config->denoiser.max_length, 1, m->unet.context_channels}),
    };
    const graph_loss_options options = {.kind = LOSS_SQUARE,
                                        .target = graph_input(g, "target", DTYPE_F32, t->latent),
                                        .weight =
                                            graph_input(g, "weights", DTYPE_F32, (shape4){batch, 1, 1, 1})};
    graph_output(g, graph_loss(g, unet_describe(g, &m->unet, &inputs, NULL), "error", &options), "loss");
    return network_create(c->device, g, m->weights[MODEL_UNET], n, error);
}

/* Encodes the captions of held-out pictures first ..., one batch; those beyond the end get weight 0. */
static mzt_status set_captions(const denoiser_task *t, const model *m, network *n, uint32_t first,
                               mzt_error *error) {
    const train_context *c = t->base.context;
    const uint32_t length = c->config->denoiser.max_length, batch = t->latent.n;
    uint32_t *ids = host_calloc(c->host, (size_t)batch * length, sizeof *ids);
    conditioning text = {0};
    mzt_status status =
        ids ? MZT_OK : error_memory(error, "captions", (uint64_t)batch * length * sizeof *ids);
    for (uint32_t i = 0; status >= 0 && i < batch; i++) {
        char caption[CAPTION_SIZE] = "";
        if (first + i < t->held_out_count)
            dataset_plain_caption(c->data, c->data->held_out[first + i], caption);
        status = bpe_encode_padded(t->tokenizer, caption, length, ids + (uint64_t)i * length, NULL, error);
    }
    const precision p = c->type == DTYPE_F16    ? PRECISION_F16
                        : c->type == DTYPE_BF16 ? PRECISION_BF16
                                                : PRECISION_F32;
    if (status >= 0) status = conditioning_from_ids(m, c->device, p, ids, NULL, batch, length, &text, error);
    if (status >= 0)
        status = network_set(n, "context", text.context, (uint64_t)batch * length * text.channels, error);
    conditioning_destroy(&text);
    host_free(c->host, ids);
    return status;
}

/* The mean error of one batch in one band of timesteps; noise and timesteps are the same in every validation.
 */
static mzt_status run_band(denoiser_task *t, network *n, uint32_t first, uint32_t band, double *loss,
                           mzt_error *error) {
    const train_context *c = t->base.context;
    const uint64_t one = t->latent_count;
    const uint32_t batch = t->latent.n,
                   here = t->held_out_count - first < batch ? t->held_out_count - first : batch;
    float *noise = host_calloc(c->host, (size_t)one, sizeof *noise), value = 0;
    if (!noise) return error_memory(error, "noise", one * sizeof *noise);
    memset(t->weights, 0, batch * sizeof *t->weights);
    memset(t->sample, 0, (size_t)(batch * one) * sizeof *t->sample);
    memset(t->target, 0, (size_t)(batch * one) * sizeof *t->target);
    for (uint32_t i = 0; i < here; i++) {
        const uint64_t index = (uint64_t)(first + i) * TRAIN_BANDS + band;
        train_draws draws = draws_begin(0, DRAW_VALIDATION, 0, index);
        const diffusion_point p = diffusion_at(&t->process, (band + draws_uniform(&draws)) / TRAIN_BANDS);
        random_normals(0, draws_number(DRAW_VALIDATION, 1 + index), 0, one, noise);
        diffusion_mix(&t->process, &p, t->held_out + (first + i) * one, noise, one, t->sample + i * one,
                      t->target + i * one);
        t->weights[i] = (float)batch / (float)here;
        t->timesteps[i] = (float)p.timestep;
    }
    host_free(c->host, noise);
    TRY(network_set(n, "sample", t->sample, batch * one, error));
    TRY(network_set(n, "target", t->target, batch * one, error));
    TRY(network_set(n, "weights", t->weights, batch, error));
    TRY(network_set(n, "timesteps", t->timesteps, batch, error));
    TRY(network_run(n, error));
    TRY(network_get(n, "loss", &value, 1, error));
    *loss += (double)value * here / t->held_out_count;
    return MZT_OK;
}

mzt_status denoiser_validate(train_task *base, const char *checkpoint, double bands[TRAIN_BANDS],
                             mzt_error *error) {
    denoiser_task *t = (denoiser_task *)base;
    for (uint32_t i = 0; i < TRAIN_BANDS; i++)
        bands[i] = t->held_out_count ? 0 : NAN;
    if (t->held_out_count == 0) return MZT_OK;
    model *m = NULL;
    network n = {0};
    mzt_status status = denoiser_open_checkpoint(t, checkpoint, &m, error);
    if (status >= 0) status = open_forward(t, m, &n, error);
    for (uint32_t first = 0; status >= 0 && first < t->held_out_count; first += t->latent.n) {
        status = set_captions(t, m, &n, first, error);
        for (uint32_t band = 0; status >= 0 && band < TRAIN_BANDS; band++)
            status = run_band(t, &n, first, band, &bands[band], error);
    }
    network_destroy(&n);
    model_close(m);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- sheet
 * -- */

/* The configured prompts, or the captions of some pictures. */
static uint32_t choose_prompts(const denoiser_task *t, char chosen[][CAPTION_SIZE], const char **prompts) {
    const train_context *c = t->base.context;
    const log_config *log = &c->config->log;
    for (uint32_t i = 0; i < log->prompt_count; i++)
        prompts[i] = log->prompts[i];
    if (log->prompt_count) return log->prompt_count;
    const uint32_t count = c->data->train_count < PROMPTS_CHOSEN ? c->data->train_count : PROMPTS_CHOSEN;
    for (uint32_t i = 0; i < count; i++) {
        dataset_plain_caption(c->data, c->data->train[(uint64_t)i * c->data->train_count / count], chosen[i]);
        prompts[i] = chosen[i];
    }
    return count;
}

mzt_status denoiser_draw(train_task *base, const char *checkpoint, const char *path, mzt_error *error) {
    const denoiser_task *t = (const denoiser_task *)base;
    const train_context *c = base->context;
    char chosen[PROMPTS_CHOSEN][CAPTION_SIZE];
    const char *prompts[TRAIN_PROMPTS_MAX];
    const uint32_t count = choose_prompts(t, chosen, prompts);
    model *m = NULL;
    image *pictures = host_calloc(c->host, count, sizeof *pictures);
    mzt_status status = pictures ? MZT_OK : error_memory(error, "sheet", count * sizeof *pictures);
    if (status >= 0) status = denoiser_open_checkpoint(t, checkpoint, &m, error);
    for (uint32_t i = 0; status >= 0 && i < count; i++) {
        generate_request request = generate_request_default();
        generate_result result = {0};
        request.prompt = prompts[i];
        request.plain_prompt = true;
        request.width = request.height = c->config->data.augment.resolution;
        request.steps = c->config->log.sample_steps;
        request.guidance = c->config->log.guidance;
        request.seed = FIRST_SEED;
        status = pipeline_generate(m, c->device, &request, &result, error);
        if (status >= 0) {
            pictures[i] = result.images[0];
            result.images[0] = (image){0};
        }
        generate_result_destroy(&result);
    }
    if (status >= 0) status = show_sheet(c->host, path, pictures, prompts, count, 0, NULL, error);
    for (uint32_t i = 0; pictures && i < count; i++)
        image_free(c->host, &pictures[i]);
    host_free(c->host, pictures);
    model_close(m);
    return status;
}
