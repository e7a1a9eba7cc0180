/* Autoencoders made for one use: see autoencoder.h. */
#include "model/vae.h"
#include "pipeline/autoencoder.h"

static uint64_t shape_count(shape4 s) {
    return (uint64_t)s.n * s.h * s.w * s.c;
}

static mzt_status run(network *n, const run_control *control, mzt_error *error) {
    return program_run_phase(n->program, "main", control, error);
}

mzt_status decoder_create(const model *m, executor *e, precision p, shape4 latent, model_wrap wrap,
                          decoder *out, mzt_error *error) {
    const part_spec spec = autoencoder_spec(PART_DECODER, latent, wrap);
    const uint64_t factor = vae_factor(&m->vae);
    *out = (decoder){.latent_count = shape_count(latent)};
    out->picture_count = (uint64_t)latent.n * latent.h * latent.w * factor * factor * m->vae.out_channels;
    return part_create(m, e, p, &spec, &out->network, error);
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
    const part_spec spec = autoencoder_spec(PART_ENCODER, picture, wrap);
    const uint32_t factor = vae_factor(&m->vae);
    const uint64_t count =
        (uint64_t)picture.n * (picture.h / factor) * (picture.w / factor) * m->vae.latent_channels;
    network n;
    TRY(part_create(m, e, p, &spec, &n, error));
    mzt_status status = network_set(&n, "picture", values, shape_count(picture), error);
    if (status >= 0) status = run(&n, control, error);
    if (status >= 0) status = network_get(&n, "mean", mean, count, error);
    if (status >= 0) status = network_get(&n, "logvar", logvar, count, error);
    network_destroy(&n);
    /* diffusers clamps the log-variance to this range */
    for (uint64_t i = 0; status >= 0 && i < count; i++)
        logvar[i] = logvar[i] < -30 ? -30 : logvar[i] > 20 ? 20 : logvar[i];
    return status < 0 && status != MZT_CANCELLED ? error_prefix(error, "vae encoder: ") : status;
}
