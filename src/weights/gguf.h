/* GGUF files, versions 2 and 3, little endian: a magic number, metadata as typed pairs of key and value, the
 * tensors' descriptions, then their bytes, each tensor at a multiple of the file's alignment. Read from a
 * mapping or from memory; every count and offset is checked before it is used, so a hostile file can give an
 * error but never a bad pointer.
 *
 * Shapes are turned round: GGUF counts axes from the innermost, a weights_tensor from the outermost. A file
 * may hold a tensor of rank 4 flattened, because blocks need long rows, and note the original shape under
 * "comfy.gguf.orig_shape.NAME"; such a tensor gets that shape back.
 *
 * Thread-safety: as safetensors.h. */
#ifndef WEIGHTS_GGUF_H
#define WEIGHTS_GGUF_H

#include "weights/weights.h"

/* The file as a set of tensors under its own names; weights_metadata finds its strings. FORMAT naming what is
 * wrong, UNSUPPORTED naming a tensor's type or the version, NOT_FOUND, IO. */
mzt_status gguf_open(const base_host *host, const char *path, weights_set **set, mzt_error *error);

/* The same over memory that the caller keeps alive and unchanged until the close. `name` is for messages. */
mzt_status gguf_open_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                            weights_set **set, mzt_error *error);

/* Whether bytes, or a file, begin as a GGUF file does. */
bool gguf_is(const void *data, uint64_t size);

/* GGUF's number of a type; false: files of this format cannot hold it. */
bool gguf_type_of(weights_dtype type, uint32_t *number);

/* ------------------------------------------------------------------------------------------------ writing --
 */

/* A file being written, in the manner of safetensors_writer: metadata and tensors are declared, then the
 * tensors' bytes are written in the same order, in pieces of any size (the gaps between tensors are made
 * here), then finish. */
typedef struct gguf_writer gguf_writer;

mzt_status gguf_writer_open(const base_host *host, const char *path, gguf_writer **writer, mzt_error *error);

/* A string; "general.architecture" should be among them. UTF-8, copied. INVALID for one that comes twice. */
mzt_status gguf_writer_metadata(gguf_writer *writer, const char *key, const char *value, mzt_error *error);

/* INVALID for a bad name, a type or rank (above 4) that the format has not, a row that is no whole number of
 * blocks. */
mzt_status gguf_writer_declare(gguf_writer *writer, const char *name, weights_dtype type,
                               const uint64_t *shape, uint32_t rank, mzt_error *error);

/* INVALID when more bytes come than were declared. */
mzt_status gguf_writer_write(gguf_writer *writer, const void *data, uint64_t size, mzt_error *error);

/* Puts the file under its name; INVALID when bytes are missing. Destroys the writer, also on failure. */
mzt_status gguf_writer_finish(gguf_writer *writer, mzt_error *error);
void gguf_writer_abandon(gguf_writer *writer); /* leaves no file; NULL is accepted */

#endif
