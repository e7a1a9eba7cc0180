/* Augmentation; see augment.h. */
#include "train/augment.h"

#include <math.h>
#include <string.h>

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

/* A colour and what became of it. */
typedef struct turned_colour {
    uint8_t before[3], after[3];
    bool known;
} turned_colour;

static void turn_colour(turned_colour *t, const uint8_t rgb[3], double degrees) {
    double values[3];
    for (int c = 0; c < 3; c++)
        values[c] = (t->before[c] = rgb[c]) / 255.0;
    colour_lch lch = colour_from_rgb(values);
    lch.hue += degrees;
    colour_to_rgb(lch, values);
    for (int c = 0; c < 3; c++)
        t->after[c] = (uint8_t)(values[c] * 255 + 0.5);
    t->known = true;
}

void augment_turn_hue(image *picture, double degrees) {
    enum { KNOWN = 1024 }; /* most pictures have a few hundred colours: each is turned once */
    turned_colour known[KNOWN] = {{{0}, {0}, false}};
    const uint64_t count = (uint64_t)picture->width * picture->height;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *p = picture->pixels + i * picture->channels;
        const uint32_t key = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
        turned_colour *t = &known[(key * 2654435761u) >> 22]; /* Fibonacci hashing: the upper 10 bits */
        if (!t->known || memcmp(t->before, p, 3) != 0) turn_colour(t, p, degrees);
        memcpy(p, t->after, 3);
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

enum {
    MOST_TAPS = 16,
    STRETCH = 64
}; /* samples a side of an output pixel; output pixels of a line at a time */

/* The lines (or columns) of the picture that one of the square depends on, and their weights. Those beyond
 * the picture are clear: they are left out. */
typedef struct axis_weights {
    uint32_t count, index[2 * MOST_TAPS];
    float weight[2 * MOST_TAPS];
} axis_weights;

static void add_weight(axis_weights *w, double index, uint32_t size, double weight) {
    if (index < 0 || index >= size || weight == 0) return;
    uint32_t at = w->count, known = (uint32_t)index;
    for (uint32_t back = 1; back <= 2 && back <= w->count; back++) /* neighbouring samples share lines */
        if (w->index[w->count - back] == known) at = w->count - back;
    if (at == w->count) {
        w->index[w->count] = known;
        w->weight[w->count++] = 0;
    }
    w->weight[at] += (float)weight;
}

/* Of line `at` of the square's `side`: bilinear at `taps` samples, along one axis of the picture, whose first
 * line's centre is 0.5. */
static void weigh(double centre, double step, uint32_t side, uint32_t at, int taps, uint32_t size,
                  axis_weights *w) {
    w->count = 0;
    for (int t = 0; t < taps; t++) {
        const double position = centre + ((at + (t + 0.5) / taps) / side - 0.5) * step - 0.5;
        const double first = floor(position), part = position - first;
        add_weight(w, first, size, (1 - part) / taps);
        add_weight(w, first + 1, size, part / taps);
    }
}

/* Premultiplied RGBA 0...1: what an output pixel is made of. */
static void add_up(const image *picture, const axis_weights *y, const axis_weights *x, float sum[4]) {
    const uint32_t channels = picture->channels;
    for (int c = 0; c < 4; c++)
        sum[c] = 0;
    for (uint32_t i = 0; i < y->count; i++) {
        const uint8_t *line = image_pixel(picture, 0, y->index[i]);
        for (uint32_t j = 0; j < x->count; j++) {
            const uint8_t *p = line + (size_t)x->index[j] * channels;
            const float weight = y->weight[i] * x->weight[j],
                        alpha = channels == 4 ? weight * (float)p[3] * (1 / 255.0f) : weight;
            sum[0] += alpha * (float)p[0] * (1 / 255.0f);
            sum[1] += alpha * (float)p[1] * (1 / 255.0f);
            sum[2] += alpha * (float)p[2] * (1 / 255.0f);
            sum[3] += alpha;
        }
    }
}

/* One output pixel in -1...1 from its premultiplied sums. */
static void store(const augment_options *o, const float sum[4], float *to) {
    const float alpha = sum[3] < 1 ? sum[3] : 1;
    for (int c = 0; c < 3; c++) {
        const float value = o->channels == 4 ? (alpha > 1e-6f ? sum[c] / alpha : 0)
                                             : sum[c] + (1 - alpha) * (float)o->background[c] / 255;
        to[c] = 2 * (value < 1 ? value : 1) - 1;
    }
    if (o->channels == 4) to[3] = 2 * alpha - 1;
}

void augment_place(const image *picture, const augment_options *o, const augmentation *a, float *out) {
    const placement p = place(picture, o, a);
    const uint32_t side = o->resolution;
    /* As many samples a side as keep their distance at one picture pixel or less, up to 16. */
    const double wanted = ceil(p.pixels / side);
    const int taps = wanted < 1 ? 1 : wanted > MOST_TAPS ? MOST_TAPS : (int)wanted;
    axis_weights columns[STRETCH], line;
    for (uint32_t x0 = 0; x0 < side; x0 += STRETCH) {
        const uint32_t count = side - x0 < STRETCH ? side - x0 : STRETCH;
        for (uint32_t x = 0; x < count; x++)
            weigh(p.centre_x, p.step_x, side, x0 + x, taps, picture->width, &columns[x]);
        for (uint32_t y = 0; y < side; y++) {
            weigh(p.centre_y, p.step_y, side, y, taps, picture->height, &line);
            for (uint32_t x = 0; x < count; x++) {
                float sum[4];
                add_up(picture, &line, &columns[x], sum);
                store(o, sum, out + ((uint64_t)y * side + x0 + x) * o->channels);
            }
        }
    }
}
