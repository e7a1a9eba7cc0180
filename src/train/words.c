/* Learning a byte-pair vocabulary; see words.h. */
#include "train/words.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "json/json_write.h"
#include "text/clean.h"
#include "text/known_words.h"

enum { WORD_BYTES = 64, BYTE_PIECES = 512 };
#define NOTHING UINT32_MAX

/* A different word: its pieces, and how often it occurs. Longer words are not learned from. */
typedef struct word {
    uint64_t count;
    uint32_t pieces[WORD_BYTES];
    uint32_t length;
    char bytes[WORD_BYTES];
    uint32_t byte_count;
} word;

/* Two pieces that stand side by side somewhere. */
typedef struct pair {
    uint32_t left, right;
    uint64_t count;
} pair;

struct words {
    const base_host *host;
    word *list; /* in order of first appearance */
    uint32_t count, capacity;
    uint32_t *table; /* [table_size], a power of two: indices of `list` by the hash of their bytes */
    uint32_t table_size;
    pair *merges;
    uint32_t merge_count, merge_capacity;
};

words *words_create(const base_host *host) {
    words *w = host_calloc(host, 1, sizeof *w);
    if (w) w->host = host;
    return w;
}

void words_destroy(words *w) {
    if (!w) return;
    host_free(w->host, w->list);
    host_free(w->host, w->table);
    host_free(w->host, w->merges);
    host_free(w->host, w);
}

/* ------------------------------------------------------------------------------------------------- counting
 * -- */

static uint32_t hash_bytes(const char *bytes, uint32_t count) {
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static uint32_t find_slot(const words *w, const char *bytes, uint32_t count) {
    uint32_t slot = hash_bytes(bytes, count) & (w->table_size - 1);
    for (;; slot = (slot + 1) & (w->table_size - 1)) {
        const uint32_t at = w->table[slot];
        if (at == NOTHING) return slot;
        if (w->list[at].byte_count == count && memcmp(w->list[at].bytes, bytes, count) == 0) return slot;
    }
}

/* Keeps the table at most half full. */
static mzt_status grow_table(words *w, mzt_error *error) {
    if (2 * w->count < w->table_size) return MZT_OK;
    const uint32_t size = w->table_size ? 2 * w->table_size : 1024;
    uint32_t *table = host_calloc(w->host, size, sizeof *table);
    if (!table) return error_memory(error, "vocabulary", size * sizeof *table);
    memset(table, 0xff, size * sizeof *table);
    host_free(w->host, w->table);
    w->table = table;
    w->table_size = size;
    for (uint32_t i = 0; i < w->count; i++)
        w->table[find_slot(w, w->list[i].bytes, w->list[i].byte_count)] = i;
    return MZT_OK;
}

static mzt_status count_word(words *w, const char *bytes, uint32_t count, uint64_t times, mzt_error *error) {
    TRY(grow_table(w, error));
    const uint32_t slot = find_slot(w, bytes, count);
    if (w->table[slot] == NOTHING) {
        if (!HOST_GROW(w->host, w->list, w->count, w->capacity))
            return error_memory(error, "vocabulary", sizeof *w->list);
        word *fresh = &w->list[w->count];
        *fresh = (word){.byte_count = count, .length = count};
        memcpy(fresh->bytes, bytes, count);
        for (uint32_t i = 0; i < count; i++)
            fresh->pieces[i] = (unsigned char)bytes[i] + (i + 1 == count ? 256u : 0u);
        w->table[slot] = w->count++;
    }
    w->list[w->table[slot]].count += times;
    return MZT_OK;
}

mzt_status words_add(words *w, const char *text, uint64_t times, mzt_error *error) {
    text_codes codes = {0};
    TRY(text_clean(w->host, text, strlen(text), &codes, error));
    mzt_status status = MZT_OK;
    size_t position = 0, first;
    while (status >= 0 && text_next_word(&codes, &position, &first)) {
        char bytes[WORD_BYTES];
        uint32_t count = 0;
        size_t i = first;
        for (; i < position && count + 4 <= WORD_BYTES; i++)
            count += (uint32_t)text_encode(codes.codes[i], bytes + count);
        if (i == position && count > 0) status = count_word(w, bytes, count, times, error);
    }
    text_codes_free(w->host, &codes);
    return status;
}

/* ------------------------------------------------------------------------------------------------- learning
 * -- */

/* Counts of neighbouring pieces, in a table that is filled anew for each merge. */
typedef struct pair_table {
    pair *slots; /* [size], a power of two; count 0: free */
    uint32_t size, used;
} pair_table;

static void add_pair(pair_table *t, uint32_t left, uint32_t right, uint64_t count) {
    uint32_t slot = (left * 2654435761u ^ right * 2246822519u) >> 7 & (t->size - 1);
    while (t->slots[slot].count && (t->slots[slot].left != left || t->slots[slot].right != right))
        slot = (slot + 1) & (t->size - 1);
    if (t->slots[slot].count == 0) t->used++;
    t->slots[slot].left = left;
    t->slots[slot].right = right;
    t->slots[slot].count += count;
}

/* The most frequent pair; of equals the one with the smaller pieces, so that the order of the table does not
 * matter. */
static pair best_pair(const pair_table *t) {
    pair best = {NOTHING, NOTHING, 0};
    for (uint32_t i = 0; i < t->size; i++) {
        const pair *p = &t->slots[i];
        if (p->count == 0 || p->count < best.count) continue;
        if (p->count > best.count || p->left < best.left || (p->left == best.left && p->right < best.right))
            best = *p;
    }
    return best;
}

static void apply_merge(word *w, const pair *p, uint32_t piece) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < w->length; i++) {
        if (i + 1 < w->length && w->pieces[i] == p->left && w->pieces[i + 1] == p->right) {
            w->pieces[out++] = piece;
            i++;
        } else {
            w->pieces[out++] = w->pieces[i];
        }
    }
    w->length = out;
}

