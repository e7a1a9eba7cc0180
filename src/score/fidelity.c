/* The autoencoder on held-out pictures; see fidelity.h. */
#include "score/fidelity.h"

#include <math.h>

#include "pipeline/autoencoder.h"
#include "score/score.h"

enum { BATCH = 8, SIDE_UNSAID = 256 };

static uint32_t own_side(const model *m, uint32_t factor) {
    const uint32_t said = m->vae.sample_size[0] ? m->vae.sample_size[0] : m->unet.sample_size[0] * factor;
    return (said ? said : SIDE_UNSAID) / factor * factor;
}

typedef struct buffers {
    float *pictures, *decoded, *mean, *logvar;
} buffers;

/* Encodes and decodes BATCH pictures. */
static mzt_status pass(const model *m, executor *e, precision p, shape4 shape, decoder *d, const buffers *b,
                       mzt_error *error) {
    TRY(autoencoder_encode(m, e, p, shape, (model_wrap){false, false}, b->pictures, b->mean, b->logvar, NULL,
                           error));
    return decoder_run(d, b->mean, b->decoded, NULL, error);
}

/* Pictures `first` to `first + count - 1` of the held-out ones. */
static mzt_status load(const dataset *data, uint32_t first, uint32_t count, uint32_t side, float *out,
                       mzt_error *error) {
    const augment_options placing = {.resolution = side, .channels = 4, .scale_low = 1, .scale_high = 1};
    for (uint32_t i = 0; i < count; i++) {
        dataset_facts facts;
        TRY(dataset_picture(data, NULL, &placing, false, 0, 0, data->held_out[first + i],
                            out + (size_t)i * side * side * 4, &facts, error));
    }
    return MZT_OK;
}

static mzt_status measure(const model *m, executor *e, precision p, const dataset *data,
                          bool (*progress)(void *user, uint32_t done, uint32_t count), void *user,
                          const buffers *b, score_fidelity *out, mzt_error *error) {
    const uint32_t factor = vae_factor(&m->vae), side = out->side, total = data->held_out_count;
    const shape4 shape = {BATCH, side, side, 4},
                 latent = {BATCH, side / factor, side / factor, m->vae.latent_channels};
    double square = 0;
    decoder d;
    mzt_status status = decoder_create(m, e, p, latent, (model_wrap){false, false}, &d, error);
    for (uint32_t first = 0; status >= 0 && first < total; first += BATCH) {
        const uint32_t count = total - first < BATCH ? total - first : BATCH;
        status = load(data, first, count, side, b->pictures, error);
        if (status >= 0) status = pass(m, e, p, shape, &d, b, error);
        for (uint32_t i = 0; status >= 0 && i < count; i++) {
            const size_t at = (size_t)i * side * side * 4;
            const double psnr = score_psnr(b->pictures + at, b->decoded + at, (uint64_t)side * side);
            out->lowest = fmin(out->lowest, psnr);
            out->mean += psnr / total;
            square += pow(10, -psnr / 10) / total;
        }
        if (status >= 0 && progress && !progress(user, first + count, total)) status = MZT_CANCELLED;
    }
    decoder_destroy(&d);
    out->pooled = -10 * log10(square);
    return status;
}

mzt_status score_fidelity_measure(const model *m, executor *e, precision p, const dataset *data,
                                  uint32_t side, bool (*progress)(void *user, uint32_t done, uint32_t count),
                                  void *user, score_fidelity *out, mzt_error *error) {
    const uint32_t factor = vae_factor(&m->vae);
    side = side ? side / factor * factor : own_side(m, factor);
    *out = (score_fidelity){.pictures = data->held_out_count, .side = side, .lowest = INFINITY};
    if (m->vae.in_channels != 4 || m->vae.out_channels != 4)
        return error_set(error, MZT_ERROR_INVALID,
                         "the autoencoder has %u channels in and %u out, expected RGBA",
                         (unsigned)m->vae.in_channels, (unsigned)m->vae.out_channels);
    if (side == 0)
        return error_set(error, MZT_ERROR_INVALID, "the autoencoder needs sides of at least %u",
                         (unsigned)factor);
    if (data->held_out_count == 0)
        return error_set(error, MZT_ERROR_INVALID, "%s: no picture is held out", data->folder);
    const size_t pixels = (size_t)BATCH * side * side;
    const size_t latent = pixels / factor / factor * m->vae.latent_channels;
    buffers b = {.pictures = host_calloc(m->host, pixels * 4, sizeof(float)),
                 .decoded = host_calloc(m->host, pixels * 4, sizeof(float)),
                 .mean = host_calloc(m->host, latent, sizeof(float)),
                 .logvar = host_calloc(m->host, latent, sizeof(float))};
    mzt_status status = b.pictures && b.decoded && b.mean && b.logvar
                            ? measure(m, e, p, data, progress, user, &b, out, error)
                            : error_memory(error, "pictures", pixels * 32);
    host_free(m->host, b.pictures);
    host_free(m->host, b.decoded);
    host_free(m->host, b.mean);
    host_free(m->host, b.logvar);
    return status;
}
