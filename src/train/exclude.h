/* Combinations that training must never show, such as "green banana": a model that was kept from them can be
 * asked for them afterwards, to see whether it composes what it knows. Thread-safety: immutable once made. */
#ifndef TRAIN_EXCLUDE_H
#define TRAIN_EXCLUDE_H

#include "train/colour.h"

#define EXCLUDE_WORDS_LIMIT 8u

/* One combination: a colour (or COLOUR_NONE: none was named) and words that must all be there. */
typedef struct exclude_rule {
    colour colour;
    char words[EXCLUDE_WORDS_LIMIT][32];
    uint32_t count;
} exclude_rule;

typedef struct exclude_list {
    const base_host *host;
    exclude_rule *rules;
    uint32_t count, capacity;
} exclude_list;

/* Adds "green banana". INVALID when there is no word, too many words or one too long, or a colour alone. */
mzt_status exclude_add(exclude_list *list, const char *combination, mzt_error *error);
void exclude_free(exclude_list *list); /* zeroed is accepted */

/* Whether texts (any of which may be NULL) hold together what a rule forbids: every word, and the colour, as
 * a word or in the picture. `shares` NULL, or how much of the picture each colour covers: `limit` and more
 * counts as that colour. Words match whole and without case; "apple" also matches "apples", and not
 * "pineapple". Returns the rule, or NULL. */
const exclude_rule *exclude_match(const exclude_list *list, const char *const *texts, uint32_t text_count,
                                  const double *shares, double limit);

/* Next word of ASCII letters and digits (and of any byte beyond ASCII) at or after *at; false at the end. The
 * word is [*first, *at). */
bool exclude_next_word(const char *text, size_t *at, size_t *first);

#endif