static mzt_status learn(words *w, uint32_t merges, mzt_error *error) {
    uint64_t neighbours = 1;
    for (uint32_t i = 0; i < w->count; i++)
        neighbours += w->list[i].length;
    pair_table t = {.size = 1024};
    while (t.size < 2 * neighbours && t.size < 1u << 30)
        t.size *= 2;
    t.slots = host_calloc(w->host, t.size, sizeof *t.slots);
    if (!t.slots) return error_memory(error, "vocabulary", (uint64_t)t.size * sizeof *t.slots);
    mzt_status status = MZT_OK;
    while (status >= 0 && w->merge_count < merges) {
        memset(t.slots, 0, t.size * sizeof *t.slots);
        for (uint32_t i = 0; i < w->count; i++) {
            const word *item = &w->list[i];
            for (uint32_t k = 0; k + 1 < item->length; k++)
                add_pair(&t, item->pieces[k], item->pieces[k + 1], item->count);
        }
        const pair best = best_pair(&t);
        if (best.count < 2) break;
        if (!HOST_GROW(w->host, w->merges, w->merge_count, w->merge_capacity)) {
            status = error_memory(error, "vocabulary", sizeof best);
            break;
        }
        for (uint32_t i = 0; i < w->count; i++)
            apply_merge(&w->list[i], &best, BYTE_PIECES + w->merge_count);
        w->merges[w->merge_count++] = best;
    }
    host_free(w->host, t.slots);
    return status;
}

/* -------------------------------------------------------------------------------------------------- writing
 * -- */

/* The printable character that stands for a byte in these files: bytes that print in Latin-1 stand for
 * themselves, the others follow from U+0100 on. */
static int32_t byte_character(uint32_t byte) {
    int32_t next = 256;
    for (uint32_t b = 0; b < 256; b++) {
        const bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) return prints ? (int32_t)b : next;
        if (!prints) next++;
    }
    return next;
}

/* The spelling of a piece, without the mark for the end of a word; *ends says whether it has one. */
static size_t spell(const words *w, uint32_t piece, char *out, bool *ends) {
    if (piece < BYTE_PIECES) {
        *ends = piece >= 256;
        return text_encode(byte_character(piece % 256), out);
    }
    const pair *m = &w->merges[piece - BYTE_PIECES];
    const size_t left =
        spell(w, m->left, out, ends); /* depth is bounded: each merge is shorter than WORD_BYTES bytes */
    return left + spell(w, m->right, out + left, ends);
}

/* `out` has room for 2 * WORD_BYTES + 8. */
static void spell_piece(const words *w, uint32_t piece, char *out) {
    bool ends = false;
    const size_t length = spell(w, piece, out, &ends);
    memcpy(out + length, ends ? "</w>" : "", ends ? 5 : 1);
}

