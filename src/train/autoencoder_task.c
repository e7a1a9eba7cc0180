/* Training an autoencoder: pictures through encoder, sampled latent and decoder, judged by autoencoder_loss.h
 * and by how far the latents' distribution is from a standard normal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "graph/differentiate.h"
#include "model/vae.h"
#include "train/autoencoder_loss.h"
#include "train/json_keys.h"
#include "train/latents.h"
#include "train/show.h"

#define WEIGHTS_FILE "vae/diffusion_pytorch_model.safetensors"

enum { SHOWN = 8, MEASURED = 256 }; /* pictures on a sheet; pictures that latents are measured on */

typedef struct autoencoder_task {
    train_task base;
    model *init;                          /* weights to begin from, or NULL */
    float *negated;                       /* [batch] pictures: what feed uploads */
    uint64_t picture_count, latent_count; /* values of one */
} autoencoder_task;

/* Inputs "picture", "negated", "noise"; outputs of the network as tensors. */
static uint32_t describe_batch(const autoencoder_task *t, graph *g, uint32_t batch,
                               tensor losses[TASK_LOSSES_MAX], tensor *picture) {
    const train_config *c = t->base.context->config;
    const uint32_t side = c->data.augment.resolution, latent = c->vae.latent_channels;
    const dtype type = g->activation;
    const shape4 shape = {batch, side, side, c->vae.in_channels};
    tensor x = graph_varying_input(g, "picture", type, shape);
    tensor moments = vae_describe_encoder(g, &c->vae, x, NULL);
    tensor mean = graph_slice(g, moments, 0, latent), logvar = graph_slice(g, moments, latent, latent);
    tensor noise = graph_varying_input(g, "noise", type, graph_shape(g, mean));
    tensor deviation = graph_unary(g, logvar, UNARY_EXP, 0.5f, 0, type);
    tensor z = graph_add(g, mean, graph_mul(g, deviation, noise));
    *picture = vae_describe_decoder(g, &c->vae, z, NULL);
    tensor negated = graph_varying_input(g, "negated", type, shape);
    uint32_t count = autoencoder_losses(g, *picture, negated, &c->autoencoder, losses, 0);
    if (c->autoencoder.kl >
        0) { /* (mean^2 + exp(logvar) - 1 - logvar) / 2, averaged over the latent's values */
        const shape4 s = graph_shape(g, mean);
        const double values = (double)s.n * s.h * s.w * s.c;
        const float scale = (float)(c->autoencoder.kl / 2 / (values > 0 ? values : 1));
        const graph_loss_options square = {.kind = LOSS_SQUARE, .scale = scale},
                                 exponential = {.kind = LOSS_EXP, .scale = scale};
        losses[count++] = graph_loss(g, mean, "divergence.mean", &square);
        losses[count++] = graph_loss(g, logvar, "divergence.variance", &exponential);
    }
    return count;
}

static uint32_t describe(train_task *base, graph *g, tensor losses[TASK_LOSSES_MAX]) {
    const autoencoder_task *t = (const autoencoder_task *)base;
    tensor picture;
    return describe_batch(t, g, base->context->batch, losses, &picture);
}

static void choose_batches(const train_task *base, loader_options *options) {
    const autoencoder_task *t = (const autoencoder_task *)base;
    options->pictures = true;
    options->noise = (uint32_t)t->latent_count;
}

static mzt_status set_batch(const autoencoder_task *t, network *n, uint32_t batch, const float *pictures,
                            const float *noise, mzt_error *error) {
    const uint32_t channels = t->base.context->config->vae.in_channels;
    autoencoder_target(pictures, batch * t->picture_count / channels, channels, t->negated);
    TRY(network_set(n, "picture", pictures, batch * t->picture_count, error));
    TRY(network_set(n, "negated", t->negated, batch * t->picture_count, error));
    return network_set(n, "noise", noise, batch * t->latent_count, error);
}

