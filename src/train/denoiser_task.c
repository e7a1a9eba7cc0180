/* Training a denoiser: a UNet and its text encoder, together, on latents and captions. */
#include <string.h>

#include "graph/differentiate.h"
#include "model/clip.h"
#include "model/unet.h"
#include "train/denoiser_internal.h"
#include "train/lora.h"

/* Inputs "sample", "timesteps", "ids", "target", "weights". */
static uint32_t describe(train_task *base, graph *g, tensor losses[TASK_LOSSES_MAX]) {
    const denoiser_task *t = (const denoiser_task *)base;
    const train_config *c = base->context->config;
    const uint32_t batch = base->context->batch;
    const clip_inputs text = {
        .ids = graph_varying_input(g, "ids", DTYPE_U32, (shape4){batch, c->denoiser.max_length, 1, 1})};
    const unet_inputs inputs = {
        .sample = graph_varying_input(g, "sample", g->activation, t->latent),
        .timesteps = graph_varying_input(g, "timesteps", DTYPE_F32, (shape4){batch, 1, 1, 1}),
        .context = clip_describe(g, &t->clip, &text, 0).last_hidden_state,
    };
    tensor output = unet_describe(g, &c->unet, &inputs, NULL);
    const graph_loss_options options = {
        .kind = LOSS_SQUARE,
        .target = graph_varying_input(g, "target", DTYPE_F32, t->latent),
        .weight = graph_varying_input(g, "weights", DTYPE_F32, (shape4){batch, 1, 1, 1})};
    losses[0] = graph_loss(g, output, "error", &options);
    return 1;
}

static void choose_batches(const train_task *base, loader_options *options) {
    const denoiser_task *t = (const denoiser_task *)base;
    options->config = &t->config.data;
    options->pictures = t->cached == NULL;
    options->tokenizer = t->tokenizer;
    options->length = base->context->config->denoiser.max_length;
    options->noise = (uint32_t)t->latent_count;
    options->variants = base->context->config->data.latent_variants;
    options->facts = t->facts;
}

static mzt_status clean_latents(denoiser_task *t, const loader_batch *b, mzt_error *error) {
    const train_context *c = t->base.context;
    if (!t->cached) return latent_encoder_run(&t->encoder, b->pictures, t->clean, error);
    for (uint32_t i = 0; i < c->batch; i++) {
        const uint64_t row = (uint64_t)b->variants[i] * c->data->train_count + b->samples[i];
        memcpy(t->clean + i * t->latent_count, t->cached + row * t->latent_count,
               (size_t)t->latent_count * sizeof *t->clean);
    }
    return MZT_OK;
}

static mzt_status feed(train_task *base, network *n, const loader_batch *b, mzt_error *error) {
    denoiser_task *t = (denoiser_task *)base;
    const train_context *c = base->context;
    const uint64_t one = t->latent_count;
    TRY(clean_latents(t, b, error));
    for (uint32_t i = 0; i < c->batch; i++) {
        const diffusion_point p = diffusion_draw(&t->process, c->seed, b->step, b->first + i, b->all);
        diffusion_mix(&t->process, &p, t->clean + i * one, b->noise + i * one, one, t->sample + i * one,
                      t->target + i * one);
        t->weights[i] = (float)p.weight;
        t->timesteps[i] = (float)p.timestep;
    }
    TRY(network_set(n, "sample", t->sample, c->batch * one, error));
    TRY(network_set(n, "target", t->target, c->batch * one, error));
    TRY(network_set(n, "weights", t->weights, c->batch, error));
    TRY(network_set(n, "timesteps", t->timesteps, c->batch, error));
    return network_set_u32(n, "ids", b->ids, (uint64_t)c->batch * c->config->denoiser.max_length, error);
}

static const char *file_of(const train_task *base, const char *parameter) {
    if (base->context->config->lora.rank) return TRAIN_LORA_FILE;
    return strncmp(parameter, "text_model.", 11) == 0 ? "text_encoder/model.safetensors"
                                                      : "unet/diffusion_pytorch_model.safetensors";
}

static uint32_t initial_weights(const train_task *base, const weights_set *sets[2]) {
    const denoiser_task *t = (const denoiser_task *)base;
    if (!t->init) return 0;
    sets[0] = t->init->weights[MODEL_UNET];
    sets[1] = t->init->weights[MODEL_TEXT_ENCODER];
    return 2;
}

static void destroy(train_task *base) {
    denoiser_task *t = (denoiser_task *)base;
    const base_host *host = base->context->host;
    latent_encoder_destroy(&t->encoder);
    diffusion_destroy(&t->process);
    if (!t->init || t->tokenizer != t->init->tokenizer[0]) bpe_destroy(t->tokenizer);
    if (t->autoencoder != t->init) model_close(t->autoencoder);
    model_close(t->init);
    void *const blocks[] = {
        t->init_unet, t->init_text, t->tokenizer_folder, t->text_json, t->unet_json, t->cached,    t->facts,
        t->held_out,  t->clean,     t->sample,           t->target,    t->weights,   t->timesteps, t};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        host_free(host, blocks[i]);
}

/* -------------------------------------------------------------------------------------------------- creating
 * -- */

static mzt_status allocate(denoiser_task *t, mzt_error *error) {
    const train_context *c = t->base.context;
    const size_t batch = c->batch, values = (size_t)(batch * t->latent_count);
    t->clean = host_calloc(c->host, values, sizeof *t->clean);
    t->sample = host_calloc(c->host, values, sizeof *t->sample);
    t->target = host_calloc(c->host, values, sizeof *t->target);
    t->weights = host_calloc(c->host, batch, sizeof *t->weights);
    t->timesteps = host_calloc(c->host, batch, sizeof *t->timesteps);
    if (t->clean && t->sample && t->target && t->weights && t->timesteps) return MZT_OK;
    return error_memory(error, "batch", values * 3 * sizeof *t->clean);
}

static mzt_status create(denoiser_task *t, mzt_error *error) {
    const train_context *c = &t->context;
    TRY(denoiser_open_models(t, error));
    const uint32_t factor = vae_factor(&t->autoencoder->vae),
                   side = c->config->data.augment.resolution / factor;
    if (c->config->data.augment.resolution % factor != 0)
        return error_set(error, MZT_ERROR_INVALID, "resolution %u: must be a multiple of %u",
                         (unsigned)c->config->data.augment.resolution, (unsigned)factor);
    t->latent = (shape4){c->batch, side, side, t->autoencoder->vae.latent_channels};
    t->latent_count = (uint64_t)side * side * t->latent.c;
    TRY(diffusion_create(c->host, &c->config->denoiser, &t->process, error));
    TRY(denoiser_prepare_words(t, error));
    TRY(denoiser_prepare_latents(t, error));
    return allocate(t, error);
}

static const train_task_functions functions = {describe,          choose_batches,  feed,
                                               file_of,           initial_weights, denoiser_save,
                                               denoiser_validate, denoiser_draw,   destroy};

mzt_status denoiser_task_create(const train_context *context, train_task **out, mzt_error *error) {
    *out = NULL;
    denoiser_task *t = host_calloc(context->host, 1, sizeof *t);
    if (!t) return error_memory(error, "denoiser", sizeof *t);
    t->context = *context;
    t->config = *context->config;
    t->context.config = &t->config;
    t->base = (train_task){.functions = &functions, .context = &t->context};
    mzt_status status = create(t, error);
    if (status < 0)
        destroy(&t->base);
    else
        *out = &t->base;
    return status;
}
