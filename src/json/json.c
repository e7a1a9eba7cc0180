/* Documents and typed look-ups; see json.h. */
#include "json/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "json/json_scan.h"

struct json_doc {
    const base_host *host;
    char *name;
    cJSON *root;
};

/* ------------------------------------------------------------------------------------------------ values --
 */

json_value json_root(const json_doc *doc) {
    return (json_value){doc, doc->root};
}

static bool is_nan_mark(const cJSON *item) {
    return cJSON_IsString(item) && strcmp(item->valuestring, JSON_NAN_MARK) == 0;
}

json_kind json_kind_of(json_value value) {
    const cJSON *item = value.item;
    if (!item) return JSON_ABSENT;
    if (cJSON_IsBool(item)) return JSON_BOOL;
    if (cJSON_IsNumber(item) || is_nan_mark(item)) return JSON_NUMBER;
    if (cJSON_IsString(item)) return JSON_STRING;
    if (cJSON_IsArray(item)) return JSON_ARRAY;
    if (cJSON_IsObject(item)) return JSON_OBJECT;
    return JSON_NULL;
}

json_value json_get(json_value object, const char *key) {
    json_value value = {object.doc, NULL};
    if (cJSON_IsObject(object.item)) value.item = cJSON_GetObjectItemCaseSensitive(object.item, key);
    return value;
}

bool json_given(json_value value) {
    return value.item && !cJSON_IsNull(value.item);
}

json_value json_first(json_value container) {
    return (json_value){container.doc, container.item ? container.item->child : NULL};
}

json_value json_next(json_value value) {
    return (json_value){value.doc, value.item ? value.item->next : NULL};
}

const char *json_key(json_value member) {
    return member.item ? member.item->string : NULL;
}

uint32_t json_count(json_value container) {
    uint32_t count = 0;
    for (json_value v = json_first(container); v.item; v = json_next(v))
        count++;
    return count;
}

/* ------------------------------------------------------------------------------------------------ errors --
 */

/* Writes the path from `from` down to `target` behind the `used` bytes in `path`: "down.blocks[2]". The tree
 * has no parent links; it is searched, which only errors pay for. The depth is bounded by JSON_DEPTH_LIMIT.
 */
static bool find_path(const cJSON *from, const cJSON *target, char *path, size_t size, size_t used) {
    path[used] = '\0';
    if (from == target) return true;
    uint64_t index = 0;
    for (const cJSON *child = from->child; child; child = child->next, index++) {
        if (child != target && !child->child) continue;
        char key[64], part[80];
        if (child->string)
            snprintf(part, sizeof part, "%s%s", used ? "." : "", error_text(key, sizeof key, child->string));
        else
            snprintf(part, sizeof part, "[%llu]", (unsigned long long)index);
        size_t length = strlen(part);
        if (used + length >= size) { /* too long to show in full: the deepest part is dropped */
            length = 0;
        }
        memcpy(path + used, part, length);
        if (find_path(child, target, path, size, used + length)) return true;
    }
    path[used] = '\0';
    return false;
}

/* "file: path: ", or "file: " for the root; `key` is an absent member of `value`, or NULL. */
static void describe_place(json_value value, const char *key, char *out, size_t size) {
    char path[200] = "", last[64] = "";
    if (value.item) find_path(value.doc->root, value.item, path, sizeof path, 0);
    if (key) error_text(last, sizeof last, key);
    const char *dot = key && path[0] ? "." : "", *colon = key || path[0] ? ": " : "";
    snprintf(out, size, "%s: %s%s%s%s", value.doc->name, path, dot, last, colon);
}

