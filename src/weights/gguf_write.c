/* Writer of GGUF files; see gguf.h. Version 3, alignment 32. */
#include <string.h>

#include "base/file.h"
#include "weights/gguf.h"

enum { VERSION = 3, ALIGNMENT = 32, RANK_LIMIT = 4, TYPE_STRING = 8 };

typedef struct entry {
    char *name;
    uint32_t type, rank;
    uint64_t shape[RANK_LIMIT];
    uint64_t begin, bytes; /* `begin` counts from the start of the data */
} entry;

struct gguf_writer {
    const base_host *host;
    char *path;
    file_writer *file; /* NULL until the description is written */
    entry *entries;
    char **metadata; /* key, value, key, value, ... */
    uint32_t count, capacity, metadata_count, metadata_capacity;
    uint64_t declared, at; /* bytes of data, with the gaps */
    uint32_t current;      /* the tensor that is being written */
    bool failed;
};

mzt_status gguf_writer_open(const base_host *host, const char *path, gguf_writer **out, mzt_error *error) {
    *out = NULL;
    gguf_writer *writer = host_calloc(host, 1, sizeof *writer);
    if (!writer) return error_memory(error, path, sizeof *writer);
    writer->host = host;
    writer->path = host_strdup(host, path);
    if (!writer->path) {
        gguf_writer_abandon(writer);
        return error_memory(error, path, strlen(path));
    }
    *out = writer;
    return MZT_OK;
}

static mzt_status append_text(gguf_writer *writer, const char *text, mzt_error *error) {
    char *copy = host_strdup(writer->host, text);
    if (!copy ||
        !HOST_GROW(writer->host, writer->metadata, writer->metadata_count, writer->metadata_capacity)) {
        host_free(writer->host, copy);
        return error_memory(error, writer->path, strlen(text));
    }
    writer->metadata[writer->metadata_count++] = copy;
    return MZT_OK;
}

mzt_status gguf_writer_metadata(gguf_writer *writer, const char *key, const char *value, mzt_error *error) {
    char shown[100];
    error_text(shown, sizeof shown, key);
    if (writer->file)
        return error_set(error, MZT_ERROR_INVALID, "%s: metadata \"%s\" comes behind data", writer->path,
                         shown);
    for (uint32_t i = 0; i + 1 < writer->metadata_count; i += 2)
        if (strcmp(writer->metadata[i], key) == 0)
            return error_set(error, MZT_ERROR_INVALID, "%s: metadata \"%s\" comes twice", writer->path,
                             shown);
    TRY(append_text(writer, key, error));
    mzt_status status = append_text(writer, value, error);
    if (status < 0) host_free(writer->host, writer->metadata[--writer->metadata_count]);
    return status;
}

mzt_status gguf_writer_declare(gguf_writer *writer, const char *name, weights_dtype type,
                               const uint64_t *shape, uint32_t rank, mzt_error *error) {
    char shown[100], text[120];
    error_text(shown, sizeof shown, name);
    if (writer->file)
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" comes behind data", writer->path,
                         shown);
    entry next = {.rank = rank ? rank : 1, .shape = {1}, .begin = align_up(writer->declared, ALIGNMENT)};
    if (!gguf_type_of(type, &next.type))
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\": GGUF files hold no %s", writer->path,
                         shown, weights_dtype_name(type));
    if (!name[0] || rank > RANK_LIMIT)
        return error_set(error, MZT_ERROR_INVALID,
                         "%s: tensor \"%s\" of rank %lu: it needs a name, and rank 4 at most", writer->path,
                         shown, (unsigned long)rank);
    uint64_t count = 1, end = 0;
    bool fits = true;
    for (uint32_t i = 0; i < rank; i++) {
        next.shape[i] = shape[i];
        fits = fits && shape[i] > 0 && size_mul(count, shape[i], &count);
    }
    fits = fits && next.shape[next.rank - 1] % weights_dtype_block(type) == 0 &&
           weights_dtype_bytes(type, count, &next.bytes) && size_add(next.begin, next.bytes, &end) &&
           end <= (uint64_t)INT64_MAX;
    if (!fits)
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" %s cannot be stored as %s",
                         writer->path, shown, weights_shape_text(text, sizeof text, shape, rank),
                         weights_dtype_name(type));
    next.name = host_strdup(writer->host, name);
    if (!next.name || !HOST_GROW(writer->host, writer->entries, writer->count, writer->capacity)) {
        host_free(writer->host, next.name);
        return error_memory(error, writer->path, sizeof next);
    }
    writer->entries[writer->count++] = next;
    writer->declared = end;
    return MZT_OK;
}

/* ---------------------------------------------------------------------------------------- the description --
 */

