/* Reader of GGUF files; see gguf.h. */
#include "weights/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define RANK_LIMIT      4u
#define ARRAY_DEPTH     4u
#define ALIGNMENT       32u /* where the file names none */
#define ALIGNMENT_LIMIT (1u << 20)
#define STRING_LIMIT    (64u << 20) /* bytes of one name or string; tokenizers' merges stay far below */

enum { TYPE_U32 = 4, TYPE_I32 = 5, TYPE_STRING = 8, TYPE_ARRAY = 9, TYPE_COUNT = 13 };

static const char original_shape[] = "comfy.gguf.orig_shape.";

typedef struct text_pair {
    char *key, *value;
} text_pair;

/* A tensor's original shape. */
typedef struct shape_note {
    char *name;
    uint32_t rank;
    uint64_t shape[RANK_LIMIT];
} shape_note;

typedef struct gguf_file {
    const base_host *host;
    char *name;
    file_mapping mapping;
    weights_tensor *tensors;
    char **names; /* of the tensors */
    text_pair *metadata;
    shape_note *notes;
    uint32_t count, metadata_count, metadata_capacity, note_count, note_capacity;
} gguf_file;

/* What is still to be read of the description. */
typedef struct cursor {
    gguf_file *file;
    const uint8_t *data;
    uint64_t at, size;
    uint64_t alignment;
    mzt_error *error;
} cursor;

/* ------------------------------------------------------------------------------------------------ numbers --
 */

static mzt_status truncated(const cursor *c, const char *what) {
    return error_set(c->error, MZT_ERROR_FORMAT,
                     "%s: %s at byte %llu goes beyond the end at %llu (truncated?)", c->file->name, what,
                     (unsigned long long)c->at, (unsigned long long)c->size);
}

/* `bytes` bytes, little endian. */
static mzt_status read_uint(cursor *c, uint32_t bytes, uint64_t *value, const char *what) {
    *value = 0;
    if (c->size - c->at < bytes) return truncated(c, what);
    for (uint32_t i = 0; i < bytes; i++)
        *value |= (uint64_t)c->data[c->at + i] << 8 * i;
    c->at += bytes;
    return MZT_OK;
}

static mzt_status read_u32(cursor *c, uint32_t *value, const char *what) {
    uint64_t wide;
    mzt_status status = read_uint(c, 4, &wide, what);
    *value = (uint32_t)wide;
    return status;
}

/* A string's bytes where they lie; not terminated. */
static mzt_status read_text(cursor *c, const char **text, uint64_t *length, const char *what) {
    TRY(read_uint(c, 8, length, what));
    if (*length > c->size - c->at) return truncated(c, what);
    if (*length > STRING_LIMIT)
        return error_set(c->error, MZT_ERROR_FORMAT, "%s: %s of %llu bytes, more than the limit of %u",
                         c->file->name, what, (unsigned long long)*length, STRING_LIMIT);
    *text = (const char *)c->data + c->at;
    c->at += *length;
    return MZT_OK;
}

/* The same as a fresh, terminated copy. */
static mzt_status read_string(cursor *c, char **out, const char *what) {
    const char *text;
    uint64_t length;
    TRY(read_text(c, &text, &length, what));
    if (memchr(text, 0, (size_t)length))
        return error_set(c->error, MZT_ERROR_FORMAT, "%s: %s before byte %llu holds a zero byte",
                         c->file->name, what, (unsigned long long)c->at);
    *out = host_strndup(c->file->host, text, (size_t)length);
    return *out ? MZT_OK : error_memory(c->error, c->file->name, length);
}

/* ----------------------------------------------------------------------------------------------- metadata --
 */

