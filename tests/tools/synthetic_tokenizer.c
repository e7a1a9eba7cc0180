/* A byte-level vocabulary with a few merges; see synthetic.h. */
#include "synthetic.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "json/json_write.h"
#include "text/vocabulary.h"

/* Common letter pairs of English, most wanted first; each may use the results of those before. */
static const char *const merges[SYNTHETIC_MERGES][2] = {
    {"t", "h"},       {"i", "n"},      {"a", "n"},      {"r", "e"},        {"o", "n"},        {"e", "r"},
    {"th", "e</w>"},  {"in", "g</w>"}, {"an", "d</w>"}, {"o", "f</w>"},    {"e", "d</w>"},    {"e", "r</w>"},
    {"re", "d</w>"},  {"re", "e"},     {"g", "ree"},    {"gree", "n</w>"}, {"b", "l"},        {"u", "e</w>"},
    {"bl", "ue</w>"}, {"a", "p"},      {"ap", "p"},     {"l", "e</w>"},    {"app", "le</w>"}, {"a", "t</w>"},
};

/* The piece of one byte: its character as UTF-8 (two bytes at most) and, if wanted, the end of a word. */
static void byte_piece(uint8_t byte, bool last, char *piece, size_t size) {
    int32_t c = vocabulary_byte_character(byte);
    char utf8[3] = {(char)c, 0, 0};
    if (c >= 0x80) {
        utf8[0] = (char)(0xc0 | c >> 6);
        utf8[1] = (char)(0x80 | (c & 0x3f));
    }
    snprintf(piece, size, "%s%s", utf8, last ? "</w>" : "");
}

static mzt_status write_file(const base_host *host, const char *folder, const char *name, const char *text,
                             size_t length, mzt_error *error) {
    char *path = path_join(host, folder, name);
    if (!path) return error_memory(error, name, length);
    mzt_status status = file_write(host, path, text, length, error);
    host_free(host, path);
    return status;
}

static mzt_status write_vocabulary(const base_host *host, const char *folder, mzt_error *error) {
    json_writer json = json_writer_make(host);
    char piece[64], *text;
    size_t length;
    int64_t id = 0;
    json_write_object(&json, NULL);
    for (int last = 0; last < 2; last++)
        for (int byte = 0; byte < 256; byte++) {
            byte_piece((uint8_t)byte, last, piece, sizeof piece);
            json_write_int(&json, piece, id++);
        }
    for (int i = 0; i < SYNTHETIC_MERGES; i++) {
        snprintf(piece, sizeof piece, "%s%s", merges[i][0], merges[i][1]);
        json_write_int(&json, piece, id++);
    }
    json_write_int(&json, "<|startoftext|>", id++);
    json_write_int(&json, "<|endoftext|>", id++);
    json_write_end_object(&json);
    TRY(json_writer_finish(&json, &text, &length, error));
    mzt_status status = write_file(host, folder, "vocab.json", text, length, error);
    host_free(host, text);
    return status;
}

mzt_status synthetic_tokenizer_write(const base_host *host, const char *folder, mzt_error *error) {
    char lines[32 * (SYNTHETIC_MERGES + 1)] = "#version: 0.2\n";
    size_t used = strlen(lines);
    for (int i = 0; i < SYNTHETIC_MERGES; i++)
        used += (size_t)snprintf(lines + used, sizeof lines - used, "%s %s\n", merges[i][0], merges[i][1]);
    TRY(write_vocabulary(host, folder, error));
    return write_file(host, folder, "merges.txt", lines, used, error);
}
