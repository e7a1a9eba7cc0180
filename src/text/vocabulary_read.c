/* Readers of vocabulary files; see vocabulary.h. The data may be hostile. */
#include "text/vocabulary.h"

#include <limits.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "json/json.h"
#include "text/clean.h"

#define INFLATED_LIMIT (64u << 20) /* bytes; CLIP's vocabulary inflates to 3.2 MB */
#define CLIP_MERGES    (49152 - 256 - 2)

/* ---------------------------------------------------------------------------------------------------
 * vocab.json -- */

mzt_status vocabulary_read_json(vocabulary *v, const char *name, const char *data, uint64_t size,
                                mzt_error *error) {
    json_doc *doc = NULL;
    TRY(json_parse(v->host, name, data, size, &doc, error));
    json_value root = json_root(doc);
    mzt_status status = json_as_kind(root, JSON_OBJECT, error);
    for (json_value member = json_first(root); status >= 0 && member.item; member = json_next(member)) {
        const char *spelling = json_key(member);
        int64_t id;
        uint32_t piece;
        status = json_as_int(member, 0, VOCABULARY_ID_LIMIT - 1, &id, error);
        if (status >= 0 && *spelling == '\0')
            status = json_error(member, error, MZT_ERROR_FORMAT, "expected a piece of 1 character or more");
        if (status >= 0) status = vocabulary_intern(v, spelling, strlen(spelling), &piece, error);
        if (status >= 0) v->pieces[piece].id = (uint32_t)id;
    }
    json_destroy(doc);
    return status;
}

/* -------------------------------------------------------------------------------------------------------
 * merges -- */

/* One line without its end. */
typedef struct line_reader {
    const char *next, *end;
    const char *text;
    size_t length;
    uint32_t number;
} line_reader;

static bool next_line(line_reader *reader) {
    if (reader->next == reader->end) return false;
    const char *stop = memchr(reader->next, '\n', (size_t)(reader->end - reader->next));
    reader->text = reader->next;
    reader->length = (size_t)((stop ? stop : reader->end) - reader->next);
    reader->next = stop ? stop + 1 : reader->end;
    if (reader->length > 0 && reader->text[reader->length - 1] == '\r') reader->length--;
    reader->number++;
    return true;
}

static mzt_status read_merge(vocabulary *v, const char *name, const line_reader *line, mzt_error *error) {
    const char *space = memchr(line->text, ' ', line->length);
    size_t left = space ? (size_t)(space - line->text) : 0, right = space ? line->length - left - 1 : 0;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: line %u: expected two pieces apart by a space, found \"%.*s\"", name,
                         line->number, (int)(line->length < 60 ? line->length : 60), line->text);
    uint32_t a, b;
    TRY(vocabulary_intern(v, line->text, left, &a, error));
    TRY(vocabulary_intern(v, space + 1, right, &b, error));
    return vocabulary_add_merge(v, a, b, error);
}

mzt_status vocabulary_read_merges(vocabulary *v, const char *name, const char *data, uint64_t size,
                                  mzt_error *error) {
    line_reader line = {data, data + size, NULL, 0, 0};
    while (next_line(&line)) {
        if (line.length == 0 ||
            (line.number == 1 && line.length >= 8 && memcmp(line.text, "#version", 8) == 0))
            continue;
        TRY(read_merge(v, name, &line, error));
    }
    return MZT_OK;
}

/* ----------------------------------------------------------------------------------------- openai/CLIP's one
 * file -- */