static void describe_found(json_value value, char *out, size_t size) {
    char text[64];
    switch (json_kind_of(value)) {
    case JSON_ABSENT:
        snprintf(out, size, "nothing");
        break;
    case JSON_NULL:
        snprintf(out, size, "null");
        break;
    case JSON_BOOL:
        snprintf(out, size, "%s", cJSON_IsTrue(value.item) ? "true" : "false");
        break;
    case JSON_NUMBER:
        if (is_nan_mark(value.item))
            snprintf(out, size, "NaN");
        else
            snprintf(out, size, "%.17g", value.item->valuedouble);
        break;
    case JSON_STRING:
        snprintf(out, size, "\"%s\"", error_text(text, sizeof text, value.item->valuestring));
        break;
    case JSON_ARRAY:
        snprintf(out, size, "an array");
        break;
    case JSON_OBJECT:
        snprintf(out, size, "an object");
        break;
    }
}

/* Complains about `value`, or about the member `key` of `value` that is absent or null. */
static mzt_status expected(json_value value, const char *key, const char *what, mzt_error *error) {
    char place[400], found[80];
    describe_place(value, key, place, sizeof place);
    describe_found(key ? json_get(value, key) : value, found, sizeof found);
    return error_set(error, MZT_ERROR_INVALID, "%sexpected %s, found %s", place, what, found);
}

mzt_status json_error(json_value value, mzt_error *error, mzt_status status, const char *format, ...) {
    char place[400], text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    describe_place(value, NULL, place, sizeof place);
    return error_set(error, status, "%s%s", place, text);
}

/* ------------------------------------------------------------------------------------------------ typed --
 */

mzt_status json_as_bool(json_value value, bool *out, mzt_error *error) {
    if (json_kind_of(value) != JSON_BOOL) return expected(value, NULL, "true or false", error);
    *out = cJSON_IsTrue(value.item);
    return MZT_OK;
}

mzt_status json_as_double(json_value value, double *out, mzt_error *error) {
    if (json_kind_of(value) != JSON_NUMBER) return expected(value, NULL, "a number", error);
    *out = is_nan_mark(value.item) ? (double)NAN : value.item->valuedouble;
    return MZT_OK;
}

mzt_status json_as_int(json_value value, int64_t low, int64_t high, int64_t *out, mzt_error *error) {
    char what[96];
    snprintf(what, sizeof what, "an integer in %lld..%lld", (long long)low, (long long)high);
    double number = 0; /* set whenever the call below succeeds; compilers cannot see that */
    if (json_kind_of(value) != JSON_NUMBER) return expected(value, NULL, what, error);
    TRY(json_as_double(value, &number, error));
    /* Written so that NaN fails; the bounds are exact as doubles, being within ±2^53. */
    bool fits = number >= (double)low && number <= (double)high && number == floor(number);
    if (!fits) return expected(value, NULL, what, error);
    *out = (int64_t)number;
    return MZT_OK;
}

mzt_status json_as_string(json_value value, const char **out, mzt_error *error) {
    if (json_kind_of(value) != JSON_STRING) return expected(value, NULL, "a string", error);
    *out = value.item->valuestring;
    return MZT_OK;
}

static const char *kind_text(json_kind kind) {
    switch (kind) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "true or false";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    case JSON_OBJECT:
        return "an object";
    case JSON_ABSENT:
        break;
    }
    return "nothing";
}

mzt_status json_as_kind(json_value value, json_kind kind, mzt_error *error) {
    return json_kind_of(value) == kind ? MZT_OK : expected(value, NULL, kind_text(kind), error);
}

/* The member `key`; *member is absent when it is absent or null. INVALID when `object` is no object. */
static mzt_status member_of(json_value object, const char *key, json_value *member, mzt_error *error) {
    TRY(json_as_kind(object, JSON_OBJECT, error));
    *member = json_get(object, key);
    if (!json_given(*member)) member->item = NULL;
    return MZT_OK;
}

mzt_status json_get_bool(json_value object, const char *key, bool fallback, bool *out, mzt_error *error) {
    json_value member;
    TRY(member_of(object, key, &member, error));
    *out = fallback;
    return member.item ? json_as_bool(member, out, error) : MZT_OK;
}

