/* Scores: pictures against what their prompts asked for, and the totals of many. docs/scoring.md defines
 * every number. Thread-safety: a score_total belongs to one thread; the rest are pure functions. */
#ifndef SCORE_SCORE_H
#define SCORE_SCORE_H

#include "score/reference.h"
#include "score/suite.h"

/* Pictures that differ less than this from a training picture count as copies; see score_framed_difference.
 */
#define SCORE_COPY 0.06

/* What one picture got. */
typedef struct score_result {
    score_verdict verdict;
    colour_measure colours;
    double copy; /* the smallest framed difference to one of the nearest pictures */
    bool concept_asked, colour_asked, style_asked;
    bool concept_right, colour_right, style_right;
    bool clear; /* nothing opaque in it: nothing is right */
} score_result;

/* Judges a picture; `points` (for score_spread) receives what the metrics saw. */
score_result score_picture(const score_reference *reference, const score_prompt *prompt, const image *picture,
                           score_points *points);

typedef struct score_share {
    uint32_t right, asked;
} score_share;

typedef struct score_total {
    uint32_t pictures, clear, copies;
    score_share concept, colour, style;
    score_share
        all; /* pictures of which everything that was asked is right, of those of which anything was */
    double nearest, copy; /* sums over the pictures: distance to the nearest one, and smallest difference */
    double spread;        /* sum of distances between pictures of one prompt */
    uint32_t pairs;
} score_total;

void score_add(score_total *total, const score_result *result);

/* Adds the distances between all pairs of `count` pictures of one prompt. */
void score_spread(score_total *total, const score_reference *reference, const score_points *points,
                  uint32_t count);

static inline double score_percent(score_share s) {
    return s.asked ? 100.0 * s.right / s.asked : 0;
}

/* Peak signal-to-noise ratio in dB of two RGBA pictures [count][4] in -1...1 over the four premultiplied
 * channels, both rounded to 8 bits; at most 60. */
double score_psnr(const float *a, const float *b, uint64_t count);

#endif
