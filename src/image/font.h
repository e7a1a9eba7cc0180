/* A small proportional bitmap font for captions: ASCII, capitals 7 pixels high, 2 more below the baseline.
 * Other characters are drawn as the ASCII letter they are made of (an accent is left out), or else as an
 * empty box. Thread-safety: pure functions. */
#ifndef IMAGE_FONT_H
#define IMAGE_FONT_H

#include "image/image.h"

#define FONT_HEIGHT 9u  /* from the top of a capital to the lowest descender */
#define FONT_LINE   12u /* from one line's top to the next one's */

/* Width in pixels at scale 1 of `length` bytes of UTF-8, which hold no line feed. */
uint32_t font_width(const char *text, size_t length);

/* Draws one line with its top left corner at (x, y), each font pixel scale x scale, clipped to the picture.
 */
void font_draw(image *onto, int64_t x, int64_t y, uint32_t scale, const uint8_t colour[4], const char *text,
               size_t length);

/* Bytes of the longest beginning of `text` that is no wider than `width`, at least one character. It ends
 * behind a word where that leaves anything, and at a line feed in any case. *next is where the following line
 * begins. */
size_t font_fit(const char *text, size_t length, uint32_t width, size_t *next);

#endif
