/* What the tokenizer's files share: its structure, and the merging of one word. */
#ifndef TEXT_BPE_INTERNAL_H
#define TEXT_BPE_INTERNAL_H

#include "text/bpe.h"
#include "text/vocabulary.h"

enum { BPE_BEGIN, BPE_END, BPE_PADDING, BPE_UNKNOWN, BPE_SPECIAL_COUNT };

/* A word that stands for ids of its own. */
typedef struct bpe_added {
    char *word;
    uint32_t length, first, count; /* ids first ... first + count - 1 */
} bpe_added;

struct bpe {
    const base_host *host;
    bpe_added *added;
    uint32_t added_count, added_capacity;
    vocabulary pieces;
    uint32_t special[BPE_SPECIAL_COUNT]; /* pieces */
    uint32_t max_length;
};

/* A growing list of ids. */
typedef struct bpe_ids {
    uint32_t *ids;
    uint32_t count, capacity;
} bpe_ids;

/* A candidate merge at a position; the heap holds the lowest rank on top, and of equal ranks the leftmost. */
typedef struct bpe_candidate {
    uint32_t rank, at;
    uint32_t left, right, result;
} bpe_candidate;

/* Scratch memory for words of up to `capacity` bytes. */
typedef struct bpe_scratch {
    uint32_t *piece, *next, *previous; /* [capacity], a doubly linked list of the word's pieces */
    bpe_candidate *heap, *fresh;       /* [3 * capacity], [2 * capacity] */
    uint32_t heap_count, fresh_count;
} bpe_scratch;

mzt_status bpe_scratch_init(bpe_scratch *scratch, const base_host *host, uint32_t capacity, mzt_error *error);
void bpe_scratch_free(bpe_scratch *scratch, const base_host *host);

/* Merges the `count` >= 1 pieces in scratch->piece as far as the vocabulary's merges go; the result stays
 * there, and its length is returned. */
uint32_t bpe_merge_word(const vocabulary *v, bpe_scratch *scratch, uint32_t count);

#endif
