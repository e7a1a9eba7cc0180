/* Finding a model's tokenizers; see model.h. Single files bring none: CLIP's public vocabulary then serves,
 * which is the same for all supported models. */
#include <string.h>

#include "base/file.h"
#include "pipeline/model_internal.h"

static const char *const vocabulary_files[] = {"vocab.json", "bpe_simple_vocab_16e6.txt.gz",
                                               "bpe_simple_vocab_16e6.txt"};

static bool holds_vocabulary(const base_host *host, const char *folder) {
    bool found = false;
    for (size_t i = 0; i < sizeof vocabulary_files / sizeof *vocabulary_files && !found; i++) {
        char *path = path_join(host, folder, vocabulary_files[i]);
        found = path && host_file_exists(host, path);
        host_free(host, path);
    }
    return found;
}

/* *out: folder/name (folder itself where name is empty) if a vocabulary is there, else NULL. */
static mzt_status try_folder(const base_host *host, const char *folder, const char *name, char **out,
                             mzt_error *error) {
    *out = name[0] ? path_join(host, folder, name) : host_strdup(host, folder);
    if (!*out) return error_memory(error, folder, strlen(folder));
    if (holds_vocabulary(host, *out)) return MZT_OK;
    host_free(host, *out);
    *out = NULL;
    return MZT_OK;
}

/* The folder that the model's file lies in; the model itself if it is a folder. */
static char *model_folder(const model *m) {
    const char *slash = strrchr(m->path, '/');
    if (m->index.components[MODEL_UNET].path) return host_strdup(m->host, m->path);
    return slash ? host_strndup(m->host, m->path, (size_t)(slash - m->path) + 1) : host_strdup(m->host, ".");
}

/* Where CLIP's vocabulary lies: beside the model, or in the user's data folder. */
static mzt_status find_vocabulary(const model *m, const model_options *options, char **out,
                                  mzt_error *error) {
    static const char *const beside[] = {"tokenizer", "clip", ""};
    *out = NULL;
    char *folder = model_folder(m);
    mzt_status status = folder ? MZT_OK : error_memory(error, m->path, strlen(m->path));
    for (int i = 0; i < 3 && status >= 0 && !*out; i++)
        status = try_folder(m->host, folder, beside[i], out, error);
    for (int i = 0; i < 3 && status >= 0 && !*out && options->data_folder; i++)
        status = try_folder(m->host, options->data_folder, beside[i], out, error);
    host_free(m->host, folder);
    return status;
}

static mzt_status open_one(model *m, uint32_t index, const char *path, mzt_error *error) {
    /* OpenCLIP's encoders were trained with id 0 behind the end, CLIP's own with the end repeated. */
    const bpe_options open_clip = {.padding = "!"};
    bpe_destroy(m->tokenizer[index]);
    m->tokenizer[index] = NULL;
    return bpe_load(m->host, path, m->text[index].quick_gelu ? NULL : &open_clip, &m->tokenizer[index],
                    error);
}

mzt_status model_open_tokenizers(model *m, const model_options *options, mzt_error *error) {
    char *common = NULL;
    mzt_status status = MZT_OK;
    for (uint32_t i = 0; i < 2 && status >= 0; i++) {
        const char *folder = m->index.components[i ? MODEL_TOKENIZER_2 : MODEL_TOKENIZER].path;
        if (!options->tokenizer && folder && host_file_exists(m->host, folder)) {
            status = bpe_load(m->host, folder, NULL, &m->tokenizer[i], error);
            if (status >= 0 && i == 0) status = known_words_read(m->host, folder, &m->words, error);
            continue;
        }
        if (!m->weights[i ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER]) continue;
        if (options->tokenizer) {
            status = open_one(m, i, options->tokenizer, error);
            continue;
        }
        const bool clips = m->text[i].vocabulary >= 49408; /* smaller ones have a vocabulary of their own */
        if (clips && !common) status = find_vocabulary(m, options, &common, error);
        if (clips && common) status = open_one(m, i, common, error);
    }
    host_free(m->host, common);
    return status;
}
