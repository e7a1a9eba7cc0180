/* Finding and opening the files of one network; see weights.h. */
#include "weights/weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "json/json.h"
#include "weights/gguf.h"

#define SHARD_LIMIT 1024 /* the largest published checkpoints have a few hundred */

struct weights_set {
    const base_host *host;
    char *name;
    weights_source source;        /* zero over safetensors files */
    safetensors_file **files;     /* of which there may be none */
    const weights_tensor **index; /* sorted by name */
    uint32_t file_count, count;
};

/* ------------------------------------------------------------------------------------------------ sets -- */

static mzt_status create_set(const base_host *host, const char *name, uint32_t files, weights_set **out,
                             mzt_error *error) {
    weights_set *set = host_calloc(host, 1, sizeof *set);
    *out = set;
    if (!set) return error_memory(error, name, sizeof *set);
    set->host = host;
    set->name = host_strdup(host, name);
    set->files = host_calloc(host, files, sizeof *set->files);
    return set->name && set->files ? MZT_OK : error_memory(error, name, files * sizeof *set->files);
}

void weights_close(weights_set *set) {
    if (!set) return;
    const base_host *host = set->host;
    for (uint32_t i = 0; i < set->file_count; i++)
        safetensors_close(set->files[i]);
    if (set->source.close) set->source.close(set->source.user);
    host_free(host, set->files);
    host_free(host, set->index);
    host_free(host, set->name);
    host_free(host, set);
}

/* Hands out a finished set, or closes it. */
static mzt_status deliver(weights_set *set, mzt_status status, weights_set **out) {
    if (status < 0) {
        weights_close(set);
        set = NULL;
    }
    *out = set;
    return status;
}

/* `path` NULL: over the memory given. */
static mzt_status open_single(const base_host *host, const char *name, const char *path, const void *data,
                              uint64_t size, weights_set **out, mzt_error *error) {
    weights_set *set;
    mzt_status status = create_set(host, name, 1, &set, error);
    safetensors_file *file = NULL;
    if (status == MZT_OK)
        status = path ? safetensors_open(host, path, &file, error)
                      : safetensors_open_memory(host, name, data, size, &file, error);
    if (status == MZT_OK) {
        set->files[set->file_count++] = file;
        uint32_t count = safetensors_count(file);
        set->index = host_calloc(host, count, sizeof *set->index);
        if (!set->index) status = error_memory(error, name, count * sizeof *set->index);
        for (uint32_t i = 0; i < count && status == MZT_OK; i++)
            set->index[set->count++] = safetensors_at(file, i);
    }
    return deliver(set, status, out);
}

mzt_status weights_open_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                               weights_set **set, mzt_error *error) {
    return open_single(host, name, NULL, data, size, set, error);
}

/* ------------------------------------------------------------------------------------------------ sources --
 */

static int compare_tensors(const void *a, const void *b) {
    const weights_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static mzt_status sort_index(weights_set *set, mzt_error *error) {
    qsort(set->index, set->count, sizeof *set->index, compare_tensors);
    char name[100];
    for (uint32_t i = 1; i < set->count; i++)
        if (strcmp(set->index[i - 1]->name, set->index[i]->name) == 0)
            return error_set(error, MZT_ERROR_FORMAT, "%s: tensor \"%s\" comes twice", set->name,
                             error_text(name, sizeof name, set->index[i]->name));
    return MZT_OK;
}

mzt_status weights_create(const base_host *host, const char *name, const weights_source *source,
                          weights_set **out, mzt_error *error) {
    weights_set *set;
    mzt_status status = create_set(host, name, 0, &set, error);
    if (!set) {
        *out = NULL;
        if (source->close) source->close(source->user);
        return status;
    }
    set->source = *source;
    if (status == MZT_OK) {
        set->index = host_calloc(host, source->count, sizeof *set->index);
        if (!set->index) status = error_memory(error, name, source->count * sizeof *set->index);
    }
    for (uint32_t i = 0; i < source->count && status == MZT_OK; i++)
        set->index[set->count++] = &source->tensors[i];
    if (status == MZT_OK) status = sort_index(set, error);
    return deliver(set, status, out);
}

/* The records of an overlaid set, and the set that they come from. */
typedef struct overlaid {
    const base_host *host;
    const weights_set *below;
    weights_tensor *tensors;
} overlaid;

static const char *overlaid_metadata(const void *user, const char *key) {
    const overlaid *o = user;
    return weights_metadata(o->below, key);
}

static void overlaid_close(void *user) {
    overlaid *o = user;
    host_free(o->host, o->tensors);
    host_free(o->host, o);
}

mzt_status weights_overlaid(const base_host *host, const weights_set *below,
                            const weights_overlay *(*choose)(void *user, const weights_tensor *tensor),
                            void *user, weights_set **set, mzt_error *error) {
    *set = NULL;
    overlaid *o = host_calloc(host, 1, sizeof *o);
    weights_tensor *tensors = host_calloc(host, below->count, sizeof *tensors);
    if (!o || !tensors) {
        host_free(host, o);
        host_free(host, tensors);
        return error_memory(error, below->name, below->count * sizeof *tensors);
    }
    for (uint32_t i = 0; i < below->count; i++) {
        tensors[i] = *below->index[i];
        const weights_overlay *overlay = choose(user, &tensors[i]);
        if (overlay) tensors[i].overlay = overlay;
    }
    *o = (overlaid){host, below, tensors};
    const weights_source source = {tensors, below->count, overlaid_metadata, overlaid_close, o};
    return weights_create(host, below->name, &source, set, error);
}

/* ------------------------------------------------------------------------------------------------ shards --
 */

/* A line of the weight_map: the tensor's name is json_key(value). */
typedef struct map_line {
    json_value value;
    const char *tensor, *shard;
} map_line;

static int compare_shards(const void *a, const void *b) {
    const map_line *x = a, *y = b;
    int order = strcmp(x->shard, y->shard);
    return order ? order : strcmp(x->tensor, y->tensor);
}

/* A shard lies beside its index: no folders, no hidden files, no way out. */
static bool is_shard_name(const char *name) {
    static const char ending[] = ".safetensors";
    size_t length = strlen(name);
    if (length < sizeof ending || length > 255 || name[0] == '.' || strstr(name, "..")) return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || strchr("/\\:", *c)) return false;
    return strcmp(name + length - (sizeof ending - 1), ending) == 0;
}