static mzt_status write_text(const words *w, const char *folder, const char *name, const char *text,
                             size_t length, mzt_error *error) {
    char *path = path_join(w->host, folder, name);
    if (!path) return error_memory(error, name, 0);
    mzt_status status = file_write(w->host, path, text, length, error);
    host_free(w->host, path);
    return status;
}

static mzt_status finish_json(const words *w, json_writer *json, const char *folder, const char *name,
                              mzt_error *error) {
    char *text;
    size_t length;
    TRY(json_writer_finish(json, &text, &length, error));
    mzt_status status = write_text(w, folder, name, text, length, error);
    host_free(w->host, text);
    return status;
}

static mzt_status write_vocabulary(const words *w, const char *folder, mzt_error *error) {
    json_writer json = json_writer_make(w->host);
    char spelling[2 * WORD_BYTES + 8];
    const uint32_t pieces = BYTE_PIECES + w->merge_count;
    json_write_object(&json, NULL);
    for (uint32_t i = 0; i < pieces; i++) {
        spell_piece(w, i, spelling);
        json_write_uint(&json, spelling, i);
    }
    json_write_uint(&json, "<|startoftext|>", pieces);
    json_write_uint(&json, "<|endoftext|>", pieces + 1);
    json_write_end_object(&json);
    return finish_json(w, &json, folder, "vocab.json", error);
}

static mzt_status write_merges(const words *w, const char *folder, mzt_error *error) {
    static const char head[] = "#version: 0.2\n";
    const size_t most = sizeof head + (size_t)w->merge_count * (4 * WORD_BYTES + 20);
    char *text = host_calloc(w->host, most, 1);
    if (!text) return error_memory(error, "merges.txt", most);
    size_t at = sizeof head - 1;
    memcpy(text, head, at);
    for (uint32_t i = 0; i < w->merge_count; i++) {
        spell_piece(w, w->merges[i].left, text + at);
        at += strlen(text + at);
        text[at++] = ' ';
        spell_piece(w, w->merges[i].right, text + at);
        at += strlen(text + at);
        text[at++] = '\n';
    }
    mzt_status status = write_text(w, folder, "merges.txt", text, at, error);
    host_free(w->host, text);
    return status;
}

static mzt_status write_settings(const words *w, uint32_t max_length, const char *folder, mzt_error *error) {
    static const char *const keys[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    for (int file = 0; file < 2; file++) {
        json_writer json = json_writer_make(w->host);
        json_write_object(&json, NULL);
        for (int i = 0; i < 4; i++)
            json_write_string(&json, keys[i], i == 0 ? "<|startoftext|>" : "<|endoftext|>");
        if (file == 0) {
            json_write_uint(&json, "model_max_length", max_length);
            json_write_string(&json, "tokenizer_class", "CLIPTokenizer");
            json_write_bool(&json, "do_lower_case", true);
        }
        json_write_end_object(&json);
        TRY(finish_json(w, &json, folder, file == 0 ? "tokenizer_config.json" : "special_tokens_map.json",
                        error));
    }
    return MZT_OK;
}

/* Every word that was counted, in order of first appearance. */
static mzt_status write_known(const words *w, const char *folder, mzt_error *error) {
    char *text = host_calloc(w->host, w->count, WORD_BYTES + 1);
    if (!text) return error_memory(error, KNOWN_WORDS_FILE, (uint64_t)w->count * (WORD_BYTES + 1));
    size_t at = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        memcpy(text + at, w->list[i].bytes, w->list[i].byte_count);
        at += w->list[i].byte_count;
        text[at++] = '\n';
    }
    mzt_status status = write_text(w, folder, KNOWN_WORDS_FILE, text, at, error);
    host_free(w->host, text);
    return status;
}

mzt_status words_write(words *w, uint32_t size, uint32_t max_length, const char *folder, uint32_t *count,
                       mzt_error *error) {
    if (size < WORDS_SMALLEST || size > WORDS_LARGEST)
        return error_set(error, MZT_ERROR_INVALID, "vocabulary of %u entries: expected %u..%u",
                         (unsigned)size, WORDS_SMALLEST, WORDS_LARGEST);
    TRY(learn(w, size - WORDS_SMALLEST, error));
    TRY(write_vocabulary(w, folder, error));
    TRY(write_merges(w, folder, error));
    TRY(write_settings(w, max_length, folder, error));
    TRY(write_known(w, folder, error));
    if (count) *count = WORDS_SMALLEST + w->merge_count;
    return MZT_OK;
}
