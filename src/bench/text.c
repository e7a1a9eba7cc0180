/* A growing text; see text.h. */
#include "bench/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

text_builder text_make(const base_host *host) {
    return (text_builder){.host = host};
}

static bool reserve(text_builder *t, size_t more) {
    if (t->failed) return false;
    if (t->length + more < t->capacity) return true;
    const size_t capacity = 2 * (t->length + more) + 1024;
    char *data = host_realloc(t->host, t->data, capacity, 1);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void text_add(text_builder *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !reserve(t, (size_t)length + 1)) {
        t->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(t->data + t->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    t->length += (size_t)length;
}

void text_add_html(text_builder *t, const char *plain) {
    for (; *plain; plain++) {
        switch (*plain) {
        case '&':
            text_add(t, "&amp;");
            break;
        case '<':
            text_add(t, "&lt;");
            break;
        case '>':
            text_add(t, "&gt;");
            break;
        case '"':
            text_add(t, "&quot;");
            break;
        case '\'':
            text_add(t, "&#39;");
            break;
        default:
            text_add(t, "%c", *plain);
            break;
        }
    }
}

mzt_status text_finish(text_builder *t, char **out, size_t *length, mzt_error *error) {
    text_add(t, "%s", "");
    if (t->failed) {
        text_discard(t);
        return error_memory(error, "text", 0);
    }
    *out = t->data;
    if (length) *length = t->length;
    *t = text_make(t->host);
    return MZT_OK;
}

void text_discard(text_builder *t) {
    host_free(t->host, t->data);
    *t = text_make(t->host);
}

const char *text_seconds(double seconds, char buffer[24]) {
    const double scaled = seconds >= 1 ? seconds : seconds >= 1e-3 ? seconds * 1e3 : seconds * 1e6;
    const char *unit = seconds >= 1 ? "s" : seconds >= 1e-3 ? "ms" : "us";
    snprintf(buffer, 24, scaled >= 100 ? "%.0f %s" : scaled >= 10 ? "%.1f %s" : "%.2f %s", scaled, unit);
    return buffer;
}

const char *text_rate(double rate, const char *unit, char buffer[32]) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    int i = 0;
    while (rate >= 999.5 && i < 5) {
        rate /= 1000;
        i++;
    }
    snprintf(buffer, 32,
             rate >= 99.5   ? "%.0f %s%s"
             : rate >= 9.95 ? "%.1f %s%s"
                            : "%.2f %s%s",
             rate, prefixes[i], unit);
    return buffer;
}