static mzt_status feed(train_task *base, network *n, const loader_batch *b, mzt_error *error) {
    return set_batch((const autoencoder_task *)base, n, base->context->batch, b->pictures, b->noise, error);
}

static const char *file_of(const train_task *base, const char *parameter) {
    (void)base;
    (void)parameter;
    return WEIGHTS_FILE;
}

static uint32_t initial_weights(const train_task *base, const weights_set *sets[2]) {
    const autoencoder_task *t = (const autoencoder_task *)base;
    sets[0] = t->init ? t->init->weights[MODEL_VAE] : NULL;
    return t->init ? 1 : 0;
}

/* --------------------------------------------------------------------------------------------------- saving
 * -- */

static mzt_status write_config(const autoencoder_task *t, checkpoint_writer *c, double shift, double scaling,
                               mzt_error *error) {
    static const char *const but[] = {"scaling_factor", "shift_factor", "sample_size", "force_upcast", NULL};
    const train_context *context = t->base.context;
    json_doc *doc = NULL;
    char *text = NULL;
    size_t length = 0;
    TRY(json_parse(context->host, "vae", context->config->vae_json, strlen(context->config->vae_json), &doc,
                   error));
    json_writer w = json_writer_make(context->host);
    json_write_object(&w, NULL);
    json_write_members(&w, json_root(doc), but);
    json_write_uint(&w, "sample_size", context->config->data.augment.resolution);
    json_write_double(&w, "scaling_factor", scaling);
    json_write_double(&w, "shift_factor", shift);
    json_write_bool(&w, "force_upcast", false);
    json_write_end_object(&w);
    json_destroy(doc);
    TRY(json_writer_finish(&w, &text, &length, error));
    mzt_status status = checkpoint_file(c, "vae/config.json", text, length, error);
    host_free(context->host, text);
    return status;
}

/* Mean and deviation of all latent values of some training pictures: what makes the latents that a denoiser
 * sees have mean 0 and deviation 1. */
static mzt_status measure(const autoencoder_task *t, const model *m, double *mean, double *deviation,
                          mzt_error *error) {
    const train_context *c = t->base.context;
    const uint32_t count = c->data->train_count < MEASURED ? c->data->train_count : MEASURED;
    latent_encoder e;
    mzt_status status = latent_encoder_create(c, m, c->batch, &e, error);
    const uint64_t values = count * t->latent_count;
    float *latents = host_calloc(c->host, (size_t)values, sizeof *latents);
    if (status >= 0 && !latents) status = error_memory(error, "latents", values * sizeof *latents);
    if (status >= 0) status = latent_encoder_items(&e, c->data->train, count, false, 0, latents, NULL, error);
    double sum = 0, squares = 0;
    for (uint64_t i = 0; status >= 0 && i < values; i++)
        sum += (double)latents[i];
    *mean = sum / (double)values;
    for (uint64_t i = 0; status >= 0 && i < values; i++)
        squares += ((double)latents[i] - *mean) * ((double)latents[i] - *mean);
    *deviation = sqrt(squares / (double)values);
    host_free(c->host, latents);
    latent_encoder_destroy(&e);
    return status;
}

static mzt_status save(train_task *base, checkpoint_writer *c, mzt_error *error) {
    const autoencoder_task *t = (const autoencoder_task *)base;
    model *m = NULL;
    double mean = 0, deviation = 1;
    TRY(write_config(t, c, 0, 1, error));
    TRY(latents_open_autoencoder(base->context->host, checkpoint_folder(c), &m, error));
    mzt_status status = measure(t, m, &mean, &deviation, error);
    model_close(m);
    if (status < 0) return status;
    if (!(deviation > 1e-6 && deviation < 1e6) || !(fabs(mean) < 1e6)) { /* nothing was learned yet */
        mean = 0;
        deviation = 1;
    }
    return write_config(t, c, mean, 1 / deviation, error);
}

/* ----------------------------------------------------------------------------------------------- validating
 * -- */

