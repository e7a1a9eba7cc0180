/* A model's files from a host's memory or archive; see files.h. */
#include "api/files.h"

#include <string.h>

#include "api/api.h"

typedef struct api_file {
    char *name;
    const uint8_t *data;
    uint64_t size;
    uint8_t *owned; /* what a reader gave; NULL: the caller's memory */
} api_file;

/* The name within the model's folder. Paths that parameters give are names as they are. */
static const char *inner_name(const char *path) {
    const size_t length = strlen(API_FILES_ROOT);
    if (strncmp(path, API_FILES_ROOT, length) != 0) return path;
    path += length;
    while (*path == '/')
        path++;
    return path;
}

static const api_file *find(const api_files *f, const char *name) {
    for (uint32_t i = 0; i < f->count; i++)
        if (strcmp(f->list[i].name, name) == 0) return &f->list[i];
    return NULL;
}

static bool reader_has(const api_files *f, const char *name) {
    uint64_t size;
    return f->reader.find && f->reader.find(f->reader.user, name, &size) == 0;
}

/* Whether `name` (of `length` bytes, "" for the root) is a folder. A reader cannot list: it is asked for what
 * stands in a model's folders. */
static bool is_folder(const api_files *f, const char *name, size_t length) {
    static const char *const inside[] = {"config.json",           "model_index.json", "vocab.json",
                                         "scheduler_config.json", "tokenizer.json",   "model.safetensors"};
    for (uint32_t i = 0; i < f->count; i++) {
        const char *other = f->list[i].name;
        if (length == 0 && strchr(other, '/')) return true;
        if (length == 0 && strcmp(other, "model_index.json") == 0) return true;
        if (length && strncmp(other, name, length) == 0 && other[length] == '/') return true;
    }
    for (size_t i = 0; f->reader.find && i < sizeof inside / sizeof *inside; i++) {
        char *path = host_calloc(f->host, length + 64, 1);
        bool there = false;
        if (path) {
            memcpy(path, name, length);
            if (length) path[length] = '/';
            strcpy(path + length + (length > 0), inside[i]);
            there = reader_has(f, path);
        }
        host_free(f->host, path);
        if (there) return true;
    }
    return false;
}

static bool exists(void *user, const char *path) {
    const api_files *f = user;
    const char *name = inner_name(path);
    size_t length = strlen(name);
    if (strcmp(name, ".") == 0 || length == 0) return is_folder(f, "", 0);
    if (length > 2 && strcmp(name + length - 2, "/.") == 0) return is_folder(f, name, length - 2);
    return find(f, name) || reader_has(f, name) || is_folder(f, name, length);
}

static mzt_status add(api_files *f, const char *name, const void *data, uint64_t size, uint8_t *owned,
                      mzt_error *error) {
    api_file file = {host_strdup(f->host, name), data, size, owned};
    if (!file.name || !HOST_GROW(f->host, f->list, f->count, f->capacity)) {
        host_free(f->host, file.name);
        return error_memory(error, name, strlen(name));
    }
    f->list[f->count++] = file;
    return MZT_OK;
}

/* Reads a whole file in pieces. */
static mzt_status fetch(api_files *f, const char *name, mzt_error *error) {
    enum { PIECE = 1 << 24 };
    uint64_t size = 0;
    if (!f->reader.find || f->reader.find(f->reader.user, name, &size) != 0)
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s: there is no such file", name);
    uint8_t *block = size < SIZE_MAX ? host_realloc(f->host, NULL, (size_t)size + 1, 1) : NULL;
    if (!block) return error_memory(error, name, size);
    for (uint64_t at = 0; at < size;) {
        const size_t piece = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if (f->reader.read(f->reader.user, name, at, block + at, piece) != 0) {
            host_free(f->host, block);
            return error_set(error, MZT_ERROR_IO, "%s: the host's reader failed at byte %llu", name,
                             (unsigned long long)at);
        }
        at += piece;
    }
    mzt_status status = add(f, name, block, size, block, error);
    if (status < 0) host_free(f->host, block);
    return status;
}

static mzt_status map(void *user, const char *path, file_mapping *mapping, mzt_error *error) {
    api_files *f = user;
    const char *name = inner_name(path);
    if (!find(f, name)) TRY(fetch(f, name, error));
    const api_file *file = find(f, name);
    *mapping = (file_mapping){.data = file->data, .size = file->size};
    return MZT_OK;
}

static mzt_status create(const base_host *host, api_files **out, mzt_error *error) {
    api_files *f = host_calloc(host, 1, sizeof *f);
    *out = f;
    if (!f) return error_memory(error, "files", sizeof *f);
    f->host = host;
    f->source = (file_source){.user = f, .exists = exists, .map = map};
    return MZT_OK;
}

mzt_status api_files_from_memory(const base_host *host, const mzt_file *files, uint32_t count,
                                 api_files **out, mzt_error *error) {
    TRY(create(host, out, error));
    for (uint32_t i = 0; i < count; i++) {
        mzt_file own = {.name = NULL};
        TRY(api_take("mzt_file", api_element(files, i), &own, sizeof own, error));
        if (!own.name || (!own.data && own.size)) return api_missing(error, own.name ? "data" : "name");
        TRY(add(*out, own.name, own.data, own.size, NULL, error));
    }
    return MZT_OK;
}

mzt_status api_files_from_reader(const base_host *host, const mzt_reader *reader, api_files **out,
                                 mzt_error *error) {
    TRY(create(host, out, error));
    TRY(api_take("mzt_reader", reader, &(*out)->reader, sizeof(*out)->reader, error));
    if (!(*out)->reader.find || !(*out)->reader.read) {
        (*out)->reader.find = NULL;
        return api_missing(error, "find or read");
    }
    return MZT_OK;
}

void api_files_destroy(api_files *f) {
    if (!f) return;
    for (uint32_t i = 0; i < f->count; i++) {
        host_free(f->host, f->list[i].name);
        if (f->list[i].owned) host_free(f->host, f->list[i].owned);
    }
    host_free(f->host, f->list);
    host_free(f->host, f);
}

char *api_files_path(const api_files *f) {
    const bool single = f->count == 1 && !f->reader.find;
    return single ? path_join(f->host, API_FILES_ROOT, f->list[0].name)
                  : host_strdup(f->host, API_FILES_ROOT);
}
