/* Reader of safetensors files; see safetensors.h. The header's tree is walked once, in order: it is a linked
 * list and may hold many thousand tensors. */
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "json/json.h"

typedef struct text_pair {
    const char *key, *value;
} text_pair;

struct safetensors_file {
    const base_host *host;
    char *name;
    file_mapping mapping;    /* empty over memory */
    weights_tensor *tensors; /* sorted by name */
    text_pair *metadata;
    char *strings; /* one pool for all names and metadata */
    uint32_t count, metadata_count;
};

/* The part of a file behind its header, and the counts found by the first walk over the header. */
typedef struct layout {
    const uint8_t *data;
    uint64_t data_size, string_bytes;
    uint32_t tensors, metadata;
} layout;

static uint64_t load_u64_le(const uint8_t *from) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | from[i];
    return value;
}

/* What the header says wrongly is a damaged file, not a wrong argument. */
static mzt_status as_format(mzt_status status, mzt_error *error) {
    if (status != MZT_ERROR_INVALID) return status;
    if (error) error->status = MZT_ERROR_FORMAT;
    return MZT_ERROR_FORMAT;
}

static bool is_metadata(json_value member) {
    return strcmp(json_key(member), "__metadata__") == 0;
}

/* ------------------------------------------------------------------------------------------------ header --
 */

/* Finds the JSON text of the header and the data behind it. */
static mzt_status split_file(const char *name, const uint8_t *bytes, uint64_t size, uint64_t *header_size,
                             layout *parts, mzt_error *error) {
    if (size < 8)
        return error_set(error, MZT_ERROR_FORMAT, "%s: %llu bytes, too short for a safetensors file", name,
                         (unsigned long long)size);
    bool zip = memcmp(bytes, "PK\3\4", 4) == 0,
         pickle = bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5 &&
                  (bytes[2] == '}' || bytes[2] == 'c' || bytes[2] == 0x8a);
    uint64_t length = load_u64_le(bytes);
    if (zip || (pickle && (length > size - 8 || bytes[8] != '{')))
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "%s: a pickled PyTorch file, not safetensors; convert it once with "
                         "safetensors.torch.save_file",
                         name);
    if (length > SAFETENSORS_HEADER_LIMIT)
        return error_set(error, MZT_ERROR_FORMAT, "%s: header of %llu bytes, more than the limit of %lu",
                         name, (unsigned long long)length, (unsigned long)SAFETENSORS_HEADER_LIMIT);
    if (length > size - 8)
        return error_set(error, MZT_ERROR_FORMAT, "%s: header of %llu bytes in a file of %llu (truncated?)",
                         name, (unsigned long long)length, (unsigned long long)size);
    if (length == 0 || bytes[8] != '{')
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: header does not begin with '{': not a safetensors file", name);
    *header_size = length;
    parts->data = bytes + 8 + length;
    parts->data_size = size - 8 - length;
    return MZT_OK;
}

/* First walk: how much memory the second will fill. */
static mzt_status measure(json_value root, layout *parts, mzt_error *error) {
    for (json_value v = json_first(root); v.item; v = json_next(v)) {
        if (!is_metadata(v)) {
            parts->tensors++;
            parts->string_bytes += strlen(json_key(v)) + 1;
            continue;
        }
        TRY(as_format(json_as_kind(v, JSON_OBJECT, error), error));
        for (json_value m = json_first(v); m.item; m = json_next(m)) {
            const char *value;
            TRY(as_format(json_as_string(m, &value, error), error));
            parts->metadata++;
            parts->string_bytes += strlen(json_key(m)) + strlen(value) + 2;
        }
    }
    return MZT_OK;
}

/* Copies a string into the pool, whose size measure() found. */
static const char *keep(char **pool, const char *text) {
    size_t length = strlen(text) + 1;
    char *copy = memcpy(*pool, text, length);
    *pool += length;
    return copy;
}

static mzt_status read_dtype(json_value entry, weights_dtype *type, mzt_error *error) {
    const char *name;
    TRY(as_format(json_require_string(entry, "dtype", &name, error), error));
    for (int i = 0; i < WEIGHTS_BLOCKS; i++) {
        if (strcmp(name, weights_dtype_name((weights_dtype)i)) != 0) continue;
        *type = (weights_dtype)i;
        return MZT_OK;
    }
    char shown[64];
    return json_error(json_get(entry, "dtype"), error, MZT_ERROR_UNSUPPORTED, "unknown dtype \"%s\"",
                      error_text(shown, sizeof shown, name));
}

/* Shape and element count. The check treats 0 as 1, so that it does not depend on the order of the
 * dimensions. */