/* The whole network with a checkpoint's weights, for `batch` pictures, without noise in the latent. */
static mzt_status open_forward(const autoencoder_task *t, const model *m, uint32_t batch, network *n,
                               uint32_t *loss_count, mzt_error *error) {
    const train_context *c = t->base.context;
    tensor losses[TASK_LOSSES_MAX] = {0}, picture;
    graph *g = graph_create(c->host, c->type, c->type);
    if (!g) return error_memory(error, "graph", sizeof *g);
    *loss_count = describe_batch(t, g, batch, losses, &picture);
    for (uint32_t i = 0; i < *loss_count; i++) {
        char name[24];
        snprintf(name, sizeof name, "loss.%u", (unsigned)i);
        graph_output(g, losses[i], name);
    }
    graph_output(g, picture, "made");
    return network_create(c->device, g, m->weights[MODEL_VAE], n, error);
}

/* Which pictures a sheet and the validation show: held-out ones, or where there are none, the first. */
static const uint32_t *chosen_items(const dataset *d, uint32_t *count) {
    *count = d->held_out_count ? d->held_out_count : d->train_count;
    return d->held_out_count ? d->held_out : d->train;
}

/* Runs a batch of items; those beyond `count` repeat the last. */
static mzt_status run_items(const autoencoder_task *t, network *n, uint32_t batch, const uint32_t *items,
                            uint32_t count, float *pictures, mzt_error *error) {
    const train_context *c = t->base.context;
    float *noise = host_calloc(c->host, (size_t)(batch * t->latent_count), sizeof *noise);
    mzt_status status =
        noise ? MZT_OK : error_memory(error, "noise", batch * t->latent_count * sizeof *noise);
    for (uint32_t i = 0; status >= 0 && i < batch; i++) {
        dataset_facts facts;
        status =
            dataset_picture(c->data, NULL, &c->config->data.augment, false, 0, 0,
                            items[i < count ? i : count - 1], pictures + i * t->picture_count, &facts, error);
    }
    if (status >= 0) status = set_batch(t, n, batch, pictures, noise, error);
    for (uint32_t i = 0; status >= 0 && i < n->plan->phase_count; i++)
        if (n->plan->phases[i].count)
            status = program_run(n->program, n->plan->phases[i].first, n->plan->phases[i].count, NULL, error);
    host_free(c->host, noise);
    return status;
}