mzt_status json_get_int(json_value object, const char *key, int64_t low, int64_t high, int64_t fallback,
                        int64_t *out, mzt_error *error) {
    json_value member;
    TRY(member_of(object, key, &member, error));
    *out = fallback;
    return member.item ? json_as_int(member, low, high, out, error) : MZT_OK;
}

mzt_status json_get_double(json_value object, const char *key, double fallback, double *out,
                           mzt_error *error) {
    json_value member;
    TRY(member_of(object, key, &member, error));
    *out = fallback;
    return member.item ? json_as_double(member, out, error) : MZT_OK;
}

mzt_status json_get_string(json_value object, const char *key, const char *fallback, const char **out,
                           mzt_error *error) {
    json_value member;
    TRY(member_of(object, key, &member, error));
    *out = fallback;
    return member.item ? json_as_string(member, out, error) : MZT_OK;
}

mzt_status json_get_array(json_value object, const char *key, json_value *out, mzt_error *error) {
    TRY(member_of(object, key, out, error));
    return out->item ? json_as_kind(*out, JSON_ARRAY, error) : MZT_OK;
}

mzt_status json_get_object(json_value object, const char *key, json_value *out, mzt_error *error) {
    TRY(member_of(object, key, out, error));
    return out->item ? json_as_kind(*out, JSON_OBJECT, error) : MZT_OK;
}

mzt_status json_get_ints(json_value object, const char *key, int64_t low, int64_t high, int64_t *out,
                         uint32_t capacity, uint32_t *count, mzt_error *error) {
    json_value member;
    *count = 0;
    TRY(member_of(object, key, &member, error));
    if (!member.item) return MZT_OK;
    json_value element = member;
    bool list = json_kind_of(member) == JSON_ARRAY;
    if (list) element = json_first(member);
    uint32_t used = 0;
    while (element.item) {
        if (used == capacity)
            return json_error(member, error, MZT_ERROR_INVALID, "expected at most %lu integers, found %lu",
                              (unsigned long)capacity, list ? (unsigned long)json_count(member) : 1ul);
        TRY(json_as_int(element, low, high, out + used, error));
        used++;
        if (!list) break;
        element = json_next(element);
    }
    *count = used;
    return MZT_OK;
}

/* OK when the member is there; else the complaint that it is required. */
static mzt_status require(json_value object, const char *key, const char *what, mzt_error *error) {
    json_value member;
    TRY(member_of(object, key, &member, error));
    return member.item ? MZT_OK : expected(object, key, what, error);
}

mzt_status json_require_bool(json_value object, const char *key, bool *out, mzt_error *error) {
    TRY(require(object, key, kind_text(JSON_BOOL), error));
    return json_as_bool(json_get(object, key), out, error);
}

mzt_status json_require_int(json_value object, const char *key, int64_t low, int64_t high, int64_t *out,
                            mzt_error *error) {
    TRY(require(object, key, "an integer", error));
    return json_as_int(json_get(object, key), low, high, out, error);
}

mzt_status json_require_double(json_value object, const char *key, double *out, mzt_error *error) {
    TRY(require(object, key, kind_text(JSON_NUMBER), error));
    return json_as_double(json_get(object, key), out, error);
}

mzt_status json_require_string(json_value object, const char *key, const char **out, mzt_error *error) {
    TRY(require(object, key, kind_text(JSON_STRING), error));
    return json_as_string(json_get(object, key), out, error);
}

mzt_status json_require_array(json_value object, const char *key, json_value *out, mzt_error *error) {
    TRY(require(object, key, kind_text(JSON_ARRAY), error));
    return json_get_array(object, key, out, error);
}

mzt_status json_require_object(json_value object, const char *key, json_value *out, mzt_error *error) {
    TRY(require(object, key, kind_text(JSON_OBJECT), error));
    return json_get_object(object, key, out, error);
}

