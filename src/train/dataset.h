/* A folder of captioned pictures: PNG files and metadata.jsonl, one JSON object a line (the "imagefolder"
 * convention):
 *   {"file_name": "noto/1f34e.png", "text": "red apple", "keywords": ["apple", "fruit"], "style": "noto"}
 * file_name and text are needed, keywords and style are optional, other members are ignored.
 *
 * Errors, which end the opening: no folder or metadata.jsonl; a line that is no JSON object; a file_name that
 * is absolute, or has a component "..", "." or "", a backslash or a control character; no picture left to
 * train on. Warnings, which leave the picture out; each kind is counted and its first few are named: no text
 * (or an empty one), no such file, a file that cannot be decoded. Pictures with an excluded combination are
 * left out and counted, too.
 *
 * The hold-out split goes by a hash of file_name, so it stays when pictures are added. Pictures may differ in
 * size: see augment.h. Thread-safety: immutable after opening. */
#ifndef TRAIN_DATASET_H
#define TRAIN_DATASET_H

#include "base/threads.h"
#include "train/augment.h"
#include "train/caption.h"
#include "train/exclude.h"

typedef struct dataset_item {
    char *file, *name, *style; /* style "" where there is none */
    char **keywords;
    uint32_t keyword_count;
    uint32_t line; /* in metadata.jsonl, from 1 */
    colour_measure colours;
} dataset_item;

/* Of what was left out. */
typedef enum dataset_loss {
    DATASET_NO_TEXT,
    DATASET_NO_FILE,
    DATASET_UNDECODABLE,
    DATASET_EXCLUDED,
    DATASET_LOSS_COUNT
} dataset_loss;

typedef struct dataset {
    const base_host *host;
    char *folder;
    dataset_item *items; /* [count], in the file's order */
    uint32_t count, capacity;
    uint32_t *train, *held_out; /* indices of items */
    uint32_t train_count, held_out_count;
    uint32_t lost[DATASET_LOSS_COUNT];
} dataset;

typedef struct dataset_options {
    const exclude_list *exclude; /* NULL: nothing */
    double held_out;             /* share of the pictures that are kept from training */
    const char *(*style_word)(const void *user,
                              const char *style); /* what captions call a style; NULL: its own name */
    const void *user;
    thread_pool *pool; /* decodes; NULL: the calling thread */
    bool unchecked;    /* pictures are not decoded, and their colours stay unknown */
} dataset_options;

/* Shares of the opaque area from which a picture counts as having an excluded colour: as it is, and after its
 * hue was turned. */
#define DATASET_EXCLUDE_SHARE        0.33
#define DATASET_EXCLUDE_TURNED_SHARE 0.1

/* Reads metadata.jsonl, decodes every picture once to check it and to measure its colours. Warnings go to the
 * host's log. NOT_FOUND, IO, FORMAT, INVALID, OUT_OF_MEMORY. */
mzt_status dataset_open(const base_host *host, const char *folder, const dataset_options *options,
                        dataset **out, mzt_error *error);
void dataset_close(dataset *d); /* NULL is accepted */

/* Position k of epoch e: which of `count` samples comes then. For each (seed, epoch) a permutation of 0 ...
 * count - 1. */
uint32_t dataset_order(uint64_t seed, uint64_t epoch, uint32_t count, uint32_t k);

/* What became of a picture that its caption must know. */
typedef struct dataset_facts {
    uint8_t colour; /* colour, measured or turned to; COLOUR_NONE */
    bool recoloured, mirrored;
} dataset_facts;

/* Decodes and augments item `item`: [resolution][resolution][channels] in -1...1. Depends on nothing but
 * (seed, variant, item). `augment` false: only placed in the square. */
mzt_status dataset_picture(const dataset *d, const exclude_list *exclude, const augment_options *options,
                           bool augment, uint64_t seed, uint64_t variant, uint32_t item, float *out,
                           dataset_facts *facts, mzt_error *error);

/* A caption for it; depends on nothing but (seed, epoch, item) and the facts. Empty with probability
 * `dropout`. */
void dataset_caption(const dataset *d, uint64_t seed, uint64_t epoch, uint32_t item,
                     const dataset_facts *facts, double dropout, char caption[CAPTION_SIZE]);

/* The plain caption of the picture as it is. */
void dataset_plain_caption(const dataset *d, uint32_t item, char caption[CAPTION_SIZE]);

#endif
