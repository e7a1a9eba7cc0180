/* Captions: many ways to say what a picture shows, from its name, keywords, style and colour, so that the
 * network learns words and not one order of them: "red apple", "an apple that is red", "3d red apple icon".
 * Thread-safety: pure functions of their arguments and the draws. */
#ifndef TRAIN_CAPTION_H
#define TRAIN_CAPTION_H

#include "train/colour.h"
#include "train/draws.h"

#define CAPTION_SIZE 256u /* bytes of a caption with its terminator */

typedef struct caption_source {
    const char *name;            /* "red apple" */
    const char *const *keywords; /* [keyword_count], may be empty */
    uint32_t keyword_count;
    const char *style; /* "3d"; NULL or "": none */
    colour colour;     /* the picture's measured colour; COLOUR_NONE: not to be spoken of */
    bool recoloured;   /* the hue was changed: `colour` replaces colour words, and is always said */
    bool mirrored;     /* left and right change places */
} caption_source;

/* Writes a caption in lower case, cut between words where it would not fit. */
void caption_build(const caption_source *source, train_draws *draws, char caption[CAPTION_SIZE]);

/* The caption that says the name as it is, lower case and without punctuation: for held-out pictures and
 * sample sheets. */
void caption_plain(const caption_source *source, char caption[CAPTION_SIZE]);

/* Whether a picture of this name reads wrongly in a mirror: letters, numbers, clocks, anything that shows
 * text. */
bool caption_fixed_handedness(const char *name);

#endif
