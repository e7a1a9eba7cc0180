/* Checks shared by the configuration readers; see config.h. */
#include "model/config.h"

#include <stdio.h>
#include <string.h>

const char *config_text(json_value value, char *buffer, size_t size) {
    double number = 0;
    bool flag = false;
    const char *string = "";
    switch (json_kind_of(value)) {
    case JSON_BOOL:
        (void)json_as_bool(value, &flag, NULL);
        snprintf(buffer, size, "%s", flag ? "true" : "false");
        break;
    case JSON_NUMBER:
        (void)json_as_double(value, &number, NULL);
        snprintf(buffer, size, "%.9g", number);
        break;
    case JSON_STRING: {
        char text[80];
        (void)json_as_string(value, &string, NULL);
        snprintf(buffer, size, "\"%s\"", error_text(text, sizeof text, string));
        break;
    }
    case JSON_ARRAY: {
        size_t used = (size_t)snprintf(buffer, size, "[");
        for (json_value v = json_first(value); v.item && used + 8 < size; v = json_next(v)) {
            char element[96];
            bool nested = json_kind_of(v) == JSON_ARRAY || json_kind_of(v) == JSON_OBJECT;
            const char *text = nested ? "..." : config_text(v, element, sizeof element);
            int length = snprintf(buffer + used, size - used, "%s%s", used > 1 ? ", " : "", text);
            used = length < 0 || (size_t)length >= size - used ? size - 1 : used + (size_t)length;
        }
        if (used + 1 < size) snprintf(buffer + used, size - used, "]");
        break;
    }
    case JSON_OBJECT:
        snprintf(buffer, size, "{...}");
        break;
    case JSON_NULL:
    case JSON_ABSENT:
        snprintf(buffer, size, "null");
        break;
    }
    return buffer;
}

static bool is_accepted(const config_fixed *fixed, json_value value) {
    char text[128];
    config_text(value, text, sizeof text);
    for (uint32_t i = 0; i < CONFIG_MAX_VALUES && fixed->values[i]; i++)
        if (strcmp(text, fixed->values[i]) == 0) return true;
    return false;
}

static mzt_status check_fixed(json_value root, const config_fixed *fixed, json_value value,
                              mzt_error *error) {
    bool accepted = false;
    if (fixed->list && json_kind_of(value) == JSON_ARRAY) {
        accepted = true;
        for (json_value v = json_first(value); v.item && accepted; v = json_next(v))
            accepted = is_accepted(fixed, v);
    } else {
        accepted = is_accepted(fixed, value);
    }
    if (accepted) return MZT_OK;
    char text[128];
    return json_error(root, error, MZT_ERROR_UNSUPPORTED, "%s = %s is not supported", fixed->key,
                      config_text(value, text, sizeof text));
}

static bool is_listed(const char *const *list, const char *key) {
    for (; *list; list++)
        if (strcmp(*list, key) == 0) return true;
    return false;
}

mzt_status config_check(json_value root, const config_fixed *fixed, uint32_t fixed_count,
                        const char *const *known, mzt_error *error) {
    TRY(json_as_kind(root, JSON_OBJECT, error));
    for (json_value v = json_first(root); v.item; v = json_next(v)) {
        const char *key = json_key(v);
        if (key[0] == '_' || is_listed(known, key)) continue;
        uint32_t row = 0;
        while (row < fixed_count && strcmp(fixed[row].key, key) != 0)
            row++;
        if (row < fixed_count) {
            TRY(check_fixed(root, &fixed[row], v, error));
            continue;
        }
        char name[80], text[128];
        config_text(v, text, sizeof text);
        if (strcmp(text, "null") != 0 && strcmp(text, "false") != 0)
            return json_error(root, error, MZT_ERROR_UNSUPPORTED,
                              "%s = %s is an unknown option (only null or false can be ignored)",
                              error_text(name, sizeof name, key), text);
    }
    return MZT_OK;
}

mzt_status config_u32(json_value root, const char *key, uint32_t low, uint32_t high, uint32_t fallback,
                      uint32_t *out, mzt_error *error) {
    int64_t value;
    TRY(json_get_int(root, key, low, high, fallback, &value, error));
    *out = (uint32_t)value;
    return MZT_OK;
}

mzt_status config_levels(json_value root, const char *key, uint32_t low, uint32_t high, uint32_t count,
                         uint32_t fallback, uint32_t *out, mzt_error *error) {
    json_value value = json_get(root, key);
    if (json_kind_of(value) != JSON_ARRAY) {
        uint32_t single;
        TRY(config_u32(root, key, low, high, fallback, &single, error));
        for (uint32_t i = 0; i < count; i++)
            out[i] = single;
        return MZT_OK;
    }
    if (json_count(value) != count) {
        char text[128];
        return json_error(root, error, MZT_ERROR_INVALID, "%s = %s: expected one number or %u", key,
                          config_text(value, text, sizeof text), (unsigned)count);
    }
    uint32_t i = 0;
    for (json_value v = json_first(value); v.item; v = json_next(v)) {
        int64_t number;
        TRY(json_as_int(v, low, high, &number, error));
        out[i++] = (uint32_t)number;
    }
    return MZT_OK;
}

mzt_status config_float(json_value root, const char *key, double above, double up_to, double fallback,
                        float *out, mzt_error *error) {
    double value;
    TRY(json_get_double(root, key, fallback, &value, error));
    if (!(value > above && value <= up_to)) /* NaN fails too */
        return json_error(root, error, MZT_ERROR_INVALID,
                          "%s = %.9g: expected a number above %g and at most %g", key, value, above, up_to);
    *out = (float)value;
    return MZT_OK;
}

mzt_status config_channels(json_value root, uint32_t groups, uint32_t capacity, uint32_t *channels,
                           uint32_t *levels, mzt_error *error) {
    json_value list;
    TRY(json_require_array(root, "block_out_channels", &list, error));
    uint32_t count = json_count(list);
    if (count < 1 || count > capacity)
        return json_error(list, error, MZT_ERROR_INVALID, "expected 1 to %u levels, found %u",
                          (unsigned)capacity, (unsigned)count);
    TRY(config_levels(root, "block_out_channels", 1, CONFIG_MAX_CHANNELS, count, 0, channels, error));
    for (uint32_t i = 0; i < count; i++)
        if (channels[i] % groups != 0)
            return json_error(list, error, MZT_ERROR_INVALID, "%u is no multiple of norm_num_groups = %u",
                              (unsigned)channels[i], (unsigned)groups);
    *levels = count;
    return MZT_OK;
}