static mzt_status read_shape(json_value entry, weights_tensor *tensor, mzt_error *error) {
    int64_t dimensions[WEIGHTS_RANK_LIMIT];
    json_value array;
    TRY(as_format(json_require_array(entry, "shape", &array, error), error));
    TRY(as_format(json_get_ints(entry, "shape", 0, JSON_INT_LIMIT, dimensions, WEIGHTS_RANK_LIMIT,
                                &tensor->rank, error),
                  error));
    uint64_t bytes = weights_dtype_size(tensor->dtype);
    bool empty = false;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        tensor->shape[i] = (uint64_t)dimensions[i];
        empty = empty || dimensions[i] == 0;
        if (!size_mul(bytes, dimensions[i] ? tensor->shape[i] : 1, &bytes) || bytes > (uint64_t)INT64_MAX) {
            char text[120];
            return json_error(array, error, MZT_ERROR_FORMAT, "shape %s is too large",
                              weights_shape_text(text, sizeof text, tensor->shape, i + 1));
        }
    }
    tensor->count = empty ? 0 : bytes / weights_dtype_size(tensor->dtype);
    return MZT_OK;
}

static mzt_status read_entry(json_value entry, const layout *parts, weights_tensor *tensor,
                             mzt_error *error) {
    int64_t offsets[2];
    uint32_t count;
    TRY(as_format(json_as_kind(entry, JSON_OBJECT, error), error));
    TRY(read_dtype(entry, &tensor->dtype, error));
    TRY(read_shape(entry, tensor, error));
    TRY(as_format(json_require_ints(entry, "data_offsets", 0, JSON_INT_LIMIT, offsets, 2, &count, error),
                  error));
    json_value pair = json_get(entry, "data_offsets");
    if (count != 2)
        return json_error(pair, error, MZT_ERROR_FORMAT, "expected two offsets, found %lu",
                          (unsigned long)count);
    uint64_t begin = (uint64_t)offsets[0], end = (uint64_t)offsets[1];
    if (begin > end)
        return json_error(pair, error, MZT_ERROR_FORMAT, "begins at %llu, behind its end at %llu",
                          (unsigned long long)begin, (unsigned long long)end);
    if (end > parts->data_size)
        return json_error(pair, error, MZT_ERROR_FORMAT,
                          "ends at %llu, but the file holds %llu bytes of data (truncated?)",
                          (unsigned long long)end, (unsigned long long)parts->data_size);
    uint64_t bytes = tensor->count * weights_dtype_size(tensor->dtype);
    if (end - begin != bytes) {
        char text[120];
        return json_error(entry, error, MZT_ERROR_FORMAT, "expected %llu bytes for %s %s, found %llu",
                          (unsigned long long)bytes, weights_dtype_name(tensor->dtype),
                          weights_shape_text(text, sizeof text, tensor->shape, tensor->rank),
                          (unsigned long long)(end - begin));
    }
    tensor->data = parts->data + begin;
    return MZT_OK;
}

/* ------------------------------------------------------------------------------------------------ tables --
 */

