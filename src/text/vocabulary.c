/* The tables of a byte-pair vocabulary; see vocabulary.h. */
#include "text/vocabulary.h"

#include <string.h>

#include "text/clean.h"

void vocabulary_init(vocabulary *v, const base_host *host) {
    memset(v, 0, sizeof *v);
    v->host = host;
}

void vocabulary_free(vocabulary *v) {
    if (!v->host) return;
    host_free(v->host, v->text);
    host_free(v->host, v->pieces);
    host_free(v->host, v->piece_slots);
    host_free(v->host, v->merges);
    host_free(v->host, v->merge_slots);
    host_free(v->host, v->by_id);
    memset(v, 0, sizeof *v);
}

/* -----------------------------------------------------------------------------------------------------
 * alphabet -- */

static bool is_self_spelled(int32_t code) {
    return (code >= 33 && code <= 126) || (code >= 161 && code <= 172) || (code >= 174 && code <= 255);
}

int32_t vocabulary_byte_character(uint8_t byte) {
    if (is_self_spelled(byte)) return byte;
    if (byte <= 32) return 256 + byte;
    if (byte <= 160) return 256 + 33 + (byte - 127);
    return 256 + 67; /* 173, the soft hyphen */
}

int vocabulary_character_byte(int32_t character) {
    if (is_self_spelled(character)) return character;
    if (character < 256 || character > 256 + 67) return -1;
    int32_t index = character - 256;
    return index <= 32 ? index : index <= 66 ? index - 33 + 127 : 173;
}

/* -------------------------------------------------------------------------------------------------------
 * pieces -- */

/* FNV-1a. */
static uint32_t hash_text(const char *text, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    return hash;
}

/* The slot that holds the text, or the empty one where it belongs. */
static uint32_t piece_slot(const vocabulary *v, const char *text, size_t length, uint32_t hash) {
    uint32_t mask = v->piece_slot_count - 1, slot = hash & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t index = v->piece_slots[slot];
        if (index == VOCABULARY_NONE) return slot;
        const vocabulary_piece *piece = &v->pieces[index];
        if (piece->hash == hash && piece->length == length &&
            memcmp(v->text + piece->offset, text, length) == 0)
            return slot;
    }
}

/* A table of `count` empty slots, NULL when out of memory. */
static uint32_t *make_slots(const base_host *host, uint32_t count) {
    uint32_t *slots = host_calloc(host, count, sizeof *slots);
    if (slots) memset(slots, 0xff, (size_t)count * sizeof *slots);
    return slots;
}

/* Keeps the table at most half full. */
static bool grow_piece_slots(vocabulary *v) {
    if (v->piece_count < v->piece_slot_count / 2) return true;
    uint32_t count = v->piece_slot_count ? v->piece_slot_count * 2 : 1024;
    uint32_t *slots = make_slots(v->host, count);
    if (!slots) return false;
    for (uint32_t i = 0; i < v->piece_count; i++) {
        uint32_t slot = v->pieces[i].hash & (count - 1);
        while (slots[slot] != VOCABULARY_NONE)
            slot = (slot + 1) & (count - 1);
        slots[slot] = i;
    }
    host_free(v->host, v->piece_slots);
    v->piece_slots = slots;
    v->piece_slot_count = count;
    return true;
}

static bool grow_text(vocabulary *v, uint32_t need) {
    if (need <= v->text_capacity) return true;
    uint32_t capacity = v->text_capacity ? v->text_capacity : 4096;
    while (capacity < need)
        capacity = capacity > UINT32_MAX / 2 ? UINT32_MAX : capacity * 2;
    char *text = host_realloc(v->host, v->text, capacity, 1);
    if (!text) return false;
    v->text = text;
    v->text_capacity = capacity;
    return true;
}

mzt_status vocabulary_intern(vocabulary *v, const char *text, size_t length, uint32_t *piece,
                             mzt_error *error) {
    if (length == 0 || length >= UINT32_MAX - v->text_count - 1 || v->piece_count >= UINT32_MAX / 8)
        return error_set(error, MZT_ERROR_FORMAT,
                         "vocabulary: piece %u of %zu bytes: expected 1 or more, and less than"
                         " 4 GiB in all",
                         v->piece_count, length);
    if (!grow_piece_slots(v)) return error_memory(error, "vocabulary", v->piece_slot_count);
    uint32_t hash = hash_text(text, length), slot = piece_slot(v, text, length, hash);
    *piece = v->piece_slots[slot];
    if (*piece != VOCABULARY_NONE) return MZT_OK;
    if (!grow_text(v, v->text_count + (uint32_t)length + 1) ||
        !HOST_GROW(v->host, v->pieces, v->piece_count, v->piece_capacity))
        return error_memory(error, "vocabulary", length);
    memcpy(v->text + v->text_count, text, length);
    v->text[v->text_count + length] = '\0';
    v->pieces[v->piece_count] = (vocabulary_piece){v->text_count, (uint32_t)length, hash, VOCABULARY_NONE};
    v->text_count += (uint32_t)length + 1;
    *piece = v->piece_slots[slot] = v->piece_count++;
    return MZT_OK;
}