/* Inflates a gzip stream into a fresh block. */
static mzt_status inflate_gzip(const base_host *host, const char *name, const char *data, uint64_t size,
                               char **out, uint64_t *out_size, mzt_error *error) {
    char *block = NULL;
    size_t capacity = 1u << 20;
    z_stream stream = {0};
    int code = Z_OK;
    mzt_status status = MZT_OK;
    if (size > UINT_MAX) return error_set(error, MZT_ERROR_FORMAT, "%s: more than 4 GiB", name);
    if (inflateInit2(&stream, 15 + 16) != Z_OK) return error_memory(error, name, size);
    stream.next_in = (const Bytef *)data;
    stream.avail_in = (uInt)size;
    for (;;) {
        char *grown = host_realloc(host, block, capacity, 1);
        if (!grown) {
            status = error_memory(error, name, capacity);
            goto done;
        }
        block = grown;
        stream.next_out = (Bytef *)block + stream.total_out;
        stream.avail_out = (uInt)(capacity - stream.total_out);
        code = inflate(&stream, Z_NO_FLUSH);
        if (code == Z_STREAM_END) break;
        if (code != Z_OK || stream.avail_out > 0) {
            status = error_set(error, MZT_ERROR_FORMAT, "%s: damaged gzip data", name);
            goto done;
        }
        if (capacity >= INFLATED_LIMIT) {
            status = error_set(error, MZT_ERROR_FORMAT, "%s: inflates to more than %u bytes", name,
                               INFLATED_LIMIT);
            goto done;
        }
        capacity *= 2;
    }
    *out = block;
    *out_size = stream.total_out;
    block = NULL;
done:
    inflateEnd(&stream);
    host_free(host, block);
    return status;
}

static mzt_status add_piece(vocabulary *v, const char *spelling, size_t length, uint32_t id,
                            mzt_error *error) {
    uint32_t piece;
    TRY(vocabulary_intern(v, spelling, length, &piece, error));
    v->pieces[piece].id = id;
    return MZT_OK;
}

/* The alphabet comes in the order of its characters that stand for themselves, then of the others. */
static mzt_status add_alphabet(vocabulary *v, mzt_error *error) {
    uint32_t id = 0;
    for (int32_t character = 0; character < 256 + 68; character++) {
        if (vocabulary_character_byte(character) < 0) continue;
        char spelling[8];
        size_t length = text_encode(character, spelling);
        memcpy(spelling + length, "</w>", 4);
        TRY(add_piece(v, spelling, length, id, error));
        TRY(add_piece(v, spelling, length + 4, 256 + id, error));
        id++;
    }
    return MZT_OK;
}

static mzt_status read_openai_text(vocabulary *v, const char *name, const char *data, uint64_t size,
                                   mzt_error *error) {
    static const char *const names[] = {"<|startoftext|>", "<|endoftext|>"};
    line_reader line = {data, data + size, NULL, 0, 0};
    TRY(add_alphabet(v, error));
    if (!next_line(&line) || line.length < 20 || memcmp(line.text, "\"bpe_simple_vocab_16", 20) != 0)
        return error_set(error, MZT_ERROR_FORMAT,
                         "%s: expected a heading \"bpe_simple_vocab_16e6.txt#version: ...\"", name);
    for (uint32_t i = 0; i < CLIP_MERGES; i++) {
        if (!next_line(&line))
            return error_set(error, MZT_ERROR_FORMAT, "%s: ends after %u merges, expected %u", name, i,
                             CLIP_MERGES);
        TRY(read_merge(v, name, &line, error));
        if (v->merge_count != i + 1)
            return error_set(error, MZT_ERROR_FORMAT, "%s: line %u: this merge was there before", name,
                             line.number);
        v->pieces[v->merges[i].result].id = 512 + i;
    }
    for (uint32_t i = 0; i < 2; i++)
        TRY(add_piece(v, names[i], strlen(names[i]), 512 + CLIP_MERGES + i, error));
    return MZT_OK;
}

mzt_status vocabulary_read_openai(vocabulary *v, const char *name, const char *data, uint64_t size,
                                  mzt_error *error) {
    if (size < 2 || (uint8_t)data[0] != 0x1f || (uint8_t)data[1] != 0x8b)
        return read_openai_text(v, name, data, size, error);
    char *text = NULL;
    uint64_t text_size = 0;
    TRY(inflate_gzip(v->host, name, data, size, &text, &text_size, error));
    mzt_status status = read_openai_text(v, name, text, text_size, error);
    host_free(v->host, text);
    return status;
}
