/* Augmentation; see augment.h. */
#include "train/augment.h"

#include <math.h>

augmentation augment_none(void) {
    return (augmentation){.scale = 1};
}

augmentation augment_draw(const augment_options *o, bool can_mirror, bool can_turn, train_draws *draws) {
    const bool mirrored = draws_uniform(draws) < o->flip, turned = draws_uniform(draws) < o->hue;
    augmentation a = {.mirrored = mirrored && can_mirror};
    a.scale = exp(draws_between(draws, log(o->scale_low), log(o->scale_high)));
    a.shift_x = draws_between(draws, -o->shift, o->shift);
    a.shift_y = draws_between(draws, -o->shift, o->shift);
    const double degrees = draws_between(draws, 40, 320);
    a.hue = turned && can_turn ? degrees : 0;
    return a;
}

void augment_turn_hue(image *picture, double degrees) {
    const uint64_t count = (uint64_t)picture->width * picture->height;
    uint8_t before[3] = {0, 0, 0}, after[3] = {0, 0, 0};
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *p = picture->pixels + i * picture->channels;
        if (p[0] != before[0] || p[1] != before[1] ||
            p[2] != before[2]) { /* long runs of one colour are common */
            double rgb[3];
            for (int c = 0; c < 3; c++)
                rgb[c] = (before[c] = p[c]) / 255.0;
            colour_lch lch = colour_from_rgb(rgb);
            lch.hue += degrees;
            colour_to_rgb(lch, rgb);
            for (int c = 0; c < 3; c++)
                after[c] = (uint8_t)(rgb[c] * 255 + 0.5);
        }
        for (int c = 0; c < 3; c++)
            p[c] = after[c];
    }
}

/* Premultiplied RGBA 0...1 at a position in pixels (the first pixel's centre is 0.5), bilinear; clear
 * outside. */
static void sample(const image *picture, double x, double y, double out[4]) {
    const double fx = x - 0.5, fy = y - 0.5;
    const double x0 = floor(fx), y0 = floor(fy);
    for (int i = 0; i < 4; i++) {
        const double px = x0 + (i & 1), py = y0 + (i >> 1);
        if (px < 0 || py < 0 || px >= picture->width || py >= picture->height) continue;
        const uint8_t *p = image_pixel(picture, (uint32_t)px, (uint32_t)py);
        const double weight = (i & 1 ? fx - x0 : 1 - (fx - x0)) * (i >> 1 ? fy - y0 : 1 - (fy - y0));
        const double alpha = picture->channels == 4 ? p[3] / 255.0 : 1.0;
        for (int c = 0; c < 3; c++)
            out[c] += weight * alpha * p[c] / 255.0;
        out[3] += weight * alpha;
    }
}

/* From the square's coordinates (0...1) to the picture's pixels. */
typedef struct placement {
    double centre_x, centre_y, step_x, step_y, pixels; /* `pixels`: picture pixels along the square's side */
} placement;

static placement place(const image *picture, const augment_options *o, const augmentation *a) {
    const double longer = picture->width > picture->height ? picture->width : picture->height;
    const double shorter = picture->width > picture->height ? picture->height : picture->width;
    placement p = {.pixels = (o->channels == 4 ? longer : shorter) / a->scale};
    p.centre_x = picture->width / 2.0 - (a->mirrored ? -a->shift_x : a->shift_x) * p.pixels;
    p.centre_y = picture->height / 2.0 - a->shift_y * p.pixels;
    p.step_x = a->mirrored ? -p.pixels : p.pixels;
    p.step_y = p.pixels;
    return p;
}

void augment_place(const image *picture, const augment_options *o, const augmentation *a, float *out) {
    const placement p = place(picture, o, a);
    const uint32_t side = o->resolution;
    /* As many samples a side as keep their distance at one picture pixel or less, up to 16. */
    double wanted = ceil(p.pixels / side);
    const int taps = wanted < 1 ? 1 : wanted > 16 ? 16 : (int)wanted;
    for (uint32_t y = 0; y < side; y++) {
        for (uint32_t x = 0; x < side; x++) {
            double sum[4] = {0, 0, 0, 0};
            for (int t = 0; t < taps * taps; t++) {
                const double u = (x + (t % taps + 0.5) / taps) / side - 0.5,
                             v = (y + (t / taps + 0.5) / taps) / side - 0.5;
                sample(picture, p.centre_x + u * p.step_x, p.centre_y + v * p.step_y, sum);
            }
            for (int c = 0; c < 4; c++)
                sum[c] /= taps * taps;
            const double alpha = sum[3] < 1 ? sum[3] : 1;
            float *to = out + ((uint64_t)y * side + x) * o->channels;
            for (int c = 0; c < 3; c++) {
                double value = o->channels == 4 ? (alpha > 1e-6 ? sum[c] / alpha : 0)
                                                : sum[c] + (1 - alpha) * o->background[c] / 255.0;
                to[c] = (float)(2 * (value < 1 ? value : 1) - 1);
            }
            if (o->channels == 4) to[3] = (float)(2 * alpha - 1);
        }
    }
}
