/* Augmentation: what is done to a picture before the network sees it. Works on premultiplied alpha, so that
 * clear pixels have no colour to bleed. Thread-safety: pure functions. */
#ifndef TRAIN_AUGMENT_H
#define TRAIN_AUGMENT_H

#include "train/colour.h"
#include "train/draws.h"

typedef struct augment_options {
    uint32_t resolution;          /* of the result, a square */
    uint32_t channels;            /* 4: RGBA; 3: RGB over `background` */
    double shift;                 /* most, in parts of the side */
    double scale_low, scale_high; /* factor on the size, log-uniform */
    double flip;                  /* probability of mirroring left and right */
    double hue;                   /* probability of turning the hue, for pictures that have a dominant one */
    uint8_t background[3];
} augment_options;

/* What was drawn for one picture. */
typedef struct augmentation {
    bool mirrored;
    double scale, shift_x, shift_y;
    double hue; /* degrees; 0: unchanged */
} augmentation;

augmentation augment_none(void);

/* Draws; always takes the same count of words. `can_mirror`, `can_turn`: whether mirroring and turning are
 * allowed at all. */
augmentation augment_draw(const augment_options *options, bool can_mirror, bool can_turn, train_draws *draws);

/* Turns the hue of every pixel of straight RGBA or RGB bytes, in place. */
void augment_turn_hue(image *picture, double degrees);

/* Fits the picture into the square, moves, scales and mirrors it (the hue is not looked at), and writes
 * straight values [resolution][resolution][channels] in -1...1 as image_to_floats does. Clear pixels are
 * black. Pictures that are not square are centred with a clear border (channels 4), or cover the square and
 * lose their ends (channels 3). */
void augment_place(const image *picture, const augment_options *options, const augmentation *a, float *out);

#endif
