/* Pictures: making, cropping, pasting, conversion and comparison; see image.h. */
#include "image/image.h"

#include <math.h>
#include <string.h>

mzt_status image_create(const base_host *host, uint32_t width, uint32_t height, uint32_t channels, image *out,
                        mzt_error *error) {
    memset(out, 0, sizeof *out);
    if (width == 0 || height == 0 || width > IMAGE_SIDE_LIMIT || height > IMAGE_SIDE_LIMIT ||
        (uint64_t)width * height > IMAGE_AREA_LIMIT)
        return error_set(error, MZT_ERROR_INVALID,
                         "picture of %u x %u pixels: expected sides of 1..%u and at most %llu in all", width,
                         height, IMAGE_SIDE_LIMIT, (unsigned long long)IMAGE_AREA_LIMIT);
    if (channels != 3 && channels != 4)
        return error_set(error, MZT_ERROR_INVALID, "picture of %u channels: expected 3 or 4", channels);
    out->pixels = host_calloc(host, (size_t)width * height, channels);
    if (!out->pixels) return error_memory(error, "picture", (uint64_t)width * height * channels);
    out->width = width;
    out->height = height;
    out->channels = channels;
    return MZT_OK;
}

void image_free(const base_host *host, image *picture) {
    host_free(host, picture->pixels);
    memset(picture, 0, sizeof *picture);
}

mzt_status image_copy(const base_host *host, const image *in, image *out, mzt_error *error) {
    return image_crop(host, in, 0, 0, in->width, in->height, out, error);
}

mzt_status image_crop(const base_host *host, const image *in, uint32_t x, uint32_t y, uint32_t width,
                      uint32_t height, image *out, mzt_error *error) {
    memset(out, 0, sizeof *out);
    if (x > in->width || width > in->width - x || y > in->height || height > in->height - y)
        return error_set(error, MZT_ERROR_INVALID,
                         "crop of %u x %u at (%u, %u): expected to lie within %u x %u", width, height, x, y,
                         in->width, in->height);
    TRY(image_create(host, width, height, in->channels, out, error));
    for (uint32_t row = 0; row < height; row++)
        memcpy(image_pixel(out, 0, row), image_pixel(in, x, y + row), (size_t)width * in->channels);
    return MZT_OK;
}

/* round(a * b / c), at least 1. */
static uint32_t scaled(uint32_t a, uint32_t b, uint32_t c) {
    uint64_t value = ((uint64_t)a * b * 2 + c) / (2 * (uint64_t)c);
    return value < 1 ? 1 : (uint32_t)value;
}

mzt_status image_fill(const base_host *host, const image *in, uint32_t width, uint32_t height,
                      image_filter filter, image *out, mzt_error *error) {
    image part = {0};
    uint32_t part_width = in->width, part_height = in->height;
    memset(out, 0, sizeof *out);
    if (width == 0 || height == 0)
        return error_set(error, MZT_ERROR_INVALID, "picture of %u x %u pixels: expected 1 or more", width,
                         height);
    /* Crop first, to the proportions asked for: then no more is resampled than is kept. */
    if ((uint64_t)in->width * height > (uint64_t)in->height * width)
        part_width = scaled(width, in->height, height);
    else
        part_height = scaled(height, in->width, width);
    if (part_width > in->width) part_width = in->width;
    if (part_height > in->height) part_height = in->height;
    TRY(image_crop(host, in, (in->width - part_width) / 2, (in->height - part_height) / 2, part_width,
                   part_height, &part, error));
    mzt_status status = image_resize(host, &part, width, height, filter, out, error);
    image_free(host, &part);
    return status;
}

