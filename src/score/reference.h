/* The training pictures as judges: what a picture looks like most, and in which style it is drawn.
 * docs/scoring.md defines the measure. Thread-safety: immutable after opening. */
#ifndef SCORE_REFERENCE_H
#define SCORE_REFERENCE_H

#include "score/features.h"
#include "score/metric.h"
#include "train/dataset.h"

#define SCORE_NEAREST 5u
#define SCORE_NAME    96u /* bytes of a concept with its terminator */

/* A name without its colour words and punctuation, in lower case: "Red apple" and "green apple" are "apple".
 * A name of nothing else stays whole. */
void score_concept(const char *name, char concept[SCORE_NAME]);

typedef struct score_reference_options {
    const char *(*style_word)(const void *user, const char *style); /* as in dataset_options */
    const void *user;
    double held_out; /* share of the pictures that training was kept from, as in the training configuration */
    uint32_t
        fold; /* 1 or 2: the metrics learn from one half of the concepts only (see docs/scoring.md); 0: all */
    thread_pool *pool;
    /* May be NULL; false cancels. On the calling thread. */
    bool (*progress)(void *user_progress, uint32_t done, uint32_t count);
    void *user_progress;
} score_reference_options;

typedef struct score_reference {
    const base_host *host;
    dataset *data;
    uint32_t count;     /* pictures that could be decoded: those of data->items with a concept */
    uint32_t *concepts; /* [data->count], number of the concept; UINT32_MAX: cannot be decoded */
    uint32_t *styles;   /* [data->count], number of the style */
    char (*names)[SCORE_NAME];
    uint32_t concept_count;
    const char **style_names; /* [style_count] */
    uint32_t style_count;
    score_look *looks; /* [data->count]; mirrored content is left out (zero) */
    score_metric content, style;
    float *content_points;         /* [data->count][SCORE_CONTENT], mapped */
    float *style_points;           /* [data->count][SCORE_STYLE], mapped */
    double typical, typical_style; /* root mean square distances between two pictures of different concepts */
} score_reference;

/* Reads and looks at every picture of a dataset's folder. Errors as dataset_open; INVALID where no two
 * pictures show the same; CANCELLED. */
mzt_status score_reference_open(const base_host *host, const char *folder,
                                const score_reference_options *options, score_reference **out,
                                mzt_error *error);
void score_reference_close(score_reference *reference); /* NULL is accepted */

/* A picture as the metrics see it. */
typedef struct score_points {
    float content[2][SCORE_CONTENT]; /* it and its mirror image */
    float style[SCORE_STYLE];
} score_points;

void score_map(const score_reference *reference, const score_look *look, score_points *points);

typedef struct score_match {
    uint32_t item;   /* of data->items */
    double distance; /* in units of `typical` */
} score_match;

typedef struct score_verdict {
    score_match nearest[SCORE_NEAREST]; /* by content, nearest first */
    uint32_t count;
    uint32_t style; /* of the picture that is nearest by content and style together */
} score_verdict;

/* Compares with every picture that `skip` (may be NULL) does not leave out. */
score_verdict score_compare(const score_reference *reference, const score_points *points,
                            bool (*skip)(const void *user, uint32_t item), const void *user);

/* Distance of two pictures by content, in units of `typical`: the smaller one of both ways to mirror one. */
double score_distance(const score_reference *reference, const score_points *a, const float *other);

/* Whether the item's name or one of its keywords holds every word of `words` (as exclusions match: whole,
 * with or without a plural ending). */
bool score_item_holds(const score_reference *reference, uint32_t item, const char *words);

#endif
