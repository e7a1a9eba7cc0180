/* Judging pictures and adding up; see score.h. */
#include "score/score.h"

#include <math.h>
#include <string.h>

static bool concept_is_right(const score_reference *r, const score_prompt *prompt, const score_verdict *v) {
    char asked[SCORE_NAME] = "";
    if (prompt->concept) score_concept(prompt->concept, asked);
    for (uint32_t i = 0; i < v->count; i++) {
        const uint32_t item = v->nearest[i].item;
        if (prompt->words ? score_item_holds(r, item, prompt->words)
                          : strcmp(r->names[r->concepts[item]], asked) == 0)
            return true;
    }
    return false;
}

score_result score_picture(const score_reference *r, const score_prompt *prompt, const image *picture,
                           score_points *points) {
    score_look look;
    score_look_at(picture, &look);
    score_map(r, &look, points);
    score_result s = {.verdict = score_compare(r, points, NULL, NULL),
                      .colours = colour_measure_pixels(
                          picture->pixels, (uint64_t)picture->width * picture->height, picture->channels),
                      .copy = 1,
                      .concept_asked = prompt->concept || prompt->words,
                      .colour_asked = prompt->colour != COLOUR_NONE,
                      .style_asked = prompt->style != NULL,
                      .clear = look.clear};
    for (uint32_t i = 0; i < s.verdict.count; i++)
        s.copy =
            fmin(s.copy, score_framed_difference(look.framed, r->looks[s.verdict.nearest[i].item].framed));
    if (look.clear) return s;
    s.concept_right = s.concept_asked && concept_is_right(r, prompt, &s.verdict);
    s.colour_right = s.colour_asked && s.colours.dominant == prompt->colour;
    s.style_right = s.style_asked && strcmp(r->style_names[s.verdict.style], prompt->style) == 0;
    return s;
}

static void add_share(score_share *share, bool asked, bool right) {
    share->asked += asked;
    share->right += asked && right;
}

void score_add(score_total *t, const score_result *s) {
    t->pictures++;
    t->clear += s->clear;
    t->copies += s->copy < SCORE_COPY;
    add_share(&t->concept, s->concept_asked, s->concept_right);
    add_share(&t->colour, s->colour_asked, s->colour_right);
    add_share(&t->style, s->style_asked, s->style_right);
    add_share(&t->all, s->concept_asked || s->colour_asked || s->style_asked,
              (!s->concept_asked || s->concept_right) && (!s->colour_asked || s->colour_right) &&
                  (!s->style_asked || s->style_right));
    t->nearest += s->verdict.count ? s->verdict.nearest[0].distance : 0;
    t->copy += s->copy;
}

void score_spread(score_total *t, const score_reference *r, const score_points *points, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            t->spread += score_distance(r, &points[i], points[j].content[0]);
            t->pairs++;
        }
    }
}

/* 8-bit straight values from -1...1. */
static double byte_of(float v) {
    return v > 1 ? 255 : v > -1 ? floor(((double)v + 1) * 127.5 + 0.5) : 0;
}

double score_psnr(const float *a, const float *b, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        const double alpha[2] = {byte_of(a[4 * i + 3]) / 255, byte_of(b[4 * i + 3]) / 255};
        for (int c = 0; c < 3; c++) {
            const double d = byte_of(a[4 * i + c]) * alpha[0] - byte_of(b[4 * i + c]) * alpha[1];
            sum += d * d;
        }
        sum += (alpha[0] - alpha[1]) * (alpha[0] - alpha[1]) * 65025;
    }
    return sum > 0 ? fmin(10 * log10(65025.0 * 4 * (double)count / sum), 60) : 60;
}
