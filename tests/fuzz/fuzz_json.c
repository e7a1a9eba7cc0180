/* Any bytes as a JSON document: either refused with a one-line message, or every value can be looked up, and
 * the document written out again reads back the same way. */
#include <stdlib.h>
#include <string.h>

#include "json/json.h"
#include "json/json_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

static void copy_value(json_value value, const char *key, json_writer *writer);

static void copy_children(json_value container, json_writer *writer) {
    for (json_value v = json_first(container); v.item; v = json_next(v))
        copy_value(v, json_key(v), writer);
}

static void copy_value(json_value value, const char *key, json_writer *writer) {
    bool flag;
    double number;
    const char *text;
    switch (json_kind_of(value)) {
    case JSON_ABSENT:
        abort();
    case JSON_NULL:
        json_write_null(writer, key);
        break;
    case JSON_BOOL:
        check(json_as_bool(value, &flag, NULL) == MZT_OK);
        json_write_bool(writer, key, flag);
        break;
    case JSON_NUMBER:
        check(json_as_double(value, &number, NULL) == MZT_OK);
        json_write_double(writer, key, number);
        break;
    case JSON_STRING:
        check(json_as_string(value, &text, NULL) == MZT_OK && json_is_utf8(text));
        json_write_string(writer, key, text);
        break;
    case JSON_ARRAY:
        json_write_array(writer, key);
        copy_children(value, writer);
        json_write_end_array(writer);
        break;
    case JSON_OBJECT:
        json_write_object(writer, key);
        copy_children(value, writer);
        json_write_end_object(writer);
        break;
    }
}

static char *copy_document(const base_host *host, const json_doc *doc, size_t *length) {
    json_writer writer = json_writer_make(host);
    char *text;
    copy_value(json_root(doc), NULL, &writer);
    check(json_writer_finish(&writer, &text, length, NULL) == MZT_OK);
    return text;
}

/* Every typed look-up on every member, for its messages. */
static void look_up(json_value object) {
    mzt_error error;
    for (json_value v = json_first(object); v.item; v = json_next(v)) {
        const char *key = json_key(v), *text;
        int64_t list[4];
        uint32_t count;
        bool flag;
        if (key) {
            check(json_get(object, key).item == v.item);
            json_get_bool(object, key, false, &flag, &error);
            json_require_string(object, key, &text, &error);
            json_require_ints(object, key, -5, 5, list, 4, &count, &error);
        }
        json_error(v, &error, MZT_ERROR_INVALID, "place");
        check(!strchr(error.message, '\n'));
        look_up(v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_host host = host_make(NULL);
    json_doc *doc, *again;
    mzt_error error = {0};
    mzt_status status = json_parse(&host, "fuzz", (const char *)data, size, &doc, &error);
    if (status != MZT_OK) {
        check(status == MZT_ERROR_FORMAT && error.status == status && !doc && !strchr(error.message, '\n'));
        return 0;
    }
    look_up(json_root(doc));
    size_t length, second_length;
    char *text = copy_document(&host, doc, &length);
    check(json_parse(&host, "again", text, length, &again, &error) == MZT_OK);
    char *second = copy_document(&host, again, &second_length);
    check(length == second_length && memcmp(text, second, length) == 0);
    host_free(&host, text);
    host_free(&host, second);
    json_destroy(again);
    json_destroy(doc);
    return 0;
}
