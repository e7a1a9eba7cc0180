/* Colours and their names: which of the eleven basic colour terms (Berlin and Kay, 1969) a colour goes by,
 * what colour a picture mostly has, and turning hues. Judged in Oklab (Björn Ottosson, 2020), where equal
 * distances look about equal. Thread-safety: pure functions. */
#ifndef TRAIN_COLOUR_H
#define TRAIN_COLOUR_H

#include "image/image.h"

typedef enum colour {
    COLOUR_RED,
    COLOUR_ORANGE,
    COLOUR_YELLOW,
    COLOUR_GREEN,
    COLOUR_BLUE,
    COLOUR_PURPLE,
    COLOUR_PINK,
    COLOUR_BROWN,
    COLOUR_BLACK, /* from here on without hue */
    COLOUR_GREY,
    COLOUR_WHITE,
    COLOUR_COUNT,
    COLOUR_NONE = COLOUR_COUNT /* nothing that could be said in one word */
} colour;

const char *colour_name(colour c); /* "red"; "" for COLOUR_NONE */

/* The colour that a word of lower-case ASCII names (gray, violet and a few others included), or COLOUR_NONE.
 */
colour colour_find(const char *word, size_t length);

/* Lightness 0...1, chroma 0...0.33, hue in degrees 0...360. */
typedef struct colour_lch {
    double lightness, chroma, hue;
} colour_lch;

/* sRGB values 0...1 and back; colours that sRGB cannot show lose chroma until it can. */
colour_lch colour_from_rgb(const double rgb[3]);
void colour_to_rgb(colour_lch lch, double rgb[3]);

/* The basic term for one colour. */
colour colour_classify(colour_lch lch);

typedef struct colour_measure {
    double share[COLOUR_COUNT]; /* of the opaque area; all 0 for a clear picture */
    colour dominant; /* a hue goes before black, grey and white, which outlines and highlights have; or
                        COLOUR_NONE */
} colour_measure;

/* Measures `count` pixels of straight RGBA (or RGB) bytes. */
colour_measure colour_measure_pixels(const uint8_t *pixels, uint64_t count, uint32_t channels);

#endif
