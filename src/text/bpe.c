/* The tokenizer: encoding and decoding; see bpe.h. */
#include "text/bpe_internal.h"

#include <string.h>

#include "text/clean.h"

void bpe_destroy(bpe *tokenizer) {
    if (!tokenizer) return;
    vocabulary_free(&tokenizer->pieces);
    for (uint32_t i = 0; i < tokenizer->added_count; i++)
        host_free(tokenizer->host, tokenizer->added[i].word);
    host_free(tokenizer->host, tokenizer->added);
    host_free(tokenizer->host, tokenizer);
}

const base_host *bpe_host(const bpe *tokenizer) {
    return tokenizer->host;
}

uint32_t bpe_begin_id(const bpe *tokenizer) {
    return tokenizer->pieces.pieces[tokenizer->special[BPE_BEGIN]].id;
}

uint32_t bpe_end_id(const bpe *tokenizer) {
    return tokenizer->pieces.pieces[tokenizer->special[BPE_END]].id;
}

uint32_t bpe_padding_id(const bpe *tokenizer) {
    return tokenizer->pieces.pieces[tokenizer->special[BPE_PADDING]].id;
}

uint32_t bpe_max_length(const bpe *tokenizer) {
    return tokenizer->max_length;
}

uint32_t bpe_id_count(const bpe *tokenizer) {
    return tokenizer->pieces.id_count;
}

const char *bpe_piece(const bpe *tokenizer, uint32_t id) {
    const vocabulary *v = &tokenizer->pieces;
    if (id >= v->id_count || v->by_id[id] == VOCABULARY_NONE) return NULL;
    return vocabulary_text(v, v->by_id[id]);
}

bool bpe_find(const bpe *tokenizer, const char *piece, uint32_t *id) {
    uint32_t found = vocabulary_find(&tokenizer->pieces, piece, strlen(piece));
    if (found == VOCABULARY_NONE || tokenizer->pieces.pieces[found].id == VOCABULARY_NONE) return false;
    *id = tokenizer->pieces.pieces[found].id;
    return true;
}

/* -----------------------------------------------------------------------------------------------------
 * encoding -- */

static mzt_status append_id(const bpe *tokenizer, bpe_ids *list, uint32_t id, mzt_error *error) {
    if (!HOST_GROW(tokenizer->host, list->ids, list->count, list->capacity))
        return error_memory(error, "token ids", list->count);
    list->ids[list->count++] = id;
    return MZT_OK;
}

static mzt_status add_id(const bpe *tokenizer, bpe_ids *list, uint32_t piece, mzt_error *error) {
    uint32_t id = tokenizer->pieces.pieces[piece].id;
    if (id == VOCABULARY_NONE) id = tokenizer->pieces.pieces[tokenizer->special[BPE_UNKNOWN]].id;
    return append_id(tokenizer, list, id, error);
}

/* The special token at text[at..length), the longest if several match; NONE if there is none. */
static uint32_t special_at(const bpe *tokenizer, const char *text, size_t length, size_t at, size_t *bytes) {
    uint32_t best = VOCABULARY_NONE;
    *bytes = 0;
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++) {
        const vocabulary_piece *piece = &tokenizer->pieces.pieces[tokenizer->special[i]];
        if (piece->length <= *bytes || piece->length > length - at) continue;
        if (memcmp(text + at, vocabulary_text(&tokenizer->pieces, tokenizer->special[i]), piece->length) != 0)
            continue;
        best = tokenizer->special[i];
        *bytes = piece->length;
    }
    return best;
}

