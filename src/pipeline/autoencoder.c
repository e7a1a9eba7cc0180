/* Latents to pictures and back; see autoencoder.h. */
#include "pipeline/autoencoder.h"

#include "model/vae.h"

static uint64_t shape_count(shape4 s) {
    return (uint64_t)s.n * s.h * s.w * s.c;
}

static mzt_status run(network *n, const run_control *control, mzt_error *error) {
    return program_run_phase(n->program, "main", control, error);
}

/* Autoencoders that overflow f16 are run in f32; bf16 has the range. */
static mzt_status autoencoder_type(const model *m, executor *e, precision p, dtype *type, mzt_error *error) {
    if (!m->weights[MODEL_VAE]) return error_set(error, MZT_ERROR_NOT_FOUND, "%s has no vae", m->path);
    TRY(precision_resolve(p, &e->limits, type, error));
    if (*type == DTYPE_F16 && p == PRECISION_AUTO && m->vae.force_upcast) *type = DTYPE_F32;
    return MZT_OK;
}

mzt_status decoder_create(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                          decoder *out, mzt_error *error) {
    dtype type;
    *out = (decoder){.latent_count = shape_count(latent)};
    TRY(autoencoder_type(m, e, p, &type, error));
    graph *g = graph_create(m->host, type, type);
    if (!g) return error_memory(error, "graph", sizeof *g);
    vae_options options = {.wrap = wrap, .has = model_vae_has, .user = m};
    tensor picture = vae_describe_decoder(g, &m->vae, graph_input(g, "latent", type, latent), &options);
    out->picture_count = shape_count(graph_shape(g, picture));
    graph_output(g, picture, "picture");
    mzt_status status = network_create(e, g, m->weights[MODEL_VAE], &out->network, error);
    return status < 0 ? error_prefix(error, "vae decoder: ") : status;
}

mzt_status decoder_run(decoder *d, const float *latent, float *picture, const run_control *control,
                       mzt_error *error) {
    mzt_status status = network_set(&d->network, "latent", latent, d->latent_count, error);
    if (status >= 0) status = run(&d->network, control, error);
    if (status >= 0) status = network_get(&d->network, "picture", picture, d->picture_count, error);
    return status < 0 && status != MZT_CANCELLED ? error_prefix(error, "vae decoder: ") : status;
}

void decoder_destroy(decoder *d) {
    network_destroy(&d->network);
}

mzt_status autoencoder_decode(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                              const float *values, float *picture, const run_control *control,
                              mzt_error *error) {
    decoder d;
    mzt_status status = decoder_create(m, e, p, latent, wrap, &d, error);
    if (status >= 0) status = decoder_run(&d, values, picture, control, error);
    decoder_destroy(&d);
    return status;
}

mzt_status autoencoder_encode(const model *m, executor *e, precision p, shape4 picture, model_wrap wrap,
                              const float *values, float *mean, float *logvar, const run_control *control,
                              mzt_error *error) {
    dtype type;
    TRY(autoencoder_type(m, e, p, &type, error));
    graph *g = graph_create(m->host, type, type);
    if (!g) return error_memory(error, "graph", sizeof *g);
    vae_options options = {.wrap = wrap, .has = model_vae_has, .user = m};
    const uint32_t c = m->vae.latent_channels;
    tensor moments = vae_describe_encoder(g, &m->vae, graph_input(g, "picture", type, picture), &options);
    tensor halves[2] = {graph_slice(g, moments, 0, c), graph_slice(g, moments, c, c)};
    uint64_t count = shape_count(graph_shape(g, halves[0]));
    graph_output(g, halves[0], "mean");
    graph_output(g, halves[1], "logvar");
    network n = {0};
    mzt_status status = network_create(e, g, m->weights[MODEL_VAE], &n, error);
    if (status >= 0) status = network_set(&n, "picture", values, shape_count(picture), error);
    if (status >= 0) status = run(&n, control, error);
    if (status >= 0) status = network_get(&n, "mean", mean, count, error);
    if (status >= 0) status = network_get(&n, "logvar", logvar, count, error);
    network_destroy(&n);
    /* diffusers clamps the log-variance to this range */
    for (uint64_t i = 0; status >= 0 && i < count; i++)
        logvar[i] = logvar[i] < -30 ? -30 : logvar[i] > 20 ? 20 : logvar[i];
    return status < 0 && status != MZT_CANCELLED ? error_prefix(error, "vae encoder: ") : status;
}

void latent_to_autoencoder(const model *m, float *values, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        values[i] = values[i] / m->vae.scaling_factor + m->vae.shift_factor;
}

void latent_to_unet(const model *m, float *values, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        values[i] = (values[i] - m->vae.shift_factor) * m->vae.scaling_factor;
}
