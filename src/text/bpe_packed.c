/* Tokenizers as bytes; see bpe_packed.h. Numbers are 32 bits, little endian:
 *   pieces, merges, added words, max_length, the special pieces
 *   each piece: id, length, its bytes
 *   each merge, by rank: left, right
 *   each added word: first, count, length, its bytes */
#include "text/bpe_packed.h"

#include <stdlib.h>
#include <string.h>

#include "text/bpe_internal.h"

enum { HEAD = 4 + BPE_SPECIAL_COUNT, LENGTH_MOST = 4096 };

static uint8_t *put(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static int by_rank(const void *a, const void *b) {
    const vocabulary_merge *x = a, *y = b;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

mzt_status bpe_pack(const bpe *t, uint8_t **data, uint64_t *size, mzt_error *error) {
    const vocabulary *v = &t->pieces;
    uint64_t bytes = 4ull * HEAD + 8ull * v->piece_count + 8ull * v->merge_count + 12ull * t->added_count;
    for (uint32_t i = 0; i < v->piece_count; i++)
        bytes += v->pieces[i].length;
    for (uint32_t i = 0; i < t->added_count; i++)
        bytes += t->added[i].length;
    uint8_t *at = *data = host_calloc(t->host, (size_t)bytes, 1);
    vocabulary_merge *merges = host_calloc(t->host, v->merge_count, sizeof *merges);
    if (!at || !merges) {
        host_free(t->host, at);
        host_free(t->host, merges);
        return error_memory(error, "tokenizer", bytes);
    }
    if (v->merge_count) memcpy(merges, v->merges, v->merge_count * sizeof *merges);
    qsort(merges, v->merge_count, sizeof *merges, by_rank);
    at = put(put(put(put(at, v->piece_count), v->merge_count), t->added_count), t->max_length);
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++)
        at = put(at, t->special[i]);
    for (uint32_t i = 0; i < v->piece_count; i++) {
        at = put(put(at, v->pieces[i].id), v->pieces[i].length);
        memcpy(at, vocabulary_text(v, i), v->pieces[i].length);
        at += v->pieces[i].length;
    }
    for (uint32_t i = 0; i < v->merge_count; i++)
        at = put(put(at, merges[i].left), merges[i].right);
    for (uint32_t i = 0; i < t->added_count; i++) {
        at = put(put(put(at, t->added[i].first), t->added[i].count), t->added[i].length);
        memcpy(at, t->added[i].word, t->added[i].length);
        at += t->added[i].length;
    }
    host_free(t->host, merges);
    *size = bytes;
    return MZT_OK;
}

/* A place in bytes that may end too early: then `bad` is set and zeros are read. */
typedef struct cursor {
    const uint8_t *at;
    uint64_t left;
    bool bad;
} cursor;

static uint32_t get(cursor *c) {
    uint32_t value = 0;
    if (c->left < 4) {
        c->bad = true;
        return 0;
    }
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)c->at[i] << 8 * i;
    c->at += 4;
    c->left -= 4;
    return value;
}

static const char *get_text(cursor *c, uint32_t length) {
    const char *text = (const char *)c->at;
    if (length == 0 || length > LENGTH_MOST || length > c->left || memchr(c->at, 0, length)) {
        c->bad = true;
        return NULL;
    }
    c->at += length;
    c->left -= length;
    return text;
}

static mzt_status read_pieces(bpe *t, cursor *c, uint32_t count, mzt_error *error) {
    for (uint32_t i = 0; i < count && !c->bad; i++) {
        const uint32_t id = get(c), length = get(c);
        const char *text = get_text(c, length);
        uint32_t piece;
        if (!text) break;
        TRY(vocabulary_intern(&t->pieces, text, length, &piece, error));
        c->bad = piece != i || (id >= VOCABULARY_ID_LIMIT && id != VOCABULARY_NONE);
        t->pieces.pieces[piece].id = id;
    }
    return MZT_OK;
}

static mzt_status read_added(bpe *t, cursor *c, uint32_t count, mzt_error *error) {
    for (uint32_t i = 0; i < count && !c->bad; i++) {
        char word[256];
        const uint32_t first = get(c), ids = get(c), length = get(c);
        const char *text = length < sizeof word ? get_text(c, length) : NULL;
        c->bad = c->bad || !text || first >= VOCABULARY_ID_LIMIT || ids == 0 || ids > VOCABULARY_ID_LIMIT;
        if (c->bad) break;
        memcpy(word, text, length);
        word[length] = '\0';
        TRY(bpe_add_word(t, word, first, ids, error));
    }
    return MZT_OK;
}

static mzt_status unpack(bpe *t, const char *name, cursor *c, mzt_error *error) {
    const uint32_t pieces = get(c), merges = get(c), added = get(c);
    t->max_length = get(c);
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++) {
        t->special[i] = get(c);
        c->bad = c->bad || t->special[i] >= pieces;
    }
    c->bad = c->bad || pieces > VOCABULARY_ID_LIMIT || merges > VOCABULARY_ID_LIMIT || t->max_length < 2 ||
             t->max_length > LENGTH_MOST;
    if (!c->bad) TRY(read_pieces(t, c, pieces, error));
    for (uint32_t i = 0; i < merges && !c->bad; i++) {
        const uint32_t left = get(c), right = get(c);
        c->bad = c->bad || left >= pieces || right >= pieces;
        if (!c->bad) TRY(vocabulary_add_merge(&t->pieces, left, right, error));
    }
    for (int i = 0; i < BPE_SPECIAL_COUNT && !c->bad; i++)
        c->bad = t->pieces.pieces[t->special[i]].id == VOCABULARY_NONE;
    if (!c->bad) TRY(vocabulary_finish(&t->pieces, name, error));
    if (!c->bad) TRY(read_added(t, c, added, error));
    if (c->bad || c->left) return error_set(error, MZT_ERROR_FORMAT, "%s: the tokenizer is damaged", name);
    return MZT_OK;
}

mzt_status bpe_unpack(const base_host *host, const char *name, const uint8_t *data, uint64_t size, bpe **out,
                      mzt_error *error) {
    cursor c = {data, size, false};
    *out = NULL;
    bpe *t = host_calloc(host, 1, sizeof *t);
    if (!t) return error_memory(error, "tokenizer", sizeof *t);
    t->host = host;
    vocabulary_init(&t->pieces, host);
    mzt_status status = unpack(t, name, &c, error);
    if (status < 0)
        bpe_destroy(t);
    else
        *out = t;
    return status;
}