static mzt_status validate(train_task *base, const char *checkpoint, double bands[TRAIN_BANDS],
                           mzt_error *error) {
    const autoencoder_task *t = (const autoencoder_task *)base;
    const train_context *c = base->context;
    uint32_t count, loss_count = 0;
    const uint32_t *items = chosen_items(c->data, &count);
    for (uint32_t i = 0; i < TRAIN_BANDS; i++)
        bands[i] = NAN;
    if (c->data->held_out_count == 0 || c->config->log.validation_pictures == 0) return MZT_OK;
    if (count > c->config->log.validation_pictures) count = c->config->log.validation_pictures;
    uint32_t batch = c->batch; /* none is left over, so that every picture counts the same */
    while (count % batch)
        batch--;
    model *m = NULL;
    network n = {0};
    float *pictures = host_calloc(c->host, (size_t)(c->batch * t->picture_count), sizeof *pictures);
    mzt_status status =
        pictures ? MZT_OK : error_memory(error, "pictures", c->batch * t->picture_count * sizeof *pictures);
    if (status >= 0) status = latents_open_autoencoder(c->host, checkpoint, &m, error);
    if (status >= 0) status = open_forward(t, m, batch, &n, &loss_count, error);
    double sum = 0;
    uint32_t batches = 0;
    for (uint32_t first = 0; status >= 0 && first < count; first += batch, batches++) {
        status = run_items(t, &n, batch, items + first, count - first, pictures, error);
        for (uint32_t i = 0; status >= 0 && i < loss_count; i++) {
            char name[24];
            float value = 0;
            snprintf(name, sizeof name, "loss.%u", (unsigned)i);
            status = network_get(&n, name, &value, 1, error);
            sum += (double)value;
        }
    }
    if (status >= 0) bands[0] = sum / batches;
    network_destroy(&n);
    model_close(m);
    host_free(c->host, pictures);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- sheet
 * -- */

static mzt_status add_pictures(const autoencoder_task *t, const float *pictures, uint32_t count,
                               image *images, mzt_error *error) {
    const augment_options *a = &t->base.context->config->data.augment;
    for (uint32_t i = 0; i < count; i++)
        TRY(image_from_floats(t->base.context->host, pictures + i * t->picture_count, a->resolution,
                              a->resolution, a->channels, &images[i], error));
    return MZT_OK;
}

static mzt_status draw_sheet(const autoencoder_task *t, network *n, float *pictures, const char *path,
                             mzt_error *error) {
    const train_context *c = t->base.context;
    image images[2 * SHOWN] = {0};
    uint32_t count;
    const uint32_t *items = chosen_items(c->data, &count);
    if (count > SHOWN) count = SHOWN;
    if (count > c->batch) count = c->batch;
    mzt_status status = run_items(t, n, c->batch, items, count, pictures, error);
    if (status >= 0) status = add_pictures(t, pictures, count, images, error);
    if (status >= 0) status = network_get(n, "made", pictures, c->batch * t->picture_count, error);
    if (status >= 0) status = add_pictures(t, pictures, count, images + count, error);
    if (status >= 0)
        status = show_sheet(c->host, path, images, NULL, 2 * count, count, "pictures; what becomes of them",
                            error);
    for (uint32_t i = 0; i < 2 * SHOWN; i++)
        image_free(c->host, &images[i]);
    return status;
}

static mzt_status draw(train_task *base, const char *checkpoint, const char *path, mzt_error *error) {
    const autoencoder_task *t = (const autoencoder_task *)base;
    const train_context *c = base->context;
    model *m = NULL;
    network n = {0};
    uint32_t loss_count;
    float *pictures = host_calloc(c->host, (size_t)(c->batch * t->picture_count), sizeof *pictures);
    mzt_status status =
        pictures ? MZT_OK : error_memory(error, "pictures", c->batch * t->picture_count * sizeof *pictures);
    if (status >= 0) status = latents_open_autoencoder(c->host, checkpoint, &m, error);
    if (status >= 0) status = open_forward(t, m, c->batch, &n, &loss_count, error);
    if (status >= 0) status = draw_sheet(t, &n, pictures, path, error);
    network_destroy(&n);
    model_close(m);
    host_free(c->host, pictures);
    return status;
}

static void destroy(train_task *base) {
    autoencoder_task *t = (autoencoder_task *)base;
    const base_host *host = base->context->host;
    model_close(t->init);
    host_free(host, t->negated);
    host_free(host, t);
}

static const train_task_functions functions = {describe, choose_batches, feed, file_of, initial_weights,
                                               save,     validate,       draw, destroy};

mzt_status autoencoder_task_create(const train_context *context, train_task **out, mzt_error *error) {
    const train_config *c = context->config;
    *out = NULL;
    autoencoder_task *t = host_calloc(context->host, 1, sizeof *t);
    if (!t) return error_memory(error, "autoencoder", sizeof *t);
    t->base = (train_task){.functions = &functions, .context = context};
    const uint32_t side = c->data.augment.resolution, small = side / vae_factor(&c->vae);
    t->picture_count = (uint64_t)side * side * c->vae.in_channels;
    t->latent_count = (uint64_t)small * small * c->vae.latent_channels;
    t->negated = host_calloc(context->host, (size_t)(context->batch * t->picture_count), sizeof *t->negated);
    mzt_status status =
        t->negated ? MZT_OK
                   : error_memory(error, "batch", context->batch * t->picture_count * sizeof *t->negated);
    if (status >= 0 && context->init && !context->resume)
        status = latents_open_autoencoder(context->host, context->init, &t->init, error);
    if (status < 0)
        destroy(&t->base);
    else
        *out = &t->base;
    return status;
}
