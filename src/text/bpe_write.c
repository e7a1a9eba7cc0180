/* Writing a tokenizer; see bpe_write.h. */
#include "text/bpe_write.h"

#include <string.h>

#include "base/file.h"
#include "json/json_write.h"
#include "text/bpe_internal.h"

static mzt_status save(const bpe *t, const char *folder, const char *name, const char *text, size_t length,
                       mzt_error *error) {
    char *path = path_join(t->host, folder, name);
    if (!path) return error_memory(error, name, strlen(folder));
    mzt_status status = file_write(t->host, path, text, length, error);
    host_free(t->host, path);
    return status;
}

static mzt_status save_json(const bpe *t, const char *folder, const char *name, json_writer *w,
                            mzt_error *error) {
    char *text;
    size_t length;
    json_write_end_object(w);
    TRY(json_writer_finish(w, &text, &length, error));
    mzt_status status = save(t, folder, name, text, length, error);
    host_free(t->host, text);
    return status;
}

/* Merges in the order of their ranks: that of the list, in which a pair that came twice keeps its later rank.
 */
static mzt_status save_merges(const bpe *t, const char *folder, mzt_error *error) {
    static const char head[] = "#version: 0.2\n";
    const vocabulary *v = &t->pieces;
    uint32_t *by_rank = host_calloc(t->host, v->next_rank, sizeof *by_rank);
    size_t size = sizeof head;
    for (uint32_t i = 0; i < v->merge_count; i++)
        size += v->pieces[v->merges[i].left].length + v->pieces[v->merges[i].right].length + 2u;
    char *text = host_calloc(t->host, size, 1);
    mzt_status status = by_rank && text ? MZT_OK : error_memory(error, "merges.txt", size);
    for (uint32_t i = 0; status >= 0 && i < v->merge_count; i++)
        by_rank[v->merges[i].rank] = i + 1;
    char *at = text;
    if (status >= 0) {
        memcpy(at, head, sizeof head - 1);
        at += sizeof head - 1;
    }
    for (uint32_t rank = 0; status >= 0 && rank < v->next_rank; rank++) {
        if (by_rank[rank] == 0) continue;
        const vocabulary_merge *m = &v->merges[by_rank[rank] - 1];
        const vocabulary_piece *left = &v->pieces[m->left], *right = &v->pieces[m->right];
        memcpy(at, v->text + left->offset, left->length);
        at += left->length;
        *at++ = ' ';
        memcpy(at, v->text + right->offset, right->length);
        at += right->length;
        *at++ = '\n';
    }
    if (status >= 0) status = save(t, folder, "merges.txt", text, (size_t)(at - text), error);
    host_free(t->host, by_rank);
    host_free(t->host, text);
    return status;
}

mzt_status bpe_write(const bpe *tokenizer, const char *folder, mzt_error *error) {
    static const char *const keys[BPE_SPECIAL_COUNT] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    json_writer w = json_writer_make(tokenizer->host);
    json_write_object(&w, NULL);
    for (uint32_t id = 0; id < bpe_id_count(tokenizer); id++)
        if (bpe_piece(tokenizer, id)) json_write_uint(&w, bpe_piece(tokenizer, id), id);
    TRY(save_json(tokenizer, folder, "vocab.json", &w, error));
    TRY(save_merges(tokenizer, folder, error));
    w = json_writer_make(tokenizer->host);
    json_write_object(&w, NULL);
    json_write_string(&w, "tokenizer_class", "CLIPTokenizer");
    json_write_uint(&w, "model_max_length", tokenizer->max_length);
    for (int i = 0; i < BPE_SPECIAL_COUNT; i++)
        json_write_string(&w, keys[i], vocabulary_text(&tokenizer->pieces, tokenizer->special[i]));
    return save_json(tokenizer, folder, "tokenizer_config.json", &w, error);
}
