/* Words with vectors of their own; see embedding.h. All vectors of an encoder lie behind one another in
 * memory, and behind the rows of its table as a tail. */
#include "pipeline/embedding.h"

#include <string.h>

typedef struct embedding_rows {
    float *values; /* [count][channels] */
    uint32_t count, channels;
    weights_tensor tail;
    weights_tensor *tensors; /* of the encoder, its table with the tail */
    weights_set *below;      /* the encoder's set without */
} embedding_rows;

static const char table_name[] = "text_model.embeddings.token_embedding.weight";

void embedding_rows_destroy(const base_host *host, embedding_rows *rows) {
    if (!rows) return;
    weights_close(rows->below);
    host_free(host, rows->tensors);
    host_free(host, rows->values);
    host_free(host, rows);
}

/* ------------------------------------------------------------------------------------------------ files --
 */

/* The tensor for encoder `index`; *alone: a file of a single tensor, whose name is a word. NULL: none. */
static const weights_tensor *find_vectors(const weights_set *file, bool xl, uint32_t index, bool *alone) {
    static const char *const names[2][2] = {{"clip_l", "text_encoders_0"}, {"clip_g", "text_encoders_1"}};
    const weights_tensor *t = NULL;
    *alone = false;
    for (int i = 0; i < 2 && !t; i++)
        t = weights_find(file, names[index][i]);
    if (t || xl || index) return t;
    t = weights_find(file, "emb_params");
    if (t || weights_count(file) != 1) return t;
    *alone = true;
    return weights_at(file, 0);
}

static mzt_status check_vectors(const model *m, const weights_tensor *t, uint32_t index, uint32_t *rows,
                                mzt_error *error) {
    const uint32_t channels = m->text[index].channels;
    char shape[120], shown[80];
    error_text(shown, sizeof shown, t->name);
    const uint64_t width = t->rank ? t->shape[t->rank - 1] : 0;
    if (t->rank < 1 || t->rank > 2 || t->count == 0 || t->count / width > EMBEDDING_ROWS_MAX)
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: tensor \"%s\": expected up to %d vectors, found shape %s", t->file, shown,
                         EMBEDDING_ROWS_MAX, weights_shape_text(shape, sizeof shape, t->shape, t->rank));
    if (width != channels)
        return error_set(
            error, MZT_ERROR_UNSUPPORTED,
            "%s: tensor \"%s\" holds vectors of %llu values, made for another kind of model; %s's text "
            "encoder takes %u",
            t->file, shown, (unsigned long long)width, m->path, (unsigned)channels);
    *rows = (uint32_t)(t->count / width);
    return MZT_OK;
}

static mzt_status append_rows(model *m, embedding_rows *e, const weights_tensor *t, uint32_t rows,
                              mzt_error *error) {
    if (rows > EMBEDDING_ROWS_MAX - e->count)
        return error_set(error, MZT_ERROR_INVALID, "%s: more than %d vectors in all embeddings", t->file,
                         EMBEDDING_ROWS_MAX);
    float *grown = host_realloc(m->host, e->values, (size_t)(e->count + rows) * e->channels, sizeof *grown);
    if (!grown) return error_memory(error, t->file, t->count * sizeof *grown);
    e->values = grown;
    TRY(weights_convert(t, 0, t->count, DTYPE_F32, grown + (size_t)e->count * e->channels, error));
    e->count += rows;
    return MZT_OK;
}

/* The file's name without folder and ending. */
static char *word_of(const base_host *host, const char *path) {
    static const char ending[] = ".safetensors";
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name), cut = sizeof ending - 1;
    if (length > cut && strcmp(name + length - cut, ending) == 0) length -= cut;
    return host_strndup(host, name, length);
}

static mzt_status add_words(model *m, uint32_t index, const char *path, const char *own_name, uint32_t first,
                            uint32_t count, mzt_error *error) {
    bpe *tokenizer = m->tokenizer[index];
    if (!tokenizer) return MZT_OK; /* ids will be given */
    char *word = word_of(m->host, path);
    if (!word) return error_memory(error, path, strlen(path));
    mzt_status status = bpe_add_word(tokenizer, word, first, count, error);
    if (status >= 0 && own_name && strcmp(own_name, word) != 0)
        status = bpe_add_word(tokenizer, own_name, first, count, error);
    host_free(m->host, word);
    return status < 0 ? error_prefix(error, "%s: ", path) : status;
}