uint32_t vocabulary_find(const vocabulary *v, const char *text, size_t length) {
    if (v->piece_slot_count == 0) return VOCABULARY_NONE;
    return v->piece_slots[piece_slot(v, text, length, hash_text(text, length))];
}

const char *vocabulary_text(const vocabulary *v, uint32_t piece) {
    return v->text + v->pieces[piece].offset;
}

/* -------------------------------------------------------------------------------------------------------
 * merges -- */

/* A finaliser of the splitmix64 kind over the pair. */
static uint32_t hash_pair(uint32_t left, uint32_t right) {
    uint64_t x = (uint64_t)left << 32 | right;
    x = (x ^ (x >> 31)) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(x >> 32);
}

static uint32_t merge_slot(const vocabulary *v, uint32_t left, uint32_t right) {
    uint32_t mask = v->merge_slot_count - 1, slot = hash_pair(left, right) & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t index = v->merge_slots[slot];
        if (index == VOCABULARY_NONE) return slot;
        if (v->merges[index].left == left && v->merges[index].right == right) return slot;
    }
}

static bool grow_merge_slots(vocabulary *v) {
    if (v->merge_count < v->merge_slot_count / 2) return true;
    uint32_t count = v->merge_slot_count ? v->merge_slot_count * 2 : 1024;
    uint32_t *slots = make_slots(v->host, count);
    if (!slots) return false;
    host_free(v->host, v->merge_slots);
    v->merge_slots = slots;
    v->merge_slot_count = count;
    for (uint32_t i = 0; i < v->merge_count; i++)
        slots[merge_slot(v, v->merges[i].left, v->merges[i].right)] = i;
    return true;
}

mzt_status vocabulary_add_merge(vocabulary *v, uint32_t left, uint32_t right, mzt_error *error) {
    const vocabulary_piece *a = &v->pieces[left], *b = &v->pieces[right];
    size_t length = (size_t)a->length + b->length;
    char *joined = host_calloc(v->host, length, 1);
    if (!joined || !grow_merge_slots(v)) {
        host_free(v->host, joined);
        return error_memory(error, "vocabulary", length);
    }
    memcpy(joined, v->text + a->offset, a->length);
    memcpy(joined + a->length, v->text + b->offset, b->length);
    uint32_t result;
    mzt_status status = vocabulary_intern(v, joined, length, &result, error);
    host_free(v->host, joined);
    if (status < 0) return status;
    uint32_t slot = merge_slot(v, left, right);
    if (v->merge_slots[slot] != VOCABULARY_NONE) {
        v->merges[v->merge_slots[slot]].rank = v->next_rank++;
        return MZT_OK;
    }
    if (!HOST_GROW(v->host, v->merges, v->merge_count, v->merge_capacity))
        return error_memory(error, "vocabulary", v->merge_count);
    v->merges[v->merge_count] = (vocabulary_merge){left, right, result, v->next_rank++};
    v->merge_slots[slot] = v->merge_count++;
    return MZT_OK;
}

const vocabulary_merge *vocabulary_find_merge(const vocabulary *v, uint32_t left, uint32_t right) {
    if (v->merge_slot_count == 0) return NULL;
    uint32_t index = v->merge_slots[merge_slot(v, left, right)];
    return index == VOCABULARY_NONE ? NULL : &v->merges[index];
}

/* -------------------------------------------------------------------------------------------------------
 * finish -- */

static mzt_status index_ids(vocabulary *v, const char *name, mzt_error *error) {
    for (uint32_t i = 0; i < v->piece_count; i++) {
        uint32_t id = v->pieces[i].id;
        if (id != VOCABULARY_NONE && id >= v->id_count) v->id_count = id + 1;
    }
    if (v->id_count == 0) return error_set(error, MZT_ERROR_FORMAT, "%s: holds no piece", name);
    v->by_id = make_slots(v->host, v->id_count);
    if (!v->by_id) return error_memory(error, "vocabulary", v->id_count);
    for (uint32_t i = 0; i < v->piece_count; i++) {
        uint32_t id = v->pieces[i].id;
        if (id == VOCABULARY_NONE) continue;
        if (v->by_id[id] != VOCABULARY_NONE)
            return error_set(error, MZT_ERROR_FORMAT, "%s: \"%.60s\" and \"%.60s\" both have id %u", name,
                             vocabulary_text(v, v->by_id[id]), vocabulary_text(v, i), id);
        v->by_id[id] = i;
    }
    return MZT_OK;
}

mzt_status vocabulary_finish(vocabulary *v, const char *name, mzt_error *error) {
    TRY(index_ids(v, name, error));
    for (int byte = 0; byte < 256; byte++) {
        char spelling[8];
        size_t length = text_encode(vocabulary_byte_character((uint8_t)byte), spelling);
        memcpy(spelling + length, "</w>", 4);
        TRY(vocabulary_intern(v, spelling, length, &v->byte_pieces[byte][0], error));
        TRY(vocabulary_intern(v, spelling, length + 4, &v->byte_pieces[byte][1], error));
    }
    return MZT_OK;
}
