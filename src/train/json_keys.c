/* Strict reading of configuration objects; see json_keys.h. */
#include "train/json_keys.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = 40 };

/* Edit distance (insertions, deletions, replacements) of two words of at most LONGEST letters; longer ones
 * are far from all. */
static uint32_t distance(const char *a, const char *b) {
    const size_t n = strlen(a), m = strlen(b);
    uint32_t row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST) return UINT32_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = (uint32_t)j;
    for (size_t i = 1; i <= n; i++) {
        uint32_t corner = row[0];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= m; j++) {
            uint32_t best = corner + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

mzt_status json_only_keys(json_value object, const char *const *known, mzt_error *error) {
    if (!object.item) return MZT_OK;
    TRY(json_as_kind(object, JSON_OBJECT, error));
    for (json_value v = json_first(object); v.item; v = json_next(v)) {
        const char *key = json_key(v), *nearest = known[0];
        char shown[60];
        bool found = false;
        for (int i = 0; known[i] && !found; i++) {
            found = strcmp(known[i], key) == 0;
            if (distance(key, known[i]) < distance(key, nearest)) nearest = known[i];
        }
        if (!found)
            return json_error(object, error, MZT_ERROR_INVALID, "unknown key \"%s\"; the nearest is \"%s\"",
                              error_text(shown, sizeof shown, key), nearest);
    }
    return MZT_OK;
}

static bool left_out(const char *key, const char *const *but) {
    for (int i = 0; but && key && but[i]; i++) {
        if (strcmp(but[i], key) == 0) return true;
    }
    return false;
}

void json_write_members(json_writer *writer, json_value object, const char *const *but) {
    for (json_value v = json_first(object); v.item; v = json_next(v)) {
        if (!left_out(json_key(v), but)) json_write_copy(writer, json_key(v), v, NULL);
    }
}

/* A number: whole ones stay whole. */
static void write_number(json_writer *writer, const char *key, json_value value) {
    double number = 0;
    int64_t whole = 0;
    if (json_as_int(value, -JSON_INT_LIMIT, JSON_INT_LIMIT, &whole, NULL) >= 0) {
        json_write_int(writer, key, whole);
    } else {
        json_as_double(value, &number, NULL);
        json_write_double(writer, key, number);
    }
}

/* Depth is bounded by JSON_DEPTH_LIMIT. */
void json_write_copy(json_writer *writer, const char *key, json_value value, const char *const *but) {
    const char *text = NULL;
    bool flag = false;
    switch (json_kind_of(value)) {
    case JSON_ABSENT:
        break;
    case JSON_NULL:
        json_write_null(writer, key);
        break;
    case JSON_BOOL:
        json_as_bool(value, &flag, NULL);
        json_write_bool(writer, key, flag);
        break;
    case JSON_NUMBER:
        write_number(writer, key, value);
        break;
    case JSON_STRING:
        json_as_string(value, &text, NULL);
        json_write_string(writer, key, text);
        break;
    case JSON_ARRAY:
        json_write_array(writer, key);
        for (json_value v = json_first(value); v.item; v = json_next(v))
            json_write_copy(writer, NULL, v, NULL);
        json_write_end_array(writer);
        break;
    case JSON_OBJECT:
        json_write_object(writer, key);
        json_write_members(writer, value, but);
        json_write_end_object(writer);
        break;
    }
}

mzt_status json_get_range(json_value object, const char *key, double low, double high, double fallback,
                          double *out, mzt_error *error) {
    TRY(json_get_double(object, key, fallback, out, error));
    if (*out >= low && *out <= high) return MZT_OK;
    return json_error(object, error, MZT_ERROR_INVALID, "%s = %.9g: expected a number in %.9g..%.9g", key,
                      *out, low, high);
}

mzt_status json_get_u32(json_value object, const char *key, uint32_t low, uint32_t high, uint32_t fallback,
                        uint32_t *out, mzt_error *error) {
    int64_t value;
    TRY(json_get_int(object, key, low, high, fallback, &value, error));
    *out = (uint32_t)value;
    return MZT_OK;
}

mzt_status json_get_choice(json_value object, const char *key, const char *const *names, uint32_t fallback,
                           uint32_t *out, mzt_error *error) {
    const char *name;
    char list[200] = "", shown[60];
    TRY(json_get_string(object, key, names[fallback], &name, error));
    for (uint32_t i = 0; names[i]; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = i;
            return MZT_OK;
        }
        const size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", names[i]);
    }
    return json_error(object, error, MZT_ERROR_INVALID, "%s = \"%s\": expected one of %s", key,
                      error_text(shown, sizeof shown, name), list);
}
