/* The words that a model was trained on, so that a prompt's other words can be named: a byte-pair tokenizer
 * spells every word, also one that means nothing to the model. The list lies beside the vocabulary as
 * known_words.txt, a word a line in the tokenizer's lower case; `mezzotint train` writes it. Thread-safety:
 * immutable after known_words_read. */
#ifndef TEXT_KNOWN_WORDS_H
#define TEXT_KNOWN_WORDS_H

#include "base/host.h"

#define KNOWN_WORDS_FILE "known_words.txt"

typedef struct known_words known_words;

/* Reads FOLDER/known_words.txt; *words is NULL, without an error, where there is none. FORMAT for text that
 * is not UTF-8. */
mzt_status known_words_read(const base_host *host, const char *folder, known_words **words, mzt_error *error);
void known_words_destroy(known_words *words); /* NULL is accepted */

bool known_words_has(const known_words *words, const char *word, size_t length);

/* Calls `report` once for each different word of `text`, split as the tokenizer splits, that is no
 * punctuation and not in the list. The word is lower case and zero-terminated. INVALID for text that is too
 * long, OUT_OF_MEMORY. */
mzt_status known_words_check(const known_words *words, const char *text,
                             void (*report)(void *user, const char *word), void *user, mzt_error *error);

#endif
