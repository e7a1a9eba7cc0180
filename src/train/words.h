/* A byte-pair vocabulary learned from captions, in the form that src/text/bpe.h loads (CLIP's: vocab.json and
 * merges.txt; Sennrich et al. 2016, arXiv 1508.07909, over bytes). Every text can be spelled: single bytes
 * are always in the vocabulary. The same captions in the same order give the same files. Thread-safety: a
 * words belongs to one thread. */
#ifndef TRAIN_WORDS_H
#define TRAIN_WORDS_H

#include "base/host.h"

#define WORDS_SMALLEST 514u /* 256 bytes, 256 bytes that end a word, begin and end */
#define WORDS_LARGEST  65536u

typedef struct words words;

words *words_create(const base_host *host); /* NULL when out of memory */
void words_destroy(words *w);               /* NULL is accepted */

/* Counts the words of a text `times` times, split as the tokenizer splits. */
mzt_status words_add(words *w, const char *text, uint64_t times, mzt_error *error);

/* Learns merges until the vocabulary has `size` entries (WORDS_SMALLEST ... WORDS_LARGEST) or no pair occurs
 * twice, and writes vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json and
 * known_words.txt (text/known_words.h) into the existing folder. `max_length` is that of padded texts. *count (may be NULL) receives the entries. Takes
 * time in proportion to different words times merges. */
mzt_status words_write(words *w, uint32_t size, uint32_t max_length, const char *folder, uint32_t *count,
                       mzt_error *error);

#endif