static mzt_status add_to(model *m, uint32_t index, const weights_set *file, const char *path,
                         mzt_error *error) {
    static const char *const names[] = {"emb_params, or one tensor alone", "clip_l"};
    embedding_rows *e = m->embeddings[index];
    bool alone;
    uint32_t rows = 0;
    const weights_tensor *t = find_vectors(file, m->index.xl, index, &alone);
    if (!t)
        return error_set(error, MZT_ERROR_UNSUPPORTED,
                         "%s: no vectors for %s's %stext encoder: expected a tensor %s", path, m->path,
                         index ? "second " : "", index ? "clip_g" : names[m->index.xl]);
    TRY(check_vectors(m, t, index, &rows, error));
    const uint32_t first = m->text[index].vocabulary + e->count;
    TRY(append_rows(m, e, t, rows, error));
    return add_words(m, index, path, alone ? t->name : NULL, first, rows, error);
}

static mzt_status add_file(model *m, const char *path, mzt_error *error) {
    weights_set *file;
    mzt_status status = weights_open(m->host, path, &file, error);
    for (uint32_t i = 0; i < 2 && status >= 0; i++)
        if (m->embeddings[i]) status = add_to(m, i, file, path, error);
    weights_close(file);
    return status;
}

/* ------------------------------------------------------------------------------------------------ table --
 */

/* Puts all vectors behind the encoder's table. */
static mzt_status extend_table(model *m, uint32_t index, mzt_error *error) {
    const model_component component = index ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER;
    embedding_rows *e = m->embeddings[index];
    weights_set *below = m->weights[component], *made;
    const uint32_t count = weights_count(below);
    e->tail = (weights_tensor){.name = table_name,
                               .file = "embeddings",
                               .dtype = WEIGHTS_F32,
                               .rank = 2,
                               .shape = {e->count, e->channels},
                               .count = (uint64_t)e->count * e->channels,
                               .data = (const uint8_t *)e->values};
    e->tensors = host_calloc(m->host, count, sizeof *e->tensors);
    if (!e->tensors) return error_memory(error, table_name, count * sizeof *e->tensors);
    for (uint32_t i = 0; i < count; i++) {
        weights_tensor *t = &e->tensors[i];
        *t = *weights_at(below, i);
        if (strcmp(t->name, table_name) != 0) continue;
        if (t->rank != 2 || t->shape[0] != m->text[index].vocabulary || t->tail) {
            char shape[120];
            return error_set(error, MZT_ERROR_FORMAT, "%s: tensor \"%s\": expected %u rows, found shape %s",
                             t->file, table_name, (unsigned)m->text[index].vocabulary,
                             weights_shape_text(shape, sizeof shape, t->shape, t->rank));
        }
        t->shape[0] += e->count;
        t->count += e->tail.count;
        t->tail = &e->tail;
    }
    const weights_source source = {.tensors = e->tensors, .count = count};
    TRY(weights_create(m->host, weights_name(below), &source, &made, error));
    e->below = below;
    m->weights[component] = made;
    m->text[index].vocabulary += e->count;
    m->text[index].added = e->count;
    return MZT_OK;
}

mzt_status model_add_embeddings(model *m, const char *const *paths, uint32_t count, mzt_error *error) {
    if (count == 0) return MZT_OK;
    for (uint32_t i = 0; i < 2; i++) {
        if (!m->weights[i ? MODEL_TEXT_ENCODER_2 : MODEL_TEXT_ENCODER]) continue;
        m->embeddings[i] = host_calloc(m->host, 1, sizeof *m->embeddings[i]);
        if (!m->embeddings[i]) return error_memory(error, "embeddings", sizeof *m->embeddings[i]);
        m->embeddings[i]->channels = m->text[i].channels;
    }
    for (uint32_t i = 0; i < count; i++)
        TRY(add_file(m, paths[i], error));
    for (uint32_t i = 0; i < 2; i++)
        if (m->embeddings[i]) TRY(extend_table(m, i, error));
    return MZT_OK;
}
