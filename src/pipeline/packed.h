/* Compiled models: everything that jobs of one shape need, in one file that can be mapped. The plans and
 * weights lie in it as plan_image_write has them; the rest is what running takes of the configurations, the
 * schedule's training, and the tokenizers. Nothing is compiled and no JSON is read to run it.
 *
 *   header    magic, version, byte order
 *   sections  at multiples of PLAN_ALIGNMENT
 *   table     where the sections are, at the file's end
 *
 * Ownership: model->close. Thread-safety: that of models. */
#ifndef PIPELINE_PACKED_H
#define PIPELINE_PACKED_H

#include "base/file.h"
#include "pipeline/part.h"

typedef struct packed_part {
    part_spec spec;
    const uint8_t *data; /* a plan image */
    uint64_t size;
} packed_part;

typedef struct packed_model {
    file_mapping mapping;
    dtype type; /* of activations; autoencoders may have another */
    packed_part parts[PART_KIND_COUNT];
    uint32_t part_count;
} packed_model;

/* Whether these are a compiled model's first bytes. */
bool packed_is(const void *data, uint64_t size);

/* Opens a compiled model. All but the weights' values is checked; the file may be hostile. FORMAT,
 * UNSUPPORTED for another version; NOT_FOUND, IO. */
mzt_status packed_open(const base_host *host, const char *path, model **out, mzt_error *error);

/* Writes parts of a model, compiled for a device of these limits. */
mzt_status packed_write(const model *m, const executor_limits *limits, precision p, const part_spec *parts,
                        uint32_t count, const char *path, mzt_error *error);

/* -- what both share -- */

#define PACKED_MAGIC   "MZTMODEL"
#define PACKED_VERSION 1u
#define PACKED_ORDER   0x01020304u

typedef struct packed_header {
    char magic[8];
    uint32_t version, order;
    uint64_t reserved[6];
} packed_header;

typedef enum packed_kind { PACKED_FACTS, PACKED_TOKENIZER, PACKED_PART } packed_kind;

typedef struct packed_section {
    uint32_t kind, index; /* of a tokenizer: 0 or 1 */
    uint64_t offset, size;
    part_spec spec; /* of a part */
} packed_section;

typedef struct packed_footer {
    uint64_t table;
    uint32_t count, reserved;
    char magic[8];
} packed_footer;

/* Facts as bytes, and back: one function goes over them in either direction. */
typedef struct packed_facts {
    uint8_t bytes[32768];
    uint32_t size, at;
    bool writing, bad;
} packed_facts;

/* Checks ranges when reading: false if any is left. */
bool packed_go_over(packed_facts *f, model *m, dtype *type);

#endif
