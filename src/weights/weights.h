/* The weights of one network under the engine's names, which are diffusers', whatever they lie in: one
 * safetensors file, the several files of a sharded checkpoint, a GGUF file, or a view that renames, cuts and
 * turns the tensors of another set (a checkpoint in the original layout). Everything above sees only the set;
 * and packing a tensor into the element type and layout the engine wants.
 *
 * To add a kind of file: read it into weights_tensor records, hand them to weights_create, and call that from
 * weights_open where the file's first bytes tell. To change tensors while they are read: weights_overlaid.
 *
 * Ownership: the set owns its files; tensors point into them and live until weights_close.
 * Thread-safety: an open set is immutable; different tensors may be packed on different threads. */
#ifndef WEIGHTS_WEIGHTS_H
#define WEIGHTS_WEIGHTS_H

#include "weights/safetensors.h"

typedef struct weights_set weights_set;

/* Opens a file, or a component folder as diffusers and transformers write them. In a folder the first of
 * these is taken: NAME.safetensors, NAME.safetensors.index.json, and the fp16 variants of both, with NAME
 * diffusion_pytorch_model or model. NOT_FOUND naming what was looked for, UNSUPPORTED when there are pickled
 * files only, FORMAT for damaged ones. */
mzt_status weights_open(const base_host *host, const char *path, weights_set **set, mzt_error *error);

/* One safetensors file in memory that the caller keeps alive and unchanged until the close. */
mzt_status weights_open_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                               weights_set **set, mzt_error *error);

void weights_close(weights_set *set); /* NULL is accepted */

/* What a set is made of. `tensors`, in any order, and all that they point to live until `close`. */
typedef struct weights_source {
    const weights_tensor *tensors;
    uint32_t count;
    /* A value of the file's own description, such as safetensors' "modelspec.architecture" or GGUF's
     * "general.architecture"; NULL when absent. `metadata` may be NULL. */
    const char *(*metadata)(const void *user, const char *key);
    void (*close)(void *user); /* NULL: nothing to release */
    void *user;
} weights_source;

/* A set of these tensors; `name` is for messages. Takes the source over: it is closed with the set, and at
 * once on failure. FORMAT for a name that comes twice, OUT_OF_MEMORY. */
mzt_status weights_create(const base_host *host, const char *name, const weights_source *source,
                          weights_set **set, mzt_error *error);

/* The same tensors with an overlay on each for which `choose` gives one (NULL: it stays as it is; a tensor
 * that has one already must stay). `below` is borrowed and must outlive the new set, as must the overlays. */
mzt_status weights_overlaid(const base_host *host, const weights_set *below,
                            const weights_overlay *(*choose)(void *user, const weights_tensor *tensor),
                            void *user, weights_set **set, mzt_error *error);

/* What messages call the set: the path of the file or of the index. */
const char *weights_name(const weights_set *set);
uint32_t weights_count(const weights_set *set);
const weights_tensor *weights_at(const weights_set *set, uint32_t index);     /* in order of names (strcmp) */
const weights_tensor *weights_find(const weights_set *set, const char *name); /* NULL when absent */

/* See weights_source; NULL for sharded checkpoints. */
const char *weights_metadata(const weights_set *set, const char *key);

/* The tensor `name`, which must have this shape. NOT_FOUND, or FORMAT naming the shape expected and the one
 * found. */
mzt_status weights_require(const weights_set *set, const char *name, const uint64_t *shape, uint32_t rank,
                           const weights_tensor **tensor, mzt_error *error);

typedef enum weights_layout {
    WEIGHTS_PLAIN,        /* row-major as it stands */
    WEIGHTS_OIHW_TO_OHWI, /* convolution weights [O,I,KH,KW] of checkpoints to the engine's [O,KH,KW,I] */
    WEIGHTS_OHWI_TO_OIHW  /* and back, for saving */
} weights_layout;

/* Converts a whole tensor into `out`, an aligned array of `bytes` = dtype_bytes(to, tensor->count). Needs no
 * temporary memory beyond a few kilobytes of stack. INVALID when `bytes` is not that, the layout needs rank 4,
 * or blocks would have to be cut or laid out anew; else as weights_convert. */
mzt_status weights_pack(const weights_tensor *tensor, weights_layout layout, dtype to, void *out,
                        uint64_t bytes, mzt_error *error);

/* weights_require, then weights_pack. `shape` is the checkpoint's. */
mzt_status weights_load(const weights_set *set, const char *name, const uint64_t *shape, uint32_t rank,
                        weights_layout layout, dtype to, void *out, uint64_t bytes, mzt_error *error);

#endif
