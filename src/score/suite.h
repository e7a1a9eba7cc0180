/* Suites of prompts with what their pictures are asked to show: a JSON file, as docs/scoring.md describes.
 *   {"styles": {"3d": "fluent-3d"}, "suites": {"colours": {"prompts": [
 *       {"prompt": "blue apple", "words": "apple", "colour": "blue"}]}}}
 * Thread-safety: immutable once read. */
#ifndef SCORE_SUITE_H
#define SCORE_SUITE_H

#include "json/json.h"
#include "train/colour.h"

typedef struct score_prompt {
    const char *text;    /* the prompt */
    const char *concept; /* NULL, or a concept (score_concept's) that the nearest pictures should have */
    const char *words;   /* NULL, or words that their names or keywords should hold instead */
    const char *style;   /* NULL, or what captions call the style */
    colour colour;       /* COLOUR_NONE: none is asked for */
} score_prompt;

typedef struct score_suite {
    const char *name;
    score_prompt *prompts;
    uint32_t count;
    uint32_t seeds; /* pictures of each prompt; "seeds", 1 ... 64, default 2 */
} score_suite;

/* Reads one prompt's object; strings point into the document. INVALID naming the prompt and value. */
mzt_status score_prompt_read(json_value object, score_prompt *prompt, mzt_error *error);

typedef struct score_style_word {
    const char *style, *word; /* "fluent-3d", "3d" */
} score_style_word;

typedef struct score_suites {
    const base_host *host;
    json_doc *doc; /* strings point into it */
    score_suite *suites;
    uint32_t count;
    score_style_word *styles;
    uint32_t style_count;
} score_suites;

/* Errors name the file, the prompt and the value. */
mzt_status score_suites_read(const base_host *host, const char *path, score_suites **out, mzt_error *error);
void score_suites_free(score_suites *suites); /* NULL is accepted */

/* The word for a style of the data (dataset_options.style_word); `suites` is a score_suites. */
const char *score_suites_style_word(const void *suites, const char *style);

#endif
