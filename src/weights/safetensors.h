/* The safetensors file format: 8 bytes of header length (little endian), a JSON header, then the tensors'
 * bytes (row-major, little endian). Read from a mapping or from memory; every offset is checked before any is
 * used, so a hostile file can give an error but never a bad pointer. As the format demands, the tensors cover
 * the data without overlap or hole.
 *
 * Thread-safety: an open file is immutable and may be read from any thread; a writer belongs to one thread.
 * A file that another process truncates while it is mapped faults the reader, as any mapping does. */
#ifndef WEIGHTS_SAFETENSORS_H
#define WEIGHTS_SAFETENSORS_H

#include "weights/tensor.h"

#define SAFETENSORS_HEADER_LIMIT 100000000u /* bytes of JSON, the format's own limit */

typedef struct safetensors_file safetensors_file;

/* Maps and checks a file. FORMAT naming what is wrong, UNSUPPORTED for an unknown dtype, NOT_FOUND, IO. */
mzt_status safetensors_open(const base_host *host, const char *path, safetensors_file **file,
                            mzt_error *error);

/* The same over memory that the caller keeps alive and unchanged until the close. `name` is for messages. */
mzt_status safetensors_open_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                                   safetensors_file **file, mzt_error *error);

void safetensors_close(safetensors_file *file); /* NULL is accepted */

const char *safetensors_name(const safetensors_file *file);
uint32_t safetensors_count(const safetensors_file *file);
const weights_tensor *safetensors_at(const safetensors_file *file,
                                     uint32_t index); /* in order of names (strcmp) */
const weights_tensor *safetensors_find(const safetensors_file *file, const char *name); /* NULL when absent */

/* A string of the header's __metadata__; NULL when absent. Entries are in file order. */
const char *safetensors_metadata(const safetensors_file *file, const char *key);
uint32_t safetensors_metadata_count(const safetensors_file *file);
void safetensors_metadata_at(const safetensors_file *file, uint32_t index, const char **key,
                             const char **value);

/* ------------------------------------------------------------------------------------------------ writing --
 */

/* A file being written: declare all tensors and metadata, then write their bytes in the same order, in pieces
 * of any size, then finish. Nothing appears under the wanted name before that. The header is padded so that
 * the data begins at a multiple of 8. */
typedef struct safetensors_writer safetensors_writer;

mzt_status safetensors_writer_open(const base_host *host, const char *path, safetensors_writer **writer,
                                   mzt_error *error);
/* `key` and `value` are UTF-8 and copied. */
mzt_status safetensors_writer_metadata(safetensors_writer *writer, const char *key, const char *value,
                                       mzt_error *error);
/* `name` is UTF-8 and copied. INVALID for a bad name, rank, size, or a block type; a name declared
 * twice is found by the first write. */
mzt_status safetensors_writer_declare(safetensors_writer *writer, const char *name, weights_dtype type,
                                      const uint64_t *shape, uint32_t rank, mzt_error *error);
/* INVALID when more bytes come than were declared. */
mzt_status safetensors_writer_write(safetensors_writer *writer, const void *data, uint64_t size,
                                    mzt_error *error);
/* Puts the file under its name; INVALID when bytes are missing. Destroys the writer, also on failure. */
mzt_status safetensors_writer_finish(safetensors_writer *writer, mzt_error *error);
void safetensors_writer_abandon(safetensors_writer *writer); /* leaves no file; NULL is accepted */

/* All of the above for tensors at hand; `metadata` holds `metadata_count` pairs of key and value. */
mzt_status safetensors_save(const base_host *host, const char *path, const weights_tensor *tensors,
                            uint32_t count, const char *const *metadata, uint32_t metadata_count,
                            mzt_error *error);

#endif