mzt_status json_require_ints(json_value object, const char *key, int64_t low, int64_t high, int64_t *out,
                             uint32_t capacity, uint32_t *count, mzt_error *error) {
    TRY(require(object, key, "integers", error));
    return json_get_ints(object, key, low, high, out, capacity, count, error);
}

/* ------------------------------------------------------------------------------------------------ documents
 * -- */

static int compare_keys(const void *a, const void *b) {
    const cJSON *const *x = a, *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

/* Two members of one object with the same key: readers disagree on which counts, so neither does. */
static mzt_status check_keys(json_value object, mzt_error *error) {
    uint32_t count = json_count(object), used = 0;
    if (count < 2) return MZT_OK;
    const base_host *host = object.doc->host;
    const cJSON **members = host_calloc(host, count, sizeof *members);
    if (!members) return error_memory(error, object.doc->name, (uint64_t)count * sizeof *members);
    for (json_value v = json_first(object); v.item; v = json_next(v))
        members[used++] = v.item;
    qsort(members, count, sizeof *members, compare_keys);
    mzt_status status = MZT_OK;
    for (uint32_t i = 1; i < count && status == MZT_OK; i++) {
        if (compare_keys(&members[i - 1], &members[i]) != 0) continue;
        json_value member = {object.doc, members[i]};
        status = json_error(member, error, MZT_ERROR_FORMAT, "the key occurs twice");
    }
    host_free(host, members);
    return status;
}

static mzt_status check_all_keys(json_value container, mzt_error *error) {
    if (json_kind_of(container) == JSON_OBJECT) TRY(check_keys(container, error));
    for (json_value v = json_first(container); v.item; v = json_next(v))
        if (v.item->child) TRY(check_all_keys(v, error));
    return MZT_OK;
}

void json_destroy(json_doc *doc) {
    if (!doc) return;
    const base_host *host = doc->host;
    cJSON_Delete(doc->root);
    host_free(host, doc->name);
    host_free(host, doc);
}

/* Builds the document from a text that may be written to. */
static mzt_status parse_writable(const base_host *host, const char *name, char *text, uint64_t size,
                                 json_doc **out, mzt_error *error) {
    *out = NULL;
    TRY(json_scan(name, text, size, error));
    json_doc *doc = host_calloc(host, 1, sizeof *doc);
    if (!doc) return error_memory(error, name, sizeof *doc);
    doc->host = host;
    doc->name = host_strdup(host, name);
    /* cJSON overlooks a byte order mark before a single character, so it never sees one. */
    size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    doc->root = cJSON_ParseWithLengthOpts(text + mark, (size_t)size - mark, NULL, false);
    mzt_status status = MZT_OK;
    if (!doc->name || !doc->root) /* the text was found correct: only memory can be wanting */
        status = error_memory(error, name, size);
    else
        status = check_all_keys(json_root(doc), error);
    if (status < 0) {
        json_destroy(doc);
        return status;
    }
    *out = doc;
    return MZT_OK;
}

mzt_status json_parse(const base_host *host, const char *name, const char *text, uint64_t size,
                      json_doc **doc, mzt_error *error) {
    *doc = NULL;
    if (size >= SIZE_MAX) return error_memory(error, name, size);
    char *copy = size > 0 ? host_strndup(host, text, (size_t)size) : host_strdup(host, "");
    if (!copy) return error_memory(error, name, size);
    mzt_status status = parse_writable(host, name, copy, size, doc, error);
    host_free(host, copy);
    return status;
}

mzt_status json_read(const base_host *host, const char *path, json_doc **doc, mzt_error *error) {
    char *text;
    uint64_t size;
    *doc = NULL;
    TRY(file_read(host, path, JSON_FILE_LIMIT, &text, &size, error));
    mzt_status status = parse_writable(host, path, text, size, doc, error);
    host_free(host, text);
    return status;
}
