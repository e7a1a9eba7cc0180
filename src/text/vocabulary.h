/* A byte-pair vocabulary: pieces (strings), their ids, and the ranked merges of two pieces into one.
 *
 * Pieces are spelled in the byte-level alphabet: each byte is one printable character (the printable Latin-1
 * characters stand for themselves, the other 68 bytes for U+0100..U+0143), and "</w>" marks the end of a
 * word.
 *
 * Thread-safety: build on one thread; a finished vocabulary is only read. */
#ifndef TEXT_VOCABULARY_H
#define TEXT_VOCABULARY_H

#include "base/host.h"

#define VOCABULARY_NONE     UINT32_MAX
#define VOCABULARY_ID_LIMIT (1u << 22) /* ids lie below */

/* A string that occurs in the vocabulary or in a merge. `id` is VOCABULARY_NONE when only a merge names it.
 */
typedef struct vocabulary_piece {
    uint32_t offset, length; /* in `text` */
    uint32_t hash;
    uint32_t id;
} vocabulary_piece;

typedef struct vocabulary_merge {
    uint32_t left, right, result; /* pieces */
    uint32_t rank;                /* lower is merged first */
} vocabulary_merge;

typedef struct vocabulary {
    const base_host *host;
    char *text; /* each piece terminated by a zero */
    uint32_t text_count, text_capacity;
    vocabulary_piece *pieces;
    uint32_t piece_count, piece_capacity;
    uint32_t *piece_slots; /* open addressing; piece or NONE */
    uint32_t piece_slot_count;
    vocabulary_merge *merges;
    uint32_t merge_count, merge_capacity, next_rank;
    uint32_t *merge_slots;
    uint32_t merge_slot_count;
    uint32_t *by_id; /* piece or NONE */
    uint32_t id_count;
    uint32_t byte_pieces[256][2]; /* the piece of each byte, within a word and at its end */
} vocabulary;

void vocabulary_init(vocabulary *v, const base_host *host);
void vocabulary_free(vocabulary *v);

/* The piece spelled `text`, made if need be. `length` >= 1. OUT_OF_MEMORY; FORMAT beyond 4 GiB of text. */
mzt_status vocabulary_intern(vocabulary *v, const char *text, size_t length, uint32_t *piece,
                             mzt_error *error);
/* The same without making one: VOCABULARY_NONE when there is none. */
uint32_t vocabulary_find(const vocabulary *v, const char *text, size_t length);
const char *vocabulary_text(const vocabulary *v, uint32_t piece);

/* Adds the merge of two pieces at the next rank. A pair that was there already takes the new rank. */
mzt_status vocabulary_add_merge(vocabulary *v, uint32_t left, uint32_t right, mzt_error *error);
/* The merge of a pair, or NULL. */
const vocabulary_merge *vocabulary_find_merge(const vocabulary *v, uint32_t left, uint32_t right);

/* Indexes by id and by byte; call once, after reading. FORMAT when two pieces share an id or there is no
 * piece. `name` is what the message calls the vocabulary. */
mzt_status vocabulary_finish(vocabulary *v, const char *name, mzt_error *error);

/* The byte-level alphabet: the character of a byte, and the byte of a character or -1. */
int32_t vocabulary_byte_character(uint8_t byte);
int vocabulary_character_byte(int32_t character);

/* Readers. `name` is what messages call the data. FORMAT for damaged data, with its line where lines count.
 * vocab.json: an object that maps piece to id. */
mzt_status vocabulary_read_json(vocabulary *v, const char *name, const char *data, uint64_t size,
                                mzt_error *error);
/* merges.txt: an optional "#version" line, then one merge a line: two pieces apart by a space. */
mzt_status vocabulary_read_merges(vocabulary *v, const char *name, const char *data, uint64_t size,
                                  mzt_error *error);
/* The file of the openai/CLIP repository (bpe_simple_vocab_16e6.txt), gzip-compressed or not: a heading, then
 * merges, of which CLIP uses the first 48,894. Ids: 256 bytes, 256 bytes at a word's end, the merges, begin,
 * end. */
mzt_status vocabulary_read_openai(vocabulary *v, const char *name, const char *data, uint64_t size,
                                  mzt_error *error);

#endif
