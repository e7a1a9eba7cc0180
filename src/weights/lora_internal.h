/* What the files of LoRA loading share; see lora.h. */
#ifndef WEIGHTS_LORA_INTERNAL_H
#define WEIGHTS_LORA_INTERNAL_H

#include "weights/lora.h"

/* The tensors that one module may have in a file. */
typedef enum lora_part {
    LORA_DOWN, /* [rank, I, kh, kw] */
    LORA_UP,   /* [O, rank, 1, 1] */
    LORA_MID,  /* [rank, rank, kh, kw]; `down` is then [rank, I, 1, 1] */
    LORA_ALPHA,
    LORA_HADA_1A, /* [O, rank], with t1: [rank, O] */
    LORA_HADA_1B, /* [rank, I kh kw], with t1: [rank, I] */
    LORA_HADA_2A,
    LORA_HADA_2B,
    LORA_HADA_T1, /* [rank, rank, kh, kw] */
    LORA_HADA_T2,
    LORA_KRON_1, /* [a, b], or the product of 1A [a, rank] and 1B [rank, b] */
    LORA_KRON_1A,
    LORA_KRON_1B,
    LORA_KRON_2, /* [c, d, kh, kw], or that of 2A [c, rank] and 2B [rank, d kh kw]; with t2 [rank, c] and
                    [rank, d] */
    LORA_KRON_2A,
    LORA_KRON_2B,
    LORA_KRON_T2,
    LORA_DIFF, /* as the weight; a bias is a module of its own, called NAME_bias */
    LORA_PART_COUNT,
    LORA_UNSUPPORTED = LORA_PART_COUNT, /* belongs to a kind of adapter that is known by name only */
    LORA_UNKNOWN
} lora_part;

typedef enum lora_kind {
    LORA_KIND_PRODUCT,
    LORA_KIND_HADAMARD,
    LORA_KIND_KRONECKER,
    LORA_KIND_DIFF
} lora_kind;

typedef struct lora_module {
    lora_network network;
    char *name;      /* as it is matched: "down_blocks_0_attentions_0_..._to_q" */
    const char *key; /* one of the file's own keys, for messages */
    const weights_tensor *parts[LORA_PART_COUNT]; /* NULL: not there */
    lora_kind kind;
    double factor; /* alpha / rank */
    bool found;    /* in a network */
} lora_module;

typedef struct lora_file {
    const base_host *host;
    safetensors_file *file;
    double scale;
    lora_module *modules; /* in order of (network, name) */
    uint32_t count;
    const char **unknown; /* keys that say nothing to us */
    uint32_t unknown_count;
} lora_file;

/* ------------------------------------------------------------------------------------------------------ keys
 * (lora_keys.c) -- */

typedef struct lora_key {
    lora_part part;
    lora_network network;
    char module[256];
} lora_key;

/* Takes a file's key apart. LORA_UNKNOWN for what is no adapter's. */
lora_key lora_key_parse(const char *key);

/* --------------------------------------------------------------------------------------------------- one
 * file (lora_file.c) -- */

mzt_status lora_file_create(const base_host *host, safetensors_file *file, double scale, lora_file **out,
                            mzt_error *error);
void lora_file_destroy(lora_file *f); /* closes the safetensors file; NULL is accepted */

/* ---------------------------------------------------------------------------------------------------- names
 * (lora_names.c) -- */

typedef struct lora_name {
    char *text; /* a module's name with underscores */
    const weights_tensor *tensor;
} lora_name;

/* All spellings of the modules of a set: diffusers' own and, for a UNet, the original one
 * ("input_blocks_1_1_..."). */
typedef struct lora_names {
    const base_host *host;
    lora_name *items; /* sorted */
    uint32_t count, capacity;
} lora_names;

mzt_status lora_names_create(const base_host *host, const weights_set *set, lora_network network,
                             lora_names *out, mzt_error *error);
void lora_names_destroy(lora_names *names); /* zeroed is accepted */
/* Its ".weight", for NAME_bias its ".bias"; NULL. */
const weights_tensor *lora_names_find(const lora_names *names, const char *module);

/* --------------------------------------------------------------------------------------------------- deltas
 * (lora_delta.c) -- */

/* One module's matrices in f32, with everything that multiplies them in u[0]. */
typedef struct lora_term {
    lora_kind kind;
    const weights_tensor *diff; /* LORA_KIND_DIFF */
    float factor;               /* of LORA_KIND_DIFF */
    float *u[2], *d[2]; /* products: u [O][rank] d [rank][N]; Kronecker: u[0] = w1 [a][b], d[0] = w2 [c][e] */
    uint64_t rank[2], b, c, e;
} lora_term;

/* Do the module's shapes give a change of `tensor`? FORMAT naming both. */
mzt_status lora_module_check(const lora_file *file, const lora_module *module, const weights_tensor *tensor,
                             mzt_error *error);

mzt_status lora_term_create(const base_host *host, const lora_module *module, double scale, lora_term *out,
                            mzt_error *error);
void lora_term_destroy(const base_host *host, lora_term *term);

/* values[i] += the term's element first + i of a matrix of rows of `columns`. */
mzt_status lora_term_add(const lora_term *term, uint64_t columns, uint64_t first, uint64_t count,
                         float *values, mzt_error *error);

#endif
