/* Colours and their names; see colour.h. */
#include "train/colour.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

static const char *const names[COLOUR_COUNT] = {"red",  "orange", "yellow", "green", "blue", "purple",
                                                "pink", "brown",  "black",  "grey",  "white"};

const char *colour_name(colour c) {
    return c < COLOUR_COUNT ? names[c] : "";
}

colour colour_find(const char *word, size_t length) {
    static const struct {
        const char *word;
        colour c;
    } others[] = {{"gray", COLOUR_GREY},     {"violet", COLOUR_PURPLE}, {"lilac", COLOUR_PURPLE},
                  {"golden", COLOUR_YELLOW}, {"crimson", COLOUR_RED},   {"scarlet", COLOUR_RED},
                  {"navy", COLOUR_BLUE},     {"azure", COLOUR_BLUE}};
    for (int i = 0; i < COLOUR_COUNT; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], word, length) == 0) return (colour)i;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strlen(others[i].word) == length && memcmp(others[i].word, word, length) == 0) return others[i].c;
    }
    return COLOUR_NONE;
}

/* ---------------------------------------------------------------------------------------------------- Oklab
 * -- */

/* The transfer function of sRGB (IEC 61966-2-1). */
static double to_linear(double v) {
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double from_linear(double v) {
    return v <= 0.0031308 ? v * 12.92 : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

colour_lch colour_from_rgb(const double rgb[3]) {
    const double r = to_linear(rgb[0]), g = to_linear(rgb[1]), b = to_linear(rgb[2]);
    const double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    const double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    const double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    const double u = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    const double v = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
    double hue = atan2(v, u) * 180 / PI;
    return (colour_lch){.lightness = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
                        .chroma = sqrt(u * u + v * v),
                        .hue = hue < 0 ? hue + 360 : hue};
}

/* Linear sRGB, which may lie outside of 0...1. */
static void to_linear_rgb(colour_lch c, double rgb[3]) {
    const double u = c.chroma * cos(c.hue * PI / 180), v = c.chroma * sin(c.hue * PI / 180);
    const double lr = c.lightness + 0.3963377774 * u + 0.2158037573 * v;
    const double mr = c.lightness - 0.1055613458 * u - 0.0638541728 * v;
    const double sr = c.lightness - 0.0894841775 * u - 1.2914855480 * v;
    const double l = lr * lr * lr, m = mr * mr * mr, s = sr * sr * sr;
    rgb[0] = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
    rgb[1] = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
    rgb[2] = -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s;
}

static bool can_show(const double rgb[3]) {
    const double slack = 1e-4;
    for (int i = 0; i < 3; i++) {
        if (!(rgb[i] >= -slack && rgb[i] <= 1 + slack)) return false;
    }
    return true;
}

void colour_to_rgb(colour_lch lch, double rgb[3]) {
    to_linear_rgb(lch, rgb);
    if (!can_show(rgb)) { /* bisect the chroma: grey of the same lightness can always be shown */
        double low = 0, high = lch.chroma;
        for (int i = 0; i < 12; i++) {
            lch.chroma = (low + high) / 2;
            to_linear_rgb(lch, rgb);
            if (can_show(rgb))
                low = lch.chroma;
            else
                high = lch.chroma;
        }
        lch.chroma = low;
        to_linear_rgb(lch, rgb);
    }
    for (int i = 0; i < 3; i++) {
        double v = from_linear(rgb[i] < 0 ? 0 : rgb[i]);
        rgb[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
}

/* ---------------------------------------------------------------------------------------------------- names
 * -- */

/* What of the wheel between red and yellow is dark goes by brown, what is pale and reddish by pink. */
static colour classify_warm(colour_lch c) {
    if (c.hue < 45) {
        if (c.chroma < (c.hue < 35 ? 0.10 : 0.14)) return c.lightness < 0.62 ? COLOUR_BROWN : COLOUR_PINK;
        if (c.lightness > 0.74) return COLOUR_PINK;
        return c.hue > 38 && c.lightness > 0.62 ? COLOUR_ORANGE : COLOUR_RED; /* vermilion is orange */
    }
    if (c.hue < 72 || (c.hue < 80 && c.lightness < 0.79)) /* amber is called yellow where it is light */
        return c.lightness > 0.66 ? COLOUR_ORANGE : COLOUR_BROWN;
    if (c.lightness > 0.72) return COLOUR_YELLOW;
    return c.hue < 100 ? COLOUR_BROWN : COLOUR_GREEN;
}

colour colour_classify(colour_lch c) {
    if (c.lightness < 0.22) return COLOUR_BLACK;
    if (c.chroma < 0.035)
        return c.lightness < 0.36 ? COLOUR_BLACK : c.lightness > 0.9 ? COLOUR_WHITE : COLOUR_GREY;
    if (c.hue < 10 || c.hue >= 340) return c.hue < 10 && c.lightness < 0.6 ? COLOUR_RED : COLOUR_PINK;
    if (c.hue < 115) return classify_warm(c);
    if (c.hue < 190) return COLOUR_GREEN;
    if (c.hue < 290) return COLOUR_BLUE;
    return c.hue >= 325 && c.lightness > 0.7 ? COLOUR_PINK : COLOUR_PURPLE;
}

/* Colours that shade into each other, so that both may be in one object of one colour. */
static bool are_neighbours(int a, int b) {
    static const uint8_t pairs[][2] = {{COLOUR_RED, COLOUR_ORANGE},  {COLOUR_ORANGE, COLOUR_YELLOW},
                                       {COLOUR_RED, COLOUR_PINK},    {COLOUR_PINK, COLOUR_PURPLE},
                                       {COLOUR_PURPLE, COLOUR_BLUE}, {COLOUR_RED, COLOUR_BROWN},
                                       {COLOUR_ORANGE, COLOUR_BROWN}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if ((pairs[i][0] == a && pairs[i][1] == b) || (pairs[i][0] == b && pairs[i][1] == a)) return true;
    return false;
}

/* A hue must cover a fifth to be what the picture is called by, and no other than a neighbour may come near
 * it. */
static colour choose_dominant(const double share[COLOUR_COUNT]) {
    int first = 0, second = -1, plain = COLOUR_BLACK;
    for (int i = 1; i < COLOUR_BLACK; i++) {
        if (share[i] > share[first]) {
            second = first;
            first = i;
        } else if (second < 0 || share[i] > share[second]) {
            second = i;
        }
    }
    for (int i = COLOUR_BLACK + 1; i < COLOUR_COUNT; i++) {
        if (share[i] > share[plain]) plain = i;
    }
    if (share[first] >= 0.2 && share[first] >= 0.5 * share[plain])
        return share[second] > 0.6 * share[first] && !are_neighbours(first, second) ? COLOUR_NONE
                                                                                    : (colour)first;
    return share[plain] >= 0.6 ? (colour)plain : COLOUR_NONE;
}

colour_measure colour_measure_pixels(const uint8_t *pixels, uint64_t count, uint32_t channels) {
    colour_measure m = {.dominant = COLOUR_NONE};
    double total = 0;
    uint32_t last_rgb = UINT32_MAX;
    colour last = COLOUR_NONE; /* pictures of this kind have long runs of one colour */
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *p = pixels + i * channels;
        const uint32_t alpha = channels == 4 ? p[3] : 255;
        if (alpha < 128) continue; /* edges mix with what is behind */
        const uint32_t packed = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        if (packed != last_rgb) {
            const double rgb[3] = {p[0] / 255.0, p[1] / 255.0, p[2] / 255.0};
            last = colour_classify(colour_from_rgb(rgb));
            last_rgb = packed;
        }
        m.share[last] += alpha;
        total += alpha;
    }
    if (total == 0) return m;
    for (int i = 0; i < COLOUR_COUNT; i++)
        m.share[i] /= total;
    m.dominant = choose_dominant(m.share);
    return m;
}
