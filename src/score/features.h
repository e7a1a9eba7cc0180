/* What a picture looks like, as numbers that do not care where in the frame the object stands, how large it
 * is or what hue it has (content), or what is shown (style). docs/scoring.md has the definitions.
 * Thread-safety: pure functions. */
#ifndef SCORE_FEATURES_H
#define SCORE_FEATURES_H

#include "image/image.h"

#define SCORE_SIDE 32u /* the object, framed: [32][32] */

/* Orientations 8x8 cells of 8; alpha, lightness and chroma of 8x8 cells each; the frame's proportions. */
#define SCORE_CONTENT (8 * 8 * 8 + 3 * 8 * 8 + 1)

/* Lightness by chroma 8x6; steps 12 and bends 8 between neighbouring pixels; soft edges 6; shares of the most
 * common colours 6; their number, trends across the object, rim against inside, share of the frame 8. */
#define SCORE_STYLE (8 * 6 + 12 + 8 + 6 + 6 + 8)

typedef struct score_look {
    float content[2][SCORE_CONTENT]; /* of the picture and of its mirror image */
    float style[SCORE_STYLE];
    uint8_t framed[SCORE_SIDE * SCORE_SIDE * 4]; /* premultiplied RGBA of the framed object */
    bool clear;                                  /* nothing opaque in it */
} score_look;

void score_look_at(const image *picture, score_look *look);

/* Root of the mean square difference of two framed objects over all four premultiplied channels, 0...1; the
 * smaller one of both ways to mirror `a`. */
double score_framed_difference(const uint8_t *a, const uint8_t *b);

#endif
