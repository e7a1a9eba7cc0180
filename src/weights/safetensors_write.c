/* Writer of safetensors files; see safetensors.h. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "json/json_write.h"
#include "weights/safetensors.h"

typedef struct entry {
    char *name;
    weights_dtype type;
    uint32_t rank;
    uint64_t shape[WEIGHTS_RANK_LIMIT];
    uint64_t begin, end; /* bytes from the start of the data */
} entry;

struct safetensors_writer {
    const base_host *host;
    char *path;
    file_writer *file; /* NULL until the header is written */
    entry *entries;
    char **metadata; /* key, value, key, value, … */
    uint32_t count, capacity, metadata_count, metadata_capacity;
    uint64_t declared, written; /* bytes of data */
    bool failed;                /* a write went wrong: what is on disk must not become the file */
};

mzt_status safetensors_writer_open(const base_host *host, const char *path, safetensors_writer **out,
                                   mzt_error *error) {
    *out = NULL;
    safetensors_writer *writer = host_calloc(host, 1, sizeof *writer);
    if (!writer) return error_memory(error, path, sizeof *writer);
    writer->host = host;
    writer->path = host_strdup(host, path);
    if (!writer->path) {
        safetensors_writer_abandon(writer);
        return error_memory(error, path, strlen(path));
    }
    *out = writer;
    return MZT_OK;
}

/* Appends a copy of `text` to the list. */
static mzt_status append_metadata(safetensors_writer *writer, const char *text, mzt_error *error) {
    char *copy = host_strdup(writer->host, text);
    if (!copy ||
        !HOST_GROW(writer->host, writer->metadata, writer->metadata_count, writer->metadata_capacity)) {
        host_free(writer->host, copy);
        return error_memory(error, writer->path, strlen(text));
    }
    writer->metadata[writer->metadata_count++] = copy;
    return MZT_OK;
}

mzt_status safetensors_writer_metadata(safetensors_writer *writer, const char *key, const char *value,
                                       mzt_error *error) {
    char shown[100];
    if (writer->file)
        return error_set(error, MZT_ERROR_INVALID, "%s: metadata \"%s\" comes behind data", writer->path,
                         error_text(shown, sizeof shown, key));
    if (!json_is_utf8(key) || !json_is_utf8(value))
        return error_set(error, MZT_ERROR_INVALID, "%s: metadata \"%s\" is not UTF-8", writer->path,
                         error_text(shown, sizeof shown, key));
    for (uint32_t i = 0; i + 1 < writer->metadata_count; i += 2)
        if (strcmp(writer->metadata[i], key) == 0)
            return error_set(error, MZT_ERROR_INVALID, "%s: metadata \"%s\" comes twice", writer->path,
                             error_text(shown, sizeof shown, key));
    TRY(append_metadata(writer, key, error));
    mzt_status status = append_metadata(writer, value, error);
    if (status < 0) host_free(writer->host, writer->metadata[--writer->metadata_count]);
    return status;
}

mzt_status safetensors_writer_declare(safetensors_writer *writer, const char *name, weights_dtype type,
                                      const uint64_t *shape, uint32_t rank, mzt_error *error) {
    char shown[100];
    error_text(shown, sizeof shown, name);
    if (writer->file)
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" comes behind data", writer->path,
                         shown);
    if (!json_is_utf8(name) || strcmp(name, "__metadata__") == 0)
        return error_set(error, MZT_ERROR_INVALID, "%s: \"%s\" cannot be a tensor's name", writer->path,
                         shown);
    if (rank > WEIGHTS_RANK_LIMIT)
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" of rank %lu, more than the limit of %d",
                         writer->path, shown, (unsigned long)rank, WEIGHTS_RANK_LIMIT);
    if (type >= WEIGHTS_BLOCKS)
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\": safetensors files hold no %s",
                         writer->path, shown, weights_dtype_name(type));
    entry next = {.type = type, .rank = rank, .begin = writer->declared};
    uint64_t bytes = weights_dtype_size(type);
    bool fits = true;
    for (uint32_t i = 0; i < rank; i++) {
        next.shape[i] = shape[i];
        fits = fits && size_mul(bytes, shape[i], &bytes);
    }
    if (!fits || !size_add(next.begin, bytes, &next.end) || next.end > (uint64_t)INT64_MAX)
        return error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" is too large", writer->path, shown);
    next.name = host_strdup(writer->host, name);
    if (!next.name || !HOST_GROW(writer->host, writer->entries, writer->count, writer->capacity)) {
        host_free(writer->host, next.name);
        return error_memory(error, writer->path, sizeof next);
    }
    writer->entries[writer->count++] = next;
    writer->declared = next.end;
    return MZT_OK;
}

