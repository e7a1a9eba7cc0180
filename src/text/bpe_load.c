/* Creating a tokenizer from files or memory; see bpe.h. */
#include "text/bpe_internal.h"

#include <string.h>

#include "base/file.h"
#include "json/json.h"
#include "text/clean.h"

#define VOCABULARY_FILE_LIMIT (64u << 20)
#define LENGTH_LIMIT          4096u

/* What the options and the configuration files say; strings belong to `host`, NULL where nothing is said. */
typedef struct configuration {
    const base_host *host;
    char *special[BPE_SPECIAL_COUNT];
    uint32_t max_length;
} configuration;

static void configuration_free(configuration *c) {
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++)
        host_free(c->host, c->special[i]);
}

static mzt_status set_special(configuration *c, int which, const char *spelling, mzt_error *error) {
    host_free(c->host, c->special[which]);
    c->special[which] = host_strdup(c->host, spelling);
    return c->special[which] ? MZT_OK : error_memory(error, "tokenizer", strlen(spelling));
}

static mzt_status apply_options(configuration *c, const bpe_options *options, mzt_error *error) {
    if (!options) return MZT_OK;
    const char *const special[BPE_SPECIAL_COUNT] = {options->begin, options->end, options->padding,
                                                    options->unknown};
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++) {
        if (special[i]) TRY(set_special(c, i, special[i], error));
    }
    if (options->max_length) c->max_length = options->max_length;
    return MZT_OK;
}

/* Members of tokenizer_config.json or special_tokens_map.json: a token is a string, or an object with
 * "content". */
static mzt_status read_members(configuration *c, json_value root, mzt_error *error) {
    static const char *const keys[BPE_SPECIAL_COUNT] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    TRY(json_as_kind(root, JSON_OBJECT, error));
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++) {
        json_value token = json_get(root, keys[i]);
        if (!json_given(token)) continue;
        const char *spelling;
        if (json_kind_of(token) == JSON_OBJECT) token = json_get(token, "content");
        TRY(json_as_string(token, &spelling, error));
        TRY(set_special(c, i, spelling, error));
    }
    double length; /* writers put 1e30 here for "no limit" */
    TRY(json_get_double(root, "model_max_length", 0, &length, error));
    if (length >= 2 && length <= LENGTH_LIMIT) c->max_length = (uint32_t)length;
    return MZT_OK;
}

static mzt_status read_configuration(configuration *c, const char *folder, const char *name,
                                     mzt_error *error) {
    char *path = path_join(c->host, folder, name);
    json_doc *doc = NULL;
    mzt_status status = MZT_OK;
    if (!path) return error_memory(error, "tokenizer", strlen(folder));
    if (host_file_exists(c->host, path)) {
        status = json_read(c->host, path, &doc, error);
        if (status >= 0) status = read_members(c, json_root(doc), error);
    }
    json_destroy(doc);
    host_free(c->host, path);
    return status;
}

/* --------------------------------------------------------------------------------------------------- from
 * memory -- */

static mzt_status find_special(bpe *t, const configuration *c, const char *name, mzt_error *error) {
    static const char *const roles[BPE_SPECIAL_COUNT] = {"begin", "end", "padding", "unknown"};
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++) {
        const char *spelling = c->special[i]    ? c->special[i]
                               : i == BPE_BEGIN ? "<|startoftext|>"
                                                : "<|endoftext|>";
        uint32_t piece = vocabulary_find(&t->pieces, spelling, strlen(spelling));
        if (piece == VOCABULARY_NONE || t->pieces.pieces[piece].id == VOCABULARY_NONE)
            return error_set(error, MZT_ERROR_FORMAT, "%s: the %s token \"%.60s\" is not in the vocabulary",
                             name, roles[i], spelling);
        t->special[i] = piece;
    }
    return MZT_OK;
}