mzt_status image_letterbox(const base_host *host, const image *in, uint32_t width, uint32_t height,
                           image_filter filter, const uint8_t colour[4], image *out, mzt_error *error) {
    image part = {0};
    TRY(image_create(host, width, height, in->channels, out, error));
    uint32_t part_width = width, part_height = height;
    if ((uint64_t)in->width * height > (uint64_t)in->height * width)
        part_height = scaled(width, in->height, in->width);
    else
        part_width = scaled(height, in->width, in->height);
    mzt_status status = image_resize(host, in, part_width, part_height, filter, &part, error);
    if (status < 0) {
        image_free(host, out);
        return status;
    }
    image_rectangle(out, 0, 0, width, height, colour);
    image_paste(out, &part, (width - part_width) / 2, (height - part_height) / 2);
    image_free(host, &part);
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------ pasting,
 * composition -- */

/* Clips [at, at + size) to [0, limit); `skip` is how much was cut off in front. False when nothing is left.
 */
static bool clip(int64_t *at, int64_t *size, int64_t limit, int64_t *skip) {
    *skip = *at < 0 ? -*at : 0;
    if (*size <= *skip || *at >= limit) return false;
    *at += *skip;
    *size -= *skip;
    if (*size > limit - *at) *size = limit - *at;
    return true;
}

void image_paste(image *onto, const image *picture, int64_t x, int64_t y) {
    int64_t width = picture->width, height = picture->height, skip_x, skip_y;
    if (onto->channels != picture->channels) return;
    if (!clip(&x, &width, onto->width, &skip_x) || !clip(&y, &height, onto->height, &skip_y)) return;
    for (int64_t row = 0; row < height; row++)
        memcpy(image_pixel(onto, (uint32_t)x, (uint32_t)(y + row)),
               image_pixel(picture, (uint32_t)skip_x, (uint32_t)(skip_y + row)),
               (size_t)width * onto->channels);
}

void image_rectangle(image *onto, int64_t x, int64_t y, int64_t width, int64_t height,
                     const uint8_t colour[4]) {
    int64_t skip;
    if (!clip(&x, &width, onto->width, &skip) || !clip(&y, &height, onto->height, &skip)) return;
    for (int64_t row = y; row < y + height; row++) {
        uint8_t *pixel = image_pixel(onto, (uint32_t)x, (uint32_t)row);
        for (int64_t i = 0; i < width; i++, pixel += onto->channels)
            memcpy(pixel, colour, onto->channels);
    }
}

/* Rounded (over * alpha + under * (255 - alpha)) / 255. */
static uint8_t blend(uint8_t over, uint8_t under, uint8_t alpha) {
    return (uint8_t)((over * alpha + under * (255 - alpha) + 127) / 255);
}

/* Lays `in` over squares of two colours; `square` 0 means the first colour everywhere. */
static mzt_status lay_over(const base_host *host, const image *in, const uint8_t colours[2][3],
                           uint32_t square, image *out, mzt_error *error) {
    TRY(image_create(host, in->width, in->height, 3, out, error));
    for (uint32_t y = 0; y < in->height; y++) {
        for (uint32_t x = 0; x < in->width; x++) {
            const uint8_t *from = image_pixel(in, x, y);
            const uint8_t *under = colours[square ? (x / square + y / square) % 2 : 0];
            uint8_t *to = image_pixel(out, x, y), alpha = in->channels == 4 ? from[3] : 255;
            for (int c = 0; c < 3; c++)
                to[c] = blend(from[c], under[c], alpha);
        }
    }
    return MZT_OK;
}

mzt_status image_over_colour(const base_host *host, const image *in, const uint8_t colour[3], image *out,
                             mzt_error *error) {
    const uint8_t colours[2][3] = {{colour[0], colour[1], colour[2]}, {0}};
    return lay_over(host, in, colours, 0, out, error);
}

mzt_status image_over_checkerboard(const base_host *host, const image *in, uint32_t square, image *out,
                                   mzt_error *error) {
    static const uint8_t colours[2][3] = {{238, 238, 238}, {212, 212, 212}};
    return lay_over(host, in, colours, square ? square : 1, out, error);
}

/* -------------------------------------------------------------------------------------------- floats,
 * comparison -- */

void image_to_floats(const image *in, uint32_t channels, float *out) {
    const uint8_t *from = in->pixels;
    for (size_t i = 0; i < (size_t)in->width * in->height; i++, from += in->channels) {
        for (uint32_t c = 0; c < channels; c++)
            *out++ = c < in->channels ? (float)from[c] / 127.5f - 1.0f : 1.0f;
    }
}

void image_set_floats(image *out, const float *in) {
    for (size_t i = 0; i < (size_t)out->width * out->height * out->channels; i++) {
        float value = in[i] * 127.5f + 127.5f;
        out->pixels[i] = value >= 255.0f ? 255 : value > 0.0f ? (uint8_t)(value + 0.5f) : 0;
    }
}

mzt_status image_from_floats(const base_host *host, const float *in, uint32_t width, uint32_t height,
                             uint32_t channels, image *out, mzt_error *error) {
    TRY(image_create(host, width, height, channels, out, error));
    image_set_floats(out, in);
    return MZT_OK;
}

mzt_status image_psnr(const image *a, const image *b, double *psnr, mzt_error *error) {
    if (a->width != b->width || a->height != b->height || a->channels != b->channels)
        return error_set(error, MZT_ERROR_INVALID,
                         "pictures of %u x %u x %u and %u x %u x %u: expected equal shapes", a->width,
                         a->height, a->channels, b->width, b->height, b->channels);
    uint64_t sum = 0, count = (uint64_t)a->width * a->height * a->channels;
    for (uint64_t i = 0; i < count; i++) {
        int difference = a->pixels[i] - b->pixels[i];
        sum += (uint64_t)(difference * difference);
    }
    *psnr = sum ? 10.0 * log10(255.0 * 255.0 * (double)count / (double)sum) : INFINITY;
    return MZT_OK;
}