static int compare_strings(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static mzt_status check_names(const safetensors_writer *writer, mzt_error *error) {
    const char **names = host_calloc(writer->host, writer->count, sizeof *names);
    if (!names) return error_memory(error, writer->path, (uint64_t)writer->count * sizeof *names);
    for (uint32_t i = 0; i < writer->count; i++)
        names[i] = writer->entries[i].name;
    qsort(names, writer->count, sizeof *names, compare_strings);
    mzt_status status = MZT_OK;
    char shown[100];
    for (uint32_t i = 1; i < writer->count && status == MZT_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = error_set(error, MZT_ERROR_INVALID, "%s: tensor \"%s\" is declared twice", writer->path,
                               error_text(shown, sizeof shown, names[i]));
    host_free(writer->host, names);
    return status;
}

static mzt_status header_text(const safetensors_writer *writer, char **text, size_t *length,
                              mzt_error *error) {
    json_writer json = json_writer_make(writer->host);
    json_write_object(&json, NULL);
    if (writer->metadata_count > 0) {
        json_write_object(&json, "__metadata__");
        for (uint32_t i = 0; i < writer->metadata_count; i += 2)
            json_write_string(&json, writer->metadata[i], writer->metadata[i + 1]);
        json_write_end_object(&json);
    }
    for (uint32_t i = 0; i < writer->count; i++) {
        const entry *e = &writer->entries[i];
        json_write_object(&json, e->name);
        json_write_string(&json, "dtype", weights_dtype_name(e->type));
        json_write_array(&json, "shape");
        for (uint32_t k = 0; k < e->rank; k++)
            json_write_uint(&json, NULL, e->shape[k]);
        json_write_end_array(&json);
        json_write_array(&json, "data_offsets");
        json_write_uint(&json, NULL, e->begin);
        json_write_uint(&json, NULL, e->end);
        json_write_end_array(&json);
        json_write_end_object(&json);
    }
    json_write_end_object(&json);
    return json_writer_finish(&json, text, length, error);
}

/* Opens the file and writes everything that goes before the data. */
static mzt_status write_header(safetensors_writer *writer, mzt_error *error) {
    char *text = NULL;
    size_t length = 0;
    TRY(check_names(writer, error));
    TRY(header_text(writer, &text, &length, error));
    uint64_t padded = align_up(length, 8);
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)(padded >> (8 * i));
    mzt_status status = MZT_OK;
    if (padded > SAFETENSORS_HEADER_LIMIT)
        status = error_set(error, MZT_ERROR_INVALID, "%s: header of %llu bytes, more than the limit of %lu",
                           writer->path, (unsigned long long)padded, (unsigned long)SAFETENSORS_HEADER_LIMIT);
    if (status == MZT_OK) status = file_writer_open(writer->host, writer->path, &writer->file, error);
    if (status == MZT_OK) status = file_writer_write(writer->file, prefix, sizeof prefix, error);
    if (status == MZT_OK) status = file_writer_write(writer->file, text, length, error);
    if (status == MZT_OK) status = file_writer_write(writer->file, "       ", padded - length, error);
    host_free(writer->host, text);
    return status;
}

static mzt_status write_data(safetensors_writer *writer, const void *data, uint64_t size, mzt_error *error) {
    if (writer->failed)
        return error_set(error, MZT_ERROR_INVALID, "%s: an earlier write failed", writer->path);
    if (!writer->file) TRY(write_header(writer, error));
    if (size > writer->declared - writer->written)
        return error_set(error, MZT_ERROR_INVALID, "%s: more data than the %llu bytes declared", writer->path,
                         (unsigned long long)writer->declared);
    TRY(file_writer_write(writer->file, data, size, error));
    writer->written += size;
    return MZT_OK;
}

mzt_status safetensors_writer_write(safetensors_writer *writer, const void *data, uint64_t size,
                                    mzt_error *error) {
    mzt_status status = write_data(writer, data, size, error);
    if (status < 0) writer->failed = true;
    return status;
}

mzt_status safetensors_writer_finish(safetensors_writer *writer, mzt_error *error) {
    mzt_status status = write_data(writer, NULL, 0, error);
    if (status == MZT_OK && writer->written != writer->declared)
        status =
            error_set(error, MZT_ERROR_INVALID, "%s: %llu bytes of data declared, %llu written", writer->path,
                      (unsigned long long)writer->declared, (unsigned long long)writer->written);
    if (status == MZT_OK) {
        status = file_writer_commit(writer->file, error);
        writer->file = NULL;
    }
    safetensors_writer_abandon(writer);
    return status;
}

void safetensors_writer_abandon(safetensors_writer *writer) {
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

mzt_status safetensors_save(const base_host *host, const char *path, const weights_tensor *tensors,
                            uint32_t count, const char *const *metadata, uint32_t metadata_count,
                            mzt_error *error) {
    safetensors_writer *writer;
    TRY(safetensors_writer_open(host, path, &writer, error));
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < metadata_count && status == MZT_OK; i++)
        status = safetensors_writer_metadata(writer, metadata[2 * i], metadata[2 * i + 1], error);
    for (uint32_t i = 0; i < count && status == MZT_OK; i++)
        status = safetensors_writer_declare(writer, tensors[i].name, tensors[i].dtype, tensors[i].shape,
                                            tensors[i].rank, error);
    for (uint32_t i = 0; i < count && status == MZT_OK; i++)
        status = safetensors_writer_write(writer, tensors[i].data,
                                          tensors[i].count * weights_dtype_size(tensors[i].dtype), error);
    if (status < 0) {
        safetensors_writer_abandon(writer);
        return status;
    }
    return safetensors_writer_finish(writer, error);
}