static int compare_names(const void *a, const void *b) {
    const weights_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* By place in the file; the empty ones at a place come first. */
static int compare_places(const void *a, const void *b) {
    const weights_tensor *const *x = a, *const *y = b;
    if ((*x)->data != (*y)->data) return (*x)->data < (*y)->data ? -1 : 1;
    return ((*x)->count > 0) - ((*y)->count > 0);
}

/* The tensors must cover the data exactly: no byte twice, none left over where something else could hide. */
static mzt_status check_cover(const safetensors_file *file, const layout *parts, mzt_error *error) {
    const weights_tensor **order = host_calloc(file->host, file->count, sizeof *order);
    if (!order) return error_memory(error, file->name, (uint64_t)file->count * sizeof *order);
    for (uint32_t i = 0; i < file->count; i++)
        order[i] = &file->tensors[i];
    qsort(order, file->count, sizeof *order, compare_places);
    mzt_status status = MZT_OK;
    uint64_t end = 0;
    char name[100], other[100];
    for (uint32_t i = 0; i < file->count && status == MZT_OK; i++) {
        uint64_t begin = (uint64_t)(order[i]->data - parts->data);
        error_text(name, sizeof name, order[i]->name);
        if (begin < end)
            status = error_set(error, MZT_ERROR_FORMAT, "%s: tensors \"%s\" and \"%s\" overlap", file->name,
                               error_text(other, sizeof other, order[i - 1]->name), name);
        else if (begin > end)
            status =
                error_set(error, MZT_ERROR_FORMAT, "%s: %llu bytes before tensor \"%s\" belong to no tensor",
                          file->name, (unsigned long long)(begin - end), name);
        end = begin + order[i]->count * weights_dtype_size(order[i]->dtype);
    }
    host_free(file->host, order);
    if (status == MZT_OK && end != parts->data_size)
        status = error_set(error, MZT_ERROR_FORMAT, "%s: %llu bytes at the end belong to no tensor",
                           file->name, (unsigned long long)(parts->data_size - end));
    return status;
}

/* Second walk: fills the tables. */
static mzt_status fill(safetensors_file *file, json_value root, const layout *parts, mzt_error *error) {
    file->tensors = host_calloc(file->host, parts->tensors, sizeof *file->tensors);
    file->metadata = host_calloc(file->host, parts->metadata, sizeof *file->metadata);
    file->strings = host_calloc(file->host, (size_t)parts->string_bytes, 1);
    if (!file->tensors || !file->metadata || !file->strings)
        return error_memory(error, file->name, parts->tensors * sizeof *file->tensors + parts->string_bytes);
    char *pool = file->strings;
    for (json_value v = json_first(root); v.item; v = json_next(v)) {
        if (is_metadata(v)) {
            for (json_value m = json_first(v); m.item; m = json_next(m)) {
                const char *value;
                TRY(json_as_string(m, &value, error));
                text_pair *pair = &file->metadata[file->metadata_count++];
                pair->key = keep(&pool, json_key(m));
                pair->value = keep(&pool, value);
            }
            continue;
        }
        weights_tensor *tensor = &file->tensors[file->count++];
        tensor->name = keep(&pool, json_key(v));
        tensor->file = file->name;
        TRY(read_entry(v, parts, tensor, error));
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_names);
    return check_cover(file, parts, error);
}

/* Reads the header of `size` bytes at `bytes` into an empty file object. */
static mzt_status read_header(safetensors_file *file, const uint8_t *bytes, uint64_t size, mzt_error *error) {
    static const char suffix[] = " header";
    layout parts = {0};
    uint64_t header_size = 0;
    TRY(split_file(file->name, bytes, size, &header_size, &parts, error));
    size_t length = strlen(file->name);
    char *label = host_calloc(file->host, length + sizeof suffix, 1);
    if (!label) return error_memory(error, file->name, length);
    memcpy(label, file->name, length);
    memcpy(label + length, suffix, sizeof suffix);
    json_doc *doc = NULL;
    mzt_status status = json_parse(file->host, label, (const char *)bytes + 8, header_size, &doc, error);
    if (status == MZT_OK) status = measure(json_root(doc), &parts, error);
    if (status == MZT_OK) status = fill(file, json_root(doc), &parts, error);
    json_destroy(doc);
    host_free(file->host, label);
    return status;
}

/* ------------------------------------------------------------------------------------------------ files --
 */

/* `path` NULL: over the memory given. */
static mzt_status open_file(const base_host *host, const char *name, const char *path, const void *data,
                            uint64_t size, safetensors_file **out, mzt_error *error) {
    *out = NULL;
    safetensors_file *file = host_calloc(host, 1, sizeof *file);
    if (!file) return error_memory(error, name, sizeof *file);
    file->host = host;
    file->name = host_strdup(host, name);
    mzt_status status = file->name ? MZT_OK : error_memory(error, name, strlen(name));
    if (status == MZT_OK && path) {
        status = host_file_map(host, path, &file->mapping, error);
        data = file->mapping.data;
        size = file->mapping.size;
    }
    if (status == MZT_OK) status = read_header(file, data, size, error);
    if (status < 0) {
        safetensors_close(file);
        return status;
    }
    *out = file;
    return MZT_OK;
}

mzt_status safetensors_open(const base_host *host, const char *path, safetensors_file **file,
                            mzt_error *error) {
    return open_file(host, path, path, NULL, 0, file, error);
}

mzt_status safetensors_open_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                                   safetensors_file **file, mzt_error *error) {
    return open_file(host, name, NULL, data, size, file, error);
}

void safetensors_close(safetensors_file *file) {
    if (!file) return;
    const base_host *host = file->host;
    file_unmap(&file->mapping);
    host_free(host, file->tensors);
    host_free(host, file->metadata);
    host_free(host, file->strings);
    host_free(host, file->name);
    host_free(host, file);
}

const char *safetensors_name(const safetensors_file *file) {
    return file->name;
}

uint32_t safetensors_count(const safetensors_file *file) {
    return file->count;
}

const weights_tensor *safetensors_at(const safetensors_file *file, uint32_t index) {
    return &file->tensors[index];
}

const weights_tensor *safetensors_find(const safetensors_file *file, const char *name) {
    weights_tensor wanted = {.name = name};
    return bsearch(&wanted, file->tensors, file->count, sizeof *file->tensors, compare_names);
}

const char *safetensors_metadata(const safetensors_file *file, const char *key) {
    for (uint32_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
    return NULL;
}

uint32_t safetensors_metadata_count(const safetensors_file *file) {
    return file->metadata_count;
}

void safetensors_metadata_at(const safetensors_file *file, uint32_t index, const char **key,
                             const char **value) {
    *key = file->metadata[index].key;
    *value = file->metadata[index].value;
}