static char small(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether `a` and `b` are equal but for the size of letters. */
static bool same_word(const char *a, const char *b, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (small(a[i]) != small(b[i])) return false;
    return true;
}

static bool joins_words(char c) {
    return (small(c) >= 'a' && small(c) <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* The longest added word at text[at..length), by itself; NULL if there is none. */
static const bpe_added *added_at(const bpe *tokenizer, const char *text, size_t length, size_t at) {
    const bpe_added *best = NULL;
    for (uint32_t i = 0; i < tokenizer->added_count; i++) {
        const bpe_added *a = &tokenizer->added[i];
        const size_t end = at + a->length;
        if (end > length || (best && a->length <= best->length) || !same_word(text + at, a->word, a->length))
            continue;
        if (at > 0 && joins_words(text[at]) && joins_words(text[at - 1])) continue;
        if (end < length && joins_words(text[end]) && joins_words(text[end - 1])) continue;
        best = a;
    }
    return best;
}

mzt_status bpe_add_word(bpe *tokenizer, const char *word, uint32_t first, uint32_t count, mzt_error *error) {
    const size_t length = strlen(word);
    char shown[80];
    if (length == 0 || length > 255)
        return error_set(error, MZT_ERROR_INVALID, "word \"%s\": expected 1 to 255 bytes",
                         error_text(shown, sizeof shown, word));
    for (uint32_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].length == length && same_word(tokenizer->added[i].word, word, length))
            return error_set(error, MZT_ERROR_INVALID, "word \"%s\" is added twice",
                             error_text(shown, sizeof shown, word));
    char *copy = host_strdup(tokenizer->host, word);
    if (!copy ||
        !HOST_GROW(tokenizer->host, tokenizer->added, tokenizer->added_count, tokenizer->added_capacity)) {
        host_free(tokenizer->host, copy);
        return error_memory(error, "word", length);
    }
    tokenizer->added[tokenizer->added_count++] = (bpe_added){copy, (uint32_t)length, first, count};
    return MZT_OK;
}

uint32_t bpe_group(const bpe *tokenizer, uint32_t id) {
    for (uint32_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].first == id) return tokenizer->added[i].count;
    return 1;
}

/* Puts a word's bytes as pieces into the scratch memory; returns their number. */
static uint32_t spell_word(const vocabulary *v, const int32_t *codes, size_t count, bpe_scratch *scratch) {
    uint32_t used = 0;
    for (size_t i = 0; i < count; i++) {
        char bytes[4];
        size_t length = text_encode(codes[i], bytes);
        for (size_t k = 0; k < length; k++) {
            bool last = i + 1 == count && k + 1 == length;
            scratch->piece[used++] = v->byte_pieces[(uint8_t)bytes[k]][last];
        }
    }
    return used;
}

/* A special token's name that only cleaning brought forth, such as <|EndOfText|>; NONE for other words. */
static uint32_t special_word(const bpe *tokenizer, const int32_t *codes, size_t count) {
    char name[32];
    if (codes[0] != '<' || count >= sizeof name) return VOCABULARY_NONE;
    for (size_t i = 0; i < count; i++) {
        if (codes[i] > 127) return VOCABULARY_NONE;
        name[i] = (char)codes[i];
    }
    size_t bytes;
    uint32_t piece = special_at(tokenizer, name, count, 0, &bytes);
    return bytes == count ? piece : VOCABULARY_NONE;
}

/* Tokens of a stretch of text that names no special token. */
static mzt_status encode_stretch(const bpe *tokenizer, const char *text, size_t length, bpe_ids *list,
                                 mzt_error *error) {
    text_codes clean = {NULL, 0};
    bpe_scratch scratch = {0};
    if (length == 0) return MZT_OK;
    mzt_status status = text_clean(tokenizer->host, text, length, &clean, error);
    if (status < 0) return status;
    status = bpe_scratch_init(&scratch, tokenizer->host, 4 * (uint32_t)clean.count + 1, error);
    size_t first, position = 0;
    while (status >= 0 && text_next_word(&clean, &position, &first)) {
        uint32_t special = special_word(tokenizer, clean.codes + first, position - first);
        if (special != VOCABULARY_NONE) {
            status = add_id(tokenizer, list, special, error);
            continue;
        }
        uint32_t count = spell_word(&tokenizer->pieces, clean.codes + first, position - first, &scratch);
        count = bpe_merge_word(&tokenizer->pieces, &scratch, count);
        for (uint32_t i = 0; i < count && status >= 0; i++)
            status = add_id(tokenizer, list, scratch.piece[i], error);
    }
    bpe_scratch_free(&scratch, tokenizer->host);
    text_codes_free(tokenizer->host, &clean);
    return status;
}

mzt_status bpe_encode(const bpe *tokenizer, const char *text, size_t length, uint32_t **ids, uint32_t *count,
                      mzt_error *error) {
    bpe_ids list = {NULL, 0, 0};
    mzt_status status = MZT_OK;
    size_t from = 0, at = 0;
    *ids = NULL;
    *count = 0;
    if (length > TEXT_LIMIT)
        return error_set(error, MZT_ERROR_INVALID, "text of %zu bytes: expected at most %u", length,
                         TEXT_LIMIT);
    list.ids = host_calloc(tokenizer->host, 64, sizeof *list.ids);
    if (!list.ids) return error_memory(error, "token ids", 64);
    list.capacity = 64;
    while (status >= 0 && at < length) {
        size_t bytes;
        uint32_t special = special_at(tokenizer, text, length, at, &bytes);
        const bpe_added *added = special == VOCABULARY_NONE ? added_at(tokenizer, text, length, at) : NULL;
        if (special == VOCABULARY_NONE && !added) {
            at++;
            continue;
        }
        status = encode_stretch(tokenizer, text + from, at - from, &list, error);
        if (status >= 0 && !added) status = add_id(tokenizer, &list, special, error);
        for (uint32_t i = 0; added && i < added->count && status >= 0; i++)
            status = append_id(tokenizer, &list, added->first + i, error);
        from = at += added ? added->length : bytes;
    }
    if (status >= 0) status = encode_stretch(tokenizer, text + from, length - from, &list, error);
    if (status < 0) {
        host_free(tokenizer->host, list.ids);
        return status;
    }
    *ids = list.ids;
    *count = list.count;
    return MZT_OK;
}

mzt_status bpe_encode_padded(const bpe *tokenizer, const char *text, uint32_t max_length, uint32_t *ids,
                             uint32_t *used, mzt_error *error) {
    if (max_length < 2)
        return error_set(error, MZT_ERROR_INVALID, "padded length %u: expected 2 or more", max_length);
    uint32_t *all, count;
    TRY(bpe_encode(tokenizer, text, strlen(text), &all, &count, error));
    if (count > max_length - 2) count = max_length - 2;
    ids[0] = bpe_begin_id(tokenizer);
    memcpy(ids + 1, all, count * sizeof *ids);
    ids[count + 1] = bpe_end_id(tokenizer);
    for (uint32_t i = count + 2; i < max_length; i++)
        ids[i] = bpe_padding_id(tokenizer);
    if (used) *used = count + 2;
    host_free(tokenizer->host, all);
    return MZT_OK;
}

/* -----------------------------------------------------------------------------------------------------
 * decoding -- */

/* Appends a piece's bytes to `out` (room for its length and one more); returns their number. */
static size_t decode_piece(const char *spelling, char *out) {
    size_t length = strlen(spelling), used = 0, end = length;
    bool word_end = length > 4 && memcmp(spelling + length - 4, "</w>", 4) == 0;
    if (word_end) end -= 4;
    for (size_t i = 0; i < end;) {
        int32_t code;
        size_t bytes = text_decode(spelling + i, end - i, &code);
        int byte = vocabulary_character_byte(code);
        if (byte >= 0) {
            out[used++] = (char)byte;
        } else {
            memcpy(out + used, spelling + i, bytes);
            used += bytes;
        }
        i += bytes;
    }
    if (word_end) out[used++] = ' ';
    return used;
}

mzt_status bpe_decode(const bpe *tokenizer, const uint32_t *ids, uint32_t count, char **text,
                      mzt_error *error) {
    uint64_t room = 1;
    *text = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const char *piece = bpe_piece(tokenizer, ids[i]);
        if (piece) room += strlen(piece) + 1;
    }
    char *raw = host_calloc(tokenizer->host, (size_t)room, 1),
         *out = host_calloc(tokenizer->host, (size_t)room, 3);
    if (!raw || !out) {
        host_free(tokenizer->host, raw);
        host_free(tokenizer->host, out);
        return error_memory(error, "decoded text", room);
    }
    size_t length = 0, used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *piece = bpe_piece(tokenizer, ids[i]);
        if (piece) length += decode_piece(piece, raw + length);
    }
    while (length > 0 && raw[length - 1] == ' ')
        length--;
    for (size_t i = 0; i < length;) {
        int32_t code;
        i += text_decode(raw + i, length - i, &code);
        used += text_encode(code, out + used); /* an invalid byte grows to the 3 bytes of U+FFFD */
    }
    host_free(tokenizer->host, raw);
    *text = out;
    return MZT_OK;
}
