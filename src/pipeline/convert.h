/* Writing an opened model to files: as a folder in diffusers' layout, or as a single file in the original
 * layout of names that other programs read. What was laid over the model (LoRA files, another autoencoder)
 * is merged.
 *
 * Thread-safety: as the model's; different files may be written on different threads. */
#ifndef PIPELINE_CONVERT_H
#define PIPELINE_CONVERT_H

#include "model/ldm_names.h"
#include "pipeline/model.h"

/* The element type of what is written. KEEP: each tensor's own; types that safetensors files of models do not
 * have (blocks, scaled fp8) become f16. */
typedef enum convert_type { CONVERT_KEEP, CONVERT_F16, CONVERT_BF16, CONVERT_F32 } convert_type;

/* A tensor to be written, and what it is made of. */
typedef struct convert_entry {
    char name[LDM_NAME_LIMIT];
    weights_dtype type;
    uint32_t rank;
    uint64_t shape[WEIGHTS_RANK_LIMIT];
    const weights_tensor *parts[3]; /* their rows follow one another */
    uint32_t part_count;
    bool transposed; /* of one part: its matrix is turned while it is written */
} convert_entry;

typedef struct convert_list {
    const base_host *host;
    convert_entry *entries;
    uint32_t count, capacity;
} convert_list;

/* What a single file holds, in order. UNSUPPORTED for a model whose configuration nobody could tell from such
 * a file, naming what differs; or with a tiny autoencoder. */
mzt_status convert_list_single(const model *m, convert_type type, convert_list *out, mzt_error *error);
/* What the file of one component's folder holds. */
mzt_status convert_list_component(const model *m, model_component component, convert_type type,
                                  convert_list *out, mzt_error *error);
void convert_list_destroy(convert_list *list); /* zeroed is accepted */

uint64_t convert_entry_count(const convert_entry *entry); /* elements */

/* Elements [first, first + count) as they are to be written, in f32, f16 or bf16. INVALID for a value that
 * f16 cannot hold. */
mzt_status convert_read(const base_host *host, const convert_entry *entry, uint64_t first, uint64_t count,
                        dtype to, void *out, mzt_error *error);

/* Called as work goes on, share 0...1; returning false cancels. May be NULL. */
typedef bool convert_progress(void *user, double share);

/* Writes a safetensors file, or a folder with configurations, tokenizers and one safetensors file a
 * component. Files appear when they are whole. */
mzt_status convert_to_file(const model *m, const char *path, convert_type type, convert_progress *progress,
                           void *user, mzt_error *error);
mzt_status convert_to_folder(const model *m, const char *path, convert_type type, convert_progress *progress,
                             void *user, mzt_error *error);

#endif
