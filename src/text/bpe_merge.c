/* Merging of one word (Sennrich et al., "Neural machine translation of rare words with subword units", 2016):
 * while any two neighbours can merge, take the pair of lowest rank and merge all its occurrences from left to
 * right. A heap of candidates over a linked list makes that n log n, so that a long hostile word costs
 * little. */
#include "text/bpe_internal.h"

#include <string.h>

mzt_status bpe_scratch_init(bpe_scratch *scratch, const base_host *host, uint32_t capacity,
                            mzt_error *error) {
    memset(scratch, 0, sizeof *scratch);
    scratch->piece = host_calloc(host, capacity, sizeof *scratch->piece);
    scratch->next = host_calloc(host, capacity, sizeof *scratch->next);
    scratch->previous = host_calloc(host, capacity, sizeof *scratch->previous);
    scratch->heap = host_calloc(host, capacity, 3 * sizeof *scratch->heap);
    scratch->fresh = host_calloc(host, capacity, 2 * sizeof *scratch->fresh);
    if (scratch->piece && scratch->next && scratch->previous && scratch->heap && scratch->fresh)
        return MZT_OK;
    bpe_scratch_free(scratch, host);
    return error_memory(error, "tokenizer", capacity);
}

void bpe_scratch_free(bpe_scratch *scratch, const base_host *host) {
    host_free(host, scratch->piece);
    host_free(host, scratch->next);
    host_free(host, scratch->previous);
    host_free(host, scratch->heap);
    host_free(host, scratch->fresh);
    memset(scratch, 0, sizeof *scratch);
}

static bool comes_before(const bpe_candidate *a, const bpe_candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(bpe_scratch *s, bpe_candidate candidate) {
    uint32_t at = s->heap_count++;
    while (at > 0 && comes_before(&candidate, &s->heap[(at - 1) / 2])) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = candidate;
}

static bpe_candidate heap_pop(bpe_scratch *s) {
    bpe_candidate top = s->heap[0], last = s->heap[--s->heap_count];
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < s->heap_count) {
        if (child + 1 < s->heap_count && comes_before(&s->heap[child + 1], &s->heap[child])) child++;
        if (!comes_before(&s->heap[child], &last)) break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return top;
}

/* The candidate of the pieces at `at` and behind it, if they can merge. */
static bool find_candidate(const vocabulary *v, const bpe_scratch *s, uint32_t at, bpe_candidate *candidate) {
    if (at == VOCABULARY_NONE || s->next[at] == VOCABULARY_NONE) return false;
    const vocabulary_merge *merge = vocabulary_find_merge(v, s->piece[at], s->piece[s->next[at]]);
    if (!merge) return false;
    *candidate = (bpe_candidate){merge->rank, at, merge->left, merge->right, merge->result};
    return true;
}

/* Carries a candidate out, unless an earlier merge took one of its pieces. Its new neighbourhoods become
 * fresh candidates. */
static void merge_at(const vocabulary *v, bpe_scratch *s, const bpe_candidate *c) {
    uint32_t at = c->at, next = s->next[at];
    if (s->piece[at] != c->left || next == VOCABULARY_NONE || s->piece[next] != c->right) return;
    s->piece[at] = c->result;
    s->piece[next] = VOCABULARY_NONE;
    s->next[at] = s->next[next];
    if (s->next[at] != VOCABULARY_NONE) s->previous[s->next[at]] = at;
    if (find_candidate(v, s, at, &s->fresh[s->fresh_count])) s->fresh_count++;
    if (find_candidate(v, s, s->previous[at], &s->fresh[s->fresh_count])) s->fresh_count++;
}

uint32_t bpe_merge_word(const vocabulary *v, bpe_scratch *s, uint32_t count) {
    s->heap_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        s->next[i] = i + 1 < count ? i + 1 : VOCABULARY_NONE;
        s->previous[i] = i > 0 ? i - 1 : VOCABULARY_NONE;
    }
    for (uint32_t i = 0; i < count; i++) {
        bpe_candidate candidate;
        if (find_candidate(v, s, i, &candidate)) heap_push(s, candidate);
    }
    /* At most count - 1 candidates at first and two more per merge, of which there are at most count - 1.
     * Fresh ones wait until all of the current rank are done, as one of lower rank must not overtake those.
     */
    while (s->heap_count > 0) {
        uint32_t rank = s->heap[0].rank;
        s->fresh_count = 0;
        while (s->heap_count > 0 && s->heap[0].rank == rank) {
            bpe_candidate candidate = heap_pop(s);
            merge_at(v, s, &candidate);
        }
        for (uint32_t i = 0; i < s->fresh_count; i++)
            heap_push(s, s->fresh[i]);
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i != VOCABULARY_NONE; i = s->next[i])
        s->piece[used++] = s->piece[i];
    return used;
}
