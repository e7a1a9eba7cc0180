/* Pictures of 8-bit channels in memory, and what is done to them: resizing, cropping, composition, conversion
 * to the networks' floats, comparison.
 *
 * Pixels are [height, width, channels], rows without gaps, channels 3 (RGB) or 4 (RGB and straight alpha),
 * sRGB values; filters work on these values as they are, as every trainer and pipeline of the field does.
 *
 * Ownership: functions that make a picture fill a zeroed `out`; release with image_free. `out` must not be an
 * input. Thread-safety: pure functions. */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "base/host.h"

#define IMAGE_SIDE_LIMIT 65536u       /* pixels along a side */
#define IMAGE_AREA_LIMIT (1ull << 28) /* pixels in all: 1 GiB of RGBA */

typedef struct image {
    uint32_t width, height, channels;
    uint8_t *pixels;
} image;

/* A black (with 4 channels: clear) picture. INVALID for sides of 0 or beyond the limits, or channels other
 * than 3 and 4. */
mzt_status image_create(const base_host *host, uint32_t width, uint32_t height, uint32_t channels, image *out,
                        mzt_error *error);
void image_free(const base_host *host, image *picture); /* leaves a zeroed structure, which is accepted too */

mzt_status image_copy(const base_host *host, const image *in, image *out, mzt_error *error);

static inline uint8_t *image_pixel(const image *picture, uint32_t x, uint32_t y) {
    return picture->pixels + ((size_t)y * picture->width + x) * picture->channels;
}

typedef enum image_filter {
    IMAGE_AREA,     /* mean of what each new pixel covers; when enlarging, square pixels */
    IMAGE_BILINEAR, /* triangle, widened when reducing so that nothing is skipped */
    IMAGE_LANCZOS   /* Lanczos of 3 lobes, widened likewise */
} image_filter;

/* Resamples to width x height. Colours are weighted by alpha, so that clear pixels do not bleed. */
mzt_status image_resize(const base_host *host, const image *in, uint32_t width, uint32_t height,
                        image_filter filter, image *out, mzt_error *error);

/* The part at (x, y) of the given size. INVALID when it does not lie within the picture. */
mzt_status image_crop(const base_host *host, const image *in, uint32_t x, uint32_t y, uint32_t width,
                      uint32_t height, image *out, mzt_error *error);

/* Scales to cover width x height in full, keeping proportions, and crops the middle. */
mzt_status image_fill(const base_host *host, const image *in, uint32_t width, uint32_t height,
                      image_filter filter, image *out, mzt_error *error);

/* Scales to lie within width x height, keeping proportions, and centres it on a background of `colour` (RGBA;
 * alpha counts in pictures with 4 channels only). */
mzt_status image_letterbox(const base_host *host, const image *in, uint32_t width, uint32_t height,
                           image_filter filter, const uint8_t colour[4], image *out, mzt_error *error);

/* Lays RGBA over a colour, or over a grey checkerboard of squares of `square` pixels: 3 channels come out.
 * Pictures of 3 channels are copied. */
mzt_status image_over_colour(const base_host *host, const image *in, const uint8_t colour[3], image *out,
                             mzt_error *error);
mzt_status image_over_checkerboard(const base_host *host, const image *in, uint32_t square, image *out,
                                   mzt_error *error);

/* Copies a picture of 3 channels into one of 3 channels at (x, y); what would lie outside is left out. */
void image_paste(image *onto, const image *picture, int64_t x, int64_t y);
/* Fills a rectangle, clipped likewise, with the first `channels` values of `colour`. */
void image_rectangle(image *onto, int64_t x, int64_t y, int64_t width, int64_t height,
                     const uint8_t colour[4]);

/* To floats: value / 127.5 - 1, into out [height, width, channels]; `channels` is 3 (alpha is dropped) or 4
 * (alpha of RGB is 1). That is one picture of a tensor [N,H,W,C]. */
void image_to_floats(const image *in, uint32_t channels, float *out);
/* From floats of that form, rounded to the nearest value and clamped; NaN gives 0. */
void image_set_floats(image *out, const float *in); /* a picture that is there already */
mzt_status image_from_floats(const base_host *host, const float *in, uint32_t width, uint32_t height,
                             uint32_t channels, image *out, mzt_error *error);

/* Peak signal-to-noise ratio in dB over all channels, 10 log10(255^2 / mean square error); infinite for equal
 * pictures. INVALID for pictures of different shape. */
mzt_status image_psnr(const image *a, const image *b, double *psnr, mzt_error *error);

#endif