static mzt_status read_map(json_value map, map_line *lines, uint32_t *shards, mzt_error *error) {
    uint32_t count = 0;
    for (json_value v = json_first(map); v.item; v = json_next(v), count++) {
        map_line *line = &lines[count];
        TRY(json_as_string(v, &line->shard, error));
        line->value = v;
        line->tensor = json_key(v);
        char shown[100];
        if (!is_shard_name(line->shard))
            return json_error(v, error, MZT_ERROR_FORMAT,
                              "expected the name of a .safetensors file beside the index, found \"%s\"",
                              error_text(shown, sizeof shown, line->shard));
    }
    qsort(lines, count, sizeof *lines, compare_shards);
    *shards = 0;
    for (uint32_t i = 0; i < count; i++)
        *shards += i == 0 || strcmp(lines[i - 1].shard, lines[i].shard) != 0;
    if (*shards > SHARD_LIMIT)
        return json_error(map, error, MZT_ERROR_FORMAT, "%lu files, more than the limit of %d",
                          (unsigned long)*shards, SHARD_LIMIT);
    return MZT_OK;
}

static mzt_status open_shard(weights_set *set, const char *folder, const char *shard, mzt_error *error) {
    char *path = path_join(set->host, folder, shard);
    if (!path) return error_memory(error, shard, strlen(folder) + strlen(shard));
    mzt_status status = safetensors_open(set->host, path, &set->files[set->file_count], error);
    if (status == MZT_OK) set->file_count++;
    host_free(set->host, path);
    return status;
}

/* Opens the shards and looks up each line's tensor in its shard. `lines` are sorted by shard. */
static mzt_status resolve(weights_set *set, const char *folder, const map_line *lines, uint32_t count,
                          mzt_error *error) {
    set->index = host_calloc(set->host, count, sizeof *set->index);
    if (!set->index) return error_memory(error, set->name, count * sizeof *set->index);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(lines[i - 1].shard, lines[i].shard) != 0)
            TRY(open_shard(set, folder, lines[i].shard, error));
        const weights_tensor *tensor = safetensors_find(set->files[set->file_count - 1], lines[i].tensor);
        char shown[100];
        if (!tensor)
            return json_error(lines[i].value, error, MZT_ERROR_FORMAT, "the tensor is not in \"%s\"",
                              error_text(shown, sizeof shown, lines[i].shard));
        set->index[set->count++] = tensor;
    }
    qsort(set->index, set->count, sizeof *set->index, compare_tensors);
    return MZT_OK;
}

static mzt_status open_lines(const base_host *host, const char *folder, const char *path, json_value map,
                             weights_set **out, mzt_error *error) {
    uint32_t count = json_count(map), shards = 0;
    weights_set *set = NULL;
    map_line *lines = host_calloc(host, count, sizeof *lines);
    mzt_status status = lines ? MZT_OK : error_memory(error, path, count * sizeof *lines);
    if (status == MZT_OK) status = read_map(map, lines, &shards, error);
    if (status == MZT_OK) status = create_set(host, path, shards, &set, error);
    if (status == MZT_OK) status = resolve(set, folder, lines, count, error);
    host_free(host, lines);
    return deliver(set, status, out);
}

