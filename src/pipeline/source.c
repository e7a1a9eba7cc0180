/* Image to image's picture and mask; see source.h. */
#include "pipeline/source.h"

#include <string.h>

#include "model/unet.h"

/* Pixels along a side that no network of the field is run with. */
enum { SIDE_LIMIT = 8192 };

void source_size(const model *m, const image *picture, uint32_t *width, uint32_t *height) {
    const uint32_t multiple = vae_factor(&m->vae) * unet_multiple(&m->unet);
    uint32_t *const sides[2] = {width, height};
    for (int i = 0; i < 2; i++) {
        uint32_t side = i ? picture->height : picture->width;
        if (side > SIDE_LIMIT) side = SIDE_LIMIT;
        *sides[i] = side < multiple ? multiple : side / multiple * multiple;
    }
}

/* Covers the size with the picture, in the autoencoder's channels. */
static mzt_status fit_picture(const model *m, const image *picture, uint32_t width, uint32_t height,
                              image *out, mzt_error *error) {
    static const uint8_t white[3] = {255, 255, 255};
    image flat = {0};
    const image *from = picture;
    if (m->vae.in_channels == 3) {
        TRY(image_over_colour(m->host, picture, white, &flat, error));
        from = &flat;
    }
    mzt_status status = image_fill(m->host, from, width, height, IMAGE_LANCZOS, out, error);
    image_free(m->host, &flat);
    return status;
}

/* Grey value times alpha, 0...1, covering the size. */
static mzt_status fit_mask(const base_host *host, const image *mask, uint32_t width, uint32_t height,
                           float **out, mzt_error *error) {
    static const uint8_t black[3] = {0};
    image flat = {0}, fitted = {0};
    mzt_status status = image_over_colour(host, mask, black, &flat, error);
    if (status >= 0) status = image_fill(host, &flat, width, height, IMAGE_BILINEAR, &fitted, error);
    *out = host_calloc(host, (size_t)width * height, sizeof **out);
    if (status >= 0 && !*out) status = error_memory(error, "mask", (uint64_t)width * height * sizeof **out);
    for (uint64_t i = 0; status >= 0 && i < (uint64_t)width * height; i++) {
        const uint8_t *p = fitted.pixels + i * 3;
        (*out)[i] = (float)(p[0] + p[1] + p[2]) / (3 * 255.0f);
    }
    image_free(host, &flat);
    image_free(host, &fitted);
    return status;
}

void source_values(const model *m, const source *s, bool hide, float *values) {
    const uint32_t channels = m->vae.in_channels;
    const uint64_t pixels = (uint64_t)s->picture.width * s->picture.height;
    image_to_floats(&s->picture, channels, values);
    for (uint64_t i = 0; hide && i < pixels; i++)
        for (uint32_t c = 0; s->mask[i] >= 0.5f && c < channels; c++)
            values[i * channels + c] = 0;
}

/* The largest mask value of each latent pixel, so that everything the mask touches can change. */
static mzt_status reduce_mask(source *s, uint32_t factor, mzt_error *error) {
    const uint32_t width = s->picture.width;
    s->latent_mask = host_calloc(s->host, (size_t)s->latent_height * s->latent_width, sizeof *s->latent_mask);
    if (!s->latent_mask) return error_memory(error, "mask", (uint64_t)s->latent_height * s->latent_width * 4);
    for (uint32_t y = 0; y < s->picture.height; y++)
        for (uint32_t x = 0; x < width; x++) {
            float *most = &s->latent_mask[(size_t)(y / factor) * s->latent_width + x / factor];
            float value = s->mask[(size_t)y * width + x];
            if (value > *most) *most = value;
        }
    return MZT_OK;
}

mzt_status source_create(const model *m, const image *picture, const image *mask, uint32_t width,
                         uint32_t height, source *out, mzt_error *error) {
    const uint32_t factor = vae_factor(&m->vae);
    *out = (source){.host = m->host,
                    .latent_height = height / factor,
                    .latent_width = width / factor,
                    .latent_channels = m->vae.latent_channels};
    if (m->vae.in_channels != m->vae.out_channels || m->vae.in_channels < 3 || m->vae.in_channels > 4)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "%s: the autoencoder takes pictures of %u channels and gives %u", m->path,
                         m->vae.in_channels, m->vae.out_channels);
    if (mask && (mask->width != picture->width || mask->height != picture->height))
        return error_set(error, MZT_ERROR_INVALID,
                         "the mask is %u x %u, but the picture it belongs to is %u x %u", mask->width,
                         mask->height, picture->width, picture->height);
    mzt_status status = fit_picture(m, picture, width, height, &out->picture, error);
    if (status >= 0 && mask) status = fit_mask(m->host, mask, width, height, &out->mask, error);
    if (status >= 0 && mask) status = reduce_mask(out, factor, error);
    const uint64_t count = (uint64_t)out->latent_height * out->latent_width * out->latent_channels;
    if (status >= 0) {
        out->latent = host_calloc(m->host, (size_t)count, sizeof *out->latent);
        if (!out->latent) status = error_memory(error, "latent", count * sizeof *out->latent);
    }
    if (status < 0) source_destroy(out);
    return status;
}

void source_destroy(source *s) {
    if (s->host) {
        image_free(s->host, &s->picture);
        host_free(s->host, s->mask);
        host_free(s->host, s->latent);
        host_free(s->host, s->latent_mask);
    }
    *s = (source){0};
}

void source_inpaint_channels(const model *m, const source *s, const float *hidden, uint64_t pixels,
                             float *channels) {
    const uint32_t c = m->vae.latent_channels;
    const bool masked = s && s->mask;
    for (uint64_t i = 0; i < pixels; i++) {
        channels[i * (c + 1)] = !masked || s->latent_mask[i] >= 0.5f ? 1 : 0;
        memcpy(channels + i * (c + 1) + 1, hidden + i * c, c * sizeof *hidden);
    }
}

void source_paste(const source *s, image *picture) {
    const uint64_t pixels = (uint64_t)picture->width * picture->height;
    const uint32_t channels = picture->channels;
    for (uint64_t i = 0; s->mask && i < pixels; i++) {
        const uint8_t *from = s->picture.pixels + i * channels;
        uint8_t *to = picture->pixels + i * channels;
        for (uint32_t c = 0; c < channels; c++)
            to[c] = (uint8_t)(s->mask[i] * (float)to[c] + (1 - s->mask[i]) * (float)from[c] + 0.5f);
    }
}
