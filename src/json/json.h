/* JSON documents that strangers wrote, read through typed look-ups whose errors name the file, the key path,
 * what was expected and what was found: "unet/config.json: block_out_channels[1]: expected an integer
 * in 1..65536, found \"x\"".
 *
 * The text is checked in full before the tree is built (by cJSON): RFC 8259 grammar, valid UTF-8, no U+0000
 * in strings, no unpaired surrogates, no repeated key in an object, nothing behind the document, and the
 * limits below. What Python's json module writes beyond the RFC is accepted: NaN, Infinity and -Infinity read
 * as those numbers (and, as in Python, a number too large for a double reads as infinity). They pass as
 * doubles, never as integers. A byte order mark is skipped.
 *
 * Ownership: a json_doc owns everything; values and strings point into it.
 * Thread-safety: a document is immutable. cJSON takes its memory from C's malloc, and its parser keeps a
 * process-wide error position which is never read here. */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include "base/host.h"

#define JSON_FILE_LIMIT (64u << 20) /* bytes of a file read by json_read */
#define JSON_VALUE_LIMIT                                                                                     \
    (4u << 20)              /* values of any kind in one document: bounds the tree to a few hundred MB */
#define JSON_DEPTH_LIMIT 64 /* containers within containers */
#define JSON_INT_LIMIT   (1ll << 53) /* integers are exact up to here */

typedef struct json_doc json_doc;

/* A place in a document; `item` NULL means absent. Passed by value. */
typedef struct json_value {
    const json_doc *doc;
    const struct cJSON *item;
} json_value;

typedef enum json_kind {
    JSON_ABSENT,
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} json_kind;

/* Parses `size` bytes of text, which need no terminator and are not kept. `name` is what messages call the
 * document. FORMAT with "name:line:column: …" for broken text, OUT_OF_MEMORY. */
mzt_status json_parse(const base_host *host, const char *name, const char *text, uint64_t size,
                      json_doc **doc, mzt_error *error);

/* The same for a file of at most JSON_FILE_LIMIT bytes. Also NOT_FOUND and IO. */
mzt_status json_read(const base_host *host, const char *path, json_doc **doc, mzt_error *error);

void json_destroy(json_doc *doc); /* NULL is accepted */

json_value json_root(const json_doc *doc);
json_kind json_kind_of(json_value value);

/* The member `key` of an object, or an absent value (also when `object` is no object). Linear in the object's
 * size: walk large objects with json_first and json_next. */
json_value json_get(json_value object, const char *key);

/* True when the value is neither absent nor null. */
bool json_given(json_value value);

/* Children of an array or object, in file order; absent at the end. Loop:
 * for (json_value v = json_first(root); v.item; v = json_next(v)) … json_key(v) … */
json_value json_first(json_value container);
json_value json_next(json_value value);
const char *json_key(json_value member); /* NULL for the root and for elements of arrays */
uint32_t json_count(json_value container);

/* "file: path: " + the formatted text, for complaints about the meaning of a value. Returns `status`. */
mzt_status json_error(json_value value, mzt_error *error, mzt_status status, const char *format, ...)
    BASE_PRINTF(4, 5);

/* A value that must be of a kind. INVALID otherwise. Integers may be written 8, 8.0 or 8e0 and lie in [low,
 * high], which must be within ±JSON_INT_LIMIT. Doubles may be NaN or infinite. Strings are UTF-8 and live as
 * long as the document. */
mzt_status json_as_bool(json_value value, bool *out, mzt_error *error);
mzt_status json_as_int(json_value value, int64_t low, int64_t high, int64_t *out, mzt_error *error);
mzt_status json_as_double(json_value value, double *out, mzt_error *error);
mzt_status json_as_string(json_value value, const char **out, mzt_error *error);
mzt_status json_as_kind(json_value value, json_kind kind, mzt_error *error); /* for arrays and objects */

/* A member of an object; absent or null gives `fallback`, a wrong kind or range is INVALID. */
mzt_status json_get_bool(json_value object, const char *key, bool fallback, bool *out, mzt_error *error);
mzt_status json_get_int(json_value object, const char *key, int64_t low, int64_t high, int64_t fallback,
                        int64_t *out, mzt_error *error);
mzt_status json_get_double(json_value object, const char *key, double fallback, double *out,
                           mzt_error *error);
mzt_status json_get_string(json_value object, const char *key, const char *fallback, const char **out,
                           mzt_error *error);
/* `*out` is an absent value when the member is absent or null. */
mzt_status json_get_array(json_value object, const char *key, json_value *out, mzt_error *error);
mzt_status json_get_object(json_value object, const char *key, json_value *out, mzt_error *error);

/* A list of integers, each in [low, high]; a lone integer reads as a list of one. `*count` is 0 when absent
 * or null. INVALID when there are more than `capacity`. */
mzt_status json_get_ints(json_value object, const char *key, int64_t low, int64_t high, int64_t *out,
                         uint32_t capacity, uint32_t *count, mzt_error *error);

/* The same, where absent or null is INVALID too. */
mzt_status json_require_bool(json_value object, const char *key, bool *out, mzt_error *error);
mzt_status json_require_int(json_value object, const char *key, int64_t low, int64_t high, int64_t *out,
                            mzt_error *error);
mzt_status json_require_double(json_value object, const char *key, double *out, mzt_error *error);
mzt_status json_require_string(json_value object, const char *key, const char **out, mzt_error *error);
mzt_status json_require_array(json_value object, const char *key, json_value *out, mzt_error *error);
mzt_status json_require_object(json_value object, const char *key, json_value *out, mzt_error *error);
mzt_status json_require_ints(json_value object, const char *key, int64_t low, int64_t high, int64_t *out,
                             uint32_t capacity, uint32_t *count, mzt_error *error);

#endif
