/* CLIP's byte-pair tokenizer: text to token ids, as transformers' CLIPTokenizer gives them where ftfy is not
 * installed.
 *
 *   bpe *tokenizer;
 *   TRY(bpe_load(host, "models/sd15/tokenizer", NULL, &tokenizer, error));
 *   uint32_t ids[77];
 *   TRY(bpe_encode_padded(tokenizer, "a red apple", 77, ids, NULL, error));
 *   bpe_destroy(tokenizer);
 *
 * Text is UTF-8 of at most TEXT_LIMIT bytes; a byte that is not part of valid UTF-8 counts as U+FFFD, which
 * cleaning drops. The names of the special tokens (begin, end, padding, unknown) inside a text stand for
 * those tokens.
 *
 * Thread-safety: immutable after creation; any number of threads may encode at once. */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "base/host.h"

typedef struct bpe bpe;

/* What the vocabulary itself does not say. NULL and 0: what the folder's tokenizer_config.json and
 * special_tokens_map.json say, and where they say nothing "<|startoftext|>", "<|endoftext|>" for the three
 * others, and 77. */
typedef struct bpe_options {
    const char *begin, *end, *padding, *unknown; /* spelled as in the vocabulary */
    uint32_t max_length; /* tokens of a padded text, begin and end included; 2..4096 */
} bpe_options;

/* Loads from a folder that holds vocab.json and merges.txt, or bpe_simple_vocab_16e6.txt(.gz); or from one of
 * these files (vocab.json: merges.txt is looked for beside it). `options` may be NULL. NOT_FOUND, IO, FORMAT,
 * OUT_OF_MEMORY. */
mzt_status bpe_load(const base_host *host, const char *path, const bpe_options *options, bpe **tokenizer,
                    mzt_error *error);

/* From memory that need not outlive the call. With `merges` NULL, `vocabulary` is the openai/CLIP file,
 * gzip-compressed or not; else the contents of vocab.json and merges.txt. `name` is what messages call the
 * data. */
mzt_status bpe_create(const base_host *host, const char *name, const void *vocabulary,
                      uint64_t vocabulary_size, const void *merges, uint64_t merges_size,
                      const bpe_options *options, bpe **tokenizer, mzt_error *error);

void bpe_destroy(bpe *tokenizer); /* NULL is accepted */

/* From now on `word` stands for `count` ids from `first` on, wherever it is a word of its own: no letter,
 * digit,
 * '_' or '-' touches it. Small and capital letters of ASCII are the same. Before the tokenizer is shared by
 * threads. INVALID for an empty word, one beyond 255 bytes, or one that is there already; OUT_OF_MEMORY. */
mzt_status bpe_add_word(bpe *tokenizer, const char *word, uint32_t first, uint32_t count, mzt_error *error);

/* How many ids belong together from this one on: those of an added word if `id` is its first, else 1. */
uint32_t bpe_group(const bpe *tokenizer, uint32_t id);

/* All tokens of `length` bytes of text, without begin and end. *ids is a fresh block of *count ids (non-NULL
 * also when empty), to be released with the host's host_free. INVALID for text that is too long,
 * OUT_OF_MEMORY. */
mzt_status bpe_encode(const bpe *tokenizer, const char *text, size_t length, uint32_t **ids, uint32_t *count,
                      mzt_error *error);

/* Begin, the first max_length - 2 tokens of a zero-terminated text, end, padding: writes ids[max_length],
 * max_length >= 2. *used (may be NULL) is the number of ids up to and including the end. */
mzt_status bpe_encode_padded(const bpe *tokenizer, const char *text, uint32_t max_length, uint32_t *ids,
                             uint32_t *used, mzt_error *error);

/* The host it was made with. */
const base_host *bpe_host(const bpe *tokenizer);

uint32_t bpe_begin_id(const bpe *tokenizer);
uint32_t bpe_end_id(const bpe *tokenizer);
uint32_t bpe_padding_id(const bpe *tokenizer);
uint32_t bpe_max_length(const bpe *tokenizer);
/* One more than the highest id: an embedding table needs at least so many rows. */
uint32_t bpe_id_count(const bpe *tokenizer);

/* The spelling of an id in the vocabulary ("astronaut</w>"), NULL when it has none; and the id of a spelling.
 * The string lives as long as the tokenizer. */
const char *bpe_piece(const bpe *tokenizer, uint32_t id);
bool bpe_find(const bpe *tokenizer, const char *piece, uint32_t *id);

/* The text that ids stand for, for display: a space behind each word, none at the end, special tokens by
 * name, U+FFFD for bytes that are not valid UTF-8. *text is a fresh, terminated block. */
mzt_status bpe_decode(const bpe *tokenizer, const uint32_t *ids, uint32_t count, char **text,
                      mzt_error *error);

#endif
