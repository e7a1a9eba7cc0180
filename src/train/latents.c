/* Pictures to latents; see latents.h. */
#include "train/latents.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "model/vae.h"
#include "pipeline/autoencoder.h"

static mzt_status read_vae(model *m, const char *folder, mzt_error *error) {
    char *vae = path_join(m->host, folder, "vae"),
         *path = vae ? path_join(m->host, vae, "config.json") : NULL;
    json_doc *doc = NULL;
    mzt_status status = path ? json_read(m->host, path, &doc, error) : error_memory(error, folder, 0);
    if (status >= 0) status = vae_config_read(json_root(doc), &m->vae, error);
    if (status >= 0) status = weights_open(m->host, vae, &m->weights[MODEL_VAE], error);
    json_destroy(doc);
    host_free(m->host, vae);
    host_free(m->host, path);
    return status;
}

mzt_status latents_open_autoencoder(const base_host *host, const char *folder, model **out,
                                    mzt_error *error) {
    *out = NULL;
    model *m = host_calloc(host, 1, sizeof *m);
    if (!m) return error_memory(error, folder, sizeof *m);
    m->host = m->index.host = host;
    m->index.folder = host_strdup(host, folder);
    m->path = m->index.folder;
    mzt_status status = m->path ? read_vae(m, folder, error) : error_memory(error, folder, strlen(folder));
    if (status < 0)
        model_close(m);
    else
        *out = m;
    return status;
}

mzt_status latent_encoder_create(const train_context *context, const model *m, uint32_t batch,
                                 latent_encoder *out, mzt_error *error) {
    const augment_options *a = &context->config->data.augment;
    *out = (latent_encoder){.context = context, .m = m};
    if (m->vae.in_channels != a->channels)
        return error_set(error, MZT_ERROR_INVALID, "%s: vae takes pictures of %u channels, expected %u",
                         m->path, (unsigned)m->vae.in_channels, (unsigned)a->channels);
    dtype type = context->type == DTYPE_F16 && m->vae.force_upcast ? DTYPE_F32 : context->type;
    graph *g = graph_create(context->host, type, type);
    if (!g) return error_memory(error, "graph", sizeof *g);
    const vae_options options = {.has = model_vae_has, .user = m};
    tensor picture =
        graph_input(g, "picture", type, (shape4){batch, a->resolution, a->resolution, a->channels});
    tensor mean =
        graph_slice(g, vae_describe_encoder(g, &m->vae, picture, &options), 0, m->vae.latent_channels);
    out->latent = graph_shape(g, mean);
    graph_output(g, mean, "mean");
    return network_create(context->device, g, m->weights[MODEL_VAE], &out->network, error);
}

void latent_encoder_destroy(latent_encoder *e) {
    network_destroy(&e->network);
    *e = (latent_encoder){0};
}

mzt_status latent_encoder_run(latent_encoder *e, const float *pictures, float *latents, mzt_error *error) {
    const augment_options *a = &e->context->config->data.augment;
    const uint64_t count = e->latent.n * latent_encoder_count(e);
    TRY(network_set(&e->network, "picture", pictures,
                    (uint64_t)e->latent.n * a->resolution * a->resolution * a->channels, error));
    TRY(network_run(&e->network, error));
    TRY(network_get(&e->network, "mean", latents, count, error));
    latent_to_unet(e->m, latents, count);
    return MZT_OK;
}

/* One batch being decoded by several threads. */
typedef struct decoding {
    const train_context *context;
    const uint32_t *items;
    bool augment;
    uint64_t variant, picture_count;
    float *pictures;
    dataset_facts *facts;
    mzt_error *errors; /* one for each picture */
} decoding;

static void decode_range(void *argument, uint64_t first, uint64_t last, uint32_t worker) {
    const decoding *d = argument;
    const train_context *c = d->context;
    (void)worker;
    for (uint64_t i = first; i < last; i++) {
        d->errors[i].status = dataset_picture(
            c->data, &c->config->exclude, &c->config->data.augment, d->augment, c->seed, d->variant,
            d->items[i], d->pictures + i * d->picture_count, &d->facts[i], &d->errors[i]);
    }
}

static mzt_status encode_batch(latent_encoder *e, decoding *d, uint32_t count, float *latents,
                               mzt_error *error) {
    memset(d->errors, 0, count * sizeof *d->errors);
    thread_pool_for(e->context->pool, count, 1, decode_range, d);
    for (uint32_t i = 0; i < count; i++) {
        if (d->errors[i].status >= 0) continue;
        if (error) *error = d->errors[i];
        return d->errors[i].status;
    }
    return latent_encoder_run(e, d->pictures, latents, error);
}

mzt_status latent_encoder_items(latent_encoder *e, const uint32_t *items, uint32_t count, bool augment,
                                uint64_t variant, float *latents, dataset_facts *facts, mzt_error *error) {
    const base_host *host = e->context->host;
    const augment_options *a = &e->context->config->data.augment;
    const uint32_t batch = e->latent.n;
    const uint64_t one = latent_encoder_count(e);
    decoding d = {.context = e->context, .augment = augment, .variant = variant};
    d.picture_count = (uint64_t)a->resolution * a->resolution * a->channels;
    d.pictures = host_calloc(host, (size_t)(batch * d.picture_count), sizeof *d.pictures);
    d.facts = host_calloc(host, batch, sizeof *d.facts);
    d.errors = host_calloc(host, batch, sizeof *d.errors);
    float *encoded = host_calloc(host, (size_t)(batch * one), sizeof *encoded);
    mzt_status status = MZT_OK;
    if (!d.pictures || !d.facts || !d.errors || !encoded)
        status = error_memory(error, "latents", batch * d.picture_count * sizeof(float));
    for (uint32_t first = 0; status >= 0 && first < count; first += batch) {
        const uint32_t now = count - first < batch ? count - first : batch;
        d.items = items + first;
        status = encode_batch(e, &d, now, encoded, error);
        if (status < 0) break;
        memcpy(latents + first * one, encoded, (size_t)(now * one) * sizeof *encoded);
        if (facts) memcpy(facts + first, d.facts, now * sizeof *facts);
    }
    host_free(host, d.pictures);
    host_free(host, d.facts);
    host_free(host, d.errors);
    host_free(host, encoded);
    return status;
}
