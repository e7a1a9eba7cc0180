/* Writing JSON: an append-only text with the commas and escapes put in. The result is one line.
 * Strings must be UTF-8; bytes that are not become U+FFFD. Numbers that JSON has no word for (NaN,
 * infinities) become null. Out of memory is remembered and reported once, by json_writer_finish.
 * Thread-safety: a writer belongs to one thread. */
#ifndef JSON_JSON_WRITE_H
#define JSON_JSON_WRITE_H

#include "base/host.h"

typedef struct json_writer {
    const base_host *host;
    char *text; /* `length` bytes of `capacity`, terminated */
    size_t length, capacity;
    bool separate; /* a comma is due before the next value */
    bool failed;
} json_writer;

json_writer json_writer_make(const base_host *host);

/* `key` names a member of the surrounding object; NULL in an array and at the top. */
void json_write_object(json_writer *writer, const char *key); /* … members … then json_write_end_object */
void json_write_end_object(json_writer *writer);
void json_write_array(json_writer *writer, const char *key); /* … elements … then json_write_end_array */
void json_write_end_array(json_writer *writer);
void json_write_string(json_writer *writer, const char *key, const char *value); /* NULL writes null */
void json_write_bool(json_writer *writer, const char *key, bool value);
void json_write_int(json_writer *writer, const char *key, int64_t value);
void json_write_uint(json_writer *writer, const char *key, uint64_t value);
void json_write_double(json_writer *writer, const char *key,
                       double value); /* shortest text that reads back the same */
void json_write_null(json_writer *writer, const char *key);

/* Hands out the terminated text (free with host_free) or OUT_OF_MEMORY, and empties the writer. */
mzt_status json_writer_finish(json_writer *writer, char **text, size_t *length, mzt_error *error);
void json_writer_discard(json_writer *writer);

/* Whether `text` is UTF-8 throughout. */
bool json_is_utf8(const char *text);

#endif