/* Bytes of one value; 0 for strings and arrays. */
static const uint8_t value_sizes[TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static mzt_status check_type(const cursor *c, uint32_t type, const char *key) {
    char shown[100];
    if (type < TYPE_COUNT) return MZT_OK;
    return error_set(c->error, MZT_ERROR_FORMAT, "%s: \"%s\" has unknown type %lu", c->file->name,
                     error_text(shown, sizeof shown, key), (unsigned long)type);
}

static mzt_status skip_value(cursor *c, uint32_t type, const char *key, uint32_t depth) {
    const char *text;
    uint64_t length = 0;
    uint32_t inner;
    char shown[100];
    if (type == TYPE_STRING) return read_text(c, &text, &length, "a string");
    if (type != TYPE_ARRAY) {
        if (value_sizes[type] > c->size - c->at) return truncated(c, "a value");
        c->at += value_sizes[type];
        return MZT_OK;
    }
    TRY(read_u32(c, &inner, "an array's type"));
    TRY(check_type(c, inner, key));
    TRY(read_uint(c, 8, &length, "an array's length"));
    if (depth == ARRAY_DEPTH)
        return error_set(c->error, MZT_ERROR_FORMAT, "%s: \"%s\": arrays within arrays, deeper than %u",
                         c->file->name, error_text(shown, sizeof shown, key), ARRAY_DEPTH);
    uint64_t least = value_sizes[inner] ? value_sizes[inner] : 8;
    if (length > (c->size - c->at) / least) return truncated(c, "an array");
    if (value_sizes[inner]) {
        c->at += length * value_sizes[inner];
        return MZT_OK;
    }
    for (uint64_t i = 0; i < length; i++)
        TRY(skip_value(c, inner, key, depth + 1));
    return MZT_OK;
}

static mzt_status read_alignment(cursor *c, uint32_t type) {
    if (type != TYPE_U32)
        return error_set(c->error, MZT_ERROR_FORMAT, "%s: general.alignment is no unsigned number",
                         c->file->name);
    TRY(read_uint(c, 4, &c->alignment, "general.alignment"));
    if (c->alignment == 0 || (c->alignment & (c->alignment - 1)) || c->alignment > ALIGNMENT_LIMIT)
        return error_set(c->error, MZT_ERROR_FORMAT,
                         "%s: general.alignment is %llu, expected a power of two up to %u", c->file->name,
                         (unsigned long long)c->alignment, ALIGNMENT_LIMIT);
    return MZT_OK;
}

/* An array of up to four i32; anything else is passed over. */
static mzt_status read_note(cursor *c, const char *name) {
    gguf_file *f = c->file;
    uint64_t begin = c->at, length = 0, size = 0;
    uint32_t inner;
    TRY(read_u32(c, &inner, "an array's type"));
    TRY(read_uint(c, 8, &length, "an array's length"));
    if (inner != TYPE_I32 || length == 0 || length > RANK_LIMIT) {
        c->at = begin;
        return skip_value(c, TYPE_ARRAY, name, 0);
    }
    shape_note note = {.rank = (uint32_t)length};
    for (uint32_t i = 0; i < note.rank; i++) {
        TRY(read_uint(c, 4, &size, "a shape"));
        note.shape[i] = size;
    }
    note.name = host_strdup(f->host, name);
    if (!note.name || !HOST_GROW(f->host, f->notes, f->note_count, f->note_capacity)) {
        host_free(f->host, note.name);
        return error_memory(c->error, f->name, sizeof note);
    }
    f->notes[f->note_count++] = note;
    return MZT_OK;
}

static mzt_status read_value(cursor *c, text_pair *pair) {
    gguf_file *f = c->file;
    uint32_t type;
    TRY(read_u32(c, &type, "a value's type"));
    TRY(check_type(c, type, pair->key));
    if (strcmp(pair->key, "general.alignment") == 0) return read_alignment(c, type);
    if (type == TYPE_ARRAY && strncmp(pair->key, original_shape, sizeof original_shape - 1) == 0)
        return read_note(c, pair->key + sizeof original_shape - 1);
    if (type != TYPE_STRING) return skip_value(c, type, pair->key, 0);
    TRY(read_string(c, &pair->value, "a string"));
    if (!HOST_GROW(f->host, f->metadata, f->metadata_count, f->metadata_capacity))
        return error_memory(c->error, f->name, sizeof *pair);
    f->metadata[f->metadata_count++] = *pair;
    *pair = (text_pair){NULL, NULL};
    return MZT_OK;
}

static mzt_status read_metadata(cursor *c, uint64_t count) {
    mzt_status status = MZT_OK;
    for (uint64_t i = 0; i < count && status == MZT_OK; i++) {
        text_pair pair = {NULL, NULL};
        status = read_string(c, &pair.key, "a key");
        if (status == MZT_OK) status = read_value(c, &pair);
        host_free(c->file->host, pair.key);
        host_free(c->file->host, pair.value);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------ tensors --
 */

/* By GGUF's number. `known` is false where there is no decoder. */
typedef struct file_type {
    const char *name;
    weights_dtype type;
    bool known;
} file_type;

#define KNOWN(name, type)                                                                                    \
    { name, WEIGHTS_##type, true }
#define NAMED(name)                                                                                          \
    { name, WEIGHTS_F32, false }
static const file_type file_types[] = {
    KNOWN("F32", F32),   KNOWN("F16", F16),   KNOWN("Q4_0", Q4_0), KNOWN("Q4_1", Q4_1), NAMED("Q4_2"),
    NAMED("Q4_3"),       KNOWN("Q5_0", Q5_0), KNOWN("Q5_1", Q5_1), KNOWN("Q8_0", Q8_0), NAMED("Q8_1"),
    NAMED("Q2_K"),       NAMED("Q3_K"),       KNOWN("Q4_K", Q4_K), KNOWN("Q5_K", Q5_K), KNOWN("Q6_K", Q6_K),
    NAMED("Q8_K"),       NAMED("IQ2_XXS"),    NAMED("IQ2_XS"),     NAMED("IQ3_XXS"),    NAMED("IQ1_S"),
    NAMED("IQ4_NL"),     NAMED("IQ3_S"),      NAMED("IQ2_S"),      NAMED("IQ4_XS"),     KNOWN("I8", I8),
    KNOWN("I16", I16),   KNOWN("I32", I32),   KNOWN("I64", I64),   KNOWN("F64", F64),   NAMED("IQ1_M"),
    KNOWN("BF16", BF16), NAMED("Q4_0_4_4"),   NAMED("Q4_0_4_8"),   NAMED("Q4_0_8_8"),   NAMED("TQ1_0"),
    NAMED("TQ2_0"),
};
#undef KNOWN
#undef NAMED
#define FILE_TYPES (sizeof file_types / sizeof *file_types)

bool gguf_type_of(weights_dtype type, uint32_t *number) {
    for (uint32_t i = 0; i < FILE_TYPES; i++) {
        if (!file_types[i].known || file_types[i].type != type) continue;
        *number = i;
        return true;
    }
    return false;
}

static mzt_status read_type(cursor *c, weights_tensor *tensor) {
    char shown[100];
    uint32_t number;
    TRY(read_u32(c, &number, "a tensor's type"));
    error_text(shown, sizeof shown, tensor->name);
    if (number >= FILE_TYPES)
        return error_set(c->error, MZT_ERROR_UNSUPPORTED,
                         "%s: tensor \"%s\" has type number %lu, which is unknown", c->file->name, shown,
                         (unsigned long)number);
    if (!file_types[number].known)
        return error_set(
            c->error, MZT_ERROR_UNSUPPORTED,
            "%s: tensor \"%s\" has type %s; supported are F32, F16, BF16, Q8_0, Q5_0, Q5_1, Q4_0, Q4_1, "
            "Q4_K, Q5_K and Q6_K",
            c->file->name, shown, file_types[number].name);
    tensor->dtype = file_types[number].type;
    return MZT_OK;
}

/* Name, shape, type and offset; `offset` counts from the start of the data, which is not known yet. */
static mzt_status read_tensor(cursor *c, weights_tensor *tensor, char **name, uint64_t *offset) {
    char shown[100], text[120];
    TRY(read_string(c, name, "a tensor's name"));
    tensor->name = *name;
    tensor->file = c->file->name;
    error_text(shown, sizeof shown, *name);
    TRY(read_u32(c, &tensor->rank, "a tensor's rank"));
    if (tensor->rank > RANK_LIMIT)
        return error_set(c->error, MZT_ERROR_FORMAT,
                         "%s: tensor \"%s\" of rank %lu, more than the limit of %u", c->file->name, shown,
                         (unsigned long)tensor->rank, RANK_LIMIT);
    for (uint32_t i = tensor->rank; i > 0; i--)
        TRY(read_uint(c, 8, &tensor->shape[i - 1], "a shape"));
    TRY(read_type(c, tensor));
    TRY(read_uint(c, 8, offset, "a tensor's offset"));
    bool fits = true;
    tensor->count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++)
        fits = fits && tensor->shape[i] > 0 && size_mul(tensor->count, tensor->shape[i], &tensor->count);
    uint64_t row = tensor->rank ? tensor->shape[tensor->rank - 1] : 1;
    if (!fits || tensor->count > (uint64_t)INT64_MAX || row % weights_dtype_block(tensor->dtype))
        return error_set(c->error, MZT_ERROR_FORMAT,
                         "%s: tensor \"%s\": shape %s is empty, too large, or not whole blocks of %s",
                         c->file->name, shown,
                         weights_shape_text(text, sizeof text, tensor->shape, tensor->rank),
                         weights_dtype_name(tensor->dtype));
    return MZT_OK;
}

/* Now that the data's place is known. */
static mzt_status place_tensor(const cursor *c, weights_tensor *tensor, uint64_t offset) {
    uint64_t bytes, room = c->size - c->at;
    char shown[100];
    error_text(shown, sizeof shown, tensor->name);
    if (offset % c->alignment)
        return error_set(c->error, MZT_ERROR_FORMAT,
                         "%s: tensor \"%s\" begins at %llu, not a multiple of %llu", c->file->name, shown,
                         (unsigned long long)offset, (unsigned long long)c->alignment);
    if (!weights_dtype_bytes(tensor->dtype, tensor->count, &bytes) || offset > room || bytes > room - offset)
        return error_set(c->error, MZT_ERROR_FORMAT,
                         "%s: tensor \"%s\" at %llu goes beyond the %llu bytes of data (truncated?)",
                         c->file->name, shown, (unsigned long long)offset, (unsigned long long)room);
    tensor->data = c->data + c->at + offset;
    return MZT_OK;
}

static int compare_notes(const void *a, const void *b) {
    return strcmp(((const shape_note *)a)->name, ((const shape_note *)b)->name);
}

/* Gives flattened tensors their shapes back, where the numbers of elements agree. */
static void restore_shapes(gguf_file *f) {
    if (f->note_count == 0) return;
    qsort(f->notes, f->note_count, sizeof *f->notes, compare_notes);
    for (uint32_t i = 0; i < f->count; i++) {
        weights_tensor *tensor = &f->tensors[i];
        const shape_note key = {.name = f->names[i]};
        const shape_note *note = bsearch(&key, f->notes, f->note_count, sizeof key, compare_notes);
        uint64_t count = 1;
        bool fits = note != NULL;
        for (uint32_t k = 0; fits && k < note->rank; k++)
            fits = size_mul(count, note->shape[k], &count);
        if (!fits || count != tensor->count) continue;
        tensor->rank = note->rank;
        memcpy(tensor->shape, note->shape, sizeof note->shape);
    }
}

/* ------------------------------------------------------------------------------------------------- the file
 * -- */

bool gguf_is(const void *data, uint64_t size) {
    return size >= 4 && memcmp(data, "GGUF", 4) == 0;
}

static mzt_status read_head(cursor *c, uint64_t *tensors, uint64_t *pairs) {
    uint32_t version;
    if (!gguf_is(c->data, c->size))
        return error_set(c->error, MZT_ERROR_FORMAT, "%s: is no GGUF file", c->file->name);
    c->at = 4;
    TRY(read_u32(c, &version, "the version"));
    if (version != 2 && version != 3)
        return error_set(c->error, MZT_ERROR_UNSUPPORTED, "%s: GGUF version %lu%s, supported are 2 and 3",
                         c->file->name, (unsigned long)version, version & 0xffff ? "" : " (big endian)");
    TRY(read_uint(c, 8, tensors, "the number of tensors"));
    TRY(read_uint(c, 8, pairs, "the number of metadata"));
    /* the shortest description of a tensor has 24 bytes, that of a pair 13 */
    if (*tensors > (c->size - c->at) / 24 || *pairs > (c->size - c->at) / 13 || *tensors > UINT32_MAX / 2)
        return error_set(c->error, MZT_ERROR_FORMAT,
                         "%s: %llu tensors and %llu metadata do not fit %llu bytes", c->file->name,
                         (unsigned long long)*tensors, (unsigned long long)*pairs,
                         (unsigned long long)c->size);
    return MZT_OK;
}

static mzt_status read_file(cursor *c) {
    gguf_file *f = c->file;
    uint64_t count = 0, pairs = 0;
    TRY(read_head(c, &count, &pairs));
    TRY(read_metadata(c, pairs));
    f->tensors = host_calloc(f->host, (size_t)count, sizeof *f->tensors);
    f->names = host_calloc(f->host, (size_t)count, sizeof *f->names);
    uint64_t *offsets = host_calloc(f->host, (size_t)count, sizeof *offsets);
    mzt_status status = f->tensors && f->names && offsets
                            ? MZT_OK
                            : error_memory(c->error, f->name, count * sizeof *f->tensors);
    for (uint32_t i = 0; i < count && status == MZT_OK; i++) {
        status = read_tensor(c, &f->tensors[i], &f->names[i], &offsets[i]);
        f->count++;
    }
    if (status == MZT_OK) {
        uint64_t begin = align_up(c->at, c->alignment);
        c->at = begin < c->size ? begin : c->size;
    }
    for (uint32_t i = 0; i < count && status == MZT_OK; i++)
        status = place_tensor(c, &f->tensors[i], offsets[i]);
    host_free(f->host, offsets);
    if (status == MZT_OK) restore_shapes(f);
    return status;
}

static const char *find_metadata(const void *user, const char *key) {
    const gguf_file *f = user;
    for (uint32_t i = 0; i < f->metadata_count; i++)
        if (strcmp(f->metadata[i].key, key) == 0) return f->metadata[i].value;
    return NULL;
}

static void close_file(void *user) {
    gguf_file *f = user;
    const base_host *host = f->host;
    for (uint32_t i = 0; i < f->count; i++)
        host_free(host, f->names[i]);
    for (uint32_t i = 0; i < f->metadata_count; i++) {
        host_free(host, f->metadata[i].key);
        host_free(host, f->metadata[i].value);
    }
    for (uint32_t i = 0; i < f->note_count; i++)
        host_free(host, f->notes[i].name);
    host_free(host, f->tensors);
    host_free(host, f->names);
    host_free(host, f->metadata);
    host_free(host, f->notes);
    host_free(host, f->name);
    file_unmap(&f->mapping);
    host_free(host, f);
}

/* Takes the mapping over. */
static mzt_status open_bytes(const base_host *host, const char *name, file_mapping mapping, const void *data,
                             uint64_t size, weights_set **set, mzt_error *error) {
    mzt_error ignored;
    *set = NULL;
    gguf_file *f = host_calloc(host, 1, sizeof *f);
    if (!f) {
        file_unmap(&mapping);
        return error_memory(error, name, sizeof *f);
    }
    f->host = host;
    f->mapping = mapping;
    f->name = host_strdup(host, name);
    cursor c = {f, data, 0, size, ALIGNMENT, error ? error : &ignored};
    mzt_status status = f->name ? read_file(&c) : error_memory(error, name, strlen(name));
    if (status < 0) {
        close_file(f);
        return status;
    }
    weights_source source = {f->tensors, f->count, find_metadata, close_file, f};
    return weights_create(host, name, &source, set, error);
}

mzt_status gguf_open_memory(const base_host *host, const char *name, const void *data, uint64_t size,
                            weights_set **set, mzt_error *error) {
    return open_bytes(host, name, (file_mapping){.data = NULL}, data, size, set, error);
}

mzt_status gguf_open(const base_host *host, const char *path, weights_set **set, mzt_error *error) {
    file_mapping mapping;
    *set = NULL;
    TRY(host_file_map(host, path, &mapping, error));
    return open_bytes(host, path, mapping, mapping.data, mapping.size, set, error);
}