static mzt_status open_sharded(const base_host *host, const char *folder, const char *path, weights_set **out,
                               mzt_error *error) {
    json_doc *doc;
    json_value map;
    TRY(json_read(host, path, &doc, error));
    mzt_status status = json_require_object(json_root(doc), "weight_map", &map, error);
    if (status == MZT_OK) status = open_lines(host, folder, path, map, out, error);
    json_destroy(doc);
    if (status == MZT_ERROR_INVALID) { /* a wrong kind of value in an index is a damaged file */
        status = MZT_ERROR_FORMAT;
        if (error) error->status = status;
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------ folders --
 */

/* In order of preference: full precision before half. */
static const struct {
    const char *name;
    bool sharded;
} layouts[] = {
    {"diffusion_pytorch_model.safetensors", false},
    {"model.safetensors", false},
    {"diffusion_pytorch_model.safetensors.index.json", true},
    {"model.safetensors.index.json", true},
    {"diffusion_pytorch_model.fp16.safetensors", false},
    {"model.fp16.safetensors", false},
    {"diffusion_pytorch_model.safetensors.index.fp16.json", true},
    {"model.safetensors.index.fp16.json", true},
};

static const char *const pickles[] = {
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.fp16.bin",
    "pytorch_model.fp16.bin",
    "pytorch_model.bin.index.json",
    "model.ckpt",
};

/* Whether `folder` has an entry `name`; out of memory counts as no, and is met again by whoever opens it. */
static bool has_entry(const base_host *host, const char *folder, const char *name) {
    char *path = path_join(host, folder, name);
    bool found = path && host_file_exists(host, path);
    host_free(host, path);
    return found;
}

static mzt_status nothing_found(const base_host *host, const char *folder, mzt_error *error) {
    for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++)
        if (has_entry(host, folder, pickles[i]))
            return error_set(
                error, MZT_ERROR_UNSUPPORTED,
                "%s: only pickled weights (%s); convert them once with diffusers: load the model and call "
                "save_pretrained(folder, safe_serialization=True)",
                folder, pickles[i]);
    return error_set(
        error, MZT_ERROR_NOT_FOUND,
        "%s: no weights here; looked for diffusion_pytorch_model.safetensors and model.safetensors, their "
        ".fp16 variants and their .index.json",
        folder);
}

static mzt_status open_folder(const base_host *host, const char *folder, weights_set **set,
                              mzt_error *error) {
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        char *path = path_join(host, folder, layouts[i].name);
        if (!path) return error_memory(error, folder, strlen(folder));
        bool found = host_file_exists(host, path);
        mzt_status status = MZT_OK;
        if (found)
            status = layouts[i].sharded ? open_sharded(host, folder, path, set, error)
                                        : open_single(host, path, path, NULL, 0, set, error);
        host_free(host, path);
        if (found) return status;
    }
    return nothing_found(host, folder, error);
}

mzt_status weights_open(const base_host *host, const char *path, weights_set **set, mzt_error *error) {
    *set = NULL;
    char *inside = path_join(host, path, "."); /* exists for folders only */
    if (!inside) return error_memory(error, path, strlen(path));
    bool folder = host_file_exists(host, inside);
    host_free(host, inside);
    if (folder) return open_folder(host, path, set, error);
    file_mapping mapping;
    TRY(host_file_map(host, path, &mapping, error));
    bool gguf = gguf_is(mapping.data, mapping.size);
    file_unmap(&mapping);
    return gguf ? gguf_open(host, path, set, error) : open_single(host, path, path, NULL, 0, set, error);
}

/* ------------------------------------------------------------------------------------------------ look-up --
 */

const char *weights_name(const weights_set *set) {
    return set->name;
}

const char *weights_metadata(const weights_set *set, const char *key) {
    if (set->source.metadata) return set->source.metadata(set->source.user, key);
    return set->file_count == 1 ? safetensors_metadata(set->files[0], key) : NULL;
}

uint32_t weights_count(const weights_set *set) {
    return set->count;
}

const weights_tensor *weights_at(const weights_set *set, uint32_t index) {
    return set->index[index];
}

const weights_tensor *weights_find(const weights_set *set, const char *name) {
    weights_tensor wanted = {.name = name};
    const weights_tensor *key = &wanted;
    const weights_tensor **found = bsearch(&key, set->index, set->count, sizeof *set->index, compare_tensors);
    return found ? *found : NULL;
}

mzt_status weights_require(const weights_set *set, const char *name, const uint64_t *shape, uint32_t rank,
                           const weights_tensor **out, mzt_error *error) {
    const weights_tensor *tensor = weights_find(set, name);
    char shown[100], wanted[120], found[120];
    if (!tensor)
        return error_set(error, MZT_ERROR_NOT_FOUND, "%s: tensor \"%s\" %s is missing", set->name,
                         error_text(shown, sizeof shown, name),
                         weights_shape_text(wanted, sizeof wanted, shape, rank));
    bool same = tensor->rank == rank;
    for (uint32_t i = 0; i < rank && same; i++)
        same = tensor->shape[i] == shape[i];
    if (!same)
        return error_set(error, MZT_ERROR_FORMAT, "%s: tensor \"%s\": expected shape %s, found %s",
                         tensor->file, error_text(shown, sizeof shown, name),
                         weights_shape_text(wanted, sizeof wanted, shape, rank),
                         weights_shape_text(found, sizeof found, tensor->shape, tensor->rank));
    *out = tensor;
    return MZT_OK;
}