/* Counts the bytes it puts out, for the alignment of the data. */
typedef struct output {
    file_writer *file;
    uint64_t written;
    mzt_error *error;
} output;

static mzt_status put(output *o, const void *data, uint64_t size) {
    o->written += size;
    return file_writer_write(o->file, data, size, o->error);
}

static mzt_status put_uint(output *o, uint64_t value, uint32_t bytes) {
    uint8_t little[8];
    for (uint32_t i = 0; i < 8; i++)
        little[i] = (uint8_t)(value >> 8 * i);
    return put(o, little, bytes);
}

static mzt_status put_string(output *o, const char *text) {
    TRY(put_uint(o, strlen(text), 8));
    return put(o, text, strlen(text));
}

static mzt_status put_gap(output *o, uint64_t bytes) {
    static const uint8_t zeros[ALIGNMENT] = {0};
    return put(o, zeros, bytes);
}

static mzt_status put_entry(output *o, const entry *e) {
    TRY(put_string(o, e->name));
    TRY(put_uint(o, e->rank, 4));
    for (uint32_t i = e->rank; i > 0; i--)
        TRY(put_uint(o, e->shape[i - 1], 8));
    TRY(put_uint(o, e->type, 4));
    return put_uint(o, e->begin, 8);
}

static mzt_status write_description(gguf_writer *writer, mzt_error *error) {
    TRY(file_writer_open(writer->host, writer->path, &writer->file, error));
    output o = {writer->file, 0, error};
    TRY(put(&o, "GGUF", 4));
    TRY(put_uint(&o, VERSION, 4));
    TRY(put_uint(&o, writer->count, 8));
    TRY(put_uint(&o, writer->metadata_count / 2, 8));
    for (uint32_t i = 0; i + 1 < writer->metadata_count; i += 2) {
        TRY(put_string(&o, writer->metadata[i]));
        TRY(put_uint(&o, TYPE_STRING, 4));
        TRY(put_string(&o, writer->metadata[i + 1]));
    }
    for (uint32_t i = 0; i < writer->count; i++)
        TRY(put_entry(&o, &writer->entries[i]));
    return put_gap(&o, align_up(o.written, ALIGNMENT) - o.written);
}

/* --------------------------------------------------------------------------------------------------- data --
 */

static mzt_status write_data(gguf_writer *writer, const void *data, uint64_t size, mzt_error *error) {
    const uint8_t *from = data;
    if (writer->failed)
        return error_set(error, MZT_ERROR_INVALID, "%s: an earlier write failed", writer->path);
    if (!writer->file) TRY(write_description(writer, error));
    output o = {writer->file, 0, error};
    while (size > 0) {
        if (writer->current == writer->count)
            return error_set(error, MZT_ERROR_INVALID, "%s: more data than the %llu bytes declared",
                             writer->path, (unsigned long long)writer->declared);
        const entry *e = &writer->entries[writer->current];
        if (writer->at < e->begin) {
            TRY(put_gap(&o, e->begin - writer->at));
            writer->at = e->begin;
        }
        uint64_t left = e->begin + e->bytes - writer->at, some = size < left ? size : left;
        TRY(put(&o, from, some));
        writer->at += some;
        from += some;
        size -= some;
        writer->current += some == left;
    }
    return MZT_OK;
}

mzt_status gguf_writer_write(gguf_writer *writer, const void *data, uint64_t size, mzt_error *error) {
    mzt_status status = write_data(writer, data, size, error);
    if (status < 0) writer->failed = true;
    return status;
}

mzt_status gguf_writer_finish(gguf_writer *writer, mzt_error *error) {
    mzt_status status = write_data(writer, NULL, 0, error);
    if (status == MZT_OK && writer->current != writer->count)
        status =
            error_set(error, MZT_ERROR_INVALID, "%s: %llu bytes of data declared, %llu written", writer->path,
                      (unsigned long long)writer->declared, (unsigned long long)writer->at);
    if (status == MZT_OK) {
        output o = {writer->file, 0, error};
        status = put_gap(&o, align_up(writer->at, ALIGNMENT) - writer->at);
    }
    if (status == MZT_OK) {
        status = file_writer_commit(writer->file, error);
        writer->file = NULL;
    }
    gguf_writer_abandon(writer);
    return status;
}

void gguf_writer_abandon(gguf_writer *writer) {
    if (!writer) return;
    const base_host *host = writer->host;
    file_writer_abandon(writer->file);
    for (uint32_t i = 0; i < writer->count; i++)
        host_free(host, writer->entries[i].name);
    for (uint32_t i = 0; i < writer->metadata_count; i++)
        host_free(host, writer->metadata[i]);
    host_free(host, writer->entries);
    host_free(host, writer->metadata);
    host_free(host, writer->path);
    host_free(host, writer);
}