static mzt_status build(const char *name, const void *data, uint64_t size, const void *merges,
                        uint64_t merges_size, const configuration *c, bpe **out, mzt_error *error) {
    *out = NULL;
    if (c->max_length < 2 || c->max_length > LENGTH_LIMIT)
        return error_set(error, MZT_ERROR_INVALID, "%s: max_length %u: expected 2..%u", name, c->max_length,
                         LENGTH_LIMIT);
    bpe *t = host_calloc(c->host, 1, sizeof *t);
    if (!t) return error_memory(error, "tokenizer", sizeof *t);
    t->host = c->host;
    t->max_length = c->max_length;
    vocabulary_init(&t->pieces, c->host);
    mzt_status status;
    if (merges) {
        status = vocabulary_read_json(&t->pieces, name, data, size, error);
        if (status >= 0) status = vocabulary_read_merges(&t->pieces, name, merges, merges_size, error);
    } else {
        status = vocabulary_read_openai(&t->pieces, name, data, size, error);
    }
    if (status >= 0) status = vocabulary_finish(&t->pieces, name, error);
    if (status >= 0) status = find_special(t, c, name, error);
    if (status < 0) {
        bpe_destroy(t);
        return status;
    }
    *out = t;
    return MZT_OK;
}

mzt_status bpe_create(const base_host *host, const char *name, const void *data, uint64_t size,
                      const void *merges, uint64_t merges_size, const bpe_options *options, bpe **tokenizer,
                      mzt_error *error) {
    configuration c = {.host = host, .max_length = 77};
    *tokenizer = NULL;
    mzt_status status = apply_options(&c, options, error);
    if (status >= 0) status = build(name, data, size, merges, merges_size, &c, tokenizer, error);
    configuration_free(&c);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- from
 * files -- */

/* The folder and the vocabulary file that `path` means: fresh strings. */
static mzt_status locate(const base_host *host, const char *path, char **folder, char **file,
                         mzt_error *error) {
    static const char *const names[] = {"vocab.json", "bpe_simple_vocab_16e6.txt.gz",
                                        "bpe_simple_vocab_16e6.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        host_free(host, *file);
        *file = path_join(host, path, names[i]);
        if (!*file) return error_memory(error, "tokenizer", strlen(path));
        if (!host_file_exists(host, *file)) continue;
        *folder = host_strdup(host, path);
        return *folder ? MZT_OK : error_memory(error, "tokenizer", strlen(path));
    }
    host_free(host, *file);
    *file = host_strdup(host, path);
    const char *slash = strrchr(path, '/');
    *folder = slash ? host_strndup(host, path, (size_t)(slash - path) + 1) : host_strdup(host, ".");
    if (!*file || !*folder) return error_memory(error, "tokenizer", strlen(path));
    if (!host_file_exists(host, path)) return error_set(error, MZT_ERROR_NOT_FOUND, "%s: no such tokenizer", path);
    return MZT_OK;
}

static bool is_json_name(const char *path) {
    size_t length = strlen(path);
    return length >= 5 && strcmp(path + length - 5, ".json") == 0;
}

static mzt_status load_files(const char *folder, const char *file, configuration *c, bpe **tokenizer,
                             mzt_error *error) {
    char *merges_path = NULL, *data = NULL, *merges = NULL;
    uint64_t size = 0, merges_size = 0;
    mzt_status status = file_read(c->host, file, VOCABULARY_FILE_LIMIT, &data, &size, error);
    if (status >= 0 && is_json_name(file)) {
        merges_path = path_join(c->host, folder, "merges.txt");
        status = merges_path
                     ? file_read(c->host, merges_path, VOCABULARY_FILE_LIMIT, &merges, &merges_size, error)
                     : error_memory(error, "tokenizer", strlen(folder));
    }
    if (status >= 0) status = build(file, data, size, merges, merges_size, c, tokenizer, error);
    host_free(c->host, merges_path);
    host_free(c->host, data);
    host_free(c->host, merges);
    return status;
}

mzt_status bpe_load(const base_host *host, const char *path, const bpe_options *options, bpe **tokenizer,
                    mzt_error *error) {
    configuration c = {.host = host, .max_length = 77};
    char *folder = NULL, *file = NULL;
    *tokenizer = NULL;
    mzt_status status = locate(host, path, &folder, &file, error);
    if (status >= 0) status = read_configuration(&c, folder, "tokenizer_config.json", error);
    if (status >= 0) status = read_configuration(&c, folder, "special_tokens_map.json", error);
    if (status >= 0) status = apply_options(&c, options, error);
    if (status >= 0) status = load_files(folder, file, &c, tokenizer, error);
    host_free(host, folder);
    host_free(host, file);
    configuration_free(&c);
    return status;
}
