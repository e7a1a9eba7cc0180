/* The JSON writer; see json_write.h. */
#include "json/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

json_writer json_writer_make(const base_host *host) {
    return (json_writer){.host = host};
}

static void append(json_writer *writer, const char *bytes, size_t count) {
    if (writer->failed) return;
    if (writer->capacity - writer->length <= count) {
        size_t wanted = writer->capacity ? writer->capacity : 256;
        while (wanted - writer->length <= count && wanted <= SIZE_MAX / 2)
            wanted *= 2;
        char *grown =
            wanted - writer->length > count ? host_realloc(writer->host, writer->text, wanted, 1) : NULL;
        if (!grown) {
            writer->failed = true;
            return;
        }
        writer->text = grown;
        writer->capacity = wanted;
    }
    memcpy(writer->text + writer->length, bytes, count);
    writer->length += count;
    writer->text[writer->length] = '\0';
}

/* One character of UTF-8 at `text`: its length in bytes, or 0 when it is not one. */
static size_t utf8_length(const char *text) {
    utf8proc_int32_t code;
    utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &code);
    return length > 0 && code >= 0 ? (size_t)length : 0;
}

bool json_is_utf8(const char *text) {
    while (*text) {
        size_t length = utf8_length(text);
        if (length == 0) return false;
        text += length;
    }
    return true;
}

static void append_quoted(json_writer *writer, const char *text) {
    append(writer, "\"", 1);
    while (*text) {
        unsigned char byte = (unsigned char)*text;
        size_t length = 1;
        char escape[8];
        if (byte == '"' || byte == '\\') {
            escape[0] = '\\';
            escape[1] = *text;
            append(writer, escape, 2);
        } else if (byte < 0x20 || byte == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            append(writer, escape, 6);
        } else if (byte < 0x80) {
            append(writer, text, 1);
        } else {
            length = utf8_length(text);
            if (length > 0)
                append(writer, text, length);
            else
                append(writer, "\xef\xbf\xbd", 3);
            if (length == 0) length = 1;
        }
        text += length;
    }
    append(writer, "\"", 1);
}

/* The comma that is due, and the key. */
static void begin_value(json_writer *writer, const char *key) {
    if (writer->separate) append(writer, ",", 1);
    if (key) {
        append_quoted(writer, key);
        append(writer, ":", 1);
    }
    writer->separate = true;
}

static void write_word(json_writer *writer, const char *key, const char *word) {
    begin_value(writer, key);
    append(writer, word, strlen(word));
}

void json_write_object(json_writer *writer, const char *key) {
    write_word(writer, key, "{");
    writer->separate = false;
}

void json_write_end_object(json_writer *writer) {
    append(writer, "}", 1);
    writer->separate = true;
}

void json_write_array(json_writer *writer, const char *key) {
    write_word(writer, key, "[");
    writer->separate = false;
}

void json_write_end_array(json_writer *writer) {
    append(writer, "]", 1);
    writer->separate = true;
}

void json_write_string(json_writer *writer, const char *key, const char *value) {
    if (!value) {
        json_write_null(writer, key);
        return;
    }
    begin_value(writer, key);
    append_quoted(writer, value);
}

void json_write_bool(json_writer *writer, const char *key, bool value) {
    write_word(writer, key, value ? "true" : "false");
}

void json_write_null(json_writer *writer, const char *key) {
    write_word(writer, key, "null");
}

void json_write_int(json_writer *writer, const char *key, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    write_word(writer, key, text);
}

void json_write_uint(json_writer *writer, const char *key, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    write_word(writer, key, text);
}

/* The host program may have set a locale whose decimal point is another character, or several bytes: they
 * become one '.'. */
static void fix_decimal_point(char *text) {
    char *to = text;
    bool inside = false;
    for (const char *from = text; *from; from++) {
        bool usual = strchr("0123456789+-eE", *from) != NULL;
        if (usual)
            *to++ = *from;
        else if (!inside)
            *to++ = '.';
        inside = !usual;
    }
    *to = '\0';
}

void json_write_double(json_writer *writer, const char *key, double value) {
    if (!isfinite(value)) {
        json_write_null(writer, key);
        return;
    }
    char text[64];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fix_decimal_point(text);
    write_word(writer, key, text);
}

void json_writer_discard(json_writer *writer) {
    host_free(writer->host, writer->text);
    *writer = json_writer_make(writer->host);
}

mzt_status json_writer_finish(json_writer *writer, char **text, size_t *length, mzt_error *error) {
    append(writer, "", 0);
    mzt_status status = writer->failed ? error_memory(error, "JSON text", writer->length) : MZT_OK;
    *text = NULL;
    if (status == MZT_OK) {
        *text = writer->text;
        if (length) *length = writer->length;
        writer->text = NULL;
    }
    json_writer_discard(writer);
    return status;
}
